//! What a node shows is always behind a whole decision: the events of one take effect together.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use bursar_domain::Revision;
use bursar_net::tasks;

use super::{Broken, Journals, broken};
use crate::fleet::Fleet;

/// Every revision that any node showed, as it came.
#[derive(Debug, Default)]
pub struct Decisions {
    watched: BTreeSet<(u64, u32)>,
    shown: Arc<Mutex<Vec<(u64, Revision)>>>,
}

impl Decisions {
    pub(super) fn look(&mut self, journals: &Journals, fleet: &Fleet) -> Result<(), Broken> {
        for member in &fleet.authority_nodes {
            let Some((start, node)) = member.running() else { continue };
            if self.watched.insert((member.id(), start)) {
                self.watch(member.id(), node.revisions());
            }
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let amid = |revision| journals.at(revision).map(|sealed| sealed.record.closing.is_none());
        if let Some((id, revision)) = shown.iter().find(|(_, revision)| amid(*revision) == Some(true)) {
            return Err(broken("whole-decisions", format!("node {id} showed revision {revision}, which is amid a decision")));
        }
        // What a node showed before any journal has told it is judged later.
        shown.retain(|(_, revision)| amid(*revision).is_none());
        Ok(())
    }

    /// Notes each revision that a process of a node shows, until it ends. Whoever runs between two of them sees both.
    fn watch(&self, id: u64, mut revisions: tokio::sync::watch::Receiver<Revision>) {
        let shown = Arc::clone(&self.shown);
        tasks::spawn(async move {
            while revisions.changed().await.is_ok() {
                let revision = *revisions.borrow_and_update();
                shown.lock().unwrap_or_else(PoisonError::into_inner).push((id, revision));
            }
        });
    }
}
