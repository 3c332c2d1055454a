//! Whether a server may be stopped: what would follow from it, by the ledger's own rules.

use bursar_domain::{
    Actor, Command, Duty, Event, Hash, ObjectRef, Proposal, RequestId, State, Submission,
    alert::{self, Raised},
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
    /// Whether it may: another server of its destination stays online and takes backups wherever this one does; or nobody can use
    /// anything of this one now.
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
        let verdict = Verdict::on(state, server);
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
    /// Nothing: the server is there, and nobody can use anything of it.
    Idle,
    /// Nothing of it would be there. What else it has is offline, or there is nothing else.
    TakesDestination { has_others: bool },
    /// It would be there, and take no backups.
    TakesBackups,
    /// It would go on, on so many other servers.
    GoesOn { others: usize },
}

impl Verdict {
    fn on(state: &State, server: &Server) -> Self {
        if server.condition != server::Condition::Online {
            return Self::NotOnline;
        }
        if usable(state, server).next().is_none() {
            return Self::Idle;
        }
        let others = || destination::servers(state, server.destination).filter(|other| other.id != server.id);
        let online = || others().filter(|other| other.condition == server::Condition::Online);
        let takes_backups = |server: &Server| store_point::of_server(state, server.id).any(StorePoint::is_accepting);
        match online().count() {
            0 => Self::TakesDestination { has_others: others().next().is_some() },
            _ if takes_backups(server) && !online().any(takes_backups) => Self::TakesBackups,
            others => Self::GoesOn { others },
        }
    }

    fn reason(self, state: &State, server: &Server) -> String {
        let name = &server.name;
        let destination = NamedObject::of(state, server.destination.into());
        let has_store_points = store_point::of_server(state, server.id).next().is_some();
        match (self, server.condition) {
            (Self::TakesDestination { .. }, _) => {
                format!(
                    "{name} is the last server of {destination} that is online: without it nobody can back up or restore there"
                )
            }
            (Self::TakesBackups, _) => {
                format!("no other server of {destination} that is online takes backups: without {name} nobody can back up there")
            }
            (Self::GoesOn { others: 1 }, _) => format!("{destination} goes on with another server that is online"),
            (Self::GoesOn { others }, _) => format!("{destination} goes on with {others} other servers that are online"),
            (Self::Idle, _) if has_store_points => {
                format!("nobody can use {name} anyway: none of its store points can be read")
            }
            (Self::Idle, _) => format!("nothing is kept on {name}: it has no store point"),
            (Self::NotOnline, server::Condition::Joining { .. }) if server.replaces() => {
                format!("the machine that is to take the place of {name} has not joined yet: nobody can use anything of it")
            }
            (Self::NotOnline, server::Condition::Joining { .. }) => format!("{name} has not joined yet: nothing is kept on it"),
            (Self::NotOnline, server::Condition::Excluded) => {
                format!("{name} was removed: the authority hears nothing of its machine any more, and nobody uses it")
            }
            (Self::NotOnline, _) => format!("{name} is offline already: nobody can use anything of it until it is back"),
        }
    }

    /// What to do instead of stopping it, where it should not be.
    const fn remedy(self) -> Option<&'static str> {
        match self {
            Self::TakesDestination { has_others: true } => Some(
                "Bring another server of the destination online first. Where it has to be stopped all the same, announce that: \
                 archives wait for it.",
            ),
            Self::TakesDestination { has_others: false } => Some(
                "The destination has no other server: add one first. Where this one has to be stopped all the same, announce that: \
                 archives wait for it.",
            ),
            Self::TakesBackups => Some(
                "Let a store point of another server take backups first: bring one online, or switch one on with `bursar store-point \
                 edit STORE_POINT --accepting-data on`.",
            ),
            Self::NotOnline | Self::Idle | Self::GoesOn { .. } => None,
        }
    }
}

/// The store points of a server that somebody can use: at least what is in them can be restored.
fn usable<'s>(state: &'s State, server: &Server) -> impl Iterator<Item = &'s StorePoint> {
    store_point::of_server(state, server.id).filter(|row| {
        matches!(row.condition, store_point::Condition::Online | store_point::Condition::Offline(OfflineReason::ReadOnly))
    })
}

/// How many store points are named.
const NAMED_MAX: usize = 8;

/// An archive is in one store point and nowhere else, so whatever a server's store points hold waits for that server.
fn pauses(state: &State, server: &Server) -> Option<String> {
    if server.condition != server::Condition::Online {
        return None;
    }
    let names: Vec<_> = usable(state, server).map(|row| format!("“{}”", row.name)).collect();
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
    assert_eq!(decision.defect, None, "nobody may be told that nothing is raised where the rules panicked");
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
