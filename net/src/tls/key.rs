//! A node's private key, and what it sends instead of it.

use rcgen::{CertificateParams, CertificateSigningRequestParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::pki_types::{CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use super::CertificateError;

/// The largest request that is looked at; ours have some 300 bytes.
const REQUEST_BYTES_MAX: usize = 8 * 1024;

/// An ECDSA P-256 key pair. It is drawn by the operating system's generator and by no other, so
/// that no seed can ever reach a private key.
pub struct NodeKey {
    pub(super) pair: KeyPair,
}

impl NodeKey {
    /// A new key.
    pub fn generate() -> Result<Self, CertificateError> {
        let pair =
            KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| CertificateError::unusable("make a key", error))?;
        Ok(Self { pair })
    }

    /// Reads a key from PEM (PKCS #8).
    pub fn from_pem(pem: &str) -> Result<Self, CertificateError> {
        let pair = KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ECDSA_P256_SHA256)
            .map_err(|error| CertificateError::unusable("read a private key", error))?;
        Ok(Self { pair })
    }

    /// The key as PEM (PKCS #8), wiped from memory when it is dropped.
    pub fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.pair.serialize_pem())
    }

    /// Asks for a certificate for this key, and proves that we hold it.
    pub fn request(&self) -> Result<CertificateRequest, CertificateError> {
        let request = CertificateParams::default()
            .serialize_request(&self.pair)
            .map_err(|error| CertificateError::unusable("make a certificate request", error))?;
        Ok(CertificateRequest { der: request.der().to_vec() })
    }

    pub(super) fn to_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pair.serialize_der()))
    }
}

/// A certificate signing request (PKCS #10). Only its key counts: which names go into the
/// certificate is for the authority to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct CertificateRequest {
    #[serde(with = "serde_bytes")]
    der: Vec<u8>,
}

impl CertificateRequest {
    /// Takes a request as it came over the wire. What it holds is examined when the certificate is
    /// issued.
    pub fn from_der(der: Vec<u8>) -> Result<Self, CertificateError> {
        if der.len() > REQUEST_BYTES_MAX {
            return Err(CertificateError::RequestTooLarge { bytes: der.len(), bytes_max: REQUEST_BYTES_MAX });
        }
        Ok(Self { der })
    }

    /// The request as it goes over the wire.
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The key that is to be certified (SubjectPublicKeyInfo, DER): the same in every request for it,
    /// while signatures differ. Whoever made the request holds it.
    pub fn public_key(&self) -> Result<Vec<u8>, CertificateError> {
        Ok(self.verified()?.public_key.subject_public_key_info())
    }

    /// Reads the request and checks its signature: whoever made it holds the key.
    pub(super) fn verified(&self) -> Result<CertificateSigningRequestParams, CertificateError> {
        CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(self.der.as_slice()))
            .map_err(|error| CertificateError::unusable("read a certificate request", error))
    }
}

impl<'de> Deserialize<'de> for CertificateRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let der = serde_bytes::ByteBuf::deserialize(deserializer)?;
        Self::from_der(der.into_vec()).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

    use super::*;

    #[test]
    fn every_request_for_a_key_names_it_alike_and_no_other() {
        let (key, other) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
        let again = NodeKey::from_pem(&key.to_pem()).unwrap();
        let named = |key: &NodeKey| key.request().unwrap().public_key().unwrap();
        assert_eq!(named(&key), named(&again));
        assert_ne!(named(&key), named(&other));
    }
}
