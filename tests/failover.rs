//! Nodes are killed under load, again and again: what was acknowledged stays, once, and whoever follows the events misses none
//! and sees none twice. Nor does it alarm anybody that storage servers lose whom they speak with.

mod support;

use bursar_wire::servers::ServerCondition;
use support::{
    Fleet,
    storage::{StorageServer, open_alerts},
    traffic::{Traffic, settled},
};

const KILLS: u32 = 20;
/// How many writes must be acknowledged after a fault before the next one.
const PROGRESS: u64 = 15;

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_the_leader_and_of_all_nodes_lose_and_double_nothing() {
    let mut fleet = Fleet::start();
    let server = StorageServer::join(&fleet, "store").await;
    let traffic = Traffic::of(&fleet);
    traffic.progress(PROGRESS).await;

    let mut gaps = Vec::new();
    for kill in 1..=KILLS {
        let killed_at = traffic.record().now();
        let leader = fleet.leader().await;
        fleet.kill(leader);
        traffic.progress(PROGRESS).await;
        gaps.push(traffic.longest_gap(killed_at));
        fleet.restart(leader);
        // Now and then the next leader falls before this one is back, so that for a while nobody can be elected.
        if kill % 5 != 0 {
            fleet.ready(leader).await;
        }
    }
    gaps.sort_unstable();
    println!("gaps in acknowledged writes over {KILLS} kills of the leader, sorted: {gaps:.2?}");

    let killed_at = traffic.record().now();
    fleet.kill_all();
    for id in fleet.ids() {
        fleet.restart(id);
    }
    traffic.progress(PROGRESS).await;
    println!("gap in acknowledged writes when all nodes were killed at once: {:.2?}", traffic.longest_gap(killed_at));
    for id in fleet.ids() {
        fleet.ready(id).await;
    }

    server.until_it_is(&fleet, ServerCondition::Online).await;
    let alerts = open_alerts(&fleet).await;
    assert!(alerts.is_empty(), "no alert was raised for silence that the authority itself caused: {alerts:?}");

    let history = traffic.end(&fleet).await;
    let unknown = history.writes.iter().filter(|write| write.acknowledgement.is_none()).count();
    println!(
        "{} writes acknowledged, {unknown} without an outcome, {} linearizable reads, {} streams, {} events",
        history.writes.len() - unknown,
        history.reads.len(),
        history.streams.len(),
        history.journals[&1].len(),
    );
    history.assert_sound();
    settled(&fleet).await;
    fleet.stop_and_examine();
    // Not before: that it is gone would be recorded while the nodes end, and some would no longer be there to hear it.
    drop(server);
}
