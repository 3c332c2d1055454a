//! Linearizable reads: up to which entry of the log must be applied what a read sees.
//!
//! One round that confirms the leadership serves all reads that wait when it begins. On another node than the leader a round
//! is one question to the leader, shared alike; there it joins the leader's own rounds.

use std::sync::Arc;

use bursar_domain::mutants::{Mutant, planted};
use bursar_net::Lane;
use openraft::{
    ReadPolicy,
    async_runtime::watch::WatchReceiver,
    error::{LinearizableReadError, RaftError},
};
use tokio::time::Instant;

use crate::{
    config::NodeConfig,
    counters::Meter,
    error::Unavailability,
    leadership::{Leader, Leadership},
    peers::{AskError, Peers},
    rounds::Rounds,
    types::Raft,
    wire::{
        self,
        forward::{Answer, Question},
    },
};

/// The index up to which must be applied what a read sees, or why that could not be confirmed.
pub(crate) type Round = Result<u64, RoundError>;

/// Why a round confirmed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoundError {
    /// It passes: another round may fare better.
    Unavailable(Unavailability),
    /// The core has stopped.
    Stopped,
}

/// Confirms for reads that they will see all that was committed before they came.
pub(crate) struct ReadIndex {
    leadership: Leadership,
    /// Rounds that this node's own core answers, as the leader.
    own: Arc<Rounds<Round>>,
    /// Rounds that another node answers, as the leader.
    asked: Arc<Rounds<Round>>,
}

impl ReadIndex {
    pub(crate) fn new(config: &NodeConfig, raft: &Raft, leadership: &Leadership, peers: &Arc<Peers>, meter: &Arc<Meter>) -> Self {
        let timeout = config.round_timeout();
        let overdue = Err(RoundError::Unavailable(Unavailability::NoQuorum));
        let own = {
            let (raft, meter) = (raft.clone(), Arc::clone(meter));
            Rounds::new(timeout, overdue, move || {
                meter.read_rounds.increment();
                confirm(raft.clone())
            })
        };
        let asked = {
            let (leadership, peers) = (leadership.clone(), Arc::clone(peers));
            Rounds::new(timeout, overdue, move || ask(leadership.clone(), Arc::clone(&peers), Instant::now() + timeout))
        };
        Self { leadership: leadership.clone(), own, asked }
    }

    /// A round that begins from now on, wherever the leader is.
    pub(crate) async fn round(&self) -> Round {
        match self.leadership.leader() {
            Leader::Own => self.own.next().await,
            Leader::Other(_) => self.asked.next().await,
            Leader::Unknown => Err(RoundError::Unavailable(Unavailability::NoLeader)),
        }
    }

    /// A round that this node answers for, because it leads; for the others.
    pub(crate) async fn round_as_leader(&self) -> Round {
        match self.leadership.leader() {
            Leader::Own => self.own.next().await,
            Leader::Other(_) | Leader::Unknown => Err(RoundError::Unavailable(Unavailability::NoLeader)),
        }
    }
}

/// One round of heartbeats of this node's own core.
async fn confirm(raft: Raft) -> Round {
    if planted(Mutant::UnconfirmedReads) {
        let applied = raft.metrics().borrow_watched().last_applied.map(|last| last.index);
        return applied.ok_or(RoundError::Unavailable(Unavailability::NoLeader));
    }
    match raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
        Ok(linearizer) => Ok(linearizer.read_log_id().index()),
        Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_))) => {
            Err(RoundError::Unavailable(Unavailability::NoLeader))
        }
        Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
            Err(RoundError::Unavailable(Unavailability::NoQuorum))
        }
        Err(RaftError::Fatal(_)) => Err(RoundError::Stopped),
    }
}

/// One question to the leader.
async fn ask(leadership: Leadership, peers: Arc<Peers>, deadline: Instant) -> Round {
    let unavailable = |reason| Err(RoundError::Unavailable(reason));
    let Leader::Other(leader) = leadership.leader() else { return unavailable(Unavailability::NoLeader) };
    let remaining_ms = wire::remaining_ms(deadline);
    let question = wire::encode(&Question::ReadIndex { remaining_ms });
    match peers.ask(leader, Lane::Forward, question, deadline).await.map(|answer| wire::decode(&answer)) {
        Ok(Ok(Answer::ReadAt { index })) => Ok(index),
        Ok(Ok(Answer::NoQuorum)) => unavailable(Unavailability::NoQuorum),
        Ok(Ok(Answer::NotUnderstood)) => unavailable(Unavailability::NotUnderstood),
        Ok(Ok(_)) => unavailable(Unavailability::NoLeader),
        Ok(Err(error)) => {
            tracing::warn!(leader, %error, "the leader's answer to a read cannot be understood");
            unavailable(Unavailability::NotUnderstood)
        }
        Err(AskError::NotAsked(_) | AskError::Unknown(_)) => unavailable(Unavailability::LeaderUnreachable),
    }
}
