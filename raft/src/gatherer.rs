//! Gathering proposals into batches for the Raft core.
//!
//! ```text
//! proposals ──> what waits, gathered ──> one batch on its way ──> core ──> log, followers, apply ──> answers
//! ```
//!
//! An entry costs little, but whatever carries entries costs much: a round of the core, a synced write, a frame to each follower
//! and its answer, a batch applied. So while a batch is on its way what comes gathers, as writers wait for each other in a group
//! commit. A lone caller finds nothing on its way and waits for nothing.

use std::{sync::Arc, time::Duration};

use bursar_domain::{Proposal, Timestamp};
use bursar_net::WallClock;
use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use openraft::{
    error::{ClientWriteError, ForwardReason, ForwardToLeader},
    raft::WriteResult,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use crate::{
    bounds::Place,
    counters::Meter,
    proposer::ProposeError,
    published::Published,
    types::{Applied, ProposalBytes, Raft, TypeConfig},
};

/// How long a batch gathers at most while another is on its way. Where that one takes long, because followers are far away,
/// batches then follow each other at this distance. Without a quorum it does not come back at all, and the core must still be
/// asked, for it knows and says so.
const GATHERING_MAX: Duration = Duration::from_millis(10);
/// How many proposals make a batch at most.
const PROPOSALS_MAX: usize = 512;
/// How many bytes make a batch at most. One proposal may have more.
const BYTES_MAX: usize = 1 << 20;

/// What becomes of a proposal.
pub(crate) type Fate = Result<Applied, ProposeError>;

/// A submission on its way to the log.
pub(crate) struct Proposed {
    /// As it was encoded at the door.
    pub(crate) submission: Bytes,
    /// What it takes until its fate is known.
    pub(crate) place: Place,
    /// Who waits for it, or did.
    pub(crate) fate: oneshot::Sender<Fate>,
}

/// Takes proposals, and puts them before the core of this node.
pub(crate) struct Gatherer {
    pub(crate) raft: Raft,
    pub(crate) wall_clock: Arc<dyn WallClock>,
    pub(crate) published: Arc<Published>,
    pub(crate) meter: Arc<Meter>,
    /// Bounded by the places that those who send have taken.
    pub(crate) proposed: mpsc::UnboundedReceiver<Proposed>,
}

impl Gatherer {
    /// Runs until nobody can propose any more.
    pub(crate) async fn run(mut self) {
        let mut under_way = FuturesUnordered::new();
        loop {
            let first = tokio::select! {
                Some(()) = under_way.next() => continue,
                first = self.proposed.recv() => first,
            };
            let Some(first) = first else { return };
            let patience = Instant::now() + GATHERING_MAX;
            while !under_way.is_empty() {
                tokio::select! {
                    _ = under_way.next() => {}
                    () = sleep_until(patience) => break,
                }
            }
            let batch = gather(first, &mut self.proposed);
            if !batch.is_empty() {
                self.meter.batches_proposed.increment();
                under_way.push(self.carry(batch));
            }
        }
    }

    /// Puts a batch, stamped with the time, before the core, and tells what becomes of each.
    ///
    /// Whether or not somebody still waits, what is under way keeps its place until its fate is known: what is bounded is what
    /// the log holds undecided, not what callers are patient about.
    fn carry(&self, batch: Vec<Proposed>) -> impl Future<Output = ()> + use<> {
        let (time, raft) = (self.now(), self.raft.clone());
        let stamped: Vec<_> =
            batch.iter().map(|proposed| ProposalBytes(Proposal::stamp(time, &proposed.submission).into())).collect();
        async move {
            let Ok(mut written) = raft.client_write_many(stamped).await else { return };
            for Proposed { place, fate, .. } in batch {
                // Who waits for what is dropped here is told that the core has stopped.
                let Some(Ok(written)) = written.next().await else { return };
                drop(place);
                // Nobody has to wait until the end.
                let _ = fate.send(fate_of(written));
            }
        }
    }

    /// The time to stamp: never before the last record's.
    fn now(&self) -> Timestamp {
        Timestamp(self.wall_clock.now_unix_ms()).max(self.published.state().time())
    }
}

/// The first, and what waits behind it. What nobody waits for any more is left out, and so never happens: a leader that is
/// late does not get later by it.
fn gather(first: Proposed, proposed: &mut mpsc::UnboundedReceiver<Proposed>) -> Vec<Proposed> {
    let (mut batch, mut bytes, mut next) = (Vec::new(), 0, Some(first));
    while let Some(proposal) = next {
        if !proposal.fate.is_closed() {
            bytes += proposal.submission.len();
            batch.push(proposal);
        }
        let full = batch.len() >= PROPOSALS_MAX || bytes >= BYTES_MAX;
        next = if full { None } else { proposed.try_recv().ok() };
    }
    batch
}

fn fate_of(written: WriteResult<TypeConfig>) -> Fate {
    match written {
        Ok(response) => Ok(response.response.expect("an entry with a proposal is answered with what became of it")),
        Err(ClientWriteError::ForwardToLeader(forward)) => Err(not_leading(&forward)),
        Err(_discarded) => Err(ProposeError::Unknown),
    }
}

/// Certainly not appended: openraft says so before it touches the log.
fn not_leading(forward: &ForwardToLeader<TypeConfig>) -> ProposeError {
    match forward.reason {
        ForwardReason::LeaseExpired => ProposeError::NoQuorum,
        ForwardReason::NotLeader | ForwardReason::LeadershipTransfer => ProposeError::NotLeader,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bounds::Bounds, config::Limits};

    /// Proposals of so many bytes each, and who waits for them.
    fn proposals(sizes: &[usize]) -> (Vec<Proposed>, Vec<oneshot::Receiver<Fate>>) {
        let bounds = Bounds::new(Limits::default(), Arc::default());
        let propose = |size: &usize| {
            let (fate, told) = oneshot::channel();
            let submission = Bytes::from(vec![0; *size]);
            (Proposed { submission, place: bounds.enter(*size).expect("there is room"), fate }, told)
        };
        sizes.iter().map(propose).unzip()
    }

    /// What is gathered where all of these wait, until nothing is left: the sizes of the batches.
    fn batches(proposals: Vec<Proposed>) -> Vec<usize> {
        let (sender, mut proposed) = mpsc::unbounded_channel();
        for proposal in proposals {
            sender.send(proposal).expect("it is received");
        }
        let mut sizes = Vec::new();
        while let Ok(first) = proposed.try_recv() {
            sizes.push(gather(first, &mut proposed).len());
        }
        sizes
    }

    #[test]
    fn a_batch_has_so_many_proposals_and_so_many_bytes() {
        let (few, _told) = proposals(&[1; 3]);
        assert_eq!(batches(few), [3]);
        let (many, _told) = proposals(&[1; PROPOSALS_MAX + 1]);
        assert_eq!(batches(many), [PROPOSALS_MAX, 1]);
        let (large, _told) = proposals(&[BYTES_MAX / 2, BYTES_MAX / 2, 1, BYTES_MAX + 1, 1]);
        assert_eq!(batches(large), [2, 2, 1]);
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_left_out() {
        let (proposals, mut told) = proposals(&[1; 3]);
        drop(told.swap_remove(0));
        assert_eq!(batches(proposals), [2]);
    }
}
