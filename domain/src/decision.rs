//! Deciding a proposal.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use serde::{Deserialize, Serialize};

#[cfg(feature = "mutants")]
use crate::mutants;
use crate::{
    actor::{Actor, Duty},
    alert, authority_node, cluster,
    command::Command,
    cursor::{Cursor, Revision},
    destination,
    draft::Draft,
    encoding::encoded_len,
    event::Event,
    ids::ObjectRef,
    join_token, operation,
    proposal::{Proposal, Submission},
    rejection::Rejection,
    requests, server, site,
    state::State,
    store_point,
    time::Timestamp,
    token,
};

/// The most events in one decision.
pub const EVENTS_MAX: usize = 1_000;
/// The most bytes that a decision's events may take, encoded.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

/// What deciding a proposal gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What happens, in order; none where nothing changes.
    pub events: Vec<Event>,
    /// What the caller is told.
    pub outcome: Outcome,
    /// The revision after which the outcome holds: that of the last event, or, for a repetition, of the first time.
    pub revision: Revision,
    /// When: the later of the proposal's stamp and the last record's.
    pub time: Timestamp,
    /// Whether it is the remembered outcome of an earlier, equal request.
    pub repeated: bool,
    /// What the rules said when they panicked, where they did: for the machine's own log, and never recorded.
    pub defect: Option<String>,
}

/// What a caller is told: what was done, or why it was refused.
pub type Outcome = Result<Reply, Rejection>;

/// What was done, and to which object; never its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// What was done.
    pub effect: Effect,
    /// To what; for long work, the operation that carries it.
    pub object: ObjectRef,
}

/// What a command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The object was made.
    Created,
    /// The object was changed.
    Changed,
    /// The object was already as asked for.
    Unchanged,
    /// The object was removed.
    Removed,
    /// An operation was started.
    Accepted,
}

impl Decision {
    /// Nothing happens.
    fn refused(rejection: Rejection, state: &State, time: Timestamp) -> Self {
        let revision = state.revision();
        Self { events: Vec::new(), outcome: Err(rejection), revision, time, repeated: false, defect: None }
    }
}

impl Reply {
    /// The object was made.
    pub fn created(object: impl Into<ObjectRef>) -> Self {
        Self { effect: Effect::Created, object: object.into() }
    }
    /// The object was changed.
    pub fn changed(object: impl Into<ObjectRef>) -> Self {
        Self { effect: Effect::Changed, object: object.into() }
    }
    /// The object was already as asked for.
    pub fn unchanged(object: impl Into<ObjectRef>) -> Self {
        Self { effect: Effect::Unchanged, object: object.into() }
    }
    /// The object was removed.
    pub fn removed(object: impl Into<ObjectRef>) -> Self {
        Self { effect: Effect::Removed, object: object.into() }
    }
    /// An operation was started.
    pub fn accepted(operation: impl Into<ObjectRef>) -> Self {
        Self { effect: Effect::Accepted, object: operation.into() }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = match self.effect {
            Effect::Created => "created",
            Effect::Changed => "changed",
            Effect::Unchanged => "unchanged",
            Effect::Removed => "removed",
            Effect::Accepted => "accepted",
        };
        write!(f, "{effect} {}", self.object)
    }
}

/// The rules of the nouns.
type Rules = fn(&mut Draft<'_>, &Command) -> Outcome;

/// Decides a proposal. Pure: the same state and proposal give the same decision on every replica. Rules that panic drop their draft, alike
/// on every replica: that is a refusal, [`Rejection::Internal`], so nobody can poison the log.
///
/// The order of the checks: does the credential still stand; may the actor ask for this at all; is it a repetition; is the
/// caller's reading up to date; then the rules of the noun.
pub fn decide(state: &State, proposal: &Proposal) -> Decision {
    decide_by(carry_out, state, proposal)
}

/// Whether `command` would change anything if `actor` were to ask for it now. Nothing is decided: whoever has said something before
/// finds out by it whether that still stands.
pub fn would_change(state: &State, actor: Actor, command: &Command) -> bool {
    let would_change = || {
        let mut draft = Draft::new(state, actor, state.time());
        let allowed = permitted(actor, command).and_then(|()| carry_out(&mut draft, command));
        allowed.is_ok() && !draft.into_events().is_empty()
    };
    guarded(would_change).unwrap_or(false)
}

fn decide_by(rules: Rules, state: &State, proposal: &Proposal) -> Decision {
    let now = state.time().max(proposal.time);
    #[cfg(feature = "mutants")]
    let now = if mutants::planted(mutants::Mutant::WallClockInDecide) { state.time().max(mutants::machine_time()) } else { now };
    guarded(|| decide_at(now, rules, state, &proposal.submission))
        .unwrap_or_else(|defect| Decision { defect: Some(defect), ..Decision::refused(Rejection::Internal, state, now) })
}

/// What `work` gives, or what it said when it panicked. It reads the state, and changes what is its own.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it said nothing").to_owned()
    })
}

fn decide_at(now: Timestamp, rules: Rules, state: &State, submission: &Submission) -> Decision {
    let refused = |rejection| Decision::refused(rejection, state, now);

    let stands = credential_stands(state, submission.actor, now);
    if let Err(rejection) = stands.and_then(|()| permitted(submission.actor, &submission.command)) {
        return refused(rejection);
    }
    match requests::recall(state, submission, now) {
        requests::Recall::New => {}
        requests::Recall::Repeated { outcome, revision } => {
            return Decision { events: Vec::new(), outcome, revision, time: now, repeated: true, defect: None };
        }
        requests::Recall::Reused { revision } => return refused(Rejection::RequestKeyReused { revision }),
    }
    if let Err(rejection) = reading_is_current(state, submission) {
        return refused(rejection);
    }

    let mut draft = Draft::new(state, submission.actor, now);
    let outcome = rules(&mut draft, &submission.command);
    let events = draft.into_events();
    if let Some(rejection) = too_large(&events) {
        return refused(rejection);
    }
    let revision = state.revision().plus(events.len() as u64);
    Decision { events, outcome, revision, time: now, repeated: false, defect: None }
}

fn carry_out(draft: &mut Draft<'_>, command: &Command) -> Outcome {
    match command {
        Command::Cluster(command) => cluster::decide(draft, command),
        Command::AuthorityNode(command) => authority_node::decide(draft, command),
        Command::JoinToken(command) => join_token::decide(draft, command),
        Command::Site(command) => site::decide(draft, command),
        Command::Destination(command) => destination::decide(draft, command),
        Command::Server(command) => server::decide(draft, command),
        Command::StorePoint(command) => store_point::decide(draft, command),
        Command::Alert(command) => alert::decide(draft, command),
        Command::Operation(command) => operation::decide(draft, command),
        Command::Token(command) => token::decide(draft, command),
    }
}

/// A credential may be revoked while the proposal waits for its turn.
fn credential_stands(state: &State, actor: Actor, now: Timestamp) -> Result<(), Rejection> {
    match actor {
        Actor::Token(id) => match state.tokens().get(id) {
            None => Err(Rejection::CredentialRevoked { actor }),
            Some(token) if token.has_expired(now) => Err(Rejection::CredentialExpired { actor }),
            Some(_) => Ok(()),
        },
        Actor::AuthorityNode(id) => match state.authority_nodes().get(id) {
            Some(node) if node.intent.is_present() => Ok(()),
            _ => Err(Rejection::CredentialRevoked { actor }),
        },
        Actor::Server(id) => match state.servers().get(id) {
            Some(server) if server.is_present() => Ok(()),
            _ => Err(Rejection::CredentialRevoked { actor }),
        },
        Actor::Founder | Actor::Joiner | Actor::Duty(_) => Ok(()),
    }
}

/// Whether this sort of actor may ask for this at all. Administrators run the fleet; founding, joining and what a machine or
/// a duty says of its own work are for whoever does it.
fn permitted(actor: Actor, command: &Command) -> Result<(), Rejection> {
    let permitted = match command {
        Command::Cluster(cluster::Command::Found { .. }) => actor == Actor::Founder,
        Command::AuthorityNode(authority_node::Command::Admit { .. }) => actor == Actor::Joiner,
        Command::AuthorityNode(authority_node::Command::Announce { node, .. }) => actor == Actor::AuthorityNode(*node),
        Command::AuthorityNode(authority_node::Command::Settle { .. }) => actor == Actor::Duty(Duty::Membership),
        Command::Server(server::Command::JoinSucceeded { .. } | server::Command::JoinFailed { .. }) => {
            actor == Actor::Duty(Duty::Join)
        }
        Command::Server(
            server::Command::WentOffline { .. } | server::Command::CameOnline { .. } | server::Command::EndMaintenance { .. },
        ) => actor == Actor::Duty(Duty::FailureDetection),
        Command::Server(server::Command::Announce { server, .. } | server::Command::ReportProjection { server, .. }) => {
            actor == Actor::Server(*server)
        }
        // Its rules know whose store point it is.
        Command::StorePoint(store_point::Command::Report { .. }) => matches!(actor, Actor::Server(_)),
        Command::Operation(operation::Command::Report { .. }) => matches!(actor, Actor::Duty(_)),
        Command::Token(token::Command::Issue { .. }) => matches!(actor, Actor::Founder | Actor::Token(_)),
        Command::Cluster(cluster::Command::RaiseLevel { .. })
        | Command::AuthorityNode(authority_node::Command::Edit { .. } | authority_node::Command::Remove { .. })
        | Command::JoinToken(_)
        | Command::Site(_)
        | Command::Destination(_)
        | Command::Server(
            server::Command::Add { .. }
            | server::Command::Replace { .. }
            | server::Command::Edit { .. }
            | server::Command::Maintain { .. }
            | server::Command::Drain { .. }
            | server::Command::Activate { .. }
            | server::Command::Remove { .. },
        )
        | Command::StorePoint(
            store_point::Command::Create { .. }
            | store_point::Command::Edit { .. }
            | store_point::Command::Drain { .. }
            | store_point::Command::Activate { .. }
            | store_point::Command::Remove { .. },
        )
        | Command::Alert(alert::Command::Acknowledge { .. })
        | Command::Operation(operation::Command::Cancel { .. })
        | Command::Token(token::Command::Revoke { .. }) => matches!(actor, Actor::Token(_)),
    };
    if permitted { Ok(()) } else { Err(Rejection::NotPermitted { actor }) }
}

/// If-Match for callers, the planned revision for duties. A duty that does not say what it planned on has planned on nothing.
fn reading_is_current(state: &State, submission: &Submission) -> Result<(), Rejection> {
    if let Some(expected) = submission.expected {
        let revision = state.changed_at(expected.object).ok_or(Rejection::NotFound { object: expected.object })?;
        let actual = Cursor { epoch: state.epoch(), revision };
        if actual != expected.at {
            return Err(Rejection::RevisionMismatch { object: expected.object, expected: expected.at, actual });
        }
    }
    let planned_on = match submission.actor {
        Actor::Duty(_) => Some(submission.planned_on.unwrap_or(Revision::ZERO)),
        _ => submission.planned_on,
    };
    if let (Some(planned_on), Some(object)) = (planned_on, submission.command.subject())
        && state.changed_at(object).is_some_and(|changed| changed > planned_on)
    {
        return Err(Rejection::PlanStale { object, planned_on });
    }
    Ok(())
}

fn too_large(events: &[Event]) -> Option<Rejection> {
    let bytes: usize = events.iter().map(encoded_len).sum();
    let too_large = events.len() > EVENTS_MAX || bytes > EVENT_BYTES_MAX;
    too_large.then_some(Rejection::DecisionTooLarge { events: events.len() as u64, bytes: bytes as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hash, RequestId, ServerId};

    #[test]
    fn rules_that_panic_refuse_and_leave_nothing() {
        let submission = Submission {
            actor: Actor::Duty(Duty::FailureDetection),
            request: RequestId::parse("look-1").expect("visible ASCII"),
            fingerprint: Hash::ZERO,
            expected: None,
            planned_on: None,
            command: Command::Server(server::Command::WentOffline { server: ServerId(7) }),
        };
        let proposal = Proposal { time: Timestamp(5), submission };
        let state = State::default();
        let rules: Rules = |draft, _| {
            draft.emit(server::Event::WentOffline { server: ServerId(7) }.into());
            panic!("{} is nowhere", ServerId(7))
        };
        let decision = decide_by(rules, &state, &proposal);
        let refused = Decision::refused(Rejection::Internal, &state, Timestamp(5));
        assert_eq!(decision, Decision { defect: Some("server 7 is nowhere".into()), ..refused });
    }
}
