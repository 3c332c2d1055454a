//! Connections that are secured: what a port and a dialler need to know of TLS.
//!
//! The handshake is a part like network and clock, so that a simulation, whose every byte follows
//! from its seed, can attest identities without real keys.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ServerConfig};

use super::configuration::{
    any_peer_client, https_server, joining_client, newcomer_server, newcomers_client, peer_client, peer_server,
};
use super::credentials::CertificateFacts;
use super::{CertificateError, Credentials, Fingerprint, NodeKey, PublicKey, SelfSignedCertificate};
use crate::{BoxedStream, PeerIdentity, WallClock};

/// Secures connections that come in.
#[async_trait]
pub trait Acceptor: Send + Sync + 'static {
    /// Completes the handshake on a new connection.
    async fn accept(&self, stream: BoxedStream) -> io::Result<Secured>;
}

/// Secures connections to nodes of the own cluster.
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// Completes the handshake with exactly `peer`, and nobody else who may answer there.
    async fn connect(&self, stream: BoxedStream, peer: &PeerIdentity) -> io::Result<BoxedStream>;

    /// Completes the handshake with whichever node of the own cluster answers, and tells which it is.
    async fn connect_to_any(&self, stream: BoxedStream) -> io::Result<(BoxedStream, PeerIdentity)>;
}

/// Secures connections on one side of which is a machine that the cluster has not certified yet.
#[async_trait]
pub trait PinnedConnector: Send + Sync + 'static {
    /// Completes the handshake with any node that was certified by the authority with this
    /// fingerprint, and tells which it is.
    async fn connect_pinned(&self, stream: BoxedStream, authority: Fingerprint) -> io::Result<(BoxedStream, PeerIdentity)>;

    /// Completes the handshake with the one machine that signed itself the certificate with this fingerprint.
    async fn connect_self_signed(&self, stream: BoxedStream, certificate: Fingerprint) -> io::Result<BoxedStream>;
}

/// A connection past its handshake.
pub struct Secured {
    /// Its bytes, in clear.
    pub stream: BoxedStream,
    /// What the other side's certificate attests; nothing where it showed none.
    pub peer: Option<Attested>,
}

/// What a certificate attests that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    /// Whom.
    pub identity: PeerIdentity,
    /// The key that they have proved to hold. A machine that was replaced keeps its certificate, which names the same node as
    /// its successor's: the keys tell them apart.
    pub public_key: PublicKey,
}

/// TLS for a port.
pub struct TlsAcceptor {
    acceptor: tokio_rustls::TlsAcceptor,
}

impl TlsAcceptor {
    /// For the port between nodes: certificates of the cluster are verified where they are shown,
    /// none is required.
    pub fn for_peers(credentials: &Credentials, clock: Arc<dyn WallClock>) -> Result<Self, CertificateError> {
        Ok(Self::new(peer_server(credentials, clock)?))
    }

    /// For people, devices and the console: HTTPS, without client certificates.
    pub fn for_https(credentials: &Credentials, clock: Arc<dyn WallClock>) -> Result<Self, CertificateError> {
        Ok(Self::new(https_server(credentials, clock)?))
    }

    /// For a machine that no cluster has certified yet: it shows what it signed itself, and takes anybody.
    pub fn for_newcomer(
        certificate: &SelfSignedCertificate,
        key: &NodeKey,
        clock: Arc<dyn WallClock>,
    ) -> Result<Self, CertificateError> {
        Ok(Self::new(newcomer_server(certificate, key, clock)?))
    }

    fn new(config: ServerConfig) -> Self {
        Self { acceptor: Arc::new(config).into() }
    }
}

#[async_trait]
impl Acceptor for TlsAcceptor {
    async fn accept(&self, stream: BoxedStream) -> io::Result<Secured> {
        let stream = self.acceptor.accept(stream).await?;
        let certificates = stream.get_ref().1.peer_certificates();
        let peer = certificates.and_then(<[_]>::first).map(attested_by).transpose()?;
        Ok(Secured { stream: Box::new(stream), peer })
    }
}

/// TLS towards nodes of the own cluster.
pub struct TlsConnector {
    to_peer: tokio_rustls::TlsConnector,
    to_any: tokio_rustls::TlsConnector,
}

impl TlsConnector {
    /// Connects as the node that `credentials` attest.
    pub fn new(credentials: &Credentials, clock: Arc<dyn WallClock>) -> Result<Self, CertificateError> {
        let to_peer = peer_client(credentials, Arc::clone(&clock))?;
        let to_any = any_peer_client(credentials, clock)?;
        Ok(Self { to_peer: Arc::new(to_peer).into(), to_any: Arc::new(to_any).into() })
    }
}

#[async_trait]
impl Connector for TlsConnector {
    async fn connect(&self, stream: BoxedStream, peer: &PeerIdentity) -> io::Result<BoxedStream> {
        let name = ServerName::try_from(peer.to_string()).map_err(io::Error::other)?;
        Ok(Box::new(self.to_peer.connect(name, stream).await?))
    }

    async fn connect_to_any(&self, stream: BoxedStream) -> io::Result<(BoxedStream, PeerIdentity)> {
        whoever_answers(&self.to_any, stream).await
    }
}

/// TLS towards those of whom only a fingerprint is known: a cluster's authority, or a machine that signed itself.
pub struct TlsPinnedConnector {
    clock: Arc<dyn WallClock>,
}

impl TlsPinnedConnector {
    /// Judges the validity of certificates by `clock`.
    pub fn new(clock: Arc<dyn WallClock>) -> Self {
        Self { clock }
    }
}

#[async_trait]
impl PinnedConnector for TlsPinnedConnector {
    async fn connect_pinned(&self, stream: BoxedStream, authority: Fingerprint) -> io::Result<(BoxedStream, PeerIdentity)> {
        let config: Arc<ClientConfig> = joining_client(authority, Arc::clone(&self.clock)).into();
        whoever_answers(&config.into(), stream).await
    }

    async fn connect_self_signed(&self, stream: BoxedStream, certificate: Fingerprint) -> io::Result<BoxedStream> {
        let config: Arc<ClientConfig> = newcomers_client(certificate, Arc::clone(&self.clock)).into();
        Ok(Box::new(tokio_rustls::TlsConnector::from(config).connect(any_name(), stream).await?))
    }
}

/// Completes a handshake in which a pin decides, and tells whom the certificate attests.
async fn whoever_answers(connector: &tokio_rustls::TlsConnector, stream: BoxedStream) -> io::Result<(BoxedStream, PeerIdentity)> {
    let stream = connector.connect(any_name(), stream).await?;
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificate = certificates.first().ok_or_else(|| io::Error::other("the server shows no certificate"))?;
    let peer = attested_by(certificate)?.identity;
    Ok((Box::new(stream), peer))
}

/// Not sent, not verified: a pin decides.
fn any_name() -> ServerName<'static> {
    ServerName::try_from("bursar").expect("a label is a DNS name")
}

fn attested_by(certificate: &CertificateDer<'_>) -> io::Result<Attested> {
    CertificateFacts::attested_by(certificate).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
