//! The state as it was at a revision of the past.

use std::sync::Arc;

use bursar_domain::{Revision, State};

use super::floor::Beginning;
use super::{Shared, checkpoint, journal};
use crate::StorageError;

/// See [`super::Ledger::state_at`].
pub(super) fn state_at(shared: &Arc<Shared>, revision: Revision) -> Result<Option<State>, StorageError> {
    let beginning = Beginning::of(shared);
    if revision > shared.head().applied.revision || revision < beginning.floor() {
        return Ok(None);
    }
    let engine = &*shared.engine;
    let latest = checkpoint::latest(shared).filter(|checkpoint| checkpoint.manifest().applied.revision <= revision);
    let mut state = match latest {
        Some(latest) => checkpoint::read_state(engine, latest.generation(), latest.manifest())?,
        None => beginning.state(engine)?,
    };
    journal::replay(engine, state.revision(), revision, |sealed| journal::follow(&mut state, sealed))?;
    Ok(Some(state))
}
