//! A leader that stands still for a while, and does not know that others have gone on without it.

mod support;

use std::{sync::Arc, time::Duration};

use bursar_wire::{
    ClientError,
    client::{Change, Client, ClientConfig},
    destinations::{Destination, EditDestination},
};
use support::{
    Fleet, stale,
    traffic::{Temper, Traffic},
    until,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

/// How long the leader stands still at least.
const PAUSE: Duration = Duration::from_secs(10);
/// How long whoever asks the one that stands still waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How soon the others must take writes once one of them leads: long before the one that stands still could answer.
const WRITES_WITHIN: Duration = Duration::from_secs(9);
/// How many writes they must take by then.
const WRITES: u64 = 20;
/// How often a read is left in the sockets of the leader that stands still, and how many are at least.
const QUEUE_EVERY: Duration = Duration::from_millis(100);
const QUEUED_READS: usize = 20;
/// How many reads meet the leader at the moment when it goes on.
const READS: usize = 100;
/// How many requests are left in its sockets that others carry out meanwhile.
const REPETITIONS: usize = 5;
/// How many writes are left in its sockets.
const QUEUED_WRITES: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_paused_shows_nothing_stale() {
    let mut fleet = Fleet::start();
    let paused = fleet.leader().await;
    let others = fleet.others(paused);
    let mut traffic = Traffic::new();
    for number in 0..4 {
        let mut nodes = others.clone();
        nodes.rotate_left(number % others.len());
        traffic.write(fleet.client_of(&nodes), Temper::Stubborn);
    }
    // Asks the one that stands still, and waits for it as long as it takes.
    let patient = |config| ClientConfig { timeout: PATIENCE, attempt_timeout: PATIENCE, ..config };
    let client = fleet.client_with(&[paused], patient);
    let record = Arc::clone(traffic.record());
    assert!(record.read(&client).await, "a leader that runs answers reads");
    let read = || {
        let (record, client) = (Arc::clone(&record), client.clone());
        async move { record.read(&client).await }
    };

    traffic.progress(20).await;
    let paused_at = record.now();
    fleet.freeze(paused);
    let goes_on_at = Instant::now() + PAUSE;
    for _ in 0..QUEUED_WRITES {
        traffic.write(client.clone(), Temper::Fickle);
    }
    let mut queued = JoinSet::new();
    let successor = fleet.leader_among(&others).await;
    // How long the election takes is not what is tested: it begins anew where the machine stands still meanwhile.
    let led_at = record.now();
    traffic.progress(WRITES).await;
    let took = Duration::from_nanos(record.now() - led_at);
    let gap = traffic.longest_gap(paused_at);
    println!("authority node {successor} took over from {paused}, gap in acknowledged writes: {gap:.2?}");
    assert!(took < WRITES_WITHIN, "no request waits for a leader that others have replaced: {took:.2?}");
    // The same requests twice: they lie in the sockets of the one that stands still, and the others carry them out and go on.
    let mut repeated = JoinSet::new();
    for number in 0..REPETITIONS {
        repeated.spawn(describe(client.clone(), format!("twice-{number}"), format!("first {number}")));
        for (request, text) in [(format!("twice-{number}"), "first"), (format!("once-{number}"), "second")] {
            let described = describe(fleet.client_of(&others), request, format!("{text} {number}")).await;
            described.expect("the others take writes");
        }
    }
    while Instant::now() < goes_on_at || queued.len() < QUEUED_READS {
        queued.spawn(read());
        sleep(QUEUE_EVERY).await;
    }
    let mut met = JoinSet::new();
    for _ in 0..READS / 2 {
        met.spawn(read());
    }
    fleet.thaw(paused);
    for _ in 0..READS / 2 {
        met.spawn(read());
    }
    client.get("sites", &stale()).await.expect("a stale read needs nobody else");
    let answered = |reads: Vec<bool>| reads.into_iter().filter(|answered| *answered).count();
    let (queued, met) = (answered(queued.join_all().await), answered(met.join_all().await));
    println!("the paused leader answered {queued} reads that had waited in its sockets, {met} of {READS} that met it");
    assert!(queued > 0 && met > 0, "it answers again: {:#?}", traffic.failures());

    for repetition in repeated.join_all().await {
        assert_eq!(repetition.expect("it was carried out before").description, format!("second {}", REPETITIONS - 1));
    }

    // It follows the one that was elected meanwhile, and takes writes for it.
    traffic.progress(20).await;
    until("the former leader follows", async || {
        fleet.status_of(paused).await.filter(|status| status.leader.is_some_and(|leader| leader != paused))
    })
    .await;
    let history = traffic.end(&fleet).await;
    println!("{} writes, {} reads", history.writes.len(), history.reads.len());
    history.assert_sound();
    fleet.stop_and_examine();
}

/// Describes the destination that the demo made.
async fn describe(client: Client, request: String, text: String) -> Result<Destination, ClientError> {
    let edit = EditDestination { description: Some(text), ..EditDestination::default() };
    let change = Change { request_id: Some(request), ..Change::default() };
    client.patch("destinations/1", &edit, change).await?.json()
}
