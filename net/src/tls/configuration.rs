//! The TLS configurations: version 1.3 alone, certificates of the cluster alone, no resumption.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{
    self,
    cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256},
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::pin::{Pin, Pinned};
use super::remembered::Remembering;
use super::{CertificateError, Credentials, Fingerprint, NodeKey, SelfSignedCertificate};
use crate::WallClock;
use crate::clock::CertificateTime;

/// Takes nodes of the cluster, and newcomers without any certificate, whom the Hello confines to
/// the join lane.
pub(super) fn peer_server(credentials: &Credentials, clock: Arc<dyn WallClock>) -> Result<ServerConfig, CertificateError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(&credentials.authority)?.into(), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| CertificateError::unusable("trust the authority", error))?;
    let mut config = ServerConfig::builder_with_details(provider(), Arc::new(CertificateTime(clock)))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider speaks TLS 1.3")
        .with_client_cert_verifier(Arc::new(Remembering::new(verifier, credentials.authority.clone())))
        .with_single_cert(credentials.chain(), credentials.key())
        .map_err(unusable_key)?;
    forbid_resumption(&mut config);
    Ok(config)
}

/// Takes anybody, and speaks HTTP 2 or 1.1 with them.
pub(super) fn https_server(credentials: &Credentials, clock: Arc<dyn WallClock>) -> Result<ServerConfig, CertificateError> {
    let mut config = ServerConfig::builder_with_details(provider(), Arc::new(CertificateTime(clock)))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider speaks TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(credentials.chain(), credentials.key())
        .map_err(unusable_key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    forbid_resumption(&mut config);
    Ok(config)
}

/// Takes anybody, and shows a certificate that nobody vouches for.
pub(super) fn newcomer_server(
    certificate: &SelfSignedCertificate,
    key: &NodeKey,
    clock: Arc<dyn WallClock>,
) -> Result<ServerConfig, CertificateError> {
    let mut config = ServerConfig::builder_with_details(provider(), Arc::new(CertificateTime(clock)))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider speaks TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.to_der())
        .map_err(unusable_key)?;
    forbid_resumption(&mut config);
    Ok(config)
}

/// Calls nodes of the cluster, and shows who calls.
pub(super) fn peer_client(credentials: &Credentials, clock: Arc<dyn WallClock>) -> Result<ClientConfig, CertificateError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(&credentials.authority)?.into(), provider())
        .build()
        .map_err(|error| CertificateError::unusable("trust the authority", error))?;
    let mut config = ClientConfig::builder_with_details(provider(), Arc::new(CertificateTime(clock)))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider speaks TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Remembering::new(verifier, credentials.authority.clone())))
        .with_client_auth_cert(credentials.chain(), credentials.key())
        .map_err(unusable_key)?;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Calls whichever node of the cluster answers, and shows who calls. Which it is, its certificate says.
pub(super) fn any_peer_client(credentials: &Credentials, clock: Arc<dyn WallClock>) -> Result<ClientConfig, CertificateError> {
    let mut config = ClientConfig::builder_with_details(provider(), Arc::new(CertificateTime(clock)))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider speaks TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(pinned(Pin::Authority(credentials.authority_fingerprint())))
        .with_client_auth_cert(credentials.chain(), credentials.key())
        .map_err(unusable_key)?;
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(config)
}

/// Calls whichever node was certified by the authority with this fingerprint, and shows nothing.
pub(super) fn joining_client(fingerprint: Fingerprint, clock: Arc<dyn WallClock>) -> ClientConfig {
    pinning_client(Pin::Authority(fingerprint), clock)
}

/// Calls the machine that signed itself the certificate with this fingerprint, and shows nothing.
pub(super) fn newcomers_client(fingerprint: Fingerprint, clock: Arc<dyn WallClock>) -> ClientConfig {
    pinning_client(Pin::Server(fingerprint), clock)
}

fn pinning_client(pin: Pin, clock: Arc<dyn WallClock>) -> ClientConfig {
    let mut config = ClientConfig::builder_with_details(provider(), Arc::new(CertificateTime(clock)))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider speaks TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(pinned(pin))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config
}

fn pinned(pin: Pin) -> Arc<Pinned> {
    Arc::new(Pinned { pin, algorithms: provider().signature_verification_algorithms })
}

/// Checks that `authority` signed `certificate`, as of a time within the certificate's validity.
pub(super) fn verify_signature(
    certificate: &CertificateDer<'_>,
    authority: &CertificateDer<'static>,
    valid_at_unix_s: i64,
) -> Result<(), CertificateError> {
    let foreign = |error: rustls::Error| CertificateError::ForeignAuthority { reason: error.to_string() };
    let certificate = ParsedCertificate::try_from(certificate).map_err(foreign)?;
    let valid_at = UnixTime::since_unix_epoch(Duration::from_secs(valid_at_unix_s.try_into().unwrap_or_default()));
    let algorithms = provider().signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&certificate, &roots(authority)?, &[], valid_at, algorithms).map_err(foreign)
}

/// The suites of TLS 1.3, AES-128 first: 2^128 keys are out of anybody's reach too, and its SHA-256 costs less than the SHA-384 that
/// goes with AES-256, since processors have instructions for it. Most connections here are so short that little else counts.
fn provider() -> Arc<CryptoProvider> {
    let cipher_suites = vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256];
    Arc::new(CryptoProvider { cipher_suites, ..ring::default_provider() })
}

fn roots(authority: &CertificateDer<'static>) -> Result<RootCertStore, CertificateError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).map_err(|error| CertificateError::unusable("trust the authority", error))?;
    Ok(roots)
}

/// A resumed session would skip the certificates, one of which may have expired meanwhile.
fn forbid_resumption(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
}

fn unusable_key(error: rustls::Error) -> CertificateError {
    CertificateError::unusable("use the certificate and its key", error)
}
