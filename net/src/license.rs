//! The master license key: one secret that proves that a machine belongs to the fleet.
//!
//! From it Argon2id (RFC 9106) with fixed parameters derives an Ed25519 key. The cluster stores only the public half; whoever
//! knows the key can sign, and nobody can compute the key from what the cluster stores. A machine that is to join shows a
//! [`LicenseProof`]: a signature over who it is. It can keep the proof and need not keep the key.

use std::fmt;
use std::sync::OnceLock;

use argon2::{Algorithm, Argon2, Params, Version};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Entropy;

/// Parameters of the derivation's first version. They never change: another choice is another version.
const SALT: &[u8] = b"bursar master license key, v1";
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Stands before whatever is attested: a signature of this key means nothing else.
const PURPOSE: &[u8] = b"bursar license proof v1\0";

/// Letters and digits that are hard to mistake for one another (Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const PREFIX: &str = "BURSAR";
const GROUPS: usize = 8;
const GROUP_DIGITS: usize = 5;
/// The least characters in a key that an operator brings along.
const CHARACTERS_MIN: usize = 16;
const CHARACTERS_MAX: usize = 256;

/// The master license key.
pub struct MasterLicenseKey {
    text: Zeroizing<String>,
    /// Derived once, for that takes a good part of a second.
    pair: OnceLock<Ed25519KeyPair>,
}

/// Shows that whoever was attested was made by somebody who knew the master license key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LicenseProof {
    /// The public half of the derived Ed25519 key, as the cluster stores it.
    #[serde(with = "serde_bytes")]
    pub public_key: [u8; 32],
    /// The Ed25519 signature (RFC 8032) over the attested subject.
    #[serde(with = "serde_bytes")]
    pub signature: [u8; 64],
}

/// Why a text is no master license key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a master license key has {CHARACTERS_MIN} to {CHARACTERS_MAX} visible characters")]
pub struct LicenseKeyError;

impl MasterLicenseKey {
    /// A new key of 200 random bits, written `BURSAR-XXXXX-XXXXX-…`.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut random = Zeroizing::new([0_u8; GROUPS * GROUP_DIGITS]);
        entropy.fill(&mut *random);
        let mut text = Zeroizing::new(PREFIX.to_owned());
        for group in random.chunks(GROUP_DIGITS) {
            text.push('-');
            text.extend(group.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])));
        }
        Self::of(text)
    }

    /// Reads a key; blanks around it do not count.
    pub fn parse(text: &str) -> Result<Self, LicenseKeyError> {
        let text = text.trim();
        let fits = (CHARACTERS_MIN..=CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self::of(Zeroizing::new(text.to_owned()))) } else { Err(LicenseKeyError) }
    }

    /// The key as people write it down.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The public half of the derived Ed25519 key: 32 bytes.
    pub fn public_key(&self) -> Vec<u8> {
        self.key_pair().public_key().as_ref().to_vec()
    }

    /// Attests `subject`, the bytes that name a machine and its key.
    pub fn prove(&self, subject: &[u8]) -> LicenseProof {
        let pair = self.key_pair();
        let public_key = pair.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes");
        let signature = pair.sign(&attested(subject)).as_ref().try_into().expect("an Ed25519 signature has 64 bytes");
        LicenseProof { public_key, signature }
    }

    fn of(text: Zeroizing<String>) -> Self {
        Self { text, pair: OnceLock::new() }
    }

    fn key_pair(&self) -> &Ed25519KeyPair {
        self.pair.get_or_init(|| self.derive())
    }

    fn derive(&self) -> Ed25519KeyPair {
        let parameters = Params::new(MEMORY_KIB, PASSES, LANES, Some(32)).expect("the parameters are within Argon2's bounds");
        let mut seed = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
            .hash_password_into(self.text.as_bytes(), SALT, &mut *seed)
            .expect("salt and output have lengths that Argon2 takes");
        Ed25519KeyPair::from_seed_unchecked(&*seed).expect("any 32 bytes are an Ed25519 seed")
    }
}

impl LicenseProof {
    /// Whether this attests `subject`, by the key that it names. Whether that is the cluster's own is for the caller to compare.
    pub fn attests(&self, subject: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public_key).verify(&attested(subject), &self.signature).is_ok()
    }
}

fn attested(subject: &[u8]) -> Vec<u8> {
    [PURPOSE, subject].concat()
}

impl fmt::Debug for MasterLicenseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterLicenseKey")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

    use crate::SystemEntropy;

    use super::*;

    #[test]
    fn a_key_always_derives_the_same_public_key() {
        let key = MasterLicenseKey::parse(" BURSAR-00000-00000-00000 \n").expect("a valid key");
        // The same comes from argon2-cffi and PyNaCl, other implementations of both.
        let hex: String = key.public_key().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "189f0576f782bb3ac53cc4f046e8c316fc498f18a3e6471b0a3b4d3d1741f2cb");
    }

    #[test]
    fn a_proof_attests_one_subject_by_one_key() {
        let [key, other] =
            ["BURSAR-00000-00000-00000", "BURSAR-00000-00000-00001"].map(|text| MasterLicenseKey::parse(text).unwrap());
        let proof = key.prove(b"a machine");
        assert_eq!(proof.public_key.as_slice(), key.public_key());
        assert!(proof.attests(b"a machine"));
        assert!(!proof.attests(b"another machine"));
        assert!(!LicenseProof { public_key: other.prove(b"a machine").public_key, ..proof.clone() }.attests(b"a machine"));
        for bit in 0..proof.signature.len() * 8 {
            let mut changed = proof.clone();
            changed.signature[bit / 8] ^= 1 << (bit % 8);
            assert!(!changed.attests(b"a machine"), "bit {bit}");
        }
    }

    #[test]
    fn generated_keys_are_valid_and_differ() {
        let entropy = SystemEntropy::new();
        let [one, other] = [(); 2].map(|()| MasterLicenseKey::generate(&entropy));
        assert_eq!(MasterLicenseKey::parse(one.as_str()).expect("a valid key").as_str(), one.as_str());
        assert_ne!(one.as_str(), other.as_str());
    }

    #[test]
    fn short_long_and_broken_texts_are_refused() {
        for text in ["", "short", "has blanks in between the text", &"x".repeat(257)] {
            assert!(MasterLicenseKey::parse(text).is_err(), "{text:?}");
        }
    }
}
