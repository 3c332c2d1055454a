//! The state as it was, for readings with `as_of`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bursar_domain::{Revision, State};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use crate::{
    authority::{Authority, JournalError},
    failure::Failure,
};

/// Makes versions of the past, a few at a time: each is folded from the journal anew.
pub(crate) struct Past {
    places: Arc<Semaphore>,
    /// The version that was made last, for whoever reads its next page.
    last: Arc<Mutex<Option<Arc<State>>>>,
}

impl Past {
    /// At most `places` versions are made at a time.
    pub(crate) fn new(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), last: Arc::default() }
    }

    /// The state at a revision that is in this node's journal.
    pub(crate) async fn state_at(
        &self,
        authority: &Arc<dyn Authority>,
        revision: Revision,
        deadline: Instant,
    ) -> Result<Arc<State>, Failure> {
        if let Some(last) = lock(&self.last).as_ref().filter(|last| last.revision() == revision) {
            return Ok(Arc::clone(last));
        }
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| Failure::overloaded("Too many versions of the past are being made by this node."))?;
        let (authority, last) = (Arc::clone(authority), Arc::clone(&self.last));
        // It is made to the end, whether or not somebody still waits, and holds its place as long: who asks again finds it.
        let making = tokio::spawn(async move {
            let made = authority.state_at(revision).await?;
            *lock(&last) = Some(Arc::clone(&made));
            drop(place);
            Ok(made)
        });
        match timeout_at(deadline, making).await {
            Ok(Ok(made)) => made.map_err(|error: JournalError| error.into()),
            Ok(Err(lost)) => Err(JournalError(lost.to_string()).into()),
            Err(_elapsed) => Err(Failure::overloaded("That version of the past takes longer to make than a request may take.")),
        }
    }
}

fn lock(last: &Mutex<Option<Arc<State>>>) -> MutexGuard<'_, Option<Arc<State>>> {
    // It is replaced in one step, so whoever panicked left it whole.
    last.lock().unwrap_or_else(PoisonError::into_inner)
}
