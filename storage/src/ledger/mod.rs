//! The ledger: the journal, the applied position, and checkpoints of the state, over any engine.
//!
//! ```text
//! apply ──> commit: records + applied position, ONE batch     readable at once, durable with the next sync
//!                        │
//!        every so often  └─> write_checkpoint: sync · chunks · sync · flip one pointer · sync
//!
//! open   =  the checkpoint in use + the fold of the records behind it, up to the applied position
//! install:  chunks into a new generation, records beyond the head · sync · flip · sync
//! floor:    a checkpoint becomes the base · sync · the records up to there go
//! ```
//!
//! What the applied position does not count and what the pointer does not name is not there: an install that did not finish
//! leaves nothing but leftovers, and [`Ledger::open`] removes them.
//!
//! Everything blocks. One thread commits; any number of readers run beside it, and beside checkpoints and installs.

mod applied;
mod checkpoint;
mod chunk;
#[cfg(test)]
pub(crate) mod corpus;
mod floor;
mod generations;
mod install;
mod journal;
mod layout;
mod manifest;
mod past;
mod recover;
mod tail;
mod verify;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bursar_domain::{
    Hash, Revision, Sealed, State, StoreId,
    mutants::{Mutant, planted},
};

pub use applied::{Applied, StoredMembership};
pub use checkpoint::Checkpoint;
pub use floor::BelowFloor;
pub use install::{InstallError, Installer};
pub use journal::StoredRecord;
pub use manifest::{BaseManifest, Manifest};
pub use past::PastError;
pub use recover::Recovered;
pub use verify::{Progress, Verified};

use crate::StorageError;
use crate::engine::{Batch, Engine};
use generations::{Generations, Unheld};
use recover::Rest;
use tail::Tail;

/// How many bytes of the newest records stay in memory for readers.
const TAIL_BYTES: usize = 4 << 20;

/// A handle on the ledger of a node. Clones share one ledger.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Arc<dyn Engine>,
    /// Held by whoever moves the head or the pointer.
    writer: Mutex<Writer>,
    head: RwLock<Head>,
    generations: Generations,
}

/// What only writers need to agree on.
#[derive(Debug, Default)]
struct Writer {
    /// The number of the newest install; older ones are void.
    install: u64,
}

/// What readers see.
#[derive(Debug)]
struct Head {
    applied: Applied,
    tail: Tail,
    /// See [`Ledger::folded_bytes`].
    folded_bytes: u64,
}

impl Ledger {
    /// Makes the ledger of the data directory `store`, in an empty engine, durably.
    ///
    /// # Errors
    /// An engine that is not empty, which is not changed; a failing engine.
    pub fn make(engine: &dyn Engine, store: StoreId) -> Result<(), StorageError> {
        layout::make(engine, store)
    }

    /// Opens the ledger that was made in an engine for the data directory `store`: the checkpoint in use, then the fold of the
    /// journal behind it up to the applied position. Removes what an unfinished install or checkpoint left.
    ///
    /// # Errors
    /// Anything that does not fit — a checksum, a hole, the hash chain, a digest — names where; another directory's ledger;
    /// data of a newer program; a failing engine.
    pub fn open(engine: Arc<dyn Engine>, store: StoreId) -> Result<(Ledger, Recovered), StorageError> {
        let (recovered, Rest { generations, folded_bytes }) = recover::recover(&*engine, store)?;
        let head = Head { applied: recovered.applied.clone(), tail: Tail::new(TAIL_BYTES), folded_bytes };
        let shared = Shared { engine, writer: Mutex::default(), head: RwLock::new(head), generations };
        Ok((Ledger { shared: Arc::new(shared) }, recovered))
    }

    /// Adds the records of whole decisions, and moves the applied position, in one batch. Readable on return, durable after the
    /// next [`sync`](Self::sync). Without records only the position moves.
    ///
    /// # Errors
    /// A failing engine.
    ///
    /// # Panics
    /// Where the records do not follow the head or one another, end within a decision, or do not end where `applied` says: then
    /// what was decided and what rests disagree, and the node must stop.
    pub fn commit(&self, records: &[Sealed], applied: &Applied) -> Result<(), StorageError> {
        let _writer = self.shared.writer();
        assert_follows(&self.shared.head().applied, records, applied);
        let mut batch = Batch::new();
        let stored: Vec<StoredRecord> = records
            .iter()
            .map(|Sealed { record, bytes, .. }| {
                let bytes = layout::put_record(&mut batch, record.revision, bytes);
                StoredRecord { revision: record.revision, bytes }
            })
            .collect();
        if planted(Mutant::AppliedApartFromRecords) {
            let mut apart = Batch::new();
            layout::put_applied(&mut apart, applied);
            self.shared.engine.write(&apart)?;
        }
        layout::put_applied(&mut batch, applied);
        self.shared.engine.write(&batch)?;
        let mut head = self.shared.head_mut();
        head.applied = applied.clone();
        for record in stored {
            head.folded_bytes += record.bytes.len() as u64;
            head.tail.push(record);
        }
        Ok(())
    }

    /// Makes durable whatever was committed before the call.
    ///
    /// # Errors
    /// A failing engine.
    pub fn sync(&self) -> Result<(), StorageError> {
        self.shared.engine.sync()
    }

    /// The records behind `after` up to `upto` or the head, in order, at most `bytes_max` bytes, but at least one if there is
    /// any; none where `after` lies below the floor. Decodes nothing; the newest ones come from memory.
    ///
    /// # Errors
    /// A record that is missing or damaged; a failing engine.
    pub fn records(&self, after: Revision, upto: Revision, bytes_max: usize) -> Result<Vec<StoredRecord>, StorageError> {
        self.shared.records(after, upto, bytes_max)
    }

    /// The state as it was at a revision. Folds the journal, from the checkpoint in use where that is old enough, else from the
    /// beginning, and takes as long as that takes; a floor that is raised meanwhile takes nothing away from it.
    ///
    /// # Errors
    /// A revision below the floor or beyond the head; a record or a checkpoint that is missing or damaged; a failing engine.
    pub fn state_at(&self, revision: Revision) -> Result<State, PastError> {
        past::state_at(&self.shared, revision)
    }

    /// Where the state machine stands.
    pub fn applied(&self) -> Applied {
        self.shared.head().applied.clone()
    }

    /// How many bytes of records were folded into the state since it was read from a checkpoint: when the ledger was opened, and
    /// by commits since. It only grows; whoever writes checkpoints goes by how much it has grown.
    pub fn folded_bytes(&self) -> u64 {
        self.shared.head().folded_bytes
    }

    /// The revision of the last record.
    pub fn head(&self) -> Revision {
        self.shared.head().applied.revision
    }

    /// The revision behind which the journal begins.
    pub fn floor(&self) -> Revision {
        self.shared.generations.floor()
    }

    /// Lets the journal begin behind a checkpoint of this ledger, durably; what it held before is gone. Where it begins there
    /// already, or later, nothing changes. Everybody is told of the floor at once; records go when nobody holds a checkpoint any
    /// more that was handed out before.
    ///
    /// Raised on a quorum, that cannot be made good: no ledger can be rebuilt from the quorum's journals from the first record any
    /// more, and a node that lacks what is gone, a new one among them, refuses the snapshots that are sent from here.
    ///
    /// # Errors
    /// A failing engine.
    ///
    /// # Panics
    /// Where the checkpoint is another ledger's.
    pub fn raise_floor(&self, checkpoint: Checkpoint) -> Result<(), StorageError> {
        floor::raise(&self.shared, checkpoint)
    }

    /// The hash of the record of a revision; [`Hash::ZERO`] before the first, none beyond the head or below the floor.
    ///
    /// # Errors
    /// A record that is missing or damaged; a failing engine.
    pub fn hash_at(&self, revision: Revision) -> Result<Option<Hash>, StorageError> {
        self.shared.hash_at(revision)
    }

    /// Syncs the journal, writes the state as a new generation, flips the pointer to it, syncs, and removes the generations that
    /// nobody holds but for the one in use. Streams the state, so a version of it is all that is in memory; takes as long as
    /// writing it takes, beside commits and readers. Where the checkpoint in use is as new already, that one is returned.
    ///
    /// # Errors
    /// A failing engine.
    ///
    /// # Panics
    /// Where `applied` is not where `state` stands, or is beyond the head.
    pub fn write_checkpoint(&self, state: &State, applied: &Applied) -> Result<Checkpoint, StorageError> {
        checkpoint::write(&self.shared, state, applied)
    }

    /// The checkpoint in use, held against removal while the handle lives; none before the first was written.
    pub fn latest_checkpoint(&self) -> Option<Checkpoint> {
        checkpoint::latest(&self.shared)
    }

    /// Begins to install a snapshot of another node. An older install that has not finished is void from now on.
    ///
    /// # Errors
    /// A snapshot that this node has no use for, or that contradicts its history; see [`InstallError`].
    pub fn installer(&self, manifest: Manifest) -> Result<Installer, InstallError> {
        Installer::begin(&self.shared, manifest)
    }

    /// Goes through everything that rests: every record's checksum, contiguity and chain, every chunk, that the fold of the whole
    /// journal equals the checkpoint and what follows it, and the invariants of the state. Reports after each step of about a
    /// mebibyte of records.
    ///
    /// # Errors
    /// The first thing that does not fit; a failing engine.
    pub fn verify(&self, progress: &mut dyn FnMut(Progress)) -> Result<Verified, StorageError> {
        verify::verify(&self.shared, progress)
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("applied", &self.shared.head().applied).finish_non_exhaustive()
    }
}

// A holder of these locks panics only before it changes anything, or ends the process there, so what a poisoned lock guards is whole.
impl Shared {
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn head(&self) -> RwLockReadGuard<'_, Head> {
        self.head.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn head_mut(&self) -> RwLockWriteGuard<'_, Head> {
        self.head.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`Ledger::records`].
    fn records(&self, after: Revision, upto: Revision, bytes_max: usize) -> Result<Vec<StoredRecord>, StorageError> {
        let is_gone = || after < self.generations.floor();
        if is_gone() {
            return Ok(Vec::new());
        }
        match self.records_that_rest(after, upto, bytes_max) {
            // The floor has overtaken this reading.
            Err(error) if error.is_damage() && is_gone() => Ok(Vec::new()),
            read => read,
        }
    }

    /// The same, whatever the floor, for somebody whose checkpoint keeps them.
    fn records_that_rest(&self, after: Revision, upto: Revision, bytes_max: usize) -> Result<Vec<StoredRecord>, StorageError> {
        let upto = {
            let head = self.head();
            let upto = upto.min(head.applied.revision);
            if after >= upto {
                return Ok(Vec::new());
            }
            if let Some(records) = head.tail.read(after.next(), upto, bytes_max) {
                return Ok(records);
            }
            upto
        };
        journal::read(&*self.engine, after, upto, bytes_max)
    }

    /// See [`Ledger::hash_at`].
    fn hash_at(&self, revision: Revision) -> Result<Option<Hash>, StorageError> {
        if let Some(base) = self.generations.base_manifest().filter(|base| revision <= base.applied.revision) {
            return Ok((revision == base.applied.revision).then_some(base.applied.head));
        }
        {
            let head = self.head();
            if revision > head.applied.revision {
                return Ok(None);
            }
            if revision == head.applied.revision {
                return Ok(Some(head.applied.head));
            }
            if let Some(bytes) = head.tail.get(revision) {
                return Ok(Some(Hash::of(bytes)));
            }
        }
        match journal::hash_at(&*self.engine, revision) {
            // The floor has overtaken this reading.
            Err(error) if error.is_damage() && revision <= self.generations.floor() => self.hash_at(revision),
            read => read.map(Some),
        }
    }

    /// Removes the generations and records that nobody has a use for any more.
    fn sweep(&self) -> Result<(), StorageError> {
        let Unheld { generations, records_upto } = self.generations.take_unheld();
        let mut batch = Batch::new();
        for generation in generations {
            layout::delete_generation(&mut batch, generation);
        }
        if records_upto > Revision::ZERO
            && let Some(first) = layout::first_record(&*self.engine, Revision::ZERO)?.filter(|first| *first <= records_upto)
        {
            layout::delete_records(&mut batch, first..=records_upto);
        }
        if batch.is_empty() { Ok(()) } else { self.engine.write(&batch) }
    }
}

fn assert_follows(own: &Applied, records: &[Sealed], applied: &Applied) {
    let mut tip = (own.revision, own.head);
    for Sealed { record, hash, .. } in records {
        assert_eq!(record.revision, tip.0.next(), "records follow one another without gaps");
        assert_eq!(record.previous, tip.1, "the hash chain of the journal holds");
        tip = (record.revision, *hash);
    }
    if let Some(Sealed { record, .. }) = records.last() {
        assert_eq!(record.revision, record.decision.last(), "a commit ends where a decision ends");
    }
    assert_eq!(tip, (applied.revision, applied.head), "the applied position counts the records that it is written with");
    assert!(applied.position >= own.position, "the applied position never goes back");
}
