//! What the API needs of the authority, and nothing more: a node of a cluster in production, a state in memory in tests.

use std::sync::Arc;

use async_trait::async_trait;
use bursar_domain::{AuthorityNodeId, Revision, State, Submission};
pub use bursar_raft::{
    Applied, Consistency, Counters, Fate, NodeStatus, PeerStatus, ReadError, Role, SubmitError, TransferError, Unavailability,
};
pub use bursar_storage::ledger::{BelowFloor, PastError};
use bytes::Bytes;
use tokio::{sync::watch, time::Instant};

/// Where submissions are decided and states are read. Every call ends by its deadline.
#[async_trait]
pub trait Authority: Send + Sync + 'static {
    /// Has a submission decided, wherever the leader is, and returns once the outcome can be read here too.
    async fn submit(&self, submission: Submission, deadline: Instant) -> Result<Applied, SubmitError>;

    /// A version of the state: linearizable, or the one that is here; not before `at_least`, where that is given.
    async fn read(
        &self,
        consistency: Consistency,
        at_least: Option<Revision>,
        deadline: Instant,
    ) -> Result<Arc<State>, ReadError>;

    /// The version that is here, without waiting for anything.
    fn latest(&self) -> Arc<State>;

    /// Tells the revision up to which the journal can be read here. It never goes back.
    fn revisions(&self) -> watch::Receiver<Revision>;

    /// The journal is kept behind this revision.
    fn floor(&self) -> Revision;

    /// Encoded records behind `after` up to `upto`, in order: at least one where there is one, and no more than about
    /// `bytes_max`.
    async fn records(&self, after: Revision, upto: Revision, bytes_max: usize) -> Result<Vec<Bytes>, JournalError>;

    /// The state as it was at `revision`, as far as the journal here reaches and goes back. It may take long.
    async fn state_at(&self, revision: Revision) -> Result<Arc<State>, PastError>;

    /// Who leads, as far as is known here.
    fn leader(&self) -> Option<AuthorityNodeId>;

    /// How this node stands among the others.
    fn status(&self) -> NodeStatus;

    /// What this node has counted since it was started.
    fn counters(&self) -> Counters;

    /// Has the leadership given to `to`, or to whoever is best suited, and tells who has it.
    async fn transfer_leadership(&self, to: Option<AuthorityNodeId>, deadline: Instant)
    -> Result<AuthorityNodeId, TransferError>;
}

/// Why the journal could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal cannot be read: {0}")]
pub struct JournalError(pub String);
