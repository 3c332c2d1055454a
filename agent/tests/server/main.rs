//! A storage server as the authority meets it: over real TLS, on a network and a clock of the tests.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod adoption;
mod conversing;
mod finding;
mod following;
mod ports;
mod store_points;
mod support;
