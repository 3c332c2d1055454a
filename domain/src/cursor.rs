//! Positions in the journal.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Counts the restores of a cluster. A restore raises it, so that nothing that was read before is mistaken for what is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Of a cluster that was never restored.
    pub const FIRST: Self = Self(1);
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a record in the journal: 1, 2, 3 … without gaps. 0 stands before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// Before the first record.
    pub const ZERO: Self = Self(0);

    /// The revision that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The revision `count` further on.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0 + count)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A revision of one epoch, written `<epoch>-<revision>`: the form of every event cursor, ETag, page token and
/// `Last-Event-ID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The epoch in which the revision was read.
    pub epoch: Epoch,
    /// The revision.
    pub revision: Revision,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.revision)
    }
}

/// Why a text is no cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no cursor, which is an epoch, a hyphen and a revision, for instance 1-42")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (epoch, revision) = text.split_once('-').ok_or(CursorError)?;
        Ok(Self { epoch: Epoch(canonical_number(epoch)?), revision: Revision(canonical_number(revision)?) })
    }
}

/// A number in the one form that `Display` gives it: no sign, no leading zero, no blank. One cursor, one spelling.
fn canonical_number(text: &str) -> Result<u64, CursorError> {
    let number: u64 = text.parse().map_err(|_| CursorError)?;
    if number.to_string() == text { Ok(number) } else { Err(CursorError) }
}
