//! Whether log and ledger are of one age. Folders of one node bear the same stamp, so one that was put back from an older copy
//! shows only by what the other one has relied on since.

use crate::StorageError;
use crate::ledger::Applied;
use crate::log::RaftLog;

/// Compares what the log and the ledger of a node say of each other.
///
/// The log is purged only behind a checkpoint that rests; so a ledger that has not applied what was purged is an older one. And
/// a vote rests before anything that its leader sent is logged (Ongaro and Ousterhout 2014, figure 2), or that it committed is
/// applied; so a log without that vote is an older one, or has lost it: with it the node would vote twice in a term. A copy that is older by less than that is told by nothing that this node holds.
///
/// # Errors
/// The one of the two that is an older copy.
pub fn compare_ages(log: &RaftLog, applied: &Applied) -> Result<(), StorageError> {
    let older = |what, detail: String| Err(StorageError::OlderCopy { what, detail });
    if let Some(purged) = log.bounds().purged.filter(|purged| Some(*purged) > applied.position) {
        let reached = applied.position.map_or_else(|| "nothing".to_owned(), |position| position.to_string());
        return older("the ledger", format!("it has applied {reached}, the Raft log was purged up to {purged}"));
    }
    let voted = log.vote().map_or(0, |vote| vote.term);
    if let Some(position) = applied.position.filter(|position| position.term > voted) {
        return older("the Raft log", format!("its vote is of term {voted}, the ledger has applied {position}"));
    }
    match log.bounds().last.filter(|last| last.term > voted) {
        Some(last) => older("the Raft log", format!("its vote is of term {voted}, its last entry is {last}")),
        None => Ok(()),
    }
}
