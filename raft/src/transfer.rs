//! Handing the leadership over, on the leader.

use tokio::time::Instant;

use crate::{
    error::Unavailability,
    leadership::{Leader, Leadership},
    types::{Metrics, Raft},
};

/// Hands the leadership of this node over to another.
pub(crate) struct HandOver {
    pub(crate) id: u64,
    pub(crate) raft: Raft,
    pub(crate) leadership: Leadership,
}

/// Why it was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandOverError {
    /// To whom it was to go does not vote.
    NotAVoter(u64),
    /// Nobody else votes.
    NobodyElse,
    /// This node does not lead, or it was not done in time.
    Unavailable(Unavailability),
    /// The core has stopped.
    Stopped,
}

impl HandOver {
    /// Gives the leadership to `to`, or to whoever is furthest; returns to whom, once another node leads.
    pub(crate) async fn to(&self, to: Option<u64>, deadline: Instant) -> Result<u64, HandOverError> {
        let metrics = self.leadership.metrics();
        if self.leadership.named(&metrics) != Leader::Own {
            return Err(HandOverError::Unavailable(Unavailability::NoLeader));
        }
        let others: Vec<u64> = metrics.membership_config.voter_ids().filter(|voter| *voter != self.id).collect();
        let to = match to {
            Some(to) if to == self.id => return Ok(to),
            Some(to) if others.contains(&to) => to,
            Some(to) => return Err(HandOverError::NotAVoter(to)),
            None => furthest(&metrics, others).ok_or(HandOverError::NobodyElse)?,
        };
        self.raft.trigger().transfer_leader(to).await.map_err(|_| HandOverError::Stopped)?;
        let other = self.leadership.until(deadline, |leadership, metrics| match leadership.named(metrics) {
            Leader::Other(leader) => Some(leader),
            Leader::Own | Leader::Unknown => None,
        });
        other.await.ok_or(HandOverError::Unavailable(Unavailability::NoLeader))
    }
}

/// Who has most of the log.
fn furthest(metrics: &Metrics, voters: Vec<u64>) -> Option<u64> {
    let matched = |voter: &u64| metrics.replication.as_ref().and_then(|matched| matched.get(voter).cloned().flatten());
    voters.into_iter().max_by_key(matched)
}
