//! Too few nodes: nothing is acknowledged, everybody is told so in bounded time, and all goes on when they are back.

mod support;

use bursar_wire::client::Change;
use rustix::process::Signal;
use support::{
    Fleet,
    refused::{self, Refused},
    site,
    traffic::{Traffic, journal_of, settled},
};

/// How much a node may log while it is asked in vain.
const LOG_BYTES_MAX: u64 = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_the_others_acknowledges_nothing_and_says_so() {
    let mut fleet = Fleet::start();
    let traffic = Traffic::of(&fleet);
    traffic.progress(20).await;
    let before = traffic.end(&fleet).await;
    before.assert_sound();

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

/// Asks a node that has no quorum, which does not work itself to death over the others. Returns the ids of the writes.
async fn ask_in_vain(fleet: &Fleet, id: u64, name: &str) -> Vec<String> {
    let (log, processor) = (fleet.node(id).log_bytes(), fleet.node(id).processor_time());
    let Refused { requests, waited } = refused::ask_in_vain(fleet, id, name).await;
    let (logged, worked) = (fleet.node(id).log_bytes() - log, fleet.node(id).processor_time() - processor);
    println!("{name}: {logged} bytes logged, {worked:.1?} of processor time");
    assert!(logged < LOG_BYTES_MAX, "it logged {logged} bytes");
    assert!(worked < waited / 2, "it took {worked:.1?} of processor time");
    requests
}
