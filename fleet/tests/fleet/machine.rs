//! A storage server as far as the authority sees one: it waits to be taken in, becomes a member, and speaks the wire.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bursar_domain::{
    Command, Cursor, DestinationId, Hash, Level, ObjectRef, OperationId, Projection, Record, ServerGuid, ServerId,
    encoding::decode,
    projection::SCHEMA,
    server::{self, Facts, Introduction, Ports, ProgramFacts},
    store_point::{Findings, Found},
};
use bursar_net::{
    Acceptor, Address, Admission, Attested, Caller, Credentials, DialError, Dialer, FRAME_BYTES_MAX, FrameReader, FrameWriter,
    Hello, Lane, LaneHandler, Link, Member, Network, NodeKey, PeerPort, Refusal, SelfSignedCertificate, ShutdownTrigger, StoreId,
    SystemEntropy, TlsAcceptor, WallClock, answer, frame,
};
use bursar_wire::{
    ConnectionString, Secret,
    control::{
        AuthorityAnswer, AuthorityQuestion, FeedItem, Follow, Heartbeat, Introduced, Membership, NewcomerAnswer,
        NewcomerQuestion, Notice, Outcome, Probed, ServerAnswer, ServerQuestion, Sight,
    },
};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::world::{LICENSE_KEY, PATIENCE, Running, World, address_of, soon};

pub const PORTS: Ports = Ports { peer: 4283, transfer: 4286 };

/// A machine that keeps archives, or will.
pub struct Machine {
    pub guid: ServerGuid,
    number: u8,
    key: NodeKey,
    certificate: SelfSignedCertificate,
    secret: Secret,
    desk: Arc<Desk>,
}

/// The secret of the connection string that a machine issues behind its first.
const NEWEST_SECRET: &str = "another";

/// What the machine does when it is asked to become a member.
#[derive(Default)]
pub struct Desk {
    /// The hash of the secret that stands; another one is void.
    stands: Mutex<Option<Hash>>,
    /// Whether the next answer to its adoption is lost.
    pub loses_adoption: Mutex<bool>,
    /// What it finds wherever it looks; nothing where it does not tell.
    pub sees: Mutex<Option<Outcome>>,
    /// What made it a member.
    membership: Mutex<Option<Membership>>,
    adopted: tokio::sync::Notify,
}

impl Machine {
    pub fn new(world: &World, number: u8) -> Self {
        let key = NodeKey::generate().unwrap();
        let day = Duration::from_secs(24 * 3_600);
        let certificate = SelfSignedCertificate::create("a machine", &key, day, world.clock.as_ref(), &SystemEntropy::new());
        let secret = Secret::new(format!("secret of {number}"));
        let desk = Arc::new(Desk { stands: Mutex::new(Some(secret.hash())), ..Desk::default() });
        Self { guid: ServerGuid([number; 16]), number, key, certificate: certificate.unwrap(), secret, desk }
    }

    /// Its first address; its second is another machine's as far as the network knows.
    pub fn primary(&self) -> Address {
        format!("10.1.0.{}:4288", self.number).parse().unwrap()
    }

    pub fn secondary(&self) -> Address {
        format!("10.2.0.{}:4288", self.number).parse().unwrap()
    }

    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// It issues another connection string, which nobody has yet: the former one is void.
    pub fn issue_another(&self) {
        *self.desk.stands.lock().unwrap() = Some(Secret::new(NEWEST_SECRET).hash());
    }

    /// The connection string that it issued last is the one that is pasted from now on.
    pub fn gives_out_its_newest(&mut self) {
        self.secret = Secret::new(NEWEST_SECRET);
    }

    pub fn introduction(&self, world: &World) -> Introduction {
        Introduction {
            facts: Facts {
                guid: self.guid,
                primary_address: self.primary().to_string(),
                secondary_address: Some(self.secondary().to_string()),
                ports: PORTS,
                public_key: Hash::of(self.key.public_key().as_der()),
                tls_fingerprint: Hash(*self.certificate.fingerprint().as_bytes()),
                program: program(),
            },
            secret: self.secret.hash(),
            expires_at: world.clock.now().plus_ms(3_600_000),
            license_key: LICENSE_KEY.to_vec(),
        }
    }

    /// Its connection string, as far as the authority's end looks at it.
    pub fn string(&self, world: &World) -> ConnectionString {
        let now = world.clock.now();
        let license = bursar_net::MasterLicenseKey::generate(&SystemEntropy::new()).prove(b"it");
        ConnectionString {
            guid: self.guid,
            name: "ark".into(),
            primary_address: self.primary(),
            secondary_address: Some(self.secondary()),
            peer_port: PORTS.peer,
            transfer_port: PORTS.transfer,
            platform: program().platform,
            version: program().version,
            public_key: self.key.public_key(),
            certificate: self.certificate.fingerprint(),
            secret: self.secret.clone(),
            issued_at: now,
            expires_at: now.plus_ms(3_600_000),
            license,
        }
    }

    /// Somebody pastes its connection string.
    pub async fn is_added(&self, world: &World, running: &Running, destination: DestinationId) -> (ServerId, OperationId) {
        let name = format!("ark-{}", self.number);
        let server = ServerId(running.node.latest().next().server);
        let add = server::Command::Add { destination, name, introduction: self.introduction(world) };
        let reply = world.administer(running, Command::Server(add)).await;
        let ObjectRef::Operation(operation) = reply.object else { panic!("{reply}") };
        (server, operation)
    }

    /// It waits at an address to be taken in.
    pub async fn waits_at(&self, world: &World, address: &Address) -> JoinHandle<()> {
        let listener = world.network.bind(address).await.unwrap();
        let clock = Arc::clone(&world.clock) as Arc<dyn WallClock>;
        let acceptor = Arc::new(TlsAcceptor::for_newcomer(&self.certificate, &self.key, Arc::clone(&clock)).unwrap());
        let (desk, guid, key) = (Arc::clone(&self.desk), self.guid, self.key.to_pem());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, desk, clock) = (Arc::clone(&acceptor), Arc::clone(&desk), Arc::clone(&clock));
                let request = NodeKey::from_pem(&key).unwrap().request().unwrap();
                tokio::spawn(async move {
                    let Ok(secured) = acceptor.accept(stream).await else { return };
                    let (reader, writer) = frame::frames(secured.stream, 64 * 1024);
                    let handler = |question: bytes::Bytes| {
                        let (desk, request, now) = (Arc::clone(&desk), request.clone(), clock.now_unix_ms());
                        async move {
                            let introduced = Introduced {
                                guid,
                                program: program(),
                                now: bursar_domain::Timestamp(now),
                                certificate_request: request,
                                probed: Vec::new(),
                            };
                            match desk.answer(frame::decode(&question).unwrap(), introduced) {
                                Some(answer) => frame::encode(&answer).unwrap(),
                                // The connection is lost with the answer.
                                None => std::future::pending().await,
                            }
                        }
                    };
                    tokio::select! {
                        _ = answer(reader, writer, 4, handler) => {}
                        () = desk.is_adopted(), if *desk.loses_adoption.lock().unwrap() => {}
                    }
                });
            }
        })
    }

    /// It was adopted, and takes its ports up as a member.
    pub async fn joins(&self, world: &World) -> Joined {
        timeout(PATIENCE, self.desk.is_adopted()).await.expect("it is adopted");
        let membership = self.desk.membership.lock().unwrap().clone().unwrap();
        self.with(world, membership).await
    }

    /// It is a member by that membership.
    async fn with(&self, world: &World, membership: Membership) -> Joined {
        let credentials = Credentials::new(&membership.certificate, &membership.ca_certificate, &self.key).unwrap();
        let (member, store) = (Member::server(membership.server.0), StoreId(self.guid.0));
        let mut served = Vec::new();
        for port in [4288, PORTS.peer, PORTS.transfer] {
            let address = Address::new(self.primary().host(), port).unwrap();
            let port = PeerPort {
                me: world.local(member, store),
                admission: Arc::new(Anybody),
                lanes: Arc::new(Answering),
                frame_bytes_max: FRAME_BYTES_MAX,
            };
            served.push(world.serve(&address, &credentials, port).await);
        }
        let dialer = Arc::new(world.dialer(&credentials, member, store));
        Joined { server: membership.server, membership, dialer, served }
    }
}

impl Desk {
    fn answer(&self, question: NewcomerQuestion, introduced: Introduced) -> Option<NewcomerAnswer> {
        let (NewcomerQuestion::Introduce { secret, .. } | NewcomerQuestion::Adopt { secret, .. }) = &question;
        if *self.stands.lock().unwrap() != Some(*secret) {
            return Some(NewcomerAnswer::Voided);
        }
        match question {
            NewcomerQuestion::Introduce { probe, .. } => {
                let sees = self.sees.lock().unwrap().clone();
                let probed = sees.into_iter().flat_map(|outcome| {
                    probe.iter().map(move |address| Probed { address: address.clone(), outcome: outcome.clone() })
                });
                let introduced = Introduced { probed: probed.collect(), ..introduced };
                Some(NewcomerAnswer::Introduced(Box::new(introduced)))
            }
            NewcomerQuestion::Adopt { membership, .. } => {
                *self.membership.lock().unwrap() = Some(*membership);
                self.adopted.notify_waiters();
                (!*self.loses_adoption.lock().unwrap()).then_some(NewcomerAnswer::Adopted)
            }
        }
    }

    async fn is_adopted(&self) {
        loop {
            let adopted = self.adopted.notified();
            tokio::pin!(adopted);
            adopted.as_mut().enable();
            if self.membership.lock().unwrap().is_some() {
                return;
            }
            adopted.await;
        }
    }
}

pub fn program() -> ProgramFacts {
    ProgramFacts { version: "0.1.0".into(), platform: "x86_64-linux".into(), supported: Level::SUPPORTED }
}

struct Anybody;

impl Admission for Anybody {
    fn admit(&self, _hello: &Hello, _certificate: Option<&Attested>) -> Result<(), Refusal> {
        Ok(())
    }
}

/// What a member answers: it finds a directory at every path, and reaches nothing.
struct Answering;

#[async_trait]
impl LaneHandler for Answering {
    async fn serve(&self, hello: Hello, reader: FrameReader, writer: FrameWriter) {
        if hello.lane != Lane::Control {
            return;
        }
        let handler = |question: bytes::Bytes| async move {
            let answer = match frame::decode(&question).unwrap() {
                AuthorityQuestion::Examine { path } => AuthorityAnswer::Found(findings(path)),
                AuthorityQuestion::Probe { addresses } => {
                    let probed = addresses.into_iter().map(|address| Probed { address, outcome: Outcome::TimedOut });
                    AuthorityAnswer::Probed(probed.collect())
                }
            };
            frame::encode(&answer).unwrap()
        };
        let _ = answer(reader, writer, 4, handler).await;
    }
}

pub fn findings(path: String) -> Findings {
    Findings {
        found: Found::Directory,
        canonical_path: path,
        writable: true,
        within: None,
        foreign_identity: false,
        free_bytes: 1 << 40,
    }
}

/// A machine that is a member.
pub struct Joined {
    pub server: ServerId,
    pub membership: Membership,
    pub dialer: Arc<Dialer>,
    served: Vec<(ShutdownTrigger, JoinHandle<()>)>,
}

impl Joined {
    /// Nothing listens there any more.
    pub fn closes_its_ports(&mut self) {
        for (_, serving) in self.served.drain(..) {
            serving.abort();
        }
    }

    pub async fn dial(&self, node: u64, lane: Lane) -> Result<Link, DialError> {
        self.dialer.dial(&address_of(node, 4288), Member::authority(node), None, lane, PATIENCE).await
    }

    /// A connection on which it asks an authority node.
    pub async fn caller(&self, node: u64) -> Result<Caller, DialError> {
        let link = self.dial(node, Lane::Control).await?;
        Ok(Caller::new(link.reader, link.writer, 4))
    }

    pub async fn ask(&self, node: u64, question: ServerQuestion) -> ServerAnswer {
        self.caller(node).await.unwrap().call(&question, soon()).await.unwrap()
    }

    pub async fn notice(&self, node: u64, request: &str, notice: Notice) -> ServerAnswer {
        self.ask(node, ServerQuestion::Notice { request: request.into(), notice }).await
    }

    /// It says that it is there.
    pub async fn beats(&self, node: u64) -> ServerAnswer {
        self.ask(node, ServerQuestion::Heartbeat { heartbeat: Box::new(heartbeat()), said: Vec::new() }).await
    }

    /// It says that it is there, and what it has told for good; returns whether the ledger has any of it otherwise.
    pub async fn is_known_otherwise(&self, node: u64, said: Vec<Notice>) -> bool {
        let answered = self.ask(node, ServerQuestion::Heartbeat { heartbeat: Box::new(heartbeat()), said }).await;
        let ServerAnswer::Heard { otherwise, .. } = answered else { panic!("{answered:?}") };
        otherwise
    }

    /// It says that it is there, and what it sees.
    pub async fn sees(&self, node: u64, sights: Vec<Sight>) -> ServerAnswer {
        self.ask(node, ServerQuestion::Heartbeat { heartbeat: Box::new(Heartbeat { sights, ..heartbeat() }), said: Vec::new() })
            .await
    }

    /// It says again and again that it is there, to whichever node answers, until what this gives is aborted.
    pub fn lives(&self) -> JoinHandle<()> {
        let dialer = Arc::clone(&self.dialer);
        tokio::spawn(async move {
            let mut node = 1;
            loop {
                let answered = beat(&dialer, node).await;
                let pause_ms = match answered {
                    Ok(ServerAnswer::Heard { again_ms, .. }) => again_ms,
                    _ => {
                        node = node % 3 + 1;
                        250
                    }
                };
                sleep(Duration::from_millis(pause_ms)).await;
            }
        })
    }

    /// It follows the events at a node.
    pub async fn follows(&self, node: u64, since: Option<Cursor>) -> Following {
        self.follows_in(node, since, SCHEMA).await
    }

    pub async fn follows_in(&self, node: u64, since: Option<Cursor>, schema: u8) -> Following {
        let mut link = self.dial(node, Lane::Follow).await.unwrap();
        link.writer.send(&Follow { since, schema }).await.unwrap();
        Following { server: self.server, link, known: None, cursor: since }
    }
}

async fn beat(dialer: &Dialer, node: u64) -> io::Result<ServerAnswer> {
    let patience = Duration::from_secs(3);
    let link = dialer.dial(&address_of(node, 4288), Member::authority(node), None, Lane::Control, patience).await;
    let link = link.map_err(io::Error::other)?;
    let question = ServerQuestion::Heartbeat { heartbeat: Box::new(heartbeat()), said: Vec::new() };
    let deadline = tokio::time::Instant::now() + patience;
    Caller::new(link.reader, link.writer, 1).call(&question, deadline).await.map_err(io::Error::other)
}

pub fn heartbeat() -> Heartbeat {
    Heartbeat {
        version: "0.1.0".into(),
        now: bursar_domain::Timestamp(1_900_000_000_000),
        position: None,
        store_points: BTreeMap::new(),
        sights: Vec::new(),
    }
}

/// What a server reads that follows, and what it folds.
pub struct Following {
    server: ServerId,
    link: Link,
    pub known: Option<Projection>,
    pub cursor: Option<Cursor>,
}

impl Following {
    pub async fn next(&mut self) -> FeedItem {
        let item = timeout(PATIENCE, self.link.reader.receive::<FeedItem>()).await.expect("an item in time").unwrap();
        match &item {
            FeedItem::Anew { cursor, projection } => {
                self.known = Some((**projection).clone());
                self.cursor = Some(*cursor);
            }
            FeedItem::Records { records, upto } => {
                for record in records {
                    let record: Record = decode(record).unwrap();
                    self.known = Projection::behind(self.known.take(), self.server, &record.event);
                }
                self.cursor = Some(*upto);
            }
            FeedItem::Head { .. } | FeedItem::Excluded | FeedItem::Ended { .. } => {}
        }
        item
    }

    /// Reads up to the next word that nothing more has happened, from that revision on: its digest.
    pub async fn head(&mut self, from: Cursor) -> Option<Hash> {
        loop {
            if let FeedItem::Head { cursor, digest } = self.next().await
                && cursor >= from
            {
                assert_eq!(Some(cursor), self.cursor, "everything up to there was told");
                return digest;
            }
        }
    }
}
