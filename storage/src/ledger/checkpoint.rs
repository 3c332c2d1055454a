//! Checkpoints: the state at a revision, cut into chunks, under a generation of its own.

use std::sync::Arc;

use bursar_domain::export::ImportError;
use bursar_domain::mutants::{Mutant, planted};
use bursar_domain::{Revision, State};
use bytes::Bytes;

use super::Shared;
use super::applied::Applied;
use super::chunk::{self, Chunk};
use super::floor::BelowFloor;
use super::generations::Pin;
use super::journal::{self, StoredRecord, undecodable};
use super::layout::{self, CHECKPOINTS};
use super::manifest::Manifest;
use crate::StorageError;
use crate::engine::{Batch, Engine};

/// A checkpoint, and the journal up to it: what a snapshot is made of. Neither goes away while a handle lives.
#[derive(Clone)]
pub struct Checkpoint {
    shared: Arc<Shared>,
    pin: Arc<Pin>,
    manifest: Arc<Manifest>,
}

impl Checkpoint {
    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its chunks from a number on, in order, each read and checked when it is asked for.
    ///
    /// # Errors
    /// Of each chunk: it is missing or damaged, or the engine fails.
    pub fn chunks(&self, from: u32) -> impl Iterator<Item = Result<Bytes, StorageError>> + use<'_> {
        let generation = self.pin.generation();
        (from..self.manifest.chunks)
            .map(move |number| Ok(layout::read_chunk(&*self.shared.engine, generation, number)?.into_frame()))
    }

    /// Refuses a revision behind which it has not all records.
    ///
    /// # Errors
    /// A revision below the floor that the manifest names.
    pub fn reaches(&self, after: Revision) -> Result<(), BelowFloor> {
        BelowFloor::check(after, self.manifest.floor)
    }

    /// The records behind `after` up to the checkpoint; see [`super::Ledger::records`]. Those behind the floor that the manifest
    /// names are there while a handle lives, however much the floor has been raised since.
    ///
    /// # Errors
    /// A record that is missing or damaged; a failing engine.
    pub fn records(&self, after: Revision, bytes_max: usize) -> Result<Vec<StoredRecord>, StorageError> {
        self.shared.records_that_rest(after, self.manifest.applied.revision, bytes_max)
    }

    pub(super) fn generation(&self) -> u64 {
        self.pin.generation()
    }

    pub(super) fn pin(&self) -> &Pin {
        &self.pin
    }

    pub(super) fn is_of(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.shared, shared)
    }

    /// A handle on a generation, with the floor that it was taken at.
    fn new(shared: &Arc<Shared>, pin: Pin, manifest: &Manifest) -> Self {
        let manifest = Arc::new(Manifest { floor: pin.floor(), ..manifest.clone() });
        Self { shared: Arc::clone(shared), pin: Arc::new(pin), manifest }
    }
}

/// See [`super::Ledger::write_checkpoint`].
pub(super) fn write(shared: &Arc<Shared>, state: &State, applied: &Applied) -> Result<Checkpoint, StorageError> {
    assert_eq!((state.revision(), state.head()), (applied.revision, applied.head), "a checkpoint is of where the state stands");
    assert!(applied.position <= shared.head().applied.position, "a checkpoint is of what was committed");
    if let Some(latest) = as_new(shared, applied) {
        return Ok(latest);
    }
    let pin = shared.generations.begin();
    let manifest = Arc::new(write_generation(&*shared.engine, &pin, state, applied)?);
    // Makes durable the journal up to here and the whole generation, before the pointer names it.
    if !planted(Mutant::PurgeBeforeSync) {
        shared.engine.sync()?;
    }
    bursar_net::point!("checkpoint.written");
    {
        let _writer = shared.writer();
        // An install may have overtaken this checkpoint while it was written.
        if let Some(latest) = as_new(shared, applied) {
            return Ok(latest);
        }
        let mut batch = Batch::new();
        layout::put_pointer(&mut batch, pin.generation());
        shared.engine.write(&batch)?;
        shared.generations.supersede(&pin, Arc::clone(&manifest));
    }
    bursar_net::point!("checkpoint.pointed");
    if !planted(Mutant::PurgeBeforeSync) {
        shared.engine.sync()?;
    }
    shared.sweep()?;
    Ok(Checkpoint::new(shared, pin, &manifest))
}

/// The checkpoint in use.
pub(super) fn latest(shared: &Arc<Shared>) -> Option<Checkpoint> {
    let (pin, manifest) = shared.generations.latest()?;
    Some(Checkpoint::new(shared, pin, &manifest))
}

/// The checkpoint in use, where it is no older than `applied`: the pointer never goes back.
fn as_new(shared: &Arc<Shared>, applied: &Applied) -> Option<Checkpoint> {
    latest(shared).filter(|latest| latest.manifest.applied.position >= applied.position)
}

fn write_generation(engine: &dyn Engine, pin: &Pin, state: &State, applied: &Applied) -> Result<Manifest, StorageError> {
    let generation = pin.generation();
    let extent = chunk::cut(state.export(), |number, frame| {
        let mut batch = Batch::new();
        layout::put_chunk(&mut batch, generation, number, frame);
        engine.write(&batch)
    })?;
    let manifest = Manifest {
        applied: applied.clone(),
        digest: state.digest(),
        chunks: extent.chunks,
        items: extent.items,
        floor: pin.floor(),
        base: None,
    };
    let mut batch = Batch::new();
    layout::put_manifest(&mut batch, generation, &manifest);
    engine.write(&batch)?;
    Ok(manifest)
}

/// Reads the state of a generation that rests here.
pub(super) fn read_state(engine: &dyn Engine, generation: u64, manifest: &Manifest) -> Result<State, StorageError> {
    let chunks = read_chunks(engine, generation, manifest)?;
    let what = || format!("checkpoint {generation}");
    assemble(&chunks, manifest).map_err(|error| match error {
        AssembleError::Import(ImportError::Decode(error)) => undecodable(error, &what(), CHECKPOINTS),
        other => StorageError::damaged(what(), CHECKPOINTS, other.to_string()),
    })
}

/// Reads and checks the chunks of a generation.
pub(super) fn read_chunks(engine: &dyn Engine, generation: u64, manifest: &Manifest) -> Result<Vec<Chunk>, StorageError> {
    (0..manifest.chunks).map(|number| layout::read_chunk(engine, generation, number)).collect()
}

/// Why whole chunks do not make up the state that their manifest describes.
#[derive(Debug, thiserror::Error)]
pub(super) enum AssembleError {
    #[error("{found} items, the manifest says {expected}")]
    Items { expected: u64, found: u64 },
    #[error("the items make up no state: {0}")]
    Import(#[from] ImportError),
    #[error("the state stands at revision {found}, the manifest says {expected}, or the hashes of the last record differ")]
    Head { expected: Revision, found: Revision },
    #[error("the digest of the state is {found}, the manifest says {expected}")]
    Digest { expected: bursar_domain::Digest, found: bursar_domain::Digest },
}

/// The state of the chunks, if it is the one that the manifest describes.
pub(super) fn assemble(chunks: &[Chunk], manifest: &Manifest) -> Result<State, AssembleError> {
    let items = chunks.iter().map(Chunk::len).sum();
    if items != manifest.items {
        return Err(AssembleError::Items { expected: manifest.items, found: items });
    }
    let state = State::import(chunks.iter().flat_map(Chunk::items))?;
    let applied = &manifest.applied;
    if (state.revision(), state.head()) != (applied.revision, applied.head) {
        return Err(AssembleError::Head { expected: applied.revision, found: state.revision() });
    }
    if state.digest() != manifest.digest {
        return Err(AssembleError::Digest { expected: manifest.digest, found: state.digest() });
    }
    Ok(state)
}

/// Checks that a checkpoint and the journal beside it, which begins behind `floor`, tell of the same history.
pub(super) fn check_against_journal(
    engine: &dyn Engine,
    generation: u64,
    manifest: &Manifest,
    floor: Revision,
) -> Result<(), StorageError> {
    let Applied { revision, head, .. } = manifest.applied;
    if revision <= floor {
        return Ok(());
    }
    let found = journal::hash_at(engine, revision)?;
    if found != head {
        let detail = format!("the record of revision {revision} has the hash {found}, the checkpoint was made behind {head}");
        return Err(StorageError::damaged(format!("checkpoint {generation}"), CHECKPOINTS, detail));
    }
    Ok(())
}
