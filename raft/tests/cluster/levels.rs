//! A program that is older than what the cluster has agreed on.

use bursar_domain::{Command, Level, State, cluster};
use bursar_raft::{NodeConfig, StartError, StopReason};

use crate::support::*;

const NEWER: Level = Level(Level::SUPPORTED.0 + 1);
const TOO_OLD: StopReason = StopReason::Outdated { agreed: NEWER, supported: Level::SUPPORTED };

fn newer_program(config: &mut NodeConfig) {
    config.checkpoint_every = 20;
    config.log_kept = 0;
    config.facts.supported = NEWER;
    config.supported = NEWER;
}

/// Says that it is newer than it is, so that the cluster does not wait for it.
fn older_program(config: &mut NodeConfig) {
    newer_program(config);
    config.supported = Level::SUPPORTED;
}

/// Waits until all nodes have said that they support the newer level.
async fn all_support(running: &Running) {
    let supports = |state: &State| state.authority_nodes().iter().all(|node| node.supported == NEWER);
    let mut revisions = running.node.revisions();
    let said = tokio::time::timeout(PATIENCE, revisions.wait_for(|_| supports(&running.node.latest())));
    said.await.expect("all nodes announce themselves soon").unwrap();
}

async fn raise_level(cluster: &Cluster, through: &Running) {
    all_support(through).await;
    let raise = Command::Cluster(cluster::Command::RaiseLevel { level: NEWER });
    // A node that is too old stops over it, and answers nobody.
    let _answer = cluster.submit(&through.node, ADMINISTRATOR, raise).await.map(|applied| applied.outcome.unwrap());
}

async fn stopped(running: &Running) -> StopReason {
    tokio::time::timeout(PATIENCE, running.node.stopped()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_too_old_for_the_level_stops_and_does_not_start() {
    let mut cluster = Cluster::new(older_program);
    let first = cluster.found().await;
    raise_level(&cluster, &first).await;
    let reason = stopped(&first).await;
    assert_eq!(reason, TOO_OLD);
    let words = reason.to_string();
    assert!(words.contains("level 2") && words.contains("level 1") && words.contains("install the newer program"), "{words}");
    let disk = first.stop().await;
    // The entry is in the log, and is not applied: neither before the node has started nor as soon as it leads.
    let reason = match cluster.try_start(1, disk.clone()).await {
        Ok(again) => {
            let reason = stopped(&again).await;
            again.stop().await;
            reason
        }
        Err(StartError::Outdated(reason)) => reason,
        Err(other) => panic!("{other}"),
    };
    assert_eq!(reason, TOO_OLD);

    // The newer program applies it; then the older one does not even begin.
    cluster.tune = newer_program;
    let newer = cluster.start(1, disk).await;
    cluster.create_site(&newer.node, "Bern").await.unwrap().outcome.unwrap();
    assert_eq!(newer.node.latest().level(), NEWER);
    let disk = newer.stop().await;
    cluster.tune = older_program;
    let refused = cluster.try_start(1, disk).await.err();
    assert_eq!(refused, Some(StartError::Outdated(TOO_OLD)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_too_old_for_a_snapshot_stops() {
    let mut cluster = Cluster::new(newer_program);
    let mut nodes: Vec<Running> = cluster.three().await.into();
    // All have said what they support before one goes away.
    all_support(&nodes[0]).await;
    let away = nodes.iter().position(|running| running.node.status().leader != Some(running.node.id())).unwrap();
    let away = nodes.remove(away);
    let id = away.node.id().0;
    let disk = away.stop().await;
    raise_level(&cluster, &nodes[0]).await;
    let raised = nodes[0].node.status().applied;
    for number in 0..50 {
        cluster.create_site(&nodes[0].node, &format!("site {number}")).await.unwrap().outcome.unwrap();
    }
    for running in &nodes {
        let purged = running.node.status_when(soon(), |status| status.purged > raised).await;
        assert!(purged.is_some(), "what raised the level is purged");
    }
    cluster.tune = older_program;
    let back = cluster.start(id, disk).await;
    assert_eq!(stopped(&back).await, TOO_OLD);
    assert_ne!(back.node.latest().level(), NEWER, "nothing of it was shown");
    assert_eq!(back.node.counters().snapshot_chunks_received.min(1), 1);
    for running in nodes.into_iter().chain([back]) {
        running.stop().await;
    }
}
