//! An alert: something that an operator should know of.
//!
//! Whether one fires follows from the state, and only from it ([`standing`]): it is raised and resolved in the decision that
//! brings its cause about, and nobody has to ask for it. What people make of it, the acknowledgement, stands apart. An alert
//! stays open until it is both over and acknowledged; then it is history, and the same trouble later is another alert.

mod follow;
mod standing;
mod words;

use serde::{Deserialize, Serialize};

#[cfg(feature = "mutants")]
use crate::mutants;
use crate::{
    actor::Actor,
    decision::{Outcome, Reply},
    draft::Draft,
    encoding::{Encoded, Kind as EncodingKind},
    ids::{AlertId, ObjectRef},
    rejection::{FieldFault, Rejection},
    state::{Stamp, State, given},
    store_point::OfflineReason,
    table::Row,
    text::Text,
    time::Timestamp,
};

pub(crate) use follow::{authority_changed, server_changed, server_of_changed, store_point_changed};
pub use standing::{Standing, standing};

/// The most alerts that are acknowledged at once.
pub const ACKNOWLEDGED_MAX: u32 = 1_000;

/// Something that an operator should know of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// Its number.
    pub id: AlertId,
    /// What sort of trouble it tells of.
    pub kind: Kind,
    /// How bad that is.
    pub severity: Severity,
    /// The object that is in trouble.
    pub subject: ObjectRef,
    /// The trouble in one line, with the subject's name of when it fired.
    pub text: String,
    /// Why it fires, or did the last time.
    pub reason: Reason,
    /// How much of the subject is affected; the worst since it last fired.
    pub extent: Extent,
    /// Whether the trouble is there.
    pub condition: Condition,
    /// How often it fired.
    pub occurrences: u32,
    /// What covers it: another alert that tells of the cause, or a server whose maintenance lets it be expected.
    pub inhibited_by: Option<ObjectRef>,
    /// That somebody has taken note, since it last fired or got worse.
    pub acknowledgement: Option<Acknowledgement>,
    /// When, and by whose doing, it first fired.
    pub created: Stamp,
    /// When and by whom it was last changed.
    pub changed: Stamp,
}

/// What sort of trouble an alert tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A store point cannot be used.
    StorePointOffline,
    /// A server does not answer.
    ServerOffline,
    /// No server of a destination answers.
    DestinationOffline,
    /// A server runs another version than the authority.
    VersionConflict,
    /// A server holds another state than it should.
    ProjectionMismatch,
}

impl Kind {
    /// How bad it is.
    pub const fn severity(self) -> Severity {
        match self {
            Self::StorePointOffline | Self::ServerOffline | Self::DestinationOffline | Self::ProjectionMismatch => {
                Severity::Critical
            }
            Self::VersionConflict => Severity::Warning,
        }
    }
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It should be looked at.
    Warning,
    /// Backups or restores do not work, or data is in danger.
    Critical,
}

/// Why an alert fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A store point cannot be used, and its server says why.
    Unusable(OfflineReason),
    /// The server that a store point is on does not answer.
    ServerSilent,
    /// A server does not answer.
    Silent,
    /// No server of a destination answers.
    AllServersSilent,
    /// The authority's nodes run another version than a server.
    VersionDiffers,
    /// A server found another digest of what it holds than the authority's.
    DigestDiffers,
}

/// How much of the subject is affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// Something of it still works: a store point that can be read.
    Partial,
    /// Nothing of it works.
    Whole,
}

/// Whether the trouble is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// It is.
    Firing {
        /// Since when.
        since: Timestamp,
    },
    /// It is over.
    Resolved {
        /// Since when it was there, the last time.
        since: Timestamp,
        /// When it ended.
        at: Timestamp,
    },
}

impl Condition {
    /// Since when the trouble is there, or was there the last time.
    pub const fn since(self) -> Timestamp {
        match self {
            Self::Firing { since } | Self::Resolved { since, .. } => since,
        }
    }
}

/// That somebody has taken note of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// Who.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// What they say of it.
    pub note: Text,
}

impl Encoded for Alert {
    const KIND: EncodingKind = EncodingKind::Alert;
}

impl Row for Alert {
    type Id = AlertId;
    type Key = (Kind, ObjectRef);
    fn id(&self) -> AlertId {
        self.id
    }
    fn key(&self) -> Option<(Kind, ObjectRef)> {
        self.is_open().then_some((self.kind, self.subject))
    }
}

impl Alert {
    /// Whether the trouble is there.
    pub const fn is_firing(&self) -> bool {
        matches!(self.condition, Condition::Firing { .. })
    }

    /// Whether it is not history yet. Of each kind and subject at most one is open.
    pub const fn is_open(&self) -> bool {
        self.is_firing() || self.acknowledgement.is_none()
    }
}

/// What can be asked of alerts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Take note of them.
    Acknowledge {
        /// Which; at most [`ACKNOWLEDGED_MAX`].
        alerts: Vec<AlertId>,
        /// What there is to say, unchecked.
        note: String,
        /// Whether those of them that somebody has noted are passed over, whatever was said: they are meant by what they have in
        /// common, and not by their numbers.
        unnoted_only: bool,
    },
}

/// What can have happened to alerts. Each event tells of at least one; the consequences of one cause stand together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// They fire; those that were open before fire anew.
    Raised {
        /// Which.
        alerts: Vec<Raised>,
    },
    /// They are over.
    Resolved {
        /// Which.
        alerts: Vec<AlertId>,
    },
    /// While they fire, other things cover them than did before.
    Covered {
        /// Which.
        alerts: Vec<Covered>,
    },
    /// While they fire, all of the subject got affected: what was acknowledged counts no more.
    Worsened {
        /// Which.
        alerts: Vec<AlertId>,
    },
    /// While they fire, another reason is known than was.
    Explained {
        /// Which.
        alerts: Vec<Explained>,
    },
    /// Somebody has taken note; or has said something of what was acknowledged without a word.
    Acknowledged {
        /// Which.
        alerts: Vec<AlertId>,
        /// What they say.
        note: Text,
    },
}

/// An alert that fires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raised {
    /// Which.
    pub alert: AlertId,
    /// See [`Alert::kind`].
    pub kind: Kind,
    /// See [`Alert::severity`].
    pub severity: Severity,
    /// See [`Alert::subject`].
    pub subject: ObjectRef,
    /// See [`Alert::text`].
    pub text: String,
    /// See [`Alert::reason`].
    pub reason: Reason,
    /// See [`Alert::extent`].
    pub extent: Extent,
    /// See [`Alert::inhibited_by`].
    pub inhibited_by: Option<ObjectRef>,
}

/// An alert that something else covers than did before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Covered {
    /// Which.
    pub alert: AlertId,
    /// What covers it; where nothing does, it is news again, and what was acknowledged counts no more.
    pub by: Option<ObjectRef>,
}

/// An alert that fires for another reason than was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explained {
    /// Which.
    pub alert: AlertId,
    /// See [`Alert::reason`].
    pub reason: Reason,
}

/// The rules of alerts: what people may do with them. What one has said of an alert stays: another cannot write over it, and is
/// told so rather than not heard. Where one has said nothing, another may: then it is the other who has taken note. Who means
/// only what nobody has noted leaves alone what somebody else has noted meanwhile, and takes note of the rest.
pub(crate) fn decide(draft: &mut Draft<'_>, command: &Command) -> Outcome {
    let Command::Acknowledge { alerts, note, unnoted_only } = command;
    let at_fault = |fault| Rejection::InvalidField { field: "alerts".into(), fault };
    let note = Text::parse("note", note)?;
    let first = *alerts.first().ok_or_else(|| at_fault(FieldFault::Empty))?;
    if alerts.len() > ACKNOWLEDGED_MAX as usize {
        return Err(at_fault(FieldFault::TooMany { entries_max: ACKNOWLEDGED_MAX }));
    }
    let mut news_of = Vec::new();
    for id in alerts {
        let alert = draft.state().alerts().get(*id).ok_or(Rejection::NotFound { object: (*id).into() })?;
        match &alert.acknowledgement {
            Some(noted) if *unnoted_only || note.as_str().is_empty() || note == noted.note => {}
            Some(noted) if !noted.note.as_str().is_empty() => {
                return Err(Rejection::AlreadyAcknowledged { alert: *id, by: noted.by, at: noted.at });
            }
            _ if news_of.contains(id) => {}
            _ => news_of.push(*id),
        }
    }
    let Some(noted) = news_of.first().copied() else { return Ok(Reply::unchanged(first)) };
    #[cfg(feature = "mutants")]
    let news_of = if mutants::planted(mutants::Mutant::MapOrderInEvent) { mutants::unordered(news_of) } else { news_of };
    draft.emit(Event::Acknowledged { alerts: news_of, note }.into());
    Ok(Reply::changed(noted))
}

/// Carries an event into the state.
pub(crate) fn evolve(state: &mut State, event: &Event, stamp: Stamp) {
    match event {
        Event::Raised { alerts } => alerts.iter().for_each(|raised| raise(state, raised, stamp)),
        Event::Resolved { alerts } => change(state, alerts, stamp, |alert| {
            alert.condition = Condition::Resolved { since: alert.condition.since(), at: stamp.at };
        }),
        Event::Covered { alerts } => {
            for Covered { alert, by } in alerts {
                change(state, &[*alert], stamp, |alert| {
                    alert.inhibited_by = *by;
                    alert.acknowledgement = alert.acknowledgement.take().filter(|_| by.is_some());
                });
            }
        }
        Event::Worsened { alerts } => change(state, alerts, stamp, |alert| {
            alert.extent = Extent::Whole;
            alert.acknowledgement = None;
        }),
        Event::Explained { alerts } => {
            for Explained { alert, reason } in alerts {
                change(state, &[*alert], stamp, |alert| alert.reason = *reason);
            }
        }
        Event::Acknowledged { alerts, note } => change(state, alerts, stamp, |alert| {
            alert.acknowledgement = Some(Acknowledgement { by: stamp.by, at: stamp.at, note: note.clone() });
        }),
    }
}

fn raise(state: &mut State, raised: &Raised, stamp: Stamp) {
    given(&mut state.header.next.alert, raised.alert.0);
    let before = state.alerts.get(raised.alert);
    let (occurrences, created) = before.map_or((0, stamp), |alert| (alert.occurrences, alert.created));
    let Raised { alert, kind, severity, subject, text, reason, extent, inhibited_by } = raised.clone();
    state.alerts.put(Alert {
        id: alert,
        kind,
        severity,
        subject,
        text,
        reason,
        extent,
        condition: Condition::Firing { since: stamp.at },
        occurrences: occurrences.saturating_add(1),
        inhibited_by,
        acknowledgement: None,
        created,
        changed: stamp,
    });
}

fn change(state: &mut State, alerts: &[AlertId], stamp: Stamp, change: impl Fn(&mut Alert)) {
    for alert in alerts {
        state.alerts.change(*alert, |alert| {
            change(alert);
            alert.changed = stamp;
        });
    }
}
