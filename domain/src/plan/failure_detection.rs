//! Tells storage servers that answer from those that do not.
//!
//! A server counts as silent once nothing was heard of it for a whole window. Silence is only worth something while somebody
//! listens: a leader that has just begun, or that was itself held up for a while, gives every server a whole window anew. So
//! neither a change of leader nor a pause of the leader's own machine raises an alarm, and a server that is really gone is
//! found within the window and one look of the leader.
//!
//! Points in time are milliseconds of the leader's own monotonic clock; only the end of a maintenance is a time of day.

use std::collections::BTreeMap;

use crate::{
    command::Command,
    ids::{ServerGuid, ServerId},
    mutants::{Mutant, planted},
    server::{self, Condition, Intent, Server},
    state::State,
    time::Timestamp,
};

/// The default window, in milliseconds.
pub const WINDOW_MS: u64 = 15_000;

/// What the leader has heard, as of its last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// After how long a silence a server counts as one that does not answer.
    window_ms: u64,
    /// Since when the leader listens without a gap.
    listens_since_ms: u64,
    /// When the leader looked last.
    looked_ms: u64,
    /// Who was heard, by which identity and when.
    heard: BTreeMap<ServerId, (ServerGuid, u64)>,
}

impl Observed {
    /// Of a leader that begins to listen now.
    pub const fn new(window_ms: u64, now_ms: u64) -> Self {
        Self { window_ms, listens_since_ms: now_ms, looked_ms: now_ms, heard: BTreeMap::new() }
    }

    /// A server was heard.
    pub fn hear(&mut self, server: ServerId, guid: ServerGuid, now_ms: u64) {
        self.heard.insert(server, (guid, now_ms));
    }

    /// The leader looks, whom a majority has not confirmed for `unconfirmed_ms`, or not at all yet. It may have been deaf for as long as it
    /// did not look, where that was for more than a third of the window; and for as long as nobody confirmed it, where that was for more
    /// than an eighth: what it should have heard meanwhile went elsewhere, was sent back, or is still on its way. The less for the latter,
    /// since whoever is sent back has lost the time that this took, too.
    pub fn look(&mut self, now_ms: u64, unconfirmed_ms: Option<u64>) {
        let did_not_look = now_ms.saturating_sub(self.looked_ms) > self.window_ms / 3;
        let was_unconfirmed = unconfirmed_ms.is_none_or(|unconfirmed_ms| unconfirmed_ms > self.window_ms / 8);
        if (did_not_look || was_unconfirmed) && !planted(Mutant::DetectorBlindToGaps) {
            self.listens_since_ms = now_ms;
        }
        self.looked_ms = now_ms;
    }

    /// Forgets servers that are not part of the fleet any more.
    pub fn forget_strangers(&mut self, state: &State) {
        self.heard.retain(|server, _| state.servers().get(*server).is_some_and(|row| row.is_present()));
    }

    /// Whether the machine that has this place now was heard within the window.
    pub fn hears(&self, server: &Server) -> bool {
        self.heard_ms(server).is_some_and(|heard_ms| self.looked_ms.saturating_sub(heard_ms) < self.window_ms)
    }

    /// Whether the machine that has this place now was silent for a whole window, while the leader listened.
    fn misses(&self, server: &Server) -> bool {
        let listens_since_ms = if planted(Mutant::DetectorWithoutGrace) { 0 } else { self.listens_since_ms };
        let last_ms = self.heard_ms(server).map_or(listens_since_ms, |heard_ms| heard_ms.max(listens_since_ms));
        self.looked_ms.saturating_sub(last_ms) >= self.window_ms
    }

    /// When the machine was heard last that has this place now: what its predecessor said does not count.
    fn heard_ms(&self, server: &Server) -> Option<u64> {
        let (guid, heard_ms) = self.heard.get(&server.id)?;
        (*guid == server.facts.guid).then_some(*heard_ms)
    }
}

/// What to put into the ledger, at `now` by the clock on the wall. A server that is being taken in is left to the duty that
/// does so.
pub fn plan(state: &State, observed: &Observed, now: Timestamp) -> Vec<Command> {
    let present = state.servers().iter().filter(|server| server.is_present());
    let commands = present.flat_map(|server| {
        let id = server.id;
        let answers = match server.condition {
            Condition::Online if observed.misses(server) => Some(server::Command::WentOffline { server: id }),
            Condition::Offline if observed.hears(server) => Some(server::Command::CameOnline { server: id }),
            _ => None,
        };
        let is_over = matches!(server.intent, Intent::Maintenance { until, .. } if until <= now);
        let ended = is_over.then_some(server::Command::EndMaintenance { server: id });
        // One at a time: the next is planned on what this one has led to.
        answers.or(ended)
    });
    commands.map(Command::Server).collect()
}
