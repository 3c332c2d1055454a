//! What the event stream says and what people copy, held to lines that were written down once.
//!
//! `corpus/stream.txt` has a line for each kind of event, each actor and each item of the stream, `corpus/invitation.txt` is an
//! invitation. Nothing writes the files: a line is added with a new variant, and never changed.

use std::{collections::BTreeMap, fs, path::Path};

use bursar_domain::{
    Actor, Audience, AuthorityNodeId, DecisionSpan, Duty, Event, Hash, Record, RequestId, Revision, ServerId, State, Timestamp,
    TokenId, encoding::decode,
};
use bursar_wire::{
    Fate, Problem,
    events::{Bookmark, EventLine, Gone, StreamItem},
    invitation::Invitation,
    objects::ObjectRef,
    problem::{Blocker, FieldError},
};

const STREAM: &str = include_str!("corpus/stream.txt");
const INVITATION: &str = include_str!("corpus/invitation.txt");

/// The events of the domain's own corpus, which has every kind of them.
fn events() -> Vec<Event> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../domain/tests/corpus/event");
    let files = fs::read_dir(folder).expect("the domain's corpus").map(|entry| entry.expect("an entry").path());
    let event = |path| decode::<Record>(&fs::read(path).expect("a file of the corpus")).expect("a record").event;
    let mut events: Vec<Event> = files.map(event).collect();
    events.sort_by_key(Event::kind);
    events
}

fn line(actor: Actor, event: Event) -> StreamItem {
    let record = Record {
        revision: Revision(12),
        decision: DecisionSpan { first: Revision(11), count: 2 },
        time: Timestamp(1_700_000_000_123),
        actor,
        request: RequestId::parse("request-1").expect("visible ASCII"),
        audience: Audience::Administrators,
        previous: Hash::ZERO,
        event,
        closing: None,
    };
    // The words for people are no format: they may become better.
    let line = EventLine::of(&State::default(), &record);
    StreamItem::Event(EventLine { summary: "what happened".into(), ..line })
}

/// Every actor: one that is missing does not compile.
fn actors() -> [(&'static str, Actor); 6] {
    let _: fn(Actor) = |actor| match actor {
        Actor::Founder | Actor::Token(_) | Actor::Joiner | Actor::AuthorityNode(_) | Actor::Server(_) | Actor::Duty(_) => {}
    };
    [
        ("founder", Actor::Founder),
        ("token", Actor::Token(TokenId(3))),
        ("joiner", Actor::Joiner),
        ("authority_node", Actor::AuthorityNode(AuthorityNodeId(2))),
        ("server", Actor::Server(ServerId(5))),
        ("duty", Actor::Duty(Duty::Membership)),
    ]
}

/// Every item but for events: one that is missing does not compile.
fn others() -> [StreamItem; 3] {
    let _: fn(StreamItem) = |item| match item {
        StreamItem::Event(_) | StreamItem::Bookmark(_) | StreamItem::Gone(_) | StreamItem::Problem(_) => {}
    };
    let problem = Problem {
        kind: "urn:bursar:problem:in_use".into(),
        title: "In use".into(),
        status: 409,
        detail: "site 1 is in use".into(),
        code: "in_use".into(),
        object: Some(ObjectRef { kind: "site".into(), id: 1 }),
        errors: vec![FieldError { pointer: "/name".into(), detail: "it is empty".into() }],
        blockers: vec![Blocker { kind: "destination".into(), id: 2, name: "north".into() }],
        unlisted_blockers: Some(9),
        hint: Some("Remove the destination first.".into()),
        fate: Some(Fate::NotDone),
        retry_after_seconds: Some(1),
        revision: Some("1-12".into()),
    };
    [
        StreamItem::Bookmark(Bookmark { cursor: "1-12".into() }),
        StreamItem::Gone(Gone { floor: "1-40".into(), hint: "Begin with a snapshot.".into() }),
        StreamItem::Problem(problem),
    ]
}

fn samples() -> BTreeMap<String, StreamItem> {
    let events = events();
    let admitted = events.iter().find(|event| event.kind() == "authority_node.admitted").expect("an admission");
    let by_actor = |(name, actor)| (format!("actor.{name}"), line(actor, admitted.clone()));
    let mut samples: BTreeMap<_, _> = actors().into_iter().map(by_actor).collect();
    samples.extend(others().into_iter().map(|item| (item.name().to_owned(), item)));
    let token = Actor::Token(TokenId(3));
    samples.extend(events.into_iter().map(|event| (format!("event.{}", event.kind()), line(token, event))));
    samples
}

#[test]
fn every_item_of_the_stream_is_the_line_that_was_written_down() {
    let written: BTreeMap<&str, &str> = STREAM.lines().filter_map(|line| line.split_once(' ')).collect();
    let json = |item: &StreamItem| serde_json::to_string(item).expect("an item has text keys");
    let samples = samples();
    let lines: Vec<String> = samples.iter().map(|(name, item)| format!("{name} {}", json(item))).collect();
    assert!(written.keys().eq(samples.keys()), "as they are now:\n{}", lines.join("\n"));
    for (name, item) in &samples {
        assert_eq!(json(item), written[name.as_str()], "{name} is written otherwise than it was");
        let read: StreamItem = serde_json::from_str(written[name.as_str()]).expect("an item");
        assert_eq!(read, *item, "{name} does not read as what it was");
    }
}

#[test]
fn an_invitation_is_the_line_that_was_written_down() {
    let invitation = Invitation {
        certificate_authority: [7; 32].into(),
        addresses: vec!["auth-1.example:4283".parse().expect("an address"), "[2001:db8::1]:4283".parse().expect("an address")],
        secret: "s3cret".into(),
    };
    assert_eq!(invitation.to_string(), INVITATION.trim_end());
    assert_eq!(INVITATION.parse(), Ok(invitation));
}
