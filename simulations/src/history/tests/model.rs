//! Histories that are right because they were made so: clients of an authority whose answers come late, from nodes that lag, or
//! never.

use bursar_domain::{Decision, ObjectRef, Reply, Revision, Sealed, SiteId, State, Submission, site};
use bursar_domain_testing::Dice;

use super::{
    super::{Answer, Change, Client, Demand, History, Moment, Read, Write, WriteEnd, journal::look},
    authority::{ADMINISTRATOR, Authority, of_sites},
};

const CLIENTS: usize = 6;
/// How many sites they care for at a time.
const SITES: u64 = 6;

/// An authority, its clients, and all that they saw.
pub struct Model {
    dice: Dice,
    now: u64,
    pub authority: Authority,
    /// The states behind each decision, the oldest first: what a node that lags may show.
    pub states: Vec<State>,
    pub history: History,
    clients: Vec<Option<Call>>,
    /// Requests that nobody waits for any more, and that are still on their way.
    adrift: Vec<Submission>,
    names: u64,
}

/// What a client waits for.
struct Call {
    called: Moment,
    asked: Asked,
}

enum Asked {
    Write {
        submission: Box<Submission>,
        change: Change,
        decided: Option<Box<Decision>>,
    },
    /// What was found is one of the model's states.
    Read {
        object: ObjectRef,
        demand: Demand,
        found: Option<usize>,
    },
}

impl Model {
    /// The history that a seed stands for.
    pub fn play(seed: u64, steps: usize) -> Self {
        let authority = Authority::founded();
        let states = vec![authority.ledger.state.clone()];
        let clients = (0..CLIENTS).map(|_| None).collect();
        let mut model = Self {
            dice: Dice::new(seed),
            now: 0,
            authority,
            states,
            history: History::default(),
            clients,
            adrift: Vec::new(),
            names: 0,
        };
        for _ in 0..steps {
            model.step();
        }
        for client in 0..CLIENTS {
            model.give_up(client);
        }
        model
    }

    pub fn journal(&self) -> &[Sealed] {
        &self.authority.ledger.journal
    }

    fn step(&mut self) {
        // Now and then two things happen in one moment.
        self.now += self.dice.below(3);
        if self.dice.chance(5) && !self.adrift.is_empty() {
            let arriving = usize::try_from(self.dice.below(self.adrift.len() as u64)).expect("an index fits");
            let submission = self.adrift.swap_remove(arriving);
            self.decide(submission);
            return;
        }
        let client = usize::try_from(self.dice.below(CLIENTS as u64)).expect("an index fits");
        match &self.clients[client] {
            None => self.call(client),
            Some(Call { asked: Asked::Write { decided: None, .. } | Asked::Read { found: None, .. }, .. }) => {
                if self.dice.chance(5) { self.give_up(client) } else { self.carry_out(client) }
            }
            Some(_) if self.dice.chance(5) => self.give_up(client),
            Some(_) => self.answer(client),
        }
    }

    fn call(&mut self, client: usize) {
        // One of the last that were made, or the one that comes next.
        let next = self.authority.ledger.state.next().site;
        let object = SiteId(next - self.dice.below(next.min(SITES)));
        let asked = if self.dice.chance(60) {
            let demand = if self.dice.chance(70) {
                Demand::Linearizable
            } else {
                let seen_before = self.dice.pick(&self.states).revision();
                Demand::Stale { min_revision: self.dice.perhaps(50, |_| seen_before) }
            };
            Asked::Read { object: object.into(), demand, found: None }
        } else {
            self.names += 1;
            let name = format!("name-{}", self.names);
            let (change, command) = match self.dice.below(10) {
                0..=3 => (Change::Make { name: name.clone() }, site::Command::Create { name, expected_latency_ms: 1 }),
                4..=7 => (
                    Change::Rename { object: object.into(), name: name.clone() },
                    site::Command::Edit { site: object, name: Some(name), expected_latency_ms: None },
                ),
                8 => {
                    let latency = u32::try_from(self.dice.below(3)).expect("it fits");
                    let edit = site::Command::Edit { site: object, name: None, expected_latency_ms: Some(latency) };
                    (Change::Other(edit.to_string()), edit)
                }
                _ => (Change::Remove { object: object.into() }, site::Command::Remove { site: object }),
            };
            let submission = Box::new(of_sites(&format!("request-{}", self.names), command));
            Asked::Write { submission, change, decided: None }
        };
        self.clients[client] = Some(Call { called: Moment(self.now), asked });
    }

    fn decide(&mut self, submission: Submission) -> Decision {
        let decision = self.authority.ask(submission);
        self.states.push(self.authority.ledger.state.clone());
        decision
    }

    /// What was asked for happens, in one moment; nobody hears of it yet.
    fn carry_out(&mut self, client: usize) {
        let Some(mut call) = self.clients[client].take() else { return };
        match &mut call.asked {
            Asked::Write { submission, decided, .. } => {
                *decided = Some(Box::new(self.decide(Submission::clone(submission))));
            }
            Asked::Read { demand: Demand::Linearizable, found, .. } => *found = Some(self.states.len() - 1),
            Asked::Read { demand: Demand::Stale { min_revision }, found, .. } => {
                *found = Some(self.some_state_from(min_revision.unwrap_or_default()));
            }
        }
        self.clients[client] = Some(call);
    }

    /// One of the states from a revision on.
    fn some_state_from(&mut self, least: Revision) -> usize {
        let stale = self.states.partition_point(|state| state.revision() < least);
        let fresh = (self.states.len() - stale) as u64;
        stale + usize::try_from(self.dice.below(fresh)).expect("an index fits")
    }

    fn answer(&mut self, client: usize) {
        let at = Moment(self.now);
        let Some(Call { called, asked }) = self.clients[client].take() else { return };
        let client = Client(client as u64);
        match asked {
            Asked::Write { submission, change, decided: Some(decided) } => {
                let found = self.some_state_from(decided.revision);
                let state = &self.states[found];
                let shown = state.revision();
                let end = match decided.outcome {
                    Ok(Reply { effect, object }) => {
                        let seen = look(state, object).filter(|_| self.dice.chance(70));
                        WriteEnd::Done(Answer { at, effect, object, shown, seen })
                    }
                    Err(rejection) => WriteEnd::Refused { at, code: rejection.code().into(), shown: Some(shown) },
                };
                self.note(client, called, *submission, change, end);
            }
            Asked::Read { object, demand, found: Some(found) } => {
                let state = &self.states[found];
                let (shown, seen) = (state.revision(), look(state, object));
                self.history.reads.push(Read { client, called, object, demand, at, shown, seen });
            }
            Asked::Write { decided: None, .. } | Asked::Read { found: None, .. } => {}
        }
    }

    /// The client goes away. What it wrote may have happened, or may still.
    fn give_up(&mut self, client: usize) {
        let Some(Call { called, asked }) = self.clients[client].take() else { return };
        if let Asked::Write { submission, change, decided } = asked {
            if decided.is_none() && self.dice.chance(50) {
                self.adrift.push(Submission::clone(&submission));
            }
            self.note(Client(client as u64), called, *submission, change, WriteEnd::Unknown);
        }
    }

    fn note(&mut self, client: Client, called: Moment, submission: Submission, change: Change, end: WriteEnd) {
        let request = submission.request;
        self.history.writes.push(Write { client, called, actor: ADMINISTRATOR, request, change, end });
    }
}
