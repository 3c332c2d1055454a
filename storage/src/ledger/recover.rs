//! What a start finds: the state, rebuilt from the checkpoint in use and the journal behind it.

use std::sync::Arc;

use bursar_domain::{Revision, State, StoreId};

use super::applied::Applied;
use super::generations::{Described, Generations};
use super::layout::LEDGER;
use super::manifest::Manifest;
use super::{checkpoint, journal, layout};
use crate::engine::{Batch, Engine};
use crate::{Place, StorageError};

/// Where the applied position rests.
const APPLIED: Place = Place::Key("applied");

/// What a ledger held when it was opened.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// The state at the applied position.
    pub state: State,
    /// Where the state machine stands.
    pub applied: Applied,
}

/// What of a ledger is not in its state.
pub(super) struct Rest {
    /// The generation in use, and the one at the floor.
    pub(super) generations: Generations,
    /// The bytes of the records behind the checkpoint.
    pub(super) folded_bytes: u64,
}

/// Reads, checks, and only then removes what was left.
pub(super) fn recover(engine: &dyn Engine, store: StoreId) -> Result<(Recovered, Rest), StorageError> {
    layout::check_stamp(engine, store)?;
    let applied = layout::read_applied(engine)?;
    let base = described(engine, layout::read_base(engine)?)?;
    let latest = described(engine, layout::read_pointer(engine)?)?;
    let floor = base.as_ref().map_or(Revision::ZERO, |(_, manifest)| manifest.applied.revision);
    let mut state = match &latest {
        None => State::default(),
        Some((generation, manifest)) => {
            check_reached(engine, *generation, manifest, &applied, floor)?;
            checkpoint::read_state(engine, *generation, manifest)?
        }
    };
    check_base(&state, floor)?;
    let mut folded_bytes = 0;
    journal::replay(engine, state.revision(), applied.revision, |sealed| {
        folded_bytes += sealed.bytes.len() as u64;
        journal::follow(&mut state, sealed)
    })?;
    check_head(&state, &applied)?;
    #[cfg(feature = "mutants")]
    if bursar_domain::mutants::planted(bursar_domain::mutants::Mutant::RequestsForgotten) {
        state.forget_requests();
    }
    check_beginning(engine, &applied, floor)?;
    remove_leftovers(engine, &applied, floor, [&latest, &base].map(|kept| kept.as_ref().map(|(generation, _)| *generation)))?;
    Ok((Recovered { state, applied }, Rest { generations: Generations::new(latest, base), folded_bytes }))
}

fn described(engine: &dyn Engine, generation: Option<u64>) -> Result<Option<Described>, StorageError> {
    let described = |generation| Ok((generation, Arc::new(layout::read_manifest(engine, generation)?)));
    generation.map(described).transpose()
}

/// A checkpoint is made of what is applied, and its last record stays in the journal.
fn check_reached(
    engine: &dyn Engine,
    generation: u64,
    manifest: &Manifest,
    applied: &Applied,
    floor: Revision,
) -> Result<(), StorageError> {
    if manifest.applied.position > applied.position || manifest.applied.revision > applied.revision {
        let detail =
            format!("it stands at revision {}, checkpoint {generation} at {}", applied.revision, manifest.applied.revision);
        return Err(StorageError::damaged(LEDGER, APPLIED, detail));
    }
    checkpoint::check_against_journal(engine, generation, manifest, floor)
}

/// The floor is raised to a checkpoint that is or was in use, and the one in use never goes back.
fn check_base(restored: &State, floor: Revision) -> Result<(), StorageError> {
    if restored.revision() >= floor {
        return Ok(());
    }
    let detail = format!("the journal begins behind revision {floor}, the checkpoint in use stands at {}", restored.revision());
    Err(StorageError::damaged(LEDGER, Place::Key("base"), detail))
}

fn check_head(state: &State, applied: &Applied) -> Result<(), StorageError> {
    if state.head() == applied.head {
        return Ok(());
    }
    let detail = format!("the last record has the hash {}, the applied position says {}", state.head(), applied.head);
    Err(StorageError::damaged(layout::JOURNAL, Place::Revision(applied.revision.0), detail))
}

/// Every journal begins right behind its floor. What a start folds begins at the checkpoint, so a lost beginning shows only here.
fn check_beginning(engine: &dyn Engine, applied: &Applied, floor: Revision) -> Result<(), StorageError> {
    let beginning = floor.next();
    let first = layout::first_record(engine, beginning)?;
    if applied.revision >= beginning && first != Some(beginning) { Err(journal::missing(beginning)) } else { Ok(()) }
}

/// Removes the records and generations of an install or a checkpoint that did not finish, and what the floor has left behind.
fn remove_leftovers(engine: &dyn Engine, applied: &Applied, floor: Revision, kept: [Option<u64>; 2]) -> Result<(), StorageError> {
    let mut batch = Batch::new();
    if let Some((first, _)) = layout::journal_bounds(engine)?.filter(|(first, _)| *first <= floor) {
        tracing::info!(from = first.0, upto = floor.0, "removing records below the floor");
        layout::delete_records(&mut batch, first..=floor);
    }
    if let Some((_, last)) = layout::journal_bounds(engine)?.filter(|(_, last)| *last > applied.revision) {
        tracing::info!(after = applied.revision.0, upto = last.0, "removing records that an unfinished install left");
        layout::delete_records(&mut batch, applied.revision.next()..=last);
    }
    for generation in layout::generations(engine)?.into_iter().filter(|generation| !kept.contains(&Some(*generation))) {
        tracing::info!(generation, "removing a checkpoint that is not in use");
        layout::delete_generation(&mut batch, generation);
    }
    if !batch.is_empty() {
        engine.write(&batch)?;
        engine.sync()?;
    }
    Ok(())
}
