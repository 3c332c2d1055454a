//! From one node to three, and what three do together.

use std::collections::BTreeSet;

use bursar_domain::Revision;
use bursar_raft::{Consistency, Role};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn one_node_founds_a_cluster_and_decides() {
    let cluster = Cluster::new(|_| {});
    let first = cluster.found().await;
    let applied = cluster.create_site(&first.node, "Bern").await.unwrap();
    assert_eq!(made(&applied.outcome), 1);
    let state = first.node.read(Consistency::Linearizable, Some(applied.revision), soon()).await.unwrap();
    assert_eq!(state.sites().len(), 1);
    assert_eq!(first.node.status().role, Role::Leader);
    first.node.found().await.expect_err("a cluster is founded once");
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_decide_alike_whoever_is_asked() {
    let cluster = Cluster::new(|_| {});
    let nodes = cluster.three().await;
    let mut asked = tokio::task::JoinSet::new();
    const EACH: u64 = 100;
    for running in &nodes {
        let (id, node) = (running.node.id(), running.node.clone());
        for number in 0..EACH {
            let submission = cluster.submission(ADMINISTRATOR, create_site(&format!("site {id} {number}")));
            let node = node.clone();
            asked.spawn(async move {
                let applied = node.submit(submission, soon()).await.unwrap();
                let revision = node.latest().revision();
                assert!(revision >= applied.revision, "who was told of {} reads {revision}", applied.revision);
                (made(&applied.outcome), applied.revision)
            });
        }
    }
    let made: Vec<(u64, Revision)> = asked.join_all().await;
    let sites: BTreeSet<u64> = made.iter().map(|(site, _)| *site).collect();
    assert_eq!(sites, (1..=3 * EACH).collect(), "none is lost, none is doubled");
    let revisions: BTreeSet<Revision> = made.iter().map(|(_, revision)| *revision).collect();
    assert_eq!(revisions.len(), made.len(), "each has a revision of its own");

    let mut digests = BTreeSet::new();
    let last = *revisions.last().unwrap();
    for running in &nodes {
        let state = running.node.read(Consistency::Linearizable, Some(last), soon()).await.unwrap();
        assert_eq!(state.sites().len() as u64, 3 * EACH);
        digests.insert((state.revision(), state.head(), state.digest().to_string()));
    }
    assert_eq!(digests.len(), 1, "{digests:?}");
    let forwarded: u64 = nodes.iter().map(|running| running.node.counters().submissions_forwarded).sum();
    assert!(forwarded >= 2 * EACH, "{forwarded} of the followers' submissions went to the leader");
    for running in nodes {
        running.stop().await;
    }
}
