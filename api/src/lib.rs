//! The API: REST and the event stream over HTTP. The only crate that knows axum.
//!
//! A request's way: the [port](serve) → [`router`], which finds its place and its route → the guard, which finds who asks →
//! the handler of its noun, which is a few lines → the *door*, which makes a change a submission and has it decided, or a
//! reading of a version of the state → an answer, made of that state. What is refused anywhere on the way becomes a problem
//! document in one place.
//!
//! A new noun is one file in `nouns/`: a [`resource`] that says where its objects are kept and how they are shown, and handlers
//! of a line or two under the description of their routes.
//!
//! Everything that the API wants of the cluster stands in one trait, [`Authority`]; what it wants of storage servers in another,
//! [`Fleet`].

mod answer;
mod api;
mod authentication;
mod authority;
mod config;
mod door;
mod etag;
mod events;
mod failure;
mod fault;
mod fleet;
mod health;
mod listing;
mod metrics;
mod mutation;
mod node;
mod nouns;
mod openapi;
mod parameters;
mod past;
mod resource;
mod router;
mod secrets;
mod serve;

pub use api::Api;
pub use authority::{
    Applied, Authority, BelowFloor, Consistency, Fate, JournalError, NodeStatus, PastError, PeerStatus, ReadError, Role,
    SubmitError, TransferError, Unavailability,
};
pub use config::{Config, ServeLimits};
pub use fleet::{ContactError, ExamineError, Fleet, FleetCounters, ObservedError};
pub use health::RemoteAddress;
pub use openapi::openapi;
pub use router::router;
pub use serve::serve;
