//! The port between nodes: TLS, Hello, then the lane that was asked for.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::timeout_at;
use tracing::{debug, info};

use crate::connections::{ConnectionLimits, ConnectionMeter};
use crate::frame::{FrameReader, FrameWriter, frames};
use crate::handshake::{Admission, HANDSHAKE_BYTES_MAX, HandshakeError, Hello, Lane, LocalNode, receive_hello};
use crate::server::{Connection, ConnectionHandler, serve};
use crate::tls::Acceptor;
use crate::{Listener, Shutdown};

/// The largest payload on the lanes of joining and probing, in bytes. Whoever reaches the port may speak there, without any
/// credential: what is taken in from them is little.
pub(crate) const JOIN_FRAME_BYTES_MAX: usize = 64 * 1024;

/// What happens on the lanes of a peer port.
#[async_trait]
pub trait LaneHandler: Send + Sync + 'static {
    /// Serves one connection whose Hello was welcomed, until it ends. The future is dropped when
    /// the shutdown is asked for: the peer then sees the connection close, and tries again
    /// elsewhere or later.
    async fn serve(&self, hello: Hello, reader: FrameReader, writer: FrameWriter);
}

/// What a peer port is made of.
pub struct PeerPort {
    /// Who answers here.
    pub me: LocalNode,
    /// Who may come in, beyond what certificates tell.
    pub admission: Arc<dyn Admission>,
    /// Who serves the lanes.
    pub lanes: Arc<dyn LaneHandler>,
    /// The largest payload on a lane, in bytes.
    pub frame_bytes_max: usize,
}

/// Serves the port between nodes until the shutdown is asked for.
pub async fn serve_peers(
    listener: Box<dyn Listener>,
    acceptor: Arc<dyn Acceptor>,
    limits: ConnectionLimits,
    meter: Arc<ConnectionMeter>,
    port: PeerPort,
    shutdown: Shutdown,
) {
    serve(listener, Some(acceptor), limits, meter, Arc::new(port), shutdown).await;
}

#[async_trait]
impl ConnectionHandler for PeerPort {
    async fn serve(&self, connection: Connection) {
        let shutdown = connection.shutdown.clone();
        tokio::select! {
            () = shutdown.requested() => {}
            () = self.serve_lane(connection) => {}
        }
    }
}

impl PeerPort {
    async fn serve_lane(&self, connection: Connection) {
        let Connection { stream, remote, peer, handshake_deadline, meter, .. } = connection;
        let (mut reader, mut writer) = frames(stream, HANDSHAKE_BYTES_MAX);
        let handshake = receive_hello(&mut reader, &mut writer, &self.me, peer.as_ref(), self.admission.as_ref());
        let hello = match timeout_at(handshake_deadline, handshake).await {
            Ok(Ok(hello)) => hello,
            Ok(Err(HandshakeError::Refused(refusal))) => {
                meter.count_failed_handshake();
                let peer = peer.map(|shown| shown.identity.to_string());
                info!(%remote, peer, %refusal, "peer refused");
                return;
            }
            Ok(Err(error)) => {
                meter.count_failed_handshake();
                debug!(%remote, %error, "connection ended in its hello");
                return;
            }
            Err(_elapsed) => {
                meter.count_failed_handshake();
                debug!(%remote, "connection closed, its hello took too long");
                return;
            }
        };
        let bytes_max = lane_bytes_max(hello.lane, self.frame_bytes_max);
        reader.set_bytes_max(bytes_max);
        writer.set_bytes_max(bytes_max);
        self.lanes.serve(hello, reader, writer).await;
    }
}

/// The largest payload on a lane, in bytes, where the port takes `port_bytes_max`.
fn lane_bytes_max(lane: Lane, port_bytes_max: usize) -> usize {
    match lane {
        Lane::Join | Lane::Probe => port_bytes_max.min(JOIN_FRAME_BYTES_MAX),
        Lane::Append | Lane::Vote | Lane::Snapshot | Lane::Forward | Lane::Follow | Lane::Control => port_bytes_max,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_taken_in_from_those_without_a_credential() {
        for lane in [Lane::Join, Lane::Probe] {
            assert_eq!(lane_bytes_max(lane, 16 * 1024 * 1024), 64 * 1024);
            assert_eq!(lane_bytes_max(lane, 1024), 1024);
        }
        assert_eq!(lane_bytes_max(Lane::Append, 16 * 1024 * 1024), 16 * 1024 * 1024);
    }
}
