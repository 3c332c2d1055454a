//! The entries of the journal: sealing a decision into records, and folding records into the state.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    actor::Actor,
    audience::Audience,
    cursor::Revision,
    decision::{Decision, Outcome},
    encoding::{DecodeError, Encoded, Kind, decode, encode},
    event::Event,
    hash::Hash,
    proposal::Proposal,
    request_id::RequestId,
    state::State,
    time::Timestamp,
};

/// One entry of the journal: an event, with when, by whom, on which request, and its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The place in the journal.
    pub revision: Revision,
    /// The decision that it is part of: all its records take effect together.
    pub decision: DecisionSpan,
    /// When it was decided.
    pub time: Timestamp,
    /// By whom.
    pub actor: Actor,
    /// On which request.
    pub request: RequestId,
    /// Who gets to see it.
    pub audience: Audience,
    /// The hash of the record before; [`Hash::ZERO`] before the first.
    pub previous: Hash,
    /// What happened.
    pub event: Event,
    /// On a decision's last record: how it ended, so that a fold rebuilds the memory of requests.
    pub closing: Option<Closing>,
}

impl Encoded for Record {
    const KIND: Kind = Kind::Record;
}

/// The records of one decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionSpan {
    /// The first record's revision.
    pub first: Revision,
    /// How many records there are.
    pub count: u32,
}

impl DecisionSpan {
    /// The last record's revision.
    pub fn last(self) -> Revision {
        Revision(self.first.0 + u64::from(self.count) - 1)
    }
}

/// How a decision ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closing {
    /// The hash of the request as it came.
    pub fingerprint: Hash,
    /// What the caller was told.
    pub outcome: Outcome,
}

/// A record together with its encoding and that encoding's hash: made once, then shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The record.
    pub record: Record,
    /// Its encoding.
    pub bytes: Vec<u8>,
    /// The hash of its encoding: the next record's `previous`.
    pub hash: Hash,
}

impl Sealed {
    fn new(record: Record) -> Self {
        let bytes = encode(&record);
        let hash = Hash::of(&bytes);
        Self { record, bytes, hash }
    }

    /// Reads a record as it rests or travels.
    pub fn open(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        Ok(Self { record: decode(&bytes)?, hash: Hash::of(&bytes), bytes })
    }
}

/// Chains a decision's events into records that follow the head of `state`.
pub fn seal(state: &State, proposal: &Proposal, decision: &Decision) -> Vec<Sealed> {
    let submission = &proposal.submission;
    let count = u32::try_from(decision.events.len()).expect("a decision has at most 1,000 events");
    let span = DecisionSpan { first: state.revision().next(), count };
    let mut previous = state.head();
    let mut sealed = Vec::with_capacity(decision.events.len());
    for (revision, event) in (span.first.0..).map(Revision).zip(&decision.events) {
        let closing =
            (revision == span.last()).then(|| Closing { fingerprint: submission.fingerprint, outcome: decision.outcome.clone() });
        let record = Sealed::new(Record {
            revision,
            decision: span,
            time: decision.time,
            actor: submission.actor,
            request: submission.request.clone(),
            audience: event.audience(),
            previous,
            event: event.clone(),
            closing,
        });
        previous = record.hash;
        sealed.push(record);
    }
    sealed
}

/// Folds one record into the state. Total: it never refuses. A record that does not follow the head is a broken invariant, and
/// the node must stop.
///
/// # Panics
/// Where the record's revision or previous hash is not the one that follows.
pub fn evolve(state: &mut State, sealed: &Sealed) {
    let Sealed { record, hash, .. } = sealed;
    assert_eq!(record.revision, state.revision().next(), "records follow one another without gaps");
    assert_eq!(record.previous, state.head(), "the hash chain of the journal holds");
    state.take(record, *hash);
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}: {}", self.revision, self.time, self.actor, self.event)
    }
}
