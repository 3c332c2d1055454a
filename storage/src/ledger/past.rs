//! The state as it was at a revision of the past.

use std::sync::Arc;

use bursar_domain::{Revision, State};

use super::{Shared, checkpoint, journal};
use crate::StorageError;

/// See [`super::Ledger::state_at`].
pub(super) fn state_at(shared: &Arc<Shared>, revision: Revision) -> Result<Option<State>, StorageError> {
    if revision > shared.head().applied.revision {
        return Ok(None);
    }
    let engine = &*shared.engine;
    let base = checkpoint::latest(shared).filter(|checkpoint| checkpoint.manifest().applied.revision <= revision);
    let mut state = match &base {
        Some(base) => checkpoint::read_state(engine, base.generation(), base.manifest())?,
        None => State::default(),
    };
    journal::replay(engine, state.revision(), revision, |sealed| journal::follow(&mut state, sealed))?;
    Ok(Some(state))
}
