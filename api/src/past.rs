//! The state as it was, for readings with `as_of`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bursar_domain::{Cursor, Revision, State};
use bursar_net::Shutdown;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};

use crate::{
    authority::{Authority, BelowFloor, JournalError, PastError},
    failure::Failure,
};

/// How long a version is kept that nobody reads.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// Makes versions of the past, each folded from the journal anew, and keeps a few of them for whoever reads on.
#[derive(Clone)]
pub(crate) struct Past {
    versions: Arc<Mutex<BTreeMap<Revision, Version>>>,
    /// How many are made and kept at a time.
    versions_max: usize,
    /// With the node, nothing of it is kept any more.
    shutdown: Shutdown,
}

/// What became of making a version; nothing while it is under way.
type Made = Option<Result<Arc<State>, PastError>>;

/// A version that is being made, or was.
struct Version {
    made: watch::Receiver<Made>,
    /// When it was last asked for.
    asked: Instant,
}

impl Past {
    /// At most so many versions at a time, until the node ends.
    pub(crate) fn new(versions_max: usize, shutdown: Shutdown) -> Self {
        Self { versions: Arc::default(), versions_max, shutdown }
    }

    /// The state at a cursor that this node's journal reaches. Who asks for a version that is being made waits for that one.
    pub(crate) async fn state_at(
        &self,
        authority: &Arc<dyn Authority>,
        asked: Cursor,
        deadline: Instant,
    ) -> Result<Arc<State>, Failure> {
        let mut made = self.version(authority, asked.revision)?;
        match timeout_at(deadline, made.wait_for(Option::is_some)).await {
            Ok(Ok(made)) => made.clone().expect("it was waited for").map_err(|error| match error {
                PastError::BelowFloor(BelowFloor { floor, .. }) => Failure::gone(asked, Cursor { revision: floor, ..asked }),
                error => JournalError(error.to_string()).into(),
            }),
            Ok(Err(_)) => Err(JournalError("the making of a version broke off".into()).into()),
            // It is made to the end nevertheless: who asks again finds it.
            Err(_elapsed) => Err(Failure::overloaded("That version of the past takes longer to make than a request may take.")),
        }
    }

    fn version(&self, authority: &Arc<dyn Authority>, revision: Revision) -> Result<watch::Receiver<Made>, Failure> {
        let mut versions = self.versions();
        if let Some(version) = versions.get_mut(&revision) {
            version.asked = Instant::now();
            return Ok(version.made.clone());
        }
        if versions.len() >= self.versions_max {
            let settled = versions.iter().filter(|(_, version)| version.is_settled());
            let oldest = settled.min_by_key(|(_, version)| version.asked).map(|(revision, _)| *revision);
            let oldest =
                oldest.ok_or_else(|| Failure::overloaded("Too many versions of the past are being made by this node."))?;
            versions.remove(&oldest);
        }
        let (tell, made) = watch::channel(None);
        versions.insert(revision, Version { made: made.clone(), asked: Instant::now() });
        bursar_net::tasks::spawn(self.clone().make(Arc::clone(authority), revision, tell));
        Ok(made)
    }

    /// Makes a version, and lets it go when nobody has asked for it for some time.
    async fn make(self, authority: Arc<dyn Authority>, revision: Revision, tell: watch::Sender<Made>) {
        let made = authority.state_at(revision).await;
        let failed = made.is_err();
        tell.send_replace(Some(made));
        if failed {
            self.versions().remove(&revision);
            return;
        }
        while let Some(until) = self.kept_until(revision) {
            tokio::select! {
                () = sleep_until(until) => {}
                () = self.shutdown.requested() => return,
            }
        }
    }

    /// Until when a version is kept; none where it is not any more.
    fn kept_until(&self, revision: Revision) -> Option<Instant> {
        let mut versions = self.versions();
        // One that is being made anew is its maker's to keep.
        let until = versions.get(&revision).filter(|version| version.is_settled())?.asked + KEPT_FOR;
        if until > Instant::now() {
            return Some(until);
        }
        versions.remove(&revision);
        None
    }

    fn versions(&self) -> MutexGuard<'_, BTreeMap<Revision, Version>> {
        // Each change of it is one step, so whoever panicked left it whole.
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Version {
    /// Whether it is no longer being made.
    fn is_settled(&self) -> bool {
        self.made.borrow().is_some() || self.made.has_changed().is_err()
    }
}
