//! What store points' commands and events are called.

use std::fmt;

use crate::{
    audience::Audience,
    ids::{ObjectRef, StorePointId},
};

use super::{Command, CreationFailure, Event, Intent, OfflineReason, Quota, Report};

impl Command {
    pub(crate) fn subject(&self) -> Option<ObjectRef> {
        match self {
            Self::Create { .. } => None,
            Self::Edit { store_point, .. }
            | Self::Drain { store_point }
            | Self::Activate { store_point }
            | Self::Remove { store_point }
            | Self::Report { store_point, .. } => Some((*store_point).into()),
        }
    }
}

impl Event {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Created { .. } => "store_point.created",
            Self::Annotated { .. } => "store_point.annotated",
            Self::Edited { .. } => "store_point.edited",
            Self::Intended { .. } => "store_point.intended",
            Self::Reported { .. } => "store_point.reported",
        }
    }

    pub(crate) const fn store_point(&self) -> StorePointId {
        match self {
            Self::Created { store_point, .. }
            | Self::Annotated { store_point, .. }
            | Self::Edited { store_point, .. }
            | Self::Intended { store_point, .. }
            | Self::Reported { store_point, .. } => *store_point,
        }
    }

    /// Who gets to see it: the server whose disks it is on; of the notes, administrators alone.
    pub(crate) const fn audience(&self) -> Audience {
        match self {
            Self::Created { server, .. }
            | Self::Edited { server, .. }
            | Self::Intended { server, .. }
            | Self::Reported { server, .. } => Audience::Server(*server),
            Self::Annotated { .. } => Audience::Administrators,
        }
    }
}

impl From<Event> for crate::Event {
    fn from(event: Event) -> Self {
        Self::StorePoint(event)
    }
}

impl fmt::Display for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Retired => "retired",
        })
    }
}

impl fmt::Display for CreationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PathMissing => "the path is gone",
            Self::DirectoryExists => "something of its directory's name is there",
            Self::NotWritable => "the path cannot be written to",
            Self::IoFailing => "writing or reading fails",
        })
    }
}

impl OfflineReason {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::ReadOnly => "read_only",
            Self::Missing => "missing",
            Self::ForeignIdentity => "foreign_identity",
            Self::IoFailing => "io_failing",
        }
    }
}

impl fmt::Display for OfflineReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadOnly => "it can be read, but not written to",
            Self::Missing => "its directory is missing",
            Self::ForeignIdentity => "what is there belongs to another store point",
            Self::IoFailing => "writing or reading fails",
        })
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::Bytes(bytes) => write!(f, "{bytes} bytes"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Online => f.write_str("online"),
            Self::Offline(reason) => write!(f, "offline: {reason}"),
            Self::Failed(failure) => write!(f, "not made: {failure}"),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { server, name, path, .. } => write!(f, "create store point “{name}” on {server} at {path}"),
            Self::Edit { store_point, .. } => write!(f, "edit {store_point}"),
            Self::Drain { store_point } => write!(f, "drain {store_point}"),
            Self::Activate { store_point } => write!(f, "activate {store_point}"),
            Self::Remove { store_point } => write!(f, "remove {store_point}"),
            Self::Report { store_point, report } => write!(f, "{store_point} is {report}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created { store_point, server, name, path, directory, .. } => {
                write!(f, "{store_point} “{name}” created on {server} as {}", path.child(directory))
            }
            Self::Annotated { store_point, .. } => write!(f, "{store_point} annotated"),
            Self::Edited { store_point, name, flags, quota, .. } => {
                write!(f, "{store_point} edited")?;
                if let Some(name) = name {
                    write!(f, ", name “{name}”")?;
                }
                if let Some(flags) = flags {
                    let said = |flag| if flag { "on" } else { "off" };
                    write!(f, ", accepting data {}", said(flags.accepting_data))?;
                    write!(f, ", accepting new archives {}", said(flags.accepting_new_archives))?;
                    write!(f, ", balancing {}", said(flags.balancing))?;
                }
                if let Some(quota) = quota {
                    write!(f, ", quota {quota}")?;
                }
                Ok(())
            }
            Self::Intended { store_point, intent, .. } => write!(f, "{store_point} is to be {intent}"),
            Self::Reported { store_point, report, .. } => write!(f, "{store_point} is {report}"),
        }
    }
}
