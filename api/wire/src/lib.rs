//! What the HTTP API says: requests, responses, problems, and a client for them.
//!
//! One file, one noun. A response is made of the state by its `of`; a request becomes a command of the domain by its `command`.
//! Both are pure, so the door in front and the clients behind share one meaning of every field; the documentation of the fields
//! is that of the OpenAPI document.
//!
//! Three forms run through all of it: points in time are RFC 3339 texts in UTC with milliseconds; positions in the history are
//! cursors, `<epoch>-<revision>`; and secrets are [`Secret`], which no log ever shows.

use std::{fmt, marker::PhantomData};

use serde::de::{MapAccess, Visitor, value::MapAccessDeserializer};

pub mod alerts;
pub mod client;
pub mod cluster;
pub mod connection_string;
pub mod control;
pub mod credentials;
pub mod destinations;
pub mod events;
pub mod invitation;
pub mod objects;
pub mod operations;
pub mod page;
pub mod problem;
pub mod query;
pub mod secret;
pub mod servers;
pub mod sites;
pub mod status;
pub mod store_points;
pub mod times;
pub mod tokens;

pub use client::{Client, ClientError};
pub use connection_string::{ConnectionString, ConnectionStringError};
pub use credentials::Credentials;
pub use problem::{Fate, FieldError, Problem};
pub use secret::Secret;

/// Where the API begins on every node.
pub const API: &str = "/api/v1";

/// Names of the HTTP headers that are the API's own, or that it gives a meaning.
pub mod header {
    /// The cursor as of which an answer holds; a client that shows it as `min_revision` elsewhere reads what it wrote.
    pub const REVISION: &str = "x-bursar-revision";
    /// The number of the leading authority node, as the answering node knows it.
    pub const LEADER: &str = "x-bursar-leader";
    /// How long the caller waits for the answer, in milliseconds: the node gives the request up within that time, and says so.
    pub const PATIENCE: &str = "x-bursar-patience-ms";
    /// Names the request, so that its repetition is recognised: 1 to 128 visible ASCII characters.
    pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
}

/// The media types that the API speaks beside `application/json`.
pub mod media {
    /// Of every [`crate::Problem`].
    pub const PROBLEM: &str = "application/problem+json";
    /// Of an event stream with one JSON document a line.
    pub const NDJSON: &str = "application/x-ndjson";
    /// Of an event stream as browsers read it.
    pub const SERVER_SENT_EVENTS: &str = "text/event-stream";
}

/// Reads a field that may be absent, and where present is taken as it is: `null` is a value of an optional type, and an error
/// for any other. This is what a JSON merge patch (RFC 7396) tells apart.
pub(crate) fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Reads an object that stands within another one. serde takes the fields of a struct from a list, too; nobody means that.
pub(crate) fn object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    struct Object<T>(PhantomData<T>);

    impl<'de, T: serde::Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(fields))
        }
    }

    deserializer.deserialize_map(Object(PhantomData))
}
