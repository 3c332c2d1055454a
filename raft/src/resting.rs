//! What is done about what rests before the consensus core starts on it.

use std::sync::Arc;

use bursar_net::Blocking;
use bursar_storage::{
    ledger::{Ledger, Recovered},
    log::RaftLog,
};

use crate::error::StartError;

/// What a leader says is committed is applied as soon as it is there, synced here or not. So a log that lost what it had not synced
/// may end before what the ledger has applied. The core then takes all of that for purged, and what is purged a checkpoint must cover:
/// else nobody could be sent it.
pub(crate) async fn cover_what_the_log_lost(
    log: &RaftLog,
    ledger: &Ledger,
    recovered: &Recovered,
    blocking: &Arc<dyn Blocking>,
) -> Result<(), StartError> {
    if recovered.applied.position <= log.bounds().last {
        return Ok(());
    }
    let (ledger, Recovered { state, applied }) = (ledger.clone(), recovered.clone());
    let written = blocking.run(move || ledger.write_checkpoint(&state, &applied).map(drop)).await;
    let written = written.map_err(|lost| StartError::Core(lost.to_string()))?;
    written.map_err(|error| StartError::Core(error.to_string()))
}
