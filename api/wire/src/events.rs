//! Events: what happened, as one line each, and the items of the event stream.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use bursar_domain::{Event, Record, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    Problem,
    objects::{Actor, ObjectRef, cursor_at},
    times::rfc3339,
};

/// How often a stream tells its reader where it is when there is nothing else to say. A reader that hears nothing for several
/// times as long takes the stream for dead.
pub const BOOKMARK_INTERVAL: Duration = Duration::from_secs(5);

/// Something that happened: an entry of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventLine {
    /// Its place, `<epoch>-<revision>`; a stream resumes behind it.
    pub cursor: String,
    /// Its number in the journal: 1, 2, 3 … without gaps.
    pub revision: u64,
    /// When, RFC 3339 in UTC with milliseconds.
    pub time: String,
    /// By whom.
    pub actor: Actor,
    /// On which request.
    pub request: String,
    /// What sort of event, for instance `destination.edited`.
    pub kind: String,
    /// The object that it happened to.
    pub subject: ObjectRef,
    /// The decision that it is part of: all its events take effect together.
    pub decision: DecisionSpan,
    /// The event in a line, for people.
    pub summary: String,
    /// The event's own fields. Secrets are absent, hashed and sealed ones too.
    pub data: Value,
}

/// The events of one decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DecisionSpan {
    /// The revision of the first.
    pub first_revision: u64,
    /// How many there are.
    pub count: u32,
}

impl DecisionSpan {
    /// Whether the event at `revision` is the last of them.
    pub const fn ends_at(self, revision: u64) -> bool {
        revision + 1 == self.first_revision + self.count as u64
    }
}

impl EventLine {
    /// A record of the journal of `state`.
    pub fn of(state: &State, record: &Record) -> Self {
        Self {
            cursor: cursor_at(state, record.revision),
            revision: record.revision.0,
            time: rfc3339(record.time),
            actor: record.actor.into(),
            request: record.request.to_string(),
            kind: record.event.kind().into(),
            subject: record.event.subject().into(),
            decision: DecisionSpan { first_revision: record.decision.first.0, count: record.decision.count },
            summary: record.event.to_string(),
            data: data(&record.event),
        }
    }
}

/// The fields that no event shows: hashes would confirm a guess, and what is sealed is nobody's to look at.
const WITHHELD: [&str; 3] = ["secret", "setup_secret", "sealed_ca_key"];
/// The fields that hold bytes, which are shown as base64.
const BYTES: [&str; 1] = ["license_key"];

/// The event's own fields: its noun and its name stand in `kind` already.
fn data(event: &Event) -> Value {
    let noun = serde_json::to_value(event).expect("events have text keys and finite numbers");
    let mut fields = content(content(noun));
    if let Value::Object(fields) = &mut fields {
        fields.retain(|name, _| !WITHHELD.contains(&name.as_str()));
        for (_, value) in fields.iter_mut().filter(|(name, _)| BYTES.contains(&name.as_str())) {
            let bytes: Vec<u8> = serde_json::from_value(value.take()).expect("bytes are written as a list of numbers");
            *value = STANDARD.encode(bytes).into();
        }
    }
    fields
}

/// What an externally tagged variant holds; one that holds nothing is an empty object.
fn content(variant: Value) -> Value {
    match variant {
        Value::Object(tagged) => tagged.into_iter().next().map_or_else(|| Value::Object(Map::new()), |(_, content)| content),
        _ => Value::Object(Map::new()),
    }
}

/// An item of the event stream. As server-sent events, `event:` is the item's name, `id:` its cursor and `data:` its JSON; as
/// NDJSON, a line is its JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "item", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "nearly every item is an event, and items are handled one at a time")]
pub enum StreamItem {
    /// Something happened.
    Event(EventLine),
    /// Everything up to here was sent or did not concern the reader.
    Bookmark(Bookmark),
    /// What the reader asked for is no longer kept; the stream ends.
    Gone(Gone),
    /// The reader may no longer read, or not here; the stream ends.
    Problem(Problem),
}

/// How far a reader has come although there was nothing to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Bookmark {
    /// Behind which a stream resumes.
    pub cursor: String,
}

/// The journal no longer reaches back to the reader's cursor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gone {
    /// The oldest cursor behind which a stream can begin.
    pub floor: String,
    /// How to get from nothing to the floor.
    pub hint: String,
}

impl StreamItem {
    /// The names of the items: the `event:` field of server-sent events, and `item` in the JSON.
    pub const NAMES: [&str; 4] = ["event", "bookmark", "gone", "problem"];

    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Event(_) => Self::NAMES[0],
            Self::Bookmark(_) => Self::NAMES[1],
            Self::Gone(_) => Self::NAMES[2],
            Self::Problem(_) => Self::NAMES[3],
        }
    }

    /// Where a reader stands that has taken it; nowhere new, where the stream ends.
    pub fn cursor(&self) -> Option<&str> {
        match self {
            Self::Event(event) => Some(&event.cursor),
            Self::Bookmark(bookmark) => Some(&bookmark.cursor),
            Self::Gone(_) | Self::Problem(_) => None,
        }
    }
}
