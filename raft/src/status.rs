//! What a node says of itself and, as the leader, of the others.

use std::{collections::BTreeSet, time::Duration};

use bursar_domain::{AuthorityNodeId, Revision};
use bursar_storage::log::LogCounters;
use openraft::{Instant as _, ServerState};

use crate::{
    leadership::Leadership,
    published::Published,
    readiness::{Found, Readiness},
    types::Metrics,
};

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It decides.
    Leader,
    /// It votes, and follows the leader.
    Follower,
    /// It follows, and does not vote.
    Learner,
    /// It asks for votes.
    Candidate,
    /// It has stopped.
    Stopped,
}

/// A node as it sees itself. Positions are indexes of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its number.
    pub id: AuthorityNodeId,
    /// What it is.
    pub role: Role,
    /// The term that it is in.
    pub term: u64,
    /// Who leads, where it knows.
    pub leader: Option<AuthorityNodeId>,
    /// Where people reach the leader's API.
    pub leader_api_address: Option<String>,
    /// The revision of its state.
    pub revision: Revision,
    /// The last entry of its log.
    pub last_log: Option<u64>,
    /// The last entry that it knows to be committed.
    pub committed: Option<u64>,
    /// The last entry that it has applied.
    pub applied: Option<u64>,
    /// The last entry that it has purged.
    pub purged: Option<u64>,
    /// The last entry that its checkpoint covers.
    pub snapshot: Option<u64>,
    /// Who votes.
    pub voters: BTreeSet<AuthorityNodeId>,
    /// Who only receives the log.
    pub learners: BTreeSet<AuthorityNodeId>,
    /// How far the others are; on the leader only.
    pub peers: Vec<PeerStatus>,
    /// How long ago a quorum last confirmed the leader, in milliseconds; on the leader only. A single voter always confirms itself.
    pub quorum_last_ack_ms: Option<u64>,
    /// Whether it has applied all that was committed before it was started.
    pub recovered: bool,
    /// Whether it can serve linearizable reads and writes: within the last three election timeouts the leader has confirmed
    /// with a quorum how far this node must be, and it was there.
    pub confirmed: bool,
    /// How long ago it asked for the last such confirmation that it got, in milliseconds: it has at least all that was committed
    /// by then. None where it has got none since it was started.
    pub confirmed_ms_ago: Option<u64>,
    /// What its log has written.
    pub log: LogCounters,
}

/// Another node as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its number.
    pub id: AuthorityNodeId,
    /// The last entry that it is known to have.
    pub matched: Option<u64>,
    /// How many entries it lacks.
    pub lag: Option<u64>,
    /// How long ago it last answered, in milliseconds; none where it did not in this term.
    pub last_ack_ms: Option<u64>,
}

/// What `metrics` and what is published tell together.
pub(crate) fn node_status(
    metrics: &Metrics,
    leadership: &Leadership,
    published: &Published,
    found: Found,
    log: LogCounters,
) -> NodeStatus {
    let membership = metrics.membership_config.membership();
    let state = published.state();
    let confirms_itself = metrics.state == ServerState::Leader && membership.voter_ids().eq([metrics.id]);
    let quorum_last_ack_ms = metrics.last_quorum_acked.map(|acked| milliseconds(acked.elapsed()));
    let quorum_last_ack_ms = if confirms_itself { Some(0) } else { quorum_last_ack_ms };
    let leader = leadership.named(metrics.current_leader, metrics.state).id(metrics.id).map(AuthorityNodeId);
    let leader_api_address = leader.and_then(|leader| {
        let announced = state.authority_nodes().get(leader).map(|node| node.api_address.as_str().to_owned());
        announced.or_else(|| membership.get_node(&leader.0).map(|member| member.api_address.clone()))
    });
    NodeStatus {
        id: AuthorityNodeId(metrics.id),
        role: role(metrics.state),
        term: metrics.current_term,
        leader,
        leader_api_address,
        revision: state.revision(),
        last_log: metrics.last_log_index,
        committed: metrics.local_committed.map(|position| position.index),
        applied: published.applied_index(),
        purged: metrics.purged.map(|position| position.index),
        snapshot: metrics.snapshot.map(|position| position.index),
        voters: membership.voter_ids().map(AuthorityNodeId).collect(),
        learners: membership.learner_ids().map(AuthorityNodeId).collect(),
        peers: peers(metrics),
        quorum_last_ack_ms,
        recovered: found.readiness != Readiness::Recovering,
        confirmed: found.readiness == Readiness::Confirmed,
        confirmed_ms_ago: found.confirmed.map(|asked| milliseconds(asked.elapsed())),
        log,
    }
}

/// How far the others are, as the leader knows.
pub(crate) fn peers(metrics: &Metrics) -> Vec<PeerStatus> {
    let Some(replication) = &metrics.replication else { return Vec::new() };
    let others = replication.iter().filter(|(id, _)| **id != metrics.id);
    let status = |(id, matched): (&u64, &Option<crate::types::LogId>)| {
        let matched = matched.map(|position| position.index);
        let acked = metrics.heartbeat.as_ref().and_then(|acked| acked.get(id).copied().flatten());
        PeerStatus {
            id: AuthorityNodeId(*id),
            matched,
            lag: metrics.last_log_index.map(|last| last.saturating_sub(matched.map_or(0, |matched| matched))),
            last_ack_ms: acked.map(|acked| milliseconds(acked.elapsed())),
        }
    };
    others.map(status).collect()
}

/// Those of the others who have answered within the last `silence`.
pub(crate) fn answering(metrics: &Metrics, silence: Duration) -> impl Iterator<Item = PeerStatus> + use<> {
    let silence_ms = milliseconds(silence);
    peers(metrics).into_iter().filter(move |peer| peer.last_ack_ms.is_some_and(|ago| ago <= silence_ms))
}

const fn role(state: ServerState) -> Role {
    match state {
        ServerState::Leader => Role::Leader,
        ServerState::Follower => Role::Follower,
        ServerState::Learner => Role::Learner,
        ServerState::Candidate => Role::Candidate,
        ServerState::Shutdown => Role::Stopped,
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
