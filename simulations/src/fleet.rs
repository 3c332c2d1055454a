//! A fleet in a world: the programs that production runs, on simulated machines.

mod authority_nodes;
mod backup;
mod members;
mod servers;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bursar::authority::{Checkpoints, FleetTiming, RaftTiming};
use bursar_agent::{ProjectionFile, Saved};
use bursar_domain::{ServerId, State};
use bursar_net::{Address, Files, MasterLicenseKey, TlsTransport, Transport, Trust};
use bursar_wire::Secret;
use bursar_wire::client::{Change, Client, ClientConfig, ClientError, ClientParts, NodeUrl};
use bursar_wire::destinations::{CreateDestination, Destination};
use bursar_wire::operations::{Operation, OperationStatus};
use bursar_wire::query::ReadQuery;
use bursar_wire::servers::AddServer;
use bursar_wire::sites::{CreateSite, Site};
use bursar_wire::store_points::{CreateStorePoint, StorePoint, StorePointCondition};
use bursar_wire::tokens::{IssueToken, IssuedToken};
use futures_util::future::try_join_all;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, sleep};

use crate::clear::Clear;
use crate::clock::HostClock;
use crate::draws::Draws;
use crate::entropy::HostEntropy;
use crate::host::{Host, Parts, Program};
use crate::network::{HostId, Internet};
use crate::plan::{Plan, Role};
use crate::secrets::Secrets;
use crate::world::World;
use servers::Introduction;

pub use authority_nodes::AuthorityNode;
pub use servers::StorageServer;

/// The customary ports, of the first process on a machine; those of the next are so many higher.
const PEER_PORT: u16 = 4283;
const API_PORT: u16 = 4285;
const TRANSFER_PORT: u16 = 4286;
const CONTROL_PORT: u16 = 4288;
const PORTS_APART: u16 = 10;
/// The longest that a step of setting up the fleet takes while nothing goes wrong.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often somebody who waits looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const SECRET_BYTES_MAX: usize = 1 << 10;
const CERTIFICATE_BYTES_MAX: usize = 1 << 16;

/// Why the fleet was not set up although nothing went wrong with the world.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// What the API answered.
    #[error("while {0}: {1}")]
    Refused(&'static str, ClientError),
    /// Nothing came of it.
    #[error("it did not happen within {patience_s} s that {0}", patience_s = PATIENCE.as_secs())]
    Slow(&'static str),
    /// A program left no file where it should.
    #[error(transparent)]
    File(#[from] bursar_net::FileError),
}

/// A process of the plan, and where it runs.
#[derive(Clone)]
pub struct Place {
    /// The process, as the plan calls it.
    pub process: String,
    /// Its machine.
    pub host: Host,
    /// How many other processes there are on the machine before it.
    index: u16,
}

/// The processes of a plan, and what they run.
pub struct Fleet {
    /// The authority nodes, by their number less one.
    pub authority_nodes: Vec<AuthorityNode>,
    /// The storage servers, by their number less one.
    pub storage_servers: Vec<StorageServer>,
    /// What must be read nowhere but where it is kept.
    pub secrets: Secrets,
    internet: Internet,
    draws: Draws,
    /// When the world began.
    born: Instant,
    settled: Settled,
    /// The machine that operators sit at.
    desk: HostId,
    /// Held by whoever takes a node in or out. Where more than one at a time had lost what it keeps, what was acknowledged may be lost.
    losing: AsyncMutex<()>,
}

/// What an operator needs to ask the authority for something.
#[derive(Clone)]
pub struct Access {
    /// The number of the token that they show.
    pub token_id: u64,
    token: Secret,
    ca_pem: Arc<[u8]>,
}

impl Fleet {
    /// Installs the programs of a world's plan, and starts none.
    pub fn install(world: &World, license_key: &Arc<MasterLicenseKey>) -> Self {
        let restart_after = Duration::from_millis(world.plan.knobs.restart_after_ms);
        let heartbeat_ms = world.plan.knobs.heartbeat_ms;
        let raft = RaftTiming { heartbeat_ms, election_ms_min: 4 * heartbeat_ms, election_ms_max: 8 * heartbeat_ms };
        let checkpoints = Checkpoints { every: world.plan.knobs.checkpoint_every, log_kept: world.plan.knobs.log_kept };
        let fleet = FleetTiming { detection_window_ms: world.plan.knobs.detection_window_ms };
        let settled = Settled { raft, checkpoints, fleet, tls: world.plan.knobs.tls, restart_after };
        let secrets = Secrets::default();
        secrets.text("the master license key", license_key.as_str(), &[]);
        let (mut authority_nodes, mut storage_servers) = (Vec::new(), Vec::new());
        for planned in &world.plan.topology.hosts {
            for (index, process) in (0..).zip(&planned.processes) {
                let place = Place { process: process.name.clone(), host: world.host(&planned.name).clone(), index };
                match process.role {
                    Role::Authority => {
                        let founds = authority_nodes.is_empty();
                        authority_nodes.push(AuthorityNode::install(place, founds, settled, license_key, &secrets));
                    }
                    Role::StorageServer => {
                        let own = |path: &&String| path.contains(&format!("/{}/", process.name));
                        let disks = planned.disks.iter().filter(own).cloned().collect();
                        storage_servers.push(StorageServer::install(place, disks, settled, license_key, &secrets));
                    }
                }
            }
        }
        let (desk, internet, draws) = (world.desk, world.internet.clone(), world.draws);
        let (born, losing) = (world.born, AsyncMutex::default());
        Self { authority_nodes, storage_servers, secrets, internet, draws, born, settled, desk, losing }
    }

    /// Founds the cluster, lets all nodes and servers join but for those nodes that the plan has join later, and gives each server a
    /// store point on each of its disks. Nothing may go wrong meanwhile.
    pub async fn set_up(&self, plan: &Plan) -> Result<Access, SetUpError> {
        let access = self.found().await?;
        let client = self.client("set-up", &access, 0);
        let is_late = |node: &&AuthorityNode| plan.faults.iter().any(|fault| fault.kind == node.joining_late());
        for node in self.authority_nodes[1..].iter().filter(|node| !is_late(node)) {
            self.take_in_node(&client, node).await?;
        }
        let site = CreateSite { name: "Home".into(), expected_latency_ms: 2 };
        let site: Site =
            parsed("making a site", done("making a site", client.post("sites", &site, Change::default())).await?.json())?;
        let destination = CreateDestination { name: "Main".into(), site: site.id, ..CreateDestination::default() };
        let made = done("making a destination", client.post("destinations", &destination, Change::default())).await?;
        let destination: Destination = parsed("making a destination", made.json())?;
        for server in &self.storage_servers {
            server.place.start();
        }
        let mut joining = Vec::new();
        for server in &self.storage_servers {
            let Introduction { connection_string, .. } = server.introduced().await?;
            // One after the other, for they are numbered as they are added.
            let operation = self.add(&client, destination.id, connection_string).await?;
            joining.push(self.furnish(&client, server, operation));
        }
        try_join_all(joining).await?;
        Ok(access)
    }

    async fn found(&self) -> Result<Access, SetUpError> {
        let first = &self.authority_nodes[0];
        first.place.start();
        let files = first.place.host.disks().files(1);
        let kept = |name: &str| first.place.root().join(name);
        until("the first node is made", async || first.running()).await?;
        let ca_pem: Arc<[u8]> = files.read(&kept("ca.crt"), CERTIFICATE_BYTES_MAX)?.into();
        let secret = files.read_private(&kept("setup-secret"), SECRET_BYTES_MAX)?;
        let setup_secret = Secret::new(String::from_utf8_lossy(&secret).into_owned());
        self.secrets.text("the setup secret", setup_secret.expose(), &[kept("setup-secret")]);
        let nobody = Access { token_id: 0, token: Secret::new(String::new()), ca_pem: Arc::clone(&ca_pem) };
        let client = self.client("founder", &nobody, 0);
        let request = IssueToken { name: "operator".into(), expires_at: None, setup_secret: Some(setup_secret) };
        let issued = until("the first node is ready", async || client.probe("/readyz").await.ok());
        issued.await?;
        let issued = done("making the first token", client.post("tokens", &request, Change::default())).await?;
        let issued: IssuedToken = parsed("making the first token", issued.json())?;
        self.secrets.text("the operators' token", issued.secret.expose(), &[]);
        Ok(Access { token_id: issued.id, token: issued.secret, ca_pem })
    }

    /// Adds a storage server, and gives the operation that takes it in.
    async fn add(&self, client: &Client, destination: u64, connection_string: Secret) -> Result<Operation, SetUpError> {
        let path = format!("destinations/{destination}/servers");
        let adding = AddServer { connection_string, name: None };
        let added = done("adding a server", client.post(&path, &adding, Change::default())).await?;
        parsed("adding a server", added.json())
    }

    /// Waits until a server was taken in by this operation, and gives it a store point on each of its disks.
    async fn furnish(&self, client: &Client, server: &StorageServer, operation: Operation) -> Result<(), SetUpError> {
        until("a server joins", async || {
            let path = format!("operations/{}", operation.id);
            let now: Operation = client.get(&path, &ReadQuery::default()).await.ok()?.json().ok()?;
            (now.status == OperationStatus::Succeeded).then_some(())
        })
        .await?;
        let id = operation.task.object.id;
        for (number, path) in (1..).zip(&server.disks) {
            self.make_store_point(client, id, format!("archives-{number}"), path.clone()).await?;
        }
        Ok(())
    }

    async fn make_store_point(&self, client: &Client, server: u64, name: String, path: String) -> Result<(), SetUpError> {
        const MAKING: &str = "making a store point";
        let making = CreateStorePoint { name, path, notes: String::new(), quota_bytes: None };
        let made = done(MAKING, client.post(&format!("servers/{server}/store-points"), &making, Change::default())).await?;
        let made: StorePoint = parsed(MAKING, made.json())?;
        until("a store point is online", async || {
            let path = format!("store-points/{}", made.id);
            let now: StorePoint = client.get(&path, &ReadQuery::default()).await.ok()?.json().ok()?;
            (now.condition == StorePointCondition::Online).then_some(())
        })
        .await
    }

    /// A client for an operator called `name`, who begins with the node at `first` and goes on to the others.
    pub fn client(&self, name: &str, access: &Access, first: usize) -> Client {
        let url = |node: &AuthorityNode| NodeUrl::new(self.settled.tls, node.place.address(API_PORT));
        let mut nodes: Vec<NodeUrl> = self.authority_nodes.iter().map(url).collect();
        let count = nodes.len();
        nodes.rotate_left(first % count);
        let trust = self.settled.tls.then(|| {
            let clock = Arc::new(HostClock::of_world(self.born));
            Trust::in_authorities(&access.ca_pem, clock).expect("a node keeps a sound certificate of its authority")
        });
        let parts = ClientParts {
            network: Arc::new(self.internet.of(self.desk)),
            entropy: Arc::new(HostEntropy::new(self.draws.stream(&format!("operator/{name}")))),
            trust,
        };
        let token = (!access.token.expose().is_empty()).then(|| access.token.clone());
        Client::new(ClientConfig::new(nodes, token), parts)
            .expect("there are nodes, and where they have TLS, somebody is trusted")
    }

    /// All processes, each with its machine.
    pub fn processes(&self) -> impl Iterator<Item = (&Host, &str)> {
        let nodes = self.authority_nodes.iter().map(|node| &node.place);
        let servers = self.storage_servers.iter().map(|server| &server.place);
        nodes.chain(servers).map(|place| (&place.host, place.process.as_str()))
    }

    /// The process that is this storage server.
    pub fn process_of(&self, server: ServerId) -> &str {
        let index = usize::try_from(server.0 - 1).expect("few servers");
        &self.storage_servers[index].place.process
    }

    /// What a storage server keeps of the fleet; nothing before it was told anything.
    pub fn kept_by(&self, server: ServerId) -> Result<Option<Saved>, String> {
        let index = usize::try_from(server.0 - 1).expect("few servers");
        let place = &self.storage_servers[index].place;
        let files: Arc<dyn Files> = Arc::new(place.host.disks().files(1));
        let directory = bursar_agent::DataDirectory::open(Arc::clone(&files), &place.root()).map_err(told)?;
        let store = directory.server().map_err(told)?.identity.store;
        ProjectionFile::new(files, place.root().join("projection"), store).load().map_err(told)
    }

    /// After how long a silence a server counts as one that does not answer, in milliseconds.
    pub fn detection_window_ms(&self) -> u64 {
        self.settled.fleet.detection_window_ms
    }

    /// The node that leads, as far as any knows of itself: the one with the newest term.
    pub fn leader(&self) -> Option<&AuthorityNode> {
        let leading = self.authority_nodes.iter().filter_map(|member| {
            let status = member.running()?.1.status();
            (status.role == bursar_raft::Role::Leader).then_some((status.term, member))
        });
        leading.max_by_key(|(term, _)| *term).map(|(_, member)| member)
    }

    /// Says what the key of the cluster's certificate authority is, which nothing keeps but sealed.
    pub fn confess_the_authoritys_key(&self, state: &State) {
        let mut keys = self.authority_nodes.iter().filter_map(|node| node.authority_key(state));
        if let Some(key) = keys.next() {
            self.secrets.private_key("the key of the cluster's certificate authority", &key, &[]);
        }
    }
}

/// The settings that all processes have alike.
#[derive(Clone, Copy)]
struct Settled {
    raft: RaftTiming,
    checkpoints: Checkpoints,
    fleet: FleetTiming,
    tls: bool,
    /// How long after it ended by itself a process is started again.
    restart_after: Duration,
}

impl Place {
    fn start(&self) {
        self.host.start(&self.process);
    }

    fn root(&self) -> PathBuf {
        Path::new("/var/lib").join(&self.process)
    }

    /// Where it is reached.
    fn address(&self, port: u16) -> Address {
        Address::new(self.host.name(), port + self.index * PORTS_APART).expect("the name of a machine")
    }

    /// Where it listens.
    fn anywhere(&self, port: u16) -> Address {
        Address::new("0.0.0.0", port + self.index * PORTS_APART).expect("an address of numbers")
    }
}

/// What a process runs, given the world as production knows it.
fn program<F>(tls: bool, run: impl Fn(bursar::World) -> F + Send + Sync + 'static) -> Program
where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    Arc::new(move |parts| Box::pin(run(world_of(parts, tls))))
}

/// What production takes of the world, from what a process is given.
fn world_of(parts: Parts, tls: bool) -> bursar::World {
    let Parts { network, clock, entropy, blocking, loose, files, volumes, engines } = parts;
    let transport: Arc<dyn Transport> = if tls { Arc::new(TlsTransport::new(Arc::clone(&clock))) } else { Arc::new(Clear) };
    bursar::World { clock, entropy, network, transport, blocking, files, engines, volumes, loose }
}

fn told(error: impl std::error::Error) -> String {
    error.to_string()
}

async fn done<T>(what: &'static str, asked: impl Future<Output = Result<T, ClientError>>) -> Result<T, SetUpError> {
    parsed(what, asked.await)
}

fn parsed<T>(what: &'static str, answer: Result<T, ClientError>) -> Result<T, SetUpError> {
    answer.map_err(|error| SetUpError::Refused(what, error))
}

async fn until<T>(what: &'static str, mut look: impl AsyncFnMut() -> Option<T>) -> Result<T, SetUpError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Some(found) => return Ok(found),
            None if Instant::now() >= deadline => return Err(SetUpError::Slow(what)),
            None => sleep(LOOK_AGAIN).await,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
