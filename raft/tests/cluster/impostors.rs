//! Callers with a certificate of the cluster that say what they must not say.

use std::{borrow::Cow, time::Duration};

use bursar_domain::{Actor, AuthorityNodeId, Command, Duty, authority_node, encoding::encode};
use bursar_net::{Caller, Lane};
use bursar_raft::{Fate, SubmitError, Unavailability};
use bursar_storage::log::{LogPosition, Vote};
use bytes::Bytes;
use serde::Serialize;

use crate::support::*;

/// What the questions of the forward lane look like.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Forward<'a> {
    Submit {
        remaining_ms: u64,
        #[serde(with = "serde_bytes")]
        submission: Cow<'a, [u8]>,
    },
}

/// What the questions of the vote lane look like.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Question {
    Vote(Candidacy),
    PreVote(Candidacy),
    TransferLeader(HandOver),
}

#[derive(Clone, Serialize)]
struct Candidacy {
    vote: Vote,
    last: Option<LogPosition>,
    leadership_transfer: bool,
}

#[derive(Serialize)]
struct HandOver {
    from: Vote,
    to: u64,
    last: Option<LogPosition>,
}

/// What the requests of the append lane look like.
#[derive(Serialize)]
struct Append {
    vote: Vote,
    previous: Option<LogPosition>,
    committed: Option<LogPosition>,
    entries: [(); 0],
}

/// What the first message of the snapshot lane looks like.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sender {
    Offer {
        vote: Vote,
        #[serde(with = "serde_bytes")]
        manifest: Vec<u8>,
    },
}

/// A message as it travels: behind the version of the protocol.
pub fn message(question: &impl Serialize) -> Bytes {
    let mut bytes = vec![1];
    rmp_serde::encode::write_named(&mut bytes, question).unwrap();
    bytes.into()
}

impl Cluster {
    /// What `to` answers to one question of `from`.
    async fn ask(&self, from: &Running, to: &Running, lane: Lane, question: Bytes) -> String {
        let link = self.call(from.identity(), to, lane).await;
        let answer = Caller::new(link.reader, link.writer, 1).call_raw(question, soon()).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_leader_cannot_read_or_is_not_the_callers_to_say_is_not_logged() {
    let cluster = Cluster::new(|_| {});
    let mut nodes: Vec<Running> = cluster.three().await.into();
    let leader = take_leader(&mut nodes).await;
    let (from, other) = (&nodes[0], &nodes[1]);
    let announce = |id: AuthorityNodeId| {
        let node = facts(&from.address, from.disk.store);
        let command = Command::AuthorityNode(authority_node::Command::Announce { node: id, facts: node });
        encode(&cluster.submission(Actor::AuthorityNode(id), command))
    };
    let own = announce(from.node.id());
    let mut newer = own.clone();
    newer[1] += 1;
    let settle = Command::AuthorityNode(authority_node::Command::Settle { node: other.node.id() });
    let duty = encode(&cluster.submission(Actor::Duty(Duty::Membership), settle));
    let (others, leaders) = (announce(other.node.id()), announce(leader.node.id()));
    for submission in [newer, b"no submission".to_vec(), Vec::new(), others, leaders, duty] {
        let question = message(&Forward::Submit { remaining_ms: 5_000, submission: Cow::Owned(submission) });
        let answer = cluster.ask(from, &leader, Lane::Forward, question).await;
        assert!(answer.contains("not_understood"), "{answer}");
    }
    let question = message(&Forward::Submit { remaining_ms: 60_000, submission: Cow::Owned(own) });
    let answer = cluster.ask(from, &leader, Lane::Forward, question).await;
    assert!(answer.contains("decided"), "{answer}");
    // All of them still decide.
    for running in &nodes {
        cluster.create_site(&running.node, &format!("site {}", running.node.id())).await.unwrap().outcome.unwrap();
        let stopped = tokio::time::timeout(Duration::ZERO, running.node.stopped()).await;
        assert!(stopped.is_err(), "{stopped:?}");
    }
    for running in nodes.into_iter().chain([leader]) {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_the_leader_does_not_understand_is_told_so_at_once() {
    let cluster = Cluster::new(|_| {});
    let mut nodes: Vec<Running> = cluster.three().await.into();
    let leader = take_leader(&mut nodes).await;
    let from = &nodes[0];
    let command = authority_node::Command::Announce { node: leader.node.id(), facts: facts(&leader.address, leader.disk.store) };
    let submission = cluster.submission(Actor::AuthorityNode(leader.node.id()), Command::AuthorityNode(command));
    let refused = from.node.submit(submission, soon()).await.unwrap_err();
    let told = matches!(
        refused,
        SubmitError::Unavailable { reason: Unavailability::NotUnderstood, fate: Fate::NotDone, waited_ms: ..30_000 }
    );
    assert!(told, "{refused:?}");
    for running in nodes.into_iter().chain([leader]) {
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_speaks_for_another_candidate_or_leader() {
    let cluster = Cluster::new(|_| {});
    let mut nodes: Vec<Running> = cluster.three().await.into();
    let leader = take_leader(&mut nodes).await;
    let (from, other) = (&nodes[0], &nodes[1]);
    let term = other.node.status().term;
    for impersonated in [leader.node.id().0, other.node.id().0, 0] {
        let vote = Vote { term: term + 1_000, leader: impersonated, committed: false };
        let candidacy = Candidacy { vote, last: None, leadership_transfer: true };
        let hand_over = HandOver { from: vote, to: other.node.id().0, last: None };
        for question in [Question::Vote(candidacy.clone()), Question::PreVote(candidacy), Question::TransferLeader(hand_over)] {
            let answer = cluster.ask(from, other, Lane::Vote, message(&question)).await;
            assert!(answer.contains("stopped"), "{answer}");
        }
        let vote = Vote { committed: true, ..vote };
        let append = message(&Append { vote, previous: None, committed: None, entries: [] });
        let offer = message(&Sender::Offer { vote, manifest: Vec::new() });
        for (lane, first) in [(Lane::Append, append), (Lane::Snapshot, offer)] {
            let mut link = cluster.call(from.identity(), other, lane).await;
            link.writer.send_raw(first).await.unwrap();
            let answer = tokio::time::timeout(PATIENCE, link.reader.receive_raw()).await.unwrap();
            assert!(answer.is_err(), "{lane:?}: {answer:?}");
        }
    }
    // Another election may have raised the term a little meanwhile.
    for running in [other, &leader] {
        assert!(running.node.status().term < term + 1_000, "none of it was heard");
    }
    for running in nodes.into_iter().chain([leader]) {
        running.stop().await;
    }
}
