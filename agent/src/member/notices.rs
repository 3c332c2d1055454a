//! What the server tells for good, until the authority has it.
//!
//! Of each thing only the last that is to be said counts: what was not yet said when it changed again is never said. What was
//! not answered is said again under the same name, so that the authority takes it once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bursar_domain::{StorePointId, hash::hex};
use bursar_net::{Caller, Entropy};
use bursar_wire::control::{Notice, ServerAnswer, ServerQuestion};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tracing::{debug, warn};

/// How long the authority may take to decide.
const DECIDED_WITHIN: Duration = Duration::from_secs(10);
/// After how long the server says again what was not heard: as long as the authority has no leader, or has not yet noticed that
/// the server answers.
const AGAIN: Duration = Duration::from_secs(1);

/// What is to be said, and what was said last.
pub(crate) struct Outbox {
    entropy: Arc<dyn Entropy>,
    entries: Mutex<BTreeMap<Subject, Entry>>,
    news: Notify,
}

/// Of what a notice tells, in the order in which they are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Program,
    Projection,
    StorePoint(StorePointId),
}

#[derive(Clone, Debug)]
struct Entry {
    notice: Notice,
    request: String,
    /// Whether the authority has it, or does not want it.
    settled: bool,
}

impl Outbox {
    pub(crate) fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, entries: Mutex::default(), news: Notify::new() }
    }

    /// Has `notice` said, unless just that was said last.
    pub(crate) fn say(&self, notice: Notice) {
        let mut entries = self.entries();
        let subject = Subject::of(&notice);
        if entries.get(&subject).is_some_and(|entry| entry.notice == notice) {
            return;
        }
        debug!(?notice, "to be said");
        entries.insert(subject, Entry { notice, request: self.request(), settled: false });
        self.news.notify_one();
    }

    /// Has everything said again: the authority may have forgotten how things are while it did not hear of the server.
    pub(super) fn say_all_again(&self) {
        for entry in self.entries().values_mut().filter(|entry| entry.settled) {
            (entry.request, entry.settled) = (self.request(), false);
        }
        self.news.notify_one();
    }

    /// The authority has something of what was `said` otherwise: has everything said again, unless the server says something else by now.
    pub(super) fn is_known_otherwise(&self, said: &[Notice]) {
        if !said.is_empty() && self.has_said() == said {
            debug!("the authority has something otherwise than it was told");
            self.say_all_again();
        }
    }

    /// What was said, of each thing the last; nothing while something is yet to be said: it has to be heard first, or what comes last
    /// never would be.
    pub(super) fn has_said(&self) -> Vec<Notice> {
        let entries = self.entries();
        let is_all_settled = entries.values().all(|entry| entry.settled);
        entries.values().filter(|_| is_all_settled).map(|entry| entry.notice.clone()).collect()
    }

    /// Says nothing more of a store point.
    pub(crate) fn forget(&self, store_point: StorePointId) {
        self.entries().remove(&Subject::StorePoint(store_point));
    }

    /// What was last said of a store point, or is to be.
    #[cfg(test)]
    pub(crate) fn says_of(&self, store_point: StorePointId) -> Option<bursar_domain::store_point::Report> {
        match self.entries().get(&Subject::StorePoint(store_point))?.notice {
            Notice::StorePoint { report, .. } => Some(report),
            Notice::Program(_) | Notice::Projection { .. } => None,
        }
    }

    /// Says what is to be said to the authority, one after the other; returns why the node is of no use any more.
    /// Whether a node that cannot take notices is left is for the heartbeats to say.
    pub(super) async fn deliver(&self, caller: &Caller) -> String {
        loop {
            let Entry { notice, request, .. } = self.unsettled().await;
            let question = ServerQuestion::Notice { request: request.clone(), notice: notice.clone() };
            match caller.call(&question, Instant::now() + DECIDED_WITHIN).await {
                Ok(ServerAnswer::Noted { revision }) => {
                    debug!(?notice, %revision, "noted");
                    self.settle(&request);
                }
                Ok(ServerAnswer::Refused { code, detail }) => {
                    warn!(?notice, code, detail, "the authority refuses what the server tells");
                    self.settle(&request);
                }
                Ok(ServerAnswer::Unavailable { detail }) => {
                    debug!(?notice, detail, "not heard");
                    sleep(AGAIN).await;
                }
                Ok(ServerAnswer::Heard { .. }) => return "it answers a notice as if it were a heartbeat".to_owned(),
                Err(error) => return error.to_string(),
            }
        }
    }

    /// The first that is to be said, once there is one.
    async fn unsettled(&self) -> Entry {
        loop {
            let news = self.news.notified();
            let first = self.entries().values().find(|entry| !entry.settled).cloned();
            match first {
                Some(entry) => return entry,
                None => news.await,
            }
        }
    }

    fn settle(&self, request: &str) {
        // Where something else is to be said meanwhile, it has another name.
        if let Some(entry) = self.entries().values_mut().find(|entry| entry.request == request) {
            entry.settled = true;
        }
    }

    fn request(&self) -> String {
        hex::encode(&self.entropy.array::<16>())
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<Subject, Entry>> {
        // The entries are whole after every statement.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subject {
    fn of(notice: &Notice) -> Self {
        match notice {
            Notice::Program(_) => Self::Program,
            Notice::Projection { .. } => Self::Projection,
            Notice::StorePoint { store_point, .. } => Self::StorePoint(*store_point),
        }
    }
}

#[cfg(test)]
mod tests {
    use bursar_domain::{Revision, server::ProjectionState};
    use bursar_net::SystemEntropy;

    use super::*;
    use crate::program;

    fn settle_all(outbox: &Outbox) {
        outbox.entries().values_mut().for_each(|entry| entry.settled = true);
    }

    #[test]
    fn what_is_known_otherwise_is_said_again_while_it_is_what_the_server_says() {
        let outbox = Outbox::new(Arc::new(SystemEntropy::new()));
        outbox.say(Notice::Program(program::facts()));
        assert!(outbox.has_said().is_empty(), "it is yet to be said");
        settle_all(&outbox);
        let before = outbox.has_said();
        assert_eq!(before, [Notice::Program(program::facts())]);

        // While the question was on its way, something else came to be said, and was.
        outbox.say(Notice::Projection { state: ProjectionState::Matching, at: Revision(9) });
        settle_all(&outbox);
        outbox.is_known_otherwise(&before);
        assert_eq!(outbox.has_said().len(), 2, "nothing is said again");

        outbox.is_known_otherwise(&outbox.has_said());
        assert!(outbox.entries().values().all(|entry| !entry.settled), "everything is");
    }
}
