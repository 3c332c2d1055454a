//! Calling another node: TCP, TLS, Hello.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::frame::{FrameError, FrameReader, FrameWriter, frames};
use crate::handshake::{HANDSHAKE_BYTES_MAX, HandshakeError, Hello, Lane, LocalNode, PROTOCOL, Refusal, introduce};
use crate::peer_server::JOIN_FRAME_BYTES_MAX;
use crate::tls::{Connector, Fingerprint, PinnedConnector};
use crate::{Address, BoxedStream, Member, Network, PeerIdentity, Role, StoreId};

/// A connection to another node that has welcomed us.
pub struct Link {
    /// Who answers, as its certificate attests.
    pub peer: PeerIdentity,
    /// The store that it runs on.
    pub store: StoreId,
    /// What it says.
    pub reader: FrameReader,
    /// What we say.
    pub writer: FrameWriter,
}

/// Why a node could not be called.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No connection: name unknown, port closed, no route.
    #[error("{address} cannot be reached: {source}")]
    Unreachable {
        /// Where the node was looked for.
        address: Address,
        /// What the network said.
        source: io::Error,
    },
    /// A connection, but not to whom we want, or not as whom we are.
    #[error("the TLS handshake with {address} failed: {source}")]
    Tls {
        /// Where the node was looked for.
        address: Address,
        /// What TLS said.
        source: io::Error,
    },
    /// The node refused the Hello.
    #[error("{address} refused the connection: {refusal}")]
    Refused {
        /// Where the node was looked for.
        address: Address,
        /// Why, and what helps.
        refusal: Refusal,
    },
    /// The node runs on another store than it was admitted on.
    #[error(
        "{to} at {address} answers from store {found}, it was admitted on store {expected}: \
         remove it and let it join under a new id"
    )]
    WrongStore {
        /// Where the node was looked for.
        address: Address,
        /// Which node.
        to: Member,
        /// The store that it was admitted on.
        expected: StoreId,
        /// The store that it runs on.
        found: StoreId,
    },
    /// The connection failed between TLS and the answer to the Hello.
    #[error("the connection to {address} failed in its handshake: {source}")]
    Handshake {
        /// Where the node was looked for.
        address: Address,
        /// What failed.
        source: FrameError,
    },
    /// Altogether it took too long.
    #[error("{address} did not answer within {} ms", after.as_millis())]
    Timeout {
        /// Where the node was looked for.
        address: Address,
        /// How long we waited.
        after: Duration,
    },
}

/// Calls other nodes as the member that this node is.
#[derive(Clone)]
pub struct Dialer {
    /// What makes connections.
    pub network: Arc<dyn Network>,
    /// What secures them.
    pub connector: Arc<dyn Connector>,
    /// Who calls.
    pub me: LocalNode,
    /// The largest payload on a lane, in bytes.
    pub frame_bytes_max: usize,
}

impl Dialer {
    /// Calls the node `to` at `address`, and nobody else who may answer there. `after` bounds
    /// everything until its welcome.
    pub async fn dial(
        &self,
        address: &Address,
        to: Member,
        to_store: Option<StoreId>,
        lane: Lane,
        after: Duration,
    ) -> Result<Link, DialError> {
        let dialled = async {
            let stream = connect(self.network.as_ref(), address).await?;
            let peer = PeerIdentity { member: to, cluster: self.me.cluster.clone() };
            let stream = self
                .connector
                .connect(stream, &peer)
                .await
                .map_err(|source| DialError::Tls { address: address.clone(), source })?;
            greet(address, stream, peer, &self.hello(to, to_store, lane), self.frame_bytes_max).await
        };
        within(after, address, dialled).await
    }

    /// Calls whichever authority node of the own cluster answers at `address`, if its number is wanted. `after` bounds everything
    /// until its welcome.
    pub async fn dial_any_authority(
        &self,
        address: &Address,
        is_wanted: impl Fn(u64) -> bool + Send,
        lane: Lane,
        after: Duration,
    ) -> Result<Link, DialError> {
        let failed = |source| DialError::Tls { address: address.clone(), source };
        let dialled = async {
            let stream = connect(self.network.as_ref(), address).await?;
            let (stream, peer) = self.connector.connect_to_any(stream).await.map_err(failed)?;
            let Member { role, id } = peer.member;
            if peer.cluster != self.me.cluster || role != Role::Authority || !is_wanted(id) {
                return Err(failed(io::Error::other(format!("{peer} answers there, who is not wanted"))));
            }
            let hello = self.hello(peer.member, None, lane);
            greet(address, stream, peer, &hello, self.frame_bytes_max).await
        };
        within(after, address, dialled).await
    }

    fn hello(&self, to: Member, to_store: Option<StoreId>, lane: Lane) -> Hello {
        Hello {
            protocol: PROTOCOL,
            cluster: self.me.cluster.clone(),
            from: Some(self.me.member),
            from_store: self.me.store,
            to,
            to_store,
            lane,
        }
    }
}

/// Calls the cluster on behalf of a node that is no member yet.
#[derive(Clone)]
pub struct JoinDialer {
    /// What makes connections.
    pub network: Arc<dyn Network>,
    /// What secures them.
    pub connector: Arc<dyn PinnedConnector>,
    /// The store that the new node will run on.
    pub store: StoreId,
    /// The largest payload on the lane, in bytes.
    pub frame_bytes_max: usize,
}

impl JoinDialer {
    /// Calls whichever authority node answers at `address`, as long as its cluster's certificate
    /// authority has this fingerprint. `after` bounds everything until its welcome.
    pub async fn dial_pinned(&self, address: &Address, authority: Fingerprint, after: Duration) -> Result<Link, DialError> {
        let dialled = async {
            let stream = connect(self.network.as_ref(), address).await?;
            let (stream, peer) = self
                .connector
                .connect_pinned(stream, authority)
                .await
                .map_err(|source| DialError::Tls { address: address.clone(), source })?;
            let hello = Hello {
                protocol: PROTOCOL,
                cluster: peer.cluster.clone(),
                from: None,
                from_store: self.store,
                to: peer.member,
                to_store: None,
                lane: Lane::Join,
            };
            greet(address, stream, peer, &hello, self.frame_bytes_max.min(JOIN_FRAME_BYTES_MAX)).await
        };
        within(after, address, dialled).await
    }
}

async fn connect(network: &dyn Network, address: &Address) -> Result<BoxedStream, DialError> {
    network.connect(address).await.map_err(|source| DialError::Unreachable { address: address.clone(), source })
}

async fn greet(
    address: &Address,
    stream: BoxedStream,
    peer: PeerIdentity,
    hello: &Hello,
    frame_bytes_max: usize,
) -> Result<Link, DialError> {
    let (mut reader, mut writer) = frames(stream, HANDSHAKE_BYTES_MAX);
    let store = introduce(&mut reader, &mut writer, hello).await.map_err(|error| failed_greeting(address, error))?;
    reader.set_bytes_max(frame_bytes_max);
    writer.set_bytes_max(frame_bytes_max);
    Ok(Link { peer, store, reader, writer })
}

fn failed_greeting(address: &Address, error: HandshakeError) -> DialError {
    let address = address.clone();
    match error {
        HandshakeError::Refused(refusal) => DialError::Refused { address, refusal },
        HandshakeError::WrongStore { to, expected, found } => DialError::WrongStore { address, to, expected, found },
        // In TLS 1.3 the server's verdict on our certificate comes after our side of the handshake
        // is done.
        HandshakeError::Frame(FrameError::Io(source)) if source.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            DialError::Tls { address, source }
        }
        HandshakeError::Frame(source) => DialError::Handshake { address, source },
    }
}

async fn within(
    after: Duration,
    address: &Address,
    dialled: impl Future<Output = Result<Link, DialError>>,
) -> Result<Link, DialError> {
    timeout(after, dialled).await.unwrap_or_else(|_elapsed| Err(DialError::Timeout { address: address.clone(), after }))
}
