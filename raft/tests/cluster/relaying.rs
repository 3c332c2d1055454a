//! What is relayed to the leader, and what only the leader does of itself.

use bursar_domain::{Actor, AuthorityNodeId, Command, Duty, Rejection, Submission, authority_node};
use bursar_raft::{Fate, ReadError, SubmitError, Unavailability, duty_submission};
use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    quiet::{Reign, holds, undisturbed},
    support::*,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_answers_what_any_node_relays() {
    let cluster = Cluster::new(|_| {});
    let mut nodes: Vec<Running> = cluster.three().await.into();
    undisturbed(async || the_leader_answers_all(&nodes).await).await;
    let leader = take_leader(&mut nodes).await;

    // One that is cut off does not answer, also where it does not know yet that another leads.
    cluster.cuts.cut_off(leader.node.id().0);
    let patience = std::time::Duration::from_millis(300);
    let refused = leader.node.relay(Bytes::from_static(b"here?"), Instant::now() + patience).await.unwrap_err();
    assert!(matches!(refused, ReadError::Unavailable { .. }), "{refused}");

    // Its successor answers what comes then.
    leader.stop().await;
    let answer = nodes[0].node.relay(Bytes::from_static(b"again"), soon()).await.unwrap();
    assert!(nodes.iter().any(|running| signed("again", running) == answer), "{answer:?}");

    // And nobody, where nobody leads.
    take_leader(&mut nodes).await.stop().await;
    let alone = nodes.remove(0);
    alone.node.status_when(soon(), |status| !status.confirmed).await.unwrap();
    let refused = alone.node.relay(Bytes::from_static(b"anybody?"), Instant::now() + patience).await.unwrap_err();
    assert!(matches!(refused, ReadError::Unavailable { .. }), "{refused}");
    alone.stop().await;
}

/// What `by` answers to `text`.
fn signed(text: &str, by: &Running) -> Bytes {
    Bytes::from(format!("{text} {}", by.node.id().0))
}

/// Has each of `nodes` relay a message, and tells whether the one that led all the while answered them all.
async fn the_leader_answers_all(nodes: &[Running]) -> bool {
    let leader = &nodes[leader_place(nodes).await];
    let reign = Reign::of(leader);
    let relayed = || -> Vec<u64> { nodes.iter().map(|running| running.node.counters().messages_relayed).collect() };
    let before = relayed();
    let mut answers = Vec::new();
    for running in nodes {
        answers.push(running.node.relay(Bytes::from_static(b"hello"), soon()).await);
    }
    let (after, led_on) = (relayed(), reign.lasts());
    let all_signed = holds(answers, vec![Ok(signed("hello", leader)); nodes.len()], led_on);
    // The others each passed it on once, the leader answered itself.
    let once = |(before, running): (&u64, &Running)| before + u64::from(running.node.id() != leader.node.id());
    let promised: Vec<u64> = before.iter().zip(nodes).map(once).collect();
    // A leader that no quorum has confirmed for too long is asked once more.
    all_signed && holds(after, promised, led_on && reign.is_within_lease())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duty_speaks_for_the_leader_alone() {
    let cluster = Cluster::new(|_| {});
    let nodes = cluster.three().await;
    undisturbed(async || only_the_leader_settles(&nodes).await).await;
    for running in nodes {
        running.stop().await;
    }
}

/// Has the leader settle as its duty does, and another node too, and tells whether that was decided for the one that led all the
/// while and for nobody else.
async fn only_the_leader_settles(nodes: &[Running]) -> bool {
    let place = leader_place(nodes).await;
    let (leader, follower) = (&nodes[place], &nodes[(place + 1) % nodes.len()]);
    let reign = Reign::of(leader);
    let mut settled = Vec::new();
    for (running, node) in [(leader, 1), (leader, 9), (follower, 1)] {
        let applied = running.node.submit_as_leader(&settle(running, AuthorityNodeId(node)), soon()).await;
        settled.push(applied.map(|applied| applied.outcome.map(|_| ())).map_err(without_waiting));
    }
    // A leader that no quorum has confirmed for too long decides nothing.
    let quiet = reign.lasts() && reign.is_within_lease();
    let no_such_node = Rejection::NotFound { object: AuthorityNodeId(9).into() };
    let not_done = SubmitError::Unavailable { waited_ms: 0, reason: Unavailability::NoLeader, fate: Fate::NotDone };
    holds(settled, vec![Ok(Ok(())), Ok(Err(no_such_node)), Err(not_done)], quiet)
}

/// What the duty of `running` submits to settle `node`.
fn settle(running: &Running, node: AuthorityNodeId) -> Submission {
    let command = Command::AuthorityNode(authority_node::Command::Settle { node });
    duty_submission(Actor::Duty(Duty::Membership), running.node.latest().revision(), node.into(), command)
}

fn without_waiting(error: SubmitError) -> SubmitError {
    match error {
        SubmitError::Unavailable { reason, fate, .. } => SubmitError::Unavailable { waited_ms: 0, reason, fate },
        other => other,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_told_when_it_begins_and_when_it_ceases_to_lead() {
    let cluster = Cluster::new(|_| {});
    let mut nodes: Vec<Running> = cluster.three().await.into();
    let leader = take_leader(&mut nodes).await;
    let term = leader.node.begins_to_lead().await;
    assert_eq!(term, leader.node.status().term);
    // Nobody ceases to lead in a term in which they do not.
    leader.node.ceases_to_lead(term + 1).await;
    let heir = nodes[0].node.id();
    let (begun, (), handed_over) = tokio::join!(
        nodes[0].node.begins_to_lead(),
        leader.node.ceases_to_lead(term),
        leader.node.transfer_leadership(Some(heir), soon()),
    );
    assert_eq!(handed_over, Ok(heir));
    assert!(begun > term);
    for running in nodes.into_iter().chain([leader]) {
        running.stop().await;
    }
}
