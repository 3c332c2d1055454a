//! The memory of requests: what makes a retry harmless.
//!
//! A decision with events is remembered under (actor, request id) for an hour, and no more than 10,000 an actor: its
//! fingerprint, outcome and revision, never a body. It rests in the journal, so every replica forgets and remembers alike,
//! whatever its clock says.

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::{
    actor::Actor,
    cursor::Revision,
    decision::Outcome,
    encoding::{Encoded, Kind, hash_of},
    hash::Hash,
    proposal::{RequestId, Submission},
    record::Record,
    state::State,
    table::{Row, Table},
    time::Timestamp,
};

/// How long a request is remembered.
pub const REMEMBERED_MS: u64 = 3_600_000;
/// How many requests of one actor are remembered.
pub const REMEMBERED_PER_ACTOR: usize = 10_000;

/// One remembered request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remembered {
    /// The revision at which it was carried out.
    pub revision: Revision,
    /// Whose it was.
    pub actor: Actor,
    /// Which one.
    pub request: RequestId,
    /// The hash of the request as it came.
    pub fingerprint: Hash,
    /// What the caller was told.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
}

impl Encoded for Remembered {
    const KIND: Kind = Kind::Remembered;
}

impl Row for Remembered {
    type Id = Revision;
    type Key = Hash;
    fn id(&self) -> Revision {
        self.revision
    }
    fn key(&self) -> Option<Hash> {
        Some(key(self.actor, &self.request))
    }
}

/// What a request is found by. Request ids are texts, in no order and each in a place of its own in memory: an index of their
/// hashes is searched and copied faster by far.
fn key(actor: Actor, request: &RequestId) -> Hash {
    hash_of(&(actor, request))
}

/// The remembered requests, oldest first, and which of them are each actor's.
#[derive(Clone, Default)]
pub struct Requests {
    table: Table<Remembered>,
    by_actor: OrdMap<Actor, OrdSet<Revision>>,
}

/// What the memory says of a submission.
pub(crate) enum Recall {
    New,
    Repeated { outcome: Outcome, revision: Revision },
    Reused { revision: Revision },
}

/// Looks a submission up. Age counts from the proposal's time, which every replica has alike.
pub(crate) fn recall(state: &State, submission: &Submission, now: Timestamp) -> Recall {
    match state.requests().table.find(&key(submission.actor, &submission.request)) {
        Some(known) if now.since_ms(known.at) >= REMEMBERED_MS => Recall::New,
        None => Recall::New,
        Some(known) if known.fingerprint == submission.fingerprint => {
            Recall::Repeated { outcome: known.outcome.clone(), revision: known.revision }
        }
        Some(known) => Recall::Reused { revision: known.revision },
    }
}

impl Requests {
    /// The remembered requests by revision.
    pub const fn table(&self) -> &Table<Remembered> {
        &self.table
    }

    /// Whether the index by actor is the one that the table gives.
    pub(crate) fn index_holds(&self) -> bool {
        let mut by_actor: OrdMap<Actor, OrdSet<Revision>> = OrdMap::new();
        for remembered in self.table.iter() {
            by_actor.entry(remembered.actor).or_default().insert(remembered.revision);
        }
        self.by_actor == by_actor
    }

    /// Remembers a decision's end, and forgets what is too old or too much.
    pub(crate) fn close(&mut self, record: &Record) {
        self.forget_older(record.time);
        let Some(closing) = &record.closing else { return };
        self.restore(Remembered {
            revision: record.revision,
            actor: record.actor,
            request: record.request.clone(),
            fingerprint: closing.fingerprint,
            outcome: closing.outcome.clone(),
            at: record.time,
        });
        while let Some(oldest) = self.oldest_beyond_bound(record.actor) {
            self.forget(oldest);
        }
    }

    /// Puts one back, from a checkpoint.
    pub(crate) fn restore(&mut self, remembered: Remembered) {
        // An expired request with the same id leaves its place to the new one.
        if let Some(former) = self.table.find(&key(remembered.actor, &remembered.request)) {
            self.forget(former.revision);
        }
        self.by_actor.entry(remembered.actor).or_default().insert(remembered.revision);
        self.table.put(remembered);
    }

    fn forget_older(&mut self, now: Timestamp) {
        while let Some(revision) = self.oldest_expired(now) {
            self.forget(revision);
        }
    }

    fn oldest_expired(&self, now: Timestamp) -> Option<Revision> {
        let oldest = self.table.first()?;
        (now.since_ms(oldest.at) >= REMEMBERED_MS).then_some(oldest.revision)
    }

    fn oldest_beyond_bound(&self, actor: Actor) -> Option<Revision> {
        let of_actor = self.by_actor.get(&actor).filter(|of_actor| of_actor.len() > REMEMBERED_PER_ACTOR)?;
        of_actor.get_min().copied()
    }

    fn forget(&mut self, revision: Revision) {
        let actor = self.table.get(revision).expect("only what is remembered is forgotten").actor;
        self.table.remove(revision);
        let of_actor = self.by_actor.get_mut(&actor).expect("every remembered request is its actor's");
        of_actor.remove(&revision);
        if of_actor.is_empty() {
            self.by_actor.remove(&actor);
        }
    }
}
