//! When a node writes checkpoints: so often that a start has a bounded piece of the journal to fold.

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
