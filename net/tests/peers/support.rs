//! A cluster to test with: its authority, its nodes, and what they serve.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bursar_net::*;
use tokio::task::JoinHandle;

pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// Long enough for any handshake on a busy machine; no test waits for it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The store of the node with this id.
pub fn store(id: u64) -> StoreId {
    StoreId(u128::from(id).to_be_bytes())
}

/// A clock that a number of days ago was right.
pub struct LateClock {
    pub days: u64,
}

impl WallClock for LateClock {
    fn now_unix_ms(&self) -> u64 {
        SystemClock.now_unix_ms() - self.days * 24 * 3600 * 1000
    }
}

/// A clock that is put forward.
#[derive(Default)]
pub struct ForwardClock {
    days: AtomicU64,
}

impl ForwardClock {
    pub fn put_forward(&self, days: u64) {
        self.days.fetch_add(days, Ordering::Relaxed);
    }
}

impl WallClock for ForwardClock {
    fn now_unix_ms(&self) -> u64 {
        SystemClock.now_unix_ms() + self.days.load(Ordering::Relaxed) * 24 * 3600 * 1000
    }
}

pub struct Cluster {
    pub id: ClusterId,
    pub authority: CertificateAuthority,
    /// By which its nodes judge certificates.
    pub clock: Arc<dyn WallClock>,
}

impl Cluster {
    pub fn new(name: &str) -> Self {
        let id = ClusterId::new(name).unwrap();
        let long_ago = LateClock { days: 30 };
        let authority = CertificateAuthority::create(&id, 365 * DAY, &long_ago, &SystemEntropy::new()).unwrap();
        Self { id, authority, clock: Arc::new(SystemClock) }
    }

    pub fn local_node(&self, id: u64) -> LocalNode {
        LocalNode { cluster: self.id.clone(), member: Member::authority(id), store: store(id) }
    }

    /// What authority node `id` shows of itself.
    pub fn credentials(&self, id: u64) -> Credentials {
        self.credentials_issued_by(&SystemClock, id)
    }

    /// A certificate that was valid for a day, three days ago.
    pub fn expired_credentials(&self, id: u64) -> Credentials {
        self.credentials_issued_by(&LateClock { days: 3 }, id)
    }

    fn credentials_issued_by(&self, clock: &dyn WallClock, id: u64) -> Credentials {
        let (key, certificate) = self.certify(clock, id);
        Credentials::new(&certificate.pem, self.authority.certificate_pem(), &key).unwrap()
    }

    /// A fresh key for node `id` and the certificate for it.
    pub fn certify(&self, clock: &dyn WallClock, id: u64) -> (NodeKey, IssuedCertificate) {
        let key = NodeKey::generate().unwrap();
        let identity = PeerIdentity { member: Member::authority(id), cluster: self.id.clone() };
        let profile = LeafProfile { identity, further_names: Vec::new(), lifetime: DAY };
        let request = key.request().unwrap();
        let certificate = self.authority.issue(&request, &profile, clock, &SystemEntropy::new()).unwrap();
        (key, certificate)
    }

    /// Calls as authority node `id`.
    pub fn dialer(&self, id: u64) -> Dialer {
        self.dialer_with(id, &self.credentials(id))
    }

    /// Says that it is authority node `id`, and shows `credentials`.
    pub fn dialer_with(&self, id: u64, credentials: &Credentials) -> Dialer {
        Dialer {
            network: Arc::new(TcpNetwork),
            connector: Arc::new(TlsConnector::new(credentials, Arc::clone(&self.clock)).unwrap()),
            me: self.local_node(id),
            frame_bytes_max: FRAME_BYTES_MAX,
        }
    }

    /// Starts authority node `id`, which answers every call with its own body.
    pub async fn start(&self, id: u64) -> Node {
        self.start_with(id, &self.credentials(id), Arc::new(Echo)).await
    }

    pub async fn start_with(&self, id: u64, credentials: &Credentials, lanes: Arc<dyn LaneHandler>) -> Node {
        let listener = TcpNetwork.bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_address().unwrap().into();
        let acceptor = Arc::new(TlsAcceptor::for_peers(credentials, Arc::clone(&self.clock)).unwrap());
        let limits = ConnectionLimits { handshake_timeout: PATIENCE, ..Default::default() };
        let meter = ConnectionMeter::new();
        let port =
            PeerPort { me: self.local_node(id), admission: Arc::new(KnownStores), lanes, frame_bytes_max: FRAME_BYTES_MAX };
        let (trigger, shutdown) = shutdown_channel();
        let serving = serve_peers(listener, acceptor, limits, Arc::clone(&meter), port, shutdown);
        Node { address, meter, trigger, serving: tokio::spawn(serving) }
    }
}

/// A running node.
pub struct Node {
    pub address: Address,
    pub meter: Arc<ConnectionMeter>,
    pub trigger: ShutdownTrigger,
    serving: JoinHandle<()>,
}

impl Node {
    /// Stops the node; what was counted until then is final.
    pub async fn stop(self) -> ConnectionCounts {
        self.trigger.request();
        self.serving.await.unwrap();
        self.meter.counts()
    }
}

/// Knows on which store each node was admitted; a newcomer brings whatever store it has.
struct KnownStores;

impl Admission for KnownStores {
    fn admit(&self, hello: &Hello, _certificate: Option<&Attested>) -> Result<(), Refusal> {
        match hello.from {
            Some(member) if hello.from_store != store(member.id) => Err(Refusal {
                code: RefusalCode::ForeignStore,
                reason: format!("{member} was admitted on store {}", store(member.id)),
                remedy: "let it join under a new id".to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// Answers every call with its own body.
pub struct Echo;

#[async_trait]
impl LaneHandler for Echo {
    async fn serve(&self, _hello: Hello, reader: FrameReader, writer: FrameWriter) {
        answer(reader, writer, 64, |body| async move { body }).await.unwrap();
    }
}
