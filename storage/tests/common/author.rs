//! Decides wishes one after the other, as a leader would, and tells what every replica then commits.

use bursar_domain::{Actor, ClusterId, Command, Hash, Level, Proposal, Sealed, State, StoreId, authority_node, cluster};
use bursar_domain_testing::{History, Ledger, SETUP_SECRET};
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
    history: History,
    ledger: Ledger,
    applied: Applied,
    term: u64,
    entries: u64,
}

impl Author {
    /// Has decided nothing.
    pub fn new() -> Self {
        Self { history: History::new(0), ledger: Ledger::default(), applied: Applied::default(), term: 1, entries: 0 }
    }

    /// One who goes on behind a decision, as the leader of a later term.
    pub fn behind(decided: &Decided) -> Self {
        let position = decided.applied.position.expect("a decision has a position");
        Self {
            history: History::behind(&decided.state, 0),
            ledger: Ledger { state: decided.state.clone(), journal: Vec::new() },
            applied: decided.applied.clone(),
            term: position.term + 1,
            entries: position.index,
        }
    }

    /// Founds the cluster.
    pub fn found(&mut self) -> Decided {
        self.ask(
            Actor::Founder,
            Command::Cluster(cluster::Command::Found {
                cluster: ClusterId([7; 16]),
                license_key: vec![1; 32],
                ca_certificate: "a certificate".into(),
                sealed_ca_key: vec![2; 64],
                setup_secret: Hash::of(SETUP_SECRET),
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
                self.history.wait_ms(u64::from(*minutes) * 60_000);
                self.carry_out(wish)
            }
            Wish::Any { seed } => {
                self.history.reseed(*seed);
                let proposal = self.history.next(&self.ledger.state);
                self.put(&proposal)
            }
            Wish::Ask(ask) => {
                let (actor, command) = ask.command(&self.ledger.state);
                self.ask(actor, command)
            }
        }
    }

    fn ask(&mut self, actor: Actor, command: Command) -> Decided {
        let proposal = self.history.ask(&self.ledger.state, actor, command);
        self.put(&proposal)
    }

    fn put(&mut self, proposal: &Proposal) -> Decided {
        self.ledger.put(proposal);
        let records = std::mem::take(&mut self.ledger.journal);
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
            revision: self.ledger.state.revision(),
            head: self.ledger.state.head(),
            ..self.applied.clone()
        };
        self.entries += 1;
        Decided { records, applied: self.applied.clone(), state: self.ledger.state.clone() }
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
        control_address: format!("node-{store}:4288"),
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

/// The last decision of a history.
pub fn last(history: &[Decided]) -> &Decided {
    history.last().expect("a history has a founding")
}
