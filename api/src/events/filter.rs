//! Which events a reader wants.

use bursar_domain::{ObjectRef, Record};
use bursar_wire::{FieldError, query::EventsQuery};

use crate::failure::Failure;

/// Everything that has events.
const NOUNS: [&str; 7] = ["cluster", "authority_node", "join_token", "site", "destination", "operation", "token"];

/// Which events a reader wants.
pub(super) struct EventFilter {
    /// `noun` or `noun.event`.
    kind: Option<String>,
    subject: Option<(String, u64)>,
}

impl EventFilter {
    pub(super) fn of(query: &EventsQuery) -> Result<Self, Failure> {
        Ok(Self {
            kind: query.kind.as_deref().map(kind).transpose()?,
            subject: query.subject.as_deref().map(subject).transpose()?,
        })
    }

    pub(super) fn admits(&self, record: &Record) -> bool {
        self.kind.as_deref().is_none_or(|wanted| is_of_kind(record.event.kind(), wanted))
            && self.subject.as_ref().is_none_or(|wanted| is_about(record.event.subject(), wanted))
    }
}

fn is_of_kind(kind: &str, wanted: &str) -> bool {
    kind == wanted || kind.split_once('.').is_some_and(|(noun, _)| noun == wanted)
}

fn is_about(subject: ObjectRef, (kind, number): &(String, u64)) -> bool {
    subject.kind() == kind && subject.number() == *number
}

fn kind(text: &str) -> Result<String, Failure> {
    let (noun, event) = text.split_once('.').map_or((text, None), |(noun, event)| (noun, Some(event)));
    let named = |event: &str| !event.is_empty() && event.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if NOUNS.contains(&noun) && event.is_none_or(named) {
        return Ok(text.to_owned());
    }
    let reason = format!("must be one of {}, alone or with an event as in destination.edited", NOUNS.join(", "));
    Err(Failure::malformed_part(FieldError::new("?kind", reason)))
}

fn subject(text: &str) -> Result<(String, u64), Failure> {
    let parsed = text.split_once(':').and_then(|(kind, number)| Some((kind, number.parse().ok()?)));
    match parsed {
        Some((kind, number)) if NOUNS.contains(&kind) => Ok((kind.to_owned(), number)),
        _ => {
            let reason = format!("must be <kind>:<id> as in destination:3, with one of {}", NOUNS.join(", "));
            Err(Failure::malformed_part(FieldError::new("?subject", reason)))
        }
    }
}
