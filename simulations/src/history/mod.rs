//! What clients saw, and whether it can be true.
//!
//! Whoever works on the simulated fleet notes each request with when it was sent, when it was answered and what the answer
//! said: a [`History`]. Two judges look at it, and neither trusts the other:
//!
//! 1. **The witness** ([`History::violations`]). The journal is the one order that could explain everything, so it is read
//!    once beside the history: each acknowledged write stands in it, each state that was shown is the state at that revision,
//!    and the order of revisions never contradicts real time. Requests whose outcome nobody heard are looked up in it.
//! 2. **The search** ([`History::search`]). For the name of each object alone: is there any order at all, within real time, in
//!    which every linearizable read sees the name that was given last? It looks at no revision, and at the journal only for
//!    changes that no client of the history asked for. A search that takes too long says so, and counts for nothing.
//!
//! Time is what passed since the simulation began, by the one clock of the world. What was sent in the very moment of an answer
//! was not sent after it.

mod journal;
mod operation;
mod registers;
mod search;
mod violation;
mod witness;

#[cfg(test)]
mod tests;

use bursar_domain::Sealed;

pub use operation::{Answer, Change, Client, Demand, Moment, NOT_FOUND, Operation, Read, Seen, Write, WriteEnd};
pub use registers::{Searched, Unsettled};
pub use search::Limits;
pub use violation::Violation;

/// Everything that clients asked for, whichever node answered. The order within the lists does not matter.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The requests for changes, those without an answer included.
    pub writes: Vec<Write>,
    /// The reads that were answered.
    pub reads: Vec<Read>,
}

impl History {
    /// What contradicts the journal, which begins with the first record; empty where everything that was seen can be true.
    /// Where there is much, only the first of it. Takes time in proportion to the journal, and n log n of the operations.
    pub fn violations(&self, journal: &[Sealed]) -> Vec<Violation> {
        witness::violations(self, journal)
    }

    /// Looks, object by object, for an order that explains who saw which name.
    pub fn search(&self, journal: &[Sealed], limits: Limits) -> Searched {
        registers::search(self, journal, limits)
    }
}
