//! The Raft log: entries, vote, committed and purged position, over any engine.
//!
//! What happens to the log happens in the order of the calls, whatever kind they are, and is seen by readers at once. One
//! queue takes it all to the disk: whenever the writer gets its turn it takes *everything* that waits, writes it as one
//! batch, syncs once, and then calls back in order. What arrives meanwhile is the next group.
//!
//! ```text
//! append ─┐  readable at once                       ┌─> done(Ok), in order
//! vote   ─┼─> queue ──(one turn: all of it)──> one batch ──> one sync
//! purge  ─┘                                         └─> done(Err): poisoned, for good
//! ```
//!
//! After the first failure nothing is tried again: the failed group, what waits behind it and every later call get that
//! first failure, and the caller stops the node. A panic of the engine is a failure like any other.

mod layout;
mod tail;
pub mod types;
mod writer;

use std::ops::Range;
use std::sync::Arc;

use bursar_domain::StoreId;
use bursar_net::Worker;

pub use types::{LogEntry, LogPosition, Member, Membership, Payload, Vote};
pub use writer::LogCounters;

use crate::StorageError;
use crate::engine::Engine;
use writer::Writer;

/// Told once, when what was asked for is durable, or that it never will be.
pub type Done = Box<dyn FnOnce(Outcome<()>) + Send>;

/// What the log answers. All calls after a failure share the first failure.
pub type Outcome<T> = Result<T, Arc<StorageError>>;

/// Where the log begins and ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The last position that was purged.
    pub purged: Option<LogPosition>,
    /// The position of the last entry; of an empty log the purged one.
    pub last: Option<LogPosition>,
}

/// A handle on the Raft log of a node. Clones share one log.
#[derive(Debug, Clone)]
pub struct RaftLog {
    writer: Arc<Writer>,
}

impl RaftLog {
    /// Makes the log of the data directory `store`, in an empty engine, durably.
    ///
    /// # Errors
    /// An engine that is not empty, which is not changed; a failing engine.
    pub fn make(engine: &dyn Engine, store: StoreId) -> Result<(), StorageError> {
        layout::make(engine, store)
    }

    /// Opens the log that was made in an engine for the data directory `store`, and reads all of it once.
    ///
    /// Writes and syncs run on `worker`. Written entries stay in memory up to about `cache_bytes`; entries that wait to be
    /// written come on top, so the caller bounds what it has under way.
    ///
    /// # Errors
    /// A damaged or missing entry, named by its index; another directory's log; a newer format; a failing engine.
    pub fn open(
        engine: Arc<dyn Engine>,
        store: StoreId,
        worker: Arc<dyn Worker>,
        cache_bytes: u64,
    ) -> Result<Self, StorageError> {
        let recovered = layout::recover(engine.as_ref(), store)?;
        Ok(RaftLog { writer: Arc::new(Writer::new(engine, worker, cache_bytes, recovered)) })
    }

    /// Where the log begins and ends, waiting operations included.
    pub fn bounds(&self) -> Bounds {
        self.writer.bounds()
    }

    /// The last vote that was saved, durable or about to be.
    pub fn vote(&self) -> Option<Vote> {
        self.writer.vote()
    }

    /// The last committed position that was saved.
    pub fn committed(&self) -> Option<LogPosition> {
        self.writer.committed()
    }

    /// The entries of a range that the log has, in order and without a gap.
    ///
    /// Stops before the entry with which the [weight](LogEntry::weight) would pass `max_bytes`, but never before the
    /// first.
    ///
    /// # Errors
    /// A damaged or missing entry, a failing engine, or the first failure of the log.
    pub fn read(&self, range: Range<u64>, max_bytes: u64) -> Outcome<Vec<LogEntry>> {
        self.writer.read(range, max_bytes)
    }

    /// Appends entries: readable on return, durable when `done` is told so.
    ///
    /// The first goes on where the log ends, where an empty log was purged, or anywhere in a log that never held any.
    /// Entries that would leave a hole, or overlap, are refused, and that is final: the caller's view of the log is wrong.
    pub fn append(&self, entries: Vec<LogEntry>, done: Done) {
        self.writer.append(entries, done);
    }

    /// Saves the vote: durable when `done` is told so, and in order with the appends around it.
    pub fn save_vote(&self, vote: Vote, done: Done) {
        self.writer.save_vote(vote, done);
    }

    /// Notes how far the log is committed. It rides along with the next group, so a crash may forget the newest.
    ///
    /// # Errors
    /// The first failure of the log.
    pub fn save_committed(&self, position: Option<LogPosition>) -> Outcome<()> {
        self.writer.save_committed(position)
    }

    /// Removes the entries after `index`, or all of them. Purged ones stay purged.
    ///
    /// # Errors
    /// A damaged entry at `index`, a failing engine, or the first failure of the log.
    pub fn truncate_after(&self, index: Option<u64>) -> Outcome<()> {
        self.writer.truncate_after(index)
    }

    /// Removes the entries up to a position. A position beyond the last entry empties the log, which goes on after it.
    ///
    /// # Errors
    /// A purge that ends before the first entry would leave a hole; or the first failure of the log.
    pub fn purge(&self, up_to: LogPosition) -> Outcome<()> {
        self.writer.purge(up_to)
    }

    /// Returns with the first failure of the log, which may be one of which no caller is told: nobody waits for a purge.
    pub async fn failed(&self) -> Arc<StorageError> {
        self.writer.failed().await
    }

    /// What the writer did since it was opened.
    pub fn counters(&self) -> LogCounters {
        self.writer.counters()
    }
}
