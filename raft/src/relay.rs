//! What the leader answers for the parts of the program above the consensus.

use async_trait::async_trait;
use bytes::Bytes;

/// Answers messages that any node relays to the leader. What they say is for those who relay and answer to know; nothing of
/// it is logged or stored.
#[async_trait]
pub trait Relayed: Send + Sync + 'static {
    /// Answers one, on a node that leads; nothing where it cannot yet, or no more: the caller then looks for the leader anew.
    async fn answer(&self, message: Bytes) -> Option<Bytes>;
}
