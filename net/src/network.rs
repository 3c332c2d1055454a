//! Connections: who dials, who listens.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use crate::Address;

/// How long a connection may be silent before the other side is probed.
const PROBE_AFTER: Duration = Duration::from_secs(15);

/// How long lies between two probes, and how many unanswered ones end the connection.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
const PROBES_MAX: u32 = 3;

/// How long sent bytes may stay unacknowledged before the connection ends.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(30);

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

/// The operating system's TCP.
///
/// Small writes leave at once: frames are batched above, so waiting for more would only add
/// latency. A machine that lost its power says no goodbye: probes end its connections within half a
/// minute.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpNetwork;

#[async_trait]
impl Network for TcpNetwork {
    async fn connect(&self, address: &Address) -> io::Result<BoxedStream> {
        let stream = TcpStream::connect((address.host(), address.port())).await?;
        configure(&stream)?;
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
        configure(&stream)?;
        Ok((Box::new(stream), remote))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

fn configure(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_tcp_keepidle(stream, PROBE_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, PROBE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, PROBES_MAX)?;
    sockopt::set_tcp_user_timeout(stream, ACKNOWLEDGED_WITHIN.as_millis() as u32)?;
    sockopt::set_socket_keepalive(stream, true)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_connection_sends_at_once_and_probes_a_silent_peer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        assert!(!sockopt::socket_keepalive(&dialled).unwrap());
        configure(&dialled).unwrap();
        assert!(dialled.nodelay().unwrap());
        assert!(sockopt::socket_keepalive(&dialled).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&dialled).unwrap(), Duration::from_secs(15));
        assert_eq!(sockopt::tcp_user_timeout(&dialled).unwrap(), 30_000);
    }

    #[tokio::test]
    async fn bytes_pass_and_the_listener_tells_its_port() {
        let listener = TcpNetwork.bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = Address::from(listener.local_address().unwrap());
        assert_ne!(address.port(), 0);
        let (dialled, accepted) = tokio::join!(TcpNetwork.connect(&address), listener.accept());
        let (mut accepted, remote) = accepted.unwrap();
        assert!(remote.ip().is_loopback());
        dialled.unwrap().write_all(b"good day").await.unwrap();
        let mut received = String::new();
        accepted.read_to_string(&mut received).await.unwrap();
        assert_eq!(received, "good day");
    }
}
