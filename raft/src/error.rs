//! What can go wrong with a node, as its callers see it.

use bursar_domain::{AuthorityNodeId, Revision};

use crate::stop::StopReason;

/// Why a node does not start, or does not found a cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The configuration contradicts itself.
    #[error("the configuration of the consensus cannot work: {0}")]
    Config(String),
    /// The storage, or what rests on it.
    #[error("the consensus core does not start: {0}")]
    Core(String),
    /// What rests here is of a level that this program does not know.
    #[error("{0}")]
    Outdated(StopReason),
    /// There is a log already: founding happens once.
    #[error("this node has a log already; start it without founding a cluster")]
    NotEmpty,
}

/// Why a submission has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Nobody could decide it in time.
    #[error("{reason} for {waited_ms} ms; {fate}")]
    Unavailable {
        /// How long it was tried.
        waited_ms: u64,
        /// What was in the way last.
        reason: Unavailability,
        /// What became of the submission.
        fate: Fate,
    },
    /// Too much is under way. Nothing was done.
    #[error("too many changes are under way; try again in {retry_after_ms} ms")]
    Overloaded {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// Larger than a submission may be. Nothing was done.
    #[error("the change takes {bytes} bytes, at most {bytes_max} are taken")]
    TooLarge {
        /// How large it is.
        bytes: u64,
        /// How large it may be.
        bytes_max: u64,
    },
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped {
        /// What became of the submission.
        fate: Fate,
    },
}

/// What keeps a cluster from deciding or answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailability {
    /// Nobody leads.
    #[error("no node led")]
    NoLeader,
    /// There is a leader, but it did not hear from most of the nodes.
    #[error("the leader had no quorum")]
    NoQuorum,
    /// There is a leader, but this node did not reach it.
    #[error("the leader was not reached")]
    LeaderUnreachable,
    /// There is a leader, and it runs another version: one of the two did not understand the other. Waiting changes nothing.
    #[error("this node and a leader of another version did not understand each other")]
    NotUnderstood,
    /// This node lacks what the leader has committed.
    #[error("this node was still catching up")]
    Recovering,
}

/// What became of a request without an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fate {
    /// It was certainly not done.
    #[error("nothing was done")]
    NotDone,
    /// It may have been done, or still be. Of a submission the same one, sent again under the same id, tells; of a hand-over only
    /// who leads.
    #[error("it may have been done")]
    Unknown,
}

/// Why a read cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// That the state is the newest could not be confirmed in time.
    #[error("{reason} for {waited_ms} ms")]
    Unavailable {
        /// How long it was tried.
        waited_ms: u64,
        /// What was in the way last.
        reason: Unavailability,
    },
    /// This node has not come as far as was asked for.
    #[error("this node is at revision {at} after {waited_ms} ms, {asked} was asked for")]
    Behind {
        /// The revision that was asked for.
        asked: Revision,
        /// Where this node is.
        at: Revision,
        /// How long it was waited.
        waited_ms: u64,
    },
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

/// Why the leadership was not handed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// To whom it was to go does not vote.
    #[error("{node} does not vote, so it cannot lead")]
    NotAVoter {
        /// Who it was.
        node: AuthorityNodeId,
    },
    /// To whom it was to go votes, but does not answer the leader.
    #[error("{node} does not answer the leader, so it cannot take over")]
    Silent {
        /// Who it was.
        node: AuthorityNodeId,
    },
    /// Nobody else votes.
    #[error("no other node votes")]
    NobodyElse,
    /// It was not done in time.
    #[error("{reason} for {waited_ms} ms; {fate}")]
    Unavailable {
        /// How long it was tried.
        waited_ms: u64,
        /// What was in the way last.
        reason: Unavailability,
        /// What became of the hand-over.
        fate: Fate,
    },
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped {
        /// What became of the hand-over.
        fate: Fate,
    },
}
