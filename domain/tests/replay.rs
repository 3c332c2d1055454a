//! The domain alone, at speed: random proposals of every noun, and a crash at every step.
//!
//! Beside the live state runs its heir: what a node would have if it crashed right now. The heir begins as the bytes of the
//! latest checkpoint and folds the bytes of each record behind it, so that comparing the two after every decision is a crash
//! and a replay at every step. Now and then the crash is real: live state and heir are dropped, and what rests on the disk,
//! checkpoint and journal, is all that goes on.
//!
//! What it did and how fast is printed: `cargo test -p bursar-domain --test replay -- --nocapture`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bursar_domain::{
    Audience, Decision, Event, Hash, Projection, Proposal, Reader, Sealed, ServerId, State, decide,
    encoding::{decode, encode},
    evolve, invariants, seal,
};
use bursar_domain_testing::{Dice, History};

#[path = "common/specimens.rs"]
#[allow(dead_code, reason = "the corpus needs more of it than the replay")]
mod specimens;

/// How many histories are played.
const HISTORIES: u64 = 60;
/// How many proposals each has.
const PROPOSALS: u64 = 500;
/// A checkpoint is made behind one decision in so many.
const CHECKPOINT_ONE_IN: u64 = 200;
/// The node crashes behind one decision in so many.
const CRASH_ONE_IN: u64 = 200;
/// All that must hold of a state is computed anew behind one decision in so many: it takes time in proportion to the state.
const AUDIT_ONE_IN: u64 = 250;
/// The heir decides, too, before one decision in so many.
const SECOND_OPINION_ONE_IN: u64 = 20;

/// What no history of this sort brings about, and why.
const NOT_EXERCISED: [(&str, &str); 2] = [
    ("decision_too_large", "takes more than a thousand servers; tests/rules brings it about"),
    ("internal_error", "takes a defect; whoever applies the log tells of it"),
];

#[test]
fn a_crash_at_any_step_leaves_the_state_that_was() {
    let (tally, elapsed) = timed(|| {
        let mut tally = Tally::default();
        for seed in 0..HISTORIES {
            Node::play(seed, &mut tally);
        }
        tally
    });
    println!("{tally}: {} proposals a second", rate(tally.proposals, elapsed));
    let ((), bare) = timed(|| {
        for seed in 0..HISTORIES {
            unguarded(seed);
        }
    });
    println!("of that, drawing, deciding, sealing and folding alone: {} proposals a second", rate(tally.proposals, bare));

    let all = specimens::all().into_iter().filter(|specimen| ["event", "rejection"].contains(&specimen.family));
    let all: BTreeSet<_> = all.map(|specimen| specimen.variant).collect();
    let excused: BTreeSet<_> = NOT_EXERCISED.iter().map(|(name, _)| *name).collect();
    let missing: Vec<_> = all.iter().filter(|name| !tally.exercised.contains(**name) && !excused.contains(**name)).collect();
    assert!(missing.is_empty(), "no history brings about {missing:?}");
    let needless: Vec<_> = excused.intersection(&tally.exercised).collect();
    assert!(needless.is_empty(), "{needless:?} need no excuse any more");
}

/// The same proposals, decided and folded, with nothing checked.
fn unguarded(seed: u64) {
    let (mut history, mut state) = (History::new(seed), State::default());
    for _ in 0..PROPOSALS {
        let proposal = history.next(&state);
        let decision = decide(&state, &proposal);
        for sealed in seal(&state, &proposal, &decision) {
            evolve(&mut state, &sealed);
        }
    }
}

/// A node of one, and all that its disk and its fleet hold.
struct Node {
    dice: Dice,
    live: State,
    heir: State,
    /// The items of the latest checkpoint, as they rest.
    checkpoint: Vec<Vec<u8>>,
    /// How many records the checkpoint has in it.
    checkpointed: usize,
    journal: Vec<Vec<u8>>,
    /// What each server of the fleet, former ones included, has made of what it read.
    fleet: BTreeMap<ServerId, Option<Projection>>,
}

impl Node {
    /// Plays the history that a seed stands for.
    fn play(seed: u64, tally: &mut Tally) {
        let mut history = History::new(seed);
        let mut node = Self::new(seed);
        for _ in 0..PROPOSALS {
            let proposal = history.next(&node.live);
            node.step(&proposal, tally);
        }
        node.audit();
        assert_eq!(replayed(State::default(), &node.journal).digest(), node.live.digest(), "the journal from its beginning");
    }

    fn new(seed: u64) -> Self {
        let (live, heir) = (State::default(), State::default());
        let checkpoint = live.export().collect();
        // Other choices than those of the history, which has the seed itself.
        let dice = Dice::new(!seed);
        Self { dice, live, heir, checkpoint, checkpointed: 0, journal: Vec::new(), fleet: BTreeMap::new() }
    }

    /// Carries one proposal out, and looks at what became of it.
    fn step(&mut self, proposal: &Proposal, tally: &mut Tally) {
        let decision = decide(&self.live, proposal);
        if self.one_in(SECOND_OPINION_ONE_IN) {
            assert_eq!(decide(&self.heir, proposal), decision, "every replica decides alike");
        }
        let records = seal(&self.live, proposal, &decision);
        let before = self.live.clone();
        self.apply(&records);
        assert_eq!(self.live.digest(), self.heir.digest(), "a crash behind {}", proposal.submission.command);
        self.tell_the_fleet(&before, &records);
        tally.count(&decision);

        if self.one_in(AUDIT_ONE_IN) {
            self.audit();
        }
        if self.one_in(CHECKPOINT_ONE_IN) {
            tally.checkpoints += 1;
            self.take_checkpoint();
        }
        if self.one_in(CRASH_ONE_IN) {
            tally.crashes += 1;
            self.crash();
        }
    }

    /// The live state folds what was sealed, the heir what reads back from the disk.
    fn apply(&mut self, records: &[Sealed]) {
        for sealed in records {
            let reread = Sealed::open(sealed.bytes.clone()).expect("a record that was just sealed");
            assert_eq!(reread, *sealed, "what is written reads back");
            evolve(&mut self.live, sealed);
            evolve(&mut self.heir, &reread);
            self.journal.push(reread.bytes);
        }
    }

    /// Each server reads the records of its audience, and knows by them what the authority thinks that it knows.
    fn tell_the_fleet(&mut self, before: &State, records: &[Sealed]) {
        if records.iter().all(|sealed| sealed.record.audience == Audience::Administrators) {
            return;
        }
        // One that was withdrawn is in no state any more, and reads of that all the same.
        let gone = before.servers().iter().filter(|server| self.live.servers().get(server.id).is_none());
        for server in self.live.servers().iter().chain(gone) {
            let reader = Reader::Server { server: server.id, destination: server.destination };
            let mut read = records.iter().filter(|sealed| sealed.record.audience.includes(reader)).peekable();
            if read.peek().is_none() {
                continue;
            }
            let known = self.fleet.entry(server.id).or_default();
            for sealed in read {
                *known = Projection::behind(known.take(), server.id, &sealed.record.event);
            }
            assert_eq!(*known, Projection::of(&self.live, server.id), "what {} is to know", server.id);
        }
    }

    /// What holds of every state, computed anew; and what every server knows, whether it was told of anything or not.
    fn audit(&self) {
        assert_eq!(invariants::violations(&self.live), vec![], "at revision {}", self.live.revision());
        for (server, known) in &self.fleet {
            let digest = |projection: &Option<Projection>| projection.as_ref().map(Projection::digest);
            assert_eq!(digest(known), digest(&Projection::of(&self.live, *server)), "what {server} is to know");
        }
        let head = self.journal.last().map_or(Hash::ZERO, |bytes| Hash::of(bytes));
        assert_eq!(self.live.head(), head, "the chain ends with the journal");
    }

    fn take_checkpoint(&mut self) {
        self.checkpoint = self.live.export().collect();
        self.checkpointed = self.journal.len();
        self.heir = imported(&self.checkpoint);
        assert_eq!(self.heir.digest(), self.live.digest(), "a checkpoint is the state");
    }

    /// What was in memory is gone: the authority's, and the servers' alike.
    fn crash(&mut self) {
        let recovered = replayed(imported(&self.checkpoint), &self.journal[self.checkpointed..]);
        assert_eq!(recovered.digest(), self.live.digest(), "checkpoint and tail make the whole");
        self.heir = recovered.clone();
        self.live = recovered;
        for known in self.fleet.values_mut().flatten() {
            let resting = encode(known);
            *known = decode(&resting).expect("what was just encoded");
        }
    }

    fn one_in(&mut self, steps: u64) -> bool {
        self.dice.below(steps) == 0
    }
}

fn imported(checkpoint: &[Vec<u8>]) -> State {
    State::import(checkpoint).expect("what was just exported")
}

/// Evolve sees to it that the chain holds.
fn replayed(mut state: State, records: &[Vec<u8>]) -> State {
    for bytes in records {
        evolve(&mut state, &Sealed::open(bytes.clone()).expect("a record that was sealed"));
    }
    state
}

/// What the histories came to.
#[derive(Default)]
struct Tally {
    proposals: u64,
    records: u64,
    repeated: u64,
    refused: u64,
    checkpoints: u64,
    crashes: u64,
    /// The kinds of events and the codes of refusals that came about.
    exercised: BTreeSet<&'static str>,
}

impl Tally {
    fn count(&mut self, decision: &Decision) {
        self.proposals += 1;
        self.records += decision.events.len() as u64;
        self.repeated += u64::from(decision.repeated);
        self.exercised.extend(decision.events.iter().map(Event::kind));
        if let Err(rejection) = &decision.outcome {
            self.refused += 1;
            self.exercised.insert(rejection.code());
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { proposals, records, repeated, refused, checkpoints, crashes, exercised } = self;
        write!(
            f,
            "{proposals} proposals, {refused} refused, {repeated} repeated; {records} records, {} kinds and codes; \
             {checkpoints} checkpoints, {crashes} crashes",
            exercised.len()
        )
    }
}

/// How long `work` takes. Nothing depends on it but a line for people.
#[allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "a speed is measured, and no decision reads it")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = std::time::Instant::now();
    let done = work();
    (done, begun.elapsed())
}

fn rate(count: u64, elapsed: Duration) -> u128 {
    u128::from(count) * 1_000_000 / elapsed.as_micros().max(1)
}
