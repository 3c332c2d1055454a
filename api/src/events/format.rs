//! How items of the stream are written.

use axum::http::{HeaderMap, HeaderValue, header};
use bursar_wire::{events::StreamItem, media};

use crate::failure::Failure;

/// How items of the stream are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// As browsers read them (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
    ServerSentEvents,
    /// One JSON document a line.
    Ndjson,
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
        if self == Self::ServerSentEvents {
            out.extend_from_slice(format!("event: {}\n", item.name()).as_bytes());
            if let Some(cursor) = item.cursor() {
                out.extend_from_slice(format!("id: {cursor}\n").as_bytes());
            }
            out.extend_from_slice(b"data: ");
        }
        // JSON escapes every line's end, so an item never spans lines.
        serde_json::to_writer(&mut *out, item).expect("items are plain data, and memory takes what is written");
        out.extend_from_slice(match self {
            Self::ServerSentEvents => b"\n\n",
            Self::Ndjson => b"\n",
        });
    }
}
