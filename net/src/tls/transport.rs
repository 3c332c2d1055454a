//! How a node secures its connections, whatever they are for.

use std::sync::Arc;

use super::{
    Acceptor, CertificateError, Connector, Credentials, NodeKey, PinnedConnector, SelfSignedCertificate, TlsAcceptor,
    TlsConnector, TlsPinnedConnector,
};
use crate::WallClock;

/// Makes what secures connections: a node has one for all of its ports and calls. TLS is the only form that a program is shipped
/// with; a simulation, whose every byte follows from its seed, attests identities in its own way.
pub trait Transport: Send + Sync + 'static {
    /// For a port on which members of the cluster call: their certificates are verified where they show them, none is required.
    ///
    /// # Errors
    /// Credentials that cannot be used.
    fn accept_members(&self, credentials: &Credentials) -> Result<Arc<dyn Acceptor>, CertificateError>;

    /// For people, devices and the console, who show no certificate.
    ///
    /// # Errors
    /// Credentials that cannot be used.
    fn accept_people(&self, credentials: &Credentials) -> Result<Arc<dyn Acceptor>, CertificateError>;

    /// For a machine that no cluster has certified yet: it shows what it signed itself, and takes anybody.
    ///
    /// # Errors
    /// A certificate or key that cannot be used.
    fn accept_as_newcomer(
        &self,
        certificate: &SelfSignedCertificate,
        key: &NodeKey,
    ) -> Result<Arc<dyn Acceptor>, CertificateError>;

    /// Towards members of the own cluster, as the one that `credentials` attest.
    ///
    /// # Errors
    /// Credentials that cannot be used.
    fn connect_to_members(&self, credentials: &Credentials) -> Result<Arc<dyn Connector>, CertificateError>;

    /// Towards those of whom only a fingerprint is known.
    fn connect_to_pinned(&self) -> Arc<dyn PinnedConnector>;
}

/// TLS 1.3.
pub struct TlsTransport {
    clock: Arc<dyn WallClock>,
}

impl TlsTransport {
    /// Judges the validity of certificates by `clock`.
    pub fn new(clock: Arc<dyn WallClock>) -> Self {
        Self { clock }
    }

    fn clock(&self) -> Arc<dyn WallClock> {
        Arc::clone(&self.clock)
    }
}

impl Transport for TlsTransport {
    fn accept_members(&self, credentials: &Credentials) -> Result<Arc<dyn Acceptor>, CertificateError> {
        Ok(Arc::new(TlsAcceptor::for_peers(credentials, self.clock())?))
    }

    fn accept_people(&self, credentials: &Credentials) -> Result<Arc<dyn Acceptor>, CertificateError> {
        Ok(Arc::new(TlsAcceptor::for_https(credentials, self.clock())?))
    }

    fn accept_as_newcomer(
        &self,
        certificate: &SelfSignedCertificate,
        key: &NodeKey,
    ) -> Result<Arc<dyn Acceptor>, CertificateError> {
        Ok(Arc::new(TlsAcceptor::for_newcomer(certificate, key, self.clock())?))
    }

    fn connect_to_members(&self, credentials: &Credentials) -> Result<Arc<dyn Connector>, CertificateError> {
        Ok(Arc::new(TlsConnector::new(credentials, self.clock())?))
    }

    fn connect_to_pinned(&self) -> Arc<dyn PinnedConnector> {
        Arc::new(TlsPinnedConnector::new(self.clock()))
    }
}
