//! The parameters of a request's path and query. What nobody asks for is refused, so that a misspelt filter is not an empty one.

use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use bursar_domain::{Cursor, Revision, State};
use bursar_wire::{FieldError, page::PAGE_ITEMS_MAX};
use serde::de::DeserializeOwned;

use crate::{
    failure::Failure,
    fault::{Fault, abridged},
};

/// The parameters of a query.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let pairs = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let given: Vec<_> = pairs.into_owned().collect();
        serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs)).map(Self).map_err(|error| {
            let path = error.path().to_string();
            let (name, reason) = told(&path, &given, &error.into_inner().to_string());
            Failure::malformed_part(FieldError::new(format!("?{}", abridged(&name)), reason))
        })
    }
}

/// Which parameter is wrong, and what: what was given, and what is allowed. `reason` is how the parser says it.
fn told(path: &str, given: &[(String, String)], reason: &str) -> (String, String) {
    let value = || given.iter().find(|(name, _)| name == path).map(|(_, value)| abridged(value)).unwrap_or_default();
    let reason = match Fault::of(reason) {
        Fault::Repeated(name) => return (name, "is given more than once".to_owned()),
        Fault::Missing(name) => return (name, "is missing".to_owned()),
        Fault::Unknown(known) => format!("is no parameter of this request, which takes {}", known.join(", ")),
        Fault::Unfit { .. } if path == "limit" => {
            format!("is “{}”; it must be a whole number from 1 to {PAGE_ITEMS_MAX}", value())
        }
        Fault::Unfit { expected, .. } => format!("is “{}”; it must be {expected}", value()),
        Fault::Other(reason) => reason,
    };
    (path.to_owned(), reason)
}

/// The number that names an object in a path.
pub(crate) struct Id(pub(crate) u64);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let no_such_path = |_| Failure::no_such_path(&abridged(parts.uri.path()));
        Path::<u64>::from_request_parts(&mut parts.clone(), state).await.map(|Path(number)| Self(number)).map_err(no_such_path)
    }
}

/// A cursor of the epoch that the cluster is in. `pointer` names its place in the request.
pub(crate) fn cursor(pointer: &str, text: &str, state: &State) -> Result<Cursor, Failure> {
    of_epoch(bursar_wire::objects::parse_cursor(pointer, text).map_err(Failure::malformed_part)?, state)
}

/// A revision of the epoch that the cluster is in: its number, or its cursor. `pointer` names its place in the request.
pub(crate) fn revision(pointer: &str, text: &str, state: &State) -> Result<Cursor, Failure> {
    if let Ok(revision) = text.parse::<u64>() {
        return Ok(Cursor { epoch: state.epoch(), revision: Revision(revision) });
    }
    if let Ok(cursor) = text.parse::<Cursor>() {
        return of_epoch(cursor, state);
    }
    let reason = "is neither a revision nor its cursor, for instance 42 or 1-42";
    Err(Failure::malformed_part(FieldError::new(pointer, reason)))
}

fn of_epoch(cursor: Cursor, state: &State) -> Result<Cursor, Failure> {
    if cursor.epoch == state.epoch() { Ok(cursor) } else { Err(Failure::foreign_epoch(cursor, state)) }
}
