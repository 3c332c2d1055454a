//! The membership duty: a thin driver of [`bursar_domain::plan::membership`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bursar_domain::{
    Actor, AuthorityNodeId, Command, Duty, ObjectRef, State,
    authority_node::AuthorityNode,
    encoding::encode,
    plan::membership::{Action, Observed, plan},
};
use bursar_storage::log::Member;
use openraft::{
    ChangeMembers,
    error::{ClientWriteError, RaftError},
};
use tokio::time::Instant;

use crate::{
    duty,
    leadership::Leadership,
    proposer::Proposer,
    published::Published,
    read_index::ReadIndex,
    status::answering,
    transfer::HandOver,
    types::{Metrics, Raft, TypeConfig},
};

/// How long one step may take before the duty looks anew.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Brings Raft's membership into line with the intents of the authority nodes, one step at a time.
pub(crate) struct MembershipDuty {
    pub(crate) raft: Raft,
    pub(crate) leadership: Leadership,
    pub(crate) proposer: Arc<Proposer>,
    pub(crate) hand_over: Arc<HandOver>,
    pub(crate) reads: Arc<ReadIndex>,
    pub(crate) published: Arc<Published>,
    /// After how long a silence a node counts as one that does not answer.
    pub(crate) silence: Duration,
}

type ChangeError = RaftError<TypeConfig, ClientWriteError<TypeConfig>>;

impl MembershipDuty {
    /// Looks once, and does what is to be done.
    pub(crate) async fn carry_out(&self) {
        // In this order: the state knows at least of all that led to the membership that it is compared with.
        let metrics = self.leadership.metrics();
        let Some(state) = self.caught_up().await else { return };
        if let Some(change) = unfinished(&metrics).or_else(|| moved(&state, &metrics)) {
            self.change(change).await;
            return;
        }
        for action in plan(&state, &self.observe(&metrics)) {
            tracing::debug!(?action, "the membership duty acts");
            self.act(&state, action).await;
        }
    }

    /// The state once it has everything that was committed until now: Raft takes a change of the membership into account as
    /// soon as it is logged, a new leader even before it has applied what led to it. None where a quorum does not confirm it.
    async fn caught_up(&self) -> Option<Arc<State>> {
        let caught_up = async {
            let index = self.reads.round_as_leader().await.ok()?;
            self.published.applied(index).await;
            Some(self.published.state())
        };
        tokio::time::timeout(STEP_TIMEOUT, caught_up).await.ok().flatten()
    }

    fn observe(&self, metrics: &Metrics) -> Observed {
        let membership = metrics.membership_config.membership();
        let mut lag: BTreeMap<_, _> = answering(metrics, self.silence).filter_map(|peer| Some((peer.id, peer.lag?))).collect();
        lag.insert(AuthorityNodeId(metrics.id), 0);
        Observed {
            leader: metrics.current_leader.map(AuthorityNodeId),
            voters: membership.voter_ids().map(AuthorityNodeId).collect(),
            learners: membership.learner_ids().map(AuthorityNodeId).collect(),
            changing: is_changing(metrics),
            lag,
        }
    }

    async fn act(&self, state: &State, action: Action) {
        match action {
            Action::AddLearner(id) => {
                let Some(node) = state.authority_nodes().get(id) else { return };
                self.change(ChangeMembers::AddNodes([(id.0, member_of(node))].into())).await;
            }
            Action::SetVoters(voters) => {
                let voters = voters.into_iter().map(|id| id.0).collect();
                self.change(ChangeMembers::ReplaceAllVoters(voters)).await;
            }
            Action::DropLearner(id) => self.change(ChangeMembers::RemoveNodes([id.0].into())).await,
            Action::HandOver(heir) => {
                if let Err(error) = self.hand_over.to(Some(heir.0), Instant::now() + STEP_TIMEOUT).await {
                    tracing::warn!(?heir, ?error, "the leadership was not handed over");
                }
            }
            Action::Propose(command) => self.propose(state, command).await,
        }
    }

    async fn propose(&self, state: &State, command: Command) {
        let object = command.subject().unwrap_or(ObjectRef::Cluster);
        let submission = duty::submission(Actor::Duty(Duty::Membership), state.revision(), object, command);
        let proposed = self.proposer.propose(encode(&submission).into(), Instant::now() + STEP_TIMEOUT).await;
        match proposed.map(|applied| applied.outcome) {
            Ok(Ok(_)) => {}
            Ok(Err(rejection)) => {
                tracing::debug!(command = %submission.command, %rejection, "a command of the membership duty was refused");
            }
            Err(error) => tracing::debug!(command = %submission.command, ?error, "a command of the membership duty failed"),
        }
    }

    /// Changes Raft's membership. Voters who no longer vote are dropped.
    async fn change(&self, change: ChangeMembers<u64, Member>) {
        tracing::info!(?change, "changing the membership");
        let changed = tokio::time::timeout(STEP_TIMEOUT, self.raft.change_membership(change, false)).await;
        let error: ChangeError = match changed {
            Ok(Ok(_)) => return,
            Ok(Err(error)) => error,
            Err(_elapsed) => {
                tracing::warn!("a change of the membership is not stored by a majority yet");
                return;
            }
        };
        tracing::warn!(%error, "the membership was not changed");
    }
}

/// Whether the last change of the membership is not yet stored by a majority, or only half of it is.
fn is_changing(metrics: &Metrics) -> bool {
    let (effective, committed) = (&metrics.membership_config, &metrics.committed_membership_config);
    effective.log_id() != committed.log_id() || effective.get_joint_config().len() > 1
}

/// The second half of a change whose first half is stored, and whose leader did not live to do it.
fn unfinished(metrics: &Metrics) -> Option<ChangeMembers<u64, Member>> {
    let (effective, committed) = (&metrics.membership_config, &metrics.committed_membership_config);
    let [_, target] = effective.get_joint_config().as_slice() else { return None };
    (effective.log_id() == committed.log_id()).then(|| ChangeMembers::ReplaceAllVoters(target.clone()))
}

/// The nodes that Raft's membership describes otherwise than they describe themselves.
fn moved(state: &State, metrics: &Metrics) -> Option<ChangeMembers<u64, Member>> {
    if is_changing(metrics) {
        return None;
    }
    let described = metrics.membership_config.nodes();
    let moved: BTreeMap<u64, Member> = described
        .filter_map(|(id, member)| {
            let announced = member_of(state.authority_nodes().get(AuthorityNodeId(*id))?);
            (announced != *member).then_some((*id, announced))
        })
        .collect();
    (!moved.is_empty()).then_some(ChangeMembers::SetNodes(moved))
}

fn member_of(node: &AuthorityNode) -> Member {
    Member {
        store_id: node.store,
        peer_address: node.peer_address.as_str().to_owned(),
        api_address: node.api_address.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use bursar_storage::{
        ledger,
        log::{LogPosition, Membership},
    };

    use super::*;
    use crate::convert;

    fn metrics(effective: (u64, &[&[u64]]), committed: (u64, &[&[u64]])) -> Metrics {
        let stored = |(index, configs): (u64, &[&[u64]])| {
            let configs: Vec<BTreeSet<u64>> = configs.iter().map(|voters| voters.iter().copied().collect()).collect();
            let members = configs.iter().flatten().map(|id| (*id, Member::default())).collect();
            let position = Some(LogPosition { term: 1, index });
            Arc::new(convert::stored_membership(ledger::StoredMembership {
                position,
                membership: Membership { configs, members },
            }))
        };
        Metrics {
            membership_config: stored(effective),
            committed_membership_config: stored(committed),
            ..Metrics::new_initial(1)
        }
    }

    #[test]
    fn half_a_change_that_is_stored_is_completed() {
        let halfway: (u64, &[&[u64]]) = (9, &[&[1, 2, 3], &[1, 2]]);
        let stored = metrics(halfway, halfway);
        assert!(is_changing(&stored));
        assert_eq!(unfinished(&stored), Some(ChangeMembers::ReplaceAllVoters([1, 2].into())));

        let under_way = metrics(halfway, (5, &[&[1, 2, 3]]));
        assert!(is_changing(&under_way));
        assert_eq!(unfinished(&under_way), None, "its first half may still be dropped");

        let settled: (u64, &[&[u64]]) = (10, &[&[1, 2]]);
        assert!(!is_changing(&metrics(settled, settled)));
        assert_eq!(unfinished(&metrics(settled, settled)), None);
    }
}
