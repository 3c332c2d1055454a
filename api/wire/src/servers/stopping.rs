//! Whether a server may be stopped: what would follow from it, by the ledger's own rules.

use bursar_domain::{
    Actor, Command, Duty, Event, Hash, ObjectRef, Proposal, RequestId, State, Submission,
    alert::{self, Kind, Raised},
    decide,
    server::{self, Server},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{alerts::AlertSeverity, objects::NamedObject};

/// Whether a server may be stopped now, and what would follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OkToStop {
    /// Which server.
    pub server: NamedObject,
    /// Whether it may: another server of its destination stays online, or it is not online itself.
    pub ok: bool,
    /// Why, in a sentence.
    pub reason: String,
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
        let takes_destination = raised.iter().any(|alert| alert.kind == Kind::DestinationOffline);
        let name = &server.name;
        let reason = match server.condition {
            server::Condition::Online if takes_destination => {
                format!(
                    "{name} is the last server of its destination that is online: without it nobody can back up or restore there"
                )
            }
            server::Condition::Online => {
                format!("another server of its destination is online; {name} takes its store points with it")
            }
            server::Condition::Joining { .. } => format!("{name} has not joined yet: nothing rests on it"),
            server::Condition::Offline | server::Condition::Excluded => format!("{name} is not online: nothing rests on it"),
        };
        let remedy = "Bring another server of the destination online first.";
        Self {
            server: NamedObject::of(state, server.id.into()),
            ok: !takes_destination,
            reason,
            remedy: takes_destination.then(|| remedy.to_owned()),
            alerts: raised.iter().map(expected).collect(),
        }
    }
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
