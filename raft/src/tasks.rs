//! What a node does beside answering: it watches its core, counts elections, announces itself, writes checkpoints, and
//! notices that it was removed.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bursar_domain::{
    Actor, AuthorityNodeId, Command, Revision, Submission,
    authority_node::{self, AuthorityNode, Facts, Intent},
};
use bursar_net::words_of;
use bursar_storage::{ledger::Ledger, log::RaftLog};
use futures_util::FutureExt;
use openraft::{ServerState, async_runtime::watch::WatchReceiver, error::Fatal};
use tokio::time::{Instant, sleep};

use crate::{
    counters::Meter,
    duty::submission,
    leadership::Leadership,
    node::Node,
    published::Published,
    stop::{StopReason, StopSignal},
    types::Raft,
};

const A_LONG_TIME: Duration = Duration::from_secs(365 * 24 * 3_600);
/// How long an announcement is tried at a time.
const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a node rests between two announcements.
const BETWEEN_ANNOUNCEMENTS: Duration = Duration::from_secs(1);
/// How often a node that may have been dropped asks whether it still belongs.
const ASK_WHETHER_MEMBER: Duration = Duration::from_secs(2);

/// Runs `work`, which is called `task`. A panic in it stops the node: it must not run on without a part of itself.
pub(crate) async fn watched(task: &'static str, stop: StopSignal, work: impl Future<Output = ()>) {
    if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
        stop.stop(StopReason::TaskPanicked { task, detail: words_of(panic.as_ref()).to_owned() });
    }
}

/// Tells when the core has died. Storage failures have been told before, by those who saw them.
pub(crate) async fn watch_core(leadership: Leadership, stop: StopSignal) {
    let died = |metrics: &crate::types::Metrics| metrics.running_state.clone().err();
    let detail = match leadership.until(Instant::now() + A_LONG_TIME, died).await {
        Some(Fatal::Stopped) => "it ended".to_owned(),
        Some(fatal) => fatal.to_string(),
        None => "it is gone".to_owned(),
    };
    stop.stop(StopReason::CoreDied { detail });
}

/// Tells when the log has failed, also where nobody waits for what failed.
pub(crate) async fn watch_log(log: RaftLog, stop: StopSignal) {
    let failure = log.failed().await;
    stop.stop(StopReason::Storage((*failure).clone()));
}

/// Counts the elections of this node by what it becomes.
pub(crate) async fn count_elections(leadership: Leadership, meter: Arc<Meter>) {
    let mut roles = leadership.roles();
    let mut last = roles.borrow_and_update().state;
    while roles.changed().await.is_ok() {
        let state = roles.borrow_and_update().state;
        match (last, state) {
            // Another term, or other members.
            (before, now) if before == now => {}
            (_, ServerState::Candidate) => meter.elections_started.increment(),
            (ServerState::Candidate, ServerState::Leader) => meter.elections_won.increment(),
            // It was a candidate for so short a time that it was not seen.
            (_, ServerState::Leader) => {
                meter.elections_started.increment();
                meter.elections_won.increment();
            }
            (ServerState::Candidate, ServerState::Follower | ServerState::Learner) => meter.elections_lost.increment(),
            _ => {}
        }
        last = state;
    }
}

/// How far a node goes from one checkpoint to the next: whichever comes first. openraft itself counts the entries of the log.
pub(crate) struct CheckpointDistance {
    pub(crate) revisions: u64,
    /// Of records.
    pub(crate) bytes: u64,
}

/// Has a checkpoint written whenever the last one is so far away.
pub(crate) async fn write_checkpoints(raft: Raft, ledger: Ledger, published: Arc<Published>, distance: CheckpointDistance) {
    let mut last = ledger.latest_checkpoint().map_or(0, |latest| latest.manifest().applied.revision.0);
    // What was folded when the ledger was opened lies behind the last checkpoint, too.
    let mut last_bytes = 0;
    let mut revisions = published.revisions();
    loop {
        let is_due = |revision: &Revision| {
            revision.0 >= last.saturating_add(distance.revisions) || ledger.folded_bytes() >= last_bytes + distance.bytes
        };
        let Ok(revision) = revisions.wait_for(is_due).await.map(|revision| revision.0) else { return };
        let bytes = ledger.folded_bytes();
        if raft.trigger().snapshot().await.is_err() {
            return;
        }
        (last, last_bytes) = (revision, bytes);
    }
}

/// Tells the ledger how this node runs, whenever that is not what the ledger says.
///
/// Begins before the node has caught up: where it has moved, nobody finds it before it has said so.
pub(crate) async fn announce(node: Node, published: Arc<Published>, facts: Facts) {
    let (id, mut changes) = (node.id(), published.nodes_changed());
    loop {
        let state = node.latest();
        let known = state.authority_nodes().get(id).filter(|known| known.intent.is_present());
        match known.filter(|known| !says(known, &facts)) {
            Some(known) => {
                announce_once(&node, known, &facts).await;
                sleep(BETWEEN_ANNOUNCEMENTS).await;
            }
            None if changes.changed().await.is_err() => return,
            None => {}
        }
    }
}

async fn announce_once(node: &Node, known: &AuthorityNode, facts: &Facts) {
    let command = Command::AuthorityNode(authority_node::Command::Announce { node: known.id, facts: facts.clone() });
    // Nothing was planned: what a node says of itself holds whatever the ledger said before.
    let announcement = Submission {
        planned_on: None,
        ..submission(Actor::AuthorityNode(known.id), known.changed.revision, known.id.into(), command)
    };
    match node.submit(announcement, Instant::now() + ANNOUNCE_TIMEOUT).await.map(|applied| applied.outcome) {
        Ok(Ok(_)) => {}
        Ok(Err(rejection)) => tracing::warn!(%rejection, "the cluster does not take what this node says of itself"),
        Err(error) => tracing::debug!(%error, "this node could not announce itself yet"),
    }
}

fn says(known: &AuthorityNode, facts: &Facts) -> bool {
    let Facts { store, peer_address, api_address, control_address, version, supported } = facts;
    known.store == *store
        && known.peer_address.as_str() == peer_address
        && known.api_address.as_str() == api_address
        && known.control_address.as_str() == control_address
        && known.version.as_str() == version
        && known.supported == *supported
}

/// Stops the node when the state says that it was removed.
pub(crate) async fn notice_removal(id: AuthorityNodeId, published: Arc<Published>, stop: StopSignal) {
    let mut changes = published.nodes_changed();
    loop {
        let removed = published.state().authority_nodes().get(id).is_some_and(|node| node.intent == Intent::Removed);
        if removed {
            stop.stop(StopReason::Removed);
            return;
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Lets a node that does not vote, or knows of no leader, call the others now and then. Were it dropped, nobody would call it
/// any more; but whom it calls refuses it, and says why.
pub(crate) async fn ask_whether_member(node: Node) {
    loop {
        sleep(ASK_WHETHER_MEMBER).await;
        let status = node.status();
        if !status.voters.contains(&node.id()) || status.leader.is_none() {
            node.greet_others(Instant::now() + ASK_WHETHER_MEMBER).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use bursar_domain::StoreId;
    use bursar_net::{Blocking, ThreadBlocking};
    use bursar_storage::{engine::MemoryEngine, log::LogPosition};

    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_stops_the_node_and_one_that_ends_does_not() {
        let stop = StopSignal::default();
        watched("what ends", stop.clone(), async {}).await;
        assert_eq!(stop.reason(), None);
        watched("the duties", stop.clone(), async { panic!("out of luck") }).await;
        let expected = StopReason::TaskPanicked { task: "the duties", detail: "out of luck".into() };
        assert_eq!(stop.reason(), Some(expected));
    }

    #[tokio::test]
    async fn a_log_that_fails_while_nobody_waits_for_it_stops_the_node() {
        let engine = MemoryEngine::new();
        let (store, worker) = (StoreId([1; 16]), ThreadBlocking.worker("raft-log"));
        RaftLog::make(&engine, store).expect("an empty engine");
        let log = RaftLog::open(Arc::new(engine.clone()), store, worker, 0).expect("the log that was made");
        let stop = StopSignal::default();
        engine.fail_sync(1);
        log.purge(LogPosition { term: 1, index: 7 }).expect("it is asked for");
        watch_log(log, stop.clone()).await;
        assert!(matches!(stop.reason(), Some(StopReason::Storage(_))), "{:?}", stop.reason());
    }
}
