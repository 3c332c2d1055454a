//! What is asked of the cluster through any of its nodes: submissions, reads, hand-overs of the leadership.
//!
//! All of them look for the leader, try again while there is hope and time, and say in the end what was in the way.

use std::sync::Arc;

use bursar_domain::{
    AuthorityNodeId, Revision, State, Submission,
    encoding::encode,
    mutants::{Mutant, planted},
};
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::{Inner, Node};
use crate::{
    error::{Fate, ReadError, SubmitError, TransferError, Unavailability},
    forward::{ForwardError, RelayError},
    leadership::Leader,
    patience::Patience,
    proposer::ProposeError,
    read_index::RoundError,
    search::Search,
    transfer::{HandOverError, Unanswered},
    types::Applied,
};

/// How fresh what is read has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// Everything that was acknowledged to anybody before the read came.
    Linearizable,
    /// Whatever this node has; also of one that has just started, and has not heard yet what the others have.
    Stale,
}

impl Node {
    /// Has the leader decide a submission, wherever this node is, and waits until this node has applied the outcome too, so
    /// that who reads here behind it sees it (or until the deadline, where only the outcome came in time).
    ///
    /// Tries again over changes of the leadership until the deadline. That is harmless: the request id makes a repetition
    /// give the first outcome.
    ///
    /// # Errors
    /// See [`SubmitError`]. Refusals are outcomes, not errors.
    pub async fn submit(&self, submission: Submission, deadline: Instant) -> Result<Applied, SubmitError> {
        let submission = Bytes::from(encode(&submission));
        if let Err(error) = self.0.proposer.check_size(submission.len()) {
            return Err(refused(&error));
        }
        let _place = self.0.door.enter(submission.len()).map_err(|full| refused(&full.into()))?;
        if self.0.stop.reason().is_some() {
            return Err(SubmitError::Stopped { fate: Fate::NotDone });
        }
        let stopped_meanwhile = SubmitError::Stopped { fate: Fate::Unknown };
        let applied = self.unless_stopped(self.decided(&submission, deadline)).await.ok_or(stopped_meanwhile)??;
        let _in_time = timeout_at(deadline, self.0.published.reached(applied.revision)).await;
        Ok(applied)
    }

    async fn decided(&self, submission: &Bytes, deadline: Instant) -> Result<Applied, SubmitError> {
        let Inner { leadership, proposer, forwarder, .. } = &*self.0;
        let mut patience = Patience::new(deadline);
        let mut fate = Fate::NotDone;
        let mut search = Search::default();
        loop {
            let leader = leadership.leader();
            let tried = match search.whom(leader, || self.others()) {
                Leader::Own => proposer.propose(submission.clone(), deadline).await.map_err(ForwardError::Leader),
                Leader::Other(leader) => tokio::select! {
                    biased;
                    answered = forwarder.submit(leader, submission, deadline) => answered,
                    // One that stands still, or is cut off, never answers; whoever leads after it does.
                    () = leadership.superseded(leader) => Err(ForwardError::Leader(ProposeError::Unknown)),
                },
                Leader::Unknown => Err(ForwardError::NotLeader { leader: None }),
            };
            let reason = match tried {
                Ok(applied) => return Ok(applied),
                // Others were asked who leads, and were not there either.
                Err(ForwardError::Unreachable) if leader == Leader::Unknown => Unavailability::NoLeader,
                Err(ForwardError::Unreachable) => Unavailability::LeaderUnreachable,
                Err(ForwardError::NotLeader { leader }) => {
                    search.was_told(leader);
                    Unavailability::NoLeader
                }
                // It will not understand the same bytes later; another that leads may.
                Err(ForwardError::NotUnderstood) => {
                    let reason = Unavailability::NotUnderstood;
                    return Err(SubmitError::Unavailable { waited_ms: patience.waited_ms(), reason, fate });
                }
                Err(ForwardError::Leader(ProposeError::NotLeader)) => Unavailability::NoLeader,
                Err(ForwardError::Leader(ProposeError::NoQuorum)) => Unavailability::NoQuorum,
                Err(ForwardError::Leader(ProposeError::Unknown)) => {
                    fate = Fate::Unknown;
                    Unavailability::NoQuorum
                }
                // What an earlier attempt began may still be under way: then only trying again can tell.
                Err(ForwardError::Leader(ProposeError::Overloaded { .. })) if fate == Fate::Unknown => Unavailability::NoQuorum,
                Err(ForwardError::Leader(error)) => return Err(refused(&error)),
            };
            if !patience.rest(leadership, leader).await {
                return Err(SubmitError::Unavailable { waited_ms: patience.waited_ms(), reason, fate });
            }
        }
    }

    /// Has a submission of one of the leader's duties decided, if this node leads: it is passed on to nobody. Waits until the
    /// outcome can be read here.
    ///
    /// # Errors
    /// See [`SubmitError`]. Refusals are outcomes, not errors.
    pub async fn submit_as_leader(&self, submission: &Submission, deadline: Instant) -> Result<Applied, SubmitError> {
        let began = Patience::new(deadline);
        let unavailable = |reason, fate| Err(SubmitError::Unavailable { waited_ms: began.waited_ms(), reason, fate });
        let proposed = self.0.proposer.propose(encode(submission).into(), deadline);
        let Some(proposed) = self.unless_stopped(proposed).await else {
            return Err(SubmitError::Stopped { fate: Fate::Unknown });
        };
        match proposed {
            Ok(applied) => {
                let _in_time = timeout_at(deadline, self.0.published.reached(applied.revision)).await;
                Ok(applied)
            }
            Err(ProposeError::NotLeader) => unavailable(Unavailability::NoLeader, Fate::NotDone),
            Err(ProposeError::NoQuorum) => unavailable(Unavailability::NoQuorum, Fate::NotDone),
            Err(ProposeError::Unknown) => unavailable(Unavailability::NoQuorum, Fate::Unknown),
            Err(error) => Err(refused(&error)),
        }
    }

    /// Has the leader answer a message, whichever node leads; see [`crate::Relayed`]. It may be answered more than once, but
    /// never by a node that led no more when it was asked.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn relay(&self, message: Bytes, deadline: Instant) -> Result<Bytes, ReadError> {
        self.unless_stopped(self.relayed(&message, deadline)).await.ok_or(ReadError::Stopped)?
    }

    async fn relayed(&self, message: &Bytes, deadline: Instant) -> Result<Bytes, ReadError> {
        let Inner { leadership, forwarder, forward, .. } = &*self.0;
        let mut patience = Patience::new(deadline);
        let mut search = Search::default();
        loop {
            let leader = leadership.leader();
            let tried = match search.whom(leader, || self.others()) {
                Leader::Own => forward.answer_as_leader(message.clone(), deadline).await,
                Leader::Other(leader) => tokio::select! {
                    biased;
                    answered = forwarder.relay(leader, message, deadline) => answered,
                    () = leadership.superseded(leader) => Err(RelayError::Unreachable),
                },
                Leader::Unknown => Err(RelayError::NotLeader { leader: None }),
            };
            let reason = match tried {
                Ok(answer) => return Ok(answer),
                Err(RelayError::Unreachable) if leader == Leader::Unknown => Unavailability::NoLeader,
                Err(RelayError::Unreachable) => Unavailability::LeaderUnreachable,
                Err(RelayError::NoQuorum) => Unavailability::NoQuorum,
                Err(RelayError::NotUnderstood) => Unavailability::NotUnderstood,
                Err(RelayError::NotLeader { leader }) => {
                    search.was_told(leader);
                    Unavailability::NoLeader
                }
            };
            if reason == Unavailability::NotUnderstood || !patience.rest(leadership, leader).await {
                return Err(ReadError::Unavailable { waited_ms: patience.waited_ms(), reason });
            }
        }
    }

    /// The other nodes that have not left, as this one knows; those that it was told of, where it does not know anybody yet.
    pub(super) fn others(&self) -> Vec<u64> {
        let state = self.latest();
        if state.authority_nodes().is_empty() {
            return self.0.config.introduced.keys().map(|id| id.0).collect();
        }
        let present = state.authority_nodes().iter().filter(|node| node.intent.is_present() && node.id != self.id());
        present.map(|node| node.id.0).collect()
    }

    /// The state of this node, once it is as fresh as asked for, and at `at_least` that revision.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read(
        &self,
        consistency: Consistency,
        at_least: Option<Revision>,
        deadline: Instant,
    ) -> Result<Arc<State>, ReadError> {
        self.unless_stopped(self.fresh(consistency, at_least, deadline)).await.ok_or(ReadError::Stopped)?
    }

    async fn fresh(
        &self,
        consistency: Consistency,
        at_least: Option<Revision>,
        deadline: Instant,
    ) -> Result<Arc<State>, ReadError> {
        let published = &self.0.published;
        let patience = Patience::new(deadline);
        let unavailable = |reason| ReadError::Unavailable { waited_ms: patience.waited_ms(), reason };
        // Catching up takes a leader.
        let lags = |_| match self.0.leadership.leader() {
            Leader::Unknown => unavailable(Unavailability::NoLeader),
            Leader::Own | Leader::Other(_) => unavailable(Unavailability::Recovering),
        };
        if consistency == Consistency::Linearizable {
            let index = self.confirmed(deadline).await?;
            if !planted(Mutant::UngatedReads) {
                timeout_at(deadline, published.applied(index)).await.map_err(lags)?;
            }
        }
        if let Some(asked) = at_least {
            let reached = timeout_at(deadline, published.reached(asked)).await;
            let at = published.state().revision();
            reached.map_err(|_| ReadError::Behind { asked, at, waited_ms: patience.waited_ms() })?;
        }
        Ok(published.state())
    }

    /// Up to which entry must be applied what a linearizable read sees.
    async fn confirmed(&self, deadline: Instant) -> Result<u64, ReadError> {
        let Inner { leadership, reads, meter, .. } = &*self.0;
        meter.linearizable_reads.increment();
        let mut patience = Patience::new(deadline);
        loop {
            let leader = leadership.leader();
            let overdue = Err(RoundError::Unavailable(Unavailability::NoQuorum));
            let reason = match timeout_at(deadline, reads.round()).await.unwrap_or(overdue) {
                Ok(index) => return Ok(index),
                Err(RoundError::Stopped) => return Err(ReadError::Stopped),
                Err(RoundError::Unavailable(reason)) => reason,
            };
            if reason == Unavailability::NotUnderstood || !patience.rest(leadership, leader).await {
                return Err(ReadError::Unavailable { waited_ms: patience.waited_ms(), reason });
            }
        }
    }

    /// Gives the leadership to `to`, or to whoever is furthest of those who answer; works from any node. Returns to whom, once
    /// the former leader follows it.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn transfer_leadership(
        &self,
        to: Option<AuthorityNodeId>,
        deadline: Instant,
    ) -> Result<AuthorityNodeId, TransferError> {
        if self.0.stop.reason().is_some() {
            return Err(TransferError::Stopped { fate: Fate::NotDone });
        }
        let transferred = self.unless_stopped(self.transferred(to.map(|to| to.0), deadline)).await;
        transferred.ok_or(TransferError::Stopped { fate: Fate::Unknown })?.map(AuthorityNodeId)
    }

    async fn transferred(&self, to: Option<u64>, deadline: Instant) -> Result<u64, TransferError> {
        let Inner { leadership, hand_over, forwarder, .. } = &*self.0;
        let mut patience = Patience::new(deadline);
        let mut unanswered = Unanswered::default();
        loop {
            let leader = leadership.leader();
            if let Some(successor) = unanswered.successor(leader.id(hand_over.id), to) {
                return Ok(successor);
            }
            let tried = match leader {
                Leader::Own => hand_over.to(to, deadline).await,
                Leader::Other(leader) => forwarder.hand_over(leader, to, deadline).await,
                Leader::Unknown => Err(HandOverError::not_done(Unavailability::NoLeader)),
            };
            let reason = match tried {
                Ok(to) => return Ok(to),
                Err(HandOverError::NotAVoter(node)) => return Err(TransferError::NotAVoter { node: AuthorityNodeId(node) }),
                Err(HandOverError::Silent(node)) => return Err(TransferError::Silent { node: AuthorityNodeId(node) }),
                Err(HandOverError::NobodyElse) => return Err(TransferError::NobodyElse),
                Err(HandOverError::Stopped) => return Err(TransferError::Stopped { fate: unanswered.fate() }),
                Err(HandOverError::Unavailable { reason, fate: Fate::NotDone }) => reason,
                Err(HandOverError::Unavailable { reason, fate: Fate::Unknown }) => {
                    unanswered.note(leader.id(hand_over.id));
                    reason
                }
            };
            if reason == Unavailability::NotUnderstood || !patience.rest(leadership, leader).await {
                let (waited_ms, fate) = (patience.waited_ms(), unanswered.fate());
                return Err(TransferError::Unavailable { waited_ms, reason, fate });
            }
        }
    }

    /// What `work` gives; `None` where the node stops first.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            _ = self.0.stop.stopped() => None,
            done = work => Some(done),
        }
    }
}

/// What a caller is told of a submission that was certainly not done, or of a node that has stopped.
fn refused(error: &ProposeError) -> SubmitError {
    match *error {
        ProposeError::Overloaded { retry_after_ms } => SubmitError::Overloaded { retry_after_ms },
        ProposeError::TooLarge { bytes, bytes_max } => SubmitError::TooLarge { bytes, bytes_max },
        _ => SubmitError::Stopped { fate: Fate::Unknown },
    }
}
