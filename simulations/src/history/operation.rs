//! What a client asked for, and what it was told.

use std::fmt;

use bursar_domain::{Actor, Effect, ObjectRef, RequestId, Revision};

/// The code of a refusal, or of an answer to a read, that says that there is no such object.
pub const NOT_FOUND: &str = "not_found";

/// When something was seen: nanoseconds since the simulation began, by the clock of the world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

/// The number of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Client(pub u64);

/// A request for a change, over all attempts that its client made under one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Who asked.
    pub client: Client,
    /// When it was first sent.
    pub called: Moment,
    /// As whom.
    pub actor: Actor,
    /// Under which key.
    pub request: RequestId,
    /// For what.
    pub change: Change,
    /// What came of it.
    pub end: WriteEnd,
}

/// What a write is to change, as far as it matters here. The name is what one write is told from another by: a workload gives
/// each name once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Make an object of this name.
    Make {
        /// Its name.
        name: String,
    },
    /// Give an object another name.
    Rename {
        /// Which.
        object: ObjectRef,
        /// Its new name.
        name: String,
    },
    /// Remove an object.
    Remove {
        /// Which.
        object: ObjectRef,
    },
    /// Whatever else, in a few words. It leaves all names as they are.
    Other(String),
}

/// What came of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteEnd {
    /// It was done.
    Done(Answer),
    /// It was refused, and did not happen. Where an attempt before had no answer, a refusal that has to do with the credential
    /// tells nothing of that attempt: such a write is [`WriteEnd::Unknown`].
    Refused {
        /// When the client was told.
        at: Moment,
        /// The stable code of the refusal.
        code: String,
        /// The revision of the state that it was told with, where it was.
        shown: Option<Revision>,
    },
    /// Nobody told. It may have happened, or may still.
    Unknown,
}

/// What the client of a write was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When.
    pub at: Moment,
    /// What was done. HTTP has one status for [`Effect::Changed`] and [`Effect::Unchanged`]: the one stands for both.
    pub effect: Effect,
    /// To what; for long work, the operation.
    pub object: ObjectRef,
    /// The revision of the state that the answer shows.
    pub shown: Revision,
    /// How the object was at that revision, where the answer shows it.
    pub seen: Option<Seen>,
}

/// A read of one object that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// Who asked.
    pub client: Client,
    /// When.
    pub called: Moment,
    /// What it read.
    pub object: ObjectRef,
    /// How fresh the answer had to be.
    pub demand: Demand,
    /// When it was answered.
    pub at: Moment,
    /// The revision of the state that the answer shows.
    pub shown: Revision,
    /// How the object was at that revision; none where it did not exist.
    pub seen: Option<Seen>,
}

/// How fresh an answer has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// As fresh as everything that anybody was told before.
    Linearizable,
    /// As it comes, but from this revision on.
    Stale {
        /// The least revision of the state; any, where there is none.
        min_revision: Option<Revision>,
    },
}

/// An object, as it was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The revision of its last change, as its entity tag tells.
    pub version: Revision,
    /// Its name; none where its kind has none.
    pub name: Option<String>,
}

/// A write or a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A write.
    Write(Box<Write>),
    /// A read.
    Read(Box<Read>),
}

impl From<&Write> for Operation {
    fn from(write: &Write) -> Self {
        Self::Write(Box::new(write.clone()))
    }
}

impl From<&Read> for Operation {
    fn from(read: &Read) -> Self {
        Self::Read(Box::new(read.clone()))
    }
}

/// Seconds, to the nanosecond.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECOND_NS: u64 = 1_000_000_000;
        write!(f, "{}.{:09} s", self.0 / SECOND_NS, self.0 % SECOND_NS)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Make { name } => write!(f, "make “{name}”"),
            Self::Rename { object, name } => write!(f, "rename {object} to “{name}”"),
            Self::Remove { object } => write!(f, "remove {object}"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, called, actor, request, change, end } = self;
        write!(f, "client {} at {called}: {change} (request {request} of {actor})", client.0)?;
        match end {
            WriteEnd::Done(Answer { at, effect, object, shown, seen }) => {
                write!(f, ", done at {at}: {effect:?} {object}, revision {shown} shown")?;
                seen.iter().try_for_each(|seen| write!(f, ", {seen}"))
            }
            WriteEnd::Refused { at, code, .. } => write!(f, ", refused at {at}: {code}"),
            WriteEnd::Unknown => f.write_str(", outcome unknown"),
        }
    }
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, called, object, demand, at, shown, seen } = self;
        write!(f, "client {} at {called}: read {object}", client.0)?;
        match demand {
            Demand::Linearizable => {}
            Demand::Stale { min_revision: None } => f.write_str(", stale")?,
            Demand::Stale { min_revision: Some(least) } => write!(f, ", stale, from revision {least} on")?,
        }
        write!(f, ", answered at {at}: revision {shown} shown")?;
        match seen {
            Some(seen) => write!(f, ", {seen}"),
            None => f.write_str(", no such object"),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "“{name}” of revision {}", self.version),
            None => write!(f, "of revision {}", self.version),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(write) => write.fmt(f),
            Self::Read(read) => read.fmt(f),
        }
    }
}
