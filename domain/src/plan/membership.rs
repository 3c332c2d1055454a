//! Brings Raft's membership into line with the intents of the authority nodes.
//!
//! One change at a time: a voter that leaves goes first, so that the quorum never counts on it for longer than needed; then a
//! learner that has caught up is promoted; then a newcomer is made a learner. What stands in the way is reported to the
//! operation that waits.
//!
//! Only what the ledger says is acted upon: a member that it does not know may be one whose admission is not applied yet, and
//! is left as it is. A node that is to vote and that Raft does not know is taken in anew.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    authority_node::{self, Intent},
    command::Command,
    ids::{AuthorityNodeId, ObjectRef},
    mutants::{Mutant, planted},
    operation::{self, Step, WaitCode},
    state::State,
};

/// How many log entries a learner may lag and still count as caught up.
pub const CAUGHT_UP_ENTRIES: u64 = 100;

/// Raft's membership, as the leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The leader itself.
    pub leader: Option<AuthorityNodeId>,
    /// Who votes.
    pub voters: BTreeSet<AuthorityNodeId>,
    /// Who only receives the log.
    pub learners: BTreeSet<AuthorityNodeId>,
    /// Whether the last change of the membership is not yet stored by a majority.
    pub changing: bool,
    /// How many entries each node lacks; absent where it does not answer.
    pub lag: BTreeMap<AuthorityNodeId, u64>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "a plan is a handful of actions")]
pub enum Action {
    /// Let a node receive the log.
    AddLearner(AuthorityNodeId),
    /// Let exactly these vote; who no longer votes is dropped.
    SetVoters(BTreeSet<AuthorityNodeId>),
    /// Drop a node that does not vote.
    DropLearner(AuthorityNodeId),
    /// Give the leadership to another node: the leader is to leave.
    HandOver(AuthorityNodeId),
    /// Put something into the ledger.
    Propose(Command),
}

/// What to do next; empty where everything is in line.
pub fn plan(state: &State, observed: &Observed) -> Vec<Action> {
    let mut actions = settled(state, observed);
    let reports = reports(state, observed);
    actions.extend(reports);
    if !observed.changing {
        actions.extend(next_change(state, observed));
    }
    actions
}

/// Nodes whose intent has been reached.
fn settled(state: &State, observed: &Observed) -> Vec<Action> {
    let reached = |intent, node| match intent {
        Intent::Joining { .. } => observed.voters.contains(&node) && !observed.changing,
        Intent::Leaving { .. } => !observed.voters.contains(&node) && !observed.learners.contains(&node) && !observed.changing,
        Intent::Voting | Intent::Removed => false,
    };
    let nodes = state.authority_nodes().iter().filter(|node| reached(node.intent, node.id));
    nodes.map(|node| Action::Propose(Command::AuthorityNode(authority_node::Command::Settle { node: node.id }))).collect()
}

/// What the operations under way should say.
fn reports(state: &State, observed: &Observed) -> Vec<Action> {
    let mut actions = Vec::new();
    for node in state.authority_nodes().iter() {
        let (operation, step, wait) = match node.intent {
            Intent::Joining { operation } if observed.learners.contains(&node.id) => match observed.lag.get(&node.id) {
                None => (operation, Some(Step::Learning), Some(WaitCode::NodeUnreachable)),
                Some(lag) if *lag > CAUGHT_UP_ENTRIES => (operation, Some(Step::Learning), Some(WaitCode::NodeCatchingUp)),
                Some(_) => (operation, Some(Step::CaughtUp), Some(WaitCode::MembershipChange)),
            },
            Intent::Leaving { operation } if observed.voters.contains(&node.id) => {
                (operation, None, Some(WaitCode::MembershipChange))
            }
            _ => continue,
        };
        let waiting_on: Vec<_> = wait.into_iter().map(|code| (code, ObjectRef::from(node.id))).collect();
        if state.operations().get(operation).is_some_and(|known| known.is_news(step, &waiting_on)) {
            actions.push(Action::Propose(Command::Operation(operation::Command::Report { operation, step, waiting_on })));
        }
    }
    actions
}

fn next_change(state: &State, observed: &Observed) -> Option<Action> {
    let nodes = || state.authority_nodes().iter();
    let intent = |node: &AuthorityNodeId| state.authority_nodes().get(*node).map(|node| node.intent);
    let leaving = |node: &AuthorityNodeId| matches!(intent(node), Some(Intent::Leaving { .. } | Intent::Removed));
    let is_to_vote = |intent| matches!(intent, Intent::Joining { .. } | Intent::Voting);
    if let Some(node) = observed.voters.iter().find(|node| leaving(node)) {
        let stay: BTreeSet<_> = observed.voters.iter().copied().filter(|voter| voter != node).collect();
        if observed.leader == Some(*node) {
            return stay
                .iter()
                .copied()
                .min_by_key(|heir| observed.lag.get(heir).copied().unwrap_or(u64::MAX))
                .map(Action::HandOver);
        }
        return Some(Action::SetVoters(stay));
    }
    if let Some(node) = observed.learners.iter().find(|node| leaving(node)) {
        return Some(Action::DropLearner(*node));
    }
    let caught_up = |node: &AuthorityNodeId| {
        planted(Mutant::LaggardPromoted) || observed.lag.get(node).is_some_and(|lag| *lag <= CAUGHT_UP_ENTRIES)
    };
    if let Some(node) = observed.learners.iter().find(|node| caught_up(node) && intent(node).is_some_and(is_to_vote)) {
        return Some(Action::SetVoters(observed.voters.iter().copied().chain([*node]).collect()));
    }
    let newcomer = nodes()
        .find(|node| is_to_vote(node.intent) && !observed.learners.contains(&node.id) && !observed.voters.contains(&node.id));
    newcomer.map(|node| Action::AddLearner(node.id))
}
