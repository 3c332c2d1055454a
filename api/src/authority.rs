//! What the API needs of the authority, and nothing more: a node of a cluster in production, a state in memory in tests.

use std::sync::Arc;

use async_trait::async_trait;
use bursar_domain::{AuthorityNodeId, Outcome, Revision, State, Submission};
use bytes::Bytes;
use tokio::{sync::watch, time::Instant};

/// Where submissions are decided and states are read. Every call ends by its deadline.
#[async_trait]
pub trait Authority: Send + Sync + 'static {
    /// Has a submission decided, wherever the leader is, and returns once the outcome can be read here too.
    async fn submit(&self, submission: Submission, deadline: Instant) -> Result<Applied, SubmitError>;

    /// A version of the state: linearizable, or the one that is here; not before `at_least`, where that is given.
    async fn read(&self, consistency: Consistency, at_least: Option<Revision>, deadline: Instant)
    -> Result<Arc<State>, ReadError>;

    /// The version that is here, without waiting for anything.
    fn latest(&self) -> Arc<State>;

    /// Tells the revision up to which the journal can be read here. It never goes back.
    fn revisions(&self) -> watch::Receiver<Revision>;

    /// The journal is kept behind this revision.
    fn floor(&self) -> Revision;

    /// Encoded records behind `after` up to `upto`, in order: at least one where there is one, and no more than about
    /// `bytes_max`.
    async fn records(&self, after: Revision, upto: Revision, bytes_max: usize) -> Result<Vec<Bytes>, JournalError>;

    /// Who leads, as far as is known here.
    fn leader(&self) -> Option<AuthorityNodeId>;

    /// How this node stands among the others.
    fn status(&self) -> NodeStatus;

    /// Has the leadership given to `to`, or to whoever is best suited, and tells who has it.
    async fn transfer_leadership(&self, to: Option<AuthorityNodeId>, deadline: Instant)
    -> Result<AuthorityNodeId, TransferError>;
}

/// A submission that was decided.
#[derive(Clone, Debug)]
pub struct Applied {
    /// What the caller is told.
    pub outcome: Outcome,
    /// The revision after which the outcome holds.
    pub revision: Revision,
    /// Whether it is the remembered outcome of an earlier, equal request.
    pub repeated: bool,
}

/// How fresh a reading has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// At least as new as everything that was acknowledged before the question, on whichever node.
    Linearizable,
    /// Whatever is here.
    Stale,
}

/// Why a submission was not decided, or not known to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Nobody could decide it in time.
    #[error("not decided within {waited_ms} ms: {reason}")]
    Unavailable {
        /// How long was waited, in milliseconds.
        waited_ms: u64,
        /// Why.
        reason: Unavailability,
        /// What has become of it.
        fate: Fate,
    },
    /// Too many submissions are waiting.
    #[error("too many submissions are waiting")]
    Overloaded {
        /// When to try again, in milliseconds.
        retry_after_ms: u64,
    },
    /// Larger than a submission may be.
    #[error("the change takes {bytes} bytes, at most {bytes_max} are taken")]
    TooLarge {
        /// Its size, in bytes.
        bytes: u64,
        /// The most, in bytes.
        bytes_max: u64,
    },
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

/// What has become of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was not carried out, and will not be.
    NotDone,
    /// It may have been carried out.
    Unknown,
}

/// Why nobody could answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailability {
    /// No leader is known.
    #[error("no leader is known")]
    NoLeader,
    /// The leader does not reach a majority of the voters.
    #[error("the leader does not reach a majority")]
    NoQuorum,
    /// This node does not reach the leader.
    #[error("this node does not reach the leader")]
    LeaderUnreachable,
    /// This node has not yet read back what it had stored.
    #[error("this node is still recovering")]
    Recovering,
}

/// Why a state could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nobody could confirm it in time.
    #[error("not confirmed within {waited_ms} ms: {reason}")]
    Unavailable {
        /// How long was waited, in milliseconds.
        waited_ms: u64,
        /// Why.
        reason: Unavailability,
    },
    /// This node has not got so far.
    #[error("this node is at revision {at}, not yet at {asked}, after {waited_ms} ms")]
    Behind {
        /// What was asked for.
        asked: Revision,
        /// Where this node is.
        at: Revision,
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    },
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

/// Why the journal could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal cannot be read: {0}")]
pub struct JournalError(pub String);

/// Why the leadership was not given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// The node does not vote.
    #[error("{node} does not vote, so it cannot lead")]
    NotAVoter {
        /// Which.
        node: AuthorityNodeId,
    },
    /// There is no other node to give it to.
    #[error("no other node votes")]
    NobodyElse,
    /// Nobody took it in time.
    #[error("not transferred within {waited_ms} ms: {reason}")]
    Unavailable {
        /// How long was waited, in milliseconds.
        waited_ms: u64,
        /// Why.
        reason: Unavailability,
    },
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

/// How a node stands among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Which node.
    pub id: AuthorityNodeId,
    /// What it is.
    pub role: Role,
    /// The term it is in.
    pub term: u64,
    /// Who leads, as far as it knows.
    pub leader: Option<AuthorityNodeId>,
    /// Where the leader's API is.
    pub leader_api_address: Option<String>,
    /// The index of its last log entry.
    pub last_log: Option<u64>,
    /// The index up to which the log is committed.
    pub committed: Option<u64>,
    /// The index up to which it has applied the log.
    pub applied: Option<u64>,
    /// The index up to which it has dropped the log.
    pub purged: Option<u64>,
    /// The index that its last checkpoint stands at.
    pub snapshot: Option<u64>,
    /// Who votes.
    pub voters: Vec<AuthorityNodeId>,
    /// Who only receives the log.
    pub learners: Vec<AuthorityNodeId>,
    /// On the leader: how far the others are.
    pub peers: Vec<PeerStatus>,
    /// On the leader: how long ago a majority answered, in milliseconds.
    pub quorum_last_ack_ms: Option<u64>,
    /// Whether it has read back what it had stored.
    pub recovered: bool,
}

/// How far another node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Which node.
    pub id: AuthorityNodeId,
    /// The last index that it is known to have.
    pub matched: Option<u64>,
    /// How many entries it lacks.
    pub lag: Option<u64>,
    /// How long ago it answered, in milliseconds.
    pub last_ack_ms: Option<u64>,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads.
    Leader,
    /// It follows.
    Follower,
    /// It receives the log and does not vote.
    Learner,
    /// It asks to lead.
    Candidate,
    /// It has stopped.
    Stopped,
}
