//! What openraft is told about Bursar: its types, and short names for openraft's.

use std::fmt;

use bursar_domain::{Outcome, Revision};
use bursar_storage::log::Member;
use bytes::Bytes;
use openraft::{alias, impls::leader_id_std};

use crate::state_machine::StateMachine;

openraft::declare_raft_types!(
    /// Bursar's choice of types. With the standard leader id a term has at most one leader, as in the Raft paper.
    pub TypeConfig:
        D = ProposalBytes,
        R = Option<Applied>,
        NodeId = u64,
        Node = Member,
        LeaderId = leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = crate::runtime::Runtime,
);

/// A running Raft core with our state machine.
pub(crate) type Raft = openraft::Raft<TypeConfig, StateMachine>;
/// Where an entry stands.
pub(crate) type LogId = alias::LogIdOf<TypeConfig>;
/// Whom a node follows in which term.
pub(crate) type Vote = alias::VoteOf<TypeConfig>;
/// An entry of the log.
pub(crate) type Entry = alias::EntryOf<TypeConfig>;
/// Who votes and who listens.
pub(crate) type Membership = openraft::Membership<u64, Member>;
/// A membership and where it was set.
pub(crate) type StoredMembership = alias::StoredMembershipOf<TypeConfig>;
/// What a snapshot is of.
pub(crate) type SnapshotMeta = alias::SnapshotMetaOf<TypeConfig>;
/// What the core says of itself.
pub(crate) type Metrics = openraft::RaftMetrics<TypeConfig>;
/// Where it says so.
pub(crate) type MetricsReceiver = alias::WatchReceiverOf<TypeConfig, Metrics>;
/// Where it says of that what has to do with who leads.
pub(crate) type RolesReceiver = alias::WatchReceiverOf<TypeConfig, openraft::metrics::RaftServerMetrics<TypeConfig>>;

/// An encoded proposal. The core passes it on without looking inside; copies share the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct ProposalBytes(pub Bytes);

impl fmt::Display for ProposalBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a proposal of {} bytes", self.0.len())
    }
}

impl fmt::Debug for ProposalBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What became of a proposal. Entries that carry none have no such answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// What the caller is told.
    pub outcome: Outcome,
    /// The revision after which the outcome holds.
    pub revision: Revision,
    /// Whether it is the remembered outcome of an earlier, equal request.
    pub repeated: bool,
}
