//! Proposing on the leader: bounded, gathered, and with a fate that is told apart.

use std::sync::Arc;

use bursar_net::WallClock;
use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use crate::{
    bounds::{Bounds, Full},
    config::Limits,
    counters::Meter,
    gatherer::{Gatherer, Proposed},
    published::Published,
    types::{Applied, Raft},
};

/// Puts submissions before the Raft core of this node, by way of its [`Gatherer`].
pub(crate) struct Proposer {
    limits: Limits,
    /// Places for proposals until their fate is known.
    bounds: Bounds,
    proposals: mpsc::UnboundedSender<Proposed>,
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
    /// It was on its way to the log, or in it, when the time was over, or the leadership.
    Unknown,
    /// The core has stopped.
    Stopped,
}

impl Proposer {
    /// A proposer, and the gatherer that has to run for it.
    pub(crate) fn new(
        raft: Raft,
        wall_clock: Arc<dyn WallClock>,
        published: Arc<Published>,
        meter: Arc<Meter>,
        limits: Limits,
    ) -> (Self, Gatherer) {
        let (proposals, proposed) = mpsc::unbounded_channel();
        let proposer = Self { limits, bounds: Bounds::new(limits, Arc::clone(&meter)), proposals };
        (proposer, Gatherer { raft, wall_clock, published, meter, proposed })
    }

    /// Proposes an encoded submission and waits until it is decided, or for `deadline`.
    pub(crate) async fn propose(&self, submission: Bytes, deadline: Instant) -> Result<Applied, ProposeError> {
        self.check_size(submission.len())?;
        let place = self.bounds.enter(submission.len())?;
        let (fate, told) = oneshot::channel();
        self.proposals.send(Proposed { submission, place, fate }).map_err(|_| ProposeError::Stopped)?;
        match timeout_at(deadline, told).await {
            Ok(Ok(fate)) => fate,
            Ok(Err(_the_core_or_its_gatherer_has_stopped)) => Err(ProposeError::Stopped),
            Err(_) => Err(ProposeError::Unknown),
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
}

impl From<Full> for ProposeError {
    fn from(Full { retry_after_ms }: Full) -> Self {
        Self::Overloaded { retry_after_ms }
    }
}
