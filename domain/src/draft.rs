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
