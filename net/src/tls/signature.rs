//! What a node's key signs outside of TLS, and how others check it.
//!
//! The same key serves TLS, certificate requests and these signatures. A purpose stands before what is signed, so that none of
//! them can be taken for another.

use std::fmt;

use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SubjectPublicKeyInfo};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, UnparsedPublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{CertificateError, NodeKey};

/// ECDSA P-256 over SHA-256, as the two numbers of 32 bytes each (IEEE P1363): it has one length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeySignature(pub [u8; 64]);

/// The public half of a [`NodeKey`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    /// SubjectPublicKeyInfo, DER.
    der: Vec<u8>,
    /// The point itself, as it stands within.
    point: Vec<u8>,
}

impl NodeKey {
    /// The half that everybody may know.
    pub fn public_key(&self) -> PublicKey {
        PublicKey { der: self.pair.subject_public_key_info(), point: self.pair.der_bytes().to_vec() }
    }

    /// Signs `message` for `purpose`.
    pub fn sign(&self, purpose: &str, message: &[u8]) -> KeySignature {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, self.pair.serialized_der(), &random)
            .expect("the key is one of P-256 in PKCS #8");
        let signature = pair.sign(&random, &signed(purpose, message)).expect("the operating system provides randomness");
        KeySignature(signature.as_ref().try_into().expect("a signature of fixed form has 64 bytes"))
    }
}

impl PublicKey {
    /// Reads a key as it stands in certificates (SubjectPublicKeyInfo, DER): the very bytes that
    /// [`CertificateRequest::public_key`](super::CertificateRequest::public_key) gives for it.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let unusable = |reason: String| CertificateError::unusable("read a public key", reason);
        let info = SubjectPublicKeyInfo::from_der(der).map_err(|error| unusable(error.to_string()))?;
        // One key, one spelling: keys are compared byte for byte.
        if *info.algorithm() != PKCS_ECDSA_P256_SHA256 || info.subject_public_key_info() != der {
            return Err(unusable("it is none of ECDSA P-256".to_owned()));
        }
        Ok(Self { der: der.to_vec(), point: info.der_bytes().to_vec() })
    }

    /// The key as it stands in certificates (SubjectPublicKeyInfo, DER).
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// Whether the holder of this key signed `message` for `purpose`.
    pub fn verifies(&self, purpose: &str, message: &[u8], signature: &KeySignature) -> bool {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point);
        key.verify(&signed(purpose, message), &signature.0).is_ok()
    }
}

/// A purpose never holds a zero byte, so the two parts cannot be shifted against each other.
fn signed(purpose: &str, message: &[u8]) -> Vec<u8> {
    [purpose.as_bytes(), &[0], message].concat()
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PublicKey(")?;
        self.der.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))?;
        formatter.write_str(")")
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_bytes::serialize(&self.der, serializer)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let der = serde_bytes::ByteBuf::deserialize(deserializer)?;
        Self::from_der(&der).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

    use super::*;

    #[test]
    fn a_signature_holds_for_one_key_one_purpose_and_one_message() {
        let (key, other) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
        let signature = key.sign("a purpose", b"a message");
        let public = PublicKey::from_der(key.public_key().as_der()).unwrap();
        assert!(public.verifies("a purpose", b"a message", &signature));
        assert!(!public.verifies("a purpose", b"a massage", &signature));
        assert!(!public.verifies("another", b"a message", &signature));
        assert!(!other.public_key().verifies("a purpose", b"a message", &signature));
        for bit in 0..signature.0.len() * 8 {
            let mut changed = signature;
            changed.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!public.verifies("a purpose", b"a message", &changed), "bit {bit}");
        }
    }

    #[test]
    fn a_public_key_is_the_one_of_the_certificate_request_and_no_other_kind_or_spelling() {
        let key = NodeKey::generate().unwrap();
        let der = key.public_key().as_der().to_vec();
        assert_eq!(der, key.request().unwrap().public_key().unwrap());
        let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        for refused in [&der[..der.len() - 1], &[der.as_slice(), &[0]].concat(), &ed25519.subject_public_key_info(), b""] {
            assert!(PublicKey::from_der(refused).is_err(), "{refused:02x?}");
        }
    }
}
