//! What rests: engines that keep ordered bytes, and the stores built on them.
//!
//! Read it from the bottom:
//!
//! - [`engine`]: an ordered key-value store with atomic batches and one explicit `sync`; RocksDB (feature `rocksdb`)
//!   and memory. Engines hold no policy.
//! - [`envelope`]: the versioned, checksummed frame around every value that rests.
//! - [`log`]: the Raft log — votes, entries, truncations and purges through one queue, with one sync for all that wait.
//! - [`ledger`]: the journal, the applied position and checkpoints of State.
//!
//! A store is made once, with the data directory that it belongs to, and bears its id; it is opened under that id alone.
//! [`compare_ages`] tells, as far as can be told, whether one of the two is an older copy.
//!
//! Anything that cannot be trusted any more — a failed sync, a checksum that does not fit, a gap — is a
//! [`StorageError`], is final, and stops the node. Nothing here retries.

mod age;
#[cfg(test)]
mod corpus;
pub mod engine;
pub mod envelope;
mod error;
pub mod ledger;
pub mod log;

pub use age::compare_ages;
pub use error::{Place, REBUILD_FROM_QUORUM, StorageError};
