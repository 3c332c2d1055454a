//! Connections: who dials, who listens.

use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use crate::Address;

/// Bytes both ways, in order, until either end closes.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for S {}

/// A connection of whatever kind: TCP, TLS over it, or a simulated one.
pub type BoxedStream = Box<dyn ByteStream>;

/// Makes connections. How long a caller is willing to wait is the caller's to say, with
/// [`tokio::time::timeout`].
#[async_trait]
pub trait Network: Send + Sync + 'static {
    /// Connects to `address`, looking its host up first where it is a name.
    async fn connect(&self, address: &Address) -> io::Result<BoxedStream>;

    /// Listens on `address`; port 0 takes a free one, which [`Listener::local_address`] tells.
    async fn bind(&self, address: &Address) -> io::Result<Box<dyn Listener>>;
}

/// Takes connections.
#[async_trait]
pub trait Listener: Send + Sync + 'static {
    /// Waits for the next connection and tells where it comes from. Dropping the future loses no
    /// connection.
    async fn accept(&self) -> io::Result<(BoxedStream, SocketAddr)>;

    /// Where this listens, with the port that was really taken.
    fn local_address(&self) -> io::Result<SocketAddr>;
}

/// The operating system's TCP. Small writes leave at once: frames are batched above, so waiting for
/// more would only add latency.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpNetwork;

#[async_trait]
impl Network for TcpNetwork {
    async fn connect(&self, address: &Address) -> io::Result<BoxedStream> {
        let stream = TcpStream::connect((address.host(), address.port())).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }

    async fn bind(&self, address: &Address) -> io::Result<Box<dyn Listener>> {
        let listener = TcpListener::bind((address.host(), address.port())).await?;
        Ok(Box::new(listener))
    }
}

#[async_trait]
impl Listener for TcpListener {
    async fn accept(&self) -> io::Result<(BoxedStream, SocketAddr)> {
        let (stream, remote) = TcpListener::accept(self).await?;
        stream.set_nodelay(true)?;
        Ok((Box::new(stream), remote))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}
