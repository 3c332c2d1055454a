//! The consensus of the authority's nodes: the only crate that knows openraft.
//!
//! ```text
//! Node::submit ──> leader? ──no──> forward lane ──> the leader
//!      │             │yes
//!      │             v
//!      │         Proposer: bounded ──> Gatherer: batches, stamped ──> Raft core ──> log + append lanes ──> quorum
//!      │                                                          │ committed
//!      │                                                          v
//!      └── waits for the revision <── Published <── StateMachine: decide, seal, evolve, ONE commit to the ledger
//!
//! Node::read   ──> a round that confirms the leader (shared by all who wait) ──> applied that far ──> Published
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`Node`] | the handle; everything below serves it |
//! | `types`, `convert`, `wire` | openraft's types, and ours, which are what rests and travels |
//! | `log_store`, `state_machine`, `batch`, `published`, `snapshot` | what openraft stores on and applies to, and what readers see |
//! | `network`, `append_client`, `snapshot_sender`, `peers` | the calling side of the lanes between nodes |
//! | `lanes`, `snapshot_receiver`, `forward`, `admission` | the answering side |
//! | `proposer`, `gatherer`, `bounds`, `read_index`, `rounds`, `transfer` | what only the leader does, bounded and shared |
//! | `relay` | what the leader answers for others |
//! | `leadership`, `search`, `patience` | who leads, looking for it, and waiting between attempts |
//! | `status`, `readiness` | what a node says of itself, and whether it can serve |
//! | `duty`, `membership`, `tasks` | what nodes do by themselves |

mod admission;
mod append_client;
mod batch;
mod bounds;
mod clock_duty;
mod config;
mod convert;
mod counters;
mod duty;
mod error;
#[cfg(feature = "simulation")]
mod fated;
mod forward;
mod gatherer;
mod lanes;
mod leadership;
mod log_store;
mod membership;
mod network;
mod node;
mod patience;
mod peers;
mod proposer;
mod published;
mod read_index;
mod readiness;
mod relay;
mod resting;
mod retention;
mod rounds;
mod runtime;
mod search;
mod snapshot;
mod snapshot_receiver;
mod snapshot_sender;
mod state_machine;
mod status;
mod stop;
mod tasks;
mod transfer;
mod types;
mod wire;

pub use config::{Limits, NodeConfig, Parts};
pub use convert::net_store;
pub use counters::Counters;
pub use duty::submission as duty_submission;
pub use error::{Fate, ReadError, StartError, SubmitError, TransferError, Unavailability};
pub use log_store::LogStore;
pub use node::{Consistency, Node};
pub use relay::Relayed;
pub use snapshot::{SnapshotBuilder, SnapshotData};
pub use state_machine::StateMachine;
pub use status::{NodeStatus, PeerStatus, Role};
pub use stop::{StopReason, StopSignal};
pub use types::{Applied, ProposalBytes, TypeConfig};
