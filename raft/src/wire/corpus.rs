//! Every message as it travels, held to bytes that were written down once.
//!
//! `corpus.txt` has one line for each variant: its name, and its bytes in hexadecimal. Nothing writes the file: a line is added
//! with a new variant, and never changed.

use std::{borrow::Cow, collections::BTreeMap};

use bursar_domain::{Effect, ObjectRef, Rejection, Reply, Revision, SiteId, StoreId, hash::hex};
use bursar_storage::log::{LogPosition, Member, Membership, Vote};
use bytes::Bytes;
use openraft::{
    EntryPayload,
    raft::{AppendEntriesRequest, StreamAppendError, TransferLeaderRequest, VoteRequest, VoteResponse},
};

use super::{append, decode, encode, forward, snapshot, vote};
use crate::{
    convert,
    types::{Entry, LogId, ProposalBytes},
};

const CORPUS: &str = include_str!("corpus.txt");

/// A message's bytes, and what decoding and encoding them again gives.
struct Sample {
    bytes: Bytes,
    again: fn(&Bytes) -> Bytes,
}

fn stored(term: u64, committed: bool) -> Vote {
    Vote { term, leader: 2, committed }
}

fn position(index: u64) -> LogPosition {
    LogPosition { term: 3, index }
}

fn log_id(index: u64) -> LogId {
    convert::log_id(position(index))
}

fn append_request() -> Bytes {
    let member = Member { store_id: StoreId([7; 16]), peer_address: "a:4283".into(), api_address: "a:4285".into() };
    let membership = Membership { configs: vec![[1].into(), [1, 2].into()], members: [(1, member.clone()), (2, member)].into() };
    let payloads = [
        EntryPayload::Blank,
        EntryPayload::Normal(ProposalBytes(Bytes::from_static(b"\x00proposal\xff"))),
        EntryPayload::Membership(convert::membership(membership)),
    ];
    let entries = (5..).zip(payloads).map(|(index, payload)| Entry { log_id: log_id(index), payload }).collect();
    append::encode_request(&AppendEntriesRequest {
        vote: convert::vote(stored(3, true)),
        prev_log_id: Some(log_id(4)),
        leader_commit: None,
        entries,
    })
}

fn samples() -> BTreeMap<&'static str, Sample> {
    let mut samples = BTreeMap::new();
    let request_again = |bytes: &Bytes| append::encode_request(&append::decode_request(bytes).expect("a request"));
    samples.insert("append.request", Sample { bytes: append_request(), again: request_again });
    for answer in [
        Ok(Some(log_id(7))),
        Err(StreamAppendError::Conflict(log_id(6))),
        Err(StreamAppendError::HigherVote(convert::vote(stored(4, false)))),
    ] {
        let name = match answer {
            Ok(_) => "append.matched",
            Err(StreamAppendError::Conflict(_)) => "append.conflict",
            Err(StreamAppendError::HigherVote(_)) => "append.higher_vote",
        };
        let again = |bytes: &Bytes| append::encode_answer(&append::decode_answer(bytes).expect("an answer"));
        samples.insert(name, Sample { bytes: append::encode_answer(&answer), again });
    }
    for question in vote_questions() {
        let name = match question {
            vote::Question::Vote(_) => "vote.vote",
            vote::Question::PreVote(_) => "vote.pre_vote",
            vote::Question::TransferLeader(_) => "vote.transfer_leader",
        };
        samples.insert(
            name,
            Sample { bytes: encode(&question), again: |bytes| encode(&decode::<vote::Question>(bytes).expect("a question")) },
        );
    }
    for answer in vote_answers() {
        let name = match answer {
            vote::Answer::Ballot(_) => "vote.ballot",
            vote::Answer::TransferTaken => "vote.transfer_taken",
            vote::Answer::TransferVoteChanged { .. } => "vote.transfer_vote_changed",
            vote::Answer::TransferLogBehind { .. } => "vote.transfer_log_behind",
            vote::Answer::Stopped { .. } => "vote.stopped",
        };
        samples.insert(
            name,
            Sample { bytes: encode(&answer), again: |bytes| encode(&decode::<vote::Answer>(bytes).expect("an answer")) },
        );
    }
    for message in sender_messages() {
        let name = match message {
            snapshot::SenderMessage::Offer { .. } => "snapshot.offer",
            snapshot::SenderMessage::Chunk { .. } => "snapshot.chunk",
            snapshot::SenderMessage::Records(_) => "snapshot.records",
            snapshot::SenderMessage::Finish => "snapshot.finish",
        };
        samples.insert(
            name,
            Sample {
                bytes: encode(&message),
                again: |bytes| encode(&decode::<snapshot::SenderMessage<'_>>(bytes).expect("a message")),
            },
        );
    }
    for message in receiver_messages() {
        let name = match message {
            snapshot::ReceiverMessage::Missing { .. } => "snapshot.missing",
            snapshot::ReceiverMessage::Refused { .. } => "snapshot.refused",
            snapshot::ReceiverMessage::Installed { .. } => "snapshot.installed",
            snapshot::ReceiverMessage::Failed { .. } => "snapshot.failed",
        };
        samples.insert(
            name,
            Sample {
                bytes: encode(&message),
                again: |bytes| encode(&decode::<snapshot::ReceiverMessage>(bytes).expect("a message")),
            },
        );
    }
    for question in forward_questions() {
        let name = match question {
            forward::Question::Submit { .. } => "forward.submit",
            forward::Question::ReadIndex { .. } => "forward.read_index",
            forward::Question::WallClock => "forward.ask_wall_clock",
            forward::Question::TransferLeadership { .. } => "forward.transfer_leadership",
            forward::Question::Relay { .. } => "forward.relay",
        };
        samples.insert(
            name,
            Sample {
                bytes: encode(&question),
                again: |bytes| encode(&decode::<forward::Question<'_>>(bytes).expect("a question")),
            },
        );
    }
    for answer in forward_answers() {
        let name = match answer {
            forward::Answer::Decided { outcome: Ok(_), .. } => "forward.decided",
            forward::Answer::Decided { outcome: Err(_), .. } => "forward.decided_refusal",
            forward::Answer::ReadAt { .. } => "forward.read_at",
            forward::Answer::WallClock { .. } => "forward.wall_clock",
            forward::Answer::HandedOver { .. } => "forward.handed_over",
            forward::Answer::Relayed { .. } => "forward.relayed",
            forward::Answer::NotAVoter { .. } => "forward.not_a_voter",
            forward::Answer::Silent { .. } => "forward.silent",
            forward::Answer::NobodyElse => "forward.nobody_else",
            forward::Answer::NotUnderstood => "forward.not_understood",
            forward::Answer::NotLeader { .. } => "forward.not_leader",
            forward::Answer::NoQuorum => "forward.no_quorum",
            forward::Answer::Overloaded { .. } => "forward.overloaded",
            forward::Answer::TooLarge { .. } => "forward.too_large",
            forward::Answer::Unknown => "forward.unknown",
        };
        samples.insert(
            name,
            Sample { bytes: encode(&answer), again: |bytes| encode(&decode::<forward::Answer>(bytes).expect("an answer")) },
        );
    }
    samples
}

fn vote_questions() -> Vec<vote::Question> {
    let candidacy = |leadership_transfer| VoteRequest {
        vote: convert::vote(stored(4, false)),
        last_log_id: Some(log_id(7)),
        leadership_transfer,
    };
    let hand_over = TransferLeaderRequest::new(convert::vote(stored(3, true)), 2, Some(log_id(7)));
    vec![
        vote::Question::Vote(candidacy(true).into()),
        vote::Question::PreVote(candidacy(false).into()),
        vote::Question::TransferLeader(hand_over.into()),
    ]
}

fn vote_answers() -> Vec<vote::Answer> {
    let ballot = VoteResponse::new(convert::vote(stored(4, false)), Some(log_id(7)), true);
    vec![
        vote::Answer::Ballot(ballot.into()),
        vote::Answer::TransferTaken,
        vote::Answer::TransferVoteChanged { expected: stored(3, true), actual: stored(4, false) },
        vote::Answer::TransferLogBehind { expected: Some(position(7)), actual: None },
        vote::Answer::Stopped { detail: "raft stopped".into() },
    ]
}

fn sender_messages() -> Vec<snapshot::SenderMessage<'static>> {
    let bytes = || Cow::Borrowed(b"\x00bytes\xff".as_slice());
    vec![
        snapshot::SenderMessage::Offer { vote: stored(3, true), manifest: bytes() },
        snapshot::SenderMessage::Chunk { number: 1, bytes: bytes() },
        snapshot::SenderMessage::Records(vec![snapshot::RecordBytes(bytes()), snapshot::RecordBytes(bytes())]),
        snapshot::SenderMessage::Finish,
    ]
}

fn receiver_messages() -> Vec<snapshot::ReceiverMessage> {
    vec![
        snapshot::ReceiverMessage::Missing { after: Revision(12) },
        snapshot::ReceiverMessage::Refused { vote: stored(4, true) },
        snapshot::ReceiverMessage::Installed { vote: stored(3, true) },
        snapshot::ReceiverMessage::Failed { detail: "another install has begun since".into() },
    ]
}

fn forward_questions() -> Vec<forward::Question<'static>> {
    vec![
        forward::Question::Submit { remaining_ms: 1_500, submission: Cow::Borrowed(b"\x01\x01submission") },
        forward::Question::ReadIndex { remaining_ms: 900 },
        forward::Question::WallClock,
        forward::Question::TransferLeadership { to: Some(3), remaining_ms: 5_000 },
        forward::Question::Relay { remaining_ms: 2_000, message: Cow::Borrowed(b"\x00message\xff") },
    ]
}

fn forward_answers() -> Vec<forward::Answer> {
    let reply = Reply { effect: Effect::Created, object: ObjectRef::Site(SiteId(4)) };
    vec![
        forward::Answer::Decided { outcome: Ok(reply), revision: Revision(12), repeated: false },
        forward::Answer::Decided { outcome: Err(Rejection::NotFounded), revision: Revision(0), repeated: true },
        forward::Answer::ReadAt { index: 77 },
        forward::Answer::WallClock { unix_ms: 1_900_000_000_000 },
        forward::Answer::HandedOver { to: 3 },
        forward::Answer::Relayed { message: b"\x00answer\xff".to_vec() },
        forward::Answer::NotAVoter { node: 9 },
        forward::Answer::Silent { node: 9 },
        forward::Answer::NobodyElse,
        forward::Answer::NotUnderstood,
        forward::Answer::NotLeader { leader: Some(2) },
        forward::Answer::NoQuorum,
        forward::Answer::Overloaded { retry_after_ms: 100 },
        forward::Answer::TooLarge { bytes: 5_000_000, bytes_max: 4_194_304 },
        forward::Answer::Unknown,
    ]
}

#[test]
fn every_message_has_the_bytes_that_were_written_down() {
    let written: BTreeMap<&str, &str> = CORPUS.lines().filter_map(|line| line.split_once(' ')).collect();
    let samples = samples();
    let names = |keys: Vec<&&str>| keys.into_iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let lines: Vec<String> = samples.iter().map(|(name, sample)| format!("{name} {}", hex::encode(&sample.bytes))).collect();
    assert_eq!(names(written.keys().collect()), names(samples.keys().collect()), "as they are now:\n{}", lines.join("\n"));
    for (name, Sample { bytes, again }) in samples {
        assert_eq!(hex::encode(&bytes), written[name], "{name} is encoded otherwise than it was");
        assert_eq!(again(&bytes), bytes, "{name} does not come back as it went");
    }
}
