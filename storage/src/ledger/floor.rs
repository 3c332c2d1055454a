//! Where the journal begins, and the state there.
//!
//! A journal begins at its first record until somebody raises its floor to a checkpoint. That one is then the base: it stays for as
//! long as the floor does, and everything that is folded from the beginning is folded from it. What readers are told of the floor
//! moves at once; the records below it go when nobody holds a checkpoint that was handed out before.

use std::sync::Arc;

use bursar_domain::{Revision, State};
use thiserror::Error;

use super::checkpoint::{self, Checkpoint};
use super::generations::{Pin, Reliance};
use super::manifest::Manifest;
use super::{Shared, layout};
use crate::StorageError;
use crate::engine::{Batch, Engine};

/// What was asked for is gone: it lies below the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("revision {asked} lies below {floor}, where the history that is kept begins")]
pub struct BelowFloor {
    /// The revision that was asked for, or behind which records were.
    pub asked: Revision,
    /// The floor.
    pub floor: Revision,
}

impl BelowFloor {
    pub(super) fn check(asked: Revision, floor: Revision) -> Result<(), Self> {
        if asked < floor { Err(Self { asked, floor }) } else { Ok(()) }
    }
}

/// See [`super::Ledger::raise_floor`].
pub(super) fn raise(shared: &Arc<Shared>, checkpoint: Checkpoint) -> Result<(), StorageError> {
    assert!(checkpoint.is_of(shared), "a floor is raised to a checkpoint of the same ledger");
    let writer = shared.writer();
    if checkpoint.manifest().applied.revision > shared.generations.floor() {
        let mut batch = Batch::new();
        layout::put_base(&mut batch, checkpoint.generation());
        shared.engine.write(&batch)?;
        // Durable before any record goes: whatever is found without them is found with its base.
        shared.engine.sync()?;
        shared.generations.raise_floor(checkpoint.pin(), Arc::new(checkpoint.manifest().clone()));
    }
    drop(writer);
    // It relies on the former floor.
    drop(checkpoint);
    shared.sweep()
}

/// Where the fold of the journal begins. Nothing that it takes goes away while this lives.
pub(super) struct Beginning {
    base: Option<(Pin, Arc<Manifest>)>,
    /// Where there is no base yet it keeps the first records; a floor that is raised between the two only keeps more.
    _reliance: Reliance,
}

impl Beginning {
    pub(super) fn of(shared: &Shared) -> Self {
        let reliance = shared.generations.rely();
        Self { base: shared.generations.base(), _reliance: reliance }
    }

    /// The floor.
    pub(super) fn floor(&self) -> Revision {
        self.base.as_ref().map_or(Revision::ZERO, |(_, manifest)| manifest.applied.revision)
    }

    /// Refuses a revision that lies below the floor.
    pub(super) fn reaches(&self, asked: Revision) -> Result<(), BelowFloor> {
        BelowFloor::check(asked, self.floor())
    }

    /// The state there.
    pub(super) fn state(&self, engine: &dyn Engine) -> Result<State, StorageError> {
        match &self.base {
            None => Ok(State::default()),
            Some((pin, manifest)) => checkpoint::read_state(engine, pin.generation(), manifest),
        }
    }
}
