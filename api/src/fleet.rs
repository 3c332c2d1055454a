//! What the API needs of the storage servers, and nothing more: whoever talks to them in production, an answer at hand in tests.

use async_trait::async_trait;
use bursar_domain::{DestinationId, ServerId, store_point::Findings};
use bursar_wire::{
    ConnectionString,
    servers::{Inspection, Looks, Observed},
};
use tokio::time::Instant;

/// Where storage servers are asked. Every call ends by its deadline, and none of them changes anything.
#[async_trait]
pub trait Fleet: Send + Sync + 'static {
    /// Calls the machine that a connection string is of, and asks what it is and which ports pass both ways, between it and the
    /// authority's nodes, and the servers of `destination`. What the ledger says of it stands apart: the obstacles are those
    /// alone that were found on the way.
    async fn inspect(&self, string: &ConnectionString, destination: Option<DestinationId>, deadline: Instant) -> Inspection;

    /// Calls the machine at its primary, else its secondary address: is it the one, and does the string still stand?
    async fn contact(&self, string: &ConnectionString, deadline: Instant) -> Result<(), ContactError>;

    /// Has an online server look at a path on its disks.
    async fn examine(&self, server: ServerId, path: &str, deadline: Instant) -> Result<Findings, ExamineError>;

    /// What the leader has observed: asked of it, wherever it is.
    async fn observed(&self, deadline: Instant) -> Result<Observed, ObservedError>;

    /// What was seen last of the ports between a server and others, by either, and which servers were heard: asked of the leader,
    /// wherever it is.
    async fn looks(&self, server: ServerId, deadline: Instant) -> Result<Looks, ObservedError>;

    /// What this node has counted since it was started.
    fn counters(&self) -> FleetCounters;
}

/// What a node counts of storage servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FleetCounters {
    /// Servers that the node has heard while it leads; 0 where it does not.
    pub servers_heard: u64,
    /// Ports of which it has been told while it leads what others see of them; 0 where it does not.
    pub ports_observed: u64,
    /// Heartbeats that came in here and were answered by the leader.
    pub heartbeats_relayed: u64,
    /// Heartbeats that came in here and that no leader answered in time.
    pub heartbeats_unanswered: u64,
    /// Notices that came in here and are in the ledger.
    pub notices_noted: u64,
    /// Feeds that are open.
    pub feeds_open: u64,
    /// Feeds that were opened.
    pub feeds_opened: u64,
    /// Records that were sent on feeds.
    pub feed_records: u64,
    /// Feeds that ended because their reader took nothing.
    pub feed_readers_too_slow: u64,
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
