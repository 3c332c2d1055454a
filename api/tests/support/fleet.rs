//! Storage servers at hand: what they answer is set, and what they were asked is told. Machines that introduce themselves, and
//! what happens to servers elsewhere.

use std::sync::{
    Arc, LazyLock, Mutex,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bursar_api::{ContactError, ExamineError, Fleet, FleetCounters, ObservedError};
use bursar_domain::{
    Actor, Command, DestinationId, Duty, Hash, Level, Reply, ServerGuid, ServerId, StorePointId, Submission, Timestamp, server,
    store_point::{self, Findings, Found, Report},
};
use bursar_net::{Fingerprint, MasterLicenseKey, NodeKey, SystemEntropy};
use bursar_wire::{
    ConnectionString, Secret,
    connection_string::{LIFETIME_MS, license_subject},
    page::Warning,
    servers::{Inspection, Looks, Observed, Obstacle},
};
use tokio::time::Instant;

use super::{START_MS, World, authority::submission};

/// The key that all machines of the tests are made with. Deriving it takes a while, so it is done once.
pub static LICENSE: LazyLock<MasterLicenseKey> = LazyLock::new(|| MasterLicenseKey::generate(&SystemEntropy::new()));

/// Storage servers that answer what they are told to.
pub struct MemoryFleet {
    pub contact: Mutex<Result<(), ContactError>>,
    /// What is found at any path; none where servers do not answer.
    pub findings: Mutex<Option<Findings>>,
    pub observed: Mutex<Result<Observed, ObservedError>>,
    pub looks: Mutex<Result<Looks, ObservedError>>,
    /// What is found on the way to any machine.
    pub obstacles: Mutex<Vec<Obstacle>>,
    pub warnings: Mutex<Vec<Warning>>,
    /// What was asked, in order.
    pub asked: Mutex<Vec<String>>,
}

impl MemoryFleet {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            contact: Mutex::new(Ok(())),
            findings: Mutex::new(Some(findings("/srv/a"))),
            observed: Mutex::new(Ok(Observed::default())),
            looks: Mutex::new(Ok(Looks::default())),
            obstacles: Mutex::default(),
            warnings: Mutex::default(),
            asked: Mutex::default(),
        })
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn note(&self, asked: impl Into<String>) {
        self.asked.lock().unwrap().push(asked.into());
    }
}

/// What a server finds at a path that nothing is wrong with.
pub fn findings(path: &str) -> Findings {
    Findings {
        found: Found::Directory,
        canonical_path: path.into(),
        writable: true,
        within: None,
        foreign_identity: false,
        free_bytes: 1 << 40,
    }
}

#[async_trait]
impl Fleet for MemoryFleet {
    async fn inspect(&self, string: &ConnectionString, destination: Option<DestinationId>, _: Instant) -> Inspection {
        let meant_for = destination.map_or_else(|| "nowhere".to_owned(), |destination| destination.to_string());
        self.note(format!("inspect {} for {meant_for}", string.name));
        Inspection {
            guid: string.guid.to_string(),
            name: string.name.clone(),
            version: string.version.clone(),
            platform: string.platform.clone(),
            addresses: Vec::new(),
            ports: Vec::new(),
            stands: Some(true),
            standing: "the machine says so".into(),
            obstacles: self.obstacles.lock().unwrap().clone(),
            warnings: self.warnings.lock().unwrap().clone(),
        }
    }

    async fn contact(&self, string: &ConnectionString, _: Instant) -> Result<(), ContactError> {
        self.note(format!("contact {}", string.name));
        self.contact.lock().unwrap().clone()
    }

    async fn examine(&self, server: ServerId, path: &str, _: Instant) -> Result<Findings, ExamineError> {
        self.note(format!("examine {path} on {server}"));
        let unreachable = || ExamineError::Unreachable { server, detail: "no route to host".into() };
        self.findings.lock().unwrap().clone().ok_or_else(unreachable)
    }

    async fn observed(&self, _: Instant) -> Result<Observed, ObservedError> {
        self.note("observed");
        self.observed.lock().unwrap().clone()
    }

    async fn looks(&self, server: ServerId, _: Instant) -> Result<Looks, ObservedError> {
        self.note(format!("looks {server}"));
        self.looks.lock().unwrap().clone()
    }

    fn counters(&self) -> FleetCounters {
        FleetCounters { servers_heard: 2, heartbeats_unanswered: 3, ..FleetCounters::default() }
    }
}

/// A machine that could become a storage server.
pub struct Machine {
    key: NodeKey,
    pub says: ConnectionString,
}

impl Machine {
    pub fn new(number: u8, name: &str) -> Self {
        let key = NodeKey::generate().unwrap();
        let (guid, public_key) = (ServerGuid([number; 16]), key.public_key());
        let says = ConnectionString {
            guid,
            name: name.into(),
            primary_address: format!("{name}.example:4288").parse().unwrap(),
            secondary_address: None,
            peer_port: 4283,
            transfer_port: 4286,
            platform: "x86_64-linux".into(),
            version: "0.1.0".into(),
            certificate: Fingerprint::from([number; 32]),
            secret: Secret::new(format!("secret of {name}")),
            issued_at: Timestamp(START_MS),
            expires_at: Timestamp(START_MS + LIFETIME_MS),
            license: LICENSE.prove(&license_subject(guid, &public_key)),
            public_key,
        };
        Self { key, says }
    }

    /// The line that is carried to the authority.
    pub fn string(&self) -> String {
        self.says.encode(&self.key).expose().to_owned()
    }
}

impl World {
    /// What somebody else asks for, elsewhere, and is granted.
    pub fn elsewhere(&self, actor: Actor, command: Command) -> Reply {
        static REQUESTS: AtomicU64 = AtomicU64::new(0);
        let request = format!("elsewhere-{}", REQUESTS.fetch_add(1, Ordering::SeqCst));
        let planned_on = matches!(actor, Actor::Duty(_)).then(|| self.authority.state().revision());
        let submission = Submission { planned_on, ..submission(actor, &request, command) };
        self.authority.take(submission).outcome.unwrap()
    }

    /// A site with a destination, by its id.
    pub async fn vault(&self) -> u64 {
        let site = self.site("Lyon").await;
        self.destination("vault", site).await
    }

    /// A server of a destination that is online. Its number is the machine's.
    pub fn server(&self, destination: u64, name: &str) -> ServerId {
        let server = ServerId(self.authority.state().next().server);
        let number = u8::try_from(server.0).unwrap();
        let license_key = self.authority.state().cluster().unwrap().license_key.clone();
        let introduction = server::Introduction {
            facts: server::Facts {
                guid: ServerGuid([100 + number; 16]),
                primary_address: format!("{name}.example:4288"),
                secondary_address: None,
                ports: server::Ports { peer: 4283, transfer: 4286 },
                public_key: Hash([number; 32]),
                tls_fingerprint: Hash([number; 32]),
                program: server::ProgramFacts {
                    version: "0.1.0".into(),
                    platform: "x86_64-linux".into(),
                    supported: Level::SUPPORTED,
                },
            },
            secret: Hash([number; 32]),
            expires_at: Timestamp(u64::MAX),
            license_key,
        };
        let destination = DestinationId(destination);
        let add = server::Command::Add { destination, name: name.into(), introduction };
        self.elsewhere(super::authority::ADMINISTRATOR, Command::Server(add));
        self.elsewhere(Actor::Duty(Duty::Join), Command::Server(server::Command::JoinSucceeded { server }));
        server
    }

    /// The failure detector gives a server up.
    pub fn lose(&self, server: ServerId) {
        self.elsewhere(Actor::Duty(Duty::FailureDetection), Command::Server(server::Command::WentOffline { server }));
    }

    /// The failure detector hears of a server again.
    pub fn find(&self, server: ServerId) {
        self.elsewhere(Actor::Duty(Duty::FailureDetection), Command::Server(server::Command::CameOnline { server }));
    }

    /// A store point that is online.
    pub fn store_point(&self, server: ServerId, name: &str) -> StorePointId {
        let store_point = StorePointId(self.authority.state().next().store_point);
        let path = format!("/srv/{name}");
        let create = store_point::Command::Create {
            server,
            name: name.into(),
            findings: findings(&path),
            path,
            notes: String::new(),
            quota: store_point::Quota::Unlimited,
        };
        self.elsewhere(super::authority::ADMINISTRATOR, Command::StorePoint(create));
        self.report(server, store_point, Report::Online);
        store_point
    }

    /// A server says how a store point is.
    pub fn report(&self, server: ServerId, store_point: StorePointId, report: Report) {
        self.elsewhere(Actor::Server(server), Command::StorePoint(store_point::Command::Report { store_point, report }));
    }
}
