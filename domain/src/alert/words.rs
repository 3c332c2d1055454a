//! What alerts' commands and events are called.

use std::fmt;

use crate::ids::{AlertId, ObjectRef};

use super::{Command, Covered, Event, Explained, Kind, Raised, Reason, Severity};

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
            Self::Explained { .. } => "alert.explained",
            Self::Acknowledged { .. } => "alert.acknowledged",
        }
    }

    /// The first of the alerts that it tells of.
    pub(crate) fn first(&self) -> AlertId {
        let first = match self {
            Self::Raised { alerts } => alerts.first().map(|raised| raised.alert),
            Self::Covered { alerts } => alerts.first().map(|covered| covered.alert),
            Self::Explained { alerts } => alerts.first().map(|explained| explained.alert),
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

impl Reason {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unusable(reason) => reason.code(),
            Self::ServerSilent => "server_silent",
            Self::Silent => "silent",
            Self::AllServersSilent => "all_servers_silent",
            Self::VersionDiffers => "version_differs",
            Self::DigestDiffers => "digest_differs",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(reason) => reason.fmt(f),
            Self::ServerSilent => f.write_str("its server does not answer"),
            Self::Silent => f.write_str("it does not answer"),
            Self::AllServersSilent => f.write_str("none of its servers answers"),
            Self::VersionDiffers => f.write_str("the authority runs another version"),
            Self::DigestDiffers => f.write_str("its digest is not the authority's"),
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
            Self::Explained { alerts } => {
                list(f, alerts)?;
                f.write_str(" explained")
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
        write!(f, "{} {} “{}” ({}", self.severity, self.alert, self.text, self.reason)?;
        match self.inhibited_by {
            Some(by) => write!(f, "; covered by {by})"),
            None => f.write_str(")"),
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

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.alert, self.reason)
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
