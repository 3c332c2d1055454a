//! Programs that follow the events over the API, from the first one on, as long as a run lasts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bursar_domain::{Cursor, Revision};
use bursar_net::tasks;
use bursar_wire::client::{Client, ClientError};
use bursar_wire::events::StreamItem;
use bursar_wire::query::EventsQuery;

use crate::secrets::Secrets;
use crate::workload::{FIRST_EPOCH, revision_of};

/// Something that a follower was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// An event.
    Event {
        /// Its place.
        revision: Revision,
        /// What sort of event.
        kind: String,
        /// On which request.
        request: String,
    },
    /// A place behind which it may go on.
    Bookmark {
        /// The place.
        revision: Revision,
    },
    /// What no follower should be sent.
    Refused {
        /// What it is, in words.
        problem: String,
    },
}

/// A program that follows the events.
pub struct Follower {
    sent: Arc<Mutex<Vec<Followed>>>,
}

impl Follower {
    /// Follows the events as `client` from now on, whatever becomes of the nodes that it asks. No event may hold a secret.
    pub fn start(client: Client, secrets: Secrets) -> Self {
        let sent: Arc<Mutex<Vec<Followed>>> = Arc::default();
        tasks::spawn(follow(client, secrets, Arc::clone(&sent)));
        Self { sent }
    }

    /// What it was sent since this was asked last.
    pub fn take(&self) -> Vec<Followed> {
        std::mem::take(&mut *lock(&self.sent))
    }
}

async fn follow(client: Client, secrets: Secrets, sent: Arc<Mutex<Vec<Followed>>>) {
    let mut since = Cursor { epoch: FIRST_EPOCH, revision: Revision::ZERO };
    loop {
        let mut reader = client.events(EventsQuery { since: Some(since.to_string()), ..EventsQuery::default() });
        loop {
            let item = match reader.next().await {
                Ok(Some(item)) => {
                    let told = serde_json::to_vec(&item).expect("an item of the stream can be written as JSON");
                    secrets.overhear("the stream of events", &told);
                    followed(item)
                }
                // It goes on behind what it was sent last.
                Ok(None) => break,
                Err(error) if is_passing(&error) => break,
                Err(error) => Followed::Refused { problem: error.to_string() },
            };
            let is_over = matches!(item, Followed::Refused { .. });
            lock(&sent).push(item);
            if is_over {
                return;
            }
            since = reader.position().expect("whoever was sent something knows where that was");
        }
    }
}

/// Whether nobody could answer for the moment.
pub(crate) fn is_passing(error: &ClientError) -> bool {
    match error {
        ClientError::Unreachable { .. } => true,
        ClientError::Problem { problem, .. } => matches!(problem.status, 408 | 429 | 503 | 504),
        _ => false,
    }
}

fn followed(item: StreamItem) -> Followed {
    match item {
        StreamItem::Event(line) => Followed::Event { revision: Revision(line.revision), kind: line.kind, request: line.request },
        StreamItem::Bookmark(bookmark) => Followed::Bookmark { revision: revision_of(&bookmark.cursor) },
        StreamItem::Gone(gone) => Followed::Refused { problem: format!("{gone:?}") },
        StreamItem::Problem(problem) => Followed::Refused { problem: problem.to_string() },
    }
}

fn lock(sent: &Mutex<Vec<Followed>>) -> MutexGuard<'_, Vec<Followed>> {
    sent.lock().unwrap_or_else(PoisonError::into_inner)
}
