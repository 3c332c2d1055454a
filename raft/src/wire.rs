//! What nodes say to each other: types of our own, each message behind the version of this protocol.
//!
//! ```text
//! version: u8 | MessagePack with named fields
//! ```
//!
//! openraft's messages are taken apart and put together again ([`append`], [`vote`], [`snapshot`]), so that its types may
//! change without changing a byte here. Large bytes are borrowed from the frame that they came in.

pub(crate) mod append;
#[cfg(test)]
mod corpus;
pub(crate) mod forward;
pub(crate) mod snapshot;
pub(crate) mod vote;

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// The version that this program speaks.
const VERSION: u8 = 1;
/// Room for most messages. Growing into it step by step would cost more than the encoding itself.
const USUAL_BYTES: usize = 768;
/// How deep a message may nest.
const DEPTH_MAX: usize = 64;

/// Why a message cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// Another version.
    #[error("a message has version {found}, this node speaks {VERSION}: upgrade the older of the two nodes")]
    UnknownVersion {
        /// The version that came.
        found: u8,
    },
    /// Not what the version promises.
    #[error("a message cannot be understood: {detail}")]
    Malformed {
        /// What the decoder says.
        detail: String,
    },
}

/// Encodes a message. Ours ask for nothing that MessagePack lacks, so it cannot fail.
pub(crate) fn encode<T: Serialize>(message: &T) -> Bytes {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    bytes.push(VERSION);
    rmp_serde::encode::write_named(&mut bytes, message).expect("our messages encode into memory");
    bytes.into()
}

/// Decodes a message that is the whole of `bytes`.
pub(crate) fn decode<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, WireError> {
    let malformed = |detail: String| WireError::Malformed { detail };
    let Some((version, payload)) = bytes.split_first() else { return Err(malformed("it is empty".into())) };
    if *version != VERSION {
        return Err(WireError::UnknownVersion { found: *version });
    }
    let mut decoder = rmp_serde::Deserializer::from_read_ref(payload);
    decoder.set_max_depth(DEPTH_MAX);
    let message = T::deserialize(&mut decoder).map_err(|error| malformed(error.to_string()))?;
    // The decoder does not tell how far it came; it fails to find a first byte only where none is left.
    match bool::deserialize(&mut decoder) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(message),
        _ => Err(malformed("bytes follow it".into())),
    }
}

/// How long it is until `deadline`, in milliseconds: clocks of two nodes have no common beginning.
pub(crate) fn remaining_ms(deadline: Instant) -> u64 {
    let remaining = deadline.saturating_duration_since(Instant::now());
    u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX)
}

/// The deadline of one who still waits for `remaining_ms`; not further away than an hour.
pub(crate) fn deadline_in(remaining_ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(remaining_ms).min(Duration::from_secs(3_600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_exactly_one_message_of_this_version() {
        let bytes = encode(&(7_u64, "seven"));
        assert_eq!(decode::<(u64, &str)>(&bytes), Ok((7, "seven")));
        assert!(matches!(decode::<(u64, &str)>(&[&bytes[..], &[0]].concat()), Err(WireError::Malformed { .. })));
        assert!(matches!(decode::<(u64, &str)>(&bytes[..4]), Err(WireError::Malformed { .. })));
        assert!(matches!(decode::<(u64, &str)>(b""), Err(WireError::Malformed { .. })));
        let newer = [&[VERSION + 1], &bytes[1..]].concat();
        assert_eq!(decode::<(u64, &str)>(&newer), Err(WireError::UnknownVersion { found: VERSION + 1 }));
    }
}
