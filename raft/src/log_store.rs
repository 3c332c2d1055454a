//! The Raft log as openraft sees it: a thin, total translation onto [`RaftLog`], which does the queueing and syncing.

use std::{
    fmt::Debug,
    io,
    ops::{Bound, RangeBounds},
    sync::Arc,
};

use bursar_storage::{StorageError, log::RaftLog};
use futures_util::{Stream, stream};
use openraft::{
    LogState, OptionalSend, RaftLogReader,
    storage::{IOFlushed, RaftLogStorage},
};
use tokio::sync::oneshot;

use crate::{
    convert,
    stop::{StopReason, StopSignal},
    types::{Entry, LogId, TypeConfig, Vote},
};

/// The most bytes of entries that one append request carries; one entry may be larger. Requests are pipelined, so this costs no speed;
/// and each has to be answered within [`append_timeout`](crate::config::NodeConfig::append_timeout), or all of it travels again: at the
/// shortest of those, 2 s, this arrives over a link that carries half a megabit a second. An entry that is larger takes more.
const APPEND_BYTES_MAX: u64 = 64 << 10;
/// The most bytes of entries that wait to be applied at a time; one entry may be larger.
const APPLY_BYTES_MAX: u64 = 1 << 20;

/// A node's log for openraft; clones share it, so readers see what was appended at once.
///
/// Reads run where they are called: nearly all are served from memory, and none takes more than a megabyte from the disk.
#[derive(Clone)]
pub struct LogStore {
    id: u64,
    log: RaftLog,
    stop: StopSignal,
}

impl LogStore {
    /// Puts the `log` of node `id` before openraft. A failure of the log is told to `stop`.
    pub fn new(id: u64, log: RaftLog, stop: StopSignal) -> Self {
        Self { id, log, stop }
    }

    fn failed(&self, error: &Arc<StorageError>) -> io::Error {
        self.stop.stop(StopReason::Storage((**error).clone()));
        io::Error::other(Arc::clone(error))
    }

    fn read(&self, from: u64, to: u64, max_bytes: u64) -> io::Result<Vec<Entry>> {
        let entries = self.log.read(from..to, max_bytes).map_err(|error| self.failed(&error))?;
        Ok(entries.into_iter().map(convert::entry).collect())
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        let (from, to) = ends(&range);
        self.read(from, to, u64::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end, APPEND_BYTES_MAX)
    }

    /// Piece by piece, so that a long backlog to apply does not have to fit into memory.
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = ends(&range);
        let pieces = stream::unfold((self.clone(), from), move |(store, from)| async move {
            if from >= to {
                return None;
            }
            match store.read(from, to, APPLY_BYTES_MAX) {
                Ok(entries) => {
                    let next = entries.last().map_or(to, |last| last.log_id.index + 1);
                    let items: Vec<_> = entries.into_iter().map(Ok).collect();
                    Some((stream::iter(items), (store, next)))
                }
                Err(error) => Some((stream::iter(vec![Err(error)]), (store, to))),
            }
        });
        Box::pin(futures_util::StreamExt::flatten(pieces))
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.log.vote().map(convert::vote))
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let bounds = self.log.bounds();
        Ok(LogState { last_purged_log_id: bounds.purged.map(convert::log_id), last_log_id: bounds.last.map(convert::log_id) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    /// Returns once the vote is durable.
    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let saved = convert::vote_to_store(*vote);
        let (sender, durable) = oneshot::channel();
        let done = Box::new(move |outcome| {
            // Nobody waits any more where the core was shut down meanwhile.
            let _ = sender.send(outcome);
        });
        self.log.save_vote(saved, done);
        let lost = || Err(Arc::new(StorageError::io("save the vote", "the log's writer is gone")));
        durable.await.unwrap_or_else(|_| lost()).map_err(|error| self.failed(&error))?;
        bursar_net::point!("vote.durable", saved.term, saved.leader, u64::from(saved.committed));
        // A quorum has granted what this node asked for, and it has appended nothing as the leader yet.
        if saved.committed && saved.leader == self.id {
            bursar_net::point!("leader.elected", saved.term, self.id);
        }
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.log.save_committed(committed.map(convert::position)).map_err(|error| self.failed(&error))
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.log.committed().map(convert::log_id))
    }

    /// Returns once the entries are readable; `callback` is told when they are durable.
    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let store = self.clone();
        let entries = entries.into_iter().map(convert::entry_to_store).collect();
        let done = Box::new(move |outcome: Result<(), Arc<StorageError>>| {
            callback.io_completed(outcome.map_err(|error| store.failed(&error)));
        });
        self.log.append(entries, done);
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        self.log.truncate_after(last.map(|last| last.index)).map_err(|error| self.failed(&error))
    }

    async fn purge(&mut self, up_to: LogId) -> io::Result<()> {
        bursar_net::point!("log.purge");
        self.log.purge(convert::position(up_to)).map_err(|error| self.failed(&error))
    }
}

/// The first index of a range, and the first behind it.
fn ends(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(index) => *index,
        Bound::Excluded(index) => index.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(index) => index.saturating_add(1),
        Bound::Excluded(index) => *index,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}
