//! Nodes over real sockets and TLS, in one process, on engines in memory.

#![allow(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

mod checkpoints;
mod cutting;
mod failing;
mod growing;
mod impostors;
mod lagging;
mod leading;
mod leaving;
mod levels;
mod quiet;
mod relaying;
mod serving;
mod support;
