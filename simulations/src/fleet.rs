//! A fleet in a world: the programs that production runs, on simulated machines.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bursar::World;
use bursar::authority::{self, Checkpoints, Config, DataDirectory, FleetTiming, Founding, Joining, Listen, RaftTiming};
use bursar::storage_server;
use bursar_agent::Settings;
use bursar_net::{Address, Files, MasterLicenseKey, TlsTransport, Trust};
use bursar_raft::Node;
use bursar_wire::Secret;
use bursar_wire::client::{Change, Client, ClientConfig, ClientError, ClientParts, NodeUrl};
use bursar_wire::cluster::{InviteMember, IssuedInvitation, MemberIntent};
use bursar_wire::destinations::{CreateDestination, Destination};
use bursar_wire::invitation::Invitation;
use bursar_wire::operations::{Operation, OperationStatus};
use bursar_wire::query::ReadQuery;
use bursar_wire::servers::AddServer;
use bursar_wire::sites::{CreateSite, Site};
use bursar_wire::status::Status;
use bursar_wire::store_points::{CreateStorePoint, StorePoint};
use bursar_wire::tokens::{IssueToken, IssuedToken};
use tokio::time::{Instant, sleep};

use crate::draws::Draws;
use crate::entropy::HostEntropy;
use crate::host::{Host, Parts};
use crate::network::{HostId, Internet};

/// Where a program keeps its data, on each machine.
const ROOT: &str = "/var/lib/bursar";
/// Where a storage server's disk for archives is mounted.
pub const ARCHIVES: &str = "/archives";
/// The process that each machine of a fleet runs.
pub const PROCESS: &str = "bursar";
const DISK_BYTES: u64 = 1 << 30;
const ARCHIVES_BYTES: u64 = 1 << 40;
/// How long after its end a process is started again, as a service manager does.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// The longest that a step of setting up the fleet takes while nothing goes wrong.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often somebody who waits looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
const SECRET_BYTES_MAX: usize = 1 << 10;
const CERTIFICATE_BYTES_MAX: usize = 1 << 16;

/// What a fleet is made of.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How many authority nodes, at least one.
    pub authority_nodes: usize,
    /// How many storage servers, each with a store point.
    pub storage_servers: usize,
    /// At how many sites.
    pub sites: usize,
    /// Raft's timing.
    pub raft: RaftTiming,
    /// How often the state is written down.
    pub checkpoints: Checkpoints,
    /// How servers are looked after.
    pub fleet: FleetTiming,
    /// How long work on a disk takes, in milliseconds, at most.
    pub job_ms: u64,
}

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

/// An authority node and its machine.
pub struct AuthorityNode {
    /// Its number.
    pub id: u64,
    /// Its machine.
    pub host: Host,
    /// What it is invited with; the first is not.
    invitation: Arc<OnceLock<Invitation>>,
    /// What ran there last.
    node: Arc<Mutex<Option<Node>>>,
}

impl AuthorityNode {
    /// The node, while its process runs.
    pub fn running(&self) -> Option<Node> {
        if self.host.is_running(PROCESS) { lock(&self.node).clone() } else { None }
    }

    /// Where people reach it.
    fn url(&self) -> NodeUrl {
        NodeUrl::new(true, address(&self.host, 4285))
    }
}

/// A storage server and its machine.
pub struct StorageServer {
    /// Its machine.
    pub host: Host,
    /// Its connection string, once it is made.
    connection_string: Arc<Mutex<Option<Secret>>>,
}

/// The machines, and what runs on them.
pub struct Fleet {
    /// The authority nodes, by their number less one.
    pub authority_nodes: Vec<AuthorityNode>,
    /// The storage servers.
    pub storage_servers: Vec<StorageServer>,
    internet: Internet,
    draws: Draws,
    /// The machine that operators sit at.
    desk: HostId,
}

/// What an operator needs to ask the authority for something.
#[derive(Clone)]
pub struct Access {
    token: Secret,
    ca_pem: Arc<[u8]>,
}

impl Fleet {
    /// Machines with programs that have not been started.
    pub fn new(shape: &Shape, license_key: &Arc<MasterLicenseKey>, internet: &Internet, draws: Draws, trace: &crate::trace::Trace) -> Self {
        let host = |name: String, index: usize| {
            Host::new(&name, index % shape.sites, DISK_BYTES, shape.job_ms, internet, draws, trace)
        };
        let authority_nodes = (0..shape.authority_nodes).map(|index| {
            let node = AuthorityNode {
                id: index as u64 + 1,
                host: host(format!("authority-{}", index + 1), index),
                invitation: Arc::default(),
                node: Arc::default(),
            };
            node.install(shape, license_key);
            node
        });
        let authority_nodes = authority_nodes.collect();
        let storage_servers = (0..shape.storage_servers).map(|index| {
            // All servers of a destination are at one site.
            let server = StorageServer { host: host(format!("server-{}", index + 1), 0), connection_string: Arc::default() };
            server.host.disks().mount(Path::new(ARCHIVES), ARCHIVES_BYTES);
            server.install(license_key);
            server
        });
        let storage_servers = storage_servers.collect();
        let desk = internet.attach("desk", 0);
        Self { authority_nodes, storage_servers, internet: internet.clone(), draws, desk }
    }

    /// Founds the cluster, lets all nodes and servers join, and gives each server a store point. Nothing may go wrong meanwhile.
    pub async fn set_up(&self) -> Result<Access, SetUpError> {
        let access = self.found().await?;
        let client = self.client("set-up", &access, 0);
        for node in &self.authority_nodes[1..] {
            let invited = done("inviting a node", client.post("cluster/members", &InviteMember::default(), Change::default())).await?;
            let invited: IssuedInvitation = parsed("inviting a node", invited.json())?;
            let invitation = invited.join_token.expose().parse().expect("the API issues well-formed join tokens");
            node.invitation.set(invitation).expect("a node is invited once");
            node.host.start(PROCESS);
            self.until_voting(&client, node.id).await?;
        }
        let site = CreateSite { name: "Home".into(), expected_latency_ms: 2 };
        let site: Site = parsed("making a site", done("making a site", client.post("sites", &site, Change::default())).await?.json())?;
        let destination = CreateDestination { name: "Main".into(), site: site.id, ..CreateDestination::default() };
        let made = done("making a destination", client.post("destinations", &destination, Change::default())).await?;
        let destination: Destination = parsed("making a destination", made.json())?;
        for server in &self.storage_servers {
            server.host.start(PROCESS);
            let string = until("a storage server is made", async || lock(&server.connection_string).clone()).await?;
            self.take_in(&client, destination.id, server, string).await?;
        }
        Ok(access)
    }

    async fn found(&self) -> Result<Access, SetUpError> {
        let first = &self.authority_nodes[0];
        first.host.start(PROCESS);
        let files = first.host.disks().files(1);
        let kept = |name: &str| Path::new(ROOT).join(name);
        until("the first node is made", async || first.running()).await?;
        let ca_pem: Arc<[u8]> = files.read(&kept("ca.crt"), CERTIFICATE_BYTES_MAX)?.into();
        let secret = files.read_private(&kept("setup-secret"), SECRET_BYTES_MAX)?;
        let nobody = Access { token: Secret::new(String::new()), ca_pem: Arc::clone(&ca_pem) };
        let client = self.client("founder", &nobody, 0);
        let request = IssueToken {
            name: "operator".into(),
            expires_at: None,
            setup_secret: Some(Secret::new(String::from_utf8_lossy(&secret).into_owned())),
        };
        let issued = until("the first node is ready", async || client.probe("/readyz").await.ok());
        issued.await?;
        let issued = done("making the first token", client.post("tokens", &request, Change::default())).await?;
        let issued: IssuedToken = parsed("making the first token", issued.json())?;
        Ok(Access { token: issued.secret, ca_pem })
    }

    async fn until_voting(&self, client: &Client, id: u64) -> Result<(), SetUpError> {
        until("a node votes", async || {
            let status: Status = client.get("status", &()).await.ok()?.json().ok()?;
            status.members.iter().any(|member| member.id == id && member.intent == MemberIntent::Voting).then_some(())
        })
        .await
    }

    async fn take_in(&self, client: &Client, destination: u64, server: &StorageServer, string: Secret) -> Result<(), SetUpError> {
        let adding = AddServer { connection_string: string, name: None };
        let path = format!("destinations/{destination}/servers");
        let added = done("adding a server", client.post(&path, &adding, Change::default())).await?;
        let operation: Operation = parsed("adding a server", added.json())?;
        until("a server joins", async || {
            let path = format!("operations/{}", operation.id);
            let now: Operation = client.get(&path, &ReadQuery::default()).await.ok()?.json().ok()?;
            (now.status == OperationStatus::Succeeded).then_some(())
        })
        .await?;
        let found: bursar_wire::page::Page<bursar_wire::servers::Server> =
            done("listing servers", client.page("servers", &bursar_wire::query::ListQuery::default())).await?;
        let id = found.items.iter().find(|found| found.name == server.host.name()).expect("it was added").id;
        let making = CreateStorePoint { name: "archives".into(), path: ARCHIVES.into(), notes: String::new(), quota_bytes: None };
        let made = done("making a store point", client.post(&format!("servers/{id}/store-points"), &making, Change::default())).await?;
        let made: StorePoint = parsed("making a store point", made.json())?;
        until("a store point is online", async || {
            let path = format!("store-points/{}", made.id);
            let now: serde_json::Value = client.get(&path, &ReadQuery::default()).await.ok()?.json().ok()?;
            (now["condition"]["state"] == "online").then_some(())
        })
        .await
    }

    /// A client for an operator called `name`, who begins with the node at `first` and goes on to the others.
    pub fn client(&self, name: &str, access: &Access, first: usize) -> Client {
        let mut nodes: Vec<NodeUrl> = self.authority_nodes.iter().map(AuthorityNode::url).collect();
        let count = nodes.len();
        nodes.rotate_left(first % count);
        let clock = Arc::new(crate::clock::HostClock::new());
        let trust = Trust::in_authorities(&access.ca_pem, clock).expect("a node keeps a sound certificate of its authority");
        let parts = ClientParts {
            network: Arc::new(self.internet.of(self.desk)),
            entropy: Arc::new(HostEntropy::new(self.draws.stream(&format!("operator/{name}")))),
            trust: Some(trust),
        };
        let token = (!access.token.expose().is_empty()).then(|| access.token.clone());
        Client::new(ClientConfig::new(nodes, token), parts).expect("there are nodes, and somebody is trusted")
    }

    /// All machines.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.authority_nodes.iter().map(|node| &node.host).chain(self.storage_servers.iter().map(|server| &server.host))
    }

    /// The machine that operators sit at.
    pub fn desk(&self) -> HostId {
        self.desk
    }
}

impl AuthorityNode {
    fn install(&self, shape: &Shape, license_key: &Arc<MasterLicenseKey>) {
        let config = Config {
            listen: Listen { peer: anywhere(4283), api: anywhere(4285), control: anywhere(4288) },
            advertised: authority::Advertised {
                peer: address(&self.host, 4283),
                api: address(&self.host, 4285),
                control: address(&self.host, 4288),
            },
            plain_http_on_loopback: false,
            raft: shape.raft,
            checkpoints: shape.checkpoints,
            fleet: shape.fleet,
        };
        let (is_first, license_key) = (self.id == 1, Arc::clone(license_key));
        let (invitation, node) = (Arc::clone(&self.invitation), Arc::clone(&self.node));
        let program = move |parts: Parts| {
            let (config, license_key) = (config.clone(), Arc::clone(&license_key));
            let (invitation, node) = (Arc::clone(&invitation), Arc::clone(&node));
            let run = async move {
                let (world, root) = (world_of(parts), Path::new(ROOT));
                if !DataDirectory::exists(&world, root).map_err(told)? {
                    if is_first {
                        let license_key = MasterLicenseKey::parse(license_key.as_str()).expect("it was one before");
                        let founding = Founding { world: &world, directory: root, config, license_key: Some(license_key) };
                        authority::found(founding).map_err(told)?;
                    } else {
                        let invitation = invitation.get().expect("a node is started once it is invited").clone();
                        let joining = Joining { world: &world, directory: root, config, invitation, patience: PATIENCE };
                        authority::join(joining).await.map_err(told)?;
                    }
                }
                let watch = |started: &Node| *lock(&node) = Some(started.clone());
                authority::run_watched(&world, root, std::future::pending(), watch).await.map_err(told)
            };
            Box::pin(run) as futures_util::future::BoxFuture<'static, Result<(), String>>
        };
        self.host.install(PROCESS, Some(RESTART_AFTER), Arc::new(program));
    }
}

impl StorageServer {
    fn install(&self, license_key: &Arc<MasterLicenseKey>) {
        let settings = Settings {
            name: self.host.name().to_owned(),
            listen: bursar_agent::Listen { peer: anywhere(4283), transfer: anywhere(4286), control: anywhere(4288) },
            advertised: bursar_agent::Advertised { primary: address(&self.host, 4288), secondary: None },
        };
        let (license_key, string) = (Arc::clone(license_key), Arc::clone(&self.connection_string));
        let program = move |parts: Parts| {
            let (settings, license_key, string) = (settings.clone(), Arc::clone(&license_key), Arc::clone(&string));
            let run = async move {
                let (world, root) = (world_of(parts), Path::new(ROOT));
                if lock(&string).is_none() {
                    let issued = storage_server::make(&world, root, settings, &license_key).map_err(told)?;
                    *lock(&string) = Some(issued.line);
                }
                storage_server::run(&world, root, std::future::pending()).await.map_err(told)
            };
            Box::pin(run) as futures_util::future::BoxFuture<'static, Result<(), String>>
        };
        self.host.install(PROCESS, Some(RESTART_AFTER), Arc::new(program));
    }
}

/// What production takes of the world, from what a process is given.
fn world_of(parts: Parts) -> World {
    let Parts { network, clock, entropy, blocking, loose, files, volumes, engines } = parts;
    let transport = Arc::new(TlsTransport::new(Arc::clone(&clock)));
    World { clock, entropy, network, transport, blocking, files, engines, volumes, loose }
}

fn address(host: &Host, port: u16) -> Address {
    Address::new(host.name(), port).expect("the name of a machine")
}

fn anywhere(port: u16) -> Address {
    Address::new("0.0.0.0", port).expect("an address of numbers")
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

    use super::*;
    use crate::network::Distances;
    use crate::runtime::simulate;
    use crate::trace::Trace;

    #[test]
    fn a_fleet_is_set_up_by_the_programs_of_production() {
        let shape = Shape {
            authority_nodes: 3,
            storage_servers: 2,
            sites: 2,
            raft: RaftTiming::default(),
            checkpoints: Checkpoints::default(),
            fleet: FleetTiming::default(),
            job_ms: 2,
        };
        let real = std::time::Instant::now();
        let (passed, digest) = simulate(1, || async move {
            let lines = std::env::var_os("BURSAR_TRACE").map(|path| Box::new(std::fs::File::create(path).unwrap()) as Box<dyn std::io::Write + Send>);
            let (draws, trace) = (Draws::of_seed(1), Trace::begin(lines));
            let _logged = tracing::subscriber::set_default(trace.subscriber());
            let distances = Distances { latency_ms: vec![vec![1, 5], vec![5, 1]], jitter_ms: 1, buffer_bytes: 1 << 16 };
            let internet = Internet::new(distances, draws, trace.clone());
            tokio::spawn(internet.carry());
            let license_key = Arc::new(MasterLicenseKey::parse("BURSAR-SIMULATED-FLEET").unwrap());
            let fleet = Fleet::new(&shape, &license_key, &internet, draws, &trace);
            let begun = Instant::now();
            fleet.set_up().await.unwrap();
            (begun.elapsed(), trace.digest())
        });
        eprintln!("{passed:?} in {:?}: {digest}", real.elapsed());
        assert!(passed < PATIENCE);
    }
}
