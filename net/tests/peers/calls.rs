//! Questions and answers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bursar_net::*;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::io::duplex;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::support::{Cluster, PATIENCE};

/// Answers numbers from the highest to 0: each waits until the one above it is answered.
struct CountDown {
    next: watch::Sender<u64>,
}

#[async_trait]
impl LaneHandler for CountDown {
    async fn serve(&self, _hello: Hello, reader: FrameReader, writer: FrameWriter) {
        let answered = answer(reader, writer, 64, |body| {
            let number: u64 = frame::decode(&body).unwrap();
            let next = self.next.clone();
            async move {
                next.subscribe().wait_for(|next| *next == number).await.unwrap();
                next.send_replace(number.wrapping_sub(1));
                body
            }
        });
        answered.await.unwrap();
    }
}

async fn call_node(cluster: &Cluster, node: &Address, in_flight_max: usize) -> Caller {
    let dialer = cluster.dialer(2);
    let link = dialer.dial(node, Member::authority(1), None, Lane::Forward, PATIENCE).await.unwrap();
    Caller::new(link.reader, link.writer, in_flight_max)
}

async fn ask(caller: &Caller, number: u64, deadline: Instant) -> Result<u64, CallError> {
    caller.call(&number, deadline).await
}

#[tokio::test]
async fn sixty_four_calls_are_in_flight_at_once_and_answered_backwards() {
    let cluster = Cluster::new("c1");
    let count_down = Arc::new(CountDown { next: watch::Sender::new(63) });
    let node = cluster.start_with(1, &cluster.credentials(1), count_down).await;
    let caller = call_node(&cluster, &node.address, 64).await;
    let deadline = Instant::now() + PATIENCE;
    let calls = (0..64u64).map(|number| ask(&caller, number, deadline));
    let answers: Vec<u64> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers, (0..64).collect::<Vec<_>>());
    node.stop().await;
}

/// Never answers, and tells when it is asked.
struct Silent {
    asked: mpsc::UnboundedSender<()>,
}

#[async_trait]
impl LaneHandler for Silent {
    async fn serve(&self, _hello: Hello, reader: FrameReader, writer: FrameWriter) {
        let answered = answer(reader, writer, 64, |_| {
            self.asked.send(()).unwrap();
            std::future::pending()
        });
        answered.await.unwrap();
    }
}

#[tokio::test]
async fn when_the_peer_goes_away_calls_in_flight_are_lost_and_later_ones_are_not_sent() {
    let cluster = Cluster::new("c1");
    let (asked, mut questions) = mpsc::unbounded_channel();
    let node = cluster.start_with(1, &cluster.credentials(1), Arc::new(Silent { asked })).await;
    let caller = call_node(&cluster, &node.address, 3).await;
    let deadline = Instant::now() + PATIENCE;
    let in_flight = join_all((0..3u64).map(|number| ask(&caller, number, deadline)));
    let stopping = async {
        for _ in 0..3 {
            questions.recv().await.unwrap();
        }
        node.stop().await
    };
    let (lost, _) = tokio::join!(in_flight, stopping);
    for call in lost {
        let error = call.unwrap_err();
        assert!(matches!(error, CallError::Lost) && error.may_have_acted(), "{error}");
    }
    caller.closed().await;
    let error = ask(&caller, 3, deadline).await.unwrap_err();
    assert!(matches!(error, CallError::Closed) && !error.may_have_acted(), "{error}");
}

/// A caller, and the bare frames that it talks to.
fn caller_and_peer(in_flight_max: usize) -> (Caller, FrameReader, FrameWriter) {
    let (near, far) = duplex(1024 * 1024);
    let (reader, writer) = frame::frames(Box::new(near), 1024);
    let caller = Caller::new(reader, writer, in_flight_max);
    let (reader, writer) = frame::frames(Box::new(far), 1024);
    (caller, reader, writer)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(1)
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends_at_its_deadline() {
    let (caller, _reader, _writer) = caller_and_peer(1);
    let started = Instant::now();
    let error = caller.call_raw(Bytes::new(), soon()).await.unwrap_err();
    assert!(matches!(error, CallError::Deadline) && error.may_have_acted(), "{error}");
    assert_eq!(started.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_finds_no_place_until_its_deadline_was_never_sent() {
    let (caller, mut reader, _writer) = caller_and_peer(1);
    let occupying = caller.call_raw(Bytes::from_static(b"first"), Instant::now() + PATIENCE);
    let waiting = caller.call_raw(Bytes::from_static(b"second"), soon());
    tokio::select! {
        biased;
        _ = occupying => panic!("nobody answers"),
        waited = waiting => {
            let error = waited.unwrap_err();
            assert!(matches!(error, CallError::Busy { in_flight_max: 1 }), "{error}");
            assert!(!error.may_have_acted());
        }
    }
    assert!(reader.receive_raw().await.unwrap().ends_with(b"first"));
    assert!(reader.receive_raw().now_or_never().is_none());
}

#[tokio::test]
async fn a_dropped_call_frees_its_place_and_its_late_answer_harms_nobody() {
    let (caller, mut reader, mut writer) = caller_and_peer(1);
    let mut dropped = Box::pin(caller.call_raw(Bytes::from_static(b"first"), Instant::now() + PATIENCE));
    let first = tokio::select! {
        _ = &mut dropped => panic!("nobody answers"),
        question = reader.receive_raw() => question.unwrap(),
    };
    drop(dropped);

    let second = caller.call_raw(Bytes::from_static(b"second"), Instant::now() + PATIENCE);
    let answering = async {
        let second = reader.receive_raw().await.unwrap();
        writer.send_raw(first).await.unwrap();
        writer.send_raw(second).await.unwrap();
    };
    let (answer, ()) = tokio::join!(second, answering);
    assert_eq!(answer.unwrap(), "second");
}

#[tokio::test]
async fn a_call_that_is_given_up_before_it_leaves_is_not_sent() {
    let (caller, mut reader, _writer) = caller_and_peer(2);
    // One poll queues the question; the task that sends it has not run yet.
    assert!(caller.call_raw(Bytes::from_static(b"given up"), Instant::now() + PATIENCE).now_or_never().is_none());
    let kept = caller.call_raw(Bytes::from_static(b"kept"), Instant::now() + PATIENCE);
    tokio::select! {
        _ = kept => panic!("nobody answers"),
        question = reader.receive_raw() => assert!(question.unwrap().ends_with(b"kept")),
    }
}

#[tokio::test]
async fn a_question_over_the_limit_fails_alone() {
    let (caller, reader, writer) = caller_and_peer(2);
    tokio::spawn(answer(reader, writer, 2, |body| async move { body }));
    let too_large = caller.call_raw(vec![0; 1017].into(), Instant::now() + PATIENCE).await;
    assert!(matches!(too_large, Err(CallError::Unsendable(FrameError::TooLarge { .. }))));
    let just_fits = caller.call_raw(vec![7; 1016].into(), Instant::now() + PATIENCE).await;
    assert_eq!(just_fits.unwrap(), vec![7; 1016]);
}

#[tokio::test]
async fn an_answer_of_another_kind_is_told_apart() {
    let (caller, reader, writer) = caller_and_peer(2);
    tokio::spawn(answer(reader, writer, 2, |body| async move { body }));
    let answered = caller.call::<str, u64>("a text", Instant::now() + PATIENCE).await;
    assert!(matches!(answered, Err(CallError::Unreadable(FrameError::Malformed { .. }))));
}

#[tokio::test]
async fn a_handler_that_panics_ends_the_connection() {
    let (caller, reader, writer) = caller_and_peer(2);
    let answering = tokio::spawn(answer(reader, writer, 2, |_| async { panic!("planted") }));
    let lost = caller.call_raw(Bytes::new(), Instant::now() + PATIENCE).await;
    assert!(matches!(lost, Err(CallError::Lost)));
    assert!(matches!(answering.await.unwrap(), Err(AnswerError::HandlerPanicked)));
}

#[tokio::test]
async fn no_more_questions_are_read_than_may_be_answered_at_a_time() {
    let (near, far) = duplex(1024);
    let (mut reader, mut writer) = frame::frames(Box::new(near), 1024);
    let (asked, mut questions) = mpsc::unbounded_channel();
    let release = watch::Sender::new(false);
    let released = release.subscribe();
    let (far_reader, far_writer) = frame::frames(Box::new(far), 1024);
    tokio::spawn(answer(far_reader, far_writer, 2, move |body| {
        asked.send(()).unwrap();
        let mut released = released.clone();
        async move {
            released.wait_for(|released| *released).await.unwrap();
            body
        }
    }));
    for number in 0..5u64 {
        writer.send_raw(number.to_be_bytes().to_vec().into()).await.unwrap();
    }
    questions.recv().await.unwrap();
    questions.recv().await.unwrap();
    assert!(questions.recv().now_or_never().is_none());
    release.send_replace(true);
    for _ in 0..5 {
        reader.receive_raw().await.unwrap();
    }
}

#[tokio::test]
async fn the_connection_closes_with_the_last_clone_of_its_caller() {
    let (caller, mut reader, _writer) = caller_and_peer(2);
    let clone = caller.clone();
    drop(caller);
    assert!(reader.receive_raw().now_or_never().is_none());
    drop(clone);
    assert!(matches!(reader.receive_raw().await, Err(FrameError::Closed)));
}
