//! An engine in memory that keeps apart what was written and what is durable, and that fails when told to.
//!
//! It is the engine of tests and of simulated nodes: [`MemoryEngine::crash`] is a power cut, which a process that is
//! merely killed never shows, because the kernel still holds what it wrote.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::fuse::Fuse;
use super::{Batch, Direction, Engine, KeyRange, Operation, Space, Visitor};
use crate::StorageError;

/// Ordered maps in memory. Clones share one store.
#[derive(Debug, Clone, Default)]
pub struct MemoryEngine {
    fuse: Arc<Fuse>,
    disk: Arc<Mutex<Disk>>,
}

/// How often an engine was asked to do what costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineCounters {
    /// Batches written, failed ones included.
    pub writes: u64,
    /// Syncs, failed ones included.
    pub syncs: u64,
}

#[derive(Debug, Default)]
struct Disk {
    /// What readers see.
    written: Spaces,
    /// What a power cut leaves.
    durable: Spaces,
    /// The batches between the two, oldest first.
    unsynced: VecDeque<Batch>,
    counters: EngineCounters,
    failing_write: Option<u64>,
    failing_sync: Option<u64>,
    panicking_sync: Option<u64>,
}

impl MemoryEngine {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The store after a power cut: what the last successful sync made durable, and nothing else.
    pub fn crash(&self) -> MemoryEngine {
        self.crash_keeping(0)
    }

    /// The store after a power cut at which the disk had already taken the first `kept` of the unsynced batches.
    pub fn crash_keeping(&self, kept: usize) -> MemoryEngine {
        let disk = self.disk();
        let mut durable = disk.durable.clone();
        for batch in disk.unsynced.iter().take(kept) {
            durable.apply(batch);
        }
        MemoryEngine {
            fuse: Arc::default(),
            disk: Arc::new(Mutex::new(Disk { written: durable.clone(), durable, ..Disk::default() })),
        }
    }

    /// The same store for another process: what an earlier one wrote is there, and that one of its writes failed is not known.
    pub(super) fn reopened(&self) -> MemoryEngine {
        MemoryEngine { fuse: Arc::default(), disk: Arc::clone(&self.disk) }
    }

    /// How many batches a power cut could take.
    pub fn unsynced(&self) -> usize {
        self.disk().unsynced.len()
    }

    /// How many values there are.
    pub fn values(&self) -> u64 {
        self.disk().written.maps.iter().map(|map| map.len() as u64).sum()
    }

    /// Turns over a bit of the value at a place among all of them, as a disk does that forgets. Tells its key space and key; none
    /// where there is no such place.
    pub fn rot(&self, place: u64, bit: u64) -> Option<(Space, Bytes)> {
        let mut disk = self.disk();
        let mut values =
            Space::ALL.into_iter().flat_map(|space| disk.written.of(space).keys().map(move |key| (space, key.clone())));
        let (space, key) = values.nth(usize::try_from(place).ok()?)?;
        let Disk { written, durable, .. } = &mut *disk;
        for spaces in [written, durable] {
            if let Some(value) = spaces.maps[space as usize].get_mut(&key).filter(|value| !value.is_empty()) {
                let mut rotten = value.to_vec();
                let byte = usize::try_from(bit / 8 % rotten.len() as u64).expect("it is below a length");
                rotten[byte] ^= 1 << (bit % 8);
                *value = rotten.into();
            }
        }
        Some((space, key))
    }

    /// How often it was written and synced.
    pub fn counters(&self) -> EngineCounters {
        self.disk().counters
    }

    /// Lets the `nth` write from now on (1 is the next) fail with an I/O error.
    pub fn fail_write(&self, nth: u64) {
        let mut disk = self.disk();
        disk.failing_write = Some(disk.counters.writes + nth);
    }

    /// Lets the `nth` sync from now on (1 is the next) fail with an I/O error; what it should have made durable is not.
    pub fn fail_sync(&self, nth: u64) {
        let mut disk = self.disk();
        disk.failing_sync = Some(disk.counters.syncs + nth);
    }

    /// Lets the `nth` sync from now on (1 is the next) panic, as a defect would.
    pub fn panic_in_sync(&self, nth: u64) {
        let mut disk = self.disk();
        disk.panicking_sync = Some(disk.counters.syncs + nth);
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        // A visitor that panicked only read, and a sync that did had changed nothing yet, so the maps are whole.
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for MemoryEngine {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.fuse.check()?;
        Ok(self.disk().written.of(space).get(key).cloned())
    }

    fn scan(&self, space: Space, range: KeyRange<'_>, direction: Direction, visit: &mut Visitor<'_>) -> Result<(), StorageError> {
        self.fuse.check()?;
        if range.is_empty() {
            return Ok(());
        }
        let disk = self.disk();
        let to = range.to.map_or(Bound::Unbounded, Bound::Excluded);
        let mut pairs = disk.written.of(space).range::<[u8], _>((Bound::Included(range.from), to));
        while let Some((key, value)) = match direction {
            Direction::Forward => pairs.next(),
            Direction::Backward => pairs.next_back(),
        } {
            if let ControlFlow::Break(()) = visit(key, value)? {
                break;
            }
        }
        Ok(())
    }

    fn write(&self, batch: &Batch) -> Result<(), StorageError> {
        self.fuse.guard(|| {
            let mut disk = self.disk();
            disk.counters.writes += 1;
            if disk.failing_write == Some(disk.counters.writes) {
                return Err(StorageError::io("write a batch", "input/output error (injected)"));
            }
            disk.written.apply(batch);
            disk.unsynced.push_back(batch.clone());
            Ok(())
        })
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.fuse.guard(|| {
            let mut disk = self.disk();
            disk.counters.syncs += 1;
            if disk.failing_sync == Some(disk.counters.syncs) {
                return Err(StorageError::io("sync", "input/output error (injected)"));
            }
            if disk.panicking_sync == Some(disk.counters.syncs) {
                panic!("a sync panicked (injected)");
            }
            let Disk { durable, unsynced, .. } = &mut *disk;
            for batch in unsynced.drain(..) {
                durable.apply(&batch);
            }
            Ok(())
        })
    }
}

/// One ordered map for each key space.
#[derive(Debug, Clone, Default)]
struct Spaces {
    maps: [BTreeMap<Bytes, Bytes>; Space::ALL.len()],
}

impl Spaces {
    fn of(&self, space: Space) -> &BTreeMap<Bytes, Bytes> {
        &self.maps[space as usize]
    }

    fn apply(&mut self, batch: &Batch) {
        for operation in batch.operations() {
            match operation {
                Operation::Put { space, key, value } => {
                    self.maps[*space as usize].insert(key.clone(), value.clone());
                }
                Operation::Delete { space, key } => {
                    self.maps[*space as usize].remove(key);
                }
                Operation::DeleteRange { space, from, to } => {
                    let map = &mut self.maps[*space as usize];
                    let gone: Vec<Bytes> = map.range(from.clone()..to.clone()).map(|(key, _)| key.clone()).collect();
                    for key in gone {
                        map.remove(&key);
                    }
                }
            }
        }
    }
}
