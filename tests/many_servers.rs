//! Many storage servers at one authority node: what happens is soon on the disks of all of them, and none costs the node much.

mod support;

use std::{
    fs,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bursar_agent::{Advertised, DataDirectory, Listen, Making, Member, Newcomer, Ports, Server, Settings, World, make};
use bursar_domain::Revision;
use bursar_net::{
    Address, DiskFiles, DiskVolumes, LooseThreads, MasterLicenseKey, SystemClock, SystemEntropy, TcpNetwork, ThreadBlocking,
    TlsAcceptor, TlsConnector,
};
use bursar_wire::{
    Secret,
    client::Change,
    events::StreamItem,
    query::{EventsQuery, ListQuery},
    servers::{self, AddServer, ServerCondition},
};
use support::{Fleet, soon, until};
use tokio::task::JoinSet;

const SERVERS: usize = 200;
/// How many are added at the same time.
const AT_A_TIME: usize = 20;
/// Until all have an event. A machine that does nothing else takes a small part of it.
const HEARD_WITHIN: Duration = Duration::from_secs(5);
/// How often something happens until all have it in time.
const ATTEMPTS_MAX: usize = 5;
/// What a server may cost the node in memory, in bytes: its events and what it says are a connection each.
const MEMORY_MAX: u64 = 512 << 10;
/// How long an invitation holds, in seconds.
const LONG: u64 = 3_600;

/// Storage servers in this process. Those that live end when this is dropped.
struct Servers {
    all: Vec<(Arc<DataDirectory>, Arc<Server>)>,
    strings: Vec<Secret>,
    lives: JoinSet<()>,
}

impl Servers {
    /// Makes all of them.
    fn make(folder: &Path, license: &MasterLicenseKey) -> Self {
        let numbers: Vec<_> = (0..SERVERS).collect();
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let made: Vec<_> = thread::scope(|scope| {
            let make_each =
                |numbers: &[usize]| numbers.iter().map(|number| make_one(folder, *number, license)).collect::<Vec<_>>();
            let working: Vec<_> =
                numbers.chunks(SERVERS.div_ceil(threads)).map(|part| scope.spawn(move || make_each(part))).collect();
            working.into_iter().flat_map(|part| part.join().expect("no thread panics")).collect()
        });
        let (all, strings) = made.into_iter().unzip();
        Self { all, strings, lives: JoinSet::new() }
    }

    /// Lets all of them live.
    fn start(&mut self) {
        for (directory, server) in &self.all {
            self.lives.spawn(live(Arc::clone(directory), Arc::clone(server)));
        }
    }

    async fn stop(&mut self) {
        self.lives.shutdown().await;
    }

    /// Up to where the one that is last has everything on its disk; nothing where one has nothing.
    fn all_are_at(&self) -> Option<Revision> {
        let positions = self.all.iter().map(|(directory, server)| {
            let saved = directory.projection_file(server).load().expect("what it keeps is whole");
            saved.map(|saved| saved.position.revision)
        });
        positions.min().flatten()
    }

    /// Waits until all of them know what happened at a revision.
    async fn know(&self, revision: Revision) {
        until("all servers know", async || (self.all_are_at() >= Some(revision)).then_some(())).await;
    }
}

/// A machine of its own for each: an address of the loopback network.
fn make_one(folder: &Path, number: usize, license: &MasterLicenseKey) -> ((Arc<DataDirectory>, Arc<Server>), Secret) {
    let host = format!("127.{}.{}.{}", 64 + std::process::id() % 128, 1 + number / 250, 1 + number % 250);
    let at = |port| Address::new(&host, port).expect("an address");
    let root = folder.join(format!("server-{number}"));
    let settings = Settings {
        name: format!("server-{number}"),
        listen: Listen { peer: at(4283), transfer: at(4286), control: at(4288) },
        advertised: Advertised { primary: at(4288), secondary: None },
    };
    let (clock, entropy) = (SystemClock, SystemEntropy::new());
    let making =
        Making { directory: &root, settings, license_key: license, files: Arc::new(DiskFiles), clock: &clock, entropy: &entropy };
    let issued = make(making).expect("a server is made");
    let directory = DataDirectory::open(Arc::new(DiskFiles), &root).expect("it was made");
    let server = directory.server().expect("it was made");
    ((Arc::new(directory), Arc::new(server)), issued.line)
}

/// What `bursar storage-server run` does, but for what concerns the process.
async fn live(directory: Arc<DataDirectory>, server: Arc<Server>) {
    let clock = Arc::new(SystemClock);
    let world = World {
        clock: clock.clone(),
        entropy: Arc::new(SystemEntropy::new()),
        network: Arc::new(TcpNetwork),
        blocking: Arc::new(ThreadBlocking),
        volumes: Arc::new(DiskVolumes),
        loose: Arc::new(LooseThreads),
    };
    let ports = async || Ports::bind(&TcpNetwork, &server.settings.listen).await.expect("its address is its own");
    let membership = || directory.membership(&server).expect("what it keeps is whole");
    if membership().is_none() {
        let acceptor = TlsAcceptor::for_newcomer(&server.certificate, &server.key, clock.clone()).expect("its certificate");
        let newcomer = Newcomer { directory: Arc::clone(&directory), server: Arc::clone(&server), world: world.clone() };
        newcomer.wait(ports().await, Arc::new(acceptor)).await.expect("it is taken in");
    }
    let membership = membership().expect("it was taken in");
    let acceptor = Arc::new(TlsAcceptor::for_peers(&membership.credentials, clock.clone()).expect("its certificate"));
    let connector = Arc::new(TlsConnector::new(&membership.credentials, clock).expect("its certificate"));
    let ports = ports().await;
    let ended = Member { directory, server, membership, world, acceptor, connector }.run(ports).await;
    panic!("a server ends: {ended}");
}

/// Makes a destination for each server, so that none has peers to look at, and has them taken in.
async fn are_taken_in(fleet: &Fleet, servers: &Servers) {
    let client = fleet.client();
    for (number, strings) in servers.strings.chunks(AT_A_TIME).enumerate() {
        let mut adding = JoinSet::new();
        for (at, connection_string) in strings.iter().cloned().enumerate() {
            let (client, number) = (client.clone(), number * AT_A_TIME + at);
            adding.spawn(async move {
                let destination = serde_json::json!({ "name": format!("destination-{number}"), "site": 1 });
                let made = client.post("destinations", &destination, Change::default()).await.expect("a destination");
                let id = &made.json::<serde_json::Value>().expect("a destination")["id"];
                let add = AddServer { connection_string, name: None };
                client.post(&format!("destinations/{id}/servers"), &add, Change::default()).await.expect("a server is added");
            });
        }
        adding.join_all().await;
    }
    // Each part of them in the time that anything may take.
    for wanted in (AT_A_TIME..=SERVERS).step_by(AT_A_TIME) {
        until(&format!("{wanted} have joined"), async || {
            let query = ListQuery { limit: Some(1_000), ..ListQuery::default() };
            let all = client.page::<servers::Server>("servers", &query).await.ok()?.items;
            let online = all.iter().filter(|server| server.condition == ServerCondition::Online).count();
            (online >= wanted).then_some(())
        })
        .await;
    }
}

/// Something that concerns every server: a machine becomes an authority node, though it never runs. When it was first seen, and at
/// which revision it happened.
async fn something_happens(fleet: &Fleet, name: &str) -> (Instant, Revision) {
    let query = EventsQuery { kind: Some("authority_node.admitted".into()), ..EventsQuery::default() };
    let mut events = fleet.client().events(query);
    // The stream begins with where the history ends.
    soon("a bookmark", events.next()).await.expect("the stream goes on");
    let seen = tokio::spawn(async move {
        loop {
            if let Some(StreamItem::Event(event)) = soon("the event", events.next()).await.expect("the stream goes on") {
                return (Instant::now(), Revision(event.revision));
            }
        }
    });
    let token = fleet.invite(LONG);
    tokio::task::block_in_place(|| fleet.join(name, &token)).expect("it is admitted");
    seen.await.expect("it is seen")
}

/// How long after it was seen something is on the disks of all servers, at best. A machine that stands still meanwhile makes it late,
/// so it happens again until it is in time, or has happened often enough.
async fn heard_after(fleet: &Fleet, servers: &Servers) -> Duration {
    let mut best = Duration::MAX;
    for attempt in 1..=ATTEMPTS_MAX {
        let (seen, revision) = something_happens(fleet, &format!("attempt-{attempt}")).await;
        servers.know(revision).await;
        let heard = seen.elapsed();
        println!("{SERVERS} servers have it on their disks {heard:.2?} later");
        best = best.min(heard);
        if best < HEARD_WITHIN {
            break;
        }
    }
    best
}

/// How many bytes of memory a node's process has.
fn memory(fleet: &Fleet) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", fleet.node(1).pid())).expect("a running process has figures");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_is_soon_on_two_hundred_disks() {
    let mut fleet = Fleet::for_storage().await;
    let license = fs::read_to_string(fleet.node(1).dir.join("license.key")).expect("the license key");
    let license = MasterLicenseKey::parse(&license).expect("a license key");
    let mut servers = Servers::make(fleet.folder(), &license);
    servers.start();
    are_taken_in(&fleet, &servers).await;

    // A node that has just started, alone, and then with all of them.
    servers.stop().await;
    fleet.stop(1);
    fleet.restart(1);
    fleet.ready(1).await;
    let alone = memory(&fleet);
    servers.start();
    let (_, revision) = something_happens(&fleet, "first").await;
    servers.know(revision).await;
    let each = memory(&fleet).saturating_sub(alone) / SERVERS as u64;

    println!("each takes {} KiB of the node's memory", each >> 10);
    assert!(each < MEMORY_MAX, "{each} bytes each");
    let heard = heard_after(&fleet, &servers).await;
    assert!(heard < HEARD_WITHIN, "not once within {HEARD_WITHIN:?} in {ATTEMPTS_MAX} attempts, and after {heard:?} at best");
    servers.stop().await;
}
