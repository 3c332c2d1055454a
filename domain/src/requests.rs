//! The memory of requests: what makes a retry harmless.
//!
//! A decision with events is remembered under (actor, request id) for an hour, and no more than 10,000 an actor: its
//! fingerprint, outcome and revision, never a body. It rests in the journal, so every replica forgets and remembers alike,
//! whatever its clock says.

use std::ops::Bound;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::{
    actor::Actor,
    cursor::Revision,
    decision::Outcome,
    encoding::{Encoded, Kind},
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
    type Key = (Actor, RequestId);
    fn id(&self) -> Revision {
        self.revision
    }
    fn key(&self) -> Option<(Actor, RequestId)> {
        Some((self.actor, self.request.clone()))
    }
}

/// The remembered requests, oldest first, and how many there are of each actor.
#[derive(Clone, Default)]
pub struct Requests {
    table: Table<Remembered>,
    by_actor: OrdMap<(Actor, Revision), ()>,
    counts: OrdMap<Actor, usize>,
}

/// What the memory says of a submission.
pub(crate) enum Recall {
    New,
    Repeated { outcome: Outcome, revision: Revision },
    Reused { revision: Revision },
}

/// Looks a submission up. Age counts from the proposal's time, which every replica has alike.
pub(crate) fn recall(state: &State, submission: &Submission, now: Timestamp) -> Recall {
    let key = (submission.actor, submission.request.clone());
    match state.requests().table.find(&key) {
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

    /// Whether the index and the counts by actor are the ones that the table gives.
    pub(crate) fn index_holds(&self) -> bool {
        let mut by_actor = OrdMap::new();
        let mut counts = OrdMap::new();
        for remembered in self.table.iter() {
            by_actor.insert((remembered.actor, remembered.revision), ());
            *counts.entry(remembered.actor).or_insert(0) += 1;
        }
        self.by_actor == by_actor && self.counts == counts
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
        while self.counts.get(&record.actor).is_some_and(|count| *count > REMEMBERED_PER_ACTOR) {
            let from = (record.actor, Revision::ZERO);
            let oldest =
                self.by_actor.range((Bound::Excluded(from), Bound::Unbounded)).next().map(|((_, revision), ())| *revision);
            self.forget(oldest.expect("an actor's count is the number of its requests"));
        }
    }

    /// Puts one back, from a checkpoint.
    pub(crate) fn restore(&mut self, remembered: Remembered) {
        // An expired request with the same id leaves its place to the new one.
        if let Some(former) = self.table.find(&(remembered.actor, remembered.request.clone())) {
            self.forget(former.revision);
        }
        self.by_actor.insert((remembered.actor, remembered.revision), ());
        *self.counts.entry(remembered.actor).or_insert(0) += 1;
        self.table.put(remembered);
    }

    fn forget_older(&mut self, now: Timestamp) {
        while let Some(revision) = self.oldest_expired(now) {
            self.forget(revision);
        }
    }

    fn oldest_expired(&self, now: Timestamp) -> Option<Revision> {
        let oldest = self.table.iter().next()?;
        (now.since_ms(oldest.at) >= REMEMBERED_MS).then_some(oldest.revision)
    }

    fn forget(&mut self, revision: Revision) {
        let actor = self.table.get(revision).expect("only what is remembered is forgotten").actor;
        self.table.remove(revision);
        self.by_actor.remove(&(actor, revision));
        match self.counts.get(&actor) {
            Some(1) => self.counts.remove(&actor),
            Some(count) => self.counts.insert(actor, count - 1),
            None => None,
        };
    }
}
