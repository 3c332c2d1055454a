//! What the doctor found.

use std::path::PathBuf;

use serde::Serialize;

/// The findings on a node, printed as they come where a person reads along.
#[derive(Serialize)]
pub struct Report {
    directory: PathBuf,
    healthy: bool,
    findings: Vec<Finding>,
    #[serde(skip)]
    talkative: bool,
}

/// One thing that was examined.
#[derive(Serialize)]
pub struct Finding {
    what: &'static str,
    sound: bool,
    /// Whether it is to be looked into, though nothing is wrong with what was examined.
    warning: bool,
    detail: String,
}

impl Finding {
    /// It is as it should be.
    pub fn sound(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, sound: true, warning: false, detail: detail.into() }
    }

    /// Nothing is wrong with what was examined, and yet something does not work; `detail` says what to look at.
    pub fn warning(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, sound: true, warning: true, detail: detail.into() }
    }

    /// It is not; `detail` says what to do.
    pub fn bad(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, sound: false, warning: false, detail: detail.into() }
    }

    /// Whether it is as it should be.
    #[cfg(test)]
    pub const fn is_sound(&self) -> bool {
        self.sound
    }

    /// Whether it is to be looked into.
    #[cfg(test)]
    pub const fn is_warning(&self) -> bool {
        self.warning
    }

    /// What was found.
    #[cfg(test)]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// How its line is marked.
    const fn mark(&self) -> &'static str {
        match self {
            Self { sound: false, .. } => "BAD",
            Self { warning: true, .. } => "WARN",
            Self { .. } => "ok",
        }
    }

    /// What an examination gave.
    pub fn of<E: std::fmt::Display>(what: &'static str, examined: Result<String, E>) -> Self {
        match examined {
            Ok(detail) => Self::sound(what, detail),
            Err(error) => Self::bad(what, error.to_string()),
        }
    }
}

impl Report {
    /// An empty report on a data directory.
    pub fn new(directory: PathBuf, talkative: bool) -> Self {
        Self { directory, healthy: true, findings: Vec::new(), talkative }
    }

    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        self.healthy &= finding.sound;
        if self.talkative {
            println!("{:4}  {:20} {}", finding.mark(), finding.what, finding.detail);
        }
        self.findings.push(finding);
    }

    /// Whether everything is as it should be.
    pub const fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// Prints the end of it, or all of it as one JSON document.
    pub fn print(&self) {
        if !self.talkative {
            println!("{}", serde_json::to_string_pretty(self).expect("a report can be written as JSON"));
        } else if self.healthy && self.findings.iter().any(|finding| finding.warning) {
            let directory = self.directory.display();
            println!(
                "{directory} is healthy as far as it is seen from here; the lines marked WARN say what does not work, or is not known."
            );
        } else if self.healthy {
            println!("{} is healthy.", self.directory.display());
        } else {
            println!("{} is NOT healthy: see the lines marked BAD for what to do.", self.directory.display());
        }
    }
}
