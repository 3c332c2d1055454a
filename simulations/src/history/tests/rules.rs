//! One history written by hand, and each way in which it can be wrong.

use bursar_domain::{Command, Effect, Hash, ObjectRef, Revision, Sealed, SiteId, decide, requests, seal, site};

use super::{
    super::{
        Answer, Change, Client, Demand, History, Limits, Moment, Operation, Read, Seen, Unsettled, Violation, Write, WriteEnd,
    },
    authority::{ADMINISTRATOR, Authority, FOUNDED, key, of_sites},
};

const ALPHA: ObjectRef = ObjectRef::Site(SiteId(1));
const GAMMA: ObjectRef = ObjectRef::Site(SiteId(2));

/// The revision of the nth change behind the founding.
const fn nth(number: u64) -> Revision {
    Revision(FOUNDED + number)
}

/// Five requests: `a` makes a site, `b` renames it, `c` makes another one, `d` renames that and is never heard of, `e` removes
/// the first.
fn authority() -> Authority {
    let mut authority = Authority::founded();
    let name = |site, name: &str| site::Command::Edit { site: SiteId(site), name: Some(name.into()), expected_latency_ms: None };
    let make = |name: &str| site::Command::Create { name: name.into(), expected_latency_ms: 2 };
    for (request, command) in [
        ("a", make("alpha")),
        ("b", name(1, "beta")),
        ("c", make("gamma")),
        ("d", name(2, "delta")),
        ("e", site::Command::Remove { site: SiteId(1) }),
    ] {
        assert!(authority.ask(of_sites(request, command)).outcome.is_ok());
    }
    authority
}

fn journal() -> Vec<Sealed> {
    authority().ledger.journal
}

fn seen(name: &str, version: Revision) -> Option<Seen> {
    Some(Seen { version, name: Some(name.into()) })
}

fn wrote(request: &str, called: u64, change: Change, end: WriteEnd) -> Write {
    Write { client: Client(1), called: Moment(called), actor: ADMINISTRATOR, request: key(request), change, end }
}

fn done(at: u64, effect: Effect, object: ObjectRef, shown: Revision, seen: Option<Seen>) -> WriteEnd {
    WriteEnd::Done(Answer { at: Moment(at), effect, object, shown, seen })
}

fn make(name: &str) -> Change {
    Change::Make { name: name.into() }
}

fn rename(object: ObjectRef, name: &str) -> Change {
    Change::Rename { object, name: name.into() }
}

fn read(object: ObjectRef, (called, at): (u64, u64), shown: Revision, seen: Option<Seen>) -> Read {
    let demand = Demand::Linearizable;
    Read { client: Client(2), called: Moment(called), object, demand, at: Moment(at), shown, seen }
}

fn sound() -> History {
    let refused = WriteEnd::Refused { at: Moment(95), code: "not_found".into(), shown: Some(nth(5)) };
    let same = || Change::Other("set the latency of site 2".into());
    History {
        writes: vec![
            wrote("a", 10, make("alpha"), done(20, Effect::Created, ALPHA, nth(1), seen("alpha", nth(1)))),
            wrote("b", 30, rename(ALPHA, "beta"), done(60, Effect::Changed, ALPHA, nth(3), seen("beta", nth(2)))),
            // Under way at the same time as b, and behind it.
            wrote("c", 40, make("gamma"), done(50, Effect::Created, GAMMA, nth(3), None)),
            wrote("d", 70, rename(GAMMA, "delta"), WriteEnd::Unknown),
            wrote("e", 75, Change::Remove { object: ALPHA }, done(80, Effect::Removed, ALPHA, nth(5), None)),
            wrote("f", 90, rename(ALPHA, "zeta"), refused),
            // Never arrived.
            wrote("g", 90, rename(GAMMA, "eta"), WriteEnd::Unknown),
            // It was so already.
            wrote("h", 91, same(), done(92, Effect::Unchanged, GAMMA, nth(5), seen("delta", nth(4)))),
        ],
        reads: vec![
            read(ALPHA, (5, 8), nth(0), None),
            read(ALPHA, (21, 35), nth(1), seen("alpha", nth(1))),
            // Asked before b was acknowledged: both names are right.
            read(ALPHA, (45, 65), nth(2), seen("beta", nth(2))),
            read(GAMMA, (66, 72), nth(3), seen("gamma", nth(3))),
            read(GAMMA, (81, 85), nth(5), seen("delta", nth(4))),
            read(ALPHA, (81, 85), nth(5), None),
            Read { demand: Demand::Stale { min_revision: None }, ..read(ALPHA, (86, 87), nth(1), seen("alpha", nth(1))) },
            Read { demand: Demand::Stale { min_revision: Some(nth(3)) }, ..read(GAMMA, (86, 87), nth(3), seen("gamma", nth(3))) },
        ],
    }
}

/// What the witness says of the sound history with one thing wrong.
fn found(plant: impl FnOnce(&mut History, &mut Vec<Sealed>)) -> Vec<Violation> {
    let (mut history, mut journal) = (sound(), journal());
    plant(&mut history, &mut journal);
    history.violations(&journal)
}

fn told(history: &mut History, write: usize) -> &mut Answer {
    match &mut history.writes[write].end {
        WriteEnd::Done(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn the_write(history: &History, write: usize) -> Box<Write> {
    Box::new(history.writes[write].clone())
}

#[test]
fn a_sound_history_is_taken_by_both() {
    assert_eq!(found(|_, _| {}), []);
    let searched = sound().search(&journal(), Limits::default());
    assert_eq!((searched.linearizable, searched.violations, searched.unsettled), (2, vec![], vec![]));
}

#[test]
fn a_broken_journal_is_told_and_nothing_is_held_against_it() {
    let gap = found(|_, journal| drop(journal.remove(6)));
    assert_eq!(gap, [Violation::JournalBroken { entry: 7, found: nth(4) }]);
    let unchained = found(|_, journal| journal[6].record.previous = Hash::ZERO);
    assert_eq!(unchained, [Violation::JournalBroken { entry: 7, found: nth(3) }]);
    let split = found(|_, journal| journal[6].record.decision.first = nth(2));
    assert_eq!(split, [Violation::JournalBroken { entry: 7, found: nth(3) }]);
    // The founding is two records.
    let cut_off = found(|history, journal| {
        *history = History::default();
        journal.truncate(1);
    });
    assert_eq!(cut_off, [Violation::JournalBroken { entry: 1, found: Revision(1) }]);
}

#[test]
fn a_lost_write_is_noticed() {
    let lost = wrote("z", 96, rename(GAMMA, "iota"), done(97, Effect::Changed, GAMMA, nth(5), None));
    let violations = found(|history, _| history.writes.push(lost.clone()));
    assert_eq!(violations, [Violation::Lost { write: Box::new(lost) }]);
}

/// A ledger that has forgotten its requests carries one out again.
fn carried_out_again(authority: &Authority, request: usize, later_ms: u64) -> Vec<Sealed> {
    let mut proposal = authority.proposals[request].clone();
    proposal.time = proposal.time.plus_ms(later_ms);
    let mut forgotten = proposal.clone();
    forgotten.submission.request = key("forgotten");
    forgotten.submission.command = Command::Site(site::Command::Create { name: "again".into(), expected_latency_ms: 1 });
    let state = &authority.ledger.state;
    seal(state, &proposal, &decide(state, &forgotten))
}

#[test]
fn a_doubled_request_is_noticed_while_it_was_to_be_remembered() {
    const HOUR_MS: u64 = 3_600_000;
    let authority = authority();
    // a was acknowledged, d was not: the third and the sixth proposal.
    for (request, place, first) in [("a", 2, nth(1)), ("d", 5, nth(4))] {
        let violations = found(|_, journal| journal.extend(carried_out_again(&authority, place, 1_000)));
        let doubled = Violation::Doubled { actor: ADMINISTRATOR, request: key(request), first, again: nth(6) };
        assert_eq!(violations, [doubled]);
        assert_eq!(found(|_, journal| journal.extend(carried_out_again(&authority, place, HOUR_MS))), []);
    }
}

#[test]
fn a_request_may_come_again_once_ten_thousand_others_pushed_it_out() {
    let mut authority = authority();
    let last = authority.proposals.len() - 1;
    for number in 1..=requests::GIVEN.per_actor {
        let latency = u32::try_from(number).expect("it fits");
        let edit = site::Command::Edit { site: SiteId(2), name: None, expected_latency_ms: Some(latency + 2) };
        assert!(!authority.ask(of_sites(&format!("edit-{number}"), edit)).repeated);
        if number + 1 < requests::GIVEN.per_actor {
            continue;
        }
        let remembered = decide(&authority.ledger.state, &authority.proposals[last]).repeated;
        assert_eq!(remembered, number < requests::GIVEN.per_actor);
        let mut journal = authority.ledger.journal.clone();
        journal.extend(carried_out_again(&authority, last, 0));
        assert_eq!(sound().violations(&journal).len(), usize::from(remembered), "behind {number} others");
    }
}

#[test]
fn an_answer_unlike_the_journals_is_noticed() {
    for change in [|answer: &mut Answer| answer.object = GAMMA, |answer: &mut Answer| answer.effect = Effect::Removed] {
        let mut history = sound();
        told(&mut history, 1).seen = None;
        change(told(&mut history, 1));
        let write = the_write(&history, 1);
        let otherwise = Violation::ToldOtherwise { write, revision: nth(2), recorded: "changed site 1".into() };
        assert_eq!(history.violations(&journal()), [otherwise]);
    }
}

#[test]
fn a_refusal_of_what_was_done_is_noticed() {
    let mut history = sound();
    history.writes[3].end = WriteEnd::Refused { at: Moment(78), code: "not_found".into(), shown: None };
    let done = Violation::RefusedButDone { write: the_write(&history, 3), revision: nth(4) };
    assert_eq!(history.violations(&journal()), [done]);
}

#[test]
fn an_answer_that_lacks_its_own_write_is_noticed() {
    let mut history = sound();
    told(&mut history, 2).shown = nth(2);
    let hidden = Violation::AnswerWithoutItsWrite { write: the_write(&history, 2), revision: nth(3) };
    assert_eq!(history.violations(&journal()), [hidden]);
}

#[test]
fn a_write_of_something_else_is_noticed_heard_of_or_not() {
    for (write, revision, found) in [(0, nth(1), "alpha"), (1, nth(2), "beta"), (3, nth(4), "delta")] {
        let mut history = sound();
        match &mut history.writes[write].change {
            Change::Make { name } | Change::Rename { name, .. } => *name = "something else".into(),
            other => panic!("{other}"),
        }
        let altered = Violation::Altered { write: the_write(&history, write), revision, found: seen(found, revision) };
        assert_eq!(history.violations(&journal()), [altered]);
    }
    let mut history = sound();
    let Change::Remove { object } = &mut history.writes[4].change else { panic!("e removes") };
    *object = GAMMA;
    let altered = Violation::Altered { write: the_write(&history, 4), revision: nth(5), found: seen("delta", nth(4)) };
    assert_eq!(history.violations(&journal()), [altered]);
}

#[test]
fn a_write_before_what_had_been_shown_is_noticed() {
    // A read that ended before c was sent shows what stands behind c.
    let early = read(GAMMA, (36, 39), nth(3), seen("gamma", nth(3)));
    let mut history = sound();
    history.reads = vec![early.clone()];
    let write = the_write(&history, 2);
    let disordered = Violation::OutOfOrder { write, revision: nth(3), before: (&early).into() };
    assert_eq!(history.violations(&journal()), [disordered]);
    // A stale read cannot show what is not there yet, either; nor can a write go before its time because nobody heard of it.
    let early = Read { demand: Demand::Stale { min_revision: None }, ..read(GAMMA, (67, 69), nth(4), seen("delta", nth(4))) };
    history.reads = vec![early.clone()];
    let write = the_write(&history, 3);
    let disordered = Violation::OutOfOrder { write, revision: nth(4), before: (&early).into() };
    assert_eq!(history.violations(&journal()), [disordered]);
}

#[test]
fn a_stale_read_is_noticed() {
    let stale = read(ALPHA, (66, 67), nth(2), seen("beta", nth(2)));
    let history = |read: &Read| {
        let mut history = sound();
        history.reads.push(read.clone());
        history
    };
    let before = Operation::from(&sound().writes[1]);
    let violation = Violation::Stale { read: Box::new(stale.clone()), before };
    assert_eq!(history(&stale).violations(&journal()), [violation]);
    // Of the name alone it is not stale: nobody had changed it.
    assert_eq!(history(&stale).search(&journal(), Limits::default()).violations, []);
    // What was sent in the very moment of an answer was not sent after it.
    let in_time = Read { called: Moment(50), ..stale };
    assert_eq!(history(&in_time).violations(&journal()), []);
}

#[test]
fn a_read_older_than_another_read_is_noticed() {
    let mut history = sound();
    let older = read(GAMMA, (88, 89), nth(4), seen("delta", nth(4)));
    history.reads.push(older.clone());
    let violations = history.violations(&journal());
    assert!(matches!(&violations[..], [Violation::Stale { read, .. }] if **read == older), "{violations:?}");
}

#[test]
fn a_read_older_than_its_client_asked_for_is_noticed() {
    let mut history = sound();
    history.reads[7].demand = Demand::Stale { min_revision: Some(nth(4)) };
    let older = Violation::OlderThanAsked { read: Box::new(history.reads[7].clone()) };
    assert_eq!(history.violations(&journal()), [older]);
}

#[test]
fn a_state_that_the_journal_does_not_reach_is_noticed() {
    let mut history = sound();
    history.reads[4].shown = nth(6);
    let never = Violation::NeverReached { operation: (&history.reads[4]).into(), head: nth(5) };
    let violations = history.violations(&journal());
    assert!(violations.contains(&never), "{violations:?}");
    let mut history = sound();
    told(&mut history, 7).shown = nth(6);
    let never = Violation::NeverReached { operation: (&history.writes[7]).into(), head: nth(5) };
    assert_eq!(history.violations(&journal()), [never]);
}

#[test]
fn an_object_as_it_never_was_is_noticed() {
    // Another name, another version, there where it was not, not there where it was.
    for (at, wrong) in [(1, seen("beta", nth(1))), (1, seen("alpha", nth(2))), (5, seen("beta", nth(2))), (1, None)] {
        let mut history = sound();
        let expected = history.reads[at].seen.clone();
        history.reads[at].seen = wrong;
        let violation = Violation::Wrong { operation: (&history.reads[at]).into(), expected };
        assert_eq!(history.violations(&journal()), [violation]);
    }
    let mut history = sound();
    told(&mut history, 1).seen = seen("alpha", nth(1));
    let violation = Violation::Wrong { operation: (&history.writes[1]).into(), expected: seen("beta", nth(2)) };
    assert_eq!(history.violations(&journal()), [violation]);
}

#[test]
fn names_without_an_order_are_told_with_the_fewest_operations() {
    let mut history = sound();
    history.reads.push(read(ALPHA, (61, 62), nth(1), seen("alpha", nth(1))));
    let searched = history.search(&journal(), Limits::default());
    assert_eq!(searched.linearizable, 1);
    let text = searched.violations.iter().map(Violation::to_string).collect::<Vec<_>>().join("\n");
    let expected = "\
no order explains the names of site 1:
  client 1 at 0.000000010 s: make “alpha” (request a of token 1), done at 0.000000020 s: Created site 1, revision 5 shown, “alpha” of revision 5
  client 1 at 0.000000030 s: rename site 1 to “beta” (request b of token 1), done at 0.000000060 s: Changed site 1, revision 7 shown, “beta” of revision 6
  client 2 at 0.000000061 s: read site 1, answered at 0.000000062 s: revision 5 shown, “alpha” of revision 5";
    assert_eq!(text, expected);
}

#[test]
fn a_name_that_nobody_gave_has_no_order_unless_somebody_else_gave_it() {
    let mut history = sound();
    history.writes.retain(|write| write.request != key("d"));
    assert_eq!(history.search(&journal(), Limits::default()).violations, [], "the journal tells of it");
    let made_up = read(GAMMA, (88, 89), nth(5), seen("made up", nth(5)));
    history.reads.push(made_up.clone());
    let nobody = Violation::NotLinearizable { object: GAMMA, operations: vec![(&made_up).into()] };
    assert_eq!(history.search(&journal(), Limits::default()).violations, [nobody]);
}

#[test]
fn what_was_not_found_out_is_told_apart() {
    let few = Limits { operations_max: 5, ..Limits::default() };
    let searched = sound().search(&journal(), few);
    let unsettled = Unsettled { object: ALPHA, operations: 8, steps: 0 };
    assert_eq!((searched.unsettled, searched.violations), (vec![unsettled], vec![]));
    assert_eq!(unsettled.to_string(), "UNKNOWN: whether the 8 operations on site 1 have an order was not found out in 0 steps");
}

#[test]
fn a_violation_names_the_operations_that_take_part() {
    let mut history = sound();
    history.reads = vec![read(GAMMA, (36, 39), nth(3), seen("gamma", nth(3)))];
    let told: Vec<_> = history.violations(&journal()).iter().map(Violation::to_string).collect();
    let expected = "out of order: client 1 at 0.000000040 s: make “gamma” (request c of token 1), done at 0.000000050 s: \
                    Created site 2, revision 7 shown; it got revision 7, although before it there was client 2 at \
                    0.000000036 s: read site 2, answered at 0.000000039 s: revision 7 shown, “gamma” of revision 7";
    assert_eq!(told, [expected]);
}
