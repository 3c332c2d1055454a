//! Which events a reader wants.

use std::collections::BTreeSet;

use bursar_domain::{Event, ObjectRef, Record};
use bursar_wire::{FieldError, query::EventsQuery};

use crate::failure::Failure;

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
    if Event::KINDS.iter().any(|kind| is_of_kind(kind, text)) {
        return Ok(text.to_owned());
    }
    let noun = text.split_once('.').map_or(text, |(noun, _)| noun);
    let of_noun: Vec<_> = Event::KINDS.iter().copied().filter(|kind| is_of_kind(kind, noun)).collect();
    let reason = match of_noun.as_slice() {
        [] => format!("must be one of {}, alone or with an event as in destination.edited", listed(nouns())),
        events => format!("must be {noun}, or one of its events {}", events.join(", ")),
    };
    Err(Failure::malformed_part(FieldError::new("?kind", reason)))
}

fn subject(text: &str) -> Result<(String, u64), Failure> {
    let parsed = text.split_once(':').and_then(|(kind, number)| Some((kind, number.parse().ok()?)));
    match parsed {
        Some((kind, number)) if nouns().any(|noun| noun == kind) => Ok((kind.to_owned(), number)),
        _ => {
            let reason = format!("must be <kind>:<id> as in destination:3, with one of {}", listed(nouns()));
            Err(Failure::malformed_part(FieldError::new("?subject", reason)))
        }
    }
}

/// Everything that has events.
fn nouns() -> impl Iterator<Item = &'static str> {
    let nouns = Event::KINDS.iter().filter_map(|kind| kind.split_once('.')).map(|(noun, _)| noun);
    nouns.collect::<BTreeSet<_>>().into_iter()
}

fn listed(words: impl Iterator<Item = &'static str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}
