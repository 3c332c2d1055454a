//! A fleet whose machines are tasks of one runtime: founded, joined and run by what the program itself does.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bursar::{
    World,
    authority::{self, Advertised, Checkpoints, Config, FleetTiming, Founding, Joining, Listen, RaftTiming, found, join},
    license::read_license_key,
    storage_server,
};
use bursar_agent::Settings;
use bursar_net::Address;
use bursar_wire::{
    Secret,
    client::{Change, Client, ClientConfig, ClientParts, EventReader, NodeUrl},
    cluster::{InviteMember, IssuedInvitation, MemberIntent},
    destinations::CreateDestination,
    page::Page,
    query::{EventsQuery, ListQuery, ReadQuery},
    servers::{AddServer, Server, ServerCondition},
    sites::CreateSite,
    status::Status,
    tokens::{IssueToken, IssuedToken},
};
use tempfile::TempDir;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::parts::world;

/// More than anything here takes, in time that passes at once.
const PATIENCE: Duration = Duration::from_secs(300);
const NODES: [u64; 3] = [1, 2, 3];

/// What the machines of a fleet hold, whether or not they run.
pub struct Fleet {
    folder: TempDir,
    world: World,
    token: Option<Secret>,
}

/// A machine that runs. Dropping it is as if its process was killed.
pub struct Running {
    run: JoinHandle<()>,
    ask_to_end: Option<oneshot::Sender<()>>,
}

impl Running {
    /// Runs what `run` makes of what asks it to end.
    fn start<F, E>(run: impl FnOnce(oneshot::Receiver<()>) -> F) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        let (ask_to_end, asked) = oneshot::channel();
        let running = run(asked);
        let run = tokio::spawn(async move {
            if let Err(error) = running.await {
                panic!("it cannot go on: {error}");
            }
        });
        Self { run, ask_to_end: Some(ask_to_end) }
    }

    /// Asks it to end, and waits until it has.
    pub async fn end(mut self) {
        let ask_to_end = self.ask_to_end.take().expect("nobody has asked yet");
        ask_to_end.send(()).expect("it runs");
        timeout(PATIENCE, &mut self.run).await.expect("it ends").expect("it ends in order");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.run.abort();
    }
}

/// Resolves when the one who holds the other end asks; never, where that is only dropped.
async fn asked_by_the_test(asked: oneshot::Receiver<()>) -> &'static str {
    match asked.await {
        Ok(()) => "the test",
        Err(_) => std::future::pending().await,
    }
}

impl Fleet {
    /// Founds a fleet of three authority nodes with a storage server, and returns once all is well. The machines run.
    pub async fn found() -> (Self, Vec<Running>) {
        let (folder, world) = (tempfile::tempdir().expect("a temporary folder"), world());
        let mut fleet = Self { folder, world, token: None };
        let founding = Founding { world: &fleet.world, directory: &fleet.node(1), config: config(1), license_key: None };
        let founded = found(founding).expect("a cluster");
        let mut running = vec![fleet.run_node(1)];
        fleet.claim_setup(&founded.setup_secret_file).await;
        for node in [2, 3] {
            fleet.join(node).await;
            running.push(fleet.run_node(node));
        }
        let key_file = founded.license_key_file.expect("the key was made here");
        let license_key = read_license_key(&*fleet.world.files, &key_file).expect("the key");
        let made = storage_server::make(&fleet.world, &fleet.server(), settings(), &license_key).expect("a storage server");
        running.push(fleet.run_server());
        fleet.add_server(made.line).await;
        fleet.until_all_is_well().await;
        (fleet, running)
    }

    /// Runs all of its machines.
    pub fn run(&self) -> Vec<Running> {
        NODES.into_iter().map(|node| self.run_node(node)).chain([self.run_server()]).collect()
    }

    /// Waits until each of the nodes says that there is a leader and that all of them vote, and that the server is online.
    pub async fn until_all_is_well(&self) {
        for node in NODES {
            let client = self.client([node]);
            until("the cluster is whole and the server online", async || {
                let status: Status = client.get("status", &()).await.ok()?.json().ok()?;
                let servers: Page<Server> = client.get("servers", &ListQuery::default()).await.ok()?.json().ok()?;
                let voting = status.members.iter().filter(|member| member.intent == MemberIntent::Voting).count();
                let online = servers.items.iter().filter(|server| server.condition == ServerCondition::Online).count();
                (status.leader.is_some() && voting == NODES.len() && online == 1).then_some(())
            })
            .await;
        }
    }

    /// Reads how things were, of which each node keeps what it made for a while, and the events of all that happens.
    pub async fn read_past_and_events(&self) -> Vec<EventReader> {
        let mut readers = Vec::new();
        for node in NODES {
            let client = self.client([node]);
            let then = ReadQuery { as_of: Some("2".into()), ..ReadQuery::default() };
            client.get("sites", &then).await.expect("the sites as they were");
            let mut reader = client.events(EventsQuery::default());
            reader.next().await.expect("the first event");
            readers.push(reader);
        }
        readers
    }

    /// Changes something, which shows that a majority works.
    pub async fn change_something(&self, name: &str) {
        let site = CreateSite { name: name.into(), expected_latency_ms: 5 };
        self.client(NODES).post("sites", &site, Change::default()).await.expect("a site");
    }

    fn run_node(&self, node: u64) -> Running {
        let (world, root) = (self.world.clone(), self.node(node));
        Running::start(|asked| async move { authority::run(&world, &root, asked_by_the_test(asked)).await })
    }

    fn run_server(&self) -> Running {
        let (world, root) = (self.world.clone(), self.server());
        Running::start(|asked| async move { storage_server::run(&world, &root, asked_by_the_test(asked)).await })
    }

    /// Makes the first administrator.
    async fn claim_setup(&mut self, setup_secret_file: &Path) {
        let secret = self.world.files.read_private(setup_secret_file, 1024).expect("the setup secret");
        let setup_secret = Some(Secret::new(String::from_utf8(secret).expect("a text")));
        let asked = IssueToken { name: "administrator".into(), expires_at: None, setup_secret };
        let client = self.client([1]);
        until("node 1 is ready", async || client.probe("/readyz").await.ok()).await;
        let issued = client.post("tokens", &asked, Change::default()).await.expect("a token");
        self.token = Some(issued.json::<IssuedToken>().expect("a token").secret);
    }

    async fn join(&self, node: u64) {
        let invited = self.client([1]).post("cluster/members", &InviteMember::default(), Change::default()).await;
        let invited: IssuedInvitation = invited.expect("an invitation").json().expect("an invitation");
        let joining = Joining {
            world: &self.world,
            directory: &self.node(node),
            config: config(node),
            invitation: invited.join_token.expose().parse().expect("a join token"),
            patience: PATIENCE,
        };
        assert_eq!(join(joining).await.expect("it is let in").0, node);
    }

    async fn add_server(&self, connection_string: Secret) {
        self.change_something("Dublin").await;
        let client = self.client(NODES);
        let destination = CreateDestination {
            name: "vault".into(),
            description: String::new(),
            site: 1,
            offered: None,
            balancing: Default::default(),
            free_space: Default::default(),
        };
        client.post("destinations", &destination, Change::default()).await.expect("a destination");
        let adding = AddServer { connection_string, name: None };
        client.post("destinations/1/servers", &adding, Change::default()).await.expect("it is added");
    }

    /// A client of these nodes.
    fn client<const N: usize>(&self, nodes: [u64; N]) -> Client {
        let urls = nodes.map(|node| NodeUrl::new(false, address(&format!("10.0.0.{node}:4285"))));
        let World { network, entropy, .. } = &self.world;
        let parts = ClientParts { network: Arc::clone(network), entropy: Arc::clone(entropy), trust: None };
        Client::new(ClientConfig::new(urls.to_vec(), self.token.clone()), parts).expect("a client")
    }

    fn node(&self, node: u64) -> PathBuf {
        self.folder.path().join(format!("authority-{node}"))
    }

    fn server(&self) -> PathBuf {
        self.folder.path().join("server")
    }
}

/// Waits until no task lives any more, of which the last ones end as soon as it is their turn.
pub async fn until_no_task_lives() {
    let metrics = Handle::current().metrics();
    let none = until("no task lives", async || (metrics.num_alive_tasks() == 0).then_some(()));
    timeout(Duration::from_secs(1), none).await.expect("no task waits for anything");
}

/// Asks again and again, in time that passes where nothing else happens.
async fn until<T>(what: &str, mut reached: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(reached) = reached().await {
                return reached;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("not seen: {what}"))
}

fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

fn config(node: u64) -> Config {
    let [peer, api, control] = [4283, 4285, 4288].map(|port| address(&format!("10.0.0.{node}:{port}")));
    Config {
        listen: Listen { peer: peer.clone(), api: api.clone(), control: control.clone() },
        advertised: Advertised { peer, api, control },
        plain_http_on_loopback: false,
        raft: RaftTiming::default(),
        checkpoints: Checkpoints::default(),
        fleet: FleetTiming::default(),
    }
}

fn settings() -> Settings {
    let [peer, transfer, control] = [4283, 4286, 4288].map(|port| address(&format!("10.0.1.1:{port}")));
    Settings {
        name: "store-1".into(),
        listen: bursar_agent::Listen { peer, transfer, control: control.clone() },
        advertised: bursar_agent::Advertised { primary: control, secondary: None },
    }
}
