//! Passing on to the leader what only the leader can do, and the leader's side of it.
//!
//! Submissions travel as they were encoded at the door. Many are in flight on one connection, and those that are sent at the
//! same time share a write. What was passed on is never passed on again.

use std::{borrow::Cow, sync::Arc};

use bursar_domain::{Actor, AuthorityNodeId, Submission, encoding};
use bursar_net::{Lane, WallClock};
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use crate::{
    counters::Meter,
    error::{Fate, Unavailability},
    leadership::{Leader, Leadership},
    peers::{AskError, Peers},
    proposer::{ProposeError, Proposer},
    read_index::{ReadIndex, RoundError},
    relay::Relayed,
    transfer::{HandOver, HandOverError},
    types::Applied,
    wire::{
        self,
        forward::{Answer, Question},
    },
};

/// Why the leader did not decide a submission, as the one knows who passed it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ForwardError {
    /// The leader was not reached. Nothing was done.
    Unreachable,
    /// The node that was asked does not lead. Nothing was done.
    NotLeader {
        /// Who does, by what it knows.
        leader: Option<u64>,
    },
    /// The node that was asked does not take what it was sent. Nothing was done.
    NotUnderstood,
    /// What the leader itself says.
    Leader(ProposeError),
}

/// Why the leader did not answer a message, as the one knows who passed it on. Messages may be answered twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RelayError {
    /// The leader was not reached, or did not answer in time.
    Unreachable,
    /// The node that was asked does not lead, or not for long enough to answer.
    NotLeader {
        /// Who does, by what it knows.
        leader: Option<u64>,
    },
    /// The node that was asked leads, but no quorum has confirmed it.
    NoQuorum,
    /// The node that was asked speaks another version.
    NotUnderstood,
}

/// Passes on to the leader.
#[derive(Clone)]
pub(crate) struct Forwarder {
    pub(crate) peers: Arc<Peers>,
    pub(crate) meter: Arc<Meter>,
}

impl Forwarder {
    /// Has `leader` decide an encoded submission.
    pub(crate) async fn submit(&self, leader: u64, submission: &Bytes, deadline: Instant) -> Result<Applied, ForwardError> {
        self.meter.submissions_forwarded.increment();
        let remaining_ms = wire::remaining_ms(deadline);
        let question = wire::encode(&Question::Submit { remaining_ms, submission: Cow::Borrowed(submission) });
        let answer = self.peers.ask(leader, Lane::Forward, question, deadline).await.map_err(|error| match error {
            AskError::NotAsked(_) => ForwardError::Unreachable,
            AskError::Unknown(_) => ForwardError::Leader(ProposeError::Unknown),
        })?;
        let error = match wire::decode(&answer) {
            Ok(Answer::Decided { outcome, revision, repeated }) => return Ok(Applied { outcome, revision, repeated }),
            Ok(Answer::NotLeader { leader }) => return Err(ForwardError::NotLeader { leader }),
            Ok(Answer::NotUnderstood) => {
                tracing::warn!(leader, "the leader did not understand a submission: run the same program on all nodes");
                return Err(ForwardError::NotUnderstood);
            }
            Ok(Answer::NoQuorum) => ProposeError::NoQuorum,
            Ok(Answer::Overloaded { retry_after_ms }) => ProposeError::Overloaded { retry_after_ms },
            Ok(Answer::TooLarge { bytes, bytes_max }) => ProposeError::TooLarge { bytes, bytes_max },
            Ok(_) => ProposeError::Unknown,
            Err(error) => {
                tracing::warn!(leader, %error, "the leader's answer to a submission cannot be understood");
                ProposeError::Unknown
            }
        };
        Err(ForwardError::Leader(error))
    }

    /// Has `leader` answer a message.
    pub(crate) async fn relay(&self, leader: u64, message: &Bytes, deadline: Instant) -> Result<Bytes, RelayError> {
        self.meter.messages_relayed.increment();
        let remaining_ms = wire::remaining_ms(deadline);
        let question = wire::encode(&Question::Relay { remaining_ms, message: Cow::Borrowed(message) });
        let Ok(answer) = self.peers.ask(leader, Lane::Forward, question, deadline).await else {
            return Err(RelayError::Unreachable);
        };
        match wire::decode(&answer) {
            Ok(Answer::Relayed { message }) => Ok(message.into()),
            Ok(Answer::NotLeader { leader }) => Err(RelayError::NotLeader { leader }),
            Ok(Answer::NoQuorum) => Err(RelayError::NoQuorum),
            Ok(_) => Err(RelayError::NotUnderstood),
            Err(error) => {
                tracing::warn!(leader, %error, "the leader's answer to a message cannot be understood");
                Err(RelayError::NotUnderstood)
            }
        }
    }

    /// Asks another node something of no consequence. Where it refuses this node for good, the node stops.
    pub(crate) async fn greet(&self, id: u64, deadline: Instant) {
        let question = wire::encode(&Question::ReadIndex { remaining_ms: wire::remaining_ms(deadline) });
        if let Err(error) = self.peers.ask(id, Lane::Forward, question, deadline).await {
            tracing::debug!(node = id, %error, "another node was not reached");
        }
    }

    /// The time by the clock of another node, in milliseconds since 1970; none where it does not tell by the deadline.
    pub(crate) async fn wall_clock(&self, id: u64, deadline: Instant) -> Option<u64> {
        let answer = self.peers.ask(id, Lane::Forward, wire::encode(&Question::WallClock), deadline).await.ok()?;
        match wire::decode(&answer) {
            Ok(Answer::WallClock { unix_ms }) => Some(unix_ms),
            _ => None,
        }
    }

    /// Has `leader` give the leadership to another.
    pub(crate) async fn hand_over(&self, leader: u64, to: Option<u64>, deadline: Instant) -> Result<u64, HandOverError> {
        let question = wire::encode(&Question::TransferLeadership { to, remaining_ms: wire::remaining_ms(deadline) });
        let answer = self.peers.ask(leader, Lane::Forward, question, deadline).await.map_err(|error| match error {
            AskError::NotAsked(_) => HandOverError::not_done(Unavailability::LeaderUnreachable),
            AskError::Unknown(_) => HandOverError::unknown(Unavailability::LeaderUnreachable),
        })?;
        match wire::decode(&answer) {
            Ok(Answer::HandedOver { to }) => Ok(to),
            Ok(Answer::NotAVoter { node }) => Err(HandOverError::NotAVoter(node)),
            Ok(Answer::Silent { node }) => Err(HandOverError::Silent(node)),
            Ok(Answer::NobodyElse) => Err(HandOverError::NobodyElse),
            Ok(Answer::NoQuorum) => Err(HandOverError::not_done(Unavailability::NoQuorum)),
            Ok(Answer::NotUnderstood) => Err(HandOverError::not_done(Unavailability::NotUnderstood)),
            Ok(Answer::NotLeader { .. }) => Err(HandOverError::not_done(Unavailability::NoLeader)),
            Ok(_) => Err(HandOverError::unknown(Unavailability::NoLeader)),
            Err(error) => {
                tracing::warn!(leader, %error, "the leader's answer to a hand-over cannot be understood");
                Err(HandOverError::unknown(Unavailability::NotUnderstood))
            }
        }
    }
}

/// Answers what other nodes pass on.
pub(crate) struct ForwardServer {
    pub(crate) proposer: Arc<Proposer>,
    pub(crate) reads: Arc<ReadIndex>,
    pub(crate) hand_over: Arc<HandOver>,
    pub(crate) leadership: Leadership,
    pub(crate) wall_clock: Arc<dyn WallClock>,
    pub(crate) relayed: Arc<dyn Relayed>,
    pub(crate) meter: Arc<Meter>,
}

impl ForwardServer {
    /// Answers one question of the node `caller`.
    pub(crate) async fn answer(&self, caller: u64, question: Bytes) -> Bytes {
        let answer = match wire::decode::<Question<'_>>(&question) {
            Ok(Question::Submit { remaining_ms, submission }) => {
                let submission = question.slice_ref(&submission);
                self.submit(caller, submission, wire::deadline_in(remaining_ms)).await
            }
            Ok(Question::ReadIndex { remaining_ms }) => self.read_index(wire::deadline_in(remaining_ms)).await,
            Ok(Question::WallClock) => Answer::WallClock { unix_ms: self.wall_clock.now_unix_ms() },
            Ok(Question::TransferLeadership { to, remaining_ms }) => self.transfer(to, wire::deadline_in(remaining_ms)).await,
            Ok(Question::Relay { remaining_ms, message }) => {
                let message = question.slice_ref(&message);
                self.relay(message, wire::deadline_in(remaining_ms)).await
            }
            Err(error) => {
                tracing::warn!(%error, "a question of another node cannot be understood");
                Answer::NotUnderstood
            }
        };
        wire::encode(&answer)
    }

    fn not_leader(&self) -> Answer {
        let leader = match self.leadership.leader() {
            Leader::Other(leader) => Some(leader),
            Leader::Own | Leader::Unknown => None,
        };
        Answer::NotLeader { leader }
    }

    async fn submit(&self, caller: u64, submission: Bytes, deadline: Instant) -> Answer {
        self.meter.submissions_received.increment();
        if let Err(refusal) = check(caller, &submission) {
            tracing::warn!(caller, refusal, "a submission of another node is not taken");
            return Answer::NotUnderstood;
        }
        match self.proposer.propose(submission, deadline).await {
            Ok(Applied { outcome, revision, repeated }) => Answer::Decided { outcome, revision, repeated },
            Err(ProposeError::NotLeader) => self.not_leader(),
            Err(ProposeError::NoQuorum) => Answer::NoQuorum,
            Err(ProposeError::Overloaded { retry_after_ms }) => Answer::Overloaded { retry_after_ms },
            Err(ProposeError::TooLarge { bytes, bytes_max }) => Answer::TooLarge { bytes, bytes_max },
            Err(ProposeError::Unknown | ProposeError::Stopped) => Answer::Unknown,
        }
    }

    async fn read_index(&self, deadline: Instant) -> Answer {
        match timeout_at(deadline, self.reads.round_as_leader()).await {
            Ok(Ok(index)) => Answer::ReadAt { index },
            Err(_) | Ok(Err(RoundError::Unavailable(Unavailability::NoQuorum))) => Answer::NoQuorum,
            Ok(Err(_)) => self.not_leader(),
        }
    }

    async fn relay(&self, message: Bytes, deadline: Instant) -> Answer {
        match self.answer_as_leader(message, deadline).await {
            Ok(message) => Answer::Relayed { message: message.into() },
            Err(RelayError::NoQuorum) => Answer::NoQuorum,
            Err(_) => self.not_leader(),
        }
    }

    /// The answer to a message, if this node leads and gives one in time. One that is cut off, and does not know yet that
    /// another leads, gives none: whoever asks would believe that the leader has heard it.
    pub(crate) async fn answer_as_leader(&self, message: Bytes, deadline: Instant) -> Result<Bytes, RelayError> {
        match timeout_at(deadline, self.reads.round_as_leader()).await {
            Ok(Ok(_)) => {}
            Err(_) | Ok(Err(RoundError::Unavailable(Unavailability::NoQuorum))) => return Err(RelayError::NoQuorum),
            Ok(Err(_)) => return Err(RelayError::NotLeader { leader: None }),
        }
        let answered = timeout_at(deadline, self.relayed.answer(message)).await.ok().flatten();
        answered.ok_or(RelayError::NotLeader { leader: None })
    }

    async fn transfer(&self, to: Option<u64>, deadline: Instant) -> Answer {
        match self.hand_over.to(to, deadline).await {
            Ok(to) => Answer::HandedOver { to },
            Err(HandOverError::NotAVoter(node)) => Answer::NotAVoter { node },
            Err(HandOverError::Silent(node)) => Answer::Silent { node },
            Err(HandOverError::NobodyElse) => Answer::NobodyElse,
            Err(HandOverError::Unavailable { fate: Fate::Unknown, .. }) => Answer::Unknown,
            Err(HandOverError::Unavailable { reason: Unavailability::NoQuorum, fate: Fate::NotDone }) => Answer::NoQuorum,
            Err(HandOverError::Unavailable { fate: Fate::NotDone, .. } | HandOverError::Stopped) => self.not_leader(),
        }
    }
}

/// What every replica must be able to apply is looked at before it is logged: a committed entry that nobody understands would
/// stop all nodes for ever. And for a node speaks nobody but itself, for a duty nobody but the leader, which passes nothing on.
fn check(caller: u64, submission: &[u8]) -> Result<(), String> {
    let submission: Submission = encoding::decode(submission).map_err(|error| error.to_string())?;
    match submission.actor {
        Actor::AuthorityNode(AuthorityNodeId(actor)) if actor == caller => Ok(()),
        actor @ (Actor::AuthorityNode(_) | Actor::Duty(_)) => Err(format!("it is said to come from the {actor}")),
        Actor::Founder | Actor::Token(_) | Actor::Joiner | Actor::Server(_) => Ok(()),
    }
}
