//! What must hold of what rests before the consensus core starts on it.

use std::sync::Arc;

use bursar_net::Blocking;
use bursar_storage::{
    Place, StorageError,
    ledger::{Ledger, Recovered},
    log::{LogPosition, RaftLog, Vote},
};

use crate::error::StartError;

/// A node keeps its vote before it keeps any entry of the vote's term (Ongaro and Ousterhout 2014, figure 2: `currentTerm` never
/// goes back). An entry of a later term proves that a vote was lost, and whoever lost one might vote twice.
pub(crate) fn check_vote(vote: Option<Vote>, last: Option<LogPosition>) -> Result<(), StartError> {
    let voted = vote.map_or(0, |vote| vote.term);
    match last.filter(|last| last.term > voted) {
        None => Ok(()),
        Some(last) => {
            let detail =
                format!("it is of term {}, and the newest vote that rests is of term {voted}: a later vote was lost", last.term);
            Err(StartError::Core(StorageError::damaged("the Raft log", Place::Index(last.index), detail).to_string()))
        }
    }
}

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

    use super::*;

    #[test]
    fn an_entry_of_a_later_term_than_the_vote_stops_the_start() {
        let vote = |term| Some(Vote { term, leader: 2, committed: true });
        let last = |term| Some(LogPosition { term, index: 7 });
        for (vote, last) in [(None, None), (vote(4), None), (vote(4), last(3)), (vote(4), last(4)), (None, last(0))] {
            assert!(check_vote(vote, last).is_ok(), "{vote:?} {last:?}");
        }
        for (vote, found) in [(None, 1), (vote(4), 5)] {
            let told = check_vote(vote, last(found)).unwrap_err().to_string();
            assert!(told.contains("index 7") && told.contains("vote was lost") && told.contains("rebuild this node"), "{told}");
        }
    }
}
