//! What a node does when it cannot: no quorum, too much to do, a failing disk.

use std::time::Duration;

use bursar_domain::{Rejection, Revision};
use bursar_raft::{Consistency, Fate, Limits, ReadError, StopReason, SubmitError, Unavailability};
use bursar_storage::{
    StorageError,
    engine::{Batch, Engine, Space},
};
use bytes::Bytes;
use tokio::time::Instant;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_writes_and_fresh_reads_end_in_time_and_stale_reads_go_on() {
    let cluster = Cluster::new(|_| {});
    let mut nodes: Vec<Running> = cluster.three().await.into();
    let leader = take_leader(&mut nodes).await;
    cluster.create_site(&leader.node, "Bern").await.unwrap().outcome.unwrap();
    let mut disks = Vec::new();
    for running in nodes {
        disks.push((running.node.id().0, running.stop().await));
    }
    let brief = || Instant::now() + Duration::from_secs(3);
    let submission = submission(ADMINISTRATOR, "lonely", create_site("Chur"));
    let refused = leader.node.submit(submission.clone(), brief()).await.unwrap_err();
    assert!(matches!(refused, SubmitError::Unavailable { .. }), "{refused}");
    // By now the lease is over: nothing more is appended.
    let other = crate::support::submission(ADMINISTRATOR, "lonelier", create_site("Davos"));
    let refused = leader.node.submit(other, brief()).await.unwrap_err();
    let certain = matches!(
        refused,
        SubmitError::Unavailable { reason: Unavailability::NoQuorum | Unavailability::NoLeader, fate: Fate::NotDone, .. }
    );
    assert!(certain, "{refused:?}");
    let refused = leader.node.read(Consistency::Linearizable, None, brief()).await.unwrap_err();
    assert!(matches!(refused, ReadError::Unavailable { .. }), "{refused}");
    let state = leader.node.read(Consistency::Stale, None, brief()).await.unwrap();
    assert_eq!(state.sites().len(), 1);

    // The unknown one is told by the same request, once there is a quorum again.
    let (id, disk) = disks.pop().unwrap();
    let back = cluster.start(id, disk).await;
    let told = leader.node.submit(submission, soon()).await.unwrap();
    told.outcome.unwrap();
    let state = back.node.read(Consistency::Linearizable, None, soon()).await.unwrap();
    let names: Vec<_> = state.sites().iter().map(|site| site.name.as_str().to_owned()).collect();
    assert_eq!(names, ["Bern", "Chur"]);
    back.stop().await;
    leader.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_is_not_here_is_waited_for_and_then_refused() {
    let cluster = Cluster::new(|_| {});
    let first = cluster.found().await;
    let at = first.node.latest().revision();
    let beyond = at.plus(1);
    let a_moment = Instant::now() + Duration::from_millis(50);
    let refused = first.node.read(Consistency::Stale, Some(beyond), a_moment).await.unwrap_err();
    assert!(matches!(refused, ReadError::Behind { asked, at: here, .. } if asked == beyond && here == at), "{refused}");
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_refused_at_once() {
    let cluster = Cluster::new(|config| {
        config.limits = Limits { proposals: 2, proposal_bytes: 1 << 20, one_proposal_bytes: 4_096 };
    });
    let mut nodes: Vec<Running> = cluster.three().await.into();
    let leader = take_leader(&mut nodes).await;

    let long = crate::support::submission(ADMINISTRATOR, "long", create_site(&"n".repeat(5_000)));
    let refused = nodes[0].node.submit(long, soon()).await.unwrap_err();
    assert!(matches!(refused, SubmitError::TooLarge { bytes_max: 4_096, .. }), "{refused}");

    // Without a quorum nothing that was taken is decided, so two fill the leader.
    for running in nodes {
        running.stop().await;
    }
    let mut tried = tokio::task::JoinSet::new();
    for number in 0..8 {
        let submission = cluster.submission(ADMINISTRATOR, create_site(&format!("site {number}")));
        let node = leader.node.clone();
        tried.spawn(async move { node.submit(submission, Instant::now() + Duration::from_secs(5)).await });
    }
    let refused = tried.join_all().await;
    let overloaded = refused.iter().filter(|outcome| matches!(outcome, Err(SubmitError::Overloaded { .. }))).count();
    assert!(overloaded >= 1, "{refused:?}");
    assert!(leader.node.counters().submissions_overloaded as usize >= overloaded);
    leader.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_of_the_log_stops_the_node() {
    let cluster = Cluster::new(|_| {});
    let first = cluster.found().await;
    cluster.create_site(&first.node, "Bern").await.unwrap().outcome.unwrap();
    first.disk.log.fail_sync(1);
    let refused = cluster.create_site(&first.node, "Chur").await;
    assert_eq!(refused, Err(SubmitError::Stopped { fate: Fate::Unknown }), "what was not synced is not acknowledged");
    let reason = tokio::time::timeout(PATIENCE, first.node.stopped()).await.unwrap();
    assert!(matches!(reason, StopReason::Storage(_)), "{reason}");
    assert!(reason.to_string().contains("failed to sync"), "{reason}");
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_the_log_stops_the_node_at_once() {
    let cluster = Cluster::new(|_| {});
    let first = cluster.found().await;
    first.disk.log.panic_in_sync(1);
    let refused = tokio::time::timeout(PATIENCE / 4, cluster.create_site(&first.node, "Chur")).await;
    assert_eq!(refused.expect("nobody waits for a log that is gone"), Err(SubmitError::Stopped { fate: Fate::Unknown }));
    let reason = tokio::time::timeout(PATIENCE, first.node.stopped()).await.unwrap();
    assert!(matches!(reason, StopReason::Storage(StorageError::Panicked { .. })), "{reason}");
    assert!(reason.to_string().contains("injected"), "{reason}");
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_of_the_journal_stops_the_node() {
    let cluster = Cluster::new(|_| {});
    let first = cluster.found().await;
    first.disk.ledger.fail_write(1);
    assert_eq!(cluster.create_site(&first.node, "Chur").await, Err(SubmitError::Stopped { fate: Fate::Unknown }));
    let reason = tokio::time::timeout(PATIENCE, first.node.stopped()).await.unwrap();
    assert!(matches!(reason, StopReason::Storage(_)), "{reason}");
    first.stop().await;
}

/// A node alone, with a journal of which only the end is in memory, and a log that does not go back to its beginning.
async fn with_a_long_journal(cluster: &Cluster) -> Running {
    let first = cluster.found().await;
    for number in 0..50 {
        cluster.create_site(&first.node, &format!("site {number}")).await.unwrap().outcome.unwrap();
    }
    assert!(first.node.status_when(soon(), |status| status.purged.is_some()).await.is_some());
    cluster.start(1, first.stop().await).await
}

/// Spoils the first record of a journal, which nothing has read since the node was started.
fn damage_the_journal(running: &Running) {
    let mut batch = Batch::new();
    batch.put(Space::Journal, Bytes::copy_from_slice(&1_u64.to_be_bytes()), Bytes::from_static(b"no record"));
    running.disk.ledger.write(&batch).unwrap();
}

fn long_journal(config: &mut bursar_raft::NodeConfig) {
    config.checkpoint_every = 20;
    config.log_kept = 0;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_a_reader_of_the_journal_finds_stops_the_node() {
    let cluster = Cluster::new(long_journal);
    let running = with_a_long_journal(&cluster).await;
    damage_the_journal(&running);
    let found = running.node.records(Revision::ZERO, Revision(5), usize::MAX).await.unwrap_err();
    assert!(found.is_damage(), "{found}");
    let reason = tokio::time::timeout(PATIENCE, running.node.stopped()).await.unwrap();
    assert_eq!(reason, StopReason::Storage(found));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_is_found_while_a_snapshot_is_sent_stops_the_sender() {
    let cluster = Cluster::new(long_journal);
    let running = with_a_long_journal(&cluster).await;
    damage_the_journal(&running);
    let newcomer = cluster.join(&running.node, 2).await;
    let reason = tokio::time::timeout(PATIENCE, running.node.stopped()).await.unwrap();
    assert!(matches!(reason, StopReason::Storage(StorageError::Damaged { .. })), "{reason}");
    newcomer.stop().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_an_outcome_and_says_why() {
    let cluster = Cluster::new(|_| {});
    let nodes = cluster.three().await;
    cluster.create_site(&nodes[0].node, "Bern").await.unwrap().outcome.unwrap();
    for running in &nodes {
        let refused = cluster.create_site(&running.node, "BERN").await.unwrap().outcome.unwrap_err();
        assert!(matches!(refused, Rejection::NameTaken { .. }), "{refused}");
    }
    for running in nodes {
        running.stop().await;
    }
}
