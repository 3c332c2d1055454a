//! Answers that say yes.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bursar_domain::{Cursor, Effect, ObjectRef, Record, Reply, State};
use bursar_wire::{
    events::EventLine,
    header::REVISION,
    page::{DryRun, Warning},
};
use serde::Serialize;

use crate::{etag, failure::Failure, nouns, resource::View};

/// What a handler gives.
pub(crate) type Answered = Result<Response, Failure>;

/// An object as it is shown.
pub(crate) struct Shown {
    /// JSON.
    pub(crate) body: Vec<u8>,
    /// Where it last changed.
    pub(crate) changed: Cursor,
}

/// `body` as JSON, with the revision of the state that it was made of.
pub(crate) fn json(state: &State, body: &impl Serialize) -> Response {
    with_json(StatusCode::OK, state, encode(body))
}

/// What a change would do, and what to know before.
pub(crate) fn rehearsed(state: &State, reply: Reply, records: &[Record], warnings: Vec<Warning>) -> Response {
    let events = records.iter().map(|record| EventLine::of(state, record)).collect();
    json(state, &DryRun { events, outcome: reply.into(), warnings })
}

/// What was made, with the one showing of its secret.
pub(crate) fn issued(state: &State, object: ObjectRef, body: &impl Serialize) -> Response {
    let mut response = with_json(StatusCode::CREATED, state, encode(body));
    response.headers_mut().insert(header::LOCATION, location(object));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An object, or 304 where the caller has it as it stands.
pub(crate) fn object(view: &View, object: ObjectRef, headers: &HeaderMap) -> Answered {
    let shown = view.show(object).ok_or_else(|| Failure::not_found(object, view))?;
    if etag::none_match(headers, shown.changed) {
        let mut response = with_revision(StatusCode::NOT_MODIFIED, view, Body::empty());
        response.headers_mut().insert(header::ETAG, etag::of(shown.changed));
        return Ok(response);
    }
    Ok(whole(view, shown))
}

/// An object, whatever the caller has of it.
pub(crate) fn whole(view: &View, shown: Shown) -> Response {
    let mut response = with_json(StatusCode::OK, view, shown.body);
    response.headers_mut().insert(header::ETAG, etag::of(shown.changed));
    response
}

/// What was done, with the object as it stands now.
pub(crate) fn changed(view: &View, reply: Reply) -> Answered {
    let Reply { effect, object } = reply;
    let status = match effect {
        Effect::Removed => return Ok(with_revision(StatusCode::NO_CONTENT, view, Body::empty())),
        Effect::Created => StatusCode::CREATED,
        Effect::Accepted => StatusCode::ACCEPTED,
        Effect::Changed | Effect::Unchanged => StatusCode::OK,
    };
    let Shown { body, changed } = view.show(object).ok_or_else(|| Failure::removed_since(object, view))?;
    let mut response = with_json(status, view, body);
    let headers = response.headers_mut();
    headers.insert(header::ETAG, etag::of(changed));
    if matches!(effect, Effect::Created | Effect::Accepted) {
        headers.insert(header::LOCATION, location(object));
    }
    Ok(response)
}

/// The JSON of `value`.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("answers have text keys and finite numbers")
}

/// A cursor as the value of a header.
pub(crate) fn header_value(cursor: Cursor) -> HeaderValue {
    HeaderValue::try_from(cursor.to_string()).expect("a cursor is digits and a hyphen")
}

fn location(object: ObjectRef) -> HeaderValue {
    HeaderValue::try_from(nouns::path(object)).expect("paths are visible ASCII")
}

fn with_json(status: StatusCode, state: &State, body: Vec<u8>) -> Response {
    let mut response = with_revision(status, state, Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn with_revision(status: StatusCode, state: &State, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(REVISION, header_value(state.cursor()));
    response
}
