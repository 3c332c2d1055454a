//! Certificates that were verified once, and need not be again.
//!
//! Whoever calls all the time shows the same certificate all the time, and that the authority signed it does not change. What may change
//! is looked at at each handshake: whether it is still valid, and whether whoever shows it has its key.

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
};

use ring::digest::{Context, SHA256};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use super::credentials::CertificateFacts;

/// How many are remembered at a time: more than most fleets have, and a megabyte or two. Only the authority could fill it.
const REMEMBERED_MAX: usize = 16_384;

/// Asks a verifier about certificates that it has not seen yet.
#[derive(Debug)]
pub(super) struct Remembering<V: ?Sized> {
    verified: Mutex<HashMap<Shown, RangeInclusive<u64>>>,
    authority: CertificateDer<'static>,
    verifier: Arc<V>,
}

/// The SHA-256 of a certificate, and of whom it was to attest.
type Shown = [u8; 32];

impl<V: ?Sized> Remembering<V> {
    /// What `verifier`, which trusts `authority` alone, has said yes to; nothing yet.
    pub(super) fn new(verifier: Arc<V>, authority: CertificateDer<'static>) -> Self {
        Self { verified: Mutex::default(), authority, verifier }
    }

    /// Whether `certificate` attests `name`, as `verify` says; it is asked where it is not remembered, or was not valid for as long.
    /// Who shows it along with others than the authority's own has it verified each time: those may expire before it does.
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        along_with: &[CertificateDer<'_>],
        name: &str,
        now: UnixTime,
        verify: impl FnOnce(&V) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if along_with.iter().any(|other| *other != self.authority) {
            return verify(&self.verifier);
        }
        let shown = shown(certificate, name);
        if self.with(|verified| verified.get(&shown).is_some_and(|valid| valid.contains(&now.as_secs()))) {
            return Ok(());
        }
        verify(&self.verifier)?;
        if let Ok(valid) = CertificateFacts::validity_of(certificate) {
            self.with(|verified| {
                if verified.len() >= REMEMBERED_MAX {
                    verified.clear();
                }
                verified.insert(shown, valid);
            });
        }
        Ok(())
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<Shown, RangeInclusive<u64>>) -> T) -> T {
        work(&mut self.verified.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The name with its length, so that no other two come to the same.
fn shown(certificate: &CertificateDer<'_>, name: &str) -> Shown {
    let mut hash = Context::new(&SHA256);
    for part in [&name.len().to_be_bytes(), name.as_bytes(), certificate] {
        hash.update(part);
    }
    hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl<V: ServerCertVerifier + ?Sized> ServerCertVerifier for Remembering<V> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates, &server_name.to_str(), now, |verifier| {
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now).map(|_verified| ())
        })?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

impl<V: ClientCertVerifier + ?Sized> ClientCertVerifier for Remembering<V> {
    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // Whom it attests, a server reads from it.
        self.verify(end_entity, intermediates, "", now, |verifier| {
            verifier.verify_client_cert(end_entity, intermediates, now).map(|_verified| ())
        })?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use super::*;
    use crate::{CertificateAuthority, ClusterId, SystemClock, SystemEntropy, WallClock, tls::credentials::certificate_from_pem};

    const DAY: Duration = Duration::from_hours(24);

    fn authority() -> CertificateDer<'static> {
        let cluster = ClusterId::new("c1").unwrap();
        let authority = CertificateAuthority::create(&cluster, 10 * DAY, &SystemClock, &SystemEntropy::new()).unwrap();
        certificate_from_pem(authority.certificate_pem()).unwrap()
    }

    fn after_days(days: u32) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_millis(SystemClock.now_unix_ms()) + days * DAY)
    }

    /// Counts how often it is asked, and says yes.
    fn asked(
        memory: &Remembering<AtomicU32>,
        certificate: &CertificateDer<'_>,
        along_with: &[CertificateDer<'_>],
        name: &str,
        now: UnixTime,
    ) -> u32 {
        let say_yes = |count: &AtomicU32| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        memory.verify(certificate, along_with, name, now, say_yes).unwrap();
        memory.verifier.load(Ordering::Relaxed)
    }

    #[test]
    fn what_was_verified_is_asked_for_once_for_as_long_as_it_is_valid() {
        let (one, trusted, stranger) = (authority(), [authority()], [authority()]);
        let memory = Remembering::new(Arc::default(), trusted[0].clone());
        assert_eq!(asked(&memory, &one, &[], "a", after_days(0)), 1);
        assert_eq!(asked(&memory, &one, &trusted, "a", after_days(9)), 1, "the same, still valid");
        assert_eq!(asked(&memory, &one, &[], "b", after_days(9)), 2, "for another");
        assert_eq!(asked(&memory, &one, &stranger, "a", after_days(9)), 3, "along with a stranger's");
        assert_eq!(asked(&memory, &one, &stranger, "a", after_days(9)), 4, "which is not remembered");
        assert_eq!(asked(&memory, &one, &[], "a", after_days(11)), 5, "no longer valid");
        assert_eq!(asked(&memory, &one, &[], "a", after_days(11)), 6, "and never again");
    }

    #[test]
    fn what_was_refused_is_asked_for_again() {
        let (memory, one) = (Remembering::new(Arc::<AtomicU32>::default(), authority()), authority());
        let refused = memory.verify(&one, &[], "a", after_days(0), |_| Err(Error::General("no".to_owned())));
        assert!(refused.is_err());
        assert_eq!(asked(&memory, &one, &[], "a", after_days(0)), 1);
    }
}
