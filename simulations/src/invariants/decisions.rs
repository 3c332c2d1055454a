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
        let shown = std::mem::take(&mut *self.shown.lock().unwrap_or_else(PoisonError::into_inner));
        for (id, revision) in shown {
            // What a node committed and has lost since nobody else need have told yet.
            let is_within = journals.at(revision).is_some_and(|sealed| sealed.record.closing.is_none());
            if is_within {
                return Err(broken("whole-decisions", format!("node {id} showed revision {revision}, which is amid a decision")));
            }
        }
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
