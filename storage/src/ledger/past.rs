//! The state as it was at a revision of the past.

use std::sync::Arc;

use bursar_domain::{Revision, State};
use thiserror::Error;

use super::floor::{Beginning, BelowFloor};
use super::{Shared, checkpoint, journal};
use crate::StorageError;

/// Why there is no version of the past.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PastError {
    /// This node's own storage failed or is damaged.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What led to it is gone.
    #[error(transparent)]
    BelowFloor(#[from] BelowFloor),
    /// It has not come to be, as far as this node knows.
    #[error("revision {asked} lies beyond {head}, where the history ends")]
    BeyondHead {
        /// The revision that was asked for.
        asked: Revision,
        /// The revision of the last record.
        head: Revision,
    },
}

/// See [`super::Ledger::state_at`].
pub(super) fn state_at(shared: &Arc<Shared>, revision: Revision) -> Result<State, PastError> {
    let beginning = Beginning::of(shared);
    beginning.reaches(revision)?;
    let head = shared.head().applied.revision;
    if revision > head {
        return Err(PastError::BeyondHead { asked: revision, head });
    }
    let engine = &*shared.engine;
    let latest = checkpoint::latest(shared).filter(|checkpoint| checkpoint.manifest().applied.revision <= revision);
    let mut state = match latest {
        Some(latest) => checkpoint::read_state(engine, latest.generation(), latest.manifest())?,
        None => beginning.state(engine)?,
    };
    journal::replay(engine, state.revision(), revision, |sealed| journal::follow(&mut state, sealed))?;
    Ok(state)
}
