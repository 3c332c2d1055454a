//! Going through everything that rests, for an operator who wants to know.

use std::sync::Arc;

use bursar_domain::{Digest, Hash, Revision, Sealed, State, invariants};

use super::floor::Beginning;
use super::layout::JOURNAL;
use super::{Shared, checkpoint, journal};
use crate::{Place, StorageError};

/// How many bytes of records are between two reports.
const STEP_BYTES: usize = 1 << 20;

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many records were checked.
    pub checked: u64,
    /// How many there are.
    pub total: u64,
}

/// What was gone through, and found sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The revision of the last record.
    pub revision: Revision,
    /// Its hash.
    pub head: Hash,
    /// The digest of the state there.
    pub digest: Digest,
    /// How many records the journal holds.
    pub records: u64,
    /// How many bytes they take.
    pub record_bytes: u64,
    /// The revision of the checkpoint in use, if there is one.
    pub checkpoint: Option<Revision>,
    /// How many chunks it has.
    pub chunks: u32,
    /// How many items they hold.
    pub items: u64,
}

/// See [`super::Ledger::verify`].
pub(super) fn verify(shared: &Arc<Shared>, progress: &mut dyn FnMut(Progress)) -> Result<Verified, StorageError> {
    let engine = &*shared.engine;
    // In this order: the checkpoint is never behind the beginning, nor the head behind the checkpoint.
    let beginning = Beginning::of(shared);
    let held = checkpoint::latest(shared);
    let applied = shared.head().applied.clone();
    let restored = held.as_ref().map(|held| checkpoint::read_state(engine, held.generation(), held.manifest())).transpose()?;
    let restored_at = restored.as_ref().map(State::revision);
    let (folded, floor) = (beginning.state(engine)?, beginning.floor());
    let mut sides = Sides { folded, restored };
    sides.compare_at_checkpoint()?;

    let mut record_bytes = 0;
    let total = applied.revision.0 - floor.0;
    while sides.folded.revision() < applied.revision {
        for record in journal::read(engine, sides.folded.revision(), applied.revision, STEP_BYTES)? {
            record_bytes += record.bytes.len() as u64;
            sides.follow(&journal::open(&record)?)?;
        }
        progress(Progress { checked: sides.folded.revision().0 - floor.0, total });
    }
    sides.compare()?;
    let state = sides.folded;
    if state.head() != applied.head {
        let detail = format!("the last record has the hash {}, the applied position says {}", state.head(), applied.head);
        return Err(StorageError::damaged(JOURNAL, Place::Revision(applied.revision.0), detail));
    }
    check_invariants(&state)?;
    let manifest = held.as_ref().map(|held| held.manifest());
    Ok(Verified {
        revision: applied.revision,
        head: applied.head,
        digest: state.digest(),
        records: total,
        record_bytes,
        checkpoint: restored_at,
        chunks: manifest.map_or(0, |manifest| manifest.chunks),
        items: manifest.map_or(0, |manifest| manifest.items),
    })
}

/// The two ways to the same state: from where the journal begins, and from the checkpoint.
struct Sides {
    folded: State,
    restored: Option<State>,
}

impl Sides {
    fn follow(&mut self, sealed: &Sealed) -> Result<(), StorageError> {
        journal::follow(&mut self.folded, sealed)?;
        match &mut self.restored {
            Some(restored) if restored.revision() < sealed.record.revision => journal::follow(restored, sealed),
            _ => self.compare_at_checkpoint(),
        }
    }

    fn compare_at_checkpoint(&self) -> Result<(), StorageError> {
        match &self.restored {
            Some(restored) if restored.revision() == self.folded.revision() => self.compare(),
            _ => Ok(()),
        }
    }

    fn compare(&self) -> Result<(), StorageError> {
        let Some(restored) = &self.restored else { return Ok(()) };
        let (restored, folded) = (restored.digest(), self.folded.digest());
        if restored == folded {
            return Ok(());
        }
        let detail = format!("from the checkpoint it has the digest {restored}, from the whole journal {folded}");
        Err(StorageError::damaged("the state", Place::Revision(self.folded.revision().0), detail))
    }
}

fn check_invariants(state: &State) -> Result<(), StorageError> {
    let violations = invariants::violations(state);
    if violations.is_empty() {
        return Ok(());
    }
    let detail = violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    Err(StorageError::damaged("the state", Place::Revision(state.revision().0), detail))
}
