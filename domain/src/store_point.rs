//! A store point: a place on a server's disks that takes archives.
//!
//! Its directory is made once, when the store point is, and never again: a directory that is missing later, or that bears
//! another identity, is an unmounted or swapped disk, and the store point is offline. A store point that is removed leaves its
//! row as a tombstone, so that neither its number nor its directory is ever taken for another one.

mod rules;
mod words;

use serde::{Deserialize, Serialize};

use crate::{
    encoding::{Encoded, Kind},
    ids::{ServerId, StorePointId},
    path::AbsolutePath,
    state::{Stamp, State, given},
    table::Row,
    text::{Name, Text},
};

pub(crate) use rules::decide;

/// A place on a server's disks that takes archives, or a former one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorePoint {
    /// Its number.
    pub id: StorePointId,
    /// The server whose disks it is on.
    pub server: ServerId,
    /// Unique among the store points of its server that are not retired.
    pub name: Name,
    /// The path that an administrator gave.
    pub path: AbsolutePath,
    /// The name of its directory, right under the path.
    pub directory: String,
    /// For administrators alone: the server never learns them.
    pub notes: Text,
    /// What it takes.
    pub flags: Flags,
    /// How much it may hold.
    pub quota: Quota,
    /// What is wanted of it.
    pub intent: Intent,
    /// How it is.
    pub condition: Condition,
    /// When and by whom it was made.
    pub created: Stamp,
    /// When and by whom it was last changed.
    pub changed: Stamp,
}

/// What a store point takes; each flag stands for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flags {
    /// Backups come in.
    pub accepting_data: bool,
    /// Archives may begin here.
    pub accepting_new_archives: bool,
    /// Archives move here and away, so that all store points are filled alike.
    pub balancing: bool,
}

impl Default for Flags {
    fn default() -> Self {
        Self { accepting_data: true, accepting_new_archives: true, balancing: true }
    }
}

/// How much a store point may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quota {
    /// As much as there is room for.
    #[default]
    Unlimited,
    /// So many bytes.
    Bytes(u64),
}

/// What is wanted of a store point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// To keep archives.
    Active,
    /// To give its archives away.
    Draining,
    /// To be gone.
    Retired,
}

/// How a store point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Its server is to make its directory.
    Creating,
    /// Its directory could not be made.
    Failed(CreationFailure),
    /// It works.
    Online,
    /// Its server cannot use it.
    Offline(OfflineReason),
    /// Nobody can tell: its server is offline, or was, and has not reported on it since.
    Unknown,
}

/// Why a directory could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreationFailure {
    /// The path is gone.
    PathMissing,
    /// Something of that name is there already.
    DirectoryExists,
    /// The path cannot be written to.
    NotWritable,
    /// Writing or reading fails.
    IoFailing,
}

/// Why a server cannot use a store point. A full disk is no reason: restores go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfflineReason {
    /// It can be read, but not written to.
    ReadOnly,
    /// Its directory is not there: nothing is mounted, or it was taken away.
    Missing,
    /// What is there belongs to another store point.
    ForeignIdentity,
    /// Writing or reading fails.
    IoFailing,
}

impl Encoded for StorePoint {
    const KIND: Kind = Kind::StorePoint;
}

impl Row for StorePoint {
    type Id = StorePointId;
    type Key = (ServerId, String);
    fn id(&self) -> StorePointId {
        self.id
    }
    fn key(&self) -> Option<(ServerId, String)> {
        self.is_present().then(|| (self.server, self.name.folded()))
    }
}

impl StorePoint {
    /// Whether it is not retired.
    pub fn is_present(&self) -> bool {
        self.intent != Intent::Retired
    }

    /// Whether backups can come in: administrators let them, and it is there. Of a server that is offline nothing is known, so
    /// none of its store points is.
    pub fn is_accepting(&self) -> bool {
        self.intent == Intent::Active && self.flags.accepting_data && self.condition == Condition::Online
    }
}

/// The name of a store point's directory.
pub fn directory_name(server: ServerId, store_point: StorePointId) -> String {
    format!("CrashPlanArchive_m{}x{}", server.0, store_point.0)
}

/// The store points of a server that are not retired, in the order of their folded names.
pub fn of_server(state: &State, server: ServerId) -> impl Iterator<Item = &StorePoint> {
    let key = |server| (server, String::new());
    state.store_points().range(key(server)..key(ServerId(server.0.saturating_add(1)))).map(|row| &**row)
}

/// What can be asked of store points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Make one.
    Create {
        /// On which server.
        server: ServerId,
        /// Its name, unchecked.
        name: String,
        /// Where, unchecked.
        path: String,
        /// Its notes, unchecked.
        notes: String,
        /// See [`StorePoint::quota`].
        quota: Quota,
        /// What the server found at the path.
        findings: Findings,
    },
    /// Change what is given.
    Edit {
        /// Which.
        store_point: StorePointId,
        /// What to change.
        change: Change,
    },
    /// Have it give its archives away.
    Drain {
        /// Which.
        store_point: StorePointId,
    },
    /// Have it keep archives again.
    Activate {
        /// Which.
        store_point: StorePointId,
    },
    /// Retire it. What its directory holds stays on the disk.
    Remove {
        /// Which.
        store_point: StorePointId,
    },
    /// Its server says how it is.
    Report {
        /// Which.
        store_point: StorePointId,
        /// How it is.
        report: Report,
    },
}

/// What a server found at a path, before anything is made there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Findings {
    /// What is there.
    pub found: Found,
    /// The path with all symbolic links followed.
    pub canonical_path: String,
    /// Whether the server can write there.
    pub writable: bool,
    /// The store point of the cluster inside whose directory the path lies, or whose directory is right in it.
    pub within: Option<StorePointId>,
    /// Whether something there belongs to another cluster, or nobody can tell to whom.
    pub foreign_identity: bool,
    /// The bytes that are free.
    pub free_bytes: u64,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A directory.
    Directory,
    /// Something else, for instance a file.
    SomethingElse,
}

/// How a store point is, as its server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// It works.
    Online,
    /// Its server cannot use it.
    Offline(OfflineReason),
    /// Its directory could not be made.
    Failed(CreationFailure),
}

/// New values, unchecked; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// See [`StorePoint::name`].
    pub name: Option<String>,
    /// See [`StorePoint::notes`].
    pub notes: Option<String>,
    /// See [`Flags::accepting_data`].
    pub accepting_data: Option<bool>,
    /// See [`Flags::accepting_new_archives`].
    pub accepting_new_archives: Option<bool>,
    /// See [`Flags::balancing`].
    pub balancing: Option<bool>,
    /// See [`StorePoint::quota`].
    pub quota: Option<Quota>,
}

/// What can have happened to store points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// It is to be made.
    Created {
        /// Which.
        store_point: StorePointId,
        /// On which server.
        server: ServerId,
        /// Its name.
        name: Name,
        /// Where.
        path: AbsolutePath,
        /// The name of its directory.
        directory: String,
        /// What it takes.
        flags: Flags,
        /// How much it may hold.
        quota: Quota,
    },
    /// For administrators: its notes were written.
    Annotated {
        /// Which.
        store_point: StorePointId,
        /// The notes.
        notes: Text,
    },
    /// What is given was changed.
    Edited {
        /// Which.
        store_point: StorePointId,
        /// Its server.
        server: ServerId,
        /// The new name.
        name: Option<Name>,
        /// What it takes now.
        flags: Option<Flags>,
        /// How much it may hold now.
        quota: Option<Quota>,
    },
    /// Something else is wanted of it.
    Intended {
        /// Which.
        store_point: StorePointId,
        /// Its server.
        server: ServerId,
        /// What.
        intent: Intent,
    },
    /// Its server said how it is.
    Reported {
        /// Which.
        store_point: StorePointId,
        /// Its server.
        server: ServerId,
        /// How it is.
        report: Report,
    },
}

/// Carries an event into the state.
pub(crate) fn evolve(state: &mut State, event: &Event, stamp: Stamp) {
    let store_point = event.store_point();
    match event {
        Event::Created { server, name, path, directory, flags, quota, .. } => {
            given(&mut state.header.next.store_point, store_point.0);
            state.store_points.put(StorePoint {
                id: store_point,
                server: *server,
                name: name.clone(),
                path: path.clone(),
                directory: directory.clone(),
                notes: Text::default(),
                flags: *flags,
                quota: *quota,
                intent: Intent::Active,
                condition: Condition::Creating,
                created: stamp,
                changed: stamp,
            });
        }
        Event::Annotated { notes, .. } => change(state, store_point, stamp, |row| row.notes = notes.clone()),
        Event::Edited { name, flags, quota, .. } => change(state, store_point, stamp, |row| {
            if let Some(name) = name {
                row.name = name.clone();
            }
            row.flags = flags.unwrap_or(row.flags);
            row.quota = quota.unwrap_or(row.quota);
        }),
        Event::Intended { intent, .. } => change(state, store_point, stamp, |row| row.intent = *intent),
        Event::Reported { report, .. } => change(state, store_point, stamp, |row| row.condition = (*report).into()),
    }
}

/// Its server went offline: of store points that were made, nothing is known.
pub(crate) fn lose_sight(state: &mut State, server: ServerId, stamp: Stamp) {
    let seen = |row: &StorePoint| matches!(row.condition, Condition::Online | Condition::Offline(_));
    let lost: Vec<_> = of_server(state, server).filter(|row| seen(row)).map(|row| row.id).collect();
    for store_point in lost {
        change(state, store_point, stamp, |row| row.condition = Condition::Unknown);
    }
}

fn change(state: &mut State, store_point: StorePointId, stamp: Stamp, change: impl FnOnce(&mut StorePoint)) {
    state.store_points.change(store_point, |row| {
        change(row);
        row.changed = stamp;
    });
}

impl From<Report> for Condition {
    fn from(report: Report) -> Self {
        match report {
            Report::Online => Self::Online,
            Report::Offline(reason) => Self::Offline(reason),
            Report::Failed(failure) => Self::Failed(failure),
        }
    }
}
