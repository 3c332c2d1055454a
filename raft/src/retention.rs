//! What of the log goes once a checkpoint covers it.
//!
//! The core could purge by itself, at a fixed distance behind each checkpoint. But where more is written than that while a snapshot is
//! on its way, what comes next is gone by the time it arrives: its receiver gets one snapshot after the other, and never comes to
//! vote. A leader therefore keeps what those lack who have answered it lately, up to a bound. A follower keeps no more than it is told to, and a leader
//! that has just begun has heard nobody yet: where the leader changes amid all that, it may take another snapshot.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::timeout;

use crate::{
    status::answering,
    types::{Metrics, Raft},
};

/// The most entries that are kept for those who lack them. Usual ones have some hundred bytes.
const HELD_MAX: u64 = 100_000;
/// For how long after its last answer a node is waited for that lacks what is to be purged. It may be busy with a snapshot.
const WAITED_FOR: Duration = Duration::from_secs(5);
/// How often a leader looks whether somebody has fallen silent.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

/// Has the log purged behind checkpoints, but for the last `kept` entries that one covers, and for what others lack who have answered
/// lately. Returns when the core ends.
pub(crate) async fn purge(raft: Raft, kept: u64) {
    let mut metrics = raft.metrics();
    let mut asked_for = None;
    loop {
        let due = {
            let metrics = metrics.borrow_and_update();
            let lacking = answering(&metrics, WAITED_FOR).map(|peer| peer.matched);
            purge_up_to(Extent::of(&metrics), kept, HELD_MAX, lacking)
        };
        if due > asked_for {
            asked_for = due;
            if let Some(index) = due
                && raft.trigger().purge_log(index).await.is_err()
            {
                return;
            }
        }
        // Somebody may have fallen silent, of which nobody tells.
        if let Ok(Err(_gone)) = timeout(LOOKS_EVERY, metrics.changed()).await {
            return;
        }
    }
}

/// What of a log matters here, by indexes.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// The last entry that is gone.
    purged: Option<u64>,
    /// The last entry that a checkpoint covers.
    covered: Option<u64>,
    last: Option<u64>,
}

impl Extent {
    fn of(metrics: &Metrics) -> Self {
        Self {
            purged: metrics.purged.map(|position| position.index),
            covered: metrics.snapshot.map(|position| position.index),
            last: metrics.last_log_index,
        }
    }
}

/// The last entry to purge, if any is. Each of those who are being caught up has everything up to `matched`.
fn purge_up_to(log: Extent, kept: u64, held_max: u64, matched: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    let superfluous = log.covered?.checked_sub(kept);
    let held_from = log.last.and_then(|last| last.checked_sub(held_max));
    let up_to = matched.map(|matched| matched.max(held_from)).fold(superfluous, Ord::min);
    up_to.filter(|_| up_to > log.purged)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: Extent = Extent { purged: Some(100), covered: Some(500), last: Some(520) };

    fn of(log: Extent, kept: u64, matched: &[Option<u64>]) -> Option<u64> {
        purge_up_to(log, kept, 1_000, matched.iter().copied())
    }

    #[test]
    fn what_a_checkpoint_covers_goes_but_for_what_is_kept() {
        assert_eq!(of(LOG, 0, &[]), Some(500));
        assert_eq!(of(LOG, 20, &[]), Some(480));
        assert_eq!(of(LOG, 400, &[]), None, "that is gone");
        assert_eq!(of(LOG, 10_000, &[]), None);
        assert_eq!(of(Extent { covered: None, ..LOG }, 0, &[]), None);
        assert_eq!(of(Extent { purged: None, covered: Some(0), last: Some(0) }, 0, &[]), Some(0));
    }

    #[test]
    fn what_somebody_lacks_who_answers_stays() {
        assert_eq!(of(LOG, 20, &[Some(510), Some(490)]), Some(480));
        assert_eq!(of(LOG, 20, &[Some(510), Some(300)]), Some(300));
        // Those get a snapshot, and go on behind it.
        assert_eq!(of(LOG, 20, &[Some(50)]), None);
        assert_eq!(of(LOG, 20, &[None]), None);
    }

    #[test]
    fn the_log_grows_up_to_a_bound_for_those_who_lag() {
        let long = Extent { last: Some(1_450), covered: Some(1_400), ..LOG };
        assert_eq!(of(long, 0, &[Some(50), Some(1_450)]), Some(450));
        assert_eq!(of(long, 0, &[None]), Some(450));
        assert_eq!(of(long, 1_000, &[None]), Some(400), "what need not be kept goes in any case");
    }
}
