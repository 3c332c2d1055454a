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
//! Anything that cannot be trusted any more — a failed sync, a checksum that does not fit, a gap — is a
//! [`StorageError`], is final, and stops the node. Nothing here retries.

pub mod engine;
pub mod envelope;
mod error;
pub mod ledger;
pub mod log;

pub use error::{Place, REBUILD_FROM_QUORUM, StorageError};
