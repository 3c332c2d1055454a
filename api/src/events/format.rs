//! How items of the stream are written.

use std::io::Write;

use axum::http::{HeaderMap, HeaderValue, header};
use bursar_wire::{Problem, events::StreamItem, media};
use serde::Serialize;

use crate::failure::Failure;

/// The name of the item that ends a stream whose reader may no longer read.
const PROBLEM: &str = "problem";

/// How items of the stream are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// As browsers read them (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
    ServerSentEvents,
    /// One JSON document a line.
    Ndjson,
}

/// The last item of a stream whose reader may no longer read.
#[derive(Serialize)]
struct Refusal<'p> {
    item: &'static str,
    #[serde(flatten)]
    problem: &'p Problem,
}

impl Format {
    /// The first that `Accept` names; server-sent events, where anything goes.
    pub(super) fn accepted(headers: &HeaderMap) -> Result<Self, Failure> {
        let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut ranges = values.flat_map(|value| value.split(',')).filter_map(|range| range.split(';').next()).map(str::trim);
        if !headers.contains_key(header::ACCEPT) {
            return Ok(Self::ServerSentEvents);
        }
        let format = ranges.find_map(|range| match range {
            media::SERVER_SENT_EVENTS | "text/*" | "*/*" => Some(Self::ServerSentEvents),
            media::NDJSON | "application/*" => Some(Self::Ndjson),
            _ => None,
        });
        format.ok_or_else(|| Failure::not_acceptable(&format!("{} or {}", media::SERVER_SENT_EVENTS, media::NDJSON)))
    }

    pub(super) const fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::ServerSentEvents => media::SERVER_SENT_EVENTS,
            Self::Ndjson => media::NDJSON,
        })
    }

    /// Writes an item.
    pub(super) fn write(self, out: &mut Vec<u8>, item: &StreamItem) {
        self.write_named(out, item.name(), item.cursor(), item);
    }

    /// Writes why the reader may no longer read.
    pub(super) fn write_refusal(self, out: &mut Vec<u8>, problem: &Problem) {
        self.write_named(out, PROBLEM, None, &Refusal { item: PROBLEM, problem });
    }

    fn write_named(self, out: &mut Vec<u8>, name: &str, cursor: Option<&str>, item: &impl Serialize) {
        const IN_MEMORY: &str = "items are plain data, and memory takes what is written";
        if self == Self::ServerSentEvents {
            write!(out, "event: {name}\n").expect(IN_MEMORY);
            if let Some(cursor) = cursor {
                write!(out, "id: {cursor}\n").expect(IN_MEMORY);
            }
            out.extend_from_slice(b"data: ");
        }
        // JSON escapes every line's end, so an item never spans lines.
        serde_json::to_writer(&mut *out, item).expect(IN_MEMORY);
        out.extend_from_slice(match self {
            Self::ServerSentEvents => b"\n\n",
            Self::Ndjson => b"\n",
        });
    }
}
