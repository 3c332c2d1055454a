//! The checker of histories, shown a sound one and every way in which one can be wrong.

#[path = "support/history.rs"]
mod history;

use bursar_wire::events::{EventLine, StreamItem};
use history::{Acknowledgement, History, Read, Received, Violation, Write};
use serde_json::json;

/// The record of a request that yielded `count` events from `first` on; this one is at `revision`.
fn record(revision: u64, request: &str, (first, count): (u64, u32), text: &str) -> EventLine {
    let line = json!({
        "cursor": format!("1-{revision}"),
        "revision": revision,
        "time": "2025-01-01T00:00:00.000Z",
        "actor": { "kind": "token", "id": 1 },
        "request": request,
        "kind": "destination.edited",
        "subject": { "kind": "destination", "id": 1 },
        "decision": { "first_revision": first, "count": count },
        "summary": "destination 1 edited",
        "data": { "description": text },
    });
    serde_json::from_value(line).expect("an event")
}

fn bookmark(revision: u64) -> StreamItem {
    serde_json::from_value(json!({ "item": "bookmark", "cursor": format!("1-{revision}") })).expect("a bookmark")
}

fn written(request: &str, mark: &str, (invoked, at): (u64, u64), revision: u64) -> Write {
    let acknowledgement = Some(Acknowledgement { at, revision, shown: revision });
    Write { request: request.into(), mark: mark.into(), invoked, acknowledgement }
}

/// Three requests, the second of which yielded two events; the fourth has no outcome, and happened.
fn journal() -> Vec<EventLine> {
    vec![
        record(1, "a", (1, 1), "one"),
        record(2, "b", (2, 2), "two"),
        record(3, "b", (2, 2), "two"),
        record(4, "c", (4, 1), "three"),
        record(5, "d", (5, 1), "four"),
    ]
}

fn sound() -> History {
    let events = journal().into_iter().map(StreamItem::Event);
    let mut items: Vec<_> = events.collect();
    items.insert(3, bookmark(3));
    items.push(bookmark(5));
    let late = items[4..].to_vec();
    History {
        writes: vec![
            written("a", "one", (10, 20), 1),
            written("b", "two", (30, 60), 2),
            // Under way at the same time as b, and behind it.
            written("c", "three", (40, 50), 4),
            Write { request: "d".into(), mark: "four".into(), invoked: 70, acknowledgement: None },
            Write { request: "e".into(), mark: "five".into(), invoked: 80, acknowledgement: None },
        ],
        reads: vec![
            Read { invoked: 21, answered: 31, shown: 1 },
            // Asked before c was acknowledged: both states are right.
            Read { invoked: 45, answered: 65, shown: 3 },
            Read { invoked: 66, answered: 90, shown: 4 },
        ],
        streams: vec![
            Received { reader: "from the start".into(), since: 0, items },
            Received { reader: "from the middle".into(), since: 3, items: late },
        ],
        journals: [(1, journal()), (2, journal()), (3, journal())].into(),
    }
}

/// What the checker says of the sound history with one thing wrong.
fn found(plant: impl FnOnce(&mut History)) -> Vec<Violation> {
    let mut history = sound();
    plant(&mut history);
    history.violations()
}

/// The same record in every journal, and in nobody's stream.
fn in_every_journal(history: &mut History, change: impl Fn(&mut Vec<EventLine>)) {
    history.streams.clear();
    history.journals.values_mut().for_each(change);
}

fn only(request: &str) -> String {
    request.to_owned()
}

#[test]
fn a_sound_history_is_taken() {
    assert_eq!(sound().violations(), []);
    sound().assert_sound();
}

#[test]
#[should_panic(expected = "a, acknowledged at revision 2, stands at 1")]
fn a_history_that_is_not_sound_is_told() {
    let mut history = sound();
    history.writes[0].acknowledgement = Some(Acknowledgement { at: 20, revision: 2, shown: 2 });
    history.assert_sound();
}

#[test]
fn a_lost_write_is_noticed() {
    let lost = found(|history| history.writes.push(written("f", "six", (91, 92), 6)));
    assert_eq!(lost, [Violation::Lost { request: only("f"), told: 6 }]);
}

#[test]
fn a_doubled_write_is_noticed_acknowledged_or_not() {
    for request in ["c", "d"] {
        let again = |journal: &mut Vec<EventLine>| journal.push(record(6, request, (6, 1), "three four"));
        let doubled = found(|history| in_every_journal(history, again));
        let first = if request == "c" { 4 } else { 5 };
        assert_eq!(doubled, [Violation::Doubled { request: only(request), revisions: vec![first, 6] }]);
    }
}

#[test]
fn a_write_at_another_revision_is_noticed() {
    let misplaced = found(|history| {
        history.writes[2].acknowledgement = Some(Acknowledgement { at: 50, revision: 3, shown: 4 });
    });
    assert_eq!(misplaced, [Violation::Misplaced { request: only("c"), told: 3, found: 4 }]);
}

#[test]
fn a_write_of_something_else_is_noticed() {
    let altered = found(|history| history.writes[3].mark = "eleven".into());
    assert_eq!(altered, [Violation::Altered { request: only("d"), revision: 5 }]);
}

#[test]
fn a_journal_with_a_gap_is_noticed() {
    let broken = found(|history| {
        history.journals.get_mut(&2).expect("node 2").remove(3);
    });
    let expected =
        [Violation::JournalBroken { node: 2, expected: 4, found: 5 }, Violation::JournalsDiffer { nodes: [1, 2], revision: 4 }];
    assert_eq!(broken, expected);
}

#[test]
fn journals_that_differ_are_noticed() {
    let differ = found(|history| history.journals.get_mut(&3).expect("node 3")[3].time = "2025-01-01T00:00:00.001Z".into());
    assert_eq!(differ, [Violation::JournalsDiffer { nodes: [1, 3], revision: 4 }]);
    let short = found(|history| {
        history.journals.get_mut(&3).expect("node 3").pop();
    });
    assert_eq!(short, [Violation::JournalsDiffer { nodes: [1, 3], revision: 5 }]);
}

#[test]
fn a_split_decision_is_noticed() {
    let split = found(|history| in_every_journal(history, |journal| journal[2] = record(3, "b", (3, 1), "two")));
    assert!(split.contains(&Violation::DecisionSplit { node: 1, revision: 3 }), "{split:?}");
    let cut_off = found(|history| {
        history.streams.clear();
        history.writes.truncate(1);
        history.reads.truncate(1);
        history.journals.values_mut().for_each(|journal| journal.truncate(2));
    });
    assert_eq!(cut_off, (1..=3).map(|node| Violation::DecisionSplit { node, revision: 2 }).collect::<Vec<_>>());
}

#[test]
fn a_write_before_what_was_shown_is_noticed() {
    // A read that ended before c began shows what comes behind c.
    let disordered = found(|history| history.reads = vec![Read { invoked: 35, answered: 39, shown: 4 }]);
    assert_eq!(disordered, [Violation::OutOfOrder { request: only("c"), revision: 4, shown_before: 4 }]);
}

#[test]
fn a_stale_read_is_noticed() {
    let stale = found(|history| history.reads.push(Read { invoked: 61, answered: 62, shown: 3 }));
    assert_eq!(stale, [Violation::Stale { invoked: 61, shown: 3, shown_before: 4 }]);
    // A read that was sent in the very moment of an acknowledgement was not sent after it.
    assert_eq!(found(|history| history.reads.push(Read { invoked: 50, answered: 62, shown: 1 })), []);
}

#[test]
fn a_read_older_than_another_read_is_noticed() {
    let backwards = found(|history| history.reads.push(Read { invoked: 91, answered: 92, shown: 3 }));
    assert_eq!(backwards, [Violation::Stale { invoked: 91, shown: 3, shown_before: 4 }]);
}

#[test]
fn an_answer_that_lacks_its_own_write_is_noticed() {
    let hidden = found(|history| {
        history.writes[2].acknowledgement = Some(Acknowledgement { at: 50, revision: 4, shown: 3 });
    });
    assert_eq!(hidden, [Violation::AnswerWithoutItsWrite { request: only("c"), revision: 4, shown: 3 }]);
}

#[test]
fn a_gap_in_a_stream_is_noticed() {
    let reader = || only("from the start");
    let gap = found(|history| {
        history.streams[0].items.remove(1);
    });
    assert_eq!(gap, [Violation::Gap { reader: reader(), expected: 2, found: 3 }]);
    let never_sent = found(|history| history.streams[1].since = 2);
    assert_eq!(never_sent, [Violation::Gap { reader: only("from the middle"), expected: 3, found: 4 }]);
}

#[test]
fn a_repetition_in_a_stream_is_noticed() {
    let repeated = found(|history| {
        let again = history.streams[0].items[2].clone();
        history.streams[0].items.insert(3, again);
    });
    assert_eq!(repeated, [Violation::Repeated { reader: only("from the start"), expected: 4, found: 3 }]);
}

#[test]
fn a_stream_in_another_order_is_noticed() {
    let reader = || only("from the start");
    let reordered = found(|history| history.streams[0].items.swap(1, 2));
    assert!(reordered.contains(&Violation::Gap { reader: reader(), expected: 2, found: 3 }), "{reordered:?}");
    assert!(reordered.contains(&Violation::Repeated { reader: reader(), expected: 4, found: 2 }), "{reordered:?}");
}

#[test]
fn another_event_than_the_journals_is_noticed() {
    let differs = found(|history| history.streams[1].items[0] = StreamItem::Event(record(4, "c", (4, 1), "other")));
    assert_eq!(differs, [Violation::StreamDiffers { reader: only("from the middle"), revision: 4 }]);
}

#[test]
fn a_wrong_bookmark_is_noticed() {
    let reader = || only("from the start");
    let astray = found(|history| history.streams[0].items[3] = bookmark(4));
    assert_eq!(astray, [Violation::BookmarkAstray { reader: reader(), at: 3, named: 4 }]);
    let within = found(|history| history.streams[0].items.insert(2, bookmark(2)));
    assert_eq!(within, [Violation::BookmarkInDecision { reader: reader(), at: 2 }]);
}

#[test]
fn a_stream_that_ends_early_is_noticed() {
    let short = found(|history| history.streams[1].items.truncate(1));
    assert_eq!(short, [Violation::EndMissing { reader: only("from the middle"), at: 4, head: 5 }]);
    let gone = json!({ "item": "gone", "floor": "1-5", "hint": "" });
    let gone: StreamItem = serde_json::from_value(gone).expect("the end of a stream");
    let ended = found(|history| history.streams[0].items.push(gone));
    assert_eq!(ended, [Violation::StreamEnded { reader: only("from the start"), at: 5 }]);
}
