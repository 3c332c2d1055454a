//! How the cluster fares: health with reasons, members, figures of the answering node.

use bursar_domain::{
    ObjectRef, State,
    alert::{Alert, Severity},
    authority_node::AuthorityNode,
    operation, server,
    store_point::{self, StorePoint},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cluster::{MemberIntent, MemberRole, intent};

/// How the cluster fares, as the answering node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The cluster's random identity, 32 hexadecimal digits.
    pub cluster: String,
    /// Counts the restores; 1 in a cluster that was never restored.
    pub epoch: u64,
    /// What the members have agreed to be able to do.
    pub level: u16,
    /// The cursor of the last event that the answering node has applied.
    pub revision: String,
    /// Since when nobody confirms that what the answering node tells is so; null where a quorum confirms it.
    pub stale: Option<Staleness>,
    /// The answering node's time, RFC 3339 in UTC with milliseconds.
    pub time: String,
    /// The number of the leading member; null where the answering node knows none.
    pub leader: Option<u64>,
    /// The worst of the checks; where none complains and the answering node does not see the others, `UNKNOWN`.
    pub health: Grade,
    /// What is not as it should be; empty in a healthy cluster.
    pub checks: Vec<Check>,
    /// What the cluster can lose.
    pub fault_tolerance: FaultTolerance,
    /// The members that have not left.
    pub members: Vec<MemberStatus>,
    /// Why the members' `observed` is null; null where it is not.
    pub unobserved_reason: Option<String>,
    /// How many objects there are.
    pub counts: Counts,
    /// The answering node.
    pub node: NodeFigures,
}

/// How old it may be what a node tells that no quorum confirms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Staleness {
    /// How old what the node tells is at the most, in milliseconds; null where no quorum has confirmed anything since the
    /// node was started.
    pub age_ms: Option<u64>,
    /// When the last event that it has applied was recorded, RFC 3339 in UTC with milliseconds: it was so then.
    pub last_event_at: String,
}

/// How well something fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum Grade {
    /// As it should be.
    #[default]
    #[serde(rename = "OK")]
    Ok,
    /// The answering node cannot tell.
    #[serde(rename = "UNKNOWN")]
    Unknown,
    /// It works, and somebody should look at it.
    #[serde(rename = "WARN")]
    Warn,
    /// It does not work.
    #[serde(rename = "ERR")]
    Err,
}

impl Grade {
    /// The grade as it stands in the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Unknown => "UNKNOWN",
            Self::Warn => "WARN",
            Self::Err => "ERR",
        }
    }

    /// The worst of the checks.
    pub fn worst_of(checks: &[Check]) -> Self {
        checks.iter().map(|check| check.severity).max().unwrap_or_default()
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// The stable code.
    pub code: String,
    /// How bad it is.
    pub severity: Grade,
    /// What is the matter, in a sentence.
    pub summary: String,
    /// What to do about it.
    pub remedy: String,
}

/// What the cluster can lose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FaultTolerance {
    /// How many members vote.
    pub voters: u32,
    /// How many of them must answer for anything to be decided.
    pub quorum: u32,
    /// How many of them may fail when all answer.
    pub failures_tolerated: u32,
    /// How many of them answer the leader; null where the answering node does not lead.
    pub voters_reachable: Option<u32>,
}

impl FaultTolerance {
    /// Of a membership with so many voters.
    pub const fn of(voters: u32, voters_reachable: Option<u32>) -> Self {
        let quorum = voters / 2 + 1;
        Self { voters, quorum, failures_tolerated: voters.saturating_sub(quorum), voters_reachable }
    }
}

/// A member, as the answering node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberStatus {
    /// Its number.
    pub id: u64,
    /// The number of its site, if that was said.
    pub site: Option<u64>,
    /// Where people reach its API, `host:port`.
    pub api_address: String,
    /// Where the other nodes reach it, `host:port`.
    pub peer_address: String,
    /// The version of its program.
    pub version: String,
    /// What is wanted of it.
    pub intent: MemberIntent,
    /// What it is to the others; null where it takes no part yet.
    pub role: Option<MemberRole>,
    /// What the leader sees of it; null where the answering node does not lead, and why stands in `unobserved_reason`.
    pub observed: Option<MemberObserved>,
}

/// What the leader sees of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberObserved {
    /// Whether it answers.
    pub reachable: bool,
    /// How many log entries it lacks; null where that is not known, as of one that does not answer.
    pub lag_entries: Option<u64>,
    /// How long ago it last answered, in milliseconds; null for the leader itself, and where it never did.
    pub last_answer_ms: Option<u64>,
}

impl MemberStatus {
    /// A member of the state, with what else the answering node knows.
    pub fn of(node: &AuthorityNode, role: Option<MemberRole>, observed: Option<MemberObserved>) -> Self {
        Self {
            id: node.id.0,
            site: node.site.map(|site| site.0),
            api_address: node.api_address.to_string(),
            peer_address: node.peer_address.to_string(),
            version: node.version.to_string(),
            intent: intent(node.intent).0,
            role,
            observed,
        }
    }
}

/// How many objects there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counts {
    /// Authority nodes that have not left.
    pub authority_nodes: u64,
    /// Sites.
    pub sites: u64,
    /// Destinations.
    pub destinations: u64,
    /// Storage servers that were not removed.
    pub servers: u64,
    /// Those of them that are offline.
    pub servers_offline: u64,
    /// Those of them that are in maintenance, whether or not they are offline.
    pub servers_in_maintenance: u64,
    /// Store points that were not retired.
    pub store_points: u64,
    /// Those of them that are offline, or on a server that is.
    pub store_points_offline: u64,
    /// Alerts in the overview: firing, or not acknowledged. Each of them is one of those that follow.
    pub alerts_open: u64,
    /// Critical ones that fire and ask for attention: nobody has acknowledged them, they follow from no other, and no maintenance lets
    /// them be expected.
    pub alerts_critical: u64,
    /// Warnings of which the same is true.
    pub alerts_warning: u64,
    /// Those of them that fire, follow from no other, and of which somebody has taken note.
    pub alerts_acknowledged: u64,
    /// Those that fire because another one does, acknowledged or not: one cause asks for attention once.
    pub alerts_covered: u64,
    /// Those that fire while the maintenance of a server lets them be expected, acknowledged or not.
    pub alerts_expected: u64,
    /// Those that are over, and that nobody has acknowledged.
    pub alerts_over: u64,
    /// Operations that run.
    pub operations_running: u64,
    /// Operations that have ended.
    pub operations_ended: u64,
    /// Administrators' tokens.
    pub tokens: u64,
    /// Invitations that were not used.
    pub invitations: u64,
}

impl Counts {
    /// The objects of `state`.
    pub fn of(state: &State) -> Self {
        let servers = || state.servers().iter().filter(|server| server.is_present());
        let servers_offline = servers().filter(|server| server.condition == server::Condition::Offline);
        let store_points = || state.store_points().iter().filter(|store_point| store_point.is_present());
        let in_maintenance = servers().filter(|server| matches!(server.intent, server::Intent::Maintenance { .. }));
        let overview: Vec<_> = state.alerts().iter().filter_map(|alert| Attention::of(state, alert)).collect();
        let alerts = |attention| overview.iter().filter(|found| **found == attention).count() as u64;
        let running = state.operations().iter().filter(|operation| operation.status == operation::Status::Running).count();
        Self {
            authority_nodes: state.authority_nodes().iter().filter(|node| node.intent.is_present()).count() as u64,
            sites: state.sites().len() as u64,
            destinations: state.destinations().len() as u64,
            servers: servers().count() as u64,
            servers_offline: servers_offline.count() as u64,
            servers_in_maintenance: in_maintenance.count() as u64,
            store_points: store_points().count() as u64,
            store_points_offline: store_points().filter(|store_point| is_offline(store_point)).count() as u64,
            alerts_open: overview.len() as u64,
            alerts_critical: alerts(Attention::Asked(Severity::Critical)),
            alerts_warning: alerts(Attention::Asked(Severity::Warning)),
            alerts_acknowledged: alerts(Attention::Given),
            alerts_covered: alerts(Attention::Covered),
            alerts_expected: alerts(Attention::Expected),
            alerts_over: alerts(Attention::Over),
            operations_running: running as u64,
            operations_ended: (state.operations().len() - running) as u64,
            tokens: state.tokens().len() as u64,
            invitations: state.join_tokens().iter().filter(|token| token.used_by.is_none()).count() as u64,
        }
    }
}

/// Whether nobody can use it, as far as is known. One that is only being made was never in use.
fn is_offline(store_point: &StorePoint) -> bool {
    matches!(store_point.condition, store_point::Condition::Offline(_) | store_point::Condition::Unknown)
}

/// What an alert in the overview asks of people.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attention {
    /// It fires: somebody should look at it.
    Asked(Severity),
    /// It fires, and somebody has taken note.
    Given,
    /// It fires because another one does.
    Covered,
    /// It fires because of work that was announced.
    Expected,
    /// It is over, and nobody has taken note.
    Over,
}

impl Attention {
    /// None of an alert that is history.
    fn of(state: &State, alert: &Alert) -> Option<Self> {
        if !alert.is_open() {
            return None;
        }
        Some(match &alert.acknowledgement {
            _ if !alert.is_firing() => Self::Over,
            _ if is_expected(state, alert) => Self::Expected,
            _ if alert.inhibited_by.is_some() => Self::Covered,
            Some(_) => Self::Given,
            None => Self::Asked(alert.severity),
        })
    }
}

/// Whether a maintenance covers it, or what it follows from.
fn is_expected(state: &State, alert: &Alert) -> bool {
    match alert.inhibited_by {
        Some(ObjectRef::Server(_)) => true,
        Some(ObjectRef::Alert(cause)) => state.alerts().get(cause).is_some_and(|cause| is_expected(state, cause)),
        _ => false,
    }
}

/// The answering node's own part in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeFigures {
    /// Its number.
    pub id: u64,
    /// What it is to the others.
    pub role: NodeRole,
    /// The term that it is in.
    pub term: u64,
    /// The index of the last entry in its log.
    pub last_log_index: Option<u64>,
    /// The index up to which it knows the log to be committed.
    pub committed_index: Option<u64>,
    /// The index up to which it has applied the log.
    pub applied_index: Option<u64>,
    /// The index up to which it has dropped the log.
    pub purged_index: Option<u64>,
    /// The index that its last checkpoint stands at.
    pub checkpoint_index: Option<u64>,
    /// The numbers of the voters, as it knows them.
    pub voters: Vec<u64>,
    /// The numbers of the learners, as it knows them.
    pub learners: Vec<u64>,
    /// How long ago a quorum last answered it, in milliseconds; null where it does not lead.
    pub quorum_last_answer_ms: Option<u64>,
    /// Whether it has read all its data since it started.
    pub recovered: bool,
}

/// What a node is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// It leads.
    Leader,
    /// It follows a leader, and votes.
    Follower,
    /// It receives the log and does not vote.
    Learner,
    /// It asks to lead.
    Candidate,
    /// It takes no part any more.
    Stopped,
}

impl NodeRole {
    /// The role as it stands in the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Learner => "learner",
            Self::Candidate => "candidate",
            Self::Stopped => "stopped",
        }
    }
}

/// What program answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The program's version.
    pub version: String,
    /// The level that the members have agreed on.
    pub level: u16,
    /// The highest level that this program can carry out.
    pub supported_level: u16,
}

/// Whether a node can serve, check by check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether all checks passed.
    pub ready: bool,
    /// The cluster's random identity, 32 hexadecimal digits, beside the checks; absent where the node knows of no cluster yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The checks.
    pub checks: Vec<ReadinessCheck>,
}

/// One thing that a node needs to serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadinessCheck {
    /// The stable code.
    pub code: String,
    /// Whether it is so.
    pub passed: bool,
    /// How it stands, in a sentence.
    pub detail: String,
}
