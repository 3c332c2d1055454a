//! What the server learns of the fleet, and keeps.

use bursar_agent::MemberError;
use bursar_domain::{
    Hash, Projection, Revision,
    encoding::{decode, encode},
    projection::SCHEMA,
    server::ProjectionState,
};
use bursar_wire::control::{FeedItem, Notice};
use serde_bytes::ByteBuf;

use crate::support::*;

fn kept(machine: &Machine) -> (Projection, u64) {
    let saved = machine.saved().expect("something is kept");
    (decode(&saved.projection).unwrap(), saved.position.revision.0)
}

fn says(state: ProjectionState, at: u64) -> Notice {
    Notice::Projection { state, at: Revision(at) }
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_from_what_it_kept() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let mut node = cluster.node(1).await;
    let running = machine.run().await;
    let mut speaker = node.speaker().await;

    let (mut call, follow) = node.follower().await;
    assert_eq!((follow.since, follow.schema), (None, SCHEMA));
    let (begun, renamed) = (fleet(&[1]), renamed("store-seven"));
    call.tell(anew(10, &begun)).await;
    speaker.hear_at(at(10)).await;
    assert_eq!(kept(&machine), (begun.clone(), 10));
    call.tell(happened(15, std::slice::from_ref(&renamed))).await;
    speaker.hear_at(at(15)).await;
    let known = behind(&begun, &renamed);
    assert_eq!(kept(&machine), (known.clone(), 15));
    call.tell(head(20, &known)).await;
    speaker.note_until(&says(ProjectionState::Matching, 20)).await;
    drop(running);
    speaker.is_left().await;

    let _running = machine.run().await;
    let (mut call, follow) = node.follower().await;
    assert_eq!(follow.since, Some(at(20)), "where nothing concerned it counts too");
    let mut speaker = node.speaker().await;
    assert_eq!(speaker.hear_until(|_| true).await.position, Some(at(20)), "it knows before it is told anything");
    call.tell(head(21, &known)).await;
    speaker.note_until(&says(ProjectionState::Matching, 21)).await;
}

#[tokio::test(start_paused = true)]
async fn where_it_does_not_hold_what_it_should_it_says_so_and_reads_anew() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let mut node = cluster.node(1).await;
    let _running = machine.run().await;
    let mut speaker = node.speaker().await;
    let (mut call, _) = node.follower().await;
    let fleet = fleet(&[1]);
    call.tell(anew(10, &fleet)).await;
    call.tell(FeedItem::Head { cursor: at(11), digest: None }).await;
    call.tell(FeedItem::Head { cursor: at(12), digest: Some(Hash([1; 32])) }).await;
    speaker.note_until(&says(ProjectionState::Mismatched, 12)).await;

    let (mut call, follow) = node.follower().await;
    assert_eq!(follow.since, None, "it does not trust what it knows");
    call.tell(head(12, &fleet)).await;
    let (mut call, follow) = node.follower().await;
    assert_eq!(follow.since, None, "nor a node that goes on with it");
    call.tell(anew(12, &fleet)).await;
    call.tell(head(12, &fleet)).await;
    speaker.note_until(&says(ProjectionState::Matching, 12)).await;
}

#[tokio::test(start_paused = true)]
async fn a_history_that_does_not_go_on_from_its_own_is_read_anew() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let mut node = cluster.node(1).await;
    let _running = machine.run().await;
    let fleet = fleet(&[1]);
    let again = happened(10, &[renamed("store-seven")]);
    let beyond = match happened(12, &[renamed("store-seven")]) {
        FeedItem::Records { records, .. } => FeedItem::Records { records, upto: at(11) },
        _ => unreachable!(),
    };
    let other_epoch = FeedItem::Head { cursor: bursar_domain::Cursor { epoch: bursar_domain::Epoch(2), ..at(11) }, digest: None };
    let earlier = FeedItem::Head { cursor: at(9), digest: None };
    for astray in [again, beyond, other_epoch, earlier] {
        let (mut call, follow) = node.follower().await;
        assert_eq!(follow.since, None, "before {astray:?}");
        call.tell(anew(10, &fleet)).await;
        call.tell(astray).await;
    }
    let (_call, follow) = node.follower().await;
    assert_eq!(follow.since, None);
    assert!(machine.saved().is_none_or(|saved| saved.position == at(10)), "nothing of it was kept");
}

#[tokio::test(start_paused = true)]
async fn where_one_node_ends_it_goes_on_at_another() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let (mut first, mut second) = (cluster.node(1).await, cluster.node(2).await);
    let _running = machine.run().await;
    let (mut call, _) = first.follower().await;
    // Of the second it learns here.
    let fleet = fleet(&[1, 2]);
    call.tell(anew(10, &fleet)).await;
    first.speaker().await.hear_at(at(10)).await;
    call.tell(FeedItem::Ended { detail: "it lags".into() }).await;
    let (mut call, follow) = second.follower().await;
    assert_eq!(follow.since, Some(at(10)));
    call.tell(head(11, &fleet)).await;
    // One that says nothing more is as good as gone.
    let (_call, follow) = first.follower().await;
    assert_eq!(follow.since, Some(at(11)));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_removed_says_so_and_ends() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    for by_record in [false, true] {
        let machine = Machine::adopted(&network, &cluster, &[1]).await;
        let mut node = cluster.node(1).await;
        let running = machine.run().await;
        let (mut call, _) = node.follower().await;
        call.tell(anew(10, &fleet(&[1]))).await;
        call.tell(if by_record { happened(11, &[removed()]) } else { FeedItem::Excluded }).await;
        let ended = running.ended().await;
        assert!(matches!(ended, MemberError::Excluded), "{ended}");
        assert!(ended.to_string().contains("bursar storage-server init"), "{ended}");
    }
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let node = cluster.node(1).await;
    node.refuse(bursar_net::RefusalCode::RemovedNode);
    let ended = machine.run().await.ended().await;
    assert!(matches!(ended, MemberError::Excluded), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn what_a_newer_program_says_ends_it_with_what_to_do() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let mut node = cluster.node(1).await;
    let running = machine.run().await;
    let (mut call, _) = node.follower().await;
    call.tell(anew(10, &fleet(&[1]))).await;
    let FeedItem::Records { mut records, upto } = happened(11, &[renamed("store-seven")]) else { unreachable!() };
    records[0][1] += 1;
    call.tell(FeedItem::Records { records, upto }).await;
    let ended = running.ended().await;
    assert!(matches!(ended, MemberError::Newer(_)) && ended.to_string().contains("run the newer program"), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn damage_to_what_it_kept_ends_it_with_what_to_do() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let file = machine.directory().projection_file(&machine.server());
    let saved = |schema, projection| bursar_agent::Saved { position: at(5), schema, projection };
    file.save(saved(u32::from(SCHEMA), encode(&fleet(&[1])))).unwrap();
    let mut bytes = std::fs::read(file.path()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(file.path(), bytes).unwrap();
    let ended = machine.run().await.ended().await;
    assert!(ended.to_string().contains("remove it and start the server"), "{ended}");

    // Another shape is no damage.
    file.save(saved(u32::from(SCHEMA) + 1, b"of another program".to_vec())).unwrap();
    let mut node = cluster.node(1).await;
    let _running = machine.run().await;
    let (_call, follow) = node.follower().await;
    assert_eq!(follow.since, None);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_asked_of_another_node() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let mut node = cluster.node(1).await;
    let _running = machine.run().await;
    let (mut call, _) = node.follower().await;
    call.tell(anew(10, &fleet(&[1]))).await;
    node.speaker().await.hear_at(at(10)).await;
    call.tell(FeedItem::Records { records: vec![ByteBuf::from(b"no record".to_vec())], upto: at(11) }).await;
    let (_call, follow) = node.follower().await;
    assert_eq!(follow.since, Some(at(10)));
}
