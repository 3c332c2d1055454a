//! Secrets at rest: what is sealed with the cluster's key can stand in log, snapshot and backup.
//!
//! The envelope is one version byte, a 12-byte nonce, then ciphertext and tag of AES-256-GCM. The
//! purpose that a secret is sealed for is authenticated with it, so one sealed secret cannot be put
//! in the place of another.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::Entropy;

/// The one version of envelopes that there is.
const ENVELOPE_VERSION: u8 = 1;

const KEY_BYTES: usize = 32;
const HEADER_BYTES: usize = 1 + NONCE_LEN;

/// Seals the cluster's secrets. Each authority node keeps it in a file of its own, apart from the
/// data that holds what it seals.
#[derive(Clone)]
pub struct ClusterKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

/// Why a secret could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Fewer bytes than any envelope has.
    #[error("a sealed secret is cut short")]
    TooShort,
    /// An envelope of a newer version.
    #[error("a sealed secret has version {version}, this node opens {ENVELOPE_VERSION}: upgrade it")]
    UnknownVersion {
        /// The version that was found.
        version: u8,
    },
    /// Another key, another purpose, or changed bytes; nobody can tell which.
    #[error(
        "a sealed secret does not open: it was sealed with another cluster key, or it was \
         changed: restore cluster.key from another authority node"
    )]
    Refused,
    /// Not the length of a key.
    #[error("a cluster key has {KEY_BYTES} bytes, this one has {bytes}")]
    KeyLength {
        /// The length that was found.
        bytes: usize,
    },
}

impl ClusterKey {
    /// A new key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self { bytes: Zeroizing::new(entropy.array()) }
    }

    /// Takes a key as it was stored or handed over.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        let bytes = bytes.try_into().map_err(|_| SealError::KeyLength { bytes: bytes.len() })?;
        Ok(Self { bytes: Zeroizing::new(bytes) })
    }

    /// The key itself, to be stored in a private file or handed to a node that joins.
    pub fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// Seals `secret` for `purpose`.
    pub fn seal(&self, purpose: &str, secret: &[u8], entropy: &dyn Entropy) -> Vec<u8> {
        let nonce = entropy.array::<NONCE_LEN>();
        let mut sealed = Vec::with_capacity(HEADER_BYTES + secret.len() + AES_256_GCM.tag_len());
        sealed.push(ENVELOPE_VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(secret);
        let tag = self
            .cipher()
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(purpose), &mut sealed[HEADER_BYTES..])
            .expect("a secret is shorter than 64 GiB");
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Opens what was sealed for `purpose`; the secret is wiped from memory when it is dropped.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let version = *sealed.first().ok_or(SealError::TooShort)?;
        if version != ENVELOPE_VERSION {
            return Err(SealError::UnknownVersion { version });
        }
        let (nonce, ciphertext) = sealed[1..].split_first_chunk::<NONCE_LEN>().ok_or(SealError::TooShort)?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let secret_bytes = self
            .cipher()
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(purpose), buffer.as_mut_slice())
            .map_err(|_| SealError::Refused)?
            .len();
        buffer.truncate(secret_bytes);
        Ok(buffer)
    }

    fn cipher(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, self.bytes.as_slice()).expect("the key has 32 bytes"))
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ClusterKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    fn key() -> ClusterKey {
        ClusterKey::generate(&SystemEntropy::new())
    }

    #[test]
    fn what_is_sealed_opens_for_its_purpose_alone() {
        let key = key();
        let sealed = key.seal("ca", b"secret", &SystemEntropy::new());
        assert_eq!(key.open("ca", &sealed).unwrap().as_slice(), b"secret");
        assert_eq!(key.open("mail", &sealed), Err(SealError::Refused));
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
    }

    #[test]
    fn another_key_opens_nothing() {
        let sealed = key().seal("ca", b"secret", &SystemEntropy::new());
        assert_eq!(key().open("ca", &sealed), Err(SealError::Refused));
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_noticed() {
        let key = key();
        let sealed = key.seal("ca", b"secret", &SystemEntropy::new());
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open("ca", &changed).is_err(), "bit {bit} may be flipped");
        }
        for length in 0..sealed.len() {
            assert!(key.open("ca", &sealed[..length]).is_err(), "may be cut to {length} bytes");
        }
    }

    #[test]
    fn a_key_reads_back_and_never_shows_itself() {
        let key = key();
        let read = ClusterKey::from_bytes(key.as_bytes()).unwrap();
        let sealed = key.seal("ca", b"secret", &SystemEntropy::new());
        assert!(read.open("ca", &sealed).is_ok());
        assert_eq!(format!("{key:?}"), "ClusterKey(…)");
        assert_eq!(ClusterKey::from_bytes(&[0; 31]).unwrap_err(), SealError::KeyLength { bytes: 31 });
    }
}
