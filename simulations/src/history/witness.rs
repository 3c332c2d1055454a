//! The witness: the journal beside what clients saw.

use bursar_domain::{Effect, ObjectRef, Outcome, Revision, Sealed, State, evolve, operation::Task};

use super::{
    History,
    journal::{Decided, Decisions, leaves_a_tombstone, look},
    operation::{Answer, Change, Demand, Moment, Operation, Read, Seen, Write, WriteEnd},
    violation::Violation,
};

/// How many violations are told: where there are many, most say the same.
const TOLD_MAX: usize = 100;

/// What contradicts the journal, or the order of time.
pub(super) fn violations(history: &History, journal: &[Sealed]) -> Vec<Violation> {
    let decisions = match Decisions::read(journal) {
        Ok(decisions) => decisions,
        Err(broken) => return vec![broken],
    };
    let head = journal.last().map_or(Revision::ZERO, |last| last.record.revision);
    let place = |write: &Write| decisions.on(write.actor, &write.request);
    let placed: Vec<_> = history.writes.iter().map(|write| Placed { write, decided: place(write) }).collect();
    let mut found: Vec<Violation> = decisions.doubled().collect();
    found.extend(placed.iter().filter_map(Placed::contradiction));
    found.extend(out_of_time(&placed, &history.reads));
    found.extend(wrong_states(&placed, &history.reads, journal, head));
    found.truncate(TOLD_MAX);
    found
}

/// A write with its place in the journal, if it has one.
struct Placed<'h, 'j> {
    write: &'h Write,
    decided: Option<&'j Decided<'j>>,
}

impl Placed<'_, '_> {
    /// What its client was told, against what the journal says.
    fn contradiction(&self) -> Option<Violation> {
        let Self { write, decided } = self;
        let boxed = || Box::new((*write).clone());
        match (&write.end, decided) {
            (WriteEnd::Done(answer), None) => (!may_change_nothing(write, answer)).then(|| Violation::Lost { write: boxed() }),
            (WriteEnd::Done(answer), Some(decided)) => {
                let revision = decided.last;
                if !ended_as_told(decided.outcome, answer) {
                    Some(Violation::ToldOtherwise { write: boxed(), revision, recorded: in_words(decided.outcome) })
                } else if answer.shown < revision {
                    Some(Violation::AnswerWithoutItsWrite { write: boxed(), revision })
                } else {
                    None
                }
            }
            (WriteEnd::Refused { .. }, Some(Decided { outcome: Ok(_), last, .. })) => {
                Some(Violation::RefusedButDone { write: boxed(), revision: *last })
            }
            (WriteEnd::Refused { code, .. }, Some(Decided { outcome: Err(rejection), last, .. })) => (rejection.code() != code)
                .then(|| Violation::ToldOtherwise { write: boxed(), revision: *last, recorded: rejection.to_string() }),
            (WriteEnd::Refused { .. } | WriteEnd::Unknown, None) | (WriteEnd::Unknown, Some(_)) => None,
        }
    }

    /// Its place, where it was done or may have been.
    fn done(&self) -> Option<&Decided<'_>> {
        self.decided.filter(|decided| decided.outcome.is_ok() && !matches!(self.write.end, WriteEnd::Refused { .. }))
    }
}

/// What was so already leaves no trace in the journal. A name that is given only once was never there before.
fn may_change_nothing(write: &Write, answer: &Answer) -> bool {
    matches!(write.change, Change::Other(_)) && matches!(answer.effect, Effect::Changed | Effect::Unchanged)
}

fn ended_as_told(outcome: &Outcome, answer: &Answer) -> bool {
    let told = |effect| if effect == Effect::Unchanged { Effect::Changed } else { effect };
    outcome.as_ref().is_ok_and(|reply| told(reply.effect) == told(answer.effect) && reply.object == answer.object)
}

fn in_words(outcome: &Outcome) -> String {
    match outcome {
        Ok(reply) => reply.to_string(),
        Err(rejection) => rejection.to_string(),
    }
}

/// The newest state that had been shown, to anybody, by any moment.
struct Horizon<'h> {
    /// By the moment of the answer; with the newest state up to then, and who was shown it.
    shown: Vec<(Moment, Revision, Answered<'h>)>,
}

#[derive(Clone, Copy)]
enum Answered<'h> {
    Write(&'h Write),
    Read(&'h Read),
}

impl<'h> Horizon<'h> {
    fn of(placed: &[Placed<'h, '_>], reads: &'h [Read]) -> Self {
        let writes = placed.iter().filter_map(|placed| {
            let last = placed.done().map_or(Revision::ZERO, |decided| decided.last);
            match &placed.write.end {
                WriteEnd::Done(answer) => Some((answer.at, answer.shown.max(last), Answered::Write(placed.write))),
                WriteEnd::Refused { at, shown, .. } => shown.map(|shown| (*at, shown, Answered::Write(placed.write))),
                WriteEnd::Unknown => None,
            }
        });
        let mut shown: Vec<_> = writes.collect();
        shown.extend(reads.iter().map(|read| (read.at, read.shown, Answered::Read(read))));
        shown.sort_by_key(|(at, ..)| *at);
        for index in 1..shown.len() {
            if shown[index - 1].1 > shown[index].1 {
                (_, shown[index].1, shown[index].2) = shown[index - 1];
            }
        }
        Self { shown }
    }

    /// What had been shown before a request was sent.
    fn before(&self, called: Moment) -> Option<(Revision, Operation)> {
        let newest = self.newest_before(called)?;
        Some((newest.1, newest.2.into()))
    }

    fn revision_before(&self, called: Moment) -> Revision {
        self.newest_before(called).map_or(Revision::ZERO, |newest| newest.1)
    }

    fn newest_before(&self, called: Moment) -> Option<&(Moment, Revision, Answered<'h>)> {
        let earlier = self.shown.partition_point(|(at, ..)| *at < called);
        self.shown[..earlier].last()
    }
}

impl From<Answered<'_>> for Operation {
    fn from(answered: Answered<'_>) -> Self {
        match answered {
            Answered::Write(write) => write.into(),
            Answered::Read(read) => read.into(),
        }
    }
}

/// Whoever asks later stands behind all that was shown before. That holds of writes nobody heard of again, too.
fn out_of_time<'h>(placed: &'h [Placed<'h, '_>], reads: &'h [Read]) -> Vec<Violation> {
    let horizon = Horizon::of(placed, reads);
    let disordered = placed.iter().filter_map(|placed| {
        let (write, decided) = (placed.write, placed.done()?);
        let (_, before) = horizon.before(write.called).filter(|(shown, _)| decided.first <= *shown)?;
        Some(Violation::OutOfOrder { write: Box::new(write.clone()), revision: decided.last, before })
    });
    let stale = reads.iter().filter_map(|read| {
        let boxed = || Box::new(read.clone());
        match read.demand {
            Demand::Linearizable if read.shown < horizon.revision_before(read.called) => {
                let (_, before) = horizon.before(read.called)?;
                Some(Violation::Stale { read: boxed(), before })
            }
            Demand::Stale { min_revision: Some(least) } if read.shown < least => {
                Some(Violation::OlderThanAsked { read: boxed() })
            }
            Demand::Linearizable | Demand::Stale { .. } => None,
        }
    });
    disordered.chain(stale).take(TOLD_MAX).collect()
}

/// Something that must hold of the state at a revision.
enum Claim<'h> {
    /// The object of a read is as it was shown.
    Read(&'h Read),
    /// The object of a write is as its answer shows it.
    Answered(&'h Write, &'h Answer, &'h Seen),
    /// What the write was to change is as it was to be.
    Changed(&'h Write, ObjectRef),
}

/// What was shown as it never was: the journal is folded once, and each state looked at in its turn.
fn wrong_states(placed: &[Placed<'_, '_>], reads: &[Read], journal: &[Sealed], head: Revision) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut claims: Vec<(Revision, Claim<'_>)> = Vec::with_capacity(reads.len() + placed.len());
    for read in reads {
        if read.shown <= head {
            claims.push((read.shown, Claim::Read(read)));
        } else {
            found.push(Violation::NeverReached { operation: read.into(), head });
        }
    }
    for placed in placed {
        let write = placed.write;
        let shown = match &write.end {
            WriteEnd::Done(answer) => Some(answer.shown),
            WriteEnd::Refused { shown, .. } => *shown,
            WriteEnd::Unknown => None,
        };
        if shown.is_some_and(|shown| shown > head) {
            found.push(Violation::NeverReached { operation: write.into(), head });
        } else if let WriteEnd::Done(answer) = &write.end
            && let Some(seen) = &answer.seen
        {
            claims.push((answer.shown, Claim::Answered(write, answer, seen)));
        }
        if let Some(Decided { last, outcome: Ok(reply), .. }) = placed.done() {
            claims.push((*last, Claim::Changed(write, reply.object)));
        }
    }
    claims.sort_by_key(|(revision, _)| *revision);
    let mut state = State::default();
    let mut records = journal.iter();
    for (revision, claim) in claims {
        while state.revision() < revision {
            evolve(&mut state, records.next().expect("the journal reaches up to its head"));
        }
        found.extend(claim.contradiction(&state));
        if found.len() >= TOLD_MAX {
            break;
        }
    }
    found
}

impl Claim<'_> {
    fn contradiction(&self, state: &State) -> Option<Violation> {
        match self {
            Self::Read(read) => {
                let expected = look(state, read.object);
                (expected != read.seen).then(|| Violation::Wrong { operation: (*read).into(), expected })
            }
            Self::Answered(write, answer, seen) => {
                let expected = look(state, answer.object);
                (expected.as_ref() != Some(seen)).then(|| Violation::Wrong { operation: (*write).into(), expected })
            }
            Self::Changed(write, object) => {
                let (object, name) = match &write.change {
                    Change::Make { name } => (made(state, *object), Some(name)),
                    Change::Rename { object, name } => (*object, Some(name)),
                    Change::Remove { object } if !leaves_a_tombstone(*object) => (*object, None),
                    Change::Remove { .. } | Change::Other(_) => return None,
                };
                let found = look(state, object);
                let as_asked = found.as_ref().and_then(|found| found.name.as_ref()) == name;
                let revision = state.revision();
                (!as_asked).then(|| Violation::Altered { write: Box::new((*write).clone()), revision, found })
            }
        }
    }
}

/// What was made; where an operation was started for it, what the operation takes in.
fn made(state: &State, object: ObjectRef) -> ObjectRef {
    let ObjectRef::Operation(id) = object else { return object };
    match state.operations().get(id).map(|operation| operation.task) {
        Some(Task::JoinServer { server }) => server.into(),
        _ => object,
    }
}
