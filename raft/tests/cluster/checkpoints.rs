//! When a node writes checkpoints: so often that a start has a bounded piece of the journal to fold.

use bursar_raft::Consistency;

use crate::support::*;

/// Far fewer records than the customary number of revisions.
const DISTANCE_BYTES: u64 = 8 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_is_written_after_so_many_bytes_of_records() {
    let mut cluster = Cluster::new(|_| {});
    let running = cluster.found().await;
    for number in 0..60 {
        cluster.create_site(&running.node, &format!("site {number}")).await.unwrap().outcome.unwrap();
    }
    assert!(running.node.journal().folded_bytes() > DISTANCE_BYTES);
    assert!(running.node.journal().latest_checkpoint().is_none());

    // What a start folds counts.
    cluster.tune = |config| config.checkpoint_bytes = DISTANCE_BYTES;
    let running = cluster.start(1, running.stop().await).await;
    let written = running.node.status_when(soon(), |status| status.snapshot.is_some()).await;
    let first = written.expect("a checkpoint at the start").snapshot;
    let before = running.node.journal().folded_bytes();
    for number in 0..60 {
        cluster.create_site(&running.node, &format!("further site {number}")).await.unwrap().outcome.unwrap();
    }
    let added = running.node.journal().folded_bytes() - before;
    assert!(added > DISTANCE_BYTES, "{added} bytes");
    assert!(running.node.status_when(soon(), |status| status.snapshot > first).await.is_some());
    assert!(running.node.counters().checkpoints_written <= 1 + added / DISTANCE_BYTES + 1, "not with every record");
    running.stop().await;
}

/// A node applies what its leader says is committed also before its own log has synced it: a power cut may then leave a ledger that is
/// ahead of the log.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_log_has_lost_and_the_ledger_has_applied_a_checkpoint_covers() {
    let cluster = Cluster::new(|config| config.checkpoint_every = 20);
    let mut nodes: Vec<Running> = cluster.three().await.into();
    let leader = take_leader(&mut nodes).await;
    let (follower, other) = (nodes.remove(0), nodes.remove(0));
    for number in 0..30 {
        cluster.create_site(&leader.node, &format!("before {number}")).await.unwrap().outcome.unwrap();
    }
    assert!(follower.node.status_when(soon(), |status| status.snapshot.is_some()).await.is_some());
    let early_log = follower.disk.log.crash();
    for number in 0..8 {
        cluster.create_site(&leader.node, &format!("lost {number}")).await.unwrap().outcome.unwrap();
    }
    follower.node.read(Consistency::Linearizable, None, soon()).await.unwrap();
    let (id, disk) = (follower.node.id().0, follower.stop().await);

    let back = cluster.start(id, Disk { log: early_log, ..disk }).await;
    let state = back.node.read(Consistency::Linearizable, None, soon()).await.unwrap();
    assert_eq!(state.sites().len(), 38);
    let status = back.node.status();
    assert!(status.snapshot >= status.purged, "{status:?}");
    for running in [leader, other, back] {
        running.stop().await;
    }
}
