//! What the tests of the ledger share: an author who decides a history, replicas that keep it, and engines that fail.

#![allow(dead_code, reason = "each test binary uses its own part of it")]

/// Instantiates every test for every engine.
#[allow(unused_macros, reason = "each test binary uses its own part of it")]
macro_rules! on_every_engine {
    ($($test:ident)*) => {
        mod memory {
            $(#[test] fn $test() { super::$test::<crate::support::Memory>(); })*
        }
        #[cfg(feature = "rocksdb")]
        mod rocksdb {
            $(#[test] fn $test() { super::$test::<crate::support::rocks::RocksLedger>(); })*
        }
    };
}
#[allow(unused_imports, reason = "each test binary uses its own part of it")]
pub(crate) use on_every_engine;

pub mod author;
pub mod wishes;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bursar_domain::{Revision, State, StoreId, evolve};
use bursar_storage::StorageError;
use bursar_storage::engine::{Batch, Direction, Engine, KeyRange, MemoryEngine, Operation, Space, Visitor};
use bursar_storage::ledger::{Applied, Checkpoint, Ledger, Recovered};
use bytes::Bytes;

use author::Decided;

/// The data directory that all ledgers belong to.
pub const STORE: StoreId = StoreId([0x5a; 16]);

/// A node's state machine: a ledger, and the state that its journal says.
pub struct Replica {
    pub ledger: Ledger,
    pub state: State,
    pub applied: Applied,
}

impl Replica {
    /// Opens whatever an engine holds.
    pub fn open(engine: Arc<dyn Engine>) -> Result<Self, StorageError> {
        let (ledger, Recovered { state, applied }) = Ledger::open(engine, STORE)?;
        Ok(Self { ledger, state, applied })
    }

    /// A ledger of nothing, in an empty engine.
    pub fn make(engine: Arc<dyn Engine>) -> Self {
        Ledger::make(&*engine, STORE).expect("an empty engine");
        Self::open(engine).expect("it was just made")
    }

    /// A replica in memory, and its engine.
    pub fn in_memory() -> (Self, MemoryEngine) {
        let engine = MemoryEngine::new();
        (Self::make(Arc::new(engine.clone())), engine)
    }

    /// Commits each decision in a batch of its own.
    pub fn commit(&mut self, decisions: &[Decided]) {
        for decided in decisions {
            self.commit_together(std::slice::from_ref(decided));
        }
    }

    /// Commits decisions in one batch.
    pub fn commit_together(&mut self, decisions: &[Decided]) {
        let Some(last) = decisions.last() else { return };
        let records: Vec<_> = decisions.iter().flat_map(|decided| decided.records.iter().cloned()).collect();
        self.ledger.commit(&records, &last.applied).expect("a commit");
        for record in &records {
            evolve(&mut self.state, record);
        }
        self.applied = last.applied.clone();
    }

    pub fn checkpoint(&self) -> Checkpoint {
        self.ledger.write_checkpoint(&self.state, &self.applied).expect("a checkpoint")
    }

    /// What the records behind `after` hold, from the ledger.
    pub fn journal_after(&self, after: Revision) -> Vec<Bytes> {
        let mut bytes = Vec::new();
        let mut reached = after;
        loop {
            let records = self.ledger.records(reached, Revision(u64::MAX), 100_000).expect("a sound journal");
            let Some(last) = records.last() else { return bytes };
            reached = last.revision;
            bytes.extend(records.into_iter().map(|record| record.bytes));
        }
    }

    /// Asserts that this replica stands where `decided` ended, and that everything in it is sound.
    pub fn assert_stands_at(&self, decided: &Decided) {
        assert_eq!(self.applied, decided.applied);
        assert_eq!(self.ledger.applied(), decided.applied);
        assert_eq!(self.state.digest(), decided.state.digest());
        let verified = self.ledger.verify(&mut |_| {}).expect("a sound ledger");
        assert_eq!((verified.revision, verified.digest), (decided.applied.revision, decided.state.digest()));
    }
}

/// What a history wrote into the journal.
pub fn journal_of(history: &[Decided]) -> Vec<Bytes> {
    let records = history.iter().flat_map(|decided| &decided.records);
    records.map(|sealed| Bytes::from(sealed.bytes.clone())).collect()
}

/// Counts what is asked of an engine, and fails at a chosen operation and at every later one.
pub struct Counted {
    inner: MemoryEngine,
    operations: AtomicU64,
    fails_at: u64,
    largest_batch: AtomicUsize,
}

impl Counted {
    /// Never fails.
    pub fn over(inner: MemoryEngine) -> Arc<Self> {
        Self::failing_at(u64::MAX, inner)
    }

    /// Fails at the `nth` operation, counted from 1.
    pub fn failing_at(nth: u64, inner: MemoryEngine) -> Arc<Self> {
        Arc::new(Self { inner, operations: AtomicU64::new(0), fails_at: nth, largest_batch: AtomicUsize::new(0) })
    }

    /// How many operations were asked for.
    pub fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    /// How many bytes of values the largest batch had.
    pub fn largest_batch(&self) -> usize {
        self.largest_batch.load(Ordering::Relaxed)
    }

    fn count(&self) -> Result<(), StorageError> {
        let operation = self.operations.fetch_add(1, Ordering::Relaxed) + 1;
        if operation < self.fails_at {
            return Ok(());
        }
        Err(StorageError::io(format!("do operation {operation}"), "input/output error (injected)"))
    }
}

impl Engine for Counted {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.count()?;
        self.inner.get(space, key)
    }

    fn scan(&self, space: Space, range: KeyRange<'_>, direction: Direction, visit: &mut Visitor<'_>) -> Result<(), StorageError> {
        self.count()?;
        self.inner.scan(space, range, direction, visit)
    }

    fn write(&self, batch: &Batch) -> Result<(), StorageError> {
        self.count()?;
        let bytes = |operation: &Operation| if let Operation::Put { value, .. } = operation { value.len() } else { 0 };
        self.largest_batch.fetch_max(batch.operations().iter().map(bytes).sum(), Ordering::Relaxed);
        self.inner.write(batch)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.count()?;
        self.inner.sync()
    }
}

/// Every key and value of a space.
pub fn contents(engine: &dyn Engine, space: Space) -> Vec<(Bytes, Bytes)> {
    let mut pairs = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        pairs.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        Ok(ControlFlow::Continue(()))
    };
    engine.scan(space, KeyRange::ALL, Direction::Forward, &mut visit).expect("a scan");
    pairs
}

/// How many generations of checkpoints an engine holds.
pub fn generations(engine: &dyn Engine) -> usize {
    let mut generations: Vec<_> = contents(engine, Space::Checkpoints).into_iter().map(|(key, _)| key.slice(..8)).collect();
    generations.dedup();
    generations.len()
}

/// Replaces one value.
pub fn replace(engine: &dyn Engine, space: Space, key: &Bytes, value: impl Into<Bytes>) {
    let mut batch = Batch::new();
    batch.put(space, key.clone(), value);
    engine.write(&batch).expect("a write");
}
