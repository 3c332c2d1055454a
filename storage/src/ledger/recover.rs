//! What a start finds: the state, rebuilt from the checkpoint in use and the journal behind it.

use std::sync::Arc;

use bursar_domain::{Revision, State, StoreId};

use super::applied::Applied;
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

/// The generation in use, and what it says of itself.
type Latest = Option<(u64, Arc<Manifest>)>;

/// Reads, checks, and only then removes what was left. The number is the bytes of the records behind the checkpoint.
pub(super) fn recover(engine: &dyn Engine, store: StoreId) -> Result<(Recovered, Latest, u64), StorageError> {
    layout::check_stamp(engine, store)?;
    let applied = layout::read_applied(engine)?;
    let (mut state, latest) = match layout::read_pointer(engine)? {
        None => (State::default(), None),
        Some(generation) => {
            let manifest = layout::read_manifest(engine, generation)?;
            check_reached(engine, generation, &manifest, &applied)?;
            (checkpoint::read_state(engine, generation, &manifest)?, Some((generation, Arc::new(manifest))))
        }
    };
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
    check_beginning(engine, &applied)?;
    remove_leftovers(engine, &applied, latest.as_ref().map(|(generation, _)| *generation))?;
    Ok((Recovered { state, applied }, latest, folded_bytes))
}

/// A checkpoint is made of what is applied, and its last record stays in the journal.
fn check_reached(engine: &dyn Engine, generation: u64, manifest: &Manifest, applied: &Applied) -> Result<(), StorageError> {
    if manifest.applied.position > applied.position || manifest.applied.revision > applied.revision {
        let detail =
            format!("it stands at revision {}, checkpoint {generation} at {}", applied.revision, manifest.applied.revision);
        return Err(StorageError::damaged(LEDGER, APPLIED, detail));
    }
    checkpoint::check_against_journal(engine, generation, manifest)
}

fn check_head(state: &State, applied: &Applied) -> Result<(), StorageError> {
    if state.head() == applied.head {
        return Ok(());
    }
    let detail = format!("the last record has the hash {}, the applied position says {}", state.head(), applied.head);
    Err(StorageError::damaged(layout::JOURNAL, Place::Revision(applied.revision.0), detail))
}

/// Every journal begins at its first record. What a start folds begins at the checkpoint, so a lost beginning shows only here.
fn check_beginning(engine: &dyn Engine, applied: &Applied) -> Result<(), StorageError> {
    let beginning = Revision::ZERO.next();
    let first = layout::journal_bounds(engine)?.map(|(first, _)| first);
    if applied.revision >= beginning && first != Some(beginning) { Err(journal::missing(beginning)) } else { Ok(()) }
}

/// Removes the records and generations of an install or a checkpoint that did not finish.
fn remove_leftovers(engine: &dyn Engine, applied: &Applied, in_use: Option<u64>) -> Result<(), StorageError> {
    let mut batch = Batch::new();
    if let Some((_, last)) = layout::journal_bounds(engine)?.filter(|(_, last)| *last > applied.revision) {
        tracing::info!(after = applied.revision.0, upto = last.0, "removing records that an unfinished install left");
        layout::delete_records(&mut batch, applied.revision.next()..=last);
    }
    for generation in layout::generations(engine)?.into_iter().filter(|generation| Some(*generation) != in_use) {
        tracing::info!(generation, "removing a checkpoint that is not in use");
        layout::delete_generation(&mut batch, generation);
    }
    if !batch.is_empty() {
        engine.write(&batch)?;
        engine.sync()?;
    }
    Ok(())
}
