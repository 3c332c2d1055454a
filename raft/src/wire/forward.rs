//! What a follower passes on to the leader: submissions, questions how far one must have applied to read, hand-overs, and
//! messages that are the business of others. And what any node asks any other: the time.
//!
//! A node never passes on what was passed on to it: it answers [`Answer::NotLeader`], and the one that asked looks anew.

use std::borrow::Cow;

use bursar_domain::{Outcome, Revision};
use serde::{Deserialize, Serialize};

/// What is asked. Every question that may take long says for how long its answer is of use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Question<'a> {
    /// Decide this.
    Submit {
        /// How long the caller waits, in milliseconds.
        remaining_ms: u64,
        /// The encoded submission, as it came to the node that asks.
        #[serde(borrow, with = "serde_bytes")]
        submission: Cow<'a, [u8]>,
    },
    /// Up to which entry must be applied what a linearizable read sees?
    ReadIndex {
        /// How long the caller waits, in milliseconds.
        remaining_ms: u64,
    },
    /// What time is it, by your clock?
    WallClock,
    /// Give the leadership to another.
    TransferLeadership {
        /// To whom; none lets the leader choose.
        to: Option<u64>,
        /// How long the caller waits, in milliseconds.
        remaining_ms: u64,
    },
    /// Answer this, as the leader.
    Relay {
        /// How long the caller waits, in milliseconds.
        remaining_ms: u64,
        /// What [`crate::Relayed`] understands.
        #[serde(borrow, with = "serde_bytes")]
        message: Cow<'a, [u8]>,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Answer {
    /// The submission was decided.
    Decided {
        /// What the caller is told.
        outcome: Outcome,
        /// The revision after which the outcome holds.
        revision: Revision,
        /// Whether it is a remembered outcome.
        repeated: bool,
    },
    /// Reads see this entry, and all before it.
    ReadAt {
        /// The entry's index.
        index: u64,
    },
    /// The time of day, which may be wrong.
    WallClock {
        /// In milliseconds since 1970-01-01T00:00:00Z.
        unix_ms: u64,
    },
    /// The leader's answer to a message.
    Relayed {
        /// What whoever relays understands.
        #[serde(with = "serde_bytes")]
        message: Vec<u8>,
    },
    /// The leadership was handed over.
    HandedOver {
        /// To whom.
        to: u64,
    },
    /// To whom the leadership was to go does not vote.
    NotAVoter {
        /// Who it was.
        node: u64,
    },
    /// To whom the leadership was to go votes, but does not answer.
    Silent {
        /// Who it was.
        node: u64,
    },
    /// Nobody else votes, so the leadership cannot be handed over.
    NobodyElse,
    /// The question, or the submission in it, cannot be understood or is not the caller's to put. Nothing was done.
    NotUnderstood,
    /// This node does not lead. Nothing was done.
    NotLeader {
        /// Who does, where it knows.
        leader: Option<u64>,
    },
    /// This node leads, but no quorum has confirmed it lately. Nothing was done.
    NoQuorum,
    /// Too much is under way. Nothing was done.
    Overloaded {
        /// When to try again, in milliseconds.
        retry_after_ms: u64,
    },
    /// The submission is larger than this node takes. Nothing was done.
    TooLarge {
        /// How large it is.
        bytes: u64,
        /// How large it may be.
        bytes_max: u64,
    },
    /// The time was over, or the leadership was lost, before the end was known: it may have been done, or still be.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{decode, encode};

    #[test]
    fn a_submission_travels_as_it_is() {
        let submission = b"\x01\x01submission".as_slice();
        let question = Question::Submit { remaining_ms: 1_500, submission: Cow::Borrowed(submission) };
        let encoded = encode(&question);
        assert!(encoded.windows(submission.len()).any(|window| window == submission));
        assert_eq!(decode::<Question<'_>>(&encoded), Ok(question));
    }
}
