//! How the cluster fares, and what program answers.

use std::collections::BTreeSet;

use axum::{extract::State, response::Response};

use bursar_domain::{AuthorityNodeId, Level, Timestamp, authority_node::AuthorityNode};
use bursar_wire::{
    problem::code::{NO_LEADER, NO_QUORUM},
    query::PresentQuery,
    status::{
        Check, Counts, FaultTolerance, Grade, MemberObserved, MemberStatus, NodeFigures, NodeRole, Staleness, Status, Version,
    },
    times::rfc3339,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answer,
    api::Service,
    authentication::Caller,
    authority::{NodeStatus, PeerStatus, Role},
    failure::Failure,
    nouns::cluster::role,
    parameters::Parameters,
};

/// How long a member may be silent towards the leader before it counts as not answering, in milliseconds.
const SILENCE_MS_MAX: u64 = 3_000;

/// The routes behind the guard.
pub(crate) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(status))
}

/// The routes for everybody.
pub(crate) fn open_routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(version))
}

/// Tell how the cluster fares.
///
/// Ask with `consistency=stale` for what a node sees that has lost the others.
#[utoipa::path(get, path = "/api/v1/status", tag = "status", operation_id = "status", params(PresentQuery),
    responses((status = 200, description = "How it fares, as this node sees it.", body = Status)))]
async fn status(
    State(service): State<Service>,
    caller: Caller,
    Parameters(query): Parameters<PresentQuery>,
) -> Result<Response, Failure> {
    let state = service.read_present(caller, &query).await?;
    let cluster = state.cluster().ok_or_else(|| Failure::not_founded(&state))?;
    let node = service.authority.status();
    let members: Vec<_> = state
        .authority_nodes()
        .iter()
        .filter(|member| member.intent.is_present())
        .map(|member| MemberStatus::of(member, role(&node, member.id), observed(&node, member)))
        .collect();
    let now = service.now();
    let checks = checks(&node, &members, now);
    let body = Status {
        cluster: cluster.id.to_string(),
        epoch: state.epoch().0,
        level: state.level().0,
        revision: state.cursor().to_string(),
        stale: (!node.confirmed).then(|| Staleness { age_ms: node.confirmed_ms_ago, last_event_at: rfc3339(state.time()) }),
        time: rfc3339(now),
        leader: node.leader.map(|leader| leader.0),
        health: health(&node, &checks),
        checks,
        fault_tolerance: fault_tolerance(&node),
        members,
        unobserved_reason: (node.role != Role::Leader).then(|| unobserved_reason(&node)),
        counts: Counts::of(&state),
        node: figures(&node),
    };
    Ok(answer::json(&state, &body))
}

/// Tell what program answers.
#[utoipa::path(get, path = "/api/v1/version", tag = "status", operation_id = "version",
    responses((status = 200, description = "The program.", body = Version)))]
async fn version(State(service): State<Service>) -> Response {
    let state = service.authority.latest();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    answer::json(&state, &Version { version, level: state.level().0, supported_level: Level::SUPPORTED.0 })
}

/// What the leader sees of a member; nobody else sees any.
fn observed(node: &NodeStatus, member: &AuthorityNode) -> Option<MemberObserved> {
    (node.role == Role::Leader).then(|| observed_of(node, member.id))
}

fn observed_of(leader: &NodeStatus, member: AuthorityNodeId) -> MemberObserved {
    if member == leader.id {
        return MemberObserved { reachable: true, lag_entries: Some(0), last_answer_ms: None };
    }
    let peer = leader.peers.iter().find(|peer| peer.id == member);
    let answering = peer.filter(|peer| answers(peer));
    MemberObserved {
        reachable: answering.is_some(),
        // It may have more than it has confirmed, or nothing any more.
        lag_entries: answering.and_then(|peer| peer.lag),
        last_answer_ms: peer.and_then(|peer| peer.last_ack_ms),
    }
}

fn answers(peer: &PeerStatus) -> bool {
    peer.last_ack_ms.is_some_and(|silence_ms| silence_ms <= SILENCE_MS_MAX)
}

fn unobserved_reason(node: &NodeStatus) -> String {
    match (node.leader, &node.leader_api_address) {
        (Some(leader), Some(address)) => format!("only the leader observes the others: ask {leader} at {address}"),
        (Some(leader), None) => format!("only the leader observes the others: ask {leader}"),
        (None, _) => "only a leader observes the others, and this node knows none".to_owned(),
    }
}

fn fault_tolerance(node: &NodeStatus) -> FaultTolerance {
    let reachable =
        |voter: &&AuthorityNodeId| **voter == node.id || node.peers.iter().any(|peer| peer.id == **voter && answers(peer));
    let voters_reachable = (node.role == Role::Leader).then(|| count(node.voters.iter().filter(reachable)));
    FaultTolerance::of(count(node.voters.iter()), voters_reachable)
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

/// The worst of the checks. Silence is no health: only a leader that has heard of a quorum knows how the others fare.
fn health(node: &NodeStatus, checks: &[Check]) -> Grade {
    let sees_others = node.role == Role::Leader && (node.voters.len() == 1 || node.quorum_last_ack_ms.is_some());
    Grade::worst_of(checks).max(if sees_others { Grade::Ok } else { Grade::Unknown })
}

/// What is not as it should be.
fn checks(node: &NodeStatus, members: &[MemberStatus], now: Timestamp) -> Vec<Check> {
    let mut checks = Vec::new();
    if node.leader.is_none() {
        let summary = "This node knows no leader: nothing can be changed through it.".to_owned();
        checks.push(check(
            NO_LEADER,
            Grade::Err,
            summary,
            "Start the members that are down, and check that they reach each other.",
        ));
    }
    if !node.recovered {
        let summary = "This node is still reading its own data.".to_owned();
        checks.push(check("recovering", Grade::Warn, summary, "Nothing: it ends by itself."));
    }
    let tolerance = fault_tolerance(node);
    if let Some(reachable) = tolerance.voters_reachable.filter(|reachable| *reachable < tolerance.quorum) {
        let FaultTolerance { voters, quorum, .. } = tolerance;
        let summary = format!("No quorum: {reachable} of {voters} voters answering, {quorum} needed. Nothing can be changed.");
        checks.push(check(
            NO_QUORUM,
            Grade::Err,
            summary,
            "Start the members that are down, and check that they reach each other.",
        ));
    }
    let silent = |member: &&MemberStatus| member.observed.as_ref().is_some_and(|observed| !observed.reachable);
    for member in members.iter().filter(silent) {
        checks.push(silence(node, member, now));
    }
    let voters = node.voters.len();
    if voters == 2 {
        let summary = "Two members vote: either of them failing stops the authority.".to_owned();
        checks.push(check("no_fault_tolerance", Grade::Warn, summary, "Invite a third member with `bursar cluster invite`."));
    }
    checks
}

fn check(code: &str, severity: Grade, summary: String, remedy: &str) -> Check {
    Check { code: code.into(), severity, summary, remedy: remedy.into() }
}

/// Which member does not answer, since when, and what to do.
fn silence(node: &NodeStatus, member: &MemberStatus, now: Timestamp) -> Check {
    let MemberStatus { id, peer_address, .. } = member;
    let since = match member.observed.as_ref().and_then(|observed| observed.last_answer_ms) {
        Some(silence_ms) => format!("since {}", rfc3339(Timestamp(now.0.saturating_sub(silence_ms)))),
        None => format!("since {} leads", node.id),
    };
    let summary = format!("Authority node {id} at {peer_address} has not answered the leader {since}.");
    let remedy = format!(
        "Start it there with `bursar authority run`, and check that the other members reach {peer_address}. Where its machine or its \
         disk is lost, `bursar cluster remove {id}` and invite another one with `bursar cluster invite`."
    );
    check("member_unreachable", Grade::Warn, summary, &remedy)
}

fn figures(node: &NodeStatus) -> NodeFigures {
    let numbers = |nodes: &BTreeSet<AuthorityNodeId>| nodes.iter().map(|node| node.0).collect();
    NodeFigures {
        id: node.id.0,
        role: match node.role {
            Role::Leader => NodeRole::Leader,
            Role::Follower => NodeRole::Follower,
            Role::Learner => NodeRole::Learner,
            Role::Candidate => NodeRole::Candidate,
            Role::Stopped => NodeRole::Stopped,
        },
        term: node.term,
        last_log_index: node.last_log,
        committed_index: node.committed,
        applied_index: node.applied,
        purged_index: node.purged,
        checkpoint_index: node.snapshot,
        voters: numbers(&node.voters),
        learners: numbers(&node.learners),
        quorum_last_answer_ms: node.quorum_last_ack_ms,
        recovered: node.recovered,
    }
}

#[cfg(test)]
mod tests {
    use bursar_storage::log::LogCounters;

    use super::*;

    fn leader_of(voters: &[u64], quorum_last_ack_ms: Option<u64>) -> NodeStatus {
        NodeStatus {
            id: AuthorityNodeId(1),
            role: Role::Leader,
            term: 1,
            leader: Some(AuthorityNodeId(1)),
            revision: Default::default(),
            leader_api_address: None,
            last_log: None,
            committed: None,
            applied: None,
            purged: None,
            snapshot: None,
            voters: voters.iter().copied().map(AuthorityNodeId).collect(),
            learners: [].into(),
            peers: Vec::new(),
            quorum_last_ack_ms,
            recovered: true,
            confirmed: true,
            confirmed_ms_ago: Some(0),
            log: LogCounters::default(),
        }
    }

    #[test]
    fn health_is_unknown_until_a_quorum_has_answered_and_to_whoever_does_not_lead() {
        assert_eq!(health(&leader_of(&[1], None), &[]), Grade::Ok);
        assert_eq!(health(&leader_of(&[1, 2, 3], None), &[]), Grade::Unknown);
        assert_eq!(health(&leader_of(&[1, 2, 3], Some(7)), &[]), Grade::Ok);
        assert_eq!(health(&NodeStatus { role: Role::Follower, ..leader_of(&[1, 2, 3], None) }, &[]), Grade::Unknown);
    }

    #[test]
    fn how_far_a_member_lags_is_told_only_while_it_answers() {
        let member = AuthorityNodeId(2);
        let lags = |last_ack_ms| {
            let peers = vec![PeerStatus { id: member, matched: Some(2), lag: Some(7), last_ack_ms }];
            let seen = observed_of(&NodeStatus { peers, ..leader_of(&[1, 2], Some(0)) }, member);
            (seen.reachable, seen.lag_entries)
        };
        assert_eq!(lags(Some(SILENCE_MS_MAX)), (true, Some(7)));
        assert_eq!(lags(Some(SILENCE_MS_MAX + 1)), (false, None));
        assert_eq!(lags(None), (false, None));
    }

    #[test]
    fn a_lost_quorum_is_told_before_who_is_silent() {
        let node = leader_of(&[1, 2, 3], Some(90_000));
        let member = |id: u64| MemberStatus {
            id,
            site: None,
            api_address: format!("10.0.0.{id}:4285"),
            peer_address: format!("10.0.0.{id}:4283"),
            version: "0.1.0".into(),
            intent: bursar_wire::cluster::MemberIntent::Voting,
            role: None,
            observed: Some(MemberObserved { reachable: false, lag_entries: None, last_answer_ms: Some(90_000) }),
        };
        let checks = checks(&node, &[2, 3].map(member), Timestamp(1_900_000_000_000));
        let codes: Vec<_> = checks.iter().map(|check| check.code.as_str()).collect();
        assert_eq!(codes, ["no_quorum", "member_unreachable", "member_unreachable"]);
        assert_eq!(checks[0].summary, "No quorum: 1 of 3 voters answering, 2 needed. Nothing can be changed.");
        assert_eq!(health(&node, &checks), Grade::Err);
    }

    #[test]
    fn a_member_that_does_not_answer_is_never_well_whatever_its_role() {
        let node = leader_of(&[1], Some(0));
        let member = MemberStatus {
            id: 2,
            site: None,
            api_address: "10.0.0.2:4285".into(),
            peer_address: "10.0.0.2:4283".into(),
            version: "0.1.0".into(),
            intent: bursar_wire::cluster::MemberIntent::Leaving,
            role: None,
            observed: Some(MemberObserved { reachable: false, lag_entries: None, last_answer_ms: None }),
        };
        let now = Timestamp(1_900_000_000_000);
        let checks = |member: &MemberStatus| super::checks(&node, std::slice::from_ref(member), now);
        let never = checks(&member);
        assert_eq!((never[0].code.as_str(), health(&node, &never)), ("member_unreachable", Grade::Warn));
        let expected = "Authority node 2 at 10.0.0.2:4283 has not answered the leader since authority node 1 leads.";
        assert_eq!(never[0].summary, expected);
        let observed = MemberObserved { reachable: false, lag_entries: None, last_answer_ms: Some(90_000) };
        let lately = checks(&MemberStatus { observed: Some(observed), ..member.clone() });
        let expected = "Authority node 2 at 10.0.0.2:4283 has not answered the leader since 2030-03-17T17:45:10.000Z.";
        assert_eq!(lately[0].summary, expected);
        assert!(lately[0].remedy.contains("`bursar cluster remove 2`"), "{}", lately[0].remedy);
    }
}
