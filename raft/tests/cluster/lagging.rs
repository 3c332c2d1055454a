//! Nodes that were away: they get from the log what is there, and from a snapshot what is not.

use bursar_domain::Revision;
use bursar_net::{Lane, Link};
use bursar_raft::{Consistency, ReadError, Unavailability};
use bursar_storage::log::Vote;
use tokio::time::{Instant, timeout};

use crate::{
    impostors::{Sender, message},
    quiet::{Reign, undisturbed},
    support::*,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_held_back_past_a_purge_receives_the_state_and_only_the_records_that_it_lacks() {
    undisturbed(receives_the_state_and_only_the_records_that_it_lacks).await;
}

/// Holds a follower back past a purge, and tells whether one leader alone brought it up to date. Another one would offer a snapshot
/// of its own, also to a node that has half of the first.
async fn receives_the_state_and_only_the_records_that_it_lacks() -> bool {
    let cluster = Cluster::new(|config| {
        config.checkpoint_every = 50;
        config.log_kept = 10;
    });
    let mut nodes: Vec<Running> = cluster.three().await.into();
    for number in 0..20 {
        cluster.create_site(&nodes[0].node, &format!("before {number}")).await.unwrap().outcome.unwrap();
    }
    // Not the leader, so that the others go on at once.
    let away = nodes.iter().position(|running| running.node.status().leader != Some(running.node.id())).unwrap();
    let away = nodes.remove(away);
    let (id, had) = (away.node.id().0, away.node.read(Consistency::Linearizable, None, soon()).await.unwrap().revision());
    let last_entry = away.node.status().last_log.unwrap();
    let disk = away.stop().await;

    for number in 0..200 {
        cluster.create_site(&nodes[0].node, &format!("meanwhile {number}")).await.unwrap().outcome.unwrap();
    }
    for running in &nodes {
        let purged = running.node.status_when(soon(), |status| status.purged > Some(last_entry)).await;
        assert!(purged.is_some(), "what the absent one lacks is purged");
    }
    let reign = Reign::of(&nodes[leader_place(&nodes).await]);
    let back = cluster.start(id, disk).await;
    let state = back.node.read(Consistency::Linearizable, None, soon()).await.unwrap();
    assert_eq!(state.sites().len(), 220);

    let received = back.node.counters();
    let covered = back.node.status().snapshot.unwrap();
    assert!(covered > last_entry);
    let snapshot = back.node.journal().latest_checkpoint().unwrap().manifest().applied.revision;
    let sent: u64 = nodes.iter().map(|running| running.node.counters().snapshot_records_sent).sum();
    let led_on = reign.lasts();
    if led_on {
        assert_eq!(received.snapshots_installed, 1);
        assert!(received.snapshot_records_received <= snapshot.0 - had.0, "{received:?}, it had {had}");
        assert_eq!(sent, received.snapshot_records_received);
    }
    assert!(received.snapshots_installed > 0);
    assert!(received.snapshot_records_received > 0);
    assert!(received.snapshot_chunks_received > 0);

    // It serves the whole history.
    let ours = back.node.journal().records(Revision::ZERO, state.revision(), usize::MAX).unwrap();
    let theirs = nodes[0].node.journal().records(Revision::ZERO, state.revision(), usize::MAX).unwrap();
    assert_eq!(ours.len() as u64, state.revision().0);
    assert_eq!(ours, theirs);
    for running in nodes.into_iter().chain([back]) {
        running.stop().await;
    }
    led_on
}

/// Offers a snapshot, and returns once the receiver waits for it.
async fn begin_to_send(cluster: &Cluster, leader: (u64, [u8; 16]), to: &Running, offer: &Sender) -> Link {
    let mut link = cluster.call(leader, to, Lane::Snapshot).await;
    link.writer.send_raw(message(offer)).await.unwrap();
    let answer = timeout(PATIENCE / 4, link.reader.receive_raw()).await.expect("it is its turn at once").unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("missing"), "{answer:?}");
    link
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_fell_silent_holds_up_no_newer_one() {
    let cluster = Cluster::new(|config| {
        config.checkpoint_every = 20;
        config.log_kept = 0;
    });
    let mut nodes: Vec<Running> = cluster.three().await.into();
    let leader = take_leader(&mut nodes).await;
    let (away, other) = (nodes.remove(0), nodes.remove(0));
    let last_entry = away.node.status().last_log;
    let (away_id, away_disk) = (away.node.id().0, away.stop().await);
    for number in 0..100 {
        cluster.create_site(&leader.node, &format!("meanwhile {number}")).await.unwrap().outcome.unwrap();
    }
    for running in [&leader, &other] {
        let purged = running.node.status_when(soon(), |status| status.purged > last_entry).await;
        assert!(purged.is_some(), "what the absent one lacks is purged");
    }
    let identity = leader.identity();
    let vote = Vote { term: leader.node.status().term, leader: identity.0, committed: true };
    let manifest = leader.node.journal().latest_checkpoint().unwrap().manifest().encode().to_vec();
    let (other_id, other_disk) = (other.node.id().0, other.stop().await);
    let leader_disk = leader.stop().await;

    // The leader begins twice, and says no more.
    let back = cluster.start(away_id, away_disk).await;
    let offer = Sender::Offer { vote, manifest };
    let mut first = begin_to_send(&cluster, identity, &back, &offer).await;
    let mut second = begin_to_send(&cluster, identity, &back, &offer).await;
    let closed = timeout(PATIENCE / 4, first.reader.receive_raw()).await.expect("its turn was taken at once");
    assert!(closed.is_err(), "{closed:?}");

    // The next leader does not wait for it either.
    let others = [cluster.start(identity.0, leader_disk).await, cluster.start(other_id, other_disk).await];
    let state = back.node.read(Consistency::Linearizable, None, Instant::now() + PATIENCE / 4).await.unwrap();
    assert_eq!(state.sites().len(), 100);
    // More than one where the leadership moves once more meanwhile.
    assert_ne!(back.node.counters().snapshots_installed, 0, "what it lacks is in nobody's log");
    let closed = timeout(PATIENCE / 4, second.reader.receive_raw()).await.expect("its turn was taken at once");
    assert!(closed.is_err(), "{closed:?}");
    for running in others.into_iter().chain([back]) {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joins_behind_a_purge_becomes_a_voter() {
    let cluster = Cluster::new(|config| {
        config.checkpoint_every = 20;
        config.log_kept = 0;
    });
    let first = cluster.found().await;
    for number in 0..100 {
        cluster.create_site(&first.node, &format!("site {number}")).await.unwrap().outcome.unwrap();
    }
    let purged = first.node.status_when(soon(), |status| status.purged.is_some()).await;
    assert!(purged.is_some());
    let second = cluster.join(&first.node, 2).await;
    let votes = second.node.status_when(soon(), |status| status.voters.len() == 2 && status.recovered).await;
    assert!(votes.is_some());
    let state = second.node.read(Consistency::Linearizable, None, soon()).await.unwrap();
    assert_eq!(state.sites().len(), 100);
    assert_eq!(second.node.counters().snapshots_installed, 1);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_not_caught_up_shows_only_what_it_has() {
    let cluster = Cluster::new(|_| {});
    let nodes = cluster.three().await;
    cluster.create_site(&nodes[0].node, "Bern").await.unwrap().outcome.unwrap();
    let mut disks = Vec::new();
    for running in nodes {
        disks.push(running.stop().await);
    }
    let [first, second, third] = disks.try_into().ok().unwrap();

    let alone = cluster.start(1, first).await;
    let a_moment = || Instant::now() + std::time::Duration::from_millis(50);
    let refused = alone.node.read(Consistency::Linearizable, None, a_moment()).await.unwrap_err();
    let alone_is_told = matches!(refused, ReadError::Unavailable { reason: Unavailability::NoLeader, .. });
    assert!(alone_is_told, "{refused}");
    assert!(!alone.node.status().recovered);
    // Without the others it may never catch up, and is looked at then more than ever.
    let state = alone.node.read(Consistency::Stale, None, a_moment()).await.unwrap();
    assert_eq!(state.sites().len(), 1);
    let others = [cluster.start(2, second).await, cluster.start(3, third).await];
    let state = alone.node.read(Consistency::Linearizable, None, soon()).await.unwrap();
    assert_eq!(state.sites().len(), 1);
    for running in others.into_iter().chain([alone]) {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_start_again_with_everything_that_was_acknowledged() {
    let cluster = Cluster::new(|config| config.checkpoint_every = 30);
    let nodes = cluster.three().await;
    for number in 0..100_usize {
        cluster.create_site(&nodes[number % 3].node, &format!("site {number}")).await.unwrap().outcome.unwrap();
    }
    let mut disks = Vec::new();
    for running in nodes {
        let disk = running.stop().await;
        // A power cut: what was not synced is gone.
        disks.push(Disk { log: disk.log.crash(), ledger: disk.ledger.crash(), store: disk.store });
    }
    let mut again = Vec::new();
    for (id, disk) in (1..).zip(disks) {
        again.push(cluster.start(id, disk).await);
    }
    for running in &again {
        let state = running.node.read(Consistency::Linearizable, None, soon()).await.unwrap();
        assert_eq!(state.sites().len(), 100);
    }
    for running in again {
        running.stop().await;
    }
}
