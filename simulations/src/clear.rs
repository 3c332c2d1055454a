//! Connections in clear, on which both sides show at once who they are, and are believed. Handshakes are most of what a simulated
//! second costs, and have few secrets left: one seed of ten has TLS, all others this.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bursar_net::{
    Acceptor, Attested, BoxedStream, CertificateError, Connector, Credentials, Fingerprint, NodeKey, PeerIdentity,
    PinnedConnector, PublicKey, Secured, SelfSignedCertificate, Transport,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Attests whatever is shown.
pub struct Clear;

impl Transport for Clear {
    fn accept_members(&self, credentials: &Credentials) -> Result<Arc<dyn Acceptor>, CertificateError> {
        Ok(Arc::new(Shown::by(credentials)))
    }

    fn accept_people(&self, _credentials: &Credentials) -> Result<Arc<dyn Acceptor>, CertificateError> {
        Ok(Arc::new(Anybody))
    }

    fn accept_as_newcomer(
        &self,
        certificate: &SelfSignedCertificate,
        _key: &NodeKey,
    ) -> Result<Arc<dyn Acceptor>, CertificateError> {
        Ok(Arc::new(Shown { member: None, signed_by: Some(certificate.fingerprint()) }))
    }

    fn connect_to_members(&self, credentials: &Credentials) -> Result<Arc<dyn Connector>, CertificateError> {
        Ok(Arc::new(Shown::by(credentials)))
    }

    fn connect_to_pinned(&self) -> Arc<dyn PinnedConnector> {
        Arc::new(Shown { member: None, signed_by: None })
    }
}

/// What one side shows of itself.
#[derive(Clone, Serialize, Deserialize)]
struct Shown {
    /// Its identity and its public key (DER), where it is a member.
    member: Option<(String, Vec<u8>)>,
    /// The certificate that signed its own, where it has one.
    signed_by: Option<Fingerprint>,
}

impl Shown {
    fn by(credentials: &Credentials) -> Self {
        let Attested { identity, public_key } = credentials.attested();
        let member = Some((identity.to_string(), public_key.as_der().to_vec()));
        Self { member, signed_by: Some(credentials.authority_fingerprint()) }
    }

    fn attested(&self) -> io::Result<Option<Attested>> {
        let Some((identity, public_key)) = &self.member else { return Ok(None) };
        let identity = identity.parse().map_err(io::Error::other)?;
        let public_key = PublicKey::from_der(public_key).map_err(io::Error::other)?;
        Ok(Some(Attested { identity, public_key }))
    }

    /// Shows this, and takes what the other side shows.
    async fn exchange(&self, stream: &mut BoxedStream) -> io::Result<Shown> {
        let own = serde_json::to_vec(self)?;
        stream.write_u32(own.len().try_into().map_err(io::Error::other)?).await?;
        stream.write_all(&own).await?;
        stream.flush().await?;
        let mut others = vec![0; stream.read_u32().await?.try_into().map_err(io::Error::other)?];
        stream.read_exact(&mut others).await?;
        Ok(serde_json::from_slice(&others)?)
    }
}

fn require(holds: bool, what: &str) -> io::Result<()> {
    if holds { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidData, what)) }
}

#[async_trait]
impl Acceptor for Shown {
    async fn accept(&self, mut stream: BoxedStream) -> io::Result<Secured> {
        let other = self.exchange(&mut stream).await?;
        require(other.member.is_none() || other.signed_by == self.signed_by, "a member of another cluster")?;
        Ok(Secured { stream, peer: other.attested()? })
    }
}

#[async_trait]
impl Connector for Shown {
    async fn connect(&self, stream: BoxedStream, peer: &PeerIdentity) -> io::Result<BoxedStream> {
        let (stream, answering) = self.connect_to_any(stream).await?;
        require(answering == *peer, "somebody else")?;
        Ok(stream)
    }

    async fn connect_to_any(&self, mut stream: BoxedStream) -> io::Result<(BoxedStream, PeerIdentity)> {
        let other = self.exchange(&mut stream).await?;
        require(other.signed_by == self.signed_by, "another cluster")?;
        let answering = other.attested()?.ok_or_else(|| io::Error::other("no member"))?;
        Ok((stream, answering.identity))
    }
}

#[async_trait]
impl PinnedConnector for Shown {
    async fn connect_pinned(&self, mut stream: BoxedStream, authority: Fingerprint) -> io::Result<(BoxedStream, PeerIdentity)> {
        let other = self.exchange(&mut stream).await?;
        require(other.signed_by == Some(authority), "another cluster")?;
        let answering = other.attested()?.ok_or_else(|| io::Error::other("no member"))?;
        Ok((stream, answering.identity))
    }

    async fn connect_self_signed(&self, mut stream: BoxedStream, certificate: Fingerprint) -> io::Result<BoxedStream> {
        let other = self.exchange(&mut stream).await?;
        require(other.signed_by == Some(certificate) && other.member.is_none(), "another machine")?;
        Ok(stream)
    }
}

/// For people, who show nothing.
struct Anybody;

#[async_trait]
impl Acceptor for Anybody {
    async fn accept(&self, stream: BoxedStream) -> io::Result<Secured> {
        Ok(Secured { stream, peer: None })
    }
}
