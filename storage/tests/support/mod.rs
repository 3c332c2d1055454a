//! What the tests of this crate share: workers that run when told to, engines that can be opened again, and entries.

#![allow(dead_code, reason = "each test binary uses its own part of it")]

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bursar_domain::StoreId;
use bursar_net::Worker;
use bursar_storage::StorageError;
use bursar_storage::engine::{Batch, Direction, Engine, KeyRange, MemoryEngine, Space, Visitor};
use bursar_storage::log::{Done, LogEntry, LogPosition, Outcome, Payload, RaftLog};
use bytes::Bytes;

/// The data directory that all stores belong to where it does not matter.
pub const STORE: StoreId = StoreId([0x5a; 16]);

/// Runs each job where it is submitted.
pub struct InlineWorker;

impl Worker for InlineWorker {
    fn submit(&self, job: Box<dyn FnOnce() + Send>) {
        job();
    }
}

/// Runs jobs when the test says so.
#[derive(Default)]
pub struct ManualWorker {
    jobs: Mutex<VecDeque<Box<dyn FnOnce() + Send>>>,
}

impl ManualWorker {
    /// Runs the oldest job; false if there is none.
    pub fn run_one(&self) -> bool {
        let job = self.jobs.lock().expect("no job panicked").pop_front();
        job.map(|job| job()).is_some()
    }

    pub fn run_all(&self) {
        while self.run_one() {}
    }

    pub fn waiting(&self) -> usize {
        self.jobs.lock().expect("no job panicked").len()
    }
}

impl Worker for ManualWorker {
    fn submit(&self, job: Box<dyn FnOnce() + Send>) {
        self.jobs.lock().expect("no job panicked").push_back(job);
    }
}

/// Runs jobs on a thread of its own, which ends with it.
pub struct ThreadWorker {
    jobs: Option<Sender<Box<dyn FnOnce() + Send>>>,
    thread: Option<JoinHandle<()>>,
}

impl ThreadWorker {
    pub fn start() -> Self {
        let (jobs, queue) = channel::<Box<dyn FnOnce() + Send>>();
        let thread = std::thread::spawn(move || queue.into_iter().for_each(|job| job()));
        ThreadWorker { jobs: Some(jobs), thread: Some(thread) }
    }
}

impl Worker for ThreadWorker {
    fn submit(&self, job: Box<dyn FnOnce() + Send>) {
        let jobs = self.jobs.as_ref().expect("the worker still runs");
        jobs.send(job).expect("the worker still runs");
    }
}

impl Drop for ThreadWorker {
    fn drop(&mut self) {
        self.jobs = None;
        // The last handle may be dropped by a job, on the very thread that would be waited for.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            thread.join().expect("no job panicked");
        }
    }
}

/// An engine that shows each sync and each scan to the test before it happens, and that may lie about syncs.
pub struct Observed {
    pub inner: MemoryEngine,
    pub sync_lies: bool,
    pub before_sync: Hook,
    pub before_scan: Hook,
}

/// What a test wants to do at a certain point.
#[derive(Default)]
pub struct Hook(Mutex<Option<Box<dyn FnMut() + Send>>>);

impl Hook {
    /// Runs `action` each time from now on.
    pub fn each_time(&self, action: impl FnMut() + Send + 'static) {
        *self.0.lock().expect("no hook panicked") = Some(Box::new(action));
    }

    /// Runs `action` the next time only.
    pub fn once(&self, action: impl FnOnce() + Send + 'static) {
        let mut action = Some(action);
        self.each_time(move || {
            if let Some(action) = action.take() {
                action();
            }
        });
    }

    fn run(&self) {
        // Taken out, because what it does may come by here again.
        let action = self.0.lock().expect("no hook panicked").take();
        if let Some(mut action) = action {
            action();
            self.0.lock().expect("no hook panicked").get_or_insert(action);
        }
    }
}

impl Observed {
    pub fn over(inner: MemoryEngine) -> Arc<Self> {
        Arc::new(Observed { inner, sync_lies: false, before_sync: Hook::default(), before_scan: Hook::default() })
    }

    pub fn lying(inner: MemoryEngine) -> Arc<Self> {
        Arc::new(Observed { inner, sync_lies: true, before_sync: Hook::default(), before_scan: Hook::default() })
    }
}

impl Engine for Observed {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.inner.get(space, key)
    }

    fn scan(&self, space: Space, range: KeyRange<'_>, direction: Direction, visit: &mut Visitor<'_>) -> Result<(), StorageError> {
        self.before_scan.run();
        self.inner.scan(space, range, direction, visit)
    }

    fn write(&self, batch: &Batch) -> Result<(), StorageError> {
        self.inner.write(batch)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.before_sync.run();
        if self.sync_lies { Ok(()) } else { self.inner.sync() }
    }
}

/// An engine that a suite runs against, and that can be closed and opened again.
pub trait Fixture: Sized {
    /// An empty store.
    fn create() -> Self;

    /// Two spaces of it: contents and state.
    fn spaces() -> [Space; 2];

    fn engine(&self) -> Arc<dyn Engine>;

    /// The same store in a later process that ended in order.
    fn reopen(self) -> Self;
}

/// The memory engine. A later process sees what was written.
pub struct Memory(MemoryEngine);

impl Fixture for Memory {
    fn create() -> Self {
        Memory(MemoryEngine::new())
    }

    fn spaces() -> [Space; 2] {
        [Space::LogEntries, Space::LogState]
    }

    fn engine(&self) -> Arc<dyn Engine> {
        Arc::new(self.0.clone())
    }

    fn reopen(self) -> Self {
        Memory(self.0.crash_keeping(usize::MAX))
    }
}

#[cfg(feature = "rocksdb")]
pub mod rocks {
    use bursar_storage::engine::{Profile, RocksEngine};
    use tempfile::TempDir;

    use super::*;

    /// RocksDB with the profile of the Raft log.
    pub struct RocksLog(Arc<RocksEngine>, TempDir);

    /// RocksDB with the profile of the ledger.
    pub struct RocksLedger(Arc<RocksEngine>, TempDir);

    fn create(directory: &TempDir, profile: Profile) -> Arc<RocksEngine> {
        Arc::new(RocksEngine::create(&directory.path().join("store"), profile).expect("a directory of its own"))
    }

    fn open(directory: &TempDir, profile: Profile) -> Arc<RocksEngine> {
        Arc::new(RocksEngine::open(&directory.path().join("store"), profile).expect("it was created"))
    }

    impl Fixture for RocksLog {
        fn create() -> Self {
            let directory = TempDir::new().expect("a temporary directory");
            RocksLog(create(&directory, Profile::Log), directory)
        }

        fn spaces() -> [Space; 2] {
            [Space::LogEntries, Space::LogState]
        }

        fn engine(&self) -> Arc<dyn Engine> {
            self.0.clone()
        }

        fn reopen(self) -> Self {
            let RocksLog(engine, directory) = self;
            drop(engine);
            RocksLog(open(&directory, Profile::Log), directory)
        }
    }

    impl Fixture for RocksLedger {
        fn create() -> Self {
            let directory = TempDir::new().expect("a temporary directory");
            RocksLedger(create(&directory, Profile::Ledger), directory)
        }

        fn spaces() -> [Space; 2] {
            [Space::Journal, Space::LedgerState]
        }

        fn engine(&self) -> Arc<dyn Engine> {
            self.0.clone()
        }

        fn reopen(self) -> Self {
            let RocksLedger(engine, directory) = self;
            drop(engine);
            RocksLedger(open(&directory, Profile::Ledger), directory)
        }
    }
}

/// A log without entries, in memory.
pub fn empty_log() -> MemoryEngine {
    let engine = MemoryEngine::new();
    RaftLog::make(&engine, STORE).expect("an empty engine");
    engine
}

/// The pairs of a range.
pub fn pairs(engine: &dyn Engine, space: Space, range: KeyRange<'_>, direction: Direction) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut visit = |key: &[u8], value: &[u8]| {
        pairs.push((text(key), text(value)));
        Ok(ControlFlow::Continue(()))
    };
    engine.scan(space, range, direction, &mut visit).expect("a scan");
    pairs
}

pub fn position(term: u64, index: u64) -> LogPosition {
    LogPosition { term, index }
}

/// An entry whose proposal is `size` bytes that depend on where it stands.
pub fn entry(term: u64, index: u64, size: usize) -> LogEntry {
    LogEntry { position: position(term, index), payload: Payload::Proposal(vec![(term * 31 + index) as u8; size].into()) }
}

/// What was called back, in order, each under the name that the test gave it.
#[derive(Clone, Default)]
pub struct Calls(Arc<Mutex<Vec<Call>>>);

type Call = (String, Outcome<()>);

impl Calls {
    pub fn done(&self, name: impl ToString) -> Done {
        let (calls, name) = (self.clone(), name.to_string());
        Box::new(move |outcome| calls.0.lock().expect("no call panicked").push((name, outcome)))
    }

    /// The names of the calls so far; `name!` for a failure.
    pub fn names(&self) -> Vec<String> {
        let calls = self.0.lock().expect("no call panicked");
        let mark = |(name, outcome): &Call| match outcome {
            Ok(()) => name.clone(),
            Err(_) => format!("{name}!"),
        };
        calls.iter().map(mark).collect()
    }

    pub fn outcomes(&self) -> Vec<Outcome<()>> {
        let calls = self.0.lock().expect("no call panicked");
        calls.iter().map(|(_, outcome)| outcome.clone()).collect()
    }
}
