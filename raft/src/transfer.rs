//! Handing the leadership over, on the leader.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    error::Unavailability,
    leadership::{Leader, Leadership},
    status::{PeerStatus, answering},
    types::Raft,
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
        let heir = self.heir(&candidates, deadline).await.ok_or(match to {
            Some(to) => HandOverError::Silent(to),
            None => HandOverError::Unavailable(Unavailability::NoQuorum),
        })?;
        self.give(heir, deadline).await
    }

    /// Gives the leadership to whoever is furthest of those of `candidates`, voters all, who answer; returns to whom, once
    /// another node leads.
    pub(crate) async fn to_one_of(&self, candidates: &[u64], deadline: Instant) -> Result<u64, HandOverError> {
        if self.leadership.leader() != Leader::Own {
            return Err(HandOverError::Unavailable(Unavailability::NoLeader));
        }
        let heir = self.heir(candidates, deadline).await.ok_or(HandOverError::Unavailable(Unavailability::NoQuorum))?;
        self.give(heir, deadline).await
    }

    /// Who of `candidates` takes over soonest; none where nobody answers.
    async fn heir(&self, candidates: &[u64], deadline: Instant) -> Option<u64> {
        // Who has just begun to lead has not heard of anybody yet.
        let patience = deadline.min(Instant::now() + self.silence);
        self.leadership.until(patience, |metrics| furthest(answering(metrics, self.silence), candidates)).await
    }

    async fn give(&self, heir: u64, deadline: Instant) -> Result<u64, HandOverError> {
        self.raft.trigger().transfer_leader(heir).await.map_err(|_| HandOverError::Stopped)?;
        let other = self.leadership.until_led(deadline, |leader| match leader {
            Leader::Other(leader) => Some(leader),
            Leader::Own | Leader::Unknown => None,
        });
        other.await.ok_or(HandOverError::Unavailable(Unavailability::NoLeader))
    }
}

/// Who of `candidates` is among those who answer, and has most of the log: until it has all of it nobody can decide anything.
fn furthest(answering: impl Iterator<Item = PeerStatus>, candidates: &[u64]) -> Option<u64> {
    answering.filter(|peer| candidates.contains(&peer.id.0)).max_by_key(|peer| peer.matched).map(|peer| peer.id.0)
}

#[cfg(test)]
mod tests {
    use bursar_domain::AuthorityNodeId;

    use super::*;

    fn peer(id: u64, matched: Option<u64>) -> PeerStatus {
        PeerStatus { id: AuthorityNodeId(id), matched, lag: None, last_ack_ms: Some(5) }
    }

    #[test]
    fn one_that_lags_is_passed_over_for_one_that_does_not() {
        let answering = || [peer(2, Some(10)), peer(3, Some(900)), peer(4, None), peer(5, Some(1_000))].into_iter();
        assert_eq!(furthest(answering(), &[2, 3, 4]), Some(3));
        assert_eq!(furthest(answering(), &[2, 4]), Some(2), "it is the best of those that may");
        assert_eq!(furthest(answering(), &[6]), None, "it does not answer");
    }
}
