//! What the authority's nodes run on here: connections, blocking work and clocks that only the test moves, and the nodes.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bursar_domain::{
    Actor, AuthorityNodeId, Command, DestinationId, Hash, Level, Reply, RequestId, ServerId, State, Submission, Timestamp,
    TokenId,
    authority_node::{self, Facts, Intent},
    cluster, destination, join_token, operation, server, site, token,
};
use bursar_fleet::{Fleet, FleetConfig, FleetParts, Issuer, Observations};
use bursar_net::{
    Address, Blocking, BoxedStream, CertificateAuthority, ClusterId, ClusterKey, ConnectionLimits, ConnectionMeter, Credentials,
    Dialer, FRAME_BYTES_MAX, Job, LeafProfile, Listener, LocalNode, Member, Network, NodeKey, PeerIdentity, PeerPort,
    ShutdownTrigger, StoreId, SystemEntropy, TlsAcceptor, TlsConnector, TlsPinnedConnector, WallClock, Worker, serve_peers,
    shutdown_channel,
};
use bursar_raft::{Node, NodeConfig, Parts, Relayed};
use bursar_storage::{engine::MemoryEngine, ledger::Ledger, log::RaftLog};
use tokio::{
    io::duplex,
    sync::{Mutex as AsyncMutex, mpsc},
    task::JoinHandle,
    time::{Instant, timeout},
};

/// More than anything here takes, in time that passes at once where nothing else happens.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Whoever holds the first token.
pub const ADMINISTRATOR: Actor = Actor::Token(TokenId(1));
/// Where the servers are.
pub const DESTINATION: DestinationId = DestinationId(1);
/// The public half of the master license key, as far as the ledger looks at it.
pub const LICENSE_KEY: [u8; 32] = [1; 32];

const SEALED_FOR: &str = "a test";
const BUFFER_BYTES: usize = 64 << 10;
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

/// When the patience of a test is over.
pub fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// Connections within the process.
#[derive(Clone, Default)]
pub struct MemoryNetwork {
    listeners: Arc<Mutex<BTreeMap<String, mpsc::Sender<BoxedStream>>>>,
    /// By the addresses that are dead, the far ends of the connections to them, which stand for as long as this is held.
    dead: Arc<Mutex<BTreeMap<String, Vec<BoxedStream>>>>,
}

impl MemoryNetwork {
    /// From now on an address is dead: connections to it stand, and nobody says a word, whoever listens there.
    pub fn silence(&self, address: &Address) {
        self.dead.lock().unwrap().entry(address.to_string()).or_default();
    }
}

#[async_trait]
impl Network for MemoryNetwork {
    async fn connect(&self, address: &Address) -> io::Result<BoxedStream> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let (here, there) = duplex(BUFFER_BYTES);
        if let Some(standing) = self.dead.lock().unwrap().get_mut(&address.to_string()) {
            standing.push(Box::new(there));
            return Ok(Box::new(here));
        }
        let listener = self.listeners.lock().unwrap().get(&address.to_string()).cloned().ok_or_else(refused)?;
        listener.send(Box::new(there)).await.map_err(|_| refused())?;
        Ok(Box::new(here))
    }

    async fn bind(&self, address: &Address) -> io::Result<Box<dyn Listener>> {
        let (sender, streams) = mpsc::channel(64);
        // Whoever listened there before has ended, or hears nobody any more.
        self.listeners.lock().unwrap().insert(address.to_string(), sender);
        let local = address.to_string().parse().map_err(io::Error::other)?;
        Ok(Box::new(MemoryListener { streams: AsyncMutex::new(streams), local }))
    }
}

struct MemoryListener {
    streams: AsyncMutex<mpsc::Receiver<BoxedStream>>,
    local: SocketAddr,
}

#[async_trait]
impl Listener for MemoryListener {
    async fn accept(&self) -> io::Result<(BoxedStream, SocketAddr)> {
        match self.streams.lock().await.recv().await {
            Some(stream) => Ok((stream, self.local)),
            // Another one listens there now.
            None => std::future::pending().await,
        }
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

/// Blocking work as tasks of the test's one thread: while any is left, no time passes.
struct TaskBlocking;

impl Blocking for TaskBlocking {
    fn spawn(&self, job: Job) {
        tokio::spawn(async move { job() });
    }

    fn worker(&self, _name: &str) -> Arc<dyn Worker> {
        let (jobs, mut submitted) = mpsc::unbounded_channel::<Job>();
        tokio::spawn(async move {
            while let Some(job) = submitted.recv().await {
                job();
            }
        });
        Arc::new(TaskWorker(jobs))
    }
}

struct TaskWorker(mpsc::UnboundedSender<Job>);

impl Worker for TaskWorker {
    fn submit(&self, job: Job) {
        self.0.send(job).ok();
    }
}

/// A clock on the wall that goes with the test's time, and that can be put forward.
pub struct TestClock {
    beginning: Instant,
    ahead_ms: AtomicU64,
}

impl TestClock {
    pub fn put_forward(&self, span: Duration) {
        self.ahead_ms.fetch_add(u64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub fn now(&self) -> Timestamp {
        Timestamp(self.now_unix_ms())
    }
}

impl WallClock for TestClock {
    fn now_unix_ms(&self) -> u64 {
        let passed = u64::try_from(self.beginning.elapsed().as_millis()).unwrap();
        1_900_000_000_000 + passed + self.ahead_ms.load(Ordering::SeqCst)
    }
}

/// A cluster, and where it lives.
pub struct World {
    pub network: MemoryNetwork,
    pub clock: Arc<TestClock>,
    pub config: FleetConfig,
    id: ClusterId,
    authority: CertificateAuthority,
    cluster_key: ClusterKey,
    requests: AtomicU64,
}

/// A node that runs.
pub struct Running {
    pub node: Node,
    pub fleet: Fleet,
    trigger: ShutdownTrigger,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Ends the node.
    pub async fn stop(self) {
        self.node.shutdown().await;
        self.trigger.request();
        for task in self.tasks {
            task.abort();
        }
    }

    /// Waits until the node's state is as wanted, and gives what is wanted of it.
    pub async fn until<T>(&self, what: &str, mut wanted: impl FnMut(&State) -> Option<T>) -> T {
        let mut revisions = self.node.revisions();
        let mut found = None;
        let seen = revisions.wait_for(|_| {
            found = wanted(&self.node.latest());
            found.is_some()
        });
        timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("not seen: {what}")).unwrap();
        found.unwrap()
    }

    /// Waits until a server is as wanted.
    pub async fn until_server(&self, id: ServerId, wanted: server::Condition) {
        let is_so = |state: &State| state.servers().get(id).is_some_and(|row| row.condition == wanted).then_some(());
        self.until(&format!("{id} {wanted:?}"), is_so).await;
    }
}

/// Where a port of an authority node is.
pub fn address_of(node: u64, port: u16) -> Address {
    format!("10.0.0.{node}:{port}").parse().unwrap()
}

pub fn facts(node: u64) -> Facts {
    Facts {
        store: bursar_domain::StoreId([u8::try_from(node).unwrap(); 16]),
        peer_address: address_of(node, 4283).to_string(),
        api_address: address_of(node, 4285).to_string(),
        control_address: address_of(node, 4288).to_string(),
        version: "0.1.0".to_owned(),
        supported: Level::SUPPORTED,
    }
}

impl World {
    pub fn new() -> Self {
        // Shown with RUST_LOG, for whoever wants to know why a test fails; set once for all tests of the process.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let clock = Arc::new(TestClock { beginning: Instant::now(), ahead_ms: AtomicU64::new(0) });
        let (id, entropy) = (ClusterId::new("test").unwrap(), SystemEntropy::new());
        let authority = CertificateAuthority::create(&id, YEAR, clock.as_ref(), &entropy).unwrap();
        Self {
            network: MemoryNetwork::default(),
            clock,
            config: FleetConfig::default(),
            id,
            authority,
            cluster_key: ClusterKey::generate(&entropy),
            requests: AtomicU64::new(0),
        }
    }

    /// Calls as a member with these credentials.
    pub fn dialer(&self, credentials: &Credentials, member: Member, store: StoreId) -> Dialer {
        let clock = Arc::clone(&self.clock) as Arc<dyn WallClock>;
        Dialer {
            network: Arc::new(self.network.clone()),
            connector: Arc::new(TlsConnector::new(credentials, clock).unwrap()),
            me: self.local(member, store),
            frame_bytes_max: FRAME_BYTES_MAX,
        }
    }

    pub fn local(&self, member: Member, store: StoreId) -> LocalNode {
        LocalNode { cluster: self.id.clone(), member, store }
    }

    /// What the cluster certifies a member with that key by.
    pub fn certify(&self, member: Member, key: &NodeKey) -> Credentials {
        let identity = PeerIdentity { member, cluster: self.id.clone() };
        let profile = LeafProfile { identity, further_names: Vec::new(), lifetime: YEAR };
        let request = key.request().unwrap();
        let certificate = self.authority.issue(&request, &profile, self.clock.as_ref(), &SystemEntropy::new()).unwrap();
        Credentials::new(&certificate.pem, self.authority.certificate_pem(), key).unwrap()
    }

    /// Serves a port with these credentials until what this gives is aborted.
    pub async fn serve(&self, address: &Address, credentials: &Credentials, port: PeerPort) -> (ShutdownTrigger, JoinHandle<()>) {
        let listener = self.network.bind(address).await.unwrap();
        let clock = Arc::clone(&self.clock) as Arc<dyn WallClock>;
        let acceptor = Arc::new(TlsAcceptor::for_peers(credentials, clock).unwrap());
        let limits = ConnectionLimits { handshake_timeout: PATIENCE, ..ConnectionLimits::default() };
        let (trigger, shutdown) = shutdown_channel();
        (trigger, tokio::spawn(serve_peers(listener, acceptor, limits, ConnectionMeter::new(), port, shutdown)))
    }

    /// Starts an authority node on a new disk.
    pub async fn start(&self, id: u64) -> Running {
        let facts = facts(id);
        let (log, ledger) = (MemoryEngine::new(), MemoryEngine::new());
        RaftLog::make(&log, facts.store).unwrap();
        Ledger::make(&ledger, facts.store).unwrap();
        let blocking: Arc<dyn Blocking> = Arc::new(TaskBlocking);
        let log = RaftLog::open(Arc::new(log), facts.store, blocking.worker("raft-log"), 1 << 20).unwrap();
        let (ledger, recovered) = Ledger::open(Arc::new(ledger), facts.store).unwrap();

        let (member, store) = (Member::authority(id), StoreId(facts.store.0));
        let credentials = self.certify(member, &NodeKey::generate().unwrap());
        let dialer = Arc::new(self.dialer(&credentials, member, store));
        let clock = Arc::clone(&self.clock) as Arc<dyn WallClock>;
        let observations = Arc::new(Observations::new(self.config, Arc::clone(&clock)));
        let parts = Parts {
            wall_clock: Arc::clone(&clock),
            blocking,
            log,
            ledger,
            recovered,
            dialer: Arc::clone(&dialer),
            relayed: Arc::clone(&observations) as Arc<dyn Relayed>,
        };
        let node = Node::start(NodeConfig::new(AuthorityNodeId(id), facts), parts).await.unwrap();
        let issuer = Issuer {
            cluster_key: self.cluster_key.clone(),
            sealed_for: SEALED_FOR,
            lifetime: YEAR,
            clock: Arc::clone(&clock),
            entropy: Arc::new(SystemEntropy::new()),
        };
        let pinned = Arc::new(TlsPinnedConnector::new(Arc::clone(&clock)));
        let parts = FleetParts { clock, dialer, pinned, issuer, observations };
        let fleet = Fleet::new(node.clone(), self.config, parts);

        let peers = PeerPort {
            me: self.local(member, store),
            admission: node.admission(),
            lanes: node.lanes(),
            frame_bytes_max: FRAME_BYTES_MAX,
        };
        let control = PeerPort {
            me: self.local(member, store),
            admission: fleet.admission(),
            lanes: fleet.lanes(),
            frame_bytes_max: FRAME_BYTES_MAX,
        };
        let (trigger, peers) = self.serve(&address_of(id, 4283), &credentials, peers).await;
        let (control_trigger, control) = self.serve(&address_of(id, 4288), &credentials, control).await;
        let looking = fleet.clone();
        let duties = tokio::spawn(async move {
            // The control port is served for as long as the duties are done.
            let _served = control_trigger;
            match looking.look_after().await {}
        });
        Running { node, fleet, trigger, tasks: vec![peers, control, duties] }
    }

    /// Starts node 1, founds the cluster with it, and makes a destination and another one.
    pub async fn found(&self) -> Running {
        let first = self.start(1).await;
        first.node.found().await.unwrap();
        let key = self.authority.key_pem();
        let found = cluster::Command::Found {
            cluster: bursar_domain::ClusterId([9; 16]),
            license_key: LICENSE_KEY.to_vec(),
            ca_certificate: self.authority.certificate_pem().to_owned(),
            sealed_ca_key: self.cluster_key.seal(SEALED_FOR, key.as_bytes(), &SystemEntropy::new()),
            setup_secret: Hash::of(b"setup"),
            node: facts(1),
        };
        self.submit(&first, Actor::Founder, Command::Cluster(found)).await;
        let issue = token::Command::Issue {
            name: "administrator".to_owned(),
            secret: Hash::of(b"token"),
            expires_at: None,
            setup_secret: Some(Hash::of(b"setup")),
        };
        self.submit(&first, Actor::Founder, Command::Token(issue)).await;
        self.administer(&first, Command::Site(site::Command::Create { name: "Dublin".into(), expected_latency_ms: 5 })).await;
        for name in ["vault", "attic"] {
            let create = destination::Command::Create {
                name: name.into(),
                description: String::new(),
                site: bursar_domain::SiteId(1),
                offered: true,
                balancing: destination::Balancing::default(),
                free_space: destination::FreeSpaceThresholds::default(),
            };
            self.administer(&first, Command::Destination(create)).await;
        }
        first
    }

    /// A cluster of three voters; the first leads.
    pub async fn three(&self) -> Vec<Running> {
        let mut nodes = vec![self.found().await];
        for id in [2, 3] {
            let secret = Hash::of(&[u8::try_from(id).unwrap()]);
            let expires_at = self.clock.now().plus_ms(3_600_000);
            self.administer(&nodes[0], Command::JoinToken(join_token::Command::Issue { secret, expires_at })).await;
            let admit = authority_node::Command::Admit { secret, public_key: secret, facts: facts(id) };
            self.submit(&nodes[0], Actor::Joiner, Command::AuthorityNode(admit)).await;
            nodes.push(self.start(id).await);
        }
        for running in &nodes {
            let vote = |state: &State| {
                let voting = state.authority_nodes().iter().filter(|node| node.intent == Intent::Voting).count();
                (voting == 3).then_some(())
            };
            running.until("three nodes vote", vote).await;
        }
        nodes
    }

    /// Something that must be granted.
    pub async fn submit(&self, running: &Running, actor: Actor, command: Command) -> Reply {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let submission = Submission {
            actor,
            request: RequestId::parse(&format!("request-{number}")).unwrap(),
            fingerprint: Hash::of(format!("{command:?}").as_bytes()),
            expected: None,
            planned_on: None,
            command,
        };
        running.node.submit(submission, soon()).await.unwrap().outcome.unwrap()
    }

    pub async fn administer(&self, running: &Running, command: Command) -> Reply {
        self.submit(running, ADMINISTRATOR, command).await
    }
}

/// The operation with that number.
pub fn operation(state: &State, id: bursar_domain::OperationId) -> &operation::Operation {
    state.operations().get(id).expect("an operation")
}
