//! What the API needs of the storage servers, and nothing more: whoever talks to them in production, an answer at hand in tests.

use async_trait::async_trait;
use bursar_domain::{ServerId, store_point::Findings};
use bursar_wire::{
    ConnectionString,
    servers::{Inspection, Observed},
};
use tokio::time::Instant;

/// Where storage servers are asked. Every call ends by its deadline, and none of them changes anything.
#[async_trait]
pub trait Fleet: Send + Sync + 'static {
    /// Calls the machine that a connection string is of, and asks what it is and which ports pass both ways. What the ledger
    /// says of it stands apart: the obstacles are those alone that were found on the way.
    async fn inspect(&self, string: &ConnectionString, deadline: Instant) -> Inspection;

    /// Calls the machine at its primary, else its secondary address: is it the one, and does the string still stand?
    async fn contact(&self, string: &ConnectionString, deadline: Instant) -> Result<(), ContactError>;

    /// Has an online server look at a path on its disks.
    async fn examine(&self, server: ServerId, path: &str, deadline: Instant) -> Result<Findings, ExamineError>;

    /// What the leader has observed: asked of it, wherever it is.
    async fn observed(&self, deadline: Instant) -> Result<Observed, ObservedError>;
}

/// Why a machine is not the one that its connection string is of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContactError {
    /// It has issued another string since.
    #[error("the storage server has issued another connection string since")]
    Voided,
    /// Somebody else answers there.
    #[error("another machine than the one that issued the connection string answers at its addresses")]
    AnotherIdentity,
    /// Nobody answers there.
    #[error("nobody answers at the addresses of the connection string: {detail}")]
    Unreachable {
        /// What was tried, and how it went.
        detail: String,
    },
}

/// Why a server did not look at a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExamineError {
    /// It does not answer.
    #[error("{server} does not answer: {detail}")]
    Unreachable {
        /// Which server.
        server: ServerId,
        /// What was tried, and how it went.
        detail: String,
    },
}

/// Why it is not known what the leader observes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ObservedError(pub String);
