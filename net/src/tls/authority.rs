//! The cluster's certificate authority.

use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

use super::credentials::{CertificateFacts, certificate_from_pem};
use super::{CertificateError, CertificateRequest, Fingerprint, NodeKey};
use crate::identity::IDENTITY_SUFFIX;
use crate::{ClusterId, Entropy, PeerIdentity, WallClock};

/// How far a new certificate reaches back, so that a node whose clock is behind accepts it at once.
const BACKDATED: Duration = Duration::from_secs(5 * 60);

/// Issues the certificates of one cluster.
pub struct CertificateAuthority {
    cluster: ClusterId,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What a node's certificate shall say.
#[derive(Clone, Debug)]
pub struct LeafProfile {
    /// Whom it attests.
    pub identity: PeerIdentity,
    /// Under which further names people and devices reach the node's HTTP port.
    pub further_names: Vec<SubjectName>,
    /// How long it is valid from now.
    pub lifetime: Duration,
}

/// A name that a certificate covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectName {
    /// A host name.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
}

impl SubjectName {
    /// Takes a host as it stands in an address.
    pub fn from_host(host: &str) -> Self {
        match host.parse() {
            Ok(address) => SubjectName::Ip(address),
            Err(_) => SubjectName::Dns(host.to_owned()),
        }
    }
}

/// A certificate, ready to be handed to its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// The certificate as PEM.
    pub pem: String,
    /// What it says.
    pub facts: CertificateFacts,
}

impl CertificateAuthority {
    /// Makes an authority with a key of its own, valid for `lifetime` from now.
    pub fn create(
        cluster: &ClusterId,
        lifetime: Duration,
        clock: &dyn WallClock,
        entropy: &dyn Entropy,
    ) -> Result<Self, CertificateError> {
        let key = NodeKey::generate()?;
        let mut params = parameters(lifetime, clock, entropy)?;
        params.distinguished_name.push(DnType::CommonName, authority_name(cluster));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate =
            params.self_signed(&key.pair).map_err(|error| CertificateError::unusable("sign the authority", error))?;
        Self::from_pem(&certificate.pem(), &key.to_pem())
    }

    /// Reads an authority from its certificate and its private key.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, CertificateError> {
        let key = NodeKey::from_pem(key_pem)?.pair;
        let certificate = certificate_from_pem(certificate_pem)?;
        let (_, parsed) = X509Certificate::from_der(&certificate)
            .map_err(|error| CertificateError::unusable("read the authority's certificate", error))?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(CertificateError::ForeignKey);
        }
        let cluster = cluster_of(&parsed)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|error| CertificateError::unusable("read the authority's certificate", error))?;
        Ok(Self { cluster, certificate, certificate_pem: certificate_pem.to_owned(), issuer })
    }

    /// The cluster whose nodes this certifies.
    pub fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    /// The authority's certificate as PEM; whoever has it can verify the cluster's nodes.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The authority's private key as PEM: to be sealed before it goes anywhere. See
    /// [`super::ClusterKey`].
    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    /// What a new node pins.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// Certifies the key in `request` as `profile` says. The names that the request itself asks for
    /// count for nothing.
    pub fn issue(
        &self,
        request: &CertificateRequest,
        profile: &LeafProfile,
        clock: &dyn WallClock,
        entropy: &dyn Entropy,
    ) -> Result<IssuedCertificate, CertificateError> {
        if profile.identity.cluster != self.cluster {
            return Err(CertificateError::ForeignCluster {
                own: self.cluster.to_string(),
                asked: profile.identity.cluster.to_string(),
            });
        }
        let mut params = parameters(profile.lifetime, clock, entropy)?;
        params.distinguished_name.push(DnType::CommonName, profile.identity.member.to_string());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.subject_alt_names.push(dns_name(&profile.identity.to_string())?);
        for name in &profile.further_names {
            params.subject_alt_names.push(further_name(name)?);
        }
        let mut approved = request.verified()?;
        approved.params = params;
        let certificate =
            approved.signed_by(&self.issuer).map_err(|error| CertificateError::unusable("sign a certificate", error))?;
        Ok(IssuedCertificate { pem: certificate.pem(), facts: CertificateFacts::from_der(certificate.der())? })
    }
}

/// What all our certificates have in common.
pub(super) fn parameters(
    lifetime: Duration,
    clock: &dyn WallClock,
    entropy: &dyn Entropy,
) -> Result<CertificateParams, CertificateError> {
    let mut serial = entropy.array::<16>();
    // A serial number is positive, and of one length.
    serial[0] = serial[0] & 0x7f | 0x40;
    let now = i64::try_from(clock.now_unix_ms() / 1000)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .ok_or(CertificateError::TimeRange)?;
    let backdated = time::Duration::try_from(BACKDATED).map_err(|_| CertificateError::TimeRange)?;
    let lifetime = time::Duration::try_from(lifetime).map_err(|_| CertificateError::TimeRange)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = now.checked_sub(backdated).ok_or(CertificateError::TimeRange)?;
    params.not_after = now.checked_add(lifetime).ok_or(CertificateError::TimeRange)?;
    Ok(params)
}

fn authority_name(cluster: &ClusterId) -> String {
    format!("{cluster}{IDENTITY_SUFFIX}")
}

fn cluster_of(authority: &X509Certificate<'_>) -> Result<ClusterId, CertificateError> {
    let name = authority.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default();
    Ok(ClusterId::new(name.strip_suffix(IDENTITY_SUFFIX).unwrap_or(name))?)
}

fn further_name(name: &SubjectName) -> Result<SanType, CertificateError> {
    match name {
        SubjectName::Ip(address) => Ok(SanType::IpAddress(*address)),
        SubjectName::Dns(name) => {
            // DNS folds case and ignores a last dot; so must the guard of our own names.
            let folded = name.trim_end_matches('.').to_ascii_lowercase();
            if folded.ends_with(IDENTITY_SUFFIX) {
                return Err(CertificateError::ReservedName { name: name.clone() });
            }
            dns_name(name)
        }
    }
}

fn dns_name(name: &str) -> Result<SanType, CertificateError> {
    let name = name.try_into().map_err(|error| CertificateError::unusable("put a name into a certificate", error))?;
    Ok(SanType::DnsName(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Member, SystemClock, SystemEntropy};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn cluster(name: &str) -> ClusterId {
        ClusterId::new(name).unwrap()
    }

    fn authority(name: &str) -> CertificateAuthority {
        CertificateAuthority::create(&cluster(name), DAY, &SystemClock, &SystemEntropy::new()).unwrap()
    }

    fn profile(cluster_name: &str, further_names: Vec<SubjectName>) -> LeafProfile {
        let identity = PeerIdentity { member: Member::authority(3), cluster: cluster(cluster_name) };
        LeafProfile { identity, further_names, lifetime: DAY }
    }

    fn issue(authority: &CertificateAuthority, profile: &LeafProfile) -> Result<IssuedCertificate, CertificateError> {
        let request = NodeKey::generate().unwrap().request().unwrap();
        authority.issue(&request, profile, &SystemClock, &SystemEntropy::new())
    }

    #[test]
    fn a_certificate_says_what_the_profile_says_and_reaches_five_minutes_back() {
        struct Noon;
        impl WallClock for Noon {
            fn now_unix_ms(&self) -> u64 {
                1_800_000_000_000
            }
        }
        let authority = authority("c1");
        let request = NodeKey::generate().unwrap().request().unwrap();
        let names = vec![SubjectName::from_host("bursar.example.org"), SubjectName::from_host("10.0.0.7")];
        let issued = authority.issue(&request, &profile("c1", names), &Noon, &SystemEntropy::new()).unwrap();
        assert_eq!(issued.facts.identity, profile("c1", vec![]).identity);
        assert_eq!(issued.facts.not_before_unix_s, 1_800_000_000 - 300);
        assert_eq!(issued.facts.not_after_unix_s, 1_800_000_000 + 86_400);
        assert_eq!(CertificateFacts::from_pem(&issued.pem).unwrap(), issued.facts);
    }

    #[test]
    fn an_authority_reads_back_from_its_files() {
        let made = authority("c1");
        let read = CertificateAuthority::from_pem(made.certificate_pem(), &made.key_pem()).unwrap();
        assert_eq!(read.cluster(), made.cluster());
        assert_eq!(read.fingerprint(), made.fingerprint());
        let other = authority("c1");
        let mixed = CertificateAuthority::from_pem(made.certificate_pem(), &other.key_pem());
        assert!(matches!(mixed, Err(CertificateError::ForeignKey)));
    }

    #[test]
    fn nobody_is_certified_for_another_cluster_or_under_anothers_name() {
        let authority = authority("c1");
        assert!(matches!(issue(&authority, &profile("c2", vec![])), Err(CertificateError::ForeignCluster { .. })));
        for name in ["authority-1.c1.bursar", "AUTHORITY-1.C1.BURSAR", "authority-1.c1.bursar.", "x.bursar"] {
            let refused = issue(&authority, &profile("c1", vec![SubjectName::Dns(name.to_owned())]));
            assert!(matches!(refused, Err(CertificateError::ReservedName { .. })), "{name} was certified");
        }
    }

    #[test]
    fn a_request_is_bounded_whole_and_signed_by_its_own_key() {
        let authority = authority("c1");
        let attempt = |der: Vec<u8>| {
            let request = CertificateRequest::from_der(der)?;
            authority.issue(&request, &profile("c1", vec![]), &SystemClock, &SystemEntropy::new())
        };
        let whole = NodeKey::generate().unwrap().request().unwrap().as_der().to_vec();
        let mut forged = whole.clone();
        *forged.last_mut().unwrap() ^= 1;
        assert!(attempt(whole.clone()).is_ok());
        assert!(matches!(attempt(forged), Err(CertificateError::Unusable { .. })));
        assert!(matches!(attempt(whole[..whole.len() / 2].to_vec()), Err(CertificateError::Unusable { .. })));
        assert!(matches!(attempt(vec![0; 8193]), Err(CertificateError::RequestTooLarge { bytes: 8193, .. })));
    }
}
