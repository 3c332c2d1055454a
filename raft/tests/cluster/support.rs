//! A cluster to test with: real loopback sockets and TLS, engines in memory that can be taken over by the next start.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bursar_domain::{
    Actor, AuthorityNodeId, Command, Hash, Level, Outcome, RequestId, Submission, Timestamp, TokenId,
    authority_node::{self, Facts},
    cluster, join_token, site, token,
};
use bursar_net::{
    Address, Blocking, CertificateAuthority, ClusterId, ConnectionLimits, ConnectionMeter, Credentials, Dialer, FRAME_BYTES_MAX,
    Lane, LeafProfile, Link, Listener, LocalNode, Member, Network, NodeKey, PeerIdentity, PeerPort, ShutdownTrigger, StoreId,
    SystemClock, SystemEntropy, TcpNetwork, ThreadBlocking, TlsAcceptor, TlsConnector, WallClock, serve_peers, shutdown_channel,
};
use bursar_raft::{Applied, Node, NodeConfig, NodeStatus, Parts, Relayed, Role, StartError, SubmitError};
use bursar_storage::{compare_ages, engine::MemoryEngine, ledger::Ledger, log::RaftLog};
use bytes::Bytes;
use tokio::{task::JoinHandle, time::Instant};

use crate::{cutting::Cuts, quiet::LEASE};

/// Long enough for anything on a busy machine; no test waits for it to pass.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long is rested between two looks at something that nobody tells of.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// After how long a silence a node asks for votes.
pub const ELECTION_TIMEOUT: Range<Duration> = Duration::from_millis(500)..Duration::from_millis(1_000);

/// Whoever holds the first token.
pub const ADMINISTRATOR: Actor = Actor::Token(TokenId(1));

/// When the patience of a test is over.
pub fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// What `look` finds, as soon as it finds it.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = soon();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not soon: {what}");
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// What a node rests on, beyond its process.
#[derive(Clone)]
pub struct Disk {
    pub log: MemoryEngine,
    pub ledger: MemoryEngine,
    pub store: [u8; 16],
}

impl Disk {
    pub fn new(store: u8) -> Self {
        let disk = Self { log: MemoryEngine::new(), ledger: MemoryEngine::new(), store: [store; 16] };
        RaftLog::make(&disk.log, bursar_domain::StoreId(disk.store)).unwrap();
        Ledger::make(&disk.ledger, bursar_domain::StoreId(disk.store)).unwrap();
        disk
    }
}

/// The certificate authority, and what was used by each node so far.
pub struct Cluster {
    pub id: ClusterId,
    authority: CertificateAuthority,
    /// What the nodes that are started from now on do otherwise.
    pub tune: fn(&mut NodeConfig),
    pub cuts: Cuts,
    addresses: Mutex<BTreeMap<u64, Address>>,
    clocks: Mutex<BTreeMap<u64, Arc<WrongClock>>>,
    requests: Mutex<u64>,
}

/// A clock that is wrong by so many milliseconds.
#[derive(Default)]
pub struct WrongClock(AtomicI64);

impl WallClock for WrongClock {
    fn now_unix_ms(&self) -> u64 {
        SystemClock.now_unix_ms().saturating_add_signed(self.0.load(Ordering::SeqCst))
    }
}

/// Answers what is relayed with its own number behind it.
struct Signing(u64);

#[async_trait]
impl Relayed for Signing {
    async fn answer(&self, message: Bytes) -> Option<Bytes> {
        Some([&message[..], b" ", self.0.to_string().as_bytes()].concat().into())
    }
}

/// A node that runs.
pub struct Running {
    pub node: Node,
    pub disk: Disk,
    pub address: Address,
    trigger: ShutdownTrigger,
    serving: JoinHandle<()>,
}

impl Running {
    /// Its number and its store.
    pub fn identity(&self) -> (u64, [u8; 16]) {
        (self.node.id().0, self.disk.store)
    }

    /// Ends the node in order, and gives what it leaves.
    pub async fn stop(self) -> Disk {
        self.node.shutdown().await;
        self.trigger.request();
        self.serving.await.expect("serving does not panic");
        self.disk
    }
}

impl Cluster {
    pub fn new(tune: fn(&mut NodeConfig)) -> Self {
        // Shown with RUST_LOG, for whoever wants to know why a test fails; set once for all tests of the process.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let id = ClusterId::new("test").unwrap();
        let year = Duration::from_secs(365 * 24 * 3_600);
        let authority = CertificateAuthority::create(&id, year, &SystemClock, &SystemEntropy::new()).unwrap();
        Self {
            id,
            authority,
            tune,
            cuts: Cuts::default(),
            addresses: Mutex::default(),
            clocks: Mutex::default(),
            requests: Mutex::default(),
        }
    }

    pub fn dialer(&self, id: u64, store: [u8; 16]) -> Dialer {
        let credentials = self.credentials(id);
        Dialer {
            network: self.cuts.network(id),
            connector: Arc::new(TlsConnector::new(&credentials, Arc::new(SystemClock)).unwrap()),
            me: self.local_node(id, store),
            frame_bytes_max: FRAME_BYTES_MAX,
        }
    }

    pub fn local_node(&self, id: u64, store: [u8; 16]) -> LocalNode {
        LocalNode { cluster: self.id.clone(), member: Member::authority(id), store: StoreId(store) }
    }

    fn credentials(&self, id: u64) -> Credentials {
        let key = NodeKey::generate().unwrap();
        let identity = PeerIdentity { member: Member::authority(id), cluster: self.id.clone() };
        let profile = LeafProfile { identity, further_names: Vec::new(), lifetime: Duration::from_secs(24 * 3_600) };
        let request = key.request().unwrap();
        let certificate = self.authority.issue(&request, &profile, &SystemClock, &SystemEntropy::new()).unwrap();
        Credentials::new(&certificate.pem, self.authority.certificate_pem(), &key).unwrap()
    }

    /// Calls `to` as the node with this number and this store.
    pub async fn call(&self, from: (u64, [u8; 16]), to: &Running, lane: Lane) -> Link {
        let (member, store) = (Member::authority(to.node.id().0), Some(StoreId(to.disk.store)));
        self.dialer(from.0, from.1).dial(&to.address, member, store, lane, PATIENCE).await.unwrap()
    }

    /// Makes the clock of a node wrong by so many milliseconds.
    pub fn set_clock_wrong(&self, id: u64, by_ms: i64) {
        self.clock(id).0.store(by_ms, Ordering::SeqCst);
    }

    fn clock(&self, id: u64) -> Arc<WrongClock> {
        Arc::clone(self.clocks.lock().unwrap().entry(id).or_default())
    }

    /// Lets the next start of node `id` take another port.
    pub fn forget_address(&self, id: u64) {
        self.addresses.lock().unwrap().remove(&id);
    }

    /// Starts node `id` on `disk`, where it was before if it was anywhere.
    pub async fn start(&self, id: u64, disk: Disk) -> Running {
        self.try_start(id, disk).await.unwrap()
    }

    /// Starts node `id` on `disk`, where it was before if it was anywhere, or says why it does not start.
    pub async fn try_start(&self, id: u64, disk: Disk) -> Result<Running, StartError> {
        let known = self.addresses.lock().unwrap().get(&id).cloned();
        let listener = match known {
            Some(known) => listen_again(&known).await,
            None => listen_anywhere().await,
        };
        self.try_start_on(listener, id, disk).await
    }

    /// Starts node `id` on `disk`, where `listener` listens, or says why it does not start.
    async fn try_start_on(&self, listener: Box<dyn Listener>, id: u64, disk: Disk) -> Result<Running, StartError> {
        let address = Address::from(listener.local_address().unwrap());
        self.addresses.lock().unwrap().insert(id, address.clone());
        self.cuts.listens(id, &address);

        let mut config = NodeConfig::new(AuthorityNodeId(id), facts(&address, disk.store));
        config.heartbeat = Duration::from_millis(100);
        config.election_timeout = ELECTION_TIMEOUT;
        (self.tune)(&mut config);
        let blocking = Arc::new(ThreadBlocking);
        let store = bursar_domain::StoreId(disk.store);
        let log = RaftLog::open(Arc::new(disk.log.clone()), store, blocking.worker("raft-log"), 1 << 20).unwrap();
        let (ledger, recovered) = Ledger::open(Arc::new(disk.ledger.clone()), store).unwrap();
        compare_ages(&log, &recovered.applied).unwrap();
        let parts = Parts {
            wall_clock: self.clock(id),
            blocking,
            log,
            ledger,
            recovered,
            dialer: Arc::new(self.dialer(id, disk.store)),
            relayed: Arc::new(Signing(id)),
        };
        let node = Node::start(config, parts).await?;

        let acceptor = Arc::new(TlsAcceptor::for_peers(&self.credentials(id), Arc::new(SystemClock)).unwrap());
        let limits = ConnectionLimits { handshake_timeout: PATIENCE, ..Default::default() };
        let port = PeerPort {
            me: self.local_node(id, disk.store),
            admission: node.admission(),
            lanes: node.lanes(),
            frame_bytes_max: FRAME_BYTES_MAX,
        };
        let (trigger, shutdown) = shutdown_channel();
        let serving = tokio::spawn(serve_peers(listener, acceptor, limits, ConnectionMeter::new(), port, shutdown));
        Ok(Running { node, disk, address, trigger, serving })
    }

    /// Starts node 1 and founds the cluster with it.
    pub async fn found(&self) -> Running {
        let first = self.start(1, Disk::new(1)).await;
        first.node.found().await.unwrap();
        let node = facts(&first.address, first.disk.store);
        let command = cluster::Command::Found {
            cluster: bursar_domain::ClusterId([9; 16]),
            license_key: vec![1; 32],
            ca_certificate: self.authority.certificate_pem().to_owned(),
            sealed_ca_key: vec![2; 64],
            setup_secret: Hash::of(b"setup"),
            node,
        };
        self.submit(&first.node, Actor::Founder, Command::Cluster(command)).await.unwrap().outcome.unwrap();
        let first_token = token::Command::Issue {
            name: "administrator".to_owned(),
            secret: Hash::of(b"token"),
            expires_at: None,
            setup_secret: Some(Hash::of(b"setup")),
        };
        self.submit(&first.node, Actor::Founder, Command::Token(first_token)).await.unwrap().outcome.unwrap();
        first
    }

    /// Admits a machine and starts it; it becomes a voter by the duty.
    pub async fn join(&self, through: &Node, store: u8) -> Running {
        let disk = Disk::new(store);
        let secret = Hash::of(&[store]);
        let expires_at = Timestamp(SystemClock.now_unix_ms()).plus_ms(3_600_000);
        let issue = Command::JoinToken(join_token::Command::Issue { secret, expires_at });
        self.submit(through, ADMINISTRATOR, issue).await.unwrap().outcome.unwrap();
        // The number is not known before the admission, which tells the address: what listens there is kept, for another might
        // take the port meanwhile. Whoever calls already waits until the node is there.
        let listener = listen_anywhere().await;
        let address = Address::from(listener.local_address().unwrap());
        let admit = Command::AuthorityNode(authority_node::Command::Admit {
            secret,
            facts: facts(&address, disk.store),
            public_key: Hash::of(&disk.store),
        });
        let admitted = self.submit(through, Actor::Joiner, admit).await.unwrap().outcome.unwrap();
        self.try_start_on(listener, admitted.object.number(), disk).await.unwrap()
    }

    /// A cluster of three voters, in the order of their numbers.
    pub async fn three(&self) -> [Running; 3] {
        let first = self.found().await;
        let second = self.join(&first.node, 2).await;
        let third = self.join(&first.node, 3).await;
        let nodes = [first, second, third];
        for running in &nodes {
            let voting = running.node.status_when(soon(), |status| status.voters.len() == 3 && status.recovered);
            voting.await.expect("three nodes vote soon");
        }
        // The last change of the membership is in the ledger, too.
        let settled = |state: &bursar_domain::State| {
            let voting = |node: &Arc<authority_node::AuthorityNode>| node.intent == authority_node::Intent::Voting;
            state.authority_nodes().iter().filter(|node| voting(node)).count() == 3
        };
        for running in &nodes {
            let mut revisions = running.node.revisions();
            let seen = tokio::time::timeout(PATIENCE, revisions.wait_for(|_| settled(&running.node.latest())));
            seen.await.expect("three nodes are settled soon").unwrap();
        }
        nodes
    }

    pub async fn submit(&self, node: &Node, actor: Actor, command: Command) -> Result<Applied, SubmitError> {
        node.submit(self.submission(actor, command), soon()).await
    }

    /// A submission with a request id of its own.
    pub fn submission(&self, actor: Actor, command: Command) -> Submission {
        let mut requests = self.requests.lock().unwrap();
        *requests += 1;
        submission(actor, &format!("request-{requests}"), command)
    }

    /// Makes a site, and says what came of it.
    pub async fn create_site(&self, node: &Node, name: &str) -> Result<Applied, SubmitError> {
        self.submit(node, ADMINISTRATOR, create_site(name)).await
    }
}

pub fn submission(actor: Actor, request: &str, command: Command) -> Submission {
    let fingerprint = Hash::of(format!("{command:?}").as_bytes());
    let request = RequestId::parse(request).unwrap();
    Submission { actor, request, fingerprint, expected: None, planned_on: None, command }
}

pub fn create_site(name: &str) -> Command {
    Command::Site(site::Command::Create { name: name.to_owned(), expected_latency_ms: 5 })
}

pub fn facts(address: &Address, store: [u8; 16]) -> Facts {
    Facts {
        store: bursar_domain::StoreId(store),
        peer_address: address.to_string(),
        api_address: format!("127.0.0.1:{}", address.port().wrapping_add(1).max(1)),
        control_address: format!("127.0.0.1:{}", address.port().wrapping_add(2).max(1)),
        version: "0.1.0".to_owned(),
        supported: Level::SUPPORTED,
    }
}

/// Listens on a port that nobody has.
async fn listen_anywhere() -> Box<dyn Listener> {
    TcpNetwork.bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap()
}

/// Listens where a node did before. Somebody else may have got the port for a while.
async fn listen_again(address: &Address) -> Box<dyn Listener> {
    until(&format!("{address} is free again"), async || TcpNetwork.bind(address).await.ok()).await
}

/// Takes the one that leads out of `nodes`, all of which run.
pub async fn take_leader(nodes: &mut Vec<Running>) -> Running {
    let place = leader_place(nodes).await;
    nodes.remove(place)
}

/// Where in `nodes`, all of which run, the one stands that leads. Another election may be under way, and one that has lost it may
/// not know yet: so all have to name the same one, and a quorum has to have confirmed it a moment ago.
pub async fn leader_place(nodes: &[Running]) -> usize {
    until("one leads, and all follow it", async || agreed_leader(nodes)).await
}

fn agreed_leader(nodes: &[Running]) -> Option<usize> {
    let said: Vec<NodeStatus> = nodes.iter().map(|running| running.node.status()).collect();
    let place = said.iter().position(|status| status.role == Role::Leader)?;
    let leader = &said[place];
    let follows = |status: &NodeStatus| (status.leader, status.term) == (Some(leader.id), leader.term);
    let confirmed = leader.quorum_last_ack_ms.is_some_and(|ago| Duration::from_millis(ago) < LEASE / 2);
    (confirmed && said.iter().all(follows)).then_some(place)
}

/// The number of what an outcome made.
pub fn made(outcome: &Outcome) -> u64 {
    outcome.as_ref().expect("it was made").object.number()
}
