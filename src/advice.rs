//! What to do next where a command has failed, told behind the failure as operators' commands tell it.

use std::{fmt, path::Path};

/// Where a certificate could not be made.
pub(crate) const CLOCK: &str = "Check that this machine's clock is right, then run the command again.";

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What helps, where the failure itself does not say it.
    hint: Option<&'static str>,
    /// The command to try next.
    next: String,
}

impl Advice {
    /// To try this command next.
    pub fn next(command: impl Into<String>) -> Self {
        Self { hint: None, next: command.into() }
    }

    /// To have a data directory examined: the doctor shows what else is amiss.
    pub fn examine(directory: &Path) -> Self {
        Self::next(format!("bursar doctor --dir {}", directory.display()))
    }

    /// The same, and what helps besides.
    #[must_use]
    pub fn with_hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(hint) = self.hint {
            writeln!(f, "hint: {hint}")?;
        }
        write!(f, "next: {}", self.next)
    }
}
