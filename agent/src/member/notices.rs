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
        self.say_again(|_| true);
    }

    /// Has said again how all store points are, the authority having forgotten it; unless something is to be said of one as it is: then
    /// that has to be heard first, or those that come last never would be.
    pub(super) fn say_again_of_store_points(&self) {
        let is_of_store_point = |subject: &Subject| matches!(subject, Subject::StorePoint(_));
        if self.entries().iter().all(|(subject, entry)| entry.settled || !is_of_store_point(subject)) {
            self.say_again(is_of_store_point);
        }
    }

    fn say_again(&self, is_meant: impl Fn(&Subject) -> bool) {
        for (_, entry) in self.entries().iter_mut().filter(|(subject, entry)| entry.settled && is_meant(subject)) {
            (entry.request, entry.settled) = (self.request(), false);
        }
        self.news.notify_one();
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
