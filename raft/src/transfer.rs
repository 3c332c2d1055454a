//! Handing the leadership over, on the leader.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    error::{Fate, Unavailability},
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
    Unavailable {
        /// What was in the way.
        reason: Unavailability,
        /// What became of the hand-over.
        fate: Fate,
    },
    /// The core has stopped. Nothing was done.
    Stopped,
}

impl HandOverError {
    /// Nobody was asked to take over.
    pub(crate) const fn not_done(reason: Unavailability) -> Self {
        Self::Unavailable { reason, fate: Fate::NotDone }
    }

    /// Somebody may take over, or have done so.
    pub(crate) const fn unknown(reason: Unavailability) -> Self {
        Self::Unavailable { reason, fate: Fate::Unknown }
    }
}

impl HandOver {
    /// Gives the leadership to `to`, or to whoever is furthest of those who answer; returns to whom, once another node leads.
    pub(crate) async fn to(&self, to: Option<u64>, deadline: Instant) -> Result<u64, HandOverError> {
        let metrics = self.leadership.metrics();
        if self.leadership.leader() != Leader::Own {
            return Err(HandOverError::not_done(Unavailability::NoLeader));
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
            None => HandOverError::not_done(Unavailability::NoQuorum),
        })?;
        self.give(heir, deadline).await
    }

    /// Gives the leadership to whoever is furthest of those of `candidates`, voters all, who answer; returns to whom, once
    /// another node leads.
    pub(crate) async fn to_one_of(&self, candidates: &[u64], deadline: Instant) -> Result<u64, HandOverError> {
        if self.leadership.leader() != Leader::Own {
            return Err(HandOverError::not_done(Unavailability::NoLeader));
        }
        let heir = self.heir(candidates, deadline).await.ok_or(HandOverError::not_done(Unavailability::NoQuorum))?;
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
        other.await.ok_or(HandOverError::unknown(Unavailability::NoLeader))
    }
}

/// Who of `candidates` is among those who answer, and has most of the log: until it has all of it nobody can decide anything.
fn furthest(answering: impl Iterator<Item = PeerStatus>, candidates: &[u64]) -> Option<u64> {
    answering.filter(|peer| candidates.contains(&peer.id.0)).max_by_key(|peer| peer.matched).map(|peer| peer.id.0)
}

/// What a node knows that has a leader hand over, and hears of some attempts only that there is no answer.
#[derive(Debug, Default)]
pub(crate) struct Unanswered {
    /// Who was asked last without an answer.
    former: Option<u64>,
}

impl Unanswered {
    /// `asked` has not answered, and may have acted.
    pub(crate) fn note(&mut self, asked: Option<u64>) {
        self.former = asked.or(self.former);
    }

    /// Who has taken over from the one that did not answer, where that is `to`, or anybody will do. Who was asked and leads no
    /// more has done it: to ask its heir would hand over again.
    pub(crate) fn successor(&self, leader: Option<u64>, to: Option<u64>) -> Option<u64> {
        let former = self.former?;
        leader.filter(|leader| *leader != former && to.is_none_or(|to| to == *leader))
    }

    /// What became of the hand-over, as long as nothing more is known.
    pub(crate) fn fate(&self) -> Fate {
        if self.former.is_some() { Fate::Unknown } else { Fate::NotDone }
    }
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

    #[test]
    fn another_leader_is_a_success_only_of_one_who_may_have_been_asked() {
        let mut unanswered = Unanswered::default();
        assert_eq!(unanswered.successor(Some(3), None), None, "it has led all along");
        assert_eq!(unanswered.fate(), Fate::NotDone);

        unanswered.note(Some(2));
        assert_eq!(unanswered.fate(), Fate::Unknown);
        assert_eq!(unanswered.successor(Some(2), None), None, "it has not handed over yet");
        assert_eq!(unanswered.successor(None, None), None);
        assert_eq!(unanswered.successor(Some(3), None), Some(3));
        assert_eq!(unanswered.successor(Some(3), Some(3)), Some(3));
        assert_eq!(unanswered.successor(Some(3), Some(4)), None, "it went to another than was wanted");
    }
}
