//! Appending entries: many requests in flight on one connection, answered in order.

use std::borrow::Cow;

use bursar_storage::log::{self, LogPosition};
use bytes::Bytes;
use openraft::{
    EntryPayload,
    raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult},
};
use serde::{Deserialize, Serialize};

use super::{WireError, decode, encode};
use crate::{
    convert,
    types::{Entry, ProposalBytes, TypeConfig},
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request<'a> {
    vote: log::Vote,
    previous: Option<LogPosition>,
    committed: Option<LogPosition>,
    #[serde(borrow)]
    entries: Vec<EntryShape<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryShape<'a> {
    position: LogPosition,
    #[serde(borrow)]
    payload: PayloadShape<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PayloadShape<'a> {
    Blank,
    Proposal(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    Membership(Cow<'a, log::Membership>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Matched(Option<LogPosition>),
    Conflict(LogPosition),
    HigherVote(log::Vote),
}

/// A request as it travels. The proposals are copied once, into it.
pub(crate) fn encode_request(request: &AppendEntriesRequest<TypeConfig>) -> Bytes {
    encode(&Request {
        vote: convert::vote_to_store(request.vote),
        previous: request.prev_log_id.map(convert::position),
        committed: request.leader_commit.map(convert::position),
        entries: request.entries.iter().map(shape).collect(),
    })
}

/// A request as it came. The proposals are slices of `frame`, and keep it alive.
pub(crate) fn decode_request(frame: &Bytes) -> Result<AppendEntriesRequest<TypeConfig>, WireError> {
    let request: Request<'_> = decode(frame)?;
    Ok(AppendEntriesRequest {
        vote: convert::vote(request.vote),
        prev_log_id: request.previous.map(convert::log_id),
        leader_commit: request.committed.map(convert::log_id),
        entries: request.entries.into_iter().map(|entry| entry_of(entry, frame)).collect(),
    })
}

/// An answer as it travels.
pub(crate) fn encode_answer(answer: &StreamAppendResult<TypeConfig>) -> Bytes {
    encode(&match answer {
        Ok(matched) => Answer::Matched(matched.map(convert::position)),
        Err(StreamAppendError::Conflict(at)) => Answer::Conflict(convert::position(*at)),
        Err(StreamAppendError::HigherVote(vote)) => Answer::HigherVote(convert::vote_to_store(*vote)),
    })
}

/// An answer as it came.
pub(crate) fn decode_answer(frame: &[u8]) -> Result<StreamAppendResult<TypeConfig>, WireError> {
    Ok(match decode(frame)? {
        Answer::Matched(matched) => Ok(matched.map(convert::log_id)),
        Answer::Conflict(at) => Err(StreamAppendError::Conflict(convert::log_id(at))),
        Answer::HigherVote(vote) => Err(StreamAppendError::HigherVote(convert::vote(vote))),
    })
}

fn shape(entry: &Entry) -> EntryShape<'_> {
    let payload = match &entry.payload {
        EntryPayload::Blank => PayloadShape::Blank,
        EntryPayload::Normal(proposal) => PayloadShape::Proposal(&proposal.0),
        EntryPayload::Membership(membership) => PayloadShape::Membership(Cow::Owned(convert::membership_to_store(membership))),
    };
    EntryShape { position: convert::position(entry.log_id), payload }
}

fn entry_of(entry: EntryShape<'_>, frame: &Bytes) -> Entry {
    let payload = match entry.payload {
        PayloadShape::Blank => EntryPayload::Blank,
        PayloadShape::Proposal(bytes) => EntryPayload::Normal(ProposalBytes(frame.slice_ref(bytes))),
        PayloadShape::Membership(membership) => EntryPayload::Membership(convert::membership(membership.into_owned())),
    };
    Entry { log_id: convert::log_id(entry.position), payload }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_comes_back_as_it_went_and_shares_the_proposals() {
        let position = |index| LogPosition { term: 2, index };
        let proposal = Bytes::from(vec![9; 5_000]);
        let payloads = [
            EntryPayload::Normal(ProposalBytes(proposal.clone())),
            EntryPayload::Blank,
            EntryPayload::Membership(convert::membership(log::Membership {
                configs: vec![[1].into()],
                members: [(1, log::Member::default())].into(),
            })),
        ];
        let entries: Vec<Entry> =
            (5..).zip(payloads).map(|(index, payload)| Entry { log_id: convert::log_id(position(index)), payload }).collect();
        let request = AppendEntriesRequest {
            vote: convert::vote(log::Vote { term: 2, leader: 1, committed: true }),
            prev_log_id: Some(convert::log_id(position(4))),
            leader_commit: None,
            entries,
        };
        let frame = encode_request(&request);
        let came = decode_request(&frame).expect("it was just encoded");
        assert_eq!((came.vote, came.prev_log_id, came.leader_commit), (request.vote, request.prev_log_id, None));
        assert_eq!(came.entries, request.entries);
        let EntryPayload::Normal(ProposalBytes(shared)) = &came.entries[0].payload else { panic!("a proposal went") };
        assert!(frame.as_ptr_range().contains(&shared.as_ptr()));
    }

    #[test]
    fn answers_come_back_as_they_went() {
        let at = convert::log_id(LogPosition { term: 2, index: 7 });
        let vote = convert::vote(log::Vote { term: 3, leader: 2, committed: false });
        let answers = [Ok(None), Ok(Some(at)), Err(StreamAppendError::Conflict(at)), Err(StreamAppendError::HigherVote(vote))];
        for answer in answers {
            assert_eq!(decode_answer(&encode_answer(&answer)), Ok(answer));
        }
    }
}
