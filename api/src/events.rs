//! The events: what happened, one by one or as a stream.

mod filter;
mod format;
mod stream;

use axum::{
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use bursar_domain::{Cursor, Record, Revision, encoding::decode};
use bursar_wire::{
    FieldError,
    events::{EventLine, StreamItem},
    query::{EventsQuery, PresentQuery},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answer,
    api::Service,
    authentication::Caller,
    authority::JournalError,
    failure::Failure,
    parameters::{self, Parameters},
};
use filter::EventFilter;
use format::Format;

/// How to get from nothing to where the kept history begins.
pub(crate) const GONE_HINT: &str = "Read the objects anew, then follow the events from the revision of that reading.";

/// The routes.
pub(crate) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(follow)).routes(routes!(read))
}

/// Follow the events.
///
/// As server-sent events (`Accept: text/event-stream`, the default) `event` is the item's name, `id` its cursor and `data` its
/// JSON; as NDJSON (`Accept: application/x-ndjson`) each line is an item. The events of a decision come together and in order.
/// Bookmarks tell how far the stream has come when nothing else does. A stream ends after `gone`, or `problem`: `behind` from a
/// node that has not been confirmed to be up to date for longer than lies between two bookmarks. A reader that is cut off, or
/// told so, resumes at another node with the last cursor that it has, as `since` or in `Last-Event-ID`.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", operation_id = "follow_events",
    params(EventsQuery, ("Last-Event-ID" = Option<String>, Header, description = "The cursor to resume behind; it comes before `since`.")),
    responses(
        (status = 200, description = "The items.", content((StreamItem = "text/event-stream"), (StreamItem = "application/x-ndjson"))),
        (status = 410, description = "The history behind the cursor is no longer kept (NDJSON; as server-sent events, a `gone` item tells).")))]
async fn follow(
    State(service): State<Service>,
    caller: Caller,
    Parameters(query): Parameters<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let format = Format::accepted(&headers)?;
    let filter = EventFilter::of(&query)?;
    let since = match (headers.get("last-event-id"), query.since.as_deref()) {
        (Some(id), _) => Some(("Last-Event-ID", id.to_str().unwrap_or_default())),
        (None, Some(since)) => Some(("?since", since)),
        (None, None) => None,
    };
    let start = service.start(caller, since).await?;
    let ends_at_head = query.follow == Some(false);
    stream::open(&service, caller, format, filter, start, ends_at_head)
}

/// Read one event.
#[utoipa::path(get, path = "/api/v1/events/{revision}", tag = "events", operation_id = "read_event",
    params(("revision" = String, Path, description = "Its number, or its cursor.")),
    responses(
        (status = 200, description = "The event.", body = EventLine),
        (status = 410, description = "The event is no longer kept.")))]
async fn read(State(service): State<Service>, caller: Caller, Path(name): Path<String>) -> Result<Response, Failure> {
    let state = service.read_present(caller, &PresentQuery::default()).await?;
    let cursor = parameters::revision("/revision", &name, &state)?;
    if cursor.revision > state.revision() {
        return Err(Failure::cursor_beyond_end(cursor, &state));
    }
    let Some(before) = cursor.revision.0.checked_sub(1).map(Revision) else {
        let fault = FieldError::new("/revision", "must be from 1: the first event has number 1");
        return Err(Failure::malformed_part(fault));
    };
    let records = service.records(before, cursor.revision, 1).await?;
    // Looked at last: it may be raised at any moment.
    let floor = service.authority.floor();
    if records.is_empty() && before < floor {
        return Err(Failure::gone(cursor, Cursor { revision: floor, ..cursor }));
    }
    let record = records.first().ok_or_else(|| JournalError(format!("revision {} is missing", cursor.revision)))?;
    Ok(answer::json(&state, &EventLine::of(&state, record)))
}

impl Service {
    /// Where a stream begins: behind the cursor that the reader shows, or at the head.
    async fn start(&self, caller: Caller, since: Option<(&str, &str)>) -> Result<Cursor, Failure> {
        let latest = self.authority.latest();
        let Some((pointer, text)) = since else { return Ok(latest.cursor()) };
        let cursor = parameters::cursor(pointer, text, &latest)?;
        if cursor.revision > latest.revision() {
            // This node may lag: whoever leads knows what has happened.
            self.read_latest_by(Some(cursor), caller.deadline).await?;
        }
        Ok(cursor)
    }

    /// Records behind `after` up to `upto`, as [`Authority::records`](crate::Authority::records) gives them.
    async fn records(&self, after: Revision, upto: Revision, bytes_max: usize) -> Result<Vec<Record>, JournalError> {
        let encoded = self.authority.records(after, upto, bytes_max).await?;
        encoded.iter().map(|bytes| decode(bytes).map_err(|error| JournalError(error.to_string()))).collect()
    }
}
