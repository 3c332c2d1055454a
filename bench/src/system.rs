//! What the benchmark needs of a system under load, whichever it is.

use std::{fmt::Display, future::Future, time::Duration};

use anyhow::{Context, Result, anyhow};
use thiserror::Error;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::processes::Server;

/// How many nodes each system has.
pub const NODES: usize = 3;
/// Over how many objects (destinations, keys) the writes are spread.
pub const OBJECTS: usize = 1_000;
/// How long the value of each write is.
pub const VALUE_BYTES: usize = 200;

/// How long a system may take to be ready for writes after a start.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster of [`NODES`] server processes on this machine that holds [`OBJECTS`] objects. Dropping it ends the processes.
pub trait System {
    /// How clients reach it.
    type Door: Door;

    /// What it is called in tables.
    const NAME: &'static str;

    /// How clients reach it.
    fn door(&self) -> Self::Door;

    /// Its processes, node by node.
    fn servers(&self) -> &[Server];

    /// Which node leads.
    fn leader(&self) -> impl Future<Output = Result<usize>>;

    /// Kills a node with SIGKILL and returns once it is gone.
    fn kill(&mut self, node: usize) -> Result<()>;

    /// Starts a killed node again, on its own data.
    fn restart(&mut self, node: usize) -> Result<()>;
}

/// How clients reach a system. Clones lead to the same system.
pub trait Door: Clone + Send + Sync + 'static {
    /// What a connection is.
    type Writer: Writer;

    /// Opens a connection of its own to a node.
    fn connect(&self, node: usize) -> impl Future<Output = Result<Self::Writer, WriteError>> + Send;
}

/// One connection to one node.
pub trait Writer: Send + 'static {
    /// Gives an object, a number below [`OBJECTS`], another value, and returns once that is acknowledged.
    fn write(&mut self, object: usize, value: String) -> impl Future<Output = Result<(), WriteError>> + Send;
}

/// Why a write was not acknowledged.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The node cannot take it now; the connection is good.
    #[error("the node refused the write for now: {0}")]
    Refused(String),
    /// The connection could not be made, or broke.
    #[error("the connection failed: {0}")]
    Disconnected(String),
    /// No answer came in time; the connection is in the middle of something.
    #[error("no answer came within {0:?}")]
    TimedOut(Duration),
    /// An answer that no write of the benchmark should get: the figures would mean nothing.
    #[error("the node answered what it should not: {0}")]
    Unexpected(String),
}

impl WriteError {
    /// A connection that failed because of `reason`.
    pub fn disconnected(reason: impl Display) -> Self {
        Self::Disconnected(reason.to_string())
    }

    /// Whether the next attempt needs another connection.
    pub fn ends_connection(&self) -> bool {
        matches!(self, Self::Disconnected(_) | Self::TimedOut(_))
    }
}

/// Writes once, and waits for the answer no longer than `patience`.
pub async fn attempt(writer: &mut impl Writer, object: usize, value: String, patience: Duration) -> Result<(), WriteError> {
    timeout(patience, writer.write(object, value)).await.unwrap_or(Err(WriteError::TimedOut(patience)))
}

/// Opens a connection for small requests to `address`, `host:port` on the loopback interface.
pub async fn dial(address: &str) -> Result<TcpStream, WriteError> {
    let stream = TcpStream::connect(address).await.map_err(WriteError::disconnected)?;
    // While a node is down, a client that dials its port from that very port meets itself, and would keep the node from binding it.
    let met_itself = stream.local_addr().ok() == stream.peer_addr().ok();
    if met_itself {
        return Err(WriteError::disconnected(format!("nobody listens on {address}")));
    }
    stream.set_nodelay(true).map_err(WriteError::disconnected)?;
    Ok(stream)
}

/// Tries until it succeeds; after `patience` the last failure stands. `what` completes "gave up waiting until …".
pub async fn until_ok<T>(what: &str, patience: Duration, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    const PAUSE: Duration = Duration::from_millis(20);
    let deadline = Instant::now() + patience;
    loop {
        let outcome = timeout_at(deadline, attempt()).await.unwrap_or_else(|_| Err(anyhow!("no answer came")));
        match outcome {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= deadline => {
                return Err(error).with_context(|| format!("gave up waiting until {what}"));
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}
