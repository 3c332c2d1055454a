//! What a run came to: that everything held, or what did not.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that must hold does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// The name of the invariant.
    pub invariant: String,
    /// How that shows.
    pub detail: String,
}

impl Broken {
    /// That this invariant does not hold, and how that shows.
    pub fn new(invariant: &str, detail: impl fmt::Display) -> Self {
        Self { invariant: invariant.to_owned(), detail: detail.to_string() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.detail)
    }
}
