//! Speaking with the authority: heartbeats and notices, to one node at a time.

use std::sync::Arc;

use bursar_net::{Caller, Lane};
use bursar_wire::control::CALLS_MAX;
use tracing::debug;

use super::{
    MemberError, Outbox,
    heartbeat::Pulse,
    search::{Excluded, Search},
};

/// What the server has to say, and to whom.
pub(super) struct Conversation {
    pub search: Search,
    pub outbox: Arc<Outbox>,
    pub pulse: Pulse,
}

impl Conversation {
    /// Speaks with one node after the other, until the server is excluded.
    pub(super) async fn hold(self) -> MemberError {
        let Self { mut search, outbox, mut pulse } = self;
        loop {
            let link = match search.connect(Lane::Control).await {
                Ok(link) => link,
                Err(Excluded) => return MemberError::Excluded,
            };
            let node = link.peer.member;
            let caller = Caller::new(link.reader, link.writer, CALLS_MAX);
            outbox.say_all_again();
            let reason = tokio::select! {
                reason = pulse.beat(&caller, &mut search, &outbox) => reason,
                reason = outbox.deliver(&caller) => reason,
                () = caller.closed() => "the connection is lost".to_owned(),
            };
            debug!(%node, reason, "a node is no longer spoken with");
        }
    }
}
