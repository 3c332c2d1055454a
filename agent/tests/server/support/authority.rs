//! An authority whose nodes say what the test tells them to.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bursar_domain::{AuthorityNodeId, Cursor, Level, Revision, ServerId, projection::Making};
use bursar_net::{
    Acceptor, Address, Admission, Attested, CertificateAuthority, CertificateRequest, ConnectionLimits, ConnectionMeter,
    Credentials, Dialer, FRAME_BYTES_MAX, FrameReader, FrameWriter, Hello, Lane, LaneHandler, LeafProfile, LocalNode, Member,
    Network, NodeKey, PeerIdentity, PeerPort, Refusal, RefusalCode, StoreId, SystemClock, SystemEntropy, TlsAcceptor,
    TlsConnector, frame, serve_peers, shutdown_channel,
};
use bursar_wire::control::{FeedItem, Follow, Heartbeat, Membership, Notice, ServerAnswer, ServerQuestion};
use bytes::{Buf, Bytes};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{Machine, MemoryNetwork, anew, control_of, fleet, patiently, store_point};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A cluster: its certificate authority, and what its members show.
pub struct Cluster {
    pub id: bursar_domain::ClusterId,
    ca: CertificateAuthority,
    network: MemoryNetwork,
}

impl Cluster {
    pub fn new(network: &MemoryNetwork) -> Self {
        let id = bursar_domain::ClusterId([3; 16]);
        let ca = CertificateAuthority::create(&net_cluster(id), DAY, &SystemClock, &SystemEntropy::new()).unwrap();
        Self { id, ca, network: network.clone() }
    }

    /// What makes `machine` the member `server`.
    pub fn membership(&self, server: ServerId, machine: &Machine, authority: BTreeMap<AuthorityNodeId, Address>) -> Membership {
        let request = machine.server().key.request().unwrap();
        Membership {
            cluster: self.id,
            server,
            ca_certificate: self.ca.certificate_pem().to_owned(),
            certificate: self.certify(Member::server(server.0), &request),
            authority,
        }
    }

    /// A dialer of a member with a key of its own.
    pub fn dialer(&self, member: Member, store: StoreId) -> Dialer {
        let credentials = self.credentials(member);
        Dialer {
            network: Arc::new(self.network.clone()),
            connector: Arc::new(TlsConnector::new(&credentials, Arc::new(SystemClock)).unwrap()),
            me: LocalNode { cluster: net_cluster(self.id), member, store },
            frame_bytes_max: FRAME_BYTES_MAX,
        }
    }

    /// Starts authority node `number`, on its control port.
    pub async fn node(&self, number: u64) -> Node {
        self.member(Member::authority(number), StoreId([0; 16]), control_of(number)).await
    }

    /// Starts a member on a port.
    pub async fn member(&self, member: Member, store: StoreId, address: Address) -> Node {
        let listener = self.network.bind(&address).await.unwrap();
        let acceptor: Arc<dyn Acceptor> =
            Arc::new(TlsAcceptor::for_peers(&self.credentials(member), Arc::new(SystemClock)).unwrap());
        let (follow, followers) = mpsc::unbounded_channel();
        let (control, speakers) = mpsc::unbounded_channel();
        let refuses = Arc::new(Mutex::new(Refusals::default()));
        let port = PeerPort {
            me: LocalNode { cluster: net_cluster(self.id), member, store },
            admission: Arc::new(Gate(Arc::clone(&refuses))),
            lanes: Arc::new(Switchboard { follow, control }),
            frame_bytes_max: FRAME_BYTES_MAX,
        };
        let (trigger, shutdown) = shutdown_channel();
        let serving = serve_peers(listener, acceptor, ConnectionLimits::default(), ConnectionMeter::new(), port, shutdown);
        let serving = tokio::spawn(async move {
            serving.await;
            drop(trigger);
        });
        Node { followers, speakers, refuses, serving }
    }

    fn credentials(&self, member: Member) -> Credentials {
        let key = NodeKey::generate().unwrap();
        let certificate = self.certify(member, &key.request().unwrap());
        Credentials::new(&certificate, self.ca.certificate_pem(), &key).unwrap()
    }

    fn certify(&self, member: Member, request: &CertificateRequest) -> String {
        let identity = PeerIdentity { member, cluster: net_cluster(self.id) };
        let profile = LeafProfile { identity, further_names: Vec::new(), lifetime: DAY };
        self.ca.issue(request, &profile, &SystemClock, &SystemEntropy::new()).unwrap().pem
    }
}

/// An authority node; it is gone when this is dropped, and what it said stays said.
pub struct Node {
    followers: mpsc::UnboundedReceiver<Call>,
    speakers: mpsc::UnboundedReceiver<Call>,
    refuses: Arc<Mutex<Refusals>>,
    serving: JoinHandle<()>,
}

/// Whom a node refuses.
#[derive(Default)]
struct Refusals {
    code: Option<RefusalCode>,
    count: usize,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Node {
    /// From now on it refuses everybody.
    pub fn refuse(&self, code: RefusalCode) {
        self.refuses.lock().unwrap().code = Some(code);
    }

    /// How often it has refused somebody.
    pub fn refusals(&self) -> usize {
        self.refuses.lock().unwrap().count
    }

    /// The next that follows, and how it begins.
    pub async fn follower(&mut self) -> (Call, Follow) {
        let mut call = patiently(self.followers.recv()).await.unwrap();
        let follow = patiently(call.reader.receive()).await.unwrap();
        (call, follow)
    }

    /// The next that follows; it is told of a fleet of this node, in which the server has store point 3 to make on its disk.
    pub async fn wants_a_store_point(&mut self, machine: &Machine) -> Call {
        let mut fleet = fleet(&[1]);
        fleet.store_points.extend([store_point(3, &machine.disk(), Making::Wanted)]);
        let (mut call, _) = self.follower().await;
        call.tell(anew(10, &fleet)).await;
        call
    }

    /// The next that wants to speak.
    pub async fn speaker(&mut self) -> Call {
        patiently(self.speakers.recv()).await.unwrap()
    }
}

/// A connection that was welcomed.
pub struct Call {
    pub hello: Hello,
    reader: FrameReader,
    writer: FrameWriter,
}

impl Call {
    /// Tells a follower something.
    pub async fn tell(&mut self, item: FeedItem) {
        patiently(self.writer.send(&item)).await.unwrap();
    }

    /// The next question, and the number under which it is answered.
    pub async fn question(&mut self) -> (u64, ServerQuestion) {
        let mut payload: Bytes = patiently(self.reader.receive_raw()).await.unwrap();
        let number = payload.get_u64();
        (number, frame::decode(&payload).unwrap())
    }

    pub async fn answer(&mut self, number: u64, answer: ServerAnswer) {
        self.writer.feed_prefixed(&number.to_be_bytes(), frame::encode(&answer).unwrap()).unwrap();
        patiently(self.writer.flush()).await.unwrap();
    }

    /// Hears heartbeats until somebody tells something, which is left unanswered.
    pub async fn unanswered(&mut self) -> (u64, String, Notice) {
        loop {
            match self.question().await {
                (number, ServerQuestion::Heartbeat { .. }) => self.answer(number, heard()).await,
                (number, ServerQuestion::Notice { request, notice }) => return (number, request, notice),
            }
        }
    }

    /// Notes everything until this is told, and gives the request under which it was.
    pub async fn note_until(&mut self, awaited: &Notice) -> String {
        loop {
            let (number, request, notice) = self.unanswered().await;
            self.answer(number, noted()).await;
            if notice == *awaited {
                return request;
            }
        }
    }

    /// Hears and notes everything until there is a heartbeat of which this holds, and leaves that answered.
    pub async fn hear_until(&mut self, holds: impl Fn(&Heartbeat) -> bool) -> Heartbeat {
        loop {
            match self.question().await {
                (number, ServerQuestion::Heartbeat { heartbeat, .. }) => {
                    self.answer(number, heard()).await;
                    if holds(&heartbeat) {
                        return *heartbeat;
                    }
                }
                (number, ServerQuestion::Notice { .. }) => self.answer(number, noted()).await,
            }
        }
    }

    /// Hears and notes everything until the server has read up to here.
    pub async fn hear_at(&mut self, position: Cursor) -> Heartbeat {
        self.hear_until(|heartbeat| heartbeat.position == Some(position)).await
    }

    /// Whether the other side has left.
    pub async fn is_left(&mut self) {
        while patiently(self.reader.receive_raw()).await.is_ok() {}
    }
}

pub fn heard() -> ServerAnswer {
    ServerAnswer::Heard { again_ms: 5_000, level: Level::FIRST, otherwise: false }
}

pub fn noted() -> ServerAnswer {
    ServerAnswer::Noted { revision: Revision(1) }
}

struct Gate(Arc<Mutex<Refusals>>);

impl Admission for Gate {
    fn admit(&self, _hello: &Hello, _certificate: Option<&Attested>) -> Result<(), Refusal> {
        let mut refusals = self.0.lock().unwrap();
        let Some(code) = refusals.code else { return Ok(()) };
        refusals.count += 1;
        Err(Refusal { code, reason: "the test wants it".into(), remedy: "none".into() })
    }
}

struct Switchboard {
    follow: mpsc::UnboundedSender<Call>,
    control: mpsc::UnboundedSender<Call>,
}

#[async_trait]
impl LaneHandler for Switchboard {
    async fn serve(&self, hello: Hello, reader: FrameReader, writer: FrameWriter) {
        let to = match hello.lane {
            Lane::Follow => &self.follow,
            Lane::Control => &self.control,
            _ => return,
        };
        // A test that has ended takes no more calls.
        let _ = to.send(Call { hello, reader, writer });
    }
}

fn net_cluster(id: bursar_domain::ClusterId) -> bursar_net::ClusterId {
    bursar_net::ClusterId::new(&id.to_string()).unwrap()
}
