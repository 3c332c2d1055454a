//! Handing the leadership over, on the leader.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    error::Unavailability,
    leadership::{Leader, Leadership},
    status::answering,
    types::{Metrics, Raft},
};

/// Hands the leadership of this node over to another.
pub(crate) struct HandOver {
    pub(crate) id: u64,
    pub(crate) raft: Raft,
    pub(crate) leadership: Leadership,
    /// After how long a silence a node counts as one that does not answer.
    pub(crate) silence: Duration,
}

/// Why it was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandOverError {
    /// To whom it was to go does not vote.
    NotAVoter(u64),
    /// To whom it was to go votes, but does not answer.
    Silent(u64),
    /// Nobody else votes.
    NobodyElse,
    /// This node does not lead, or it was not done in time.
    Unavailable(Unavailability),
    /// The core has stopped.
    Stopped,
}

impl HandOver {
    /// Gives the leadership to `to`, or to whoever is furthest of those who answer; returns to whom, once another node leads.
    pub(crate) async fn to(&self, to: Option<u64>, deadline: Instant) -> Result<u64, HandOverError> {
        let metrics = self.leadership.metrics();
        if self.leadership.leader() != Leader::Own {
            return Err(HandOverError::Unavailable(Unavailability::NoLeader));
        }
        let others: Vec<u64> = metrics.membership_config.voter_ids().filter(|voter| *voter != self.id).collect();
        let candidates = match to {
            Some(to) if to == self.id => return Ok(to),
            Some(to) if others.contains(&to) => vec![to],
            Some(to) => return Err(HandOverError::NotAVoter(to)),
            None if others.is_empty() => return Err(HandOverError::NobodyElse),
            None => others,
        };
        // Who has just begun to lead has not heard of anybody yet.
        let patience = deadline.min(Instant::now() + self.silence);
        let answers = self.leadership.until(patience, |metrics| furthest(metrics, &candidates, self.silence)).await;
        let to = answers.ok_or(match to {
            Some(to) => HandOverError::Silent(to),
            None => HandOverError::Unavailable(Unavailability::NoQuorum),
        })?;
        self.raft.trigger().transfer_leader(to).await.map_err(|_| HandOverError::Stopped)?;
        let other = self.leadership.until_led(deadline, |leader| match leader {
            Leader::Other(leader) => Some(leader),
            Leader::Own | Leader::Unknown => None,
        });
        other.await.ok_or(HandOverError::Unavailable(Unavailability::NoLeader))
    }
}

/// Who of `candidates` answers, and has most of the log.
fn furthest(metrics: &Metrics, candidates: &[u64], silence: Duration) -> Option<u64> {
    let answering = answering(metrics, silence).filter(|peer| candidates.contains(&peer.id.0));
    answering.max_by_key(|peer| peer.matched).map(|peer| peer.id.0)
}
