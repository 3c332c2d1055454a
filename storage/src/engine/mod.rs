//! Engines keep ordered bytes: small, synchronous, without policy.
//!
//! What is written is readable on return and durable only after a [`Engine::sync`]; the stores above decide when that
//! is. The two engines differ in nothing that a caller could see, which one suite holds them to
//! (`tests/engine_conformance.rs`). Where they are is for [`Engines`] to know: whoever keeps something is given them as a part.

mod crc32c;
mod engines;
mod fuse;
pub mod memory;
mod memory_engines;
#[cfg(feature = "rocksdb")]
pub mod rocksdb;
pub(crate) mod stamp;
pub mod wal_audit;

use std::ops::ControlFlow;

use bytes::Bytes;

#[cfg(feature = "rocksdb")]
pub use self::rocksdb::{RocksEngine, RocksEngines};
pub use engines::{Engines, Profile};
pub use memory::MemoryEngine;
pub use memory_engines::MemoryEngines;
pub use stamp::Stamping;

use crate::StorageError;

/// An ordered store of keys and values in a few key spaces.
///
/// All calls block; callers run them where blocking is allowed. After a failed write or sync an engine refuses
/// everything with [`StorageError::Poisoned`]: what the disk then holds is known only to the next start.
pub trait Engine: Send + Sync + 'static {
    /// The value of a key.
    ///
    /// # Errors
    /// The engine failed, found damage, or is poisoned.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StorageError>;

    /// Shows the pairs of a range to `visit`, in order, until it breaks or fails. The visitor calls no engine.
    ///
    /// # Errors
    /// The engine failed, found damage, or is poisoned; or the visitor's own error.
    fn scan(&self, space: Space, range: KeyRange<'_>, direction: Direction, visit: &mut Visitor<'_>) -> Result<(), StorageError>;

    /// Writes all of the batch or nothing of it, over all spaces. Readable on return; durable after the next sync.
    ///
    /// # Errors
    /// The engine failed or is poisoned. What the disk holds of the batch is then unknown.
    fn write(&self, batch: &Batch) -> Result<(), StorageError>;

    /// Makes durable whatever was written before the call.
    ///
    /// # Errors
    /// The engine failed or is poisoned. A failed sync is never tried again: the kernel may have dropped the pages, and a
    /// second sync would then report success for nothing.
    fn sync(&self) -> Result<(), StorageError>;
}

/// What a scan does with each pair of key and value.
pub type Visitor<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StorageError> + 'a;

/// A key space. Keys of one space are ordered among themselves, and a batch may span all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// The entries of the Raft log, by index.
    LogEntries,
    /// Stamp, vote, committed and purged position of the Raft log.
    LogState,
    /// The records of the journal, by revision.
    Journal,
    /// Checkpoints of State.
    Checkpoints,
    /// Stamp, applied position, and which generation is in use.
    LedgerState,
}

impl Space {
    /// All key spaces.
    pub const ALL: [Space; 5] = [Space::LogEntries, Space::LogState, Space::Journal, Space::Checkpoints, Space::LedgerState];

    /// The name under which the space rests; it never changes.
    pub const fn name(self) -> &'static str {
        match self {
            Space::LogEntries => "log_entries",
            Space::LogState => "log_state",
            Space::Journal => "journal",
            Space::Checkpoints => "checkpoints",
            Space::LedgerState => "ledger_state",
        }
    }
}

/// The keys from `from` on, and before `to` where that is given.
#[derive(Debug, Clone, Copy)]
pub struct KeyRange<'a> {
    /// The first key that belongs to the range.
    pub from: &'a [u8],
    /// The first key that no longer does.
    pub to: Option<&'a [u8]>,
}

impl<'a> KeyRange<'a> {
    /// Every key of a space.
    pub const ALL: KeyRange<'static> = KeyRange { from: &[], to: None };

    /// `from` and what follows it.
    pub const fn from(from: &'a [u8]) -> Self {
        KeyRange { from, to: None }
    }

    /// `from` and what follows it, before `to`.
    pub const fn between(from: &'a [u8], to: &'a [u8]) -> Self {
        KeyRange { from, to: Some(to) }
    }

    /// Whether no key can lie in it.
    pub fn is_empty(&self) -> bool {
        self.to.is_some_and(|to| to <= self.from)
    }
}

/// The order in which a scan goes through its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the smallest key.
    Forward,
    /// From the greatest key.
    Backward,
}

/// Changes that are written together or not at all. Later ones see earlier ones.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    operations: Vec<Operation>,
}

/// One change of a [`Batch`].
#[derive(Debug, Clone)]
pub enum Operation {
    /// Sets a key's value.
    Put {
        /// Where.
        space: Space,
        /// The key.
        key: Bytes,
        /// Its value from now on.
        value: Bytes,
    },
    /// Removes a key, if it is there.
    Delete {
        /// Where.
        space: Space,
        /// The key.
        key: Bytes,
    },
    /// Removes all keys of a range.
    DeleteRange {
        /// Where.
        space: Space,
        /// The first key to go.
        from: Bytes,
        /// The first key to stay.
        to: Bytes,
    },
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key's value.
    pub fn put(&mut self, space: Space, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.operations.push(Operation::Put { space, key: key.into(), value: value.into() });
    }

    /// Removes a key, if it is there.
    pub fn delete(&mut self, space: Space, key: impl Into<Bytes>) {
        self.operations.push(Operation::Delete { space, key: key.into() });
    }

    /// Removes the keys from `from` on and before `to`; an inverted range removes nothing.
    pub fn delete_range(&mut self, space: Space, from: impl Into<Bytes>, to: impl Into<Bytes>) {
        let (from, to) = (from.into(), to.into());
        if from < to {
            self.operations.push(Operation::DeleteRange { space, from, to });
        }
    }

    /// The changes, in order.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }
}
