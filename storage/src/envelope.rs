//! The frame around everything that rests: what it is, which version of it, and a checksum over both and the payload.
//!
//! ```text
//! kind u8 | version u8 | CRC-32 of kind, version and payload, 4 bytes big-endian | payload
//! ```
//!
//! The checksum is looked at before the version: a flipped bit in the version byte is damage, not a newer program.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Place, StorageError};

/// How many bytes stand before the payload.
pub const HEADER_BYTES: usize = 6;

/// Room for most of what is packed. Growing into it step by step would cost more than the packing itself.
const USUAL_BYTES: usize = 768;

/// What a frame holds. The numbers rest on disks: they are never changed and never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The format of a whole store, and whose it is.
    Stamp = 1,
    /// The Raft vote.
    Vote = 2,
    /// The position up to which the Raft log is known to be committed.
    Committed = 3,
    /// The position up to which the Raft log was purged.
    Purged = 4,
    /// One entry of the Raft log.
    LogEntry = 5,
    /// A membership of the Raft group.
    Membership = 6,
    /// One record of the journal.
    Record = 16,
    /// The applied position and what belongs to it.
    Applied = 17,
    /// The description of a checkpoint of State.
    CheckpointManifest = 18,
    /// A piece of a checkpoint of State.
    CheckpointChunk = 19,
    /// Which generation of checkpoints is in use.
    CheckpointPointer = 20,
}

/// Why a frame could not be opened. Without a place: the reader of a disk or of a wire adds its own.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The frame is shorter than its header.
    #[error("{length} bytes are too few for a frame")]
    Truncated {
        /// The number of bytes that are there.
        length: usize,
    },
    /// The checksum does not fit the bytes.
    #[error("the checksum is {found:08x}, the bytes give {computed:08x}")]
    ChecksumMismatch {
        /// The checksum in the frame.
        found: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// A whole frame, but of something else.
    #[error("expected {expected:?} ({}), found kind {found}", *expected as u8)]
    WrongKind {
        /// The kind that was asked for.
        expected: Kind,
        /// The kind in the frame.
        found: u8,
    },
    /// A whole frame of a version that this program does not know.
    #[error("version {found} is newer than {supported}")]
    Newer {
        /// The version in the frame.
        found: u8,
        /// The newest version that this program reads.
        supported: u8,
    },
    /// A whole frame whose payload is not what its kind and version promise.
    #[error("the payload does not decode: {detail}")]
    Malformed {
        /// The decoder's words.
        detail: String,
    },
}

impl OpenError {
    /// This error as one of a store: `what` is the file or key space, `at` the place in it.
    pub fn at(self, what: &str, at: Place) -> StorageError {
        match self {
            OpenError::Newer { found, supported } => {
                StorageError::NewerFormat { what: format!("{what}, {at},"), found, supported }
            }
            other => StorageError::damaged(what, at, other.to_string()),
        }
    }
}

/// Frames a payload.
pub fn seal(kind: Kind, version: u8, payload: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(HEADER_BYTES + payload.len());
    frame.extend_from_slice(&[kind as u8, version, 0, 0, 0, 0]);
    frame.extend_from_slice(payload);
    close(frame)
}

/// Opens a frame: its version, from 1 to `supported_version`, and its payload.
///
/// # Errors
/// A frame that is short, fails its checksum, is of another kind or of a newer version.
pub fn open(kind: Kind, supported_version: u8, frame: &[u8]) -> Result<(u8, &[u8]), OpenError> {
    let Some((header, payload)) = frame.split_at_checked(HEADER_BYTES) else {
        return Err(OpenError::Truncated { length: frame.len() });
    };
    let (found_kind, version) = (header[0], header[1]);
    let found = u32::from_be_bytes([header[2], header[3], header[4], header[5]]);
    let computed = checksum(found_kind, version, payload);
    if found != computed {
        return Err(OpenError::ChecksumMismatch { found, computed });
    }
    if found_kind != kind as u8 {
        return Err(OpenError::WrongKind { expected: kind, found: found_kind });
    }
    match version {
        0 => Err(OpenError::Malformed { detail: "versions start at 1".into() }),
        known if known <= supported_version => Ok((version, payload)),
        newer => Err(OpenError::Newer { found: newer, supported: supported_version }),
    }
}

/// Frames a value as MessagePack with named fields, written straight into the frame.
///
/// The type is one of ours: its serialisation asks for nothing that MessagePack lacks, so it cannot fail.
pub fn pack<T: Serialize>(kind: Kind, version: u8, value: &T) -> Bytes {
    let mut frame = Vec::with_capacity(USUAL_BYTES);
    frame.extend_from_slice(&[kind as u8, version, 0, 0, 0, 0]);
    rmp_serde::encode::write_named(&mut frame, value).expect("a type of ours encodes as MessagePack into memory");
    close(frame)
}

/// Opens a frame that [`pack`] made with version 1 to `supported_version` of a shape that all of them share.
///
/// # Errors
/// As [`open`], and a payload that is not exactly one value of the type.
pub fn unpack<'a, T: Deserialize<'a>>(kind: Kind, supported_version: u8, frame: &'a [u8]) -> Result<T, OpenError> {
    let (_, payload) = open(kind, supported_version, frame)?;
    let mut decoder = rmp_serde::Deserializer::from_read_ref(payload);
    let malformed = |detail: String| OpenError::Malformed { detail };
    let value = T::deserialize(&mut decoder).map_err(|error| malformed(error.to_string()))?;
    // The decoder does not tell how far it came; it fails to find a first byte only where none is left.
    match bool::deserialize(&mut decoder) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(_)) => Ok(value),
        _ => Err(malformed("bytes follow the value".into())),
    }
}

/// Puts the checksum into a frame that is otherwise complete.
fn close(mut frame: Vec<u8>) -> Bytes {
    let checksum = checksum(frame[0], frame[1], &frame[HEADER_BYTES..]);
    frame[2..HEADER_BYTES].copy_from_slice(&checksum.to_be_bytes());
    Bytes::from(frame)
}

fn checksum(kind: u8, version: u8, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind, version]);
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_its_fixed_layout() {
        let frame = seal(Kind::Vote, 1, b"123456789");
        assert_eq!(frame[..2], [2, 1]);
        assert_eq!(frame[2..6], crc32fast::hash(b"\x02\x01123456789").to_be_bytes());
        assert_eq!(&frame[6..], b"123456789");
        assert_eq!(open(Kind::Vote, 1, &frame), Ok((1, b"123456789".as_slice())));
    }

    #[test]
    fn every_flipped_bit_is_a_checksum_mismatch() {
        let frame = seal(Kind::LogEntry, 1, b"an entry").to_vec();
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = open(Kind::LogEntry, 1, &flipped).expect_err("a bit is flipped");
            assert!(matches!(error, OpenError::ChecksumMismatch { .. }), "bit {bit}: {error}");
        }
    }

    #[test]
    fn every_shorter_frame_is_refused() {
        let frame = seal(Kind::LogEntry, 1, b"an entry");
        for length in 0..frame.len() {
            assert!(open(Kind::LogEntry, 1, &frame[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn another_kind_and_a_newer_version_are_told_apart() {
        let frame = seal(Kind::Vote, 3, b"");
        assert_eq!(open(Kind::Vote, 3, &frame), Ok((3, b"".as_slice())));
        assert_eq!(open(Kind::Vote, 2, &frame), Err(OpenError::Newer { found: 3, supported: 2 }));
        assert_eq!(open(Kind::Purged, 3, &frame), Err(OpenError::WrongKind { expected: Kind::Purged, found: 2 }));
        assert!(!OpenError::Newer { found: 3, supported: 2 }.at("the log", Place::Key("vote")).is_damage());
        assert!(OpenError::Truncated { length: 1 }.at("the log", Place::Key("vote")).is_damage());
    }

    #[test]
    fn a_packed_value_is_exactly_one_value() {
        let frame = pack(Kind::Committed, 1, &(7_u64, "seven"));
        assert_eq!(unpack::<(u64, &str)>(Kind::Committed, 1, &frame), Ok((7, "seven")));
        let payload = &frame[HEADER_BYTES..];
        for extra in [0x00, 0x91, 0xc1, 0xc2, 0xd9, 0xff] {
            let longer = seal(Kind::Committed, 1, &[payload, &[extra]].concat());
            let outcome = unpack::<(u64, &str)>(Kind::Committed, 1, &longer);
            assert!(matches!(outcome, Err(OpenError::Malformed { .. })), "{extra:02x}: {outcome:?}");
        }
    }
}
