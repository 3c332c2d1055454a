//! Who leads, as this node knows.

use std::time::Duration;

use openraft::{ServerState, alias::WatchReceiverOf, async_runtime::watch::WatchReceiver, metrics::RaftServerMetrics};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{
    convert,
    types::{Metrics, MetricsReceiver, Raft, RolesReceiver, TypeConfig},
};

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
    /// Which other node asked to append last, and when. Wakes who waits only where it is another one, or was silent before.
    heard: watch::Sender<Option<(u64, Instant)>>,
    /// How long a leader may be silent.
    silence_max: Duration,
}

impl Leadership {
    pub(crate) fn new(id: u64, raft: &Raft, silence_max: Duration) -> Self {
        Self { id, metrics: raft.metrics(), roles: raft.server_metrics(), heard: watch::Sender::default(), silence_max }
    }

    /// Another node asks to append. It leads, or it did and has not learned better.
    pub(crate) fn heard(&self, caller: u64) {
        self.heard.send_if_modified(|heard| {
            let is_news = self.is_silent(*heard, caller);
            *heard = Some((caller, Instant::now()));
            is_news
        });
    }

    fn is_silent(&self, heard: Option<(u64, Instant)>, leader: u64) -> bool {
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
    pub(crate) async fn until_led<T>(&self, deadline: Instant, wanted: impl FnMut(Leader) -> Option<T>) -> Option<T> {
        timeout_at(deadline, self.led(wanted)).await.ok().flatten()
    }

    /// Returns once this node leads, with its term; never, where the core has stopped.
    pub(crate) async fn begins(&self) -> u64 {
        let own_term = |roles: &RaftServerMetrics<TypeConfig>| self.own_term(roles);
        match found_in(self.roles.clone(), own_term).await {
            Some(term) => term,
            None => std::future::pending().await,
        }
    }

    /// Returns once this node does not lead in `term`; never, where the core has stopped.
    pub(crate) async fn ends(&self, term: u64) {
        let ended = |roles: &RaftServerMetrics<TypeConfig>| (self.own_term(roles) != Some(term)).then_some(());
        if found_in(self.roles.clone(), ended).await.is_none() {
            std::future::pending().await
        }
    }

    /// The term in which this node leads.
    fn own_term(&self, roles: &RaftServerMetrics<TypeConfig>) -> Option<u64> {
        let leads = self.named(roles.current_leader, roles.state) == Leader::Own;
        leads.then(|| convert::vote_to_store(roles.vote).term)
    }

    /// Returns once another node than `former` leads; never, where the core has stopped.
    pub(crate) async fn superseded(&self, former: u64) {
        let another = |leader| (leader != Leader::Unknown && leader != Leader::Other(former)).then_some(());
        if self.led(another).await.is_none() {
            std::future::pending().await
        }
    }

    /// Follows who leads until `wanted` finds something in it; `None` where the core stops before.
    ///
    /// The core may name a leader before that one was heard: a third node tells of its term. So both are followed.
    async fn led<T>(&self, mut wanted: impl FnMut(Leader) -> Option<T>) -> Option<T> {
        let (mut roles, mut heard) = (self.roles.clone(), self.heard.subscribe());
        loop {
            heard.mark_unchanged();
            let leader = {
                let roles = roles.borrow_and_update();
                self.named(roles.current_leader, roles.state)
            };
            let found = wanted(leader);
            if found.is_some() {
                return found;
            }
            tokio::select! {
                changed = roles.changed() => changed.ok()?,
                // The sender lives in `self`, so waiting cannot fail.
                _ = heard.changed() => {}
            }
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
            Some(leader) if leader != self.id && !self.is_silent(*self.heard.borrow(), leader) => Leader::Other(leader),
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

#[cfg(test)]
mod tests {
    use openraft::{
        RaftMetrics,
        alias::WatchOf,
        async_runtime::watch::{Watch, WatchSender},
    };

    use super::*;

    const OWN: u64 = 1;

    /// What the core of a follower says that takes `leader` for the leader.
    fn following(leader: Option<u64>) -> RaftServerMetrics<TypeConfig> {
        let metrics = RaftMetrics::<TypeConfig>::new_initial(OWN);
        RaftServerMetrics {
            id: OWN,
            vote: metrics.vote,
            state: ServerState::Follower,
            current_leader: leader,
            membership_config: metrics.membership_config.clone(),
            committed_membership_config: metrics.membership_config,
        }
    }

    #[tokio::test]
    async fn who_is_named_before_it_is_heard_leads_once_it_is_heard() {
        let (_metrics, metrics) = WatchOf::<TypeConfig>::channel(RaftMetrics::new_initial(OWN));
        let (core, roles) = WatchOf::<TypeConfig>::channel(following(None));
        let silence_max = Duration::from_secs(60);
        let leadership = Leadership { id: OWN, metrics, roles, heard: watch::Sender::default(), silence_max };
        leadership.heard(2);

        let follower = leadership.clone();
        let superseded = tokio::spawn(async move { follower.superseded(2).await });
        tokio::task::yield_now().await;
        core.send(following(Some(3))).expect("it is followed");
        tokio::task::yield_now().await;
        assert_eq!(leadership.leader(), Leader::Unknown, "only a third node told of it");
        assert!(!superseded.is_finished());

        leadership.heard(3);
        superseded.await.expect("it ends");
        assert_eq!(leadership.leader(), Leader::Other(3));
    }
}
