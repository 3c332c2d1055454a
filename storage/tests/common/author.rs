//! Decides wishes one after the other, as a leader would, and tells what every replica then commits.

use bursar_domain::{
    Actor, ClusterId, Command, Hash, Level, Proposal, RequestId, Sealed, State, StoreId, Submission, Timestamp, authority_node,
    cluster, decide, evolve, seal,
};
use bursar_storage::ledger::{Applied, StoredMembership};
use bursar_storage::log::{LogPosition, Member, Membership};

use super::wishes::{Ask, Wish};

/// What one entry of the log came to.
#[derive(Clone)]
pub struct Decided {
    /// Its records; none where it changed nothing.
    pub records: Vec<Sealed>,
    /// Where a state machine stands behind it.
    pub applied: Applied,
    /// The state behind it.
    pub state: State,
}

/// The author of a history.
pub struct Author {
    state: State,
    applied: Applied,
    term: u64,
    entries: u64,
    now: Timestamp,
}

impl Author {
    /// Has decided nothing.
    pub fn new() -> Self {
        Self { state: State::default(), applied: Applied::default(), term: 1, entries: 0, now: Timestamp(1_700_000_000_000) }
    }

    /// One who goes on behind a decision, as the leader of a later term.
    pub fn behind(decided: &Decided) -> Self {
        let position = decided.applied.position.expect("a decision has a position");
        Self {
            state: decided.state.clone(),
            applied: decided.applied.clone(),
            term: position.term + 1,
            entries: position.index,
            now: decided.state.time(),
        }
    }

    /// Founds the cluster.
    pub fn found(&mut self) -> Decided {
        self.propose(
            Actor::Founder,
            Command::Cluster(cluster::Command::Found {
                cluster: ClusterId([7; 16]),
                license_key: vec![1; 32],
                ca_certificate: "a certificate".into(),
                sealed_ca_key: vec![2; 64],
                setup_secret: Hash::of(b"setup"),
                node: facts(1),
            }),
        )
    }

    /// Makes the first administrator, who asks for everything that follows.
    pub fn claim_setup(&mut self) -> Decided {
        self.carry_out(&Wish::Ask(Ask::IssueToken))
    }

    /// Decides what is wished for.
    pub fn carry_out(&mut self, wish: &Wish) -> Decided {
        match wish {
            Wish::ChangeMembers { members } => self.change_members(*members),
            Wish::Wait { minutes, wish } => {
                self.now = Timestamp(self.now.0 + u64::from(*minutes) * 60_000);
                self.carry_out(wish)
            }
            Wish::Ask(ask) => {
                let (actor, command) = ask.command(&self.state);
                self.propose(actor, command)
            }
        }
    }

    fn propose(&mut self, actor: Actor, command: Command) -> Decided {
        self.now = Timestamp(self.now.0 + 1);
        let request = RequestId::parse(&format!("request-{}", self.entries)).expect("visible ASCII");
        let fingerprint = Hash::of(command.to_string().as_bytes());
        let submission =
            Submission { actor, request, fingerprint, expected: None, planned_on: Some(self.state.revision()), command };
        let proposal = Proposal { time: self.now, submission };
        let decision = decide(&self.state, &proposal);
        let records = seal(&self.state, &proposal, &decision);
        for record in &records {
            evolve(&mut self.state, record);
        }
        self.applied(records)
    }

    fn change_members(&mut self, members: u64) -> Decided {
        let member = |id: u64| Member { peer_address: format!("node-{id}:4283"), ..Member::default() };
        let membership =
            Membership { configs: vec![(1..=members).collect()], members: (1..=members).map(|id| (id, member(id))).collect() };
        self.applied.membership = StoredMembership { position: Some(self.next_position()), membership };
        self.applied(Vec::new())
    }

    fn applied(&mut self, records: Vec<Sealed>) -> Decided {
        self.applied = Applied {
            position: Some(self.next_position()),
            revision: self.state.revision(),
            head: self.state.head(),
            ..self.applied.clone()
        };
        self.entries += 1;
        Decided { records, applied: self.applied.clone(), state: self.state.clone() }
    }

    fn next_position(&self) -> LogPosition {
        LogPosition { term: self.term, index: self.entries + 1 }
    }
}

/// What a machine with this store says of itself.
pub fn facts(store: u8) -> authority_node::Facts {
    authority_node::Facts {
        store: StoreId([store; 16]),
        peer_address: format!("node-{store}:4283"),
        api_address: format!("node-{store}:4285"),
        version: "1.0.0".into(),
        supported: Level::FIRST,
    }
}

/// The history of these wishes, from the founding on.
pub fn history(wishes: &[Wish]) -> Vec<Decided> {
    let mut author = Author::new();
    let mut history = vec![author.found(), author.claim_setup()];
    history.extend(wishes.iter().map(|wish| author.carry_out(wish)));
    history
}

/// What follows a history when these wishes are carried out next.
pub fn continued(history: &[Decided], wishes: &[Wish]) -> Vec<Decided> {
    let mut author = Author::behind(history.last().expect("a history has a founding"));
    wishes.iter().map(|wish| author.carry_out(wish)).collect()
}
