//! Whether a node can serve, as it says itself.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bursar_raft::NodeStatus;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_lost_its_quorum_does_not_say_that_it_can_serve() {
    let cluster = Cluster::new(|_| {});
    let mut nodes: Vec<Running> = cluster.three().await.into();
    let former = take_leader(&mut nodes).await;
    let id = former.node.id();
    let confirmed = |status: &NodeStatus| status.confirmed;
    assert!(former.node.status_when(soon(), confirmed).await.is_some());

    cluster.cuts.cut_off(id.0);
    let alone = former.node.status_when(soon(), |status| !status.confirmed).await.unwrap();
    assert_eq!(alone.leader, Some(id), "it has heard of no other leader, and still does not say that it can serve");
    assert!(alone.recovered);
    assert!(alone.confirmed_ms_ago.is_some(), "how old what it knows may be counts on from the last confirmation");
    // The others go on with another leader.
    let goes_on = |status: &NodeStatus| status.confirmed && status.leader.is_some_and(|leader| leader != id);
    for running in &nodes {
        assert!(running.node.status_when(soon(), goes_on).await.is_some());
    }
    cluster.cuts.heal(id.0);
    assert!(former.node.status_when(soon(), goes_on).await.is_some());
    for running in nodes.into_iter().chain([former]) {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_lost_the_leader_does_not_say_that_it_can_serve() {
    let cluster = Cluster::new(|_| {});
    let mut nodes: Vec<Running> = cluster.three().await.into();
    let leader = take_leader(&mut nodes).await;
    let away = &nodes[0];
    assert!(away.node.status_when(soon(), |status| status.confirmed).await.is_some());
    cluster.cuts.cut_off(away.node.id().0);
    assert!(away.node.status_when(soon(), |status| !status.confirmed).await.is_some());
    cluster.cuts.heal(away.node.id().0);
    assert!(away.node.status_when(soon(), |status| status.confirmed).await.is_some());
    for running in nodes.into_iter().chain([leader]) {
        running.stop().await;
    }
}

/// How many writes are under way at a time, so that a follower's log is always ahead of what it knows to be committed.
const WRITERS: u64 = 256;
/// How many writes a node may miss before it has recovered. It takes a few hundred to find the leader and ask it.
const WRITES_MAX: u64 = 8_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_under_a_stream_of_writes_recovers_while_it_lasts() {
    let cluster = Arc::new(Cluster::new(|_| {}));
    let mut nodes: Vec<Running> = cluster.three().await.into();
    let leader = take_leader(&mut nodes).await;
    let (away, stays) = (nodes.remove(0), nodes.remove(0));
    let id = away.node.id().0;
    let disk = away.stop().await;

    let names = Arc::new(AtomicU64::new(0));
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (cluster, node, names) = (Arc::clone(&cluster), leader.node.clone(), Arc::clone(&names));
        writers.spawn(async move {
            loop {
                let name = format!("site {}", names.fetch_add(1, Ordering::Relaxed));
                cluster.create_site(&node, &name).await.unwrap().outcome.unwrap();
            }
        });
    }
    let mut revisions = leader.node.revisions();
    let begun = leader.node.latest().revision().plus(WRITERS);
    revisions.wait_for(|revision| *revision >= begun).await.unwrap();

    let back = cluster.start(id, disk).await;
    let too_late = leader.node.latest().revision().plus(WRITES_MAX);
    tokio::select! {
        recovered = back.node.status_when(soon(), |status| status.recovered) => assert!(recovered.is_some()),
        _ = revisions.wait_for(|revision| *revision >= too_late) => panic!("not recovered: {:?}", back.node.status()),
    }
    // The stream still flows.
    let still = leader.node.latest().revision().plus(WRITERS);
    revisions.wait_for(|revision| *revision >= still).await.unwrap();
    writers.shutdown().await;
    for running in [leader, stays, back] {
        running.stop().await;
    }
}
