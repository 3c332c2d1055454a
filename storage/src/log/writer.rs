//! The one queue in front of the disk, and what readers see of the log meanwhile.

use std::any::Any;
use std::fmt;
use std::ops::{ControlFlow, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bursar_domain::mutants::{Mutant, planted};
use bursar_net::{Worker, words_of};
use tokio::sync::watch;

use super::layout::{self, Recovered};
use super::tail::Tail;
use super::types::{LogEntry, LogPosition, Vote};
use super::{Bounds, Done, Outcome};
use crate::StorageError;
use crate::engine::{Batch, Engine};

/// What a log's writer did since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogCounters {
    /// Groups that were taken from the queue and written.
    pub groups: u64,
    /// Syncs that succeeded.
    pub syncs: u64,
    /// Entries that became durable.
    pub entries: u64,
}

pub(super) struct Writer {
    engine: Arc<dyn Engine>,
    worker: Arc<dyn Worker>,
    view: Mutex<View>,
    groups: AtomicU64,
    syncs: AtomicU64,
    entries: AtomicU64,
}

/// The log as its callers see it: with everything that was asked for, written or not.
struct View {
    vote: Option<Vote>,
    committed: Option<LogPosition>,
    purged: Option<LogPosition>,
    first_index: Option<u64>,
    last_entry: Option<LogPosition>,
    tail: Tail,
    /// Raised by whatever removes entries, so that a reader of the engine notices.
    removals: u64,
    queue: Queue,
    /// The first failure, for everybody from then on.
    failure: watch::Sender<Option<Arc<StorageError>>>,
}

#[derive(Default)]
struct Queue {
    operations: Vec<Operation>,
    /// The committed position to ride along with the next group.
    committed: Option<Option<LogPosition>>,
    /// The number of the newest operation; they count from 1.
    newest: u64,
    /// Whether a turn of the writer is asked for or under way.
    scheduled: bool,
}

enum Operation {
    SaveVote { vote: Vote, done: Done },
    Append { entries: Vec<LogEntry>, done: Done },
    Truncate { removed: Range<u64> },
    Purge { up_to: LogPosition, first_index: Option<u64> },
}

/// All that waited when the writer got its turn.
struct Group {
    operations: Vec<Operation>,
    committed: Option<Option<LogPosition>>,
    newest: u64,
}

impl Writer {
    pub(super) fn new(engine: Arc<dyn Engine>, worker: Arc<dyn Worker>, cache_bytes: u64, recovered: Recovered) -> Self {
        Writer {
            engine,
            worker,
            view: Mutex::new(View {
                vote: recovered.vote,
                committed: recovered.committed,
                purged: recovered.purged,
                first_index: recovered.first_index,
                last_entry: recovered.last_entry,
                tail: Tail::new(cache_bytes),
                removals: 0,
                queue: Queue::default(),
                failure: watch::Sender::new(None),
            }),
            groups: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
            entries: AtomicU64::new(0),
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        let view = self.view();
        Bounds { purged: view.purged, last: view.last_entry.or(view.purged) }
    }

    pub(super) fn vote(&self) -> Option<Vote> {
        self.view().vote
    }

    pub(super) fn committed(&self) -> Option<LogPosition> {
        self.view().committed
    }

    pub(super) fn counters(&self) -> LogCounters {
        LogCounters {
            groups: self.groups.load(Ordering::Relaxed),
            syncs: self.syncs.load(Ordering::Relaxed),
            entries: self.entries.load(Ordering::Relaxed),
        }
    }

    pub(super) async fn failed(&self) -> Arc<StorageError> {
        let mut failure = self.view().failure.subscribe();
        let found = failure.wait_for(Option::is_some).await.expect("the sender lives in this writer");
        found.clone().expect("waited for")
    }

    pub(super) fn save_vote(self: &Arc<Self>, vote: Vote, done: Done) {
        let mut view = self.view();
        if let Err(failure) = view.check() {
            drop(view);
            return done(Err(failure));
        }
        view.vote = Some(vote);
        self.enqueue(view, Operation::SaveVote { vote, done });
    }

    pub(super) fn save_committed(&self, position: Option<LogPosition>) -> Outcome<()> {
        let mut view = self.view();
        view.check()?;
        view.committed = position;
        view.queue.committed = Some(position);
        Ok(())
    }

    pub(super) fn append(self: &Arc<Self>, entries: Vec<LogEntry>, done: Done) {
        let mut view = self.view();
        if let Err(failure) = view.check().and_then(|()| view.check_append(&entries)) {
            drop(view);
            return done(Err(failure));
        }
        let operation = view.queue.newest + 1;
        for entry in &entries {
            view.first_index.get_or_insert(entry.position.index);
            view.last_entry = Some(entry.position);
            view.tail.push(entry.clone(), operation);
        }
        self.enqueue(view, Operation::Append { entries, done });
    }

    pub(super) fn truncate_after(self: &Arc<Self>, index: Option<u64>) -> Outcome<()> {
        let mut view = self.view();
        view.check()?;
        let (Some(first), Some(last)) = (view.first_index, view.last_entry) else {
            return Ok(());
        };
        let kept = index.filter(|index| *index >= first);
        if kept.is_some_and(|kept| kept >= last.index) {
            return Ok(());
        }
        match kept {
            Some(kept) => view.last_entry = Some(self.position_at(&mut view, kept)?),
            None => (view.first_index, view.last_entry) = (None, None),
        }
        view.tail.truncate_after(kept);
        view.removals += 1;
        let removed = kept.map_or(first, |kept| kept + 1)..last.index + 1;
        self.enqueue(view, Operation::Truncate { removed });
        Ok(())
    }

    pub(super) fn purge(self: &Arc<Self>, up_to: LogPosition) -> Outcome<()> {
        let mut view = self.view();
        view.check()?;
        if view.purged.is_some_and(|purged| purged.index >= up_to.index) {
            return Ok(());
        }
        let first_index = view.first_index;
        if let Some(first) = first_index
            && up_to.index + 1 < first
        {
            return Err(view.fail(StorageError::HoleInLog { expected: first, found: up_to.index }));
        }
        view.purged = Some(up_to);
        if view.last_entry.is_some_and(|last| last.index > up_to.index) {
            view.first_index = Some(up_to.index + 1);
        } else {
            (view.first_index, view.last_entry) = (None, None);
        }
        view.tail.purge(up_to.index);
        view.removals += 1;
        self.enqueue(view, Operation::Purge { up_to, first_index });
        Ok(())
    }

    pub(super) fn read(&self, range: Range<u64>, max_bytes: u64) -> Outcome<Vec<LogEntry>> {
        let mut view = self.view();
        'anew: loop {
            view.check()?;
            let removals = view.removals;
            let mut reading = Reading::new(view.clamp(&range), max_bytes);
            loop {
                reading.take_all(view.tail.from(reading.next));
                if reading.is_complete() {
                    return Ok(reading.entries);
                }
                // What the tail does not hold is written, and the engine may be slow: readers do not wait for each other.
                let tail_first = view.tail.first_index().unwrap_or(reading.end);
                let rested = reading.next..tail_first.min(reading.end);
                drop(view);
                let outcome = layout::read_entries(self.engine.as_ref(), rested, |entry| reading.take(entry));
                view = self.view();
                if view.removals != removals {
                    continue 'anew;
                }
                outcome.map_err(|error| view.fail(error))?;
            }
        }
    }

    /// The position of an entry that the log has. Others wait meanwhile: a truncation below the tail is rare.
    fn position_at(&self, view: &mut View, index: u64) -> Outcome<LogPosition> {
        if let Some(entry) = view.tail.from(index).next() {
            return Ok(entry.position);
        }
        let mut position = None;
        layout::read_entries(self.engine.as_ref(), index..index + 1, |entry| {
            position = Some(entry.position);
            ControlFlow::Break(())
        })
        .map_err(|error| view.fail(error))?;
        Ok(position.expect("reading one entry either finds it or fails"))
    }

    fn enqueue(self: &Arc<Self>, mut view: MutexGuard<'_, View>, operation: Operation) {
        view.queue.operations.push(operation);
        view.queue.newest += 1;
        let idle = !std::mem::replace(&mut view.queue.scheduled, true);
        drop(view);
        if idle {
            self.schedule();
        }
    }

    fn schedule(self: &Arc<Self>) {
        let writer = Arc::clone(self);
        self.worker.submit(Box::new(move || writer.take_turn()));
    }

    /// One turn: everything that waits becomes one batch and one sync.
    fn take_turn(self: Arc<Self>) {
        let (group, passed) = self.view().take_group();
        let outcome = passed.and_then(|()| {
            let stored = caught("write the Raft log", || self.store(&group)).flatten();
            stored.map_err(|error| self.view().fail(error))
        });
        if outcome.is_ok() {
            self.view().tail.shrink(group.newest);
        }
        for done in group.callbacks() {
            // Those behind one that panics are told all the same.
            if let Err(panicked) = caught("tell what became of a write to the Raft log", || done(outcome.clone())) {
                self.view().fail(panicked);
            }
        }
        // Only now, so that a callback that asks for more cannot overtake the callbacks behind it.
        let mut view = self.view();
        view.queue.scheduled = !view.queue.operations.is_empty();
        let more = view.queue.scheduled;
        drop(view);
        if more {
            self.schedule();
        }
    }

    fn store(&self, group: &Group) -> Result<(), StorageError> {
        let batch = group.batch();
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.engine.write(&batch)?;
        bursar_net::point!("log.written");
        if !planted(Mutant::NoSyncBeforeAcknowledgement) {
            self.engine.sync()?;
        }
        if planted(Mutant::LogBeforeVote) {
            self.engine.write(&group.votes())?;
        }
        bursar_net::point!("log.synced");
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.entries.fetch_add(group.entries(), Ordering::Relaxed);
        Ok(())
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().expect("no code that holds the view panics")
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bounds, counters) = (self.bounds(), self.counters());
        formatter.debug_struct("Writer").field("bounds", &bounds).field("counters", &counters).finish_non_exhaustive()
    }
}

impl View {
    /// Passes while nothing failed.
    fn check(&self) -> Outcome<()> {
        self.failure.borrow().clone().map_or(Ok(()), Err)
    }

    /// Remembers a failure, and returns the first one.
    fn fail(&self, failure: StorageError) -> Arc<StorageError> {
        self.failure.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert_with(|| Arc::new(failure));
            is_first
        });
        self.check().expect_err("there is a failure by now")
    }

    /// Whether the entries go on where the log ends.
    fn check_append(&self, entries: &[LogEntry]) -> Outcome<()> {
        let mut expected = self.last_entry.or(self.purged).map(|last| last.index + 1);
        for entry in entries {
            let found = entry.position.index;
            match expected {
                Some(expected) if expected != found => {
                    return Err(self.fail(StorageError::HoleInLog { expected, found }));
                }
                _ => expected = Some(found + 1),
            }
        }
        Ok(())
    }

    /// The part of a range that the log has.
    fn clamp(&self, range: &Range<u64>) -> Range<u64> {
        match (self.first_index, self.last_entry) {
            (Some(first), Some(last)) => range.start.max(first)..range.end.min(last.index + 1),
            _ => 0..0,
        }
    }

    /// What waits, and whether it may be written.
    fn take_group(&mut self) -> (Group, Outcome<()>) {
        let group = Group {
            operations: std::mem::take(&mut self.queue.operations),
            committed: self.queue.committed.take(),
            newest: self.queue.newest,
        };
        (group, self.check())
    }
}

impl Group {
    fn batch(&self) -> Batch {
        let mut batch = Batch::new();
        for operation in &self.operations {
            match operation {
                Operation::SaveVote { .. } if planted(Mutant::VoteNotKept) || planted(Mutant::LogBeforeVote) => {}
                Operation::SaveVote { vote, .. } => layout::put_vote(&mut batch, *vote),
                Operation::Append { entries, .. } => {
                    for entry in entries {
                        layout::put_entry(&mut batch, entry);
                    }
                }
                Operation::Truncate { removed } => layout::delete_backward(&mut batch, removed.clone()),
                Operation::Purge { up_to, first_index } => layout::put_purged(&mut batch, *up_to, *first_index),
            }
        }
        if let Some(position) = self.committed {
            layout::put_committed(&mut batch, position);
        }
        batch
    }

    /// The votes alone, for a writer that takes them for something of their own.
    fn votes(&self) -> Batch {
        let mut batch = Batch::new();
        for operation in &self.operations {
            if let Operation::SaveVote { vote, .. } = operation {
                layout::put_vote(&mut batch, *vote);
            }
        }
        batch
    }

    fn entries(&self) -> u64 {
        let appended = |operation: &Operation| match operation {
            Operation::Append { entries, .. } => entries.len() as u64,
            _ => 0,
        };
        self.operations.iter().map(appended).sum()
    }

    /// Whom to tell what became of it, in order.
    fn callbacks(self) -> impl Iterator<Item = Done> {
        self.operations.into_iter().filter_map(|operation| match operation {
            Operation::SaveVote { done, .. } | Operation::Append { done, .. } => Some(done),
            Operation::Truncate { .. } | Operation::Purge { .. } => None,
        })
    }
}

/// Does a part of a turn. A panic in it must not end the turn: nobody would ever get one again, and those who wait would not
/// be told.
fn caught<T>(action: &'static str, part: impl FnOnce() -> T) -> Result<T, StorageError> {
    let panicked = |panic: Box<dyn Any + Send>| StorageError::Panicked { action, detail: words_of(panic.as_ref()).to_owned() };
    catch_unwind(AssertUnwindSafe(part)).map_err(panicked)
}

/// A read under way: what it has, what comes next, and how much more may come.
struct Reading {
    entries: Vec<LogEntry>,
    next: u64,
    end: u64,
    bytes_left: u64,
    full: bool,
}

impl Reading {
    fn new(range: Range<u64>, max_bytes: u64) -> Self {
        Reading { entries: Vec::new(), next: range.start, end: range.end, bytes_left: max_bytes, full: false }
    }

    fn is_complete(&self) -> bool {
        self.full || self.next >= self.end
    }

    fn take_all<'a>(&mut self, entries: impl Iterator<Item = &'a LogEntry>) {
        for entry in entries {
            if self.is_complete() || self.take(entry.clone()).is_break() {
                return;
            }
        }
    }

    fn take(&mut self, entry: LogEntry) -> ControlFlow<()> {
        match self.bytes_left.checked_sub(entry.weight()) {
            Some(left) => self.bytes_left = left,
            None if self.entries.is_empty() => self.bytes_left = 0,
            None => {
                self.full = true;
                return ControlFlow::Break(());
            }
        }
        self.entries.push(entry);
        self.next += 1;
        ControlFlow::Continue(())
    }
}
