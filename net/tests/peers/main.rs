//! Nodes that talk with each other: real sockets and real certificates wherever they matter, time
//! that is paused wherever it is waited for.

mod calls;
mod certificates;
mod joining;
mod limits;
mod support;
