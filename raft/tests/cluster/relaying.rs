//! What is relayed to the leader, and what only the leader does of itself.

use bursar_domain::{Actor, AuthorityNodeId, Command, Duty, Rejection, authority_node};
use bursar_raft::{Fate, ReadError, SubmitError, Unavailability, duty_submission};
use bytes::Bytes;
use tokio::time::Instant;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_answers_what_any_node_relays() {
    let cluster = Cluster::new(|_| {});
    let mut nodes: Vec<Running> = cluster.three().await.into();
    let leader = take_leader(&mut nodes).await;
    let signed = |text: &str, by: &Running| Bytes::from(format!("{text} {}", by.node.id().0));
    for running in nodes.iter().chain([&leader]) {
        assert_eq!(running.node.relay(Bytes::from_static(b"hello"), soon()).await, Ok(signed("hello", &leader)));
    }
    assert_eq!(nodes[0].node.counters().messages_relayed, 1);
    assert_eq!(leader.node.counters().messages_relayed, 0, "it answered itself");

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

#[tokio::test(flavor = "multi_thread")]
async fn a_duty_speaks_for_the_leader_alone() {
    let cluster = Cluster::new(|_| {});
    let mut nodes: Vec<Running> = cluster.three().await.into();
    let leader = take_leader(&mut nodes).await;
    let settle = |running: &Running, node| {
        let command = Command::AuthorityNode(authority_node::Command::Settle { node: AuthorityNodeId(node) });
        let object = AuthorityNodeId(node).into();
        duty_submission(Actor::Duty(Duty::Membership), running.node.latest().revision(), object, command)
    };
    let done = leader.node.submit_as_leader(&settle(&leader, 1), soon()).await.unwrap();
    assert!(done.outcome.is_ok(), "{done:?}");
    let done = leader.node.submit_as_leader(&settle(&leader, 9), soon()).await.unwrap();
    assert_eq!(done.outcome, Err(Rejection::NotFound { object: AuthorityNodeId(9).into() }));
    let refused = nodes[0].node.submit_as_leader(&settle(&nodes[0], 1), soon()).await.unwrap_err();
    let not_done = SubmitError::Unavailable { waited_ms: 0, reason: Unavailability::NoLeader, fate: Fate::NotDone };
    assert_eq!(without_waiting(refused), not_done);
    for running in nodes.into_iter().chain([leader]) {
        running.stop().await;
    }
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
