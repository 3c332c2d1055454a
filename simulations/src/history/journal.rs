//! The journal as a witness: what was decided on which request, how objects were, and who was given which name.

use std::collections::{BTreeMap, HashMap};

use bursar_domain::{
    Actor, Event, Hash, Name, ObjectRef, Outcome, RequestId, Revision, Sealed, State, Timestamp, destination, requests, server,
    site, store_point, token,
};

use super::{operation::Seen, violation::Violation};

/// A decision that changed something.
pub(super) struct Decided<'j> {
    pub(super) first: Revision,
    pub(super) last: Revision,
    pub(super) time: Timestamp,
    pub(super) actor: Actor,
    pub(super) request: &'j RequestId,
    pub(super) outcome: &'j Outcome,
    /// How many requests of the actor, of the same sort, were carried out before.
    ordinal: usize,
}

/// All decisions, found by their requests.
pub(super) struct Decisions<'j> {
    all: Vec<Decided<'j>>,
    by_request: HashMap<&'j str, Vec<usize>>,
}

impl<'j> Decisions<'j> {
    /// Reads a journal that begins with the first record.
    pub(super) fn read(journal: &'j [Sealed]) -> Result<Self, Violation> {
        let mut decisions = Self { all: Vec::new(), by_request: HashMap::new() };
        let mut of_actor: BTreeMap<(Actor, bool), usize> = BTreeMap::new();
        let mut before: Option<&Sealed> = None;
        for (entry, sealed) in (1..).zip(journal) {
            if !follows(entry, before, sealed) {
                return Err(Violation::JournalBroken { entry, found: sealed.record.revision });
            }
            before = Some(sealed);
            let record = &sealed.record;
            let Some(closing) = &record.closing else { continue };
            let carried_out = of_actor.entry((record.actor, is_given(&record.request))).or_default();
            decisions.by_request.entry(record.request.as_str()).or_default().push(decisions.all.len());
            decisions.all.push(Decided {
                first: record.decision.first,
                last: record.revision,
                time: record.time,
                actor: record.actor,
                request: &record.request,
                outcome: &closing.outcome,
                ordinal: *carried_out,
            });
            *carried_out += 1;
        }
        match before.filter(|last| last.record.closing.is_none()) {
            Some(open) => Err(Violation::JournalBroken { entry: journal.len() as u64, found: open.record.revision }),
            None => Ok(decisions),
        }
    }

    /// What was decided on a request, where it changed something: the first time.
    pub(super) fn on(&self, actor: Actor, request: &RequestId) -> Option<&Decided<'j>> {
        self.all_on(request).find(|decided| decided.actor == actor && decided.request == request)
    }

    /// Requests that were carried out again although they were still to be remembered.
    pub(super) fn doubled(&self) -> impl Iterator<Item = Violation> {
        self.all.iter().filter_map(|again| {
            let before = self.all_on(again.request).take_while(|before| before.first < again.first);
            let before = before.filter(|before| before.actor == again.actor && before.request == again.request);
            let first = before.last().filter(|before| is_remembered(before, again))?;
            Some(Violation::Doubled {
                actor: again.actor,
                request: again.request.clone(),
                first: first.first,
                again: again.first,
            })
        })
    }

    fn all_on(&self, request: &RequestId) -> impl Iterator<Item = &Decided<'j>> {
        self.by_request.get(request.as_str()).into_iter().flatten().map(|index| &self.all[*index])
    }
}

/// Whether a record stands where it belongs: behind the one before, in its decision.
fn follows(entry: u64, before: Option<&Sealed>, sealed: &Sealed) -> bool {
    let record = &sealed.record;
    let chained = record.revision.0 == entry && record.previous == before.map_or(Hash::ZERO, |before| before.hash);
    let within = match before.filter(|before| before.record.closing.is_none()) {
        Some(open) => open.record.decision == record.decision,
        None => record.decision.first == record.revision,
    };
    chained && within && record.closing.is_some() == (record.decision.last() == record.revision)
}

/// A caller's key and a minted id have memories of their own.
const fn is_given(request: &RequestId) -> bool {
    matches!(request, RequestId::Given(_))
}

/// Whether a request was still to be remembered when it was carried out again.
fn is_remembered(before: &Decided<'_>, again: &Decided<'_>) -> bool {
    let budget = if is_given(before.request) { requests::GIVEN } else { requests::MINTED };
    again.time.since_ms(before.time) < budget.span_ms && again.ordinal - before.ordinal <= budget.per_actor
}

/// How an object is in a state, as the API shows it: what was a server or a store point stays visible.
pub(super) fn look(state: &State, object: ObjectRef) -> Option<Seen> {
    let version = state.changed_at(object)?;
    let name = match object {
        ObjectRef::Site(id) => state.sites().get(id).map(|row| &row.name),
        ObjectRef::Destination(id) => state.destinations().get(id).map(|row| &row.name),
        ObjectRef::Server(id) => state.servers().get(id).map(|row| &row.name),
        ObjectRef::StorePoint(id) => state.store_points().get(id).map(|row| &row.name),
        ObjectRef::Token(id) => state.tokens().get(id).map(|row| &row.name),
        ObjectRef::Cluster
        | ObjectRef::AuthorityNode(_)
        | ObjectRef::JoinToken(_)
        | ObjectRef::Operation(_)
        | ObjectRef::Alert(_) => None,
    };
    Some(Seen { version, name: name.map(Name::to_string) })
}

/// Whether an object that is removed stays visible, under its last name.
pub(super) const fn leaves_a_tombstone(object: ObjectRef) -> bool {
    matches!(object, ObjectRef::Server(_) | ObjectRef::StorePoint(_))
}

/// The object whose name an event changes, and what it is then; no name where the object is gone.
pub(super) fn naming(event: &Event) -> Option<(ObjectRef, Option<&Name>)> {
    match event {
        Event::Site(site::Event::Created { site, name, .. } | site::Event::Edited { site, name: Some(name), .. }) => {
            Some(((*site).into(), Some(name)))
        }
        Event::Destination(
            destination::Event::Created { destination, name, .. }
            | destination::Event::Edited { destination, name: Some(name), .. },
        ) => Some(((*destination).into(), Some(name))),
        Event::Server(server::Event::Added { server, name, .. } | server::Event::Edited { server, name: Some(name), .. }) => {
            Some(((*server).into(), Some(name)))
        }
        Event::StorePoint(
            store_point::Event::Created { store_point, name, .. }
            | store_point::Event::Edited { store_point, name: Some(name), .. },
        ) => Some(((*store_point).into(), Some(name))),
        Event::Token(token::Event::Issued { token, name, .. }) => Some(((*token).into(), Some(name))),
        Event::Site(site::Event::Removed { site }) => Some(((*site).into(), None)),
        Event::Destination(destination::Event::Removed { destination }) => Some(((*destination).into(), None)),
        Event::Token(token::Event::Revoked { token }) => Some(((*token).into(), None)),
        _ => None,
    }
}
