//! The accept loop of every port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, error, warn};

use crate::connections::{ConnectionLimits, ConnectionMeter};
use crate::tls::{Acceptor, Attested};
use crate::{BoxedStream, Listener, Shutdown, TaskSet};

/// How long the loop rests when the operating system has no connection for us, most likely for want
/// of file descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// A connection that is let in and past TLS.
pub struct Connection {
    /// Its bytes, in clear.
    pub stream: BoxedStream,
    /// Where it comes from.
    pub remote: SocketAddr,
    /// What its certificate attests, where it showed one.
    pub peer: Option<Attested>,
    /// When whatever the handler still calls a handshake has to be over.
    pub handshake_deadline: Instant,
    /// Asks the handler to finish what it is at and to return.
    pub shutdown: Shutdown,
    /// The port's counters.
    pub meter: Arc<ConnectionMeter>,
}

/// What happens with the connections of a port.
#[async_trait]
pub trait ConnectionHandler: Send + Sync + 'static {
    /// Serves one connection until it ends.
    async fn serve(&self, connection: Connection);
}

/// Accepts connections and hands them to `handler`, each in a task of its own, until the shutdown
/// is asked for; returns when all have ended. `acceptor` is absent where the port speaks plaintext.
/// Dropping the future ends all of its connections.
pub async fn serve(
    listener: Box<dyn Listener>,
    acceptor: Option<Arc<dyn Acceptor>>,
    limits: ConnectionLimits,
    meter: Arc<ConnectionMeter>,
    handler: Arc<dyn ConnectionHandler>,
    shutdown: Shutdown,
) {
    let mut connections = TaskSet::new();
    loop {
        tokio::select! {
            () = shutdown.requested() => break,
            Some(ended) = connections.join_next() => log_panic(ended),
            accepted = listener.accept() => match accepted {
                Err(error) if is_of_one_client(&error) => {
                    debug!(%error, "a connection was gone before it was accepted");
                }
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_RETRY_DELAY).await;
                }
                Ok((stream, remote)) => {
                    let Some(place) = meter.enter(remote.ip(), &limits) else {
                        debug!(%remote, "connection refused, too many are open");
                        continue;
                    };
                    let entrance = Entrance {
                        acceptor: acceptor.clone(),
                        handshake_deadline: Instant::now() + limits.handshake_timeout,
                        meter: Arc::clone(&meter),
                        shutdown: shutdown.clone(),
                    };
                    let handler = Arc::clone(&handler);
                    connections.spawn(async move {
                        if let Some(connection) = entrance.let_in(stream, remote).await {
                            handler.serve(connection).await;
                        }
                        drop(place);
                    });
                }
            },
        }
    }
    drop(listener);
    drain(connections, limits.drain_timeout).await;
}

/// What a new connection passes before its handler sees it.
struct Entrance {
    acceptor: Option<Arc<dyn Acceptor>>,
    handshake_deadline: Instant,
    meter: Arc<ConnectionMeter>,
    shutdown: Shutdown,
}

impl Entrance {
    async fn let_in(self, stream: BoxedStream, remote: SocketAddr) -> Option<Connection> {
        let (stream, peer) = match &self.acceptor {
            None => (stream, None),
            Some(acceptor) => {
                let in_time = timeout_at(self.handshake_deadline, acceptor.accept(stream));
                let secured = tokio::select! {
                    () = self.shutdown.requested() => return None,
                    secured = in_time => secured,
                };
                match secured {
                    Ok(Ok(secured)) => (secured.stream, secured.peer),
                    Ok(Err(error)) => {
                        self.meter.count_failed_handshake();
                        debug!(%remote, %error, "connection refused in the TLS handshake");
                        return None;
                    }
                    Err(_elapsed) => {
                        self.meter.count_failed_handshake();
                        debug!(%remote, "connection closed, its TLS handshake took too long");
                        return None;
                    }
                }
            }
        };
        Some(Connection {
            stream,
            remote,
            peer,
            handshake_deadline: self.handshake_deadline,
            shutdown: self.shutdown,
            meter: self.meter,
        })
    }
}

/// Whether accepting failed for a client that went away, which says nothing about the next one.
fn is_of_one_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

async fn drain(mut connections: TaskSet<()>, drain_timeout: Duration) {
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
        }
    };
    if timeout(drain_timeout, all_ended).await.is_err() {
        connections.shutdown().await;
    }
}

fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(%error, "serving a connection panicked");
    }
}
