//! What clients saw of the name of each object: a register each, and the search for an order.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bursar_domain::{ObjectRef, Sealed};

use super::{
    History,
    journal::{leaves_a_tombstone, naming},
    operation::{Change, Demand, NOT_FOUND, Operation, Read, Write, WriteEnd},
    search::{self, Access, Action, Limits, Value, Verdict},
    violation::Violation,
};
use crate::shrink;

/// What a register holds while its object does not exist.
const ABSENT: Value = 0;
/// How often a contradiction is looked at to make it small.
const REDUCTIONS_MAX: usize = 2_000;

/// What the searches came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Searched {
    /// How many objects have an order.
    pub linearizable: usize,
    /// The objects of which nobody knows: to be told, and never to be taken for sound.
    pub unsettled: Vec<Unsettled>,
    /// The objects that have no order.
    pub violations: Vec<Violation>,
}

/// An object whose search reached its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("UNKNOWN: whether the {operations} operations on {object} have an order was not found out in {steps} steps")]
pub struct Unsettled {
    /// Which.
    pub object: ObjectRef,
    /// How many operations there are.
    pub operations: usize,
    /// How many steps were taken.
    pub steps: u64,
}

/// Searches the name of each object.
pub(super) fn search(history: &History, journal: &[Sealed], limits: Limits) -> Searched {
    let mut searched = Searched::default();
    for (object, register) in Registers::of(history, journal).registers {
        let found = search::search(&register.accesses(), ABSENT, limits);
        match found.verdict {
            Verdict::Linearizable => searched.linearizable += 1,
            Verdict::Contradiction => {
                let operations = register.core_of_the_contradiction(limits);
                searched.violations.push(Violation::NotLinearizable { object, operations });
            }
            Verdict::Unknown => {
                let operations = register.accesses.len();
                searched.unsettled.push(Unsettled { object, operations, steps: found.steps });
            }
        }
    }
    searched
}

/// What was done to the name of one object, and by whom.
#[derive(Default)]
struct Register<'h> {
    accesses: Vec<(Access, Source<'h>)>,
}

#[derive(Clone, Copy)]
enum Source<'h> {
    Write(&'h Write),
    Read(&'h Read),
    /// A change that no client of the history asked for.
    Elsewhere,
}

#[derive(Default)]
struct Registers<'h> {
    registers: BTreeMap<ObjectRef, Register<'h>>,
    numbers: HashMap<&'h str, Value>,
}

impl<'h> Registers<'h> {
    fn of(history: &'h History, journal: &'h [Sealed]) -> Self {
        let mut registers = Self::default();
        for read in history.reads.iter().filter(|read| read.demand == Demand::Linearizable) {
            let name = match &read.seen {
                None => None,
                Some(seen) if seen.name.is_some() => seen.name.as_deref(),
                // Objects of this kind have no name.
                Some(_) => continue,
            };
            let value = registers.value(name);
            let access = Access { called: read.called.0, answered: Some(read.at.0), action: Action::Read(value) };
            registers.add(read.object, access, Source::Read(read));
        }
        // Whoever made an object without hearing of it does not know which one it is; who saw its name does.
        let bearers: HashMap<&str, ObjectRef> =
            history.reads.iter().filter_map(|read| Some((read.seen.as_ref()?.name.as_deref()?, read.object))).collect();
        for write in &history.writes {
            let answered = match &write.end {
                WriteEnd::Done(answer) => Some(answer.at.0),
                WriteEnd::Refused { at, code, .. } => {
                    // Whoever is told that there is no such object has looked.
                    if let (NOT_FOUND, Change::Rename { object, .. } | Change::Remove { object }) = (code.as_str(), &write.change)
                        && !leaves_a_tombstone(*object)
                    {
                        let access = Access { called: write.called.0, answered: Some(at.0), action: Action::Read(ABSENT) };
                        registers.add(*object, access, Source::Write(write));
                    }
                    continue;
                }
                WriteEnd::Unknown => None,
            };
            let (object, name) = match &write.change {
                Change::Make { name } => (made(write).or_else(|| bearers.get(name.as_str()).copied()), Some(name.as_str())),
                Change::Rename { object, name } => (Some(*object), Some(name.as_str())),
                Change::Remove { object } if !leaves_a_tombstone(*object) => (Some(*object), None),
                Change::Remove { .. } | Change::Other(_) => continue,
            };
            let Some(object) = object else { continue };
            let action = Action::Write(registers.value(name));
            registers.add(object, Access { called: write.called.0, answered, action }, Source::Write(write));
        }
        registers.add_from_elsewhere(history, journal);
        registers
    }

    /// What duties and people outside the history did, at times that nobody noted.
    fn add_from_elsewhere(&mut self, history: &History, journal: &'h [Sealed]) {
        let ours: BTreeSet<_> = history.writes.iter().map(|write| (write.actor, &write.request)).collect();
        for record in journal.iter().map(|sealed| &sealed.record) {
            let Some((object, name)) = naming(&record.event) else { continue };
            if self.registers.contains_key(&object) && !ours.contains(&(record.actor, &record.request)) {
                let action = Action::Write(self.value(name.map(|name| name.as_str())));
                self.add(object, Access { called: 0, answered: None, action }, Source::Elsewhere);
            }
        }
    }

    fn add(&mut self, object: ObjectRef, access: Access, source: Source<'h>) {
        self.registers.entry(object).or_default().accesses.push((access, source));
    }

    /// The number that stands for a name.
    fn value(&mut self, name: Option<&'h str>) -> Value {
        let Some(name) = name else { return ABSENT };
        let fresh = Value::try_from(self.numbers.len() + 1).expect("fewer than four billion names");
        *self.numbers.entry(name).or_insert(fresh)
    }
}

/// What a write made, where its client was told; of long work it heard of the operation alone.
fn made(write: &Write) -> Option<ObjectRef> {
    match &write.end {
        WriteEnd::Done(answer) => Some(answer.object).filter(|object| !matches!(object, ObjectRef::Operation(_))),
        WriteEnd::Refused { .. } | WriteEnd::Unknown => None,
    }
}

impl Register<'_> {
    fn accesses(&self) -> Vec<Access> {
        self.accesses.iter().map(|(access, _)| *access).collect()
    }

    /// The fewest operations that have no order among themselves. A write can only be left out where nobody is left who read
    /// what it wrote: then the others have an order if they had one with it.
    fn core_of_the_contradiction(&self, limits: Limits) -> Vec<Operation> {
        let all: Vec<usize> = (0..self.accesses.len()).collect();
        let writes_of = |value, chosen: &[usize]| {
            chosen.iter().filter(|index| self.accesses[**index].0.action == Action::Write(value)).count()
        };
        let oracle = |chosen: &[usize]| {
            let accesses: Vec<_> = chosen.iter().map(|index| self.accesses[*index].0).collect();
            let explained = accesses.iter().all(|access| match access.action {
                Action::Read(value) => writes_of(value, chosen) == writes_of(value, &all),
                Action::Write(_) => true,
            });
            match search::search(&accesses, ABSENT, limits).verdict {
                _ if !explained => shrink::Verdict::Unresolved,
                Verdict::Contradiction => shrink::Verdict::Fails,
                Verdict::Linearizable => shrink::Verdict::Passes,
                Verdict::Unknown => shrink::Verdict::Unresolved,
            }
        };
        let mut core = shrink::fewest(&all, REDUCTIONS_MAX, oracle).map_or(all, |shrunk| shrunk.smallest);
        core.sort_by_key(|index| self.accesses[*index].0.called);
        let operations = core.into_iter().filter_map(|index| match self.accesses[index].1 {
            Source::Write(write) => Some(write.into()),
            Source::Read(read) => Some(read.into()),
            Source::Elsewhere => None,
        });
        operations.collect()
    }
}
