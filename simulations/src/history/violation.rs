//! What must not be.

use std::fmt;

use bursar_domain::{Actor, ObjectRef, RequestId, Revision};

use super::operation::{Operation, Read, Seen, Write};

/// A contradiction, with all that takes part in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A record does not follow the one before, or does not belong to a decision with its neighbours.
    #[error("the journal is broken at its entry {entry}, which has revision {found}")]
    JournalBroken {
        /// Which entry, counted from 1.
        entry: u64,
        /// The revision that it has.
        found: Revision,
    },
    /// A request was carried out again while it was to be remembered.
    #[error("request {request} of {actor} was carried out at revision {first}, and again at revision {again}")]
    Doubled {
        /// Whose request.
        actor: Actor,
        /// Which.
        request: RequestId,
        /// Where it was carried out.
        first: Revision,
        /// Where it was carried out again.
        again: Revision,
    },
    /// A write that was acknowledged is not in the journal.
    #[error("lost: {write}")]
    Lost {
        /// The write.
        write: Box<Write>,
    },
    /// A client was told something else of its write than the journal says.
    #[error("told otherwise: {write}; revision {revision} says: {recorded}")]
    ToldOtherwise {
        /// The write.
        write: Box<Write>,
        /// Where it stands in the journal.
        revision: Revision,
        /// What the journal says of its end.
        recorded: String,
    },
    /// A write that was refused happened.
    #[error("refused, but done at revision {revision}: {write}")]
    RefusedButDone {
        /// The write.
        write: Box<Write>,
        /// Where it stands in the journal.
        revision: Revision,
    },
    /// The answer to a write shows a state that does not have it yet.
    #[error("done at revision {revision}, which its own answer does not show: {write}")]
    AnswerWithoutItsWrite {
        /// The write.
        write: Box<Write>,
        /// Where it stands in the journal.
        revision: Revision,
    },
    /// A write made something else of an object than it was to.
    #[error("altered: {write}; behind revision {revision} the object is {}", Shown(found.as_ref()))]
    Altered {
        /// The write.
        write: Box<Write>,
        /// Where it stands in the journal.
        revision: Revision,
        /// How the object is there.
        found: Option<Seen>,
    },
    /// A write has its place before what had been shown when it was sent.
    #[error("out of order: {write}; it got revision {revision}, although before it there was {before}")]
    OutOfOrder {
        /// The write.
        write: Box<Write>,
        /// Its place.
        revision: Revision,
        /// What had been answered.
        before: Operation,
    },
    /// A linearizable read shows an older state than had been shown when it was sent.
    #[error("stale: {read}; before it there was {before}")]
    Stale {
        /// The read.
        read: Box<Read>,
        /// What had been answered.
        before: Operation,
    },
    /// A stale read shows an older state than its client had asked for.
    #[error("older than asked for: {read}")]
    OlderThanAsked {
        /// The read.
        read: Box<Read>,
    },
    /// A state was shown that the journal does not reach.
    #[error("never reached: {operation}; the journal ends at revision {head}")]
    NeverReached {
        /// What was answered with it.
        operation: Operation,
        /// Where the journal ends.
        head: Revision,
    },
    /// An object was shown as it was not at that revision.
    #[error("wrong: {operation}; at that revision it was {}", Shown(expected.as_ref()))]
    Wrong {
        /// What was answered with it.
        operation: Operation,
        /// How the object was.
        expected: Option<Seen>,
    },
    /// No order explains who saw which name of an object. These operations alone are enough for that.
    #[error("no order explains the names of {object}:{}", Listed(operations))]
    NotLinearizable {
        /// The object.
        object: ObjectRef,
        /// The fewest operations between which there is no order, by the time at which they were sent.
        operations: Vec<Operation>,
    },
}

struct Shown<'s>(Option<&'s Seen>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(seen) => seen.fmt(f),
            None => f.write_str("not there"),
        }
    }
}

struct Listed<'o>(&'o [Operation]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|operation| write!(f, "\n  {operation}"))
    }
}
