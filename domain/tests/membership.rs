//! The planner of Raft's membership, driven in a loop against a small model of Raft, of the log's delays and of operators.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::{
    Actor, AuthorityNodeId, ClusterId, Command, Duty, Hash, Level, OperationId, Proposal, RequestId, Revision, State, StoreId,
    Submission, Timestamp, TokenId,
    authority_node::{self, Facts, Intent},
    cluster, invariants, join_token,
    operation::{self, Status, Step, WaitCode},
    plan::membership::{Action, CAUGHT_UP_ENTRIES, Observed, plan},
    token,
};
use bursar_domain_testing::{Dice, Ledger};
use proptest::prelude::*;

const FIRST: AuthorityNodeId = AuthorityNodeId(1);
/// How many rounds the operators meddle.
const STORM: u64 = 120;
/// How many calm rounds must be enough for everything to fall into place.
const CALM: u64 = 80;

/// Who votes and who only listens.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Members {
    voters: BTreeSet<AuthorityNodeId>,
    learners: BTreeSet<AuthorityNodeId>,
}

/// Raft, as far as the planner sees it, and the ledger that it replicates.
struct Fleet {
    dice: Dice,
    ledger: Ledger,
    requests: u64,
    leader: AuthorityNodeId,
    /// The membership that a majority has stored.
    stored: Members,
    /// The one that is being stored.
    changing: Option<Members>,
    /// How many entries each member lacks; absent where it does not answer.
    lag: BTreeMap<AuthorityNodeId, u64>,
    /// Proposals on their way into the log, with the revision that they were planned on.
    under_way: Vec<(Revision, Command)>,
}

impl Fleet {
    fn founded(seed: u64) -> Self {
        let only = Members { voters: BTreeSet::from([FIRST]), learners: BTreeSet::new() };
        let mut fleet = Self {
            dice: Dice::new(seed),
            ledger: Ledger::default(),
            requests: 0,
            leader: FIRST,
            stored: only,
            changing: None,
            lag: BTreeMap::new(),
            under_way: Vec::new(),
        };
        let setup_secret = Hash::of(b"setup");
        let found = cluster::Command::Found {
            cluster: ClusterId([1; 16]),
            license_key: vec![1; 32],
            ca_certificate: "certificate".into(),
            sealed_ca_key: vec![2; 32],
            setup_secret,
            node: facts(1),
        };
        let issue = token::Command::Issue {
            name: "first".into(),
            secret: Hash::of(b"first"),
            expires_at: None,
            setup_secret: Some(setup_secret),
        };
        fleet.put(Actor::Founder, None, Command::Cluster(found));
        fleet.put(Actor::Founder, None, Command::Token(issue));
        fleet
    }

    fn state(&self) -> &State {
        &self.ledger.state
    }

    fn put(&mut self, actor: Actor, planned_on: Option<Revision>, command: Command) {
        self.requests += 1;
        let request = RequestId::parse(&self.requests.to_string()).expect("visible ASCII");
        let submission = Submission { actor, request, fingerprint: Hash::ZERO, expected: None, planned_on, command };
        self.ledger.put(&Proposal { time: Timestamp(1_000), submission });
        assert_eq!(invariants::violations(self.state()), []);
    }

    /// An operator adds a node, removes one or calls an operation off.
    fn meddle(&mut self) {
        match self.dice.below(6) {
            0 | 1 if self.present().len() < 7 => self.admit(),
            2 => {
                let present = self.present();
                let node = self.dice.pick(&present);
                self.remove(node);
            }
            3 => {
                let operations = self.state().operations().iter();
                let running: Vec<_> = operations.filter(|row| row.status == Status::Running).map(|row| row.id).collect();
                if !running.is_empty() {
                    let operation = self.dice.pick(&running);
                    let cancel = Command::Operation(operation::Command::Cancel { operation });
                    self.put(Actor::Token(TokenId(1)), None, cancel);
                }
            }
            _ => {}
        }
    }

    /// Takes a new node in.
    fn admit(&mut self) {
        let number = self.state().next().authority_node;
        let secret = Hash::of(&self.requests.to_be_bytes());
        let invite = join_token::Command::Issue { secret, expires_at: Timestamp(2_000) };
        self.put(Actor::Token(TokenId(1)), None, Command::JoinToken(invite));
        let admit = authority_node::Command::Admit { secret, public_key: secret, facts: facts(number) };
        self.put(Actor::Joiner, None, Command::AuthorityNode(admit));
    }

    /// Has a node leave.
    fn remove(&mut self, node: AuthorityNodeId) {
        let remove = authority_node::Command::Remove { node };
        self.put(Actor::Token(TokenId(1)), None, Command::AuthorityNode(remove));
    }

    fn present(&self) -> Vec<AuthorityNodeId> {
        self.state().authority_nodes().iter().filter(|node| node.intent.is_present()).map(|node| node.id).collect()
    }

    /// The membership that counts: Raft goes by the newest that it has in its log, stored or not.
    fn effective(&self) -> &Members {
        self.changing.as_ref().unwrap_or(&self.stored)
    }

    /// Time passes: members fall behind and catch up, changes are stored, leaders come and go.
    fn pass(&mut self, storm: bool) {
        let effective = self.effective().clone();
        let members = effective.voters.iter().chain(&effective.learners).copied();
        let lag = members.map(|member| {
            let known = self.lag.get(&member).copied().unwrap_or(5 * CAUGHT_UP_ENTRIES);
            let lag = match self.dice.below(10) {
                _ if member == self.leader => Some(0),
                0..=2 if storm => None,
                3 if storm => Some(known + CAUGHT_UP_ENTRIES),
                _ => Some(known / 2),
            };
            (member, lag)
        });
        self.lag = lag.collect::<Vec<_>>().into_iter().filter_map(|(member, lag)| Some((member, lag?))).collect();

        let answering = self.effective().voters.iter().filter(|voter| self.lag.contains_key(voter)).count();
        let majority = answering * 2 > self.effective().voters.len();
        if self.changing.is_some() && majority && (!storm || self.dice.chance(40)) {
            self.stored = self.changing.take().expect("it was just seen");
        }
        if storm && self.dice.chance(10) {
            self.elect();
        }
        if !self.effective().voters.contains(&self.leader) && self.changing.is_none() {
            self.elect();
        }
    }

    /// Another voter leads. A change that no majority had stored may be lost with the old leader.
    fn elect(&mut self) {
        if self.dice.chance(50) {
            self.changing = None;
        }
        let voters: Vec<_> = self.effective().voters.iter().copied().collect();
        self.leader = self.dice.pick(&voters);
        self.under_way.retain(|_| self.dice.chance(70));
    }

    /// One round of the duty on the leader; how many things it wanted.
    fn tick(&mut self) -> usize {
        let effective = self.effective().clone();
        let observed = Observed {
            leader: Some(self.leader),
            voters: effective.voters,
            learners: effective.learners,
            changing: self.changing.is_some(),
            lag: self.lag.clone(),
        };
        let actions = plan(self.state(), &observed);
        assert_eq!(plan(self.state(), &observed), actions, "a planner is pure");
        let changes = actions.iter().filter(|action| !matches!(action, Action::Propose(_))).count();
        assert!(changes <= usize::from(self.changing.is_none()), "one change at a time: {actions:?}");
        let planned_on = self.state().revision();
        let wanted = actions.len();
        for action in actions {
            self.carry_out(action, planned_on);
        }
        wanted
    }

    fn carry_out(&mut self, action: Action, planned_on: Revision) {
        let mut members = self.stored.clone();
        match action {
            Action::Propose(command) => return self.under_way.push((planned_on, command)),
            Action::HandOver(heir) => {
                assert!(members.voters.contains(&heir) && heir != self.leader, "{heir} cannot lead");
                if self.lag.contains_key(&heir) {
                    self.leader = heir;
                }
                return;
            }
            Action::AddLearner(node) => {
                assert!(!members.voters.contains(&node) && members.learners.insert(node), "{node} is a member");
            }
            Action::DropLearner(node) => assert!(members.learners.remove(&node), "{node} does not listen"),
            Action::SetVoters(voters) => {
                assert!(!voters.is_empty(), "somebody must vote");
                assert_eq!(voters.symmetric_difference(&members.voters).count(), 1, "one voter at a time");
                assert!(voters.contains(&self.leader), "a leader does not vote itself out");
                let promoted = voters.difference(&members.voters).copied().collect::<Vec<_>>();
                for node in promoted {
                    let lag = self.lag.get(&node).copied();
                    assert!(lag.is_some_and(|lag| lag <= CAUGHT_UP_ENTRIES), "{node} votes while it lacks {lag:?}");
                    assert!(members.learners.remove(&node), "{node} votes without having listened");
                }
                members.voters = voters;
            }
        }
        self.changing = Some(members);
    }

    /// Some of the proposals that are under way are decided, in any order.
    fn deliver(&mut self, storm: bool) {
        for (planned_on, command) in std::mem::take(&mut self.under_way) {
            if storm && self.dice.chance(40) {
                self.under_way.push((planned_on, command));
            } else {
                self.put(Actor::Duty(Duty::Membership), Some(planned_on), command);
            }
        }
    }

    /// What must hold at every moment: the ledger says of nobody what Raft has not done.
    fn check(&self) {
        assert!(!self.stored.voters.is_empty());
        for node in self.state().authority_nodes().iter() {
            let (votes, listens) = (self.stored.voters.contains(&node.id), self.stored.learners.contains(&node.id));
            match node.intent {
                Intent::Voting => assert!(votes, "{} is said to vote", node.id),
                Intent::Removed => assert!(!votes && !listens, "{} is said to have left", node.id),
                Intent::Joining { .. } | Intent::Leaving { .. } => {}
            }
        }
    }

    /// Whether everything is as it was asked for.
    fn in_line(&self) -> bool {
        let voting: BTreeSet<_> = self.present().into_iter().collect();
        let settled = self.state().authority_nodes().iter().all(|node| matches!(node.intent, Intent::Voting | Intent::Removed));
        let ended = self.state().operations().iter().all(|operation| operation.status != Status::Running);
        let members = Members { voters: voting, learners: BTreeSet::new() };
        settled && ended && self.changing.is_none() && self.stored == members
    }
}

fn facts(number: u64) -> Facts {
    let store = u8::try_from(number % 250 + 1).expect("it fits");
    Facts {
        store: StoreId([store; 16]),
        peer_address: format!("n{number}.example:4283"),
        api_address: format!("n{number}.example:4285"),
        control_address: format!("n{number}.example:4288"),
        version: "0.1.0".into(),
        supported: Level(1),
    }
}

fn nodes<const N: usize>(numbers: [u64; N]) -> BTreeSet<AuthorityNodeId> {
    numbers.map(AuthorityNodeId).into()
}

fn settle(node: u64) -> Action {
    Action::Propose(Command::AuthorityNode(authority_node::Command::Settle { node: AuthorityNodeId(node) }))
}

fn report(operation: u64, step: Option<Step>, code: WaitCode, node: u64) -> Action {
    Action::Propose(Command::Operation(operation::Command::Report {
        operation: OperationId(operation),
        step,
        waiting_on: vec![(code, AuthorityNodeId(node).into())],
    }))
}

#[test]
fn a_newcomer_listens_then_catches_up_then_votes() {
    let mut fleet = Fleet::founded(0);
    let alone = Observed { leader: Some(FIRST), voters: nodes([1]), ..Observed::default() };
    assert_eq!(plan(fleet.state(), &alone), []);

    fleet.admit();
    assert_eq!(plan(fleet.state(), &alone), [Action::AddLearner(AuthorityNodeId(2))]);

    let listening = Observed { learners: nodes([2]), ..alone };
    let silent = report(1, Some(Step::Learning), WaitCode::NodeUnreachable, 2);
    assert_eq!(plan(fleet.state(), &listening), [silent]);

    let behind = Observed { lag: BTreeMap::from([(AuthorityNodeId(2), CAUGHT_UP_ENTRIES + 1)]), ..listening };
    let catching_up = report(1, Some(Step::Learning), WaitCode::NodeCatchingUp, 2);
    assert_eq!(plan(fleet.state(), &behind), [catching_up]);

    let caught_up = Observed { lag: BTreeMap::from([(AuthorityNodeId(2), CAUGHT_UP_ENTRIES)]), ..behind };
    let promoted = report(1, Some(Step::CaughtUp), WaitCode::MembershipChange, 2);
    assert_eq!(plan(fleet.state(), &caught_up), [promoted.clone(), Action::SetVoters(nodes([1, 2]))]);
    assert_eq!(plan(fleet.state(), &Observed { changing: true, ..caught_up.clone() }), [promoted]);

    let voting = Observed { voters: nodes([1, 2]), learners: nodes([]), ..caught_up };
    assert_eq!(plan(fleet.state(), &Observed { changing: true, ..voting.clone() }), []);
    assert_eq!(plan(fleet.state(), &voting), [settle(2)]);
}

#[test]
fn a_leader_hands_over_before_it_leaves() {
    let mut fleet = Fleet::founded(0);
    for node in [2, 3] {
        fleet.admit();
        let settle = authority_node::Command::Settle { node: AuthorityNodeId(node) };
        let revision = fleet.state().revision();
        fleet.put(Actor::Duty(Duty::Membership), Some(revision), Command::AuthorityNode(settle));
    }
    fleet.remove(FIRST);
    let waits = report(3, None, WaitCode::MembershipChange, 1);

    let leading = Observed {
        leader: Some(FIRST),
        voters: nodes([1, 2, 3]),
        lag: BTreeMap::from([(AuthorityNodeId(2), 40), (AuthorityNodeId(3), 4)]),
        ..Observed::default()
    };
    assert_eq!(plan(fleet.state(), &leading), [waits.clone(), Action::HandOver(AuthorityNodeId(3))]);

    let following = Observed { leader: Some(AuthorityNodeId(3)), ..leading };
    assert_eq!(plan(fleet.state(), &following), [waits, Action::SetVoters(nodes([2, 3]))]);

    let gone = Observed { voters: nodes([2, 3]), ..following };
    assert_eq!(plan(fleet.state(), &gone), [settle(1)]);
}

#[test]
fn a_member_that_the_ledger_does_not_know_is_left_as_it_is() {
    let fleet = Fleet::founded(0);
    let unknown = Observed {
        leader: Some(FIRST),
        voters: nodes([1, 8]),
        learners: nodes([9]),
        lag: BTreeMap::from([(AuthorityNodeId(9), 0)]),
        ..Observed::default()
    };
    assert_eq!(plan(fleet.state(), &unknown), []);
}

#[test]
fn a_node_that_is_to_vote_and_that_raft_does_not_know_is_taken_in_anew() {
    let mut fleet = Fleet::founded(0);
    fleet.admit();
    let settle = authority_node::Command::Settle { node: AuthorityNodeId(2) };
    let revision = fleet.state().revision();
    fleet.put(Actor::Duty(Duty::Membership), Some(revision), Command::AuthorityNode(settle));

    let lost = Observed { leader: Some(FIRST), voters: nodes([1]), ..Observed::default() };
    assert_eq!(plan(fleet.state(), &lost), [Action::AddLearner(AuthorityNodeId(2))]);
    let listening = Observed { learners: nodes([2]), lag: BTreeMap::from([(AuthorityNodeId(2), 0)]), ..lost };
    assert_eq!(plan(fleet.state(), &listening), [Action::SetVoters(nodes([1, 2]))]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_membership_follows_what_is_asked_for(seed: u64) {
        let mut fleet = Fleet::founded(seed);
        for _ in 0..STORM {
            if fleet.dice.chance(15) {
                fleet.meddle();
            }
            fleet.pass(true);
            fleet.tick();
            fleet.deliver(true);
            fleet.check();
        }
        let mut calm = 0;
        while !(fleet.in_line() && fleet.under_way.is_empty()) {
            prop_assert!(calm < CALM, "not in line after {} calm rounds: {:?}", calm, fleet.stored);
            fleet.pass(false);
            fleet.tick();
            fleet.deliver(false);
            fleet.check();
            calm += 1;
        }
        prop_assert_eq!(fleet.tick(), 0, "nothing is left to do");
    }
}
