//! Who leads, as this node knows.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use openraft::{ServerState, alias::WatchReceiverOf, async_runtime::watch::WatchReceiver};
use tokio::time::{Instant, timeout_at};

use crate::types::{Metrics, MetricsReceiver, Raft, RolesReceiver, TypeConfig};

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

impl Leader {
    /// Its number, to the node `own`.
    pub(crate) fn id(self, own: u64) -> Option<u64> {
        match self {
            Self::Own => Some(own),
            Self::Other(leader) => Some(leader),
            Self::Unknown => None,
        }
    }
}

/// Follows who leads.
///
/// The core names the leader of its term for as long as the term lasts, which without a quorum is for ever. Whom this node has
/// not heard of for some time may be gone, and is not taken for the leader.
#[derive(Clone)]
pub(crate) struct Leadership {
    id: u64,
    /// Changes with every round of the core.
    metrics: MetricsReceiver,
    /// Changes only with terms, roles and members: whoever waits for one of those is not woken by every entry.
    roles: RolesReceiver,
    /// Which other node asked to append last, and when.
    heard: Arc<Mutex<Option<(u64, Instant)>>>,
    /// How long a leader may be silent.
    silence_max: Duration,
}

impl Leadership {
    pub(crate) fn new(id: u64, raft: &Raft, silence_max: Duration) -> Self {
        Self { id, metrics: raft.metrics(), roles: raft.server_metrics(), heard: Arc::default(), silence_max }
    }

    /// Another node asks to append. It leads, or it did and has not learned better.
    pub(crate) fn heard(&self, caller: u64) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some((caller, Instant::now()));
    }

    fn is_silent(&self, leader: u64) -> bool {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_none_or(|(caller, at)| caller != leader || at.elapsed() > self.silence_max)
    }

    /// Who leads now.
    pub(crate) fn leader(&self) -> Leader {
        let roles = self.roles.borrow_watched();
        self.named(roles.current_leader, roles.state)
    }

    /// What the core says of itself now.
    pub(crate) fn metrics(&self) -> Metrics {
        self.metrics.borrow_watched().clone()
    }

    /// Returns what `wanted` finds, once it finds it; `None` where that is not by `deadline`, or the core has stopped.
    pub(crate) async fn until<T>(&self, deadline: Instant, wanted: impl FnMut(&Metrics) -> Option<T>) -> Option<T> {
        timeout_at(deadline, found_in(self.metrics.clone(), wanted)).await.ok().flatten()
    }

    /// Returns what `wanted` finds in who leads, once it finds it; `None` where that is not by `deadline`, or the core has stopped.
    pub(crate) async fn until_led<T>(&self, deadline: Instant, mut wanted: impl FnMut(Leader) -> Option<T>) -> Option<T> {
        let found = found_in(self.roles.clone(), |roles| wanted(self.named(roles.current_leader, roles.state)));
        timeout_at(deadline, found).await.ok().flatten()
    }

    /// Returns once another node than `former` leads; never, where the core has stopped.
    pub(crate) async fn superseded(&self, former: u64) {
        let another = found_in(self.roles.clone(), |roles| {
            let leader = self.named(roles.current_leader, roles.state);
            (leader != Leader::Unknown && leader != Leader::Other(former)).then_some(())
        });
        if another.await.is_none() {
            std::future::pending().await
        }
    }

    /// Follows what this node becomes.
    pub(crate) fn roles(&self) -> RolesReceiver {
        self.roles.clone()
    }

    /// Who leads where the core names `leader`, and is itself a `state`.
    pub(crate) fn named(&self, leader: Option<u64>, state: ServerState) -> Leader {
        match leader {
            // The core also names itself where it led before it was started again.
            Some(leader) if leader == self.id && state == ServerState::Leader => Leader::Own,
            Some(leader) if leader != self.id && !self.is_silent(leader) => Leader::Other(leader),
            Some(_) | None => Leader::Unknown,
        }
    }
}

/// Follows what the core says until `wanted` finds something in it; `None` where the core stops before.
async fn found_in<V, T>(mut changes: WatchReceiverOf<TypeConfig, V>, mut wanted: impl FnMut(&V) -> Option<T>) -> Option<T>
where
    V: Send + Sync,
{
    loop {
        let found = wanted(&changes.borrow_and_update());
        if found.is_some() {
            return found;
        }
        changes.changed().await.ok()?;
    }
}
