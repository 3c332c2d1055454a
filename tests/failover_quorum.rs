//! Too few nodes: nothing is acknowledged, everybody is told so in bounded time, and all goes on when they are back.

mod support;

use std::time::{Duration, Instant};

use bursar_wire::{
    ClientError, Problem,
    client::{Change, Client},
    events::StreamItem,
    problem::code,
    query::EventsQuery,
    sites::CreateSite,
    status::Grade,
};
use rustix::process::Signal;
use support::{
    Fleet, soon, stale,
    traffic::{Traffic, journal_of, settled},
    until,
};
use tokio::task::JoinSet;

/// How long a node may take to say that it has no quorum.
const BOUND: Duration = Duration::from_secs(15);
/// How much a node may log meanwhile.
const LOG_BYTES_MAX: u64 = 20_000;
/// How many writes, and how many reads, ask in vain at the same time.
const ASKERS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_the_others_acknowledges_nothing_and_says_so() {
    let mut fleet = Fleet::start();
    let traffic = Traffic::of(&fleet);
    traffic.progress(20).await;
    let before = traffic.end(&fleet).await;
    assert_eq!(before.violations(), []);

    // The others die: once while this one leads, once while it follows.
    let leader = fleet.leader().await;
    let asked = without(&mut fleet, leader, "the leader alone").await;
    let follower = fleet.others(fleet.leader().await)[0];
    let asked_too = without(&mut fleet, follower, "a follower alone").await;

    // The leader was away itself, and comes back first.
    let former = fleet.leader().await;
    fleet.kill_all();
    fleet.restart(former);
    let asked_later = ask_in_vain(&fleet, former, "the former leader back alone").await;
    for other in fleet.others(former) {
        fleet.restart(other);
    }
    let back = site("after the former leader back alone");
    fleet.client().post("sites", &back, Change::default()).await.expect("a quorum is there again");

    // The others live, and are not heard: the leader is cut off.
    let leader = fleet.leader().await;
    for other in fleet.others(leader) {
        fleet.signal(other, Signal::STOP);
    }
    let asked_again = ask_in_vain(&fleet, leader, "the leader cut off").await;
    for other in fleet.others(leader) {
        fleet.signal(other, Signal::CONT);
    }
    fleet.client().post("sites", &site("all together"), Change::default()).await.expect("a quorum is there again");

    // What was asked for in vain happened once or not at all, and all nodes agree.
    settled(&fleet).await;
    let journal = journal_of(&fleet, leader).await;
    for request in [asked, asked_too, asked_later, asked_again].concat() {
        let times = journal.iter().filter(|line| line.request == request).count();
        assert!(times <= 1, "{request} was never acknowledged, and was carried out {times} times");
    }
    for id in fleet.ids() {
        assert_eq!(journal_of(&fleet, id).await, journal, "authority node {id} tells what the others tell");
    }
    fleet.stop_and_examine();
}

/// Kills all but one, asks that one, and brings the others back. Returns what was asked for.
async fn without(fleet: &mut Fleet, left: u64, name: &str) -> Vec<String> {
    let others = fleet.others(left);
    for other in &others {
        fleet.kill(*other);
    }
    let asked = ask_in_vain(fleet, left, name).await;
    for other in &others {
        fleet.restart(*other);
    }
    let back = format!("after {name}");
    fleet.client().post("sites", &site(&back), Change::default()).await.expect("a quorum is there again");
    asked
}

/// Asks a node that has no quorum for all sorts of things, at the same time. Returns the ids of the writes.
async fn ask_in_vain(fleet: &Fleet, id: u64, name: &str) -> Vec<String> {
    let client = fleet.client_with(&[id], |config| bursar_wire::client::ClientConfig {
        timeout: BOUND * 2,
        attempt_timeout: BOUND * 2,
        ..config
    });
    let known = until("the node listens", async || client.get("sites", &stale()).await.ok()).await.revision;
    let mut refused = JoinSet::new();
    let requests: Vec<String> = (0..ASKERS).map(|number| format!("{}-{number}", name.replace(' ', "-"))).collect();
    for request in &requests {
        let (client, request) = (client.clone(), request.clone());
        refused.spawn(async move {
            let change = Change { request_id: Some(request.clone()), ..Change::default() };
            no_quorum(async { client.post("sites", &site(&request), change).await }).await
        });
    }
    for _ in 0..ASKERS {
        let client = client.clone();
        refused.spawn(async move { no_quorum(async { client.get("sites", &()).await }).await });
    }
    let (log, processor) = (fleet.node(id).log_bytes(), fleet.node(id).processor_time());
    let waited = soon("everybody is refused", refused.join_all()).await;
    println!("{name}: refused after {:.1?} to {:.1?}", waited.iter().min().expect("some"), waited.iter().max().expect("some"));

    // Who misses the others does not work itself to death over it.
    let (logged, worked) = (fleet.node(id).log_bytes() - log, fleet.node(id).processor_time() - processor);
    println!("{name}: {logged} bytes logged, {worked:.1?} of processor time");
    assert!(logged < LOG_BYTES_MAX, "it logged {logged} bytes");
    assert!(worked < *waited.iter().max().expect("some") / 2, "it took {worked:.1?} of processor time");
    let status = fleet.status_of(id).await.expect("it says how it fares");
    assert_eq!(status.health, Grade::Err, "it does not pass for healthy: {:?}", status.checks);

    let read = client.get("sites", &stale()).await.expect("a stale read needs nobody else");
    assert_eq!(read.revision, known, "nothing has happened");
    events_up_to(&client, known.as_deref().expect("every answer tells its revision")).await;
    requests
}

/// How long it took to be told that there is no quorum.
async fn no_quorum<T: std::fmt::Debug>(asked: impl Future<Output = Result<T, ClientError>>) -> Duration {
    let began = Instant::now();
    let refused = asked.await;
    let waited = began.elapsed();
    match refused {
        Err(ClientError::Problem { problem, .. }) => {
            let Problem { status, code, retry_after_seconds, hint, .. } = *problem;
            assert_eq!((status, code.as_str()), (503, code::NO_QUORUM));
            assert!(retry_after_seconds.is_some() && hint.is_some(), "it says when to come back, and what to do");
        }
        other => panic!("it should have no quorum: {other:?}"),
    }
    assert!(waited <= BOUND, "it took {waited:.1?}");
    waited
}

/// The history can be read by who needs no more than a node has.
async fn events_up_to(client: &Client, cursor: &str) {
    let query = EventsQuery { since: Some("1-0".into()), follow: Some(false), ..EventsQuery::default() };
    let mut events = client.events(query);
    let mut last = None;
    while let Some(item) = soon("the journal is read", events.next()).await.expect("the journal can be read") {
        last = item.cursor().map(str::to_owned);
        assert!(matches!(item, StreamItem::Event(_) | StreamItem::Bookmark(_)));
    }
    assert_eq!(last.as_deref(), Some(cursor));
}

fn site(name: &str) -> CreateSite {
    CreateSite { name: name.into(), expected_latency_ms: 1 }
}
