//! Store points: places on servers' disks that take archives.

use bursar_domain::{
    Command, ServerId, State, StorePointId, server,
    store_point::{self, Change, CreationFailure, Findings, Quota},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    objects::{Stamp, etag},
    servers::StorePointObserved,
};

/// A place on a server's disks that takes archives, or a former one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorePoint {
    /// Its number.
    pub id: u64,
    /// Its name, unique among the store points of its server that are not retired.
    pub name: String,
    /// The number of the server whose disks it is on.
    pub server: u64,
    /// The name of the server.
    pub server_name: Option<String>,
    /// Whether the server answers.
    pub server_online: bool,
    /// The path that an administrator gave.
    pub path: String,
    /// The name of its directory, right under the path.
    pub directory: String,
    /// For administrators alone: the server never learns them.
    pub notes: String,
    /// Whether backups come in.
    pub accepting_data: bool,
    /// Whether archives may begin here.
    pub accepting_new_archives: bool,
    /// Whether archives move here and away, so that all store points are filled alike.
    pub balancing: bool,
    /// The most bytes that it may hold; as many as there is room for, where it is null.
    pub quota_bytes: Option<u64>,
    /// What is wanted of it.
    pub intent: StorePointIntent,
    /// How it is.
    pub condition: StorePointCondition,
    /// When and by whom it was made.
    pub created: Stamp,
    /// When and by whom it was last changed.
    pub changed: Stamp,
    /// Its entity tag, to be sent as `If-Match: "<etag>"` with a change that rests on this reading.
    pub etag: String,
}

/// A store point, with what the leader observes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorePointDetails {
    /// The store point itself.
    #[serde(flatten)]
    pub store_point: StorePoint,
    /// How it is filled; null where the leader observes nothing of it, and why stands in `observed_absent`. The entity tag does
    /// not cover it.
    pub observed: Option<StorePointObserved>,
    /// Why `observed` is null; null where it is not.
    pub observed_absent: Option<String>,
    /// How old that is: how many milliseconds ago its server was last heard of; null where `observed` is.
    pub observed_ms_ago: Option<u64>,
}

/// A store point that is offline or could not be made, in a few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OfflineStorePoint {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The path that an administrator gave.
    pub path: String,
    /// How it is: `failed` or `offline`, with the reason.
    pub condition: StorePointCondition,
}

impl OfflineStorePoint {
    /// Those of a server's store points that it has reported so. While the server is offline itself, of none is anything known.
    pub fn all_of(state: &State, server: ServerId) -> Vec<Self> {
        let offline = store_point::of_server(state, server)
            .filter(|row| matches!(row.condition, store_point::Condition::Failed(_) | store_point::Condition::Offline(_)));
        let told = |row: &store_point::StorePoint| Self {
            id: row.id.0,
            name: row.name.to_string(),
            path: row.path.to_string(),
            condition: StorePointCondition::of(row.condition, None),
        };
        offline.map(told).collect()
    }
}

/// What is wanted of a store point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StorePointIntent {
    /// To keep archives.
    Active,
    /// To give its archives away.
    Draining,
    /// To be gone. What its directory holds stays on the disk.
    Retired,
}

impl StorePointIntent {
    /// The intent as it stands in the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Retired => "retired",
        }
    }
}

impl From<store_point::Intent> for StorePointIntent {
    fn from(intent: store_point::Intent) -> Self {
        match intent {
            store_point::Intent::Active => Self::Active,
            store_point::Intent::Draining => Self::Draining,
            store_point::Intent::Retired => Self::Retired,
        }
    }
}

/// How a store point is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum StorePointCondition {
    /// Its server is to make its directory.
    Creating,
    /// Its directory could not be made.
    Failed {
        /// `path_missing`, `directory_exists`, `not_writable` or `io_failing`.
        reason: String,
        /// The reason in words.
        detail: String,
    },
    /// It works.
    Online,
    /// Its server cannot use it.
    Offline {
        /// `read_only`, `missing`, `foreign_identity` or `io_failing`.
        reason: String,
        /// The reason in words.
        detail: String,
    },
    /// Nobody can tell.
    Unknown {
        /// `server_offline`, `server_joining` or `not_reported`.
        reason: String,
        /// The reason in words.
        detail: String,
    },
}

impl StorePointCondition {
    /// The condition's `state` as it stands in the JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Failed { .. } => "failed",
            Self::Online => "online",
            Self::Offline { .. } => "offline",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// The same condition as people are told it, who want to know of the server where nothing else is known.
    pub fn of(condition: store_point::Condition, server: Option<&server::Server>) -> Self {
        match condition {
            store_point::Condition::Creating => Self::Creating,
            store_point::Condition::Failed(failure) => {
                Self::Failed { reason: failure_code(failure).into(), detail: failure.to_string() }
            }
            store_point::Condition::Online => Self::Online,
            store_point::Condition::Offline(reason) => Self::Offline { reason: reason.code().into(), detail: reason.to_string() },
            store_point::Condition::Unknown => {
                let (reason, detail) = unknown(server.map(|server| server.condition));
                Self::Unknown { reason: reason.into(), detail: detail.into() }
            }
        }
    }
}

/// Why nobody can tell how a store point is whose server is so.
const fn unknown(server: Option<server::Condition>) -> (&'static str, &'static str) {
    match server {
        Some(server::Condition::Online) => ("not_reported", "its server is online and has not reported on it yet"),
        Some(server::Condition::Joining { .. }) => ("server_joining", "its server is being taken in"),
        Some(server::Condition::Offline | server::Condition::Excluded) | None => ("server_offline", "its server is offline"),
    }
}

const fn failure_code(failure: CreationFailure) -> &'static str {
    match failure {
        CreationFailure::PathMissing => "path_missing",
        CreationFailure::DirectoryExists => "directory_exists",
        CreationFailure::NotWritable => "not_writable",
        CreationFailure::IoFailing => "io_failing",
    }
}

impl StorePoint {
    /// A store point of `state`.
    pub fn of(state: &State, store_point: &store_point::StorePoint) -> Self {
        let server = state.servers().get(store_point.server);
        Self {
            id: store_point.id.0,
            name: store_point.name.to_string(),
            server: store_point.server.0,
            server_name: server.map(|server| server.name.to_string()),
            server_online: server.is_some_and(|server| server.condition == server::Condition::Online),
            path: store_point.path.to_string(),
            directory: store_point.directory.clone(),
            notes: store_point.notes.to_string(),
            accepting_data: store_point.flags.accepting_data,
            accepting_new_archives: store_point.flags.accepting_new_archives,
            balancing: store_point.flags.balancing,
            quota_bytes: match store_point.quota {
                Quota::Unlimited => None,
                Quota::Bytes(bytes) => Some(bytes),
            },
            intent: store_point.intent.into(),
            condition: StorePointCondition::of(store_point.condition, server.map(AsRef::as_ref)),
            created: Stamp::of(state, store_point.created),
            changed: Stamp::of(state, store_point.changed),
            etag: etag(state, store_point.changed),
        }
    }
}

/// A store point to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateStorePoint {
    /// 1 to 128 characters, no control characters, no blanks around it; unique on its server, ASCII letters folded.
    pub name: String,
    /// The absolute path of an existing directory that the server can write to.
    pub path: String,
    /// For administrators, for instance whom to call about the hardware: at most 4,096 characters; by default empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// The most bytes that it may hold, at least 1; by default as many as there is room for.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub quota_bytes: Option<u64>,
}

impl CreateStorePoint {
    /// What it asks for, with what the server found at the path.
    pub fn command(self, server: ServerId, findings: Findings) -> Command {
        Command::StorePoint(store_point::Command::Create {
            server,
            name: self.name,
            path: self.path,
            notes: self.notes,
            quota: quota(self.quota_bytes),
            findings,
        })
    }
}

/// A change of a store point, as a JSON merge patch: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditStorePoint {
    /// A new name.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// New notes.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub notes: Option<String>,
    /// Whether backups come in.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub accepting_data: Option<bool>,
    /// Whether archives may begin here.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub accepting_new_archives: Option<bool>,
    /// Whether archives move here and away.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub balancing: Option<bool>,
    /// The most bytes that it may hold, at least 1; null: as many as there is room for.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub quota_bytes: Option<Option<u64>>,
}

impl EditStorePoint {
    /// What it asks for.
    pub fn command(self, store_point: StorePointId) -> Command {
        let change = Change {
            name: self.name,
            notes: self.notes,
            accepting_data: self.accepting_data,
            accepting_new_archives: self.accepting_new_archives,
            balancing: self.balancing,
            quota: self.quota_bytes.map(quota),
        };
        Command::StorePoint(store_point::Command::Edit { store_point, change })
    }
}

fn quota(bytes: Option<u64>) -> Quota {
    bytes.map_or(Quota::Unlimited, Quota::Bytes)
}

/// That a store point gives its archives away.
pub fn drain(store_point: StorePointId) -> Command {
    Command::StorePoint(store_point::Command::Drain { store_point })
}

/// That a store point keeps archives again.
pub fn activate(store_point: StorePointId) -> Command {
    Command::StorePoint(store_point::Command::Activate { store_point })
}

/// The removal of a store point. What its directory holds stays on the disk.
pub fn remove(store_point: StorePointId) -> Command {
    Command::StorePoint(store_point::Command::Remove { store_point })
}
