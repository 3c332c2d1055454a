//! What a node shows is always behind a whole decision: the events of one take effect together.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bursar_domain::Revision;
use bursar_net::tasks;

use super::{Broken, Journals, broken};
use crate::fleet::Fleet;

const NAME: &str = "whole-decisions";

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
        self.judge(journals)
    }

    /// By the end every revision that a node showed has been told by a journal: what was shown is not lost.
    pub(super) fn look_at_what_is_left(&self) -> Result<(), Broken> {
        match lock(&self.shown).first() {
            Some((id, revision)) => Err(broken(NAME, format!("node {id} showed revision {revision}, which no journal tells"))),
            None => Ok(()),
        }
    }

    fn judge(&self, journals: &Journals) -> Result<(), Broken> {
        let mut shown = lock(&self.shown);
        let amid = |revision| journals.at(revision).map(|sealed| sealed.record.closing.is_none());
        if let Some((id, revision)) = shown.iter().find(|(_, revision)| amid(*revision) == Some(true)) {
            return Err(broken(NAME, format!("node {id} showed revision {revision}, which is amid a decision")));
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
                lock(&shown).push((id, revision));
            }
        });
    }
}

fn lock(shown: &Mutex<Vec<(u64, Revision)>>) -> MutexGuard<'_, Vec<(u64, Revision)>> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::journals::tests::{some_records, told};
    use super::*;

    fn shown(revision: Revision) -> Decisions {
        Decisions { shown: Arc::new(Mutex::new(vec![(2, revision)])), ..Decisions::default() }
    }

    #[test]
    fn what_a_node_shows_is_behind_a_whole_decision() {
        let records = some_records();
        let journals = told(&records);
        for record in records.iter().map(|sealed| &sealed.record) {
            let judged = shown(record.revision).judge(&journals).map_err(|broken| broken.detail);
            let amid = format!("node 2 showed revision {}, which is amid a decision", record.revision);
            assert_eq!(judged, if record.closing.is_some() { Ok(()) } else { Err(amid) });
        }
        assert!(records.iter().any(|sealed| sealed.record.closing.is_none()));
    }

    #[test]
    fn what_no_journal_tells_yet_is_judged_later_and_must_be_by_the_end() {
        let records = some_records();
        let (last, before) = records.split_last().unwrap();
        let decisions = shown(last.record.revision);
        assert_eq!(decisions.judge(&told(before)), Ok(()));
        let left = format!("node 2 showed revision {}, which no journal tells", last.record.revision);
        assert_eq!(decisions.look_at_what_is_left().unwrap_err().detail, left);
        assert_eq!(decisions.judge(&told(&records)), Ok(()));
        assert_eq!(decisions.look_at_what_is_left(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_a_node_shows_until_it_ends_is_noted() {
        let (decisions, (shows, revisions)) = (Decisions::default(), tokio::sync::watch::channel(Revision::ZERO));
        decisions.watch(2, revisions);
        for revision in [Revision(3), Revision(4)] {
            shows.send_replace(revision);
            tokio::task::yield_now().await;
        }
        assert_eq!(*lock(&decisions.shown), [(2, Revision(3)), (2, Revision(4))]);
    }
}
