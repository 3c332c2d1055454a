//! What is put before the replicas.

use serde::{Deserialize, Serialize};

use crate::{
    actor::Actor,
    command::Command,
    cursor::{Cursor, Revision},
    encoding::{DecodeError, Encoded, Kind, decode, encode},
    hash::Hash,
    ids::ObjectRef,
    request_id::RequestId,
    time::Timestamp,
};

/// What the caller read before it asked for the change (If-Match).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedRevision {
    /// The object that was read.
    pub object: ObjectRef,
    /// Where it stood.
    pub at: Cursor,
}

/// A command with all that deciding it needs, but for the time. Encoded once, at the door; it travels and rests in this form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// Who asks.
    pub actor: Actor,
    /// Which request of theirs it is.
    pub request: RequestId,
    /// The hash of the request as it came, to tell a repetition from another request under the same id.
    pub fingerprint: Hash,
    /// What the caller read before.
    pub expected: Option<ExpectedRevision>,
    /// For duties: the revision of the state that was planned on.
    pub planned_on: Option<Revision>,
    /// What is asked for.
    pub command: Command,
}

impl Encoded for Submission {
    const KIND: Kind = Kind::Submission;
}

/// A submission with the leader's time stamp: what the Raft log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// When the leader took it.
    pub time: Timestamp,
    /// What it took.
    pub submission: Submission,
}

const TIME_BYTES: usize = 8;

impl Proposal {
    /// Stamps an encoded submission without decoding it: the time, 8 bytes big-endian, then the submission as it came.
    pub fn stamp(time: Timestamp, submission: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TIME_BYTES + submission.len());
        bytes.extend_from_slice(&time.0.to_be_bytes());
        bytes.extend_from_slice(submission);
        bytes
    }

    /// The encoding that [`Proposal::stamp`] makes.
    pub fn encode(&self) -> Vec<u8> {
        Self::stamp(self.time, &encode(&self.submission))
    }

    /// Decodes what [`Proposal::stamp`] made.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (time, submission) = bytes
            .split_first_chunk::<TIME_BYTES>()
            .ok_or_else(|| DecodeError::Malformed { kind: Kind::Submission, detail: "shorter than its time stamp".into() })?;
        Ok(Self { time: Timestamp(u64::from_be_bytes(*time)), submission: decode(submission)? })
    }
}
