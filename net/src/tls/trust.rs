//! Whom a client of the API trusts.

use std::{fmt, io, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::TLS13,
};
use tokio_rustls::TlsConnector;

use crate::{Address, BoxedStream, WallClock, clock::CertificateTime};

/// The certificate authorities that a client trusts: TLS 1.3, and no others than these.
#[derive(Clone)]
pub struct Trust(TlsConnector);

/// Why a file says nothing about whom to trust.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// No certificate in it.
    #[error("it holds no certificate in PEM form")]
    Empty,
    /// A certificate that is damaged, or none of an authority.
    #[error("it holds a certificate that cannot be used: {detail}")]
    Unusable {
        /// What is wrong with it.
        detail: String,
    },
}

impl Trust {
    /// Trusts the authorities whose certificates stand in `pem`; `clock` tells whether a certificate is still valid.
    pub fn in_authorities(pem: &[u8], clock: Arc<dyn WallClock>) -> Result<Self, TrustError> {
        let unusable = |detail: String| TrustError::Unusable { detail };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(TrustError::Empty);
        }
        let mut config = ClientConfig::builder_with_details(Arc::new(ring::default_provider()), Arc::new(CertificateTime(clock)))
            .with_protocol_versions(&[&TLS13])
            .expect("the provider speaks TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Makes a connection to `address` a secure one.
    pub async fn secure(&self, address: &Address, stream: BoxedStream) -> io::Result<BoxedStream> {
        let name = ServerName::try_from(address.host().to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(self.0.connect(name, stream).await?))
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trust")
    }
}

#[cfg(test)]
mod tests {
    use crate::SystemClock;

    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        let refused = |pem: &[u8]| Trust::in_authorities(pem, Arc::new(SystemClock)).unwrap_err();
        assert_eq!(refused(b"hello"), TrustError::Empty);
        let damaged = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(refused(damaged), TrustError::Unusable { .. }));
    }
}
