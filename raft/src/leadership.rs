//! Who leads, as this node knows.

use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::{Instant, timeout_at};

use crate::types::{Metrics, MetricsReceiver, Raft};

/// Whom this node takes for the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leader {
    /// Itself.
    Own,
    /// Another node.
    Other(u64),
    /// It does not know of any.
    Unknown,
}

/// Follows who leads.
#[derive(Clone)]
pub(crate) struct Leadership {
    id: u64,
    metrics: MetricsReceiver,
}

impl Leadership {
    pub(crate) fn new(id: u64, raft: &Raft) -> Self {
        Self { id, metrics: raft.metrics() }
    }

    /// Who leads now.
    pub(crate) fn leader(&self) -> Leader {
        self.named(&self.metrics.borrow_watched())
    }

    /// What the core says of itself now.
    pub(crate) fn metrics(&self) -> Metrics {
        self.metrics.borrow_watched().clone()
    }

    /// Returns what `wanted` finds, once it finds it; `None` where that is not by `deadline`, or the core has stopped.
    pub(crate) async fn until<T>(&self, deadline: Instant, mut wanted: impl FnMut(&Self, &Metrics) -> Option<T>) -> Option<T> {
        let mut changes = self.metrics.clone();
        loop {
            let found = wanted(self, &changes.borrow_and_update());
            if found.is_some() {
                return found;
            }
            timeout_at(deadline, changes.changed()).await.ok()?.ok()?;
        }
    }

    /// Who leads by these metrics.
    pub(crate) fn named(&self, metrics: &Metrics) -> Leader {
        match metrics.current_leader {
            Some(leader) if leader == self.id => Leader::Own,
            Some(leader) => Leader::Other(leader),
            None => Leader::Unknown,
        }
    }
}
