//! Alerts: what an operator should know of.

use bursar_domain::{
    AlertId, Command, ObjectRef, ServerId, State,
    alert::{self, Extent},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    FieldError,
    objects::{Actor, NamedObject, Stamp, etag},
    times::rfc3339,
};

/// Something that an operator should know of. It stays open, and in the overview, until it is both over and acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// Its number.
    pub id: u64,
    /// What sort of trouble it tells of: `store_point_offline`, `server_offline`, `destination_offline`, `version_conflict` or
    /// `projection_mismatch`.
    pub kind: String,
    /// How bad that is.
    pub severity: AlertSeverity,
    /// The object that is in trouble.
    pub subject: NamedObject,
    /// The trouble in one line, with the subject's name of when it fired.
    pub text: String,
    /// Why it fires, or did the last time, in a word. Of a store point `read_only`, `missing`, `foreign_identity`, `io_failing` or
    /// `server_silent`; of a server `silent`, `version_differs` or `digest_differs`; of a destination `all_servers_silent`.
    pub reason: String,
    /// The reason in words.
    pub detail: String,
    /// The server that it is about, or that the store point is on; null for a destination.
    pub server: Option<NamedObject>,
    /// The directory of the store point that it is about, on its server; null for anything else.
    pub path: Option<String>,
    /// How much of the subject is affected; the worst since it last fired.
    pub extent: AlertExtent,
    /// Whether the trouble is there.
    pub condition: AlertCondition,
    /// How often it fired while it was open.
    pub occurrences: u32,
    /// What covers it: another alert that tells of the cause, or a server whose maintenance lets it be expected.
    pub inhibited_by: Option<NamedObject>,
    /// That somebody has taken note, since it last fired or got worse.
    pub acknowledgement: Option<Acknowledgement>,
    /// Whether it is in the overview: it fires, or nobody has acknowledged it.
    pub open: bool,
    /// When, and by whose doing, it first fired.
    pub created: Stamp,
    /// When and by whom it was last changed.
    pub changed: Stamp,
    /// Its entity tag, to be sent as `If-Match: "<etag>"` with a change that rests on this reading.
    pub etag: String,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertSeverity {
    /// It should be looked at.
    Warning,
    /// Backups or restores do not work, or data is in danger.
    Critical,
}

impl AlertSeverity {
    /// The severity as it stands in the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// How much of the subject is affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertExtent {
    /// Something of it still works: a store point that can be read.
    Partial,
    /// Nothing of it works.
    Whole,
}

impl AlertExtent {
    /// The extent as it stands in the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Partial => "partial",
            Self::Whole => "whole",
        }
    }
}

/// Whether the trouble is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AlertCondition {
    /// It is.
    Firing {
        /// Since when, RFC 3339 in UTC.
        since: String,
    },
    /// It is over.
    Resolved {
        /// Since when it was, the last time, RFC 3339 in UTC.
        since: String,
        /// When it ended, RFC 3339 in UTC.
        at: String,
    },
}

impl AlertCondition {
    /// The condition's `state` as it stands in the JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Firing { .. } => "firing",
            Self::Resolved { .. } => "resolved",
        }
    }
}

/// That somebody has taken note of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Acknowledgement {
    /// Who.
    pub by: Actor,
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// What they say of it.
    pub note: String,
}

impl Alert {
    /// An alert of `state`.
    pub fn of(state: &State, alert: &alert::Alert) -> Self {
        let noted = |noted: &alert::Acknowledgement| Acknowledgement {
            by: Actor::of(state, noted.by),
            at: rfc3339(noted.at),
            note: noted.note.to_string(),
        };
        let (server, path) = place_of(state, alert.subject);
        Self {
            id: alert.id.0,
            kind: alert.kind.code().into(),
            severity: alert.severity.into(),
            subject: NamedObject::of(state, alert.subject),
            text: alert.text.clone(),
            reason: alert.reason.code().into(),
            detail: alert.reason.to_string(),
            server: server.map(|server| NamedObject::of(state, server.into())),
            path,
            extent: match alert.extent {
                Extent::Partial => AlertExtent::Partial,
                Extent::Whole => AlertExtent::Whole,
            },
            condition: alert.condition.into(),
            occurrences: alert.occurrences,
            inhibited_by: alert.inhibited_by.map(|by| NamedObject::of(state, by)),
            acknowledgement: alert.acknowledgement.as_ref().map(noted),
            open: alert.is_open(),
            created: Stamp::of(state, alert.created),
            changed: Stamp::of(state, alert.changed),
            etag: etag(state, alert.changed),
        }
    }
}

/// On which server the trouble is, and in which of its directories.
fn place_of(state: &State, subject: ObjectRef) -> (Option<ServerId>, Option<String>) {
    match subject {
        ObjectRef::Server(server) => (Some(server), None),
        ObjectRef::StorePoint(id) => state
            .store_points()
            .get(id)
            .map_or((None, None), |row| (Some(row.server), Some(row.path.child(&row.directory).to_string()))),
        _ => (None, None),
    }
}

impl From<alert::Severity> for AlertSeverity {
    fn from(severity: alert::Severity) -> Self {
        match severity {
            alert::Severity::Warning => Self::Warning,
            alert::Severity::Critical => Self::Critical,
        }
    }
}

impl From<alert::Condition> for AlertCondition {
    fn from(condition: alert::Condition) -> Self {
        match condition {
            alert::Condition::Firing { since } => Self::Firing { since: rfc3339(since) },
            alert::Condition::Resolved { since, at } => Self::Resolved { since: rfc3339(since), at: rfc3339(at) },
        }
    }
}

/// Alerts to take note of: either by their numbers, or all that meet a condition, are open, and nobody has taken note of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcknowledgeAlerts {
    /// Their numbers, 1 to 1,000 of them.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ids: Option<Vec<u64>>,
    /// One condition, as the list of alerts takes it: `field=value` for equality or `field~value` for containment, with the fields
    /// that it knows, for instance `subject=server:3` or `kind=store_point_offline`. The empty text is met by all.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub filter: Option<String>,
    /// What there is to say: at most 4,096 characters; by default nothing. What was said before of an alert that is named by its
    /// number stays: where this is something else, all of the request is refused. Where nothing was said, this is set, with who
    /// says it and when. What somebody has taken note of meanwhile does not meet a condition any more, and stays as it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Which alerts are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// These.
    Ids(Vec<AlertId>),
    /// Those that meet a condition, are open, and nobody has taken note of.
    Filter(String),
}

impl AcknowledgeAlerts {
    /// Which alerts are meant.
    pub fn meant(&self) -> Result<Meant, FieldError> {
        match (&self.ids, &self.filter) {
            (Some(ids), None) => Ok(Meant::Ids(ids.iter().copied().map(AlertId).collect())),
            (None, Some(filter)) => Ok(Meant::Filter(filter.clone())),
            (None, None) => Err(FieldError::new("/ids", "must be given, or else filter")),
            (Some(_), Some(_)) => Err(FieldError::new("/filter", "goes without ids")),
        }
    }

    /// What it asks for, of these alerts, which are named or were found to meet the condition.
    pub fn command(self, alerts: Vec<AlertId>) -> Command {
        let unnoted_only = self.filter.is_some();
        Command::Alert(alert::Command::Acknowledge { alerts, note: self.note, unnoted_only })
    }
}

/// Alerts that somebody has taken note of, as they stand now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Acknowledged {
    /// The alerts; none where no alert met the condition.
    pub alerts: Vec<Alert>,
    /// The numbers of those of them that somebody had taken note of before: nothing was changed in these.
    pub acknowledged_before: Vec<u64>,
}
