//! Proposing on the leader: bounded, stamped, and with a fate that is told apart.

use std::{sync::Arc, time::Duration};

use bursar_domain::{Proposal, Timestamp};
use bursar_net::WallClock;
use bytes::Bytes;
use openraft::error::{ClientWriteError, ForwardReason, ForwardToLeader, RaftError};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use crate::{
    config::Limits,
    counters::Meter,
    published::Published,
    types::{Applied, ProposalBytes, Raft, TypeConfig},
};

/// What a caller is told to wait where too much is under way.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Puts submissions before the Raft core of this node.
pub(crate) struct Proposer {
    raft: Raft,
    wall_clock: Arc<dyn WallClock>,
    published: Arc<Published>,
    meter: Arc<Meter>,
    limits: Limits,
    /// Places for proposals, and for their bytes, until their fate is known.
    places: Arc<Semaphore>,
    byte_places: Arc<Semaphore>,
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
        let places = Arc::new(Semaphore::new(limits.proposals));
        let byte_places = Arc::new(Semaphore::new(limits.proposal_bytes));
        Self { raft, wall_clock, published, meter, limits, places, byte_places }
    }

    /// Proposes an encoded submission and waits until it is decided, or for `deadline`.
    ///
    /// What is under way keeps its place until its fate is known, whether or not somebody still waits for it: what is bounded
    /// is what the log holds undecided, not what callers are patient about.
    pub(crate) async fn propose(&self, submission: Bytes, deadline: Instant) -> Result<Applied, ProposeError> {
        self.check_size(submission.len())?;
        let (place, byte_place) = self.enter(submission.len())?;
        let proposal = ProposalBytes(Proposal::stamp(self.now(), &submission).into());
        let raft = self.raft.clone();
        let proposed = tokio::spawn(async move {
            let written = raft.client_write(proposal).await;
            drop((place, byte_place));
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

    fn enter(
        &self,
        bytes: usize,
    ) -> Result<(tokio::sync::OwnedSemaphorePermit, tokio::sync::OwnedSemaphorePermit), ProposeError> {
        let full = |_| {
            self.meter.submissions_overloaded.increment();
            ProposeError::Overloaded { retry_after_ms: RETRY_AFTER.as_millis() as u64 }
        };
        let count = u32::try_from(bytes).unwrap_or(u32::MAX);
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(full)?;
        let byte_place = Arc::clone(&self.byte_places).try_acquire_many_owned(count).map_err(full)?;
        Ok((place, byte_place))
    }

    /// The time to stamp: never before the last record's.
    fn now(&self) -> Timestamp {
        Timestamp(self.wall_clock.now_unix_ms()).max(self.published.state().time())
    }
}

/// Certainly not appended: openraft says so before it touches the log.
fn not_leading(forward: &ForwardToLeader<TypeConfig>) -> ProposeError {
    match forward.reason {
        ForwardReason::LeaseExpired => ProposeError::NoQuorum,
        ForwardReason::NotLeader | ForwardReason::LeadershipTransfer => ProposeError::NotLeader,
    }
}
