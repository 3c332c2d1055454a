//! Whether a server may be stopped: what would follow from it, by the ledger's own rules.

use bursar_domain::{
    Actor, Command, Duty, Event, Hash, ObjectRef, Proposal, RequestId, State, Submission,
    alert::{self, Kind, Raised},
    decide, destination,
    server::{self, Server},
    store_point::{self, OfflineReason, StorePoint},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{alerts::AlertSeverity, objects::NamedObject};

/// Whether a server may be stopped now, and what would follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OkToStop {
    /// Which server.
    pub server: NamedObject,
    /// Whether it may: another server of its destination stays online and takes backups wherever this one does, or it is not
    /// online itself.
    pub ok: bool,
    /// Why, in a sentence: what becomes of its destination.
    pub reason: String,
    /// What nobody can do until it runs again, in a sentence; null where nothing pauses.
    pub pauses: Option<String>,
    /// What to do instead; null where it may be stopped.
    pub remedy: Option<String>,
    /// The alerts that would fire, causes before what they cover.
    pub alerts: Vec<ExpectedAlert>,
}

/// An alert that would fire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExpectedAlert {
    /// What sort of trouble it would tell of, as in every alert.
    pub kind: String,
    /// How bad that is.
    pub severity: AlertSeverity,
    /// The object that would be in trouble.
    pub subject: NamedObject,
    /// The trouble in one line.
    pub text: String,
    /// The object whose trouble, or maintenance, covers it; null where it would stand for itself.
    pub covered_by: Option<NamedObject>,
}

impl OkToStop {
    /// Of a server as it is in `state`: what the failure detector would bring about is decided, and nothing of it carried out.
    pub fn of(state: &State, server: &Server) -> Self {
        let raised = raised_without(state, server);
        let expected = |alert: &Raised| ExpectedAlert {
            kind: alert.kind.code().into(),
            severity: alert.severity.into(),
            subject: NamedObject::of(state, alert.subject),
            text: alert.text.clone(),
            covered_by: alert.inhibited_by.map(|by| NamedObject::of(state, cause(state, &raised, by))),
        };
        let verdict = Verdict::on(state, server, &raised);
        Self {
            server: NamedObject::of(state, server.id.into()),
            ok: verdict.remedy().is_none(),
            reason: verdict.reason(state, server),
            pauses: pauses(state, server),
            remedy: verdict.remedy().map(str::to_owned),
            alerts: raised.iter().map(expected).collect(),
        }
    }
}

/// What would become of a server's destination without it.
#[derive(Clone, Copy)]
enum Verdict {
    /// Nothing: the server is not there.
    NotOnline,
    /// It would be gone.
    TakesDestination,
    /// It would be there, and take no backups.
    TakesBackups,
    /// It would go on, on so many other servers.
    GoesOn { others: usize },
}

impl Verdict {
    fn on(state: &State, server: &Server, raised: &[Raised]) -> Self {
        if server.condition != server::Condition::Online {
            return Self::NotOnline;
        }
        if raised.iter().any(|alert| alert.kind == Kind::DestinationOffline) {
            return Self::TakesDestination;
        }
        let is_other = |other: &&Server| other.id != server.id && other.condition == server::Condition::Online;
        let others: Vec<_> = destination::servers(state, server.destination).filter(is_other).collect();
        let takes_backups = |server: &Server| store_point::of_server(state, server.id).any(StorePoint::is_accepting);
        if takes_backups(server) && !others.iter().any(|other| takes_backups(other)) {
            return Self::TakesBackups;
        }
        Self::GoesOn { others: others.len() }
    }

    fn reason(self, state: &State, server: &Server) -> String {
        let name = &server.name;
        let destination = NamedObject::of(state, server.destination.into());
        match (self, server.condition) {
            (Self::TakesDestination, _) => {
                format!(
                    "{name} is the last server of {destination} that is online: without it nobody can back up or restore there"
                )
            }
            (Self::TakesBackups, _) => {
                format!("no other server of {destination} that is online takes backups: without {name} nobody can back up there")
            }
            (Self::GoesOn { others }, _) => {
                let servers = if others == 1 { "another server that is" } else { "other servers that are" };
                format!("{destination} goes on with {servers} online, and the authority rests on no storage server")
            }
            (Self::NotOnline, server::Condition::Joining { .. }) => format!("{name} has not joined yet: nothing rests on it"),
            (Self::NotOnline, _) => format!("{name} is not online: it takes nothing more with it"),
        }
    }

    /// What to do instead of stopping it, where it should not be.
    const fn remedy(self) -> Option<&'static str> {
        match self {
            Self::TakesDestination => Some("Bring another server of the destination online first."),
            Self::TakesBackups => Some("Let a store point of another server take backups first."),
            Self::NotOnline | Self::GoesOn { .. } => None,
        }
    }
}

/// How many store points are named.
const NAMED_MAX: usize = 8;

/// An archive is in one store point and nowhere else, so whatever a server's store points hold waits for that server.
fn pauses(state: &State, server: &Server) -> Option<String> {
    if server.condition != server::Condition::Online {
        return None;
    }
    let in_use = store_point::of_server(state, server.id).filter(|row| {
        matches!(row.condition, store_point::Condition::Online | store_point::Condition::Offline(OfflineReason::ReadOnly))
    });
    let names: Vec<_> = in_use.map(|row| format!("“{}”", row.name)).collect();
    let (noun, what) = match names.len() {
        0 => return None,
        1 => ("store point", "it"),
        _ => ("store points", "them"),
    };
    let mut named = names[..names.len().min(NAMED_MAX)].join(", ");
    if let Some(further @ 1..) = names.len().checked_sub(NAMED_MAX) {
        named.push_str(&format!(" and {further} more"));
    }
    Some(format!(
        "until {} runs again, nothing is restored from its {noun} {named}, and nothing is backed up to {what}",
        server.name
    ))
}

/// The alerts that fire where a server goes offline; none where it is not online.
fn raised_without(state: &State, server: &Server) -> Vec<Raised> {
    let submission = Submission {
        actor: Actor::Duty(Duty::FailureDetection),
        request: RequestId::minted("ok-to-stop").expect("it is visible ASCII"),
        fingerprint: Hash::ZERO,
        expected: None,
        planned_on: Some(state.revision()),
        command: Command::Server(server::Command::WentOffline { server: server.id }),
    };
    let decision = decide(state, &Proposal { time: state.time(), submission });
    let raised = decision.events.into_iter().filter_map(|event| match event {
        Event::Alert(alert::Event::Raised { alerts }) => Some(alerts),
        _ => None,
    });
    raised.flatten().collect()
}

/// What an alert that covers others tells of; a server that is worked upon stands for itself.
fn cause(state: &State, raised: &[Raised], by: ObjectRef) -> ObjectRef {
    let ObjectRef::Alert(id) = by else { return by };
    let new = raised.iter().find(|alert| alert.alert == id).map(|alert| alert.subject);
    new.or_else(|| state.alerts().get(id).map(|alert| alert.subject)).unwrap_or(by)
}
