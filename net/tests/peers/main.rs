//! Nodes that talk with each other: real sockets and real certificates wherever they matter, time
//! that is paused wherever it is waited for.

#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

mod calls;
mod certificates;
mod joining;
mod limits;
mod newcomers;
mod support;
