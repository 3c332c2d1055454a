//! The demo's nodes: making them, starting them, ending them.

use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};

use bursar_net::{Address, DiskFiles, FileError, Files, SystemClock, SystemEntropy, TcpNetwork};
use bursar_wire::{
    Secret,
    client::{Change, Client, ClientConfig, ClientError, ClientParts},
    cluster::{InviteMember, IssuedInvitation, MemberIntent},
    destinations::CreateDestination,
    invitation::Invitation,
    query::ReadQuery,
    sites::{CreateSite, Site},
    status::Status,
    tokens::{IssueToken, IssuedToken},
};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{Credentials, DemoError, ports, process::Process};
use crate::{
    arguments::Ports,
    authority::{Advertised, Config, DataDirectory, Founding, Joining, Listen, RaftTiming, found, join},
};

/// How many authority nodes the demo has.
const NODES: u64 = 3;
/// One for the other nodes, one for people.
const PORTS_PER_NODE: u16 = 2;
/// How long a node may take to answer, and the cluster to be complete.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often to look again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The demo's nodes.
pub struct Fleet {
    folder: PathBuf,
    ports: Ports,
    first_port: Option<u16>,
    talkative: bool,
    processes: Vec<Process>,
}

impl Fleet {
    /// The fleet of a demo's folder, not yet started.
    pub fn new(folder: PathBuf, ports: Ports, talkative: bool) -> Self {
        Self { folder, ports, first_port: None, talkative, processes: Vec::new() }
    }

    /// The running processes.
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// Starts all nodes; the first time makes them, and something to look at. Returns once the cluster is complete.
    pub async fn start(&mut self) -> Result<Credentials, DemoError> {
        self.refuse_running()?;
        let first_time = !self.has_node(1)?;
        if first_time {
            self.tell("founding a cluster");
            let directory = self.directory(1);
            let config = self.config(1)?;
            found(Founding {
                directory: &directory,
                config,
                license_key: None,
                clock: &SystemClock,
                entropy: &SystemEntropy::new(),
            })?;
        }
        self.start_node(1)?;
        let claimed = self.folder.join(super::CREDENTIALS_FILE);
        let mut credentials =
            if DiskFiles.exists(&claimed)? { Credentials::read(&self.folder)? } else { self.claim_setup().await? };

        // Those that exist are started before the cluster is asked for anything: without them there may be no quorum.
        for node in 2..=NODES {
            if self.has_node(node)? {
                self.start_node(node)?;
            }
        }
        let client = self.client(Some(&credentials.token))?;
        for node in 2..=NODES {
            if !self.has_node(node)? {
                self.join_node(&client, node).await?;
                self.start_node(node)?;
            }
        }
        let client = self.client(Some(&credentials.token))?;
        self.tell("waiting until all nodes vote");
        self.wait_until_complete(&client).await?;
        furnish(&client).await?;
        credentials.urls = self.processes.iter().map(|process| process.api().to_owned()).collect();
        credentials.write(&self.folder)?;
        Ok(credentials)
    }

    /// Stays until `end` comes; says so when a node ends by itself.
    pub async fn watch(&mut self, end: impl Future<Output = ()>) {
        let mut ended: Vec<u64> = Vec::new();
        tokio::pin!(end);
        loop {
            let running = self.processes.iter_mut().filter(|process| !ended.contains(&process.id()));
            let mut waits = running.map(|process| Box::pin(async { (process.id(), process.ended().await) })).collect::<Vec<_>>();
            if waits.is_empty() {
                end.await;
                return;
            }
            let (node, status) = tokio::select! {
                () = &mut end => return,
                first = first_of(&mut waits) => first,
            };
            drop(waits);
            let directory = self.directory(node);
            eprintln!(
                "authority node {node} ended ({status}); start it again with: bursar authority run --dir {}",
                directory.display()
            );
            ended.push(node);
        }
    }

    /// Ends all nodes.
    pub async fn end(&mut self) {
        for process in &mut self.processes {
            process.end().await;
        }
    }

    /// A node's lock tells who runs it; a demo does not start over the nodes of another one.
    fn refuse_running(&self) -> Result<(), DemoError> {
        for node in 1..=NODES {
            if self.has_node(node)? {
                match DataDirectory::open(&self.directory(node)) {
                    Ok(_free) => {}
                    Err(crate::authority::DirectoryError::File(FileError::Locked { .. })) => {
                        return Err(DemoError::Runs { folder: self.folder.clone(), node });
                    }
                    Err(other) => return Err(other.into()),
                }
            }
        }
        Ok(())
    }

    fn has_node(&self, node: u64) -> Result<bool, DemoError> {
        Ok(DataDirectory::exists(&self.directory(node))?)
    }

    fn directory(&self, node: u64) -> PathBuf {
        self.folder.join(format!("authority-{node}"))
    }

    fn config(&mut self, node: u64) -> Result<Config, DemoError> {
        let place = u16::try_from(node - 1).expect("a handful of nodes");
        let (peer, api) = match self.ports {
            Ports::Customary => (4283 + place * 1_000, 4285 + place * 1_000),
            Ports::Auto => {
                let first = self.first_port()?;
                (first + place * PORTS_PER_NODE, first + place * PORTS_PER_NODE + 1)
            }
        };
        let loopback = |port| Address::new("127.0.0.1", port).expect("an address of numbers");
        Ok(Config {
            listen: Listen { peer: loopback(peer), api: loopback(api) },
            advertised: Advertised { peer: loopback(peer), api: loopback(api) },
            plain_http_on_loopback: true,
            raft: RaftTiming::default(),
        })
    }

    /// The first of the ports that this demo took.
    fn first_port(&mut self) -> Result<u16, DemoError> {
        if let Some(first) = self.first_port {
            return Ok(first);
        }
        let taken = ports::take_block(&self.folder);
        let first = taken.map_err(|source| DemoError::System { action: "find free ports", source })?;
        self.first_port = Some(first);
        Ok(first)
    }

    fn start_node(&mut self, node: u64) -> Result<(), DemoError> {
        self.tell(&format!("starting authority node {node}"));
        let directory = self.directory(node);
        let config = Config::read(&DiskFiles, &directory).map_err(crate::authority::DirectoryError::from)?;
        let api = format!("http://{}", config.advertised.api);
        self.processes.push(Process::start(node, &directory, api, config.advertised.peer.to_string())?);
        Ok(())
    }

    /// Makes the first administrator, and writes the credentials down.
    async fn claim_setup(&mut self) -> Result<Credentials, DemoError> {
        let client = self.client(None)?;
        let secret = DiskFiles.read_private(&self.directory(1).join("setup-secret"), 1024)?;
        let request = IssueToken {
            name: "demo administrator".into(),
            expires_at: None,
            setup_secret: Some(Secret::new(String::from_utf8_lossy(&secret).into_owned())),
        };
        // It answers before it has founded the cluster.
        self.wait_for("authority node 1 is not ready", async || client.probe("/readyz").await.is_ok()).await?;
        let issued: IssuedToken = client.post("tokens", &request, Change::default()).await?.json()?;
        let url = self.processes[0].api().to_owned();
        let credentials = Credentials { urls: vec![url.clone()], url, token: issued.secret.expose().to_owned() };
        credentials.write(&self.folder)?;
        Ok(credentials)
    }

    async fn join_node(&mut self, client: &Client, node: u64) -> Result<(), DemoError> {
        self.tell(&format!("authority node {node} joins"));
        let invited = client.post("cluster/members", &InviteMember::default(), Change::default()).await?;
        let token = invited.json::<IssuedInvitation>()?.join_token;
        let invitation: Invitation = token.expose().parse().expect("the API issues well-formed join tokens");
        join(Joining {
            directory: &self.directory(node),
            config: self.config(node)?,
            invitation,
            patience: PATIENCE,
            clock: Arc::new(SystemClock),
            entropy: &SystemEntropy::new(),
            network: Arc::new(TcpNetwork),
        })
        .await?;
        Ok(())
    }

    async fn wait_until_complete(&mut self, client: &Client) -> Result<(), DemoError> {
        let client = client.clone();
        self.wait_for("the cluster is not complete", async || {
            let status = client.get("status", &()).await.and_then(|answer| answer.json::<Status>());
            status.is_ok_and(|status| {
                status.leader.is_some()
                    && status.members.len() as u64 == NODES
                    && status.members.iter().all(|member| member.intent == MemberIntent::Voting)
            })
        })
        .await?;
        // And each of them answers, with all that the others know.
        for index in 0..self.processes.len() {
            let node = self.client_of(index)?;
            self.wait_for("a node does not answer", async || node.get("sites", &ReadQuery::default()).await.is_ok()).await?;
        }
        Ok(())
    }

    /// Asks again and again, as long as all processes run and patience lasts.
    async fn wait_for(&mut self, what: &str, mut reached: impl AsyncFnMut() -> bool) -> Result<(), DemoError> {
        let deadline = Instant::now() + PATIENCE;
        while !reached().await {
            for process in &mut self.processes {
                process.must_run()?;
            }
            if Instant::now() >= deadline {
                let log = self.processes.first().map(|process| process.log().to_owned()).unwrap_or_default();
                return Err(DemoError::Slow { what: what.to_owned(), waited: PATIENCE, log });
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    fn client(&self, token: Option<&str>) -> Result<Client, ClientError> {
        self.client_for(self.processes.iter(), token)
    }

    fn client_of(&self, index: usize) -> Result<Client, DemoError> {
        let token = Credentials::read(&self.folder)?.token;
        Ok(self.client_for([&self.processes[index]].into_iter(), Some(&token))?)
    }

    fn client_for<'p>(&self, processes: impl Iterator<Item = &'p Process>, token: Option<&str>) -> Result<Client, ClientError> {
        let nodes = processes.map(|process| process.api().parse().expect("the demo's URLs are well-formed")).collect();
        let token = token.map(|token| Secret::new(token.to_owned()));
        Client::new(ClientConfig::new(nodes, token), ClientParts::real(None))
    }

    fn tell(&self, what: &str) {
        if self.talkative {
            eprintln!("{what} …");
        }
    }
}

/// Two sites and a destination, unless they are there already.
async fn furnish(client: &Client) -> Result<(), ClientError> {
    let dublin = make(client, "sites", "demo-site-1", &CreateSite { name: "Dublin".into(), expected_latency_ms: 2 }).await?;
    make(client, "sites", "demo-site-2", &CreateSite { name: "Frankfurt".into(), expected_latency_ms: 12 }).await?;
    if let Some(dublin) = dublin {
        let site: Site = dublin.json()?;
        let destination = CreateDestination { name: "Main".into(), site: site.id, ..CreateDestination::default() };
        make(client, "destinations", "demo-destination-1", &destination).await?;
    }
    Ok(())
}

/// Makes something, once: `None` where its name is taken, so it is there already.
async fn make(
    client: &Client,
    path: &str,
    request_id: &str,
    request: &impl Serialize,
) -> Result<Option<bursar_wire::client::Answer>, ClientError> {
    let change = Change { request_id: Some(request_id.to_owned()), ..Change::default() };
    match client.post(path, request, change).await {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::Problem { problem, .. }) if problem.code == "name_taken" => Ok(None),
        Err(other) => Err(other),
    }
}

/// The first of several futures that is done.
async fn first_of<T, F: Future<Output = T> + Unpin>(futures: &mut [F]) -> T {
    std::future::poll_fn(|context| {
        let ready = futures.iter_mut().find_map(|future| match std::pin::Pin::new(future).poll(context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        });
        ready.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    })
    .await
}
