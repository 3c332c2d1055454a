//! Saying that the server is there, and what it sees, as often as the authority wants to hear it.

use std::{sync::Arc, time::Duration};

use bursar_domain::Timestamp;
use bursar_net::{Caller, WallClock};
use bursar_wire::control::{Heartbeat, ServerAnswer, ServerQuestion, Sight};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{Fullness, Known, Outbox, search::Search, sights::Sights};
use crate::program;

/// How often it says so until the authority tells how often it wants to hear it.
const UNTIL_TOLD: Duration = Duration::from_secs(5);
/// More often than this it says nothing, whatever it is told.
const OFTENEST: Duration = Duration::from_secs(1);

/// The heartbeats of a server.
pub(super) struct Pulse {
    clock: Arc<dyn WallClock>,
    known: watch::Receiver<Known>,
    fullness: Arc<Fullness>,
    sights: Arc<Sights>,
    /// From one to the next, and how long one may stay unanswered.
    interval: Duration,
}

impl Pulse {
    pub(super) fn new(
        clock: Arc<dyn WallClock>,
        known: watch::Receiver<Known>,
        fullness: Arc<Fullness>,
        sights: Arc<Sights>,
    ) -> Self {
        Self { clock, known, fullness, sights, interval: UNTIL_TOLD }
    }

    /// Says it again and again, at once at first; returns why the node is of no use any more.
    pub(super) async fn beat(&mut self, caller: &Caller, search: &mut Search, outbox: &Outbox) -> String {
        // Nothing of the others' ports at first: where a node is gone, all of its servers come to another at once.
        let mut sights = Vec::new();
        loop {
            let begun = Instant::now();
            let heartbeat = self.heartbeat(sights.clone());
            let said = outbox.has_said();
            let question = ServerQuestion::Heartbeat { heartbeat: Box::new(heartbeat), said: said.clone() };
            match caller.call(&question, begun + self.interval).await {
                Ok(ServerAnswer::Heard { again_ms, otherwise, .. }) => {
                    search.found();
                    if otherwise {
                        outbox.is_known_otherwise(&said);
                    }
                    self.sights.were_told(&sights);
                    self.interval = Duration::from_millis(again_ms).max(OFTENEST);
                    search.is_wanted_every(self.interval);
                }
                Ok(ServerAnswer::Unavailable { detail } | ServerAnswer::Refused { detail, .. }) => return detail,
                Ok(ServerAnswer::Noted { .. }) => return "it answers a heartbeat as if it were a notice".to_owned(),
                Err(error) => return error.to_string(),
            }
            sleep_until(begun + self.interval).await;
            sights = self.sights.next(Instant::now(), self.interval);
        }
    }

    fn heartbeat(&self, sights: Vec<Sight>) -> Heartbeat {
        Heartbeat {
            version: program::facts().version,
            now: Timestamp(self.clock.now_unix_ms()),
            position: self.known.borrow().position(),
            store_points: self.fullness.capacities(),
            sights,
        }
    }
}
