//! Whether this node can serve, found out by doing again and again what a linearizable read does: have the leader confirm
//! with a quorum how far it must have applied, and come so far.
//!
//! One question covers all that could be missing: a leader, its quorum, the way to it, and what was committed meanwhile.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
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

/// What was found out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) readiness: Readiness,
    /// When it was last asked for what was confirmed then: this node has at least all that was committed by that time.
    pub(crate) confirmed: Option<Instant>,
}

impl Found {
    /// Of a node that was just started.
    pub(crate) const fn nothing() -> Self {
        Self { readiness: Readiness::Recovering, confirmed: None }
    }
}

/// Keeps finding out whether this node can serve.
pub(crate) struct ReadinessCheck {
    pub(crate) reads: Arc<ReadIndex>,
    pub(crate) published: Arc<Published>,
    pub(crate) timing: Timing,
    pub(crate) found: watch::Sender<Found>,
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
        let Some((before_the_start, asked)) = self.confirmed().await else { return };
        self.published.applied(before_the_start).await;
        self.tell(Readiness::Confirmed, Some(asked));
        sleep(self.timing.every).await;
        loop {
            let up_to_date = async {
                let (index, asked) = self.confirmed().await?;
                self.published.applied(index).await;
                Some(asked)
            };
            match timeout(self.timing.patience, up_to_date).await {
                Ok(Some(asked)) => {
                    self.tell(Readiness::Confirmed, Some(asked));
                    sleep(self.timing.every).await;
                }
                Ok(None) => return,
                // Asked again at once, so that the first answer is seen when it comes.
                Err(_elapsed) => self.tell(Readiness::Unconfirmed, None),
            }
        }
    }

    /// Up to which entry this node must have applied to have all that was committed when it asked, and when that was; none where
    /// the core has stopped.
    async fn confirmed(&self) -> Option<(u64, Instant)> {
        loop {
            let asked = Instant::now();
            match self.reads.round().await {
                Ok(index) => return Some((index, asked)),
                Err(RoundError::Stopped) => return None,
                Err(RoundError::Unavailable(_)) => sleep(self.timing.retry).await,
            }
        }
    }

    /// Whoever waits for a change waits for one of the readiness alone.
    fn tell(&self, readiness: Readiness, confirmed: Option<Instant>) {
        self.found.send_if_modified(|found| {
            found.confirmed = confirmed.or(found.confirmed);
            std::mem::replace(&mut found.readiness, readiness) != readiness
        });
    }
}
