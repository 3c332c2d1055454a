//! The authority's end of the control port: real nodes over engines, a network and disks in memory, with time that a test makes
//! pass; storage servers that speak the wire, and nothing else.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod admitting;
mod detecting;
mod far_behind;
mod following;
mod joining;
mod machine;
mod telling;
mod world;
