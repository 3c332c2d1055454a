//! A storage server as a process: it waits to be adopted, runs as a member, and ends as it is asked to, or is told to.

mod support;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bursar_domain::{AuthorityNodeId, ClusterId, ServerId};
use bursar_net::{
    Address, Admission, Attested, Caller, CertificateAuthority, CertificateRequest, ConnectionLimits, ConnectionMeter,
    Credentials, Dialer, FRAME_BYTES_MAX, FrameReader, FrameWriter, Hello, Lane, LaneHandler, LeafProfile, LocalNode, Member,
    Network, NodeKey, PeerIdentity, PeerPort, PinnedConnector, Refusal, RefusalCode, ShutdownTrigger, StoreId, SystemClock,
    SystemEntropy, TcpNetwork, TlsAcceptor, TlsConnector, TlsPinnedConnector, frame::frames, serve_peers, shutdown_channel,
};
use bursar_wire::{
    ConnectionString,
    control::{Membership, NewcomerAnswer, NewcomerQuestion},
};
use rustix::process::{Pid, Signal, kill_process};
use support::{
    BURSAR, PATIENCE,
    ended::{Diagnosis, bursar, doctor},
    free_addresses, until,
};
use tempfile::TempDir;
use tokio::time::Instant;

const DAY: Duration = Duration::from_secs(24 * 3_600);
const SERVER: ServerId = ServerId(7);

/// A machine with a storage server on ports of its own.
struct Machine {
    folder: TempDir,
    addresses: [Address; 3],
    says: ConnectionString,
}

/// The server as it runs, until this is dropped.
struct Run(Child);

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let license = folder.path().join("license.key");
        fs::write(&license, "BURSAR-00000-00000-00000").expect("the license key");
        fs::set_permissions(&license, fs::Permissions::from_mode(0o600)).expect("the license key");
        let addresses = free_addresses(folder.path());
        let [peer, transfer, control] = &addresses;
        let init = ["storage-server", "init", "--name", "store-7", "--license-key-file", license.to_str().expect("a text")];
        let ports = ["--primary-address", control, "--listen-peer", peer, "--listen-transfer", transfer];
        let listen = ["--listen-control", control, "--dir"];
        let made = bursar(&[&init[..], &ports, &listen].concat(), &folder.path().join("server"));
        let line = String::from_utf8(made.stdout).expect("a text");
        let says =
            ConnectionString::decode(line.trim_end()).unwrap_or_else(|error| panic!("{error}: {made:?}", made = made.stderr));
        Self { folder, addresses: addresses.map(|text| text.parse().expect("an address")), says }
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("server")
    }

    fn control(&self) -> &Address {
        &self.addresses[2]
    }

    fn run(&self) -> Run {
        let log = File::create(self.folder.path().join("server.log")).expect("a log file");
        let mut command = Command::new(BURSAR);
        command.args(["storage-server", "run", "--dir"]).arg(self.dir());
        Run(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("the program starts"))
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("server.log")).expect("the log file")
    }

    /// Asks as an authority node does that has its connection string; nothing while nobody answers.
    async fn asked(&self, question: &NewcomerQuestion) -> Option<NewcomerAnswer> {
        let stream = TcpNetwork.connect(self.control()).await.ok()?;
        let connector = TlsPinnedConnector::new(Arc::new(SystemClock));
        let stream = connector.connect_self_signed(stream, self.says.certificate).await.ok()?;
        let (reader, writer) = frames(stream, 64 * 1024);
        Caller::new(reader, writer, 1).call(question, Instant::now() + PATIENCE).await.ok()
    }
}

impl Run {
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.0.id().try_into().expect("a pid")).expect("a running process has a pid");
        kill_process(pid, signal).expect("the process is there");
    }

    async fn ended(&mut self) -> Option<i32> {
        until("the server ends", async || self.0.try_wait().expect("a child can be asked")).await.code()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A cluster whose only node refuses everybody as removed, once it listens.
struct Cluster {
    id: ClusterId,
    ca: CertificateAuthority,
}

impl Cluster {
    fn new() -> Self {
        let id = ClusterId([3; 16]);
        let ca = CertificateAuthority::create(&net_cluster(id), DAY, &SystemClock, &SystemEntropy::new());
        Self { id, ca: ca.expect("a certificate authority") }
    }

    fn certify(&self, member: Member, request: &CertificateRequest) -> String {
        let identity = PeerIdentity { member, cluster: net_cluster(self.id) };
        let profile = LeafProfile { identity, further_names: Vec::new(), lifetime: DAY };
        self.ca.issue(request, &profile, &SystemClock, &SystemEntropy::new()).expect("a certificate").pem
    }

    fn node(&self) -> (LocalNode, Credentials) {
        let (key, me) = (NodeKey::generate().expect("a key"), Member::authority(1));
        let certificate = self.certify(me, &key.request().expect("a request"));
        let credentials = Credentials::new(&certificate, self.ca.certificate_pem(), &key).expect("credentials");
        (LocalNode { cluster: net_cluster(self.id), member: me, store: StoreId([1; 16]) }, credentials)
    }

    fn dialer(&self) -> Dialer {
        let (me, credentials) = self.node();
        let connector = TlsConnector::new(&credentials, Arc::new(SystemClock)).expect("credentials");
        Dialer { network: Arc::new(TcpNetwork), connector: Arc::new(connector), me, frame_bytes_max: FRAME_BYTES_MAX }
    }

    /// Begins to listen.
    async fn refuse_at(&self, address: &Address) -> ShutdownTrigger {
        let (me, credentials) = self.node();
        let acceptor = Arc::new(TlsAcceptor::for_peers(&credentials, Arc::new(SystemClock)).expect("credentials"));
        let port = PeerPort { me, admission: Arc::new(Nobody), lanes: Arc::new(Nobody), frame_bytes_max: FRAME_BYTES_MAX };
        let (trigger, shutdown) = shutdown_channel();
        let listener = TcpNetwork.bind(address).await.expect("a free port");
        tokio::spawn(serve_peers(listener, acceptor, ConnectionLimits::default(), ConnectionMeter::new(), port, shutdown));
        trigger
    }
}

struct Nobody;

impl Admission for Nobody {
    fn admit(&self, _hello: &Hello, _certificate: Option<&Attested>) -> Result<(), Refusal> {
        Err(Refusal { code: RefusalCode::RemovedNode, reason: "it was removed".into(), remedy: "none".into() })
    }
}

#[async_trait]
impl LaneHandler for Nobody {
    async fn serve(&self, _hello: Hello, _reader: FrameReader, _writer: FrameWriter) {
        unreachable!("nobody is let in")
    }
}

fn net_cluster(id: ClusterId) -> bursar_net::ClusterId {
    bursar_net::ClusterId::new(&id.to_string()).expect("a label")
}

/// What the doctor says, while the authority of this very process may answer it.
async fn examined(machine: &Machine) -> Diagnosis {
    let dir = machine.dir();
    tokio::task::spawn_blocking(move || doctor(&dir)).await.expect("the doctor does not panic")
}

#[tokio::test]
async fn it_waits_is_adopted_runs_alone_and_ends_when_it_is_removed() {
    let (machine, cluster) = (Machine::new(), Cluster::new());
    let mut run = machine.run();
    let secret = machine.says.secret.hash();
    let question = NewcomerQuestion::Introduce { secret, probe: Vec::new() };
    let answer = until("it waits for the authority", async || machine.asked(&question).await).await;
    let NewcomerAnswer::Introduced(introduced) = answer else { panic!("{answer:?}") };

    let second = bursar(&["storage-server", "run", "--dir"], &machine.dir());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(second.status.code() == Some(1) && said.contains(&format!("pid {}", run.0.id())), "{said}");

    run.signal(Signal::TERM);
    assert_eq!(run.ended().await, Some(0), "{}", machine.said());
    let mut run = machine.run();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority: Address = free_addresses(folder.path())[0].parse().expect("an address");
    let membership = Box::new(Membership {
        cluster: cluster.id,
        server: SERVER,
        ca_certificate: cluster.ca.certificate_pem().to_owned(),
        certificate: cluster.certify(Member::server(SERVER.0), &introduced.certificate_request),
        authority: BTreeMap::from([(AuthorityNodeId(1), authority.clone())]),
    });
    let question = NewcomerQuestion::Adopt { secret, membership };
    let answer = until("it waits again", async || machine.asked(&question).await).await;
    assert_eq!(answer, NewcomerAnswer::Adopted);

    // No authority node is there, and it answers on all its ports, also after a start.
    let dialer = cluster.dialer();
    let guid = Some(StoreId(machine.says.guid.0));
    for signal in [Signal::INT, Signal::TERM] {
        for address in &machine.addresses {
            until("the port is served", async || {
                dialer.dial(address, Member::server(SERVER.0), guid, Lane::Probe, PATIENCE).await.ok()
            })
            .await;
        }
        run.signal(signal);
        assert_eq!(run.ended().await, Some(0), "{}", machine.said());
        run = machine.run();
    }
    let refused = bursar(&["storage-server", "connection-string", "--dir"], &machine.dir());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("belongs to a cluster already"), "{said}");

    // While no authority node is there, nobody knows whether the server is still one of the fleet's.
    until("it runs again", async || {
        dialer.dial(machine.control(), Member::server(SERVER.0), guid, Lane::Probe, PATIENCE).await.ok()
    })
    .await;
    let open = examined(&machine).await.of("authority").clone();
    assert!(open.sound && open.warning && open.detail.contains("still has server 7 is not known"), "{open:?}");

    let refusing = cluster.refuse_at(&authority).await;
    assert_eq!(run.ended().await, Some(4), "{}", machine.said());
    assert!(machine.said().contains("bursar storage-server init"), "{}", machine.said());
    // The doctor asks the authority; where nobody answers, it tells what the server was told.
    let asked = examined(&machine).await.of("authority").clone();
    assert!(!asked.sound && asked.detail.starts_with("authority node 1 at "), "{asked:?}");
    refusing.request();
    until("the authority listens no more", async || TcpNetwork.connect(&authority).await.err()).await;
    let alone = examined(&machine).await.of("authority").clone();
    assert!(!alone.sound && alone.detail.starts_with("no authority node answers, and when the server ran last"), "{alone:?}");
    for told in [&asked, &alone] {
        assert!(told.detail.contains("Archives stay on its disks") && told.detail.contains("may be removed"), "{told:?}");
    }
}
