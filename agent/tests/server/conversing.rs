//! What the server tells the authority.

use std::time::Duration;

use bursar_domain::{Level, store_point::Report};
use bursar_wire::control::{Notice, ServerAnswer, ServerQuestion};
use tokio::time::Instant;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn it_is_heard_as_often_as_the_authority_wants() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let mut node = cluster.node(1).await;
    let _running = machine.run().await;
    let mut speaker = node.speaker().await;
    let mut last = None;
    // What it says more often than each second it is not asked for.
    for (again_ms, expected_ms) in [(5_000, 5_000), (2_000, 2_000), (10, 1_000), (5_000, 5_000)] {
        let number = loop {
            match speaker.question().await {
                (number, ServerQuestion::Heartbeat { heartbeat, .. }) => {
                    assert_eq!(heartbeat.version, machine.says.version);
                    break number;
                }
                (number, ServerQuestion::Notice { .. }) => speaker.answer(number, noted()).await,
            }
        };
        if let Some((before, expected)) = last.replace((Instant::now(), Duration::from_millis(expected_ms))) {
            let passed = Instant::now() - before;
            assert!(passed.abs_diff(expected) < Duration::from_millis(100), "{passed:?} instead of {expected:?}");
        }
        speaker.answer(number, ServerAnswer::Heard { again_ms, level: Level::FIRST, otherwise: false }).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_answered_is_told_another_node_under_the_same_name() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1, 2]).await;
    let (mut first, mut second) = (cluster.node(1).await, cluster.node(2).await);
    let _running = machine.run().await;
    // All servers begin with another node.
    let (mut call, later) = tokio::select! {
        call = first.speaker() => (call, &mut second),
        call = second.speaker() => (call, &mut first),
    };
    let (_, request, notice) = call.unanswered().await;
    assert!(matches!(&notice, Notice::Program(program) if program.version == machine.says.version), "{notice:?}");
    drop(call);
    let mut call = later.speaker().await;
    for _ in 0..3 {
        let (number, again, notice_again) = call.unanswered().await;
        assert_eq!((&again, &notice_again), (&request, &notice), "nobody knows whether it was heard");
        call.answer(number, ServerAnswer::Unavailable { detail: "there is no leader".into() }).await;
    }
}

#[tokio::test(start_paused = true)]
async fn silence_and_nodes_that_are_of_no_use_are_left() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let mut node = cluster.node(1).await;
    let _running = machine.run().await;
    let mut silent = node.speaker().await;
    silent.is_left().await;
    let mut useless = node.speaker().await;
    loop {
        if let (number, ServerQuestion::Heartbeat { .. }) = useless.question().await {
            useless.answer(number, ServerAnswer::Unavailable { detail: "there is no leader".into() }).await;
            break;
        }
    }
    useless.is_left().await;
    node.speaker().await.hear_until(|_| true).await;
}

#[tokio::test(start_paused = true)]
async fn how_things_are_is_told_again_after_each_connection_and_else_only_when_it_changes() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let mut node = cluster.node(1).await;
    let _running = machine.run().await;
    let _call = node.wants_a_store_point(&machine).await;
    let mut speaker = node.speaker().await;
    speaker.note_until(&told(3, Report::Online)).await;
    for _ in 0..5 {
        match speaker.question().await {
            (number, ServerQuestion::Heartbeat { .. }) => speaker.answer(number, heard()).await,
            (_, ServerQuestion::Notice { notice, .. }) => panic!("nothing has changed, and it tells {notice:?}"),
        }
    }
    drop(speaker);
    node.speaker().await.note_until(&told(3, Report::Online)).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_not_told_again() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let mut node = cluster.node(1).await;
    let _running = machine.run().await;
    let mut speaker = node.speaker().await;
    let (number, _, _) = speaker.unanswered().await;
    speaker.answer(number, ServerAnswer::Refused { code: "internal_error".into(), detail: "out of luck".into() }).await;
    for _ in 0..5 {
        let (number, ServerQuestion::Heartbeat { .. }) = speaker.question().await else {
            panic!("it tells again what was refused")
        };
        speaker.answer(number, heard()).await;
    }
}
