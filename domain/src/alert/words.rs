//! What alerts' commands and events are called.

use std::fmt;

use crate::ids::{AlertId, ObjectRef};

use super::{Command, Covered, Event, Kind, Raised, Severity};

impl Command {
    /// The alert, where it is about a single one.
    pub(crate) fn subject(&self) -> Option<ObjectRef> {
        match self {
            Self::Acknowledge { alerts, .. } => match alerts[..] {
                [alert] => Some(alert.into()),
                _ => None,
            },
        }
    }
}

impl Event {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Raised { .. } => "alert.raised",
            Self::Resolved { .. } => "alert.resolved",
            Self::Covered { .. } => "alert.covered",
            Self::Worsened { .. } => "alert.worsened",
            Self::Acknowledged { .. } => "alert.acknowledged",
        }
    }

    /// The first of the alerts that it tells of.
    pub(crate) fn first(&self) -> AlertId {
        let first = match self {
            Self::Raised { alerts } => alerts.first().map(|raised| raised.alert),
            Self::Covered { alerts } => alerts.first().map(|covered| covered.alert),
            Self::Resolved { alerts } | Self::Worsened { alerts } | Self::Acknowledged { alerts, .. } => alerts.first().copied(),
        };
        first.expect("an event of alerts tells of at least one")
    }
}

impl From<Event> for crate::Event {
    fn from(event: Event) -> Self {
        Self::Alert(event)
    }
}

impl Kind {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::StorePointOffline => "store_point_offline",
            Self::ServerOffline => "server_offline",
            Self::DestinationOffline => "destination_offline",
            Self::VersionConflict => "version_conflict",
            Self::ProjectionMismatch => "projection_mismatch",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acknowledge { alerts, .. } => {
                f.write_str("acknowledge ")?;
                list(f, alerts)
            }
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raised { alerts } => {
                list(f, alerts)?;
                f.write_str(" raised")
            }
            Self::Resolved { alerts } => {
                list(f, alerts)?;
                f.write_str(" resolved")
            }
            Self::Covered { alerts } => list(f, alerts),
            Self::Worsened { alerts } => {
                list(f, alerts)?;
                f.write_str(" worsened")
            }
            Self::Acknowledged { alerts, note } => {
                list(f, alerts)?;
                f.write_str(" acknowledged")?;
                if note.as_str().is_empty() { Ok(()) } else { write!(f, ": {}", note.as_str().escape_debug()) }
            }
        }
    }
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} “{}”", self.severity, self.alert, self.text)?;
        match self.inhibited_by {
            Some(by) => write!(f, " (covered by {by})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.by {
            Some(by) => write!(f, "{} is covered by {by}", self.alert),
            None => write!(f, "{} is no longer covered", self.alert),
        }
    }
}

/// How many alerts a sentence names.
const NAMED_MAX: usize = 10;

fn list(f: &mut fmt::Formatter<'_>, items: &[impl fmt::Display]) -> fmt::Result {
    for (index, item) in items.iter().take(NAMED_MAX).enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        write!(f, "{separator}{item}")?;
    }
    match items.len().saturating_sub(NAMED_MAX) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}
