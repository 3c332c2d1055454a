//! Feature levels.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The set of behaviours that a cluster has agreed on. At one level every program produces the same bytes; a new behaviour
/// waits for `LevelRaised`, which needs every member to support it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Level(pub u16);

impl Level {
    /// The level of a cluster that was just founded, and of the first released program.
    pub const FIRST: Self = Self(1);
    /// The newest level that this program can carry out.
    pub const SUPPORTED: Self = Self(1);

    /// The level that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "level {}", self.0)
    }
}
