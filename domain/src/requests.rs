//! The memory of requests: what makes a retry harmless.
//!
//! A decision with events is remembered under (actor, request id): its fingerprint, outcome and revision, never a body. The
//! memory follows from the journal, so every replica forgets and remembers alike, whatever its clock says.
//!
//! A caller comes back under its own key, perhaps only after an outage. A minted id nobody knows but the nodes that pass the
//! request on to each other. So each sort has a memory of its own, and no number of requests without a key pushes out one
//! with a key.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::{
    actor::Actor,
    cursor::Revision,
    decision::Outcome,
    digest::Digest,
    encoding::{Encoded, Kind, hash_of},
    hash::Hash,
    proposal::Submission,
    record::Record,
    request_id::RequestId,
    state::State,
    table::{Row, Table},
    time::Timestamp,
};

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// For how long, in milliseconds.
    pub span_ms: u64,
    /// How many requests of one actor: the last ones.
    pub per_actor: usize,
}

/// What is remembered of requests under a caller's key.
pub const GIVEN: Budget = Budget { span_ms: 3_600_000, per_actor: 10_000 };
/// What is remembered of requests under a minted id: for far longer than a node tries to learn an outcome, so that it is found
/// also where the next leader's clock is minutes ahead.
pub const MINTED: Budget = Budget { span_ms: 600_000, per_actor: 10_000 };

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

/// The remembered requests of both sorts.
#[derive(Clone)]
pub struct Requests {
    given: Memory,
    minted: Memory,
}

/// What the memory says of a submission.
pub(crate) enum Recall {
    New,
    Repeated { outcome: Outcome, revision: Revision },
    Reused { revision: Revision },
}

/// Looks a submission up. Age counts from the proposal's time, which every replica has alike.
pub(crate) fn recall(state: &State, submission: &Submission, now: Timestamp) -> Recall {
    match state.requests().memory(&submission.request).find(submission.actor, &submission.request, now) {
        None => Recall::New,
        Some(known) if known.fingerprint == submission.fingerprint => {
            Recall::Repeated { outcome: known.outcome.clone(), revision: known.revision }
        }
        Some(known) => Recall::Reused { revision: known.revision },
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self { given: Memory::new(GIVEN), minted: Memory::new(MINTED) }
    }
}

impl Requests {
    /// Forgets all that is remembered.
    #[cfg(feature = "mutants")]
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The requests under a caller's key, oldest first.
    pub const fn given(&self) -> &Table<Remembered> {
        &self.given.table
    }

    /// The requests under a minted id, oldest first.
    pub const fn minted(&self) -> &Table<Remembered> {
        &self.minted.table
    }

    /// Whether an equal request was carried out before, as far as that is remembered at a time.
    pub fn carried_out(&self, actor: Actor, request: &RequestId, fingerprint: Hash, now: Timestamp) -> bool {
        let known = self.memory(request).find(actor, request, now);
        known.is_some_and(|known| known.fingerprint == fingerprint && known.outcome.is_ok())
    }

    /// The sum of their hashes.
    pub fn digest(&self) -> Digest {
        self.given().digest().plus(self.minted().digest())
    }

    /// Whether the indexes by actor are the ones that the tables give.
    pub(crate) fn indexes_hold(&self) -> bool {
        self.given.index_holds() && self.minted.index_holds()
    }

    /// Remembers a decision's end, and forgets what is too old or too much.
    pub(crate) fn close(&mut self, record: &Record) {
        self.given.forget_expired(record.time);
        self.minted.forget_expired(record.time);
        let Some(closing) = &record.closing else { return };
        self.memory_mut(&record.request).remember(Remembered {
            revision: record.revision,
            actor: record.actor,
            request: record.request.clone(),
            fingerprint: closing.fingerprint,
            outcome: closing.outcome.clone(),
            at: record.time,
        });
    }

    /// Puts one back, from a checkpoint.
    pub(crate) fn restore(&mut self, remembered: Remembered) {
        self.memory_mut(&remembered.request).put(remembered);
    }

    const fn memory(&self, request: &RequestId) -> &Memory {
        match request {
            RequestId::Given(_) => &self.given,
            RequestId::Minted(_) => &self.minted,
        }
    }

    const fn memory_mut(&mut self, request: &RequestId) -> &mut Memory {
        match request {
            RequestId::Given(_) => &mut self.given,
            RequestId::Minted(_) => &mut self.minted,
        }
    }
}

/// The remembered requests of one sort, oldest first, and which of them are each actor's.
#[derive(Clone)]
struct Memory {
    budget: Budget,
    table: Table<Remembered>,
    by_actor: OrdMap<Actor, OrdSet<Revision>>,
}

impl Memory {
    fn new(budget: Budget) -> Self {
        Self { budget, table: Table::default(), by_actor: OrdMap::new() }
    }

    fn find(&self, actor: Actor, request: &RequestId, now: Timestamp) -> Option<&Arc<Remembered>> {
        self.table.find(&key(actor, request)).filter(|known| !self.has_expired(known, now))
    }

    fn has_expired(&self, known: &Remembered, now: Timestamp) -> bool {
        now.since_ms(known.at) >= self.budget.span_ms
    }

    fn index_holds(&self) -> bool {
        let mut by_actor: OrdMap<Actor, OrdSet<Revision>> = OrdMap::new();
        for remembered in self.table.iter() {
            by_actor.entry(remembered.actor).or_default().insert(remembered.revision);
        }
        self.by_actor == by_actor
    }

    fn remember(&mut self, remembered: Remembered) {
        let actor = remembered.actor;
        self.put(remembered);
        while let Some(oldest) = self.oldest_beyond_budget(actor) {
            self.forget(oldest);
        }
    }

    fn put(&mut self, remembered: Remembered) {
        // An expired request with the same id leaves its place to the new one.
        if let Some(former) = self.table.find(&key(remembered.actor, &remembered.request)) {
            self.forget(former.revision);
        }
        self.by_actor.entry(remembered.actor).or_default().insert(remembered.revision);
        self.table.put(remembered);
    }

    fn forget_expired(&mut self, now: Timestamp) {
        while let Some(revision) = self.oldest_expired(now) {
            self.forget(revision);
        }
    }

    fn oldest_expired(&self, now: Timestamp) -> Option<Revision> {
        self.table.first().filter(|oldest| self.has_expired(oldest, now)).map(|oldest| oldest.revision)
    }

    fn oldest_beyond_budget(&self, actor: Actor) -> Option<Revision> {
        let of_actor = self.by_actor.get(&actor).filter(|of_actor| of_actor.len() > self.budget.per_actor)?;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        AuthorityNodeId, Reply,
        cluster::Event,
        record::{Closing, DecisionSpan},
    };

    const SPAN_MS: u64 = 1_000;
    const PER_ACTOR: usize = 5;

    fn small() -> Requests {
        Requests {
            given: Memory::new(Budget { span_ms: SPAN_MS, per_actor: PER_ACTOR }),
            minted: Memory::new(Budget { span_ms: 150, per_actor: 3 }),
        }
    }

    fn closed(revision: u64, at: Timestamp, actor: Actor, request: RequestId) -> Record {
        let revision = Revision(revision);
        Record {
            revision,
            decision: DecisionSpan { first: revision, count: 1 },
            time: at,
            actor,
            request,
            audience: crate::Audience::Administrators,
            previous: Hash::ZERO,
            event: Event::SetupClaimed.into(),
            closing: Some(Closing { fingerprint: Hash::ZERO, outcome: Ok(Reply::changed(crate::ObjectRef::Cluster)) }),
        }
    }

    /// A request that was carried out: when, whose, and whether it had a key.
    fn requests() -> impl Strategy<Value = Vec<(u64, u64, bool)>> {
        prop::collection::vec((prop_oneof![4 => 0..20_u64, 1 => 0..400_u64], 1..3_u64, prop::bool::weighted(0.3)), 1..200)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever comes without a key, a request with a key is found as long as its span lasts and it is among its actor's
        /// last ones with a key; and not for longer.
        #[test]
        fn minted_requests_push_no_given_ones_out(requests in requests()) {
            let mut memory = small();
            let mut now = Timestamp::default();
            let mut keyed = Vec::new();
            for (number, (gap_ms, actor, has_key)) in (1..).zip(requests) {
                now = now.plus_ms(gap_ms);
                let actor = Actor::AuthorityNode(AuthorityNodeId(actor));
                // Texts are the same on purpose: a minted id is never taken for a key.
                let sort = if has_key { RequestId::parse } else { RequestId::minted };
                let request = sort(&number.to_string()).expect("visible ASCII");
                if has_key {
                    keyed.push((now, actor, request.clone()));
                }
                memory.close(&closed(number, now, actor, request));
                for (position, (at, actor, request)) in keyed.iter().enumerate() {
                    let later = keyed[position + 1..].iter().filter(|(_, other, _)| other == actor).count();
                    let expected = now.since_ms(*at) < SPAN_MS && later < PER_ACTOR;
                    let found = memory.memory(request).find(*actor, request, now).is_some();
                    prop_assert_eq!(found, expected, "{} of {} at {}", request, actor, now);
                }
                prop_assert!(memory.indexes_hold());
            }
        }
    }

    #[test]
    fn minted_requests_have_a_budget_of_their_own() {
        let mut memory = small();
        let actor = Actor::Founder;
        let minted = |number: u64| RequestId::minted(&number.to_string()).expect("visible ASCII");
        let knows = |memory: &Requests, number, now| memory.minted.find(actor, &minted(number), Timestamp(now)).is_some();
        for number in 1..=4 {
            memory.close(&closed(number, Timestamp(0), actor, minted(number)));
        }
        assert_eq!([1, 2, 3, 4].map(|number| knows(&memory, number, 149)), [false, true, true, true]);
        assert!(!knows(&memory, 4, 150));
        memory.close(&closed(5, Timestamp(150), actor, minted(5)));
        assert_eq!(memory.minted().len(), 1, "what has expired leaves");
    }
}
