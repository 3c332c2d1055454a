//! Too few nodes: nothing is acknowledged, everybody is told so in bounded time, and all goes on when they are back.
//!
//! Each test has a fleet of its own, for most of its time is spent on waiting until whoever asks in vain is told so.

mod support;

use bursar_wire::client::Change;
use support::{
    Fleet,
    refused::{self, Refused},
    shell::Shell,
    site,
    traffic::{Traffic, journal_of, settled},
    until,
};

/// How much a node may log while it is asked in vain.
const LOG_BYTES_MAX: u64 = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_followers_die_acknowledges_nothing_and_says_so() {
    let fleet = at_work().await;
    let leader = fleet.leader().await;
    without_the_others(fleet, leader, "the leader alone").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_fellows_die_acknowledges_nothing_and_says_so() {
    let fleet = at_work().await;
    let follower = fleet.others(fleet.leader().await)[0];
    without_the_others(fleet, follower, "a follower alone").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_leader_that_comes_back_first_acknowledges_nothing_and_says_so() {
    let mut fleet = at_work().await;
    let former = fleet.leader().await;
    fleet.kill_all();
    fleet.restart(former);
    let asked = ask_in_vain(&fleet, former, "the former leader back alone").await;
    for other in fleet.others(former) {
        fleet.restart(other);
    }
    goes_on(fleet, asked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_followers_stand_still_acknowledges_nothing_and_says_so() {
    let fleet = at_work().await;
    let leader = fleet.leader().await;
    for other in fleet.others(leader) {
        fleet.freeze(other);
    }
    let asked = ask_in_vain(&fleet, leader, "the leader cut off").await;
    for other in fleet.others(leader) {
        fleet.thaw(other);
    }
    goes_on(fleet, asked).await;
}

/// A fleet that has some history.
async fn at_work() -> Fleet {
    let fleet = Fleet::start();
    let traffic = Traffic::of(&fleet);
    traffic.progress(20).await;
    traffic.end(&fleet).await.assert_sound();
    fleet
}

/// Kills all but one, asks that one, and brings the others back.
async fn without_the_others(mut fleet: Fleet, left: u64, name: &str) {
    let others = fleet.others(left);
    for other in &others {
        fleet.kill(*other);
    }
    let asked = ask_in_vain(&fleet, left, name).await;
    says_who_is_down(&fleet, left, &others).await;
    for other in &others {
        fleet.restart(*other);
    }
    goes_on(fleet, asked).await;
}

/// The command for it says first what is wrong, then which nodes are down.
async fn says_who_is_down(fleet: &Fleet, left: u64, others: &[u64]) {
    let mut shell = Shell::in_folder(fleet.folder());
    shell.export(&format!("export BURSAR_URL={}", fleet.node(left).api));
    shell.export(&format!("export BURSAR_TOKEN_FILE={}", fleet.folder().join("demo/token").display()));
    let told = until("the quorum is said to be lost", async || {
        let told = shell.prints("bursar status");
        told.contains("ERR No quorum: 1 of 3 voters answering").then_some(told)
    })
    .await;
    assert!(told.starts_with("Health      ERR\n            ERR No quorum"), "{told}");
    for other in others {
        let address = fleet.node(*other).api.trim_start_matches("http://");
        let is_told = told.lines().any(|line| line.contains("no: connection refused") && line.contains(address));
        assert!(is_told, "authority node {other} at {address} is down: {told}");
    }
    assert!(told.contains(" (as of "), "what it shows is not of now: {told}");
}

/// There is a quorum again. What was asked for in vain happened once or not at all, and all nodes agree.
async fn goes_on(mut fleet: Fleet, asked: Vec<String>) {
    fleet.client().post("sites", &site("all together"), Change::default()).await.expect("a quorum is there again");
    settled(&fleet).await;
    let [first, others @ ..] = &fleet.ids()[..] else { panic!("a fleet has nodes") };
    let journal = journal_of(&fleet, *first).await;
    for request in asked {
        let times = journal.iter().filter(|line| line.request == request).count();
        assert!(times <= 1, "{request} was never acknowledged, and was carried out {times} times");
    }
    for id in others {
        assert_eq!(journal_of(&fleet, *id).await, journal, "authority node {id} tells what the others tell");
    }
    fleet.stop_and_examine();
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
