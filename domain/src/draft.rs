//! The copy of the state on which one proposal is decided.

use crate::{
    actor::Actor,
    event::Event,
    state::{Stamp, State},
    time::Timestamp,
};

/// A decision in the making: the events so far, and the state as they would leave it, so that later rules see the earlier
/// events. Dropped as a whole when deciding panics.
pub(crate) struct Draft<'s> {
    base: &'s State,
    /// The state with the first `folded` events in it; none until a rule looks behind an event.
    ahead: Option<State>,
    folded: usize,
    events: Vec<Event>,
    actor: Actor,
    now: Timestamp,
}

impl<'s> Draft<'s> {
    pub(crate) const fn new(base: &'s State, actor: Actor, now: Timestamp) -> Self {
        Self { base, ahead: None, folded: 0, events: Vec::new(), actor, now }
    }

    /// The state behind all events so far. Most decisions look only before their first event, and then nothing is copied.
    pub(crate) fn state(&mut self) -> &State {
        if self.events.is_empty() {
            return self.base;
        }
        let ahead = self.ahead.get_or_insert_with(|| self.base.clone());
        for (offset, event) in self.events.iter().enumerate().skip(self.folded) {
            let revision = self.base.revision().plus(offset as u64 + 1);
            ahead.carry(event, Stamp { at: self.now, by: self.actor, revision });
        }
        self.folded = self.events.len();
        ahead
    }

    /// Who asks.
    pub(crate) const fn actor(&self) -> Actor {
        self.actor
    }

    /// When.
    pub(crate) const fn now(&self) -> Timestamp {
        self.now
    }

    /// Lets something have happened.
    pub(crate) fn emit(&mut self, event: Event) {
        self.events.push(event);
    }

    pub(crate) fn into_events(self) -> Vec<Event> {
        self.events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Name, Revision, SiteId, site};

    #[test]
    fn later_rules_see_the_earlier_events() {
        let base = State::default();
        let mut draft = Draft::new(&base, Actor::Founder, Timestamp(7));
        let name = Name::parse("name", "Dublin").expect("a proper name");
        for number in [1, 2] {
            assert_eq!(draft.state().next().site, number);
            let created = site::Event::Created { site: SiteId(number), name: name.clone(), expected_latency_ms: 0 };
            draft.emit(created.into());
            let stamp = Stamp { at: Timestamp(7), by: Actor::Founder, revision: Revision(2 * number - 1) };
            assert_eq!(draft.state().sites().get(SiteId(number)).map(|site| site.created), Some(stamp));
            draft.emit(site::Event::Removed { site: SiteId(number) }.into());
            assert!(draft.state().sites().is_empty());
        }
        assert_eq!(base.next().site, 1, "the state itself stays as it was");
        assert_eq!(draft.into_events().len(), 4);
    }
}
