//! What readers see of the state machine: the newest state, and how far it is.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bursar_domain::{Revision, State};
use tokio::sync::watch;

/// The newest state that was committed, behind an atomic pointer: nobody locks the path of those who apply.
///
/// Published after the records rest in the journal, in this order: the state, its revision, its place in the log. Whoever
/// has waited for one of the two numbers finds a state that is at least as new.
pub(crate) struct Published {
    state: ArcSwap<State>,
    revision: watch::Sender<Revision>,
    applied_index: watch::Sender<Option<u64>>,
    /// The revision of the last change of an authority node: what only follows those is not woken by all others.
    nodes_changed: watch::Sender<Revision>,
}

impl Published {
    pub(crate) fn new(state: State, applied_index: Option<u64>) -> Self {
        Self {
            revision: watch::Sender::new(state.revision()),
            applied_index: watch::Sender::new(applied_index),
            nodes_changed: watch::Sender::new(last_change_of_nodes(&state)),
            state: ArcSwap::from_pointee(state),
        }
    }

    /// Puts a newer state before the readers.
    pub(crate) fn publish(&self, state: &State, applied_index: Option<u64>) {
        self.state.store(Arc::new(state.clone()));
        announce(&self.revision, state.revision());
        announce(&self.nodes_changed, last_change_of_nodes(state));
        self.applied_index.send_replace(applied_index);
    }

    /// The newest state.
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Tells of each new revision; it never goes back.
    pub(crate) fn revisions(&self) -> watch::Receiver<Revision> {
        self.revision.subscribe()
    }

    /// Tells of each change of an authority node.
    pub(crate) fn nodes_changed(&self) -> watch::Receiver<Revision> {
        self.nodes_changed.subscribe()
    }

    /// The last entry of the log that is applied.
    pub(crate) fn applied_index(&self) -> Option<u64> {
        *self.applied_index.borrow()
    }

    /// Returns once the state is at least at `revision`.
    pub(crate) async fn reached(&self, revision: Revision) {
        let mut revisions = self.revision.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = revisions.wait_for(|current| *current >= revision).await;
    }

    /// Returns once the entry at `index` is applied.
    pub(crate) async fn applied(&self, index: u64) {
        let mut applied = self.applied_index.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = applied.wait_for(|current| *current >= Some(index)).await;
    }
}

/// Wakes those who follow `sender` only where there is news.
fn announce(sender: &watch::Sender<Revision>, revision: Revision) {
    sender.send_if_modified(|current| std::mem::replace(current, revision) != revision);
}

fn last_change_of_nodes(state: &State) -> Revision {
    let changes = state.authority_nodes().iter().map(|node| node.changed.revision);
    changes.max().unwrap_or(Revision::ZERO)
}
