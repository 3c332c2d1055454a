//! A machine with the data directory of a storage server.

use std::{
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::Duration,
};

use bursar_agent::{
    Abandoned, Advertised, DataDirectory, Issued, Listen, Making, Member, MemberError, Newcomer, Ports, Saved, Server, Settings,
    World, issue, make,
};
use bursar_domain::Hash;
use bursar_net::{
    Address, Caller, DiskFiles, DiskVolumes, Listener, MasterLicenseKey, Network, PinnedConnector, StoreId, SystemClock,
    SystemEntropy, ThreadBlocking, TlsAcceptor, TlsConnector, TlsPinnedConnector, frame::frames,
};
use bursar_wire::{ConnectionString, control};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::Instant};

use super::{Cluster, ME, MemoryNetwork, address, nodes, patiently};

static LICENSE: LazyLock<MasterLicenseKey> = LazyLock::new(|| MasterLicenseKey::generate(&SystemEntropy::new()));

/// A machine that is, or is to become, the tests' storage server.
pub struct Machine {
    folder: TempDir,
    pub network: MemoryNetwork,
    /// Its first connection string.
    pub says: ConnectionString,
}

/// A server that runs; it ends with this.
pub struct Running<E> {
    task: JoinHandle<E>,
}

impl<E> Running<E> {
    /// How it ended by itself.
    pub async fn ended(mut self) -> E {
        patiently(&mut self.task).await.unwrap()
    }
}

impl<E> Drop for Running<E> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Machine {
    /// One that nobody has adopted yet.
    pub fn new(network: &MemoryNetwork) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            name: "store-7".into(),
            listen: Listen { peer: address("0.0.0.0:4283"), transfer: address("0.0.0.0:4286"), control: address("0.0.0.0:4288") },
            advertised: Advertised { primary: address("store-7.example:4288"), secondary: None },
        };
        let making = Making {
            directory: &folder.path().join("server"),
            settings,
            license_key: &LICENSE,
            files: Arc::new(DiskFiles),
            clock: &SystemClock,
            entropy: &SystemEntropy::new(),
        };
        let says = make(making).unwrap().says;
        Self { folder, network: network.clone(), says }
    }

    /// One that is a member already, and knows where these authority nodes are.
    pub async fn adopted(network: &MemoryNetwork, cluster: &Cluster, authority: &[u64]) -> Self {
        let machine = Self::new(network);
        let waiting = machine.wait().await;
        let membership = cluster.membership(ME, &machine, nodes(authority));
        assert_eq!(machine.asked(machine.adopt(membership)).await, control::NewcomerAnswer::Adopted);
        waiting.ended().await.unwrap();
        machine
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("server")
    }

    /// A disk of its own.
    pub fn disk(&self) -> PathBuf {
        let path = self.folder.path().canonicalize().unwrap().join("disk");
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    pub fn directory(&self) -> Arc<DataDirectory> {
        Arc::new(DataDirectory::open(Arc::new(DiskFiles), &self.root()).unwrap())
    }

    pub fn server(&self) -> Server {
        self.directory().server().unwrap()
    }

    /// What others expect it to be in handshakes.
    pub fn store(&self) -> StoreId {
        StoreId(self.says.guid.0)
    }

    /// What rests of what it knows.
    pub fn saved(&self) -> Option<Saved> {
        self.directory().projection_file(&self.server()).load().unwrap()
    }

    /// Issues another connection string, as a person would while the server waits.
    pub fn issue(&self) -> Issued {
        issue(&self.directory(), &SystemClock, &SystemEntropy::new()).unwrap()
    }

    /// Waits for the authority.
    pub async fn wait(&self) -> Running<Result<(), Abandoned>> {
        self.wait_in(self.world()).await
    }

    /// Waits for the authority in a world of the test's.
    pub async fn wait_in(&self, world: World) -> Running<Result<(), Abandoned>> {
        let (ports, server) = (self.ports().await, Arc::new(self.server()));
        let acceptor = TlsAcceptor::for_newcomer(&server.certificate, &server.key, Arc::new(SystemClock)).unwrap();
        let newcomer = Newcomer { directory: self.directory(), server, world };
        Running { task: tokio::spawn(newcomer.wait(ports, Arc::new(acceptor))) }
    }

    /// Runs as a member.
    pub async fn run(&self) -> Running<MemberError> {
        let (directory, server) = (self.directory(), Arc::new(self.server()));
        let membership = directory.membership(&server).unwrap().expect("it was adopted");
        let acceptor = Arc::new(TlsAcceptor::for_peers(&membership.credentials, Arc::new(SystemClock)).unwrap());
        let connector = Arc::new(TlsConnector::new(&membership.credentials, Arc::new(SystemClock)).unwrap());
        let member = Member { directory, server, membership, world: self.world(), acceptor, connector };
        Running { task: tokio::spawn(member.run(self.ports().await)) }
    }

    /// Asks it a question as an authority node does that has its connection string.
    pub async fn asked(&self, question: control::NewcomerQuestion) -> control::NewcomerAnswer {
        Self::answer(self.call().await, question).await
    }

    /// A connection of an authority node that has its connection string.
    pub async fn call(&self) -> Caller {
        let stream = patiently(self.network.connect(&address("0.0.0.0:4288"))).await.unwrap();
        let connector = TlsPinnedConnector::new(Arc::new(SystemClock));
        let stream = patiently(connector.connect_self_signed(stream, self.says.certificate)).await.unwrap();
        let (reader, writer) = frames(stream, 64 * 1024);
        Caller::new(reader, writer, 1)
    }

    /// What it answers over a connection.
    pub async fn answer(caller: Caller, question: control::NewcomerQuestion) -> control::NewcomerAnswer {
        caller.call(&question, Instant::now() + Duration::from_secs(60)).await.unwrap()
    }

    pub fn adopt(&self, membership: control::Membership) -> control::NewcomerQuestion {
        self.adopt_by(self.says.secret.hash(), membership)
    }

    pub fn adopt_by(&self, secret: Hash, membership: control::Membership) -> control::NewcomerQuestion {
        control::NewcomerQuestion::Adopt { secret, membership: Box::new(membership) }
    }

    pub fn introduce(&self, secret: Hash, probe: Vec<Address>) -> control::NewcomerQuestion {
        control::NewcomerQuestion::Introduce { secret, probe }
    }

    async fn ports(&self) -> Ports {
        Ports::bind(&self.network, &self.server().settings.listen).await.unwrap()
    }

    /// Somebody else listens at `address`.
    pub async fn listen(&self, at: &str) -> Box<dyn Listener> {
        self.network.bind(&address(at)).await.unwrap()
    }

    pub fn world(&self) -> World {
        World {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy::new()),
            network: Arc::new(self.network.clone()),
            blocking: Arc::new(ThreadBlocking),
            volumes: Arc::new(DiskVolumes),
            // These hold the tests' clock while they are at work, as threads of their own would not.
            loose: Arc::new(ThreadBlocking),
        }
    }
}
