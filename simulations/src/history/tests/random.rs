//! Histories of all sorts: right ones pass, and what is done to them is found.

use std::time::Instant;

use bursar_domain::{Command, Proposal, Revision, Sealed, SiteId, State, decide, seal, site};
use bursar_domain_testing::Dice;

use super::{
    super::{Answer, Change, Client, Demand, History, Limits, Moment, Read, Violation, Write, WriteEnd, journal::look},
    authority::{Authority, key},
    model::Model,
};

const SEEDS: u64 = 40;
const STEPS: usize = 600;

fn models() -> impl Iterator<Item = Model> {
    (0..SEEDS).map(|seed| Model::play(seed, STEPS))
}

fn answer(write: &Write) -> Option<&Answer> {
    if let WriteEnd::Done(answer) = &write.end { Some(answer) } else { None }
}

#[test]
fn right_histories_pass() {
    let (mut objects, mut unheard) = (0, 0);
    for model in models() {
        assert_eq!(model.history.violations(model.journal()), []);
        let searched = model.history.search(model.journal(), Limits::default());
        assert_eq!((searched.violations, searched.unsettled), (vec![], vec![]));
        objects += searched.linearizable;
        unheard += model.history.writes.iter().filter(|write| write.end == WriteEnd::Unknown).count();
    }
    assert!(objects > 200, "{objects} objects");
    assert!(unheard > 200, "{unheard} writes without an outcome");
}

/// A linearizable read that shows a name of its object although another one had been given since, and acknowledged.
fn made_stale(model: &Model) -> Option<(History, Read)> {
    let place = |write: &Write| {
        let mut records = model.journal().iter().map(|sealed| &sealed.record);
        records.find(|record| record.request == write.request).map(|record| record.revision)
    };
    model.history.reads.iter().enumerate().filter(|(_, read)| read.demand == Demand::Linearizable).find_map(|(index, read)| {
        let renames = || {
            let done = model.history.writes.iter().filter_map(|write| Some((write, answer(write)?.at)));
            done.filter(|(write, _)| matches!(write.change, Change::Rename { object, .. } if object == read.object))
        };
        let mut newer = renames().filter(|(_, at)| *at < read.called);
        let (older, _) = newer.find_map(|(newer, _)| renames().find(|(_, at)| *at < newer.called))?;
        let state = state_at(model, place(older)?);
        let stale = Read { shown: state.revision(), seen: look(state, read.object), ..read.clone() };
        let mut history = model.history.clone();
        history.reads[index] = stale.clone();
        Some((history, stale))
    })
}

#[test]
fn a_stale_read_is_found_by_both() {
    let mut made = 0;
    for (model, (history, stale)) in models().filter_map(|model| made_stale(&model).map(|stale| (model, stale))) {
        made += 1;
        let violations = history.violations(model.journal());
        let found = |violation: &Violation| matches!(violation, Violation::Stale { read, .. } if **read == stale);
        assert!(violations.iter().any(found), "{violations:?}");

        let searched = history.search(model.journal(), Limits::default());
        let [Violation::NotLinearizable { object, operations }] = &searched.violations[..] else {
            panic!("{searched:?}");
        };
        assert_eq!(*object, stale.object);
        assert!(operations.contains(&(&stale).into()), "{operations:?}");
        assert!(operations.len() <= 4, "{}", searched.violations[0]);
    }
    assert!(made > SEEDS / 2, "{made} stale reads");
}

/// The proposals that made up a history, with something done to them.
fn journal_of(model: &Model, change: impl FnOnce(&mut Vec<Proposal>)) -> Vec<Sealed> {
    let mut proposals = model.authority.proposals.clone();
    change(&mut proposals);
    Authority::of(proposals).ledger.journal
}

fn place_of(proposals: &[Proposal], write: &Write) -> usize {
    let asked = |proposal: &Proposal| proposal.submission.request == write.request;
    proposals.iter().position(asked).expect("what was done was proposed")
}

#[test]
fn a_lost_write_is_found() {
    for model in models() {
        let mut done = model.history.writes.iter().filter(|write| answer(write).is_some());
        let write = done.find(|write| matches!(write.change, Change::Make { .. })).expect("something was made");
        let journal = journal_of(&model, |proposals| {
            proposals.remove(place_of(proposals, write));
        });
        let lost = Violation::Lost { write: Box::new(write.clone()) };
        assert!(model.history.violations(&journal).contains(&lost));
    }
}

#[test]
fn a_doubled_write_is_found_whether_its_outcome_is_known_or_not() {
    for model in models() {
        for known in [true, false] {
            let made = |write: &&Write| matches!(write.change, Change::Make { .. }) && answer(write).is_some() == known;
            let carried_out = |write: &&Write| model.journal().iter().any(|sealed| sealed.record.request == write.request);
            let Some(write) = model.history.writes.iter().filter(made).find(carried_out) else { continue };
            let mut journal = model.journal().to_vec();
            let first = journal.iter().find(|sealed| sealed.record.request == write.request).expect("carried out");
            let first = first.record.revision;
            let again = carried_out_again(model.states.last().expect("a state"), &model, write);
            journal.extend(again.clone());
            let doubled =
                Violation::Doubled { actor: write.actor, request: write.request.clone(), first, again: again[0].record.revision };
            assert_eq!(model.history.violations(&journal), [doubled]);
        }
    }
}

/// The records of an authority that has forgotten a request.
fn carried_out_again(state: &State, model: &Model, write: &Write) -> Vec<Sealed> {
    let mut proposal = model.authority.proposals[place_of(&model.authority.proposals, write)].clone();
    let site = site::Command::Create { name: "once more".into(), expected_latency_ms: 1 };
    proposal.submission.command = Command::Site(site);
    let mut unknown = proposal.clone();
    unknown.submission.request = key("another");
    seal(state, &proposal, &decide(state, &unknown))
}

#[test]
fn writes_that_changed_places_are_found() {
    let mut swapped = 0;
    for model in models() {
        let made = |write: &&Write| matches!(write.change, Change::Make { .. });
        let done = || model.history.writes.iter().filter(made).filter_map(|write| Some((write, answer(write)?.at)));
        let pair = done().find_map(|(first, at)| {
            let (second, _) = done().find(|(second, _)| second.called > at)?;
            Some((first, second))
        });
        let Some((first, second)) = pair else { continue };
        swapped += 1;
        let journal = journal_of(&model, |proposals| {
            let (one, other) = (place_of(proposals, first), place_of(proposals, second));
            proposals.swap(one, other);
        });
        let found = |violation: &Violation| matches!(violation, Violation::OutOfOrder { write, .. } if **write == *second);
        let violations = model.history.violations(&journal);
        assert!(violations.iter().any(found), "{violations:?}");
    }
    assert!(swapped > SEEDS / 2, "{swapped} pairs");
}

#[test]
fn a_name_that_was_not_there_at_that_revision_is_found() {
    for model in models() {
        for demand in [true, false] {
            let mut history = model.history.clone();
            let wanted = |read: &&mut Read| (read.demand == Demand::Linearizable) == demand && read.seen.is_some();
            let Some(read) = history.reads.iter_mut().find(wanted) else { continue };
            read.seen.as_mut().expect("it was seen").name = Some("made up".into());
            let expected = look(state_at(&model, read.shown), read.object);
            let wrong = Violation::Wrong { operation: (&*read).into(), expected };
            assert_eq!(history.violations(model.journal()), [wrong]);
        }
    }
}

fn state_at(model: &Model, revision: Revision) -> &State {
    model.states.iter().find(|state| state.revision() == revision).expect("a state that was shown")
}

/// A million reads, of what is new and of what was, beside a journal of thousands of records.
#[test]
fn a_great_history_is_judged_in_little_time() {
    const READS: u64 = 1_000_000;
    const IN_FLIGHT: u64 = 50;
    let model = Model::play(1, 60_000);
    let mut history = model.history.clone();
    let (mut dice, behind) = (Dice::new(1), u64::MAX / 2);
    let latest = model.states.last().expect("a state");
    let reads = (behind..behind + READS).map(|moment| {
        let (state, demand) = if dice.chance(50) {
            (latest, Demand::Linearizable)
        } else {
            let index = dice.below(model.states.len() as u64);
            (&model.states[usize::try_from(index).expect("an index fits")], Demand::Stale { min_revision: None })
        };
        let object = SiteId(dice.below(latest.next().site)).into();
        let (called, at) = (Moment(moment), Moment(moment + IN_FLIGHT));
        let (shown, seen) = (state.revision(), look(state, object));
        Read { client: Client(moment % IN_FLIGHT), called, object, demand, at, shown, seen }
    });
    history.reads.extend(reads);
    let begun = Instant::now();
    assert_eq!(history.violations(model.journal()), []);
    let operations = history.writes.len() + history.reads.len();
    println!("{operations} operations beside {} records: {:?}", model.journal().len(), begun.elapsed());
}
