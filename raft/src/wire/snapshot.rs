//! Bringing a follower up to a snapshot: it is told what there is, says what it has, and gets what it lacks.
//!
//! ```text
//! sender                              receiver
//! Offer {vote, manifest}      ──>
//!                             <──     Missing {its head}         | Refused {higher vote}
//! Chunk… Records… Finish      ──>
//!                             <──     Installed {vote} | Failed {why}
//! ```

use std::borrow::Cow;

use bursar_domain::Revision;
use bursar_storage::log;
use serde::{Deserialize, Serialize};

/// What the sender says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SenderMessage<'a> {
    /// What there is.
    Offer {
        /// The leader's vote.
        vote: log::Vote,
        /// The manifest of the checkpoint, framed.
        #[serde(borrow, with = "serde_bytes")]
        manifest: Cow<'a, [u8]>,
    },
    /// A part of the state.
    Chunk {
        /// Which, from 0.
        number: u32,
        /// The chunk, framed.
        #[serde(borrow, with = "serde_bytes")]
        bytes: Cow<'a, [u8]>,
    },
    /// Some of the records that the receiver lacks, in order.
    Records(#[serde(borrow)] Vec<RecordBytes<'a>>),
    /// That was all.
    Finish,
}

/// One record of the journal, as it rests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct RecordBytes<'a>(#[serde(borrow, with = "serde_bytes")] pub(crate) Cow<'a, [u8]>);

/// What the receiver says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReceiverMessage {
    /// It wants the snapshot, and the records behind its own head.
    Missing {
        /// Its head.
        after: Revision,
    },
    /// It follows another leader.
    Refused {
        /// Whom.
        vote: log::Vote,
    },
    /// It has installed the snapshot, or no longer needs it.
    Installed {
        /// Whom it follows.
        vote: log::Vote,
    },
    /// It could not install the snapshot.
    Failed {
        /// Why.
        detail: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{decode, encode};

    #[test]
    fn chunks_and_records_travel_as_raw_bytes() {
        let bytes = [0xff; 300];
        let messages = [
            SenderMessage::Chunk { number: 3, bytes: Cow::Borrowed(&bytes) },
            SenderMessage::Records(vec![RecordBytes(Cow::Borrowed(&bytes)), RecordBytes(Cow::Borrowed(&bytes[..7]))]),
        ];
        for message in messages {
            let encoded = encode(&message);
            assert!(encoded.len() < 400, "{} bytes", encoded.len());
            assert_eq!(decode::<SenderMessage<'_>>(&encoded), Ok(message));
        }
    }
}
