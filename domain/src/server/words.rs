//! What servers' commands and events are called.

use std::fmt;

use crate::{
    audience::Audience,
    ids::{ObjectRef, ServerId},
};

use super::{Command, Event, Intent, JoinFailure, Lasting, ProjectionState};

impl Command {
    pub(crate) fn subject(&self) -> Option<ObjectRef> {
        match self {
            Self::Add { .. } => None,
            Self::Replace { server, .. }
            | Self::Edit { server, .. }
            | Self::Maintain { server, .. }
            | Self::EndMaintenance { server }
            | Self::Drain { server }
            | Self::Activate { server }
            | Self::Remove { server }
            | Self::JoinSucceeded { server }
            | Self::JoinFailed { server, .. }
            | Self::WentOffline { server }
            | Self::CameOnline { server }
            | Self::Announce { server, .. }
            | Self::ReportProjection { server, .. } => Some((*server).into()),
        }
    }
}

impl Event {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Added { .. } => "server.added",
            Self::Replaced { .. } => "server.replaced",
            Self::Introduced { .. } => "server.introduced",
            Self::Welcomed { .. } => "server.welcomed",
            Self::Joined { .. } => "server.joined",
            Self::JoinFailed { .. } => "server.join_failed",
            Self::WentOffline { .. } => "server.went_offline",
            Self::CameOnline { .. } => "server.came_online",
            Self::Announced { .. } => "server.announced",
            Self::ProjectionReported { .. } => "server.projection_reported",
            Self::Edited { .. } => "server.edited",
            Self::Intended { .. } => "server.intended",
            Self::Removed { .. } => "server.removed",
            Self::Withdrawn { .. } => "server.withdrawn",
        }
    }

    pub(crate) const fn server(&self) -> ServerId {
        match self {
            Self::Added { server, .. }
            | Self::Replaced { server, .. }
            | Self::Introduced { server, .. }
            | Self::Welcomed { server, .. }
            | Self::Joined { server }
            | Self::JoinFailed { server, .. }
            | Self::WentOffline { server }
            | Self::CameOnline { server }
            | Self::Announced { server, .. }
            | Self::ProjectionReported { server, .. }
            | Self::Edited { server, .. }
            | Self::Intended { server, .. }
            | Self::Removed { server, .. }
            | Self::Withdrawn { server, .. } => *server,
        }
    }

    /// Who gets to see it: what a connection string says is for administrators, what peers know of each other for the
    /// destination, the rest that a server acts upon for itself.
    pub(crate) const fn audience(&self) -> Audience {
        match self {
            Self::Introduced { destination, .. }
            | Self::Edited { destination, .. }
            | Self::Removed { destination, .. }
            | Self::Withdrawn { destination, .. } => Audience::Destination(*destination),
            Self::Welcomed { server, .. } | Self::Intended { server, .. } => Audience::Server(*server),
            Self::Added { .. }
            | Self::Replaced { .. }
            | Self::Joined { .. }
            | Self::JoinFailed { .. }
            | Self::WentOffline { .. }
            | Self::CameOnline { .. }
            | Self::Announced { .. }
            | Self::ProjectionReported { .. } => Audience::Administrators,
        }
    }
}

impl JoinFailure {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::AnotherIdentity => "another_identity",
            Self::Superseded => "superseded",
            Self::Expired => "expired",
        }
    }

    /// What to do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "See that `bursar storage-server run` runs there and that its control port is reached, initialise the machine anew \
                 in an empty data directory, and use the connection string that it prints then."
            }
            Self::AnotherIdentity => {
                "Initialise the machine anew in an empty data directory, with the addresses at which it is reached, and use the \
                 connection string that it prints then."
            }
            Self::Superseded => "Use the newest connection string that the machine has issued.",
            Self::Expired => {
                "Issue another connection string with `bursar storage-server connection-string` there, and use that."
            }
        }
    }

    /// Whether the machine itself said that it was not taken in, so that its identity was never used and is not spent.
    pub(crate) const fn leaves_the_machine_free(self) -> bool {
        match self {
            Self::Superseded | Self::Expired => true,
            Self::Unreachable | Self::AnotherIdentity => false,
        }
    }
}

impl From<Event> for crate::Event {
    fn from(event: Event) -> Self {
        Self::Server(event)
    }
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active => f.write_str("active"),
            Self::Maintenance { until, .. } => write!(f, "in maintenance until {until}"),
            Self::Draining => f.write_str("draining"),
            Self::Removed => f.write_str("removed"),
        }
    }
}

impl fmt::Display for JoinFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "nobody answers at its addresses",
            Self::AnotherIdentity => "somebody else answers at its addresses",
            Self::Superseded => "it has issued another connection string since",
            Self::Expired => "the time of its connection string was over when it answered",
        })
    }
}

impl fmt::Display for ProjectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Matching => "the state that it should",
            Self::Mismatched => "another state than it should",
        })
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add { destination, name, .. } => write!(f, "add server “{name}” to {destination}"),
            Self::Replace { server, introduction } => write!(f, "replace {server} by {}", introduction.facts.guid),
            Self::Edit { server, .. } => write!(f, "edit {server}"),
            Self::Maintain { server, lasting: Lasting::Until(until), .. } => write!(f, "maintain {server} until {until}"),
            Self::Maintain { server, lasting: Lasting::For(milliseconds), .. } => {
                write!(f, "maintain {server} for {milliseconds} ms")
            }
            Self::EndMaintenance { server } => write!(f, "end the maintenance of {server}"),
            Self::Drain { server } => write!(f, "drain {server}"),
            Self::Activate { server } => write!(f, "activate {server}"),
            Self::Remove { server } => write!(f, "remove {server}"),
            Self::JoinSucceeded { server } => write!(f, "{server} is taken in"),
            Self::JoinFailed { server, failure } => write!(f, "{server} cannot be taken in: {failure}"),
            Self::WentOffline { server } => write!(f, "{server} no longer answers"),
            Self::CameOnline { server } => write!(f, "{server} answers again"),
            Self::Announce { server, program } => write!(f, "announce {server} at version {}", program.version),
            Self::ReportProjection { server, projection } => write!(f, "{server} holds {projection}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added { server, destination, name, facts, operation, .. } => {
                write!(f, "{server} “{name}” added to {destination} at {} by {operation}", facts.addresses.primary)
            }
            Self::Replaced { server, facts, operation, .. } => write!(f, "{server} is {} now, by {operation}", facts.guid),
            Self::Introduced { server, destination, .. } => write!(f, "{server} introduced to {destination}"),
            Self::Welcomed { server, projection } => {
                let (peers, store_points) = (projection.peers.len(), projection.store_points.len());
                write!(f, "{server} welcomed, peers {peers}, store points {store_points}")
            }
            Self::Joined { server } => write!(f, "{server} joined"),
            Self::JoinFailed { server, failure } => write!(f, "{server} could not be taken in: {failure}"),
            Self::WentOffline { server } => write!(f, "{server} went offline"),
            Self::CameOnline { server } => write!(f, "{server} came online"),
            Self::Announced { server, program } => {
                write!(f, "{server} runs version {} on {}", program.version, program.platform)
            }
            Self::ProjectionReported { server, projection } => write!(f, "{server} holds {projection}"),
            Self::Edited { server, name, addresses, .. } => {
                write!(f, "{server} edited")?;
                if let Some(name) = name {
                    write!(f, ", name “{name}”")?;
                }
                if let Some(addresses) = addresses {
                    write!(f, ", at {}", addresses.primary)?;
                    if let Some(secondary) = &addresses.secondary {
                        write!(f, " and {secondary}")?;
                    }
                }
                Ok(())
            }
            Self::Intended { server, intent } => write!(f, "{server} is to be {intent}"),
            Self::Removed { server, .. } => write!(f, "{server} removed"),
            Self::Withdrawn { server, .. } => write!(f, "{server} withdrawn, its machine may come again"),
        }
    }
}
