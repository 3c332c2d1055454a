//! Nodes that leave, and nodes that are not who they say they are.

use std::{sync::Arc, time::Duration};

use bursar_domain::{
    Command,
    authority_node::{self, Intent},
};
use bursar_net::{Address, DialError, Lane, Member, RefusalCode};
use bursar_raft::{Consistency, Role, StopReason};

use crate::support::*;

fn remove(running: &Running) -> Command {
    Command::AuthorityNode(authority_node::Command::Remove { node: running.node.id() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node_is_dropped_refused_and_stops() {
    let cluster = Cluster::new(|_| {});
    let mut nodes: Vec<Running> = cluster.three().await.into();
    let leader = take_leader(&mut nodes).await;
    let leaving = nodes.remove(0);
    let id = leaving.node.id();
    cluster.submit(&nodes[0].node, ADMINISTRATOR, remove(&leaving)).await.unwrap().outcome.unwrap();
    assert_eq!(tokio::time::timeout(PATIENCE, leaving.node.stopped()).await.unwrap(), StopReason::Removed);
    let two = leader.node.status_when(soon(), |status| status.voters.len() == 2).await.unwrap();
    assert!(!two.voters.contains(&id) && !two.learners.contains(&id));

    let mut revisions = leader.node.revisions();
    let gone =
        |node: &bursar_raft::Node| node.latest().authority_nodes().get(id).is_some_and(|node| node.intent == Intent::Removed);
    revisions.wait_for(|_| gone(&leader.node)).await.unwrap();
    let store = leaving.disk.store;
    let refused = dial(&cluster, id.0, store, &leader).await;
    assert_eq!(refused, Some(RefusalCode::RemovedNode));
    leaving.stop().await;
    cluster.create_site(&leader.node, "Bern").await.unwrap().outcome.unwrap();
    for running in nodes.into_iter().chain([leader]) {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_removed_hands_over_first() {
    let cluster = Cluster::new(|_| {});
    let mut nodes: Vec<Running> = cluster.three().await.into();
    let leader = take_leader(&mut nodes).await;
    cluster.submit(&leader.node, ADMINISTRATOR, remove(&leader)).await.unwrap().outcome.unwrap();
    assert_eq!(tokio::time::timeout(PATIENCE, leader.node.stopped()).await.unwrap(), StopReason::Removed);
    let two = nodes[0].node.status_when(soon(), |status| status.voters.len() == 2 && status.leader.is_some()).await;
    assert!(!two.unwrap().voters.contains(&leader.node.id()));
    leader.stop().await;
    cluster.create_site(&nodes[0].node, "Bern").await.unwrap().outcome.unwrap();
    for running in nodes {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_node_is_refused_under_its_old_id() {
    let cluster = Cluster::new(|_| {});
    let nodes = cluster.three().await;
    let [first, second, third] = nodes;
    third.stop().await;
    let wiped = cluster.start(3, Disk::new(33)).await;
    cluster.create_site(&first.node, "Bern").await.unwrap().outcome.unwrap();
    assert_eq!(dial(&cluster, 3, [33; 16], &first).await, Some(RefusalCode::ForeignStore));
    assert_eq!(dial_as_meant(&cluster, 1, [1; 16], &wiped, [3; 16]).await, Some(RefusalCode::WrongStore));
    assert_eq!(wiped.node.status().last_log, None, "nothing of the log came to it");
    assert_eq!(wiped.node.status().role, Role::Learner);
    for running in [first, second, wiped] {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_moves_says_so_and_is_found() {
    let cluster = Cluster::new(|_| {});
    let [first, second, third] = cluster.three().await;
    let (id, old) = (third.node.id(), third.address.clone());
    let disk = third.stop().await;
    cluster.forget_address(id.0);
    // Where somebody else has got the old port already, it is taken just as well.
    let taken = tokio::net::TcpListener::bind((old.host(), old.port())).await;
    let moved = cluster.start(id.0, disk).await;
    assert_ne!(moved.address, old);
    let announced = |node: &bursar_raft::Node| {
        node.latest().authority_nodes().get(id).is_some_and(|node| node.peer_address.as_str() == moved.address.to_string())
    };
    let mut revisions = first.node.revisions();
    tokio::time::timeout(PATIENCE, revisions.wait_for(|_| announced(&first.node))).await.unwrap().unwrap();
    let applied = cluster.create_site(&first.node, "Bern").await.unwrap();
    let state = moved.node.read(Consistency::Linearizable, Some(applied.revision), soon()).await.unwrap();
    assert_eq!(state.sites().len(), 1);
    drop(taken);
    for running in [first, second, moved] {
        running.stop().await;
    }
}

/// Calls `to` as node `id` on `store`, and says how that is refused.
async fn dial(cluster: &Cluster, id: u64, store: [u8; 16], to: &Running) -> Option<RefusalCode> {
    dial_as_meant(cluster, id, store, to, to.disk.store).await
}

async fn dial_as_meant(cluster: &Cluster, id: u64, store: [u8; 16], to: &Running, meant: [u8; 16]) -> Option<RefusalCode> {
    let dialer = Arc::new(cluster.dialer(id, store));
    let (address, member): (Address, _) = (to.address.clone(), Member::authority(to.node.id().0));
    let meant = Some(bursar_net::StoreId(meant));
    match dialer.dial(&address, member, meant, Lane::Forward, Duration::from_secs(60)).await {
        Ok(_) => None,
        Err(DialError::Refused { refusal, .. }) => Some(refusal.code),
        Err(error) => panic!("it was not refused: {error}"),
    }
}
