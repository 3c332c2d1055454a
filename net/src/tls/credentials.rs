//! What a node shows of itself, and what can be read from a certificate.

use std::ops::RangeInclusive;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use rcgen::PublicKeyData;

use super::{Attested, CertificateError, Fingerprint, NodeKey, PublicKey, configuration};
use crate::PeerIdentity;
use crate::identity::IDENTITY_SUFFIX;

/// A node's certificate and key, and the authority that it trusts.
pub struct Credentials {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) authority: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    facts: CertificateFacts,
    public_key: PublicKey,
}

impl Credentials {
    /// Reads a node's certificate and the authority's, both PEM, and checks that the first belongs
    /// to `key`.
    pub fn new(certificate_pem: &str, authority_pem: &str, key: &NodeKey) -> Result<Self, CertificateError> {
        let certificate = certificate_from_pem(certificate_pem)?;
        let authority = certificate_from_pem(authority_pem)?;
        let facts = CertificateFacts::from_der(&certificate)?;
        if parse(&certificate)?.public_key().raw != key.pair.subject_public_key_info() {
            return Err(CertificateError::ForeignKey);
        }
        Ok(Self { certificate, authority, key: key.to_der(), facts, public_key: key.public_key() })
    }

    /// Checks that the authority signed the certificate: else every peer would refuse it. Whether it
    /// has expired is for the peers to say.
    pub fn verify(&self) -> Result<(), CertificateError> {
        configuration::verify_signature(&self.certificate, &self.authority, self.facts.not_before_unix_s)
    }

    /// What the node's certificate says.
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// What others are told of the node once they have verified its certificate.
    pub fn attested(&self) -> Attested {
        Attested { identity: self.facts.identity.clone(), public_key: self.public_key.clone() }
    }

    /// What new nodes pin: the fingerprint of the authority that it trusts.
    pub fn authority_fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.authority)
    }

    /// Whether the authority that it trusts is the one with this certificate, PEM.
    pub fn trusts(&self, authority_pem: &str) -> Result<bool, CertificateError> {
        Ok(self.authority == certificate_from_pem(authority_pem)?)
    }

    /// The chain as it is shown to others: the authority is part of it, for those who pin it.
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone(), self.authority.clone()]
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

/// What a node's certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whom it attests.
    pub identity: PeerIdentity,
    /// From when it is valid, in seconds since 1970.
    pub not_before_unix_s: i64,
    /// Until when it is valid, in seconds since 1970.
    pub not_after_unix_s: i64,
}

impl CertificateFacts {
    /// Reads a node's certificate from PEM. Whether anybody vouches for it is not looked at.
    pub fn from_pem(pem: &str) -> Result<Self, CertificateError> {
        Self::from_der(&certificate_from_pem(pem)?)
    }

    /// Reads a node's certificate from DER. Whether anybody vouches for it is not looked at.
    pub(super) fn from_der(der: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let certificate = parse(der)?;
        Ok(Self {
            identity: identity_of(&certificate)?,
            not_before_unix_s: certificate.validity().not_before.timestamp(),
            not_after_unix_s: certificate.validity().not_after.timestamp(),
        })
    }

    /// In which seconds since 1970 a certificate is valid, whosever it is.
    pub(super) fn validity_of(der: &CertificateDer<'_>) -> Result<RangeInclusive<u64>, CertificateError> {
        let certificate = parse(der)?;
        let [from, until] = [certificate.validity().not_before, certificate.validity().not_after]
            .map(|time| u64::try_from(time.timestamp()).map_err(|_negative| CertificateError::TimeRange));
        Ok(from?..=until?)
    }

    /// What a certificate attests that TLS has verified.
    pub(super) fn attested_by(der: &CertificateDer<'_>) -> Result<Attested, CertificateError> {
        let certificate = parse(der)?;
        let public_key = PublicKey::from_der(certificate.public_key().raw)?;
        Ok(Attested { identity: identity_of(&certificate)?, public_key })
    }
}

pub(super) fn certificate_from_pem(pem: &str) -> Result<CertificateDer<'static>, CertificateError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| CertificateError::unusable("read a certificate", error))
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, CertificateError> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|error| CertificateError::unusable("read a certificate", error))?;
    Ok(certificate)
}

/// The one node that a certificate names. Two would let its holder choose.
fn identity_of(certificate: &X509Certificate<'_>) -> Result<PeerIdentity, CertificateError> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| CertificateError::unusable("read the names of a certificate", error))?
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let identities: Vec<&str> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) if name.ends_with(IDENTITY_SUFFIX) => Some(*name),
            _ => None,
        })
        .collect();
    match identities.as_slice() {
        [identity] => Ok(identity.parse()?),
        _ => Err(CertificateError::IdentityCount { count: identities.len() }),
    }
}
