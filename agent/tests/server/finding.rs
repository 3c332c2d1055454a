//! How the server finds an authority node by itself.

use std::time::Duration;

use bursar_agent::MemberError;
use bursar_domain::{AuthorityNodeId, Level, encoding::encode, projection::SCHEMA};
use bursar_net::{Lane, Member, Network, RefusalCode, StoreId};
use bursar_wire::control::{Port, Seen, ServerAnswer, ServerQuestion};
use tokio::time::Instant;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn it_works_on_while_nobody_answers_and_is_there_when_somebody_does() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let file = machine.directory().projection_file(&machine.server());
    let projection = encode(&fleet(&[2, 3]));
    file.save(bursar_agent::Saved { position: at(5), schema: u32::from(SCHEMA), projection }).unwrap();
    let _running = machine.run().await;
    let dialer = cluster.dialer(Member::authority(1), StoreId([0; 16]));
    let hour = Duration::from_secs(3_600);
    for _ in 0..2 {
        // An hour, by the tests' clock, in which no authority node is reached.
        tokio::time::sleep(hour).await;
        let store = Some(machine.store());
        dialer.dial(&address("0.0.0.0:4288"), Member::server(ME.0), store, Lane::Control, hour).await.expect("it answers");
    }
    let mut node = cluster.node(3).await;
    let (_call, follow) = node.follower().await;
    assert_eq!(follow.since, Some(at(5)), "it looks where the ledger says, not where it was adopted");
    node.speaker().await.hear_until(|_| true).await;
}

#[tokio::test(start_paused = true)]
async fn it_finds_those_who_have_taken_the_places_of_all_that_it_knew() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[2]).await;
    let store = StoreId([0; 16]);
    // What answers there is certified by the authority, and is none that the server may follow.
    for stranger in [Member::authority(1), Member::server(OTHER.0)] {
        let mut other = cluster.member(stranger, store, control_of(2)).await;
        let _running = machine.run().await;
        let followed = tokio::time::timeout(Duration::from_secs(60), other.follower()).await;
        assert!(followed.is_err(), "an older node was removed, and a server is no node");
    }
    let mut successor = cluster.member(Member::authority(3), store, control_of(2)).await;
    let _running = machine.run().await;
    successor.follower().await;
    successor.speaker().await.hear_until(|_| true).await;
}

#[tokio::test(start_paused = true)]
async fn it_takes_the_word_of_a_successor_that_it_was_removed() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[2]).await;
    let successor = cluster.member(Member::authority(3), StoreId([0; 16]), control_of(2)).await;
    successor.refuse(RefusalCode::RemovedNode);
    assert!(matches!(machine.run().await.ended().await, MemberError::Excluded));
}

#[tokio::test(start_paused = true)]
async fn it_tells_what_it_sees_of_the_others() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let mut node = cluster.node(1).await;
    let others = StoreId(OTHERS_GUID.0);
    let _transfer = cluster.member(Member::server(OTHER.0), others, address("store-8.example:4286")).await;
    let _another = cluster.member(Member::server(OTHER.0), StoreId([9; 16]), address("store-8.example:4283")).await;
    let _running = machine.run().await;
    let mut fleet = fleet(&[1]);
    fleet.peers.extend([(OTHER, other())]);
    let (mut call, _) = node.follower().await;
    call.tell(anew(10, &fleet)).await;
    let mut speaker = node.speaker().await;
    assert_eq!(speaker.hear_until(|_| true).await.sights, [], "that it is there is heard before what it sees");
    let heartbeat = speaker.hear_until(|heartbeat| heartbeat.sights.len() == 5).await;
    let seen: Vec<_> = heartbeat.sights.iter().map(|sight| (sight.of, sight.port, sight.probed.outcome.is_reached())).collect();
    let authority = Seen::AuthorityNode(AuthorityNodeId(1));
    let expected = [
        (authority, Port::Peer, false),
        (authority, Port::Control, true),
        // Somebody with another identity answers.
        (Seen::Server(OTHER), Port::Peer, false),
        (Seen::Server(OTHER), Port::Transfer, true),
        (Seen::Server(OTHER), Port::Control, false),
    ];
    assert_eq!(seen, expected, "{:?}", heartbeat.sights);
}

#[tokio::test(start_paused = true)]
async fn it_asks_in_vain_ever_more_rarely_and_never_gives_up() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let mut node = cluster.node(1).await;
    node.refuse(RefusalCode::Unavailable);
    let _running = machine.run().await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    // On two connections, every 2.5 to 5 seconds in the end.
    let refusals = node.refusals();
    assert!((1_400..3_000).contains(&refusals), "{refusals} attempts in an hour");

    // A node that takes the server in and is of no use is no better.
    drop(node);
    node = cluster.node(1).await;
    let mut welcomed = 0;
    let useless = async {
        loop {
            let (mut call, _) = node.follower().await;
            call.tell(anew(10, &fleet(&[1]))).await;
            call.tell(bursar_wire::control::FeedItem::Ended { detail: "it lags".into() }).await;
            welcomed += 1;
        }
    };
    let in_an_hour = tokio::time::timeout(Duration::from_secs(3_600), useless).await;
    assert!(in_an_hour.is_err() && (700..1_500).contains(&welcomed), "{welcomed} attempts in an hour");
}

/// However long nobody answered: who is wanted every second and rests for longer counts as silent.
#[tokio::test(start_paused = true)]
async fn it_rests_no_longer_than_lies_between_two_heartbeats() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let _running = machine.run().await;
    for round in 0..8 {
        let mut node = cluster.node(1).await;
        let back = Instant::now();
        let mut speaker = node.speaker().await;
        assert!(round == 0 || back.elapsed() < Duration::from_millis(1_100), "it came back after {:?}", back.elapsed());
        // Once the second one has come, it has heard how often it is wanted.
        let mut heartbeats = 0;
        while heartbeats < 2 {
            let (number, question) = speaker.question().await;
            let is_heartbeat = matches!(question, ServerQuestion::Heartbeat { .. });
            heartbeats += usize::from(is_heartbeat);
            let heard = ServerAnswer::Heard { again_ms: 1_000, level: Level::FIRST, otherwise: false };
            speaker.answer(number, if is_heartbeat { heard } else { noted() }).await;
        }
        drop((speaker, node));
        tokio::time::sleep(Duration::from_secs(3_600)).await;
    }
}

/// One after the other they would cost six seconds, and with them most of a detection window.
#[tokio::test(start_paused = true)]
async fn nodes_that_do_not_answer_are_not_waited_for_one_after_the_other() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1, 2, 3]).await;
    // Nobody accepts here: connections stand, and nothing is ever said on them.
    let _silent = [network.bind(&control_of(1)).await.unwrap(), network.bind(&control_of(2)).await.unwrap()];
    let mut node = cluster.node(3).await;
    let _running = machine.run().await;
    let mut speaker = node.speaker().await;
    // With the second it has heard the answer to the first.
    for _ in 0..2 {
        speaker.hear_until(|_| true).await;
    }
    drop((speaker, node));

    let mut node = cluster.node(3).await;
    let back = Instant::now();
    node.speaker().await.hear_until(|_| true).await;
    assert!(back.elapsed() < Duration::from_secs(3), "it came back after {:?}", back.elapsed());
}

/// A node that was called beside another one, and given up for it, was not tried.
#[tokio::test(start_paused = true)]
async fn a_node_that_was_given_up_for_one_that_is_of_no_use_comes_next() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1, 2]).await;
    let (mut one, mut two) = (cluster.node(1).await, cluster.node(2).await);
    // Longer than a head start, so that both are called each time, and the first welcomes first.
    network.takes(Duration::from_secs(2));
    let _running = machine.run().await;
    let (mut speaker, other) = tokio::select! {
        speaker = one.speaker() => (speaker, &mut two),
        speaker = two.speaker() => (speaker, &mut one),
    };
    loop {
        let (number, question) = speaker.question().await;
        if matches!(question, ServerQuestion::Heartbeat { .. }) {
            break speaker.answer(number, ServerAnswer::Unavailable { detail: "it reaches no leader".into() }).await;
        }
        speaker.answer(number, noted()).await;
    }
    let next = tokio::time::timeout(Duration::from_secs(60), other.speaker()).await;
    next.expect("it does not come back to the same one again and again").hear_until(|_| true).await;
}

/// Whoever rests between two attempts learns from the other conversation that the authority is back: until it speaks again, it
/// counts as silent.
#[tokio::test(start_paused = true)]
async fn one_conversation_that_finds_a_node_brings_the_other_back() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let _running = machine.run().await;
    for round in 1..=8 {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let mut node = cluster.node(1).await;
        let (mut call, _) = node.follower().await;
        call.tell(anew(10 * round, &fleet(&[1]))).await;
        call.tell(happened(10 * round + 1, &[renamed("store")])).await;
        let found = Instant::now();
        let speaker = node.speaker().await;
        assert!(found.elapsed() < Duration::from_secs(1), "it came back after {:?}", found.elapsed());
        drop((call, speaker, node));
    }
}
