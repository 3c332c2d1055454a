//! How the domain's types rest and travel: MessagePack with named fields, behind a kind and a version.
//!
//! ```text
//! kind: u8 | version: u8 | MessagePack
//! ```
//!
//! For a given version the bytes never change once released: a changed shape is a new version, written only after the level
//! that brings it was raised. Unknown fields and unknown versions are refused, so that an older program stops instead of
//! guessing. Checksums are the business of what stores the bytes.

use std::io;

use serde::{Serialize, de::DeserializeOwned};

use crate::hash::Hash;

/// A type with a place in the table of kinds.
pub trait Encoded: Serialize + DeserializeOwned {
    /// The number of the type; never given to another one.
    const KIND: Kind;
    /// The version that this program writes, and the newest that it reads.
    const VERSION: u8 = 1;
}

/// What an encoding holds. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A [`crate::Submission`]: what waits for the leader's time stamp.
    Submission = 1,
    /// A [`crate::Record`] of the journal.
    Record = 2,
    /// The scalar part of the state.
    Header = 16,
    /// The cluster.
    Cluster = 17,
    /// A site.
    Site = 18,
    /// A destination.
    Destination = 19,
    /// An authority node.
    AuthorityNode = 20,
    /// An operation.
    Operation = 21,
    /// A token.
    Token = 22,
    /// A join token.
    JoinToken = 23,
    /// A remembered request.
    Remembered = 24,
    /// A storage server.
    Server = 25,
    /// A store point.
    StorePoint = 26,
    /// An alert.
    Alert = 27,
    /// What a storage server knows of the fleet.
    Projection = 32,
}

/// Why bytes could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer program.
    #[error("version {found} of {kind:?} is newer than this program, which reads up to {supported}; run the newer program")]
    Newer {
        /// What was to be read.
        kind: Kind,
        /// The version found.
        found: u8,
        /// The newest version understood.
        supported: u8,
    },
    /// Another kind than expected.
    #[error("expected {expected:?}, found kind {found}")]
    WrongKind {
        /// What was to be read.
        expected: Kind,
        /// The number found.
        found: u8,
    },
    /// Not the shape that the version promises.
    #[error("malformed {kind:?}: {detail}")]
    Malformed {
        /// What was to be read.
        kind: Kind,
        /// What the decoder says.
        detail: String,
    },
}

/// Room for most of what is encoded. Growing into it step by step would cost more than the encoding itself.
const USUAL_BYTES: usize = 768;

/// Encodes `value`.
pub fn encode<T: Encoded>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    bytes.extend_from_slice(&[T::KIND as u8, T::VERSION]);
    write(&mut bytes, value);
    bytes
}

/// Decodes a `T`, the whole of `bytes` and nothing else.
pub fn decode<T: Encoded>(bytes: &[u8]) -> Result<T, DecodeError> {
    let malformed = |detail: String| DecodeError::Malformed { kind: T::KIND, detail };
    let [kind, version, payload @ ..] = bytes else { return Err(malformed("shorter than its head".into())) };
    if *kind != T::KIND as u8 {
        return Err(DecodeError::WrongKind { expected: T::KIND, found: *kind });
    }
    if *version > T::VERSION {
        return Err(DecodeError::Newer { kind: T::KIND, found: *version, supported: T::VERSION });
    }
    if *version == 0 {
        return Err(malformed("there is no version 0".into()));
    }
    let mut rest = payload;
    let value = T::deserialize(&mut rmp_serde::Deserializer::new(&mut rest)).map_err(|error| malformed(error.to_string()))?;
    if rest.is_empty() { Ok(value) } else { Err(malformed(format!("{} bytes behind its end", rest.len()))) }
}

/// Hashes the MessagePack of `value`.
pub(crate) fn hash_of(value: &impl Serialize) -> Hash {
    let mut hasher = blake3::Hasher::new();
    write(&mut hasher, value);
    Hash(*hasher.finalize().as_bytes())
}

/// How many bytes `value` takes in MessagePack.
pub(crate) fn encoded_len(value: &impl Serialize) -> usize {
    struct Length(usize);
    impl io::Write for Length {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut length = Length(0);
    write(&mut length, value);
    length.0
}

fn write(to: &mut impl io::Write, value: &impl Serialize) {
    let mut serializer = rmp_serde::Serializer::new(to).with_struct_map();
    value.serialize(&mut serializer).expect("the domain's types encode into memory");
}
