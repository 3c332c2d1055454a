//! The certificate that a machine signs itself, until a cluster certifies it.

use std::time::Duration;

use rcgen::{DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose, PublicKeyData};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::authority::parameters;
use super::credentials::certificate_from_pem;
use super::{CertificateError, Fingerprint, NodeKey};
use crate::{Entropy, WallClock};

/// What a machine shows to those who know its fingerprint from elsewhere. Nobody vouches for it, and it names no node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfSignedCertificate {
    certificate: CertificateDer<'static>,
    pem: String,
}

impl SelfSignedCertificate {
    /// Makes one for `key`, valid for `lifetime` from now. `name` is for people who look at it.
    pub fn create(
        name: &str,
        key: &NodeKey,
        lifetime: Duration,
        clock: &dyn WallClock,
        entropy: &dyn Entropy,
    ) -> Result<Self, CertificateError> {
        let mut params = parameters(lifetime, clock, entropy)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate =
            params.self_signed(&key.pair).map_err(|error| CertificateError::unusable("sign a certificate", error))?;
        Ok(Self { certificate: certificate.der().clone(), pem: certificate.pem() })
    }

    /// Reads one from PEM, and checks that it is of `key`. Whether it is the one that was made tells its fingerprint.
    pub fn from_pem(pem: &str, key: &NodeKey) -> Result<Self, CertificateError> {
        let certificate = certificate_from_pem(pem)?;
        let (_, parsed) =
            X509Certificate::from_der(&certificate).map_err(|error| CertificateError::unusable("read a certificate", error))?;
        if parsed.public_key().raw != key.pair.subject_public_key_info() {
            return Err(CertificateError::ForeignKey);
        }
        Ok(Self { certificate, pem: pem.to_owned() })
    }

    /// The certificate as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What others pin.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

    use super::*;
    use crate::{CertificateFacts, SystemClock, SystemEntropy};

    fn made(key: &NodeKey) -> SelfSignedCertificate {
        let day = Duration::from_secs(24 * 3600);
        SelfSignedCertificate::create("a machine", key, day, &SystemClock, &SystemEntropy::new()).unwrap()
    }

    #[test]
    fn it_reads_back_beside_its_key_and_beside_no_other() {
        let (key, other) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
        let certificate = made(&key);
        assert_eq!(SelfSignedCertificate::from_pem(certificate.pem(), &key).unwrap(), certificate);
        let refused = SelfSignedCertificate::from_pem(certificate.pem(), &other);
        assert!(matches!(refused, Err(CertificateError::ForeignKey)));
        assert_ne!(made(&key).fingerprint(), certificate.fingerprint(), "each has a serial number of its own");
    }

    #[test]
    fn it_passes_for_no_node() {
        let certificate = made(&NodeKey::generate().unwrap());
        let refused = CertificateFacts::from_pem(certificate.pem());
        assert!(matches!(refused, Err(CertificateError::IdentityCount { count: 0 })));
    }
}
