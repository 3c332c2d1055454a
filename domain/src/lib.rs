//! The pure core of Bursar.
//!
//! The story, in the order in which it happens:
//!
//! 1. somebody wants something: a [`Command`], stamped with who asks and how to recognise a repetition, is a [`Submission`];
//! 2. the leader stamps the time: a [`Proposal`]; Raft orders it;
//! 3. every replica decides it alike: [`decide`] yields a [`Decision`], events and an outcome, from the [`State`] alone;
//! 4. [`seal`] chains the events into [`Record`]s, the entries of the journal;
//! 5. [`evolve`] folds the records into the state, and never refuses.
//!
//! Nothing in this crate knows a clock, randomness, I/O, threads, floats or unordered maps: the same proposals give the same
//! bytes on every replica, for ever. What decide may not look up (a password's hash, a certificate, what an agent found) is
//! looked up before and placed in the command.
//!
//! One noun, one file: state, commands, events, decide, evolve, in this order.

pub mod actor;
pub mod alert;
pub mod audience;
pub mod authority_node;
pub mod cluster;
pub mod command;
pub mod cursor;
pub mod decision;
pub mod destination;
pub mod digest;
mod draft;
pub mod encoding;
pub mod event;
pub mod excerpt;
pub mod export;
pub mod hash;
pub mod ids;
pub mod invariants;
pub mod join_token;
pub mod level;
pub mod mutants;
pub mod operation;
pub mod path;
pub mod plan;
pub mod projection;
pub mod proposal;
pub mod record;
pub mod rejection;
pub mod request_id;
pub mod requests;
pub mod server;
pub mod site;
pub mod state;
pub mod store_point;
pub mod table;
pub mod text;
pub mod time;
pub mod token;

pub use actor::{Actor, Duty};
pub use audience::{Audience, Reader};
pub use command::Command;
pub use cursor::{Cursor, Epoch, Revision};
pub use decision::{Decision, Effect, Outcome, Reply, decide, would_change};
pub use digest::Digest;
pub use event::Event;
pub use excerpt::Excerpt;
pub use hash::Hash;
pub use ids::{
    AlertId, AuthorityNodeId, ClusterId, DestinationId, JoinTokenId, ObjectRef, OperationId, ServerGuid, ServerId, SiteId,
    StoreId, StorePointId, TokenId,
};
pub use level::Level;
pub use path::AbsolutePath;
pub use projection::Projection;
pub use proposal::{ExpectedRevision, Proposal, Submission};
pub use record::{Closing, DecisionSpan, Record, Sealed, evolve, seal};
pub use rejection::{Blocker, Class, FieldFault, Rejection};
pub use request_id::RequestId;
pub use state::{Stamp, State};
pub use text::{Name, Text};
pub use time::Timestamp;
