//! Whether this node can serve, found out by doing again and again what a linearizable read does: have the leader confirm
//! with a quorum how far it must have applied, and come so far.
//!
//! One question covers all that could be missing: a leader, its quorum, the way to it, and what was committed meanwhile.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::{
    config::NodeConfig,
    published::Published,
    read_index::{ReadIndex, RoundError},
};

/// Whether a node can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It has not applied yet what was committed before it was started.
    Recovering,
    /// A moment ago it had all that was committed.
    Confirmed,
    /// It has recovered, and for some time nobody has confirmed that it is up to date.
    Unconfirmed,
}

/// Keeps finding out whether this node can serve.
pub(crate) struct ReadinessCheck {
    pub(crate) reads: Arc<ReadIndex>,
    pub(crate) published: Arc<Published>,
    pub(crate) timing: Timing,
    pub(crate) found: watch::Sender<Readiness>,
}

/// How often is asked, and how long an answer is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// Between two questions that nobody answered.
    retry: Duration,
    /// Between two answers.
    every: Duration,
    /// How long a question may stay unanswered before this node counts as one that cannot serve: as long as an ordinary
    /// change of the leadership takes.
    patience: Duration,
}

impl Timing {
    pub(crate) fn of(config: &NodeConfig) -> Self {
        let election = config.election_timeout.end;
        Self { retry: config.heartbeat, every: election, patience: election * 2 }
    }
}

impl ReadinessCheck {
    /// Asks for as long as the core runs.
    pub(crate) async fn run(self) {
        // What is to be reached stands still: under a stream of writes a target that moves along might never be reached.
        let Some(before_the_start) = self.confirmed().await else { return };
        self.published.applied(before_the_start).await;
        self.tell(Readiness::Confirmed);
        sleep(self.timing.every).await;
        loop {
            let up_to_date = async {
                let index = self.confirmed().await?;
                self.published.applied(index).await;
                Some(())
            };
            match timeout(self.timing.patience, up_to_date).await {
                Ok(Some(())) => {
                    self.tell(Readiness::Confirmed);
                    sleep(self.timing.every).await;
                }
                Ok(None) => return,
                // Asked again at once, so that the first answer is seen when it comes.
                Err(_elapsed) => self.tell(Readiness::Unconfirmed),
            }
        }
    }

    /// Up to which entry this node must have applied to have all that is committed now; none where the core has stopped.
    async fn confirmed(&self) -> Option<u64> {
        loop {
            match self.reads.round().await {
                Ok(index) => return Some(index),
                Err(RoundError::Stopped) => return None,
                Err(RoundError::Unavailable(_)) => sleep(self.timing.retry).await,
            }
        }
    }

    fn tell(&self, readiness: Readiness) {
        self.found.send_if_modified(|found| std::mem::replace(found, readiness) != readiness);
    }
}
