//! Proposing on the leader: bounded, stamped, and with a fate that is told apart.

use std::sync::Arc;

use bursar_domain::{Proposal, Timestamp};
use bursar_net::WallClock;
use bytes::Bytes;
use openraft::error::{ClientWriteError, ForwardReason, ForwardToLeader, RaftError};
use tokio::time::{Instant, timeout_at};

use crate::{
    bounds::{Bounds, Full},
    config::Limits,
    counters::Meter,
    published::Published,
    types::{Applied, ProposalBytes, Raft, TypeConfig},
};

/// Puts submissions before the Raft core of this node.
pub(crate) struct Proposer {
    raft: Raft,
    wall_clock: Arc<dyn WallClock>,
    published: Arc<Published>,
    limits: Limits,
    /// Places for proposals until their fate is known.
    bounds: Bounds,
}

/// Why a submission was not decided here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProposeError {
    /// This node does not lead. Nothing was done.
    NotLeader,
    /// This node leads, but no quorum has confirmed it lately. Nothing was done.
    NoQuorum,
    /// Too much is under way. Nothing was done.
    Overloaded { retry_after_ms: u64 },
    /// Too large. Nothing was done.
    TooLarge { bytes: u64, bytes_max: u64 },
    /// It was appended, and then the time was over, or the leadership.
    Unknown,
    /// The core has stopped.
    Stopped,
}

impl Proposer {
    pub(crate) fn new(
        raft: Raft,
        wall_clock: Arc<dyn WallClock>,
        published: Arc<Published>,
        meter: Arc<Meter>,
        limits: Limits,
    ) -> Self {
        Self { raft, wall_clock, published, limits, bounds: Bounds::new(limits, meter) }
    }

    /// Proposes an encoded submission and waits until it is decided, or for `deadline`.
    ///
    /// What is under way keeps its place until its fate is known, whether or not somebody still waits for it: what is bounded
    /// is what the log holds undecided, not what callers are patient about.
    pub(crate) async fn propose(&self, submission: Bytes, deadline: Instant) -> Result<Applied, ProposeError> {
        self.check_size(submission.len())?;
        let place = self.bounds.enter(submission.len())?;
        let proposal = ProposalBytes(Proposal::stamp(self.now(), &submission).into());
        let raft = self.raft.clone();
        let proposed = tokio::spawn(async move {
            let written = raft.client_write(proposal).await;
            drop(place);
            written
        });
        let Ok(proposed) = timeout_at(deadline, proposed).await else { return Err(ProposeError::Unknown) };
        let written = proposed.map_err(|_panicked_or_shut_down| ProposeError::Stopped)?;
        match written {
            Ok(response) => Ok(response.data.expect("an entry with a proposal is answered with what became of it")),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => Err(not_leading(&forward)),
            Err(RaftError::APIError(_discarded)) => Err(ProposeError::Unknown),
            Err(RaftError::Fatal(_)) => Err(ProposeError::Stopped),
        }
    }

    /// Refuses what is larger than a submission may be.
    pub(crate) fn check_size(&self, bytes: usize) -> Result<(), ProposeError> {
        let bytes_max = self.limits.one_proposal_bytes;
        if bytes > bytes_max {
            return Err(ProposeError::TooLarge { bytes: bytes as u64, bytes_max: bytes_max as u64 });
        }
        Ok(())
    }

    /// The time to stamp: never before the last record's.
    fn now(&self) -> Timestamp {
        Timestamp(self.wall_clock.now_unix_ms()).max(self.published.state().time())
    }
}

impl From<Full> for ProposeError {
    fn from(Full { retry_after_ms }: Full) -> Self {
        Self::Overloaded { retry_after_ms }
    }
}

/// Certainly not appended: openraft says so before it touches the log.
fn not_leading(forward: &ForwardToLeader<TypeConfig>) -> ProposeError {
    match forward.reason {
        ForwardReason::LeaseExpired => ProposeError::NoQuorum,
        ForwardReason::NotLeader | ForwardReason::LeadershipTransfer => ProposeError::NotLeader,
    }
}
