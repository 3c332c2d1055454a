//! Saying that the server is there, and what it sees, as often as the authority wants to hear it.

use std::{sync::Arc, time::Duration};

use bursar_domain::Timestamp;
use bursar_net::{Caller, WallClock};
use bursar_wire::control::{Heartbeat, ServerAnswer, ServerQuestion};
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
        loop {
            let begun = Instant::now();
            let heartbeat = self.heartbeat();
            let told = heartbeat.sights.clone();
            let question = ServerQuestion::Heartbeat(Box::new(heartbeat));
            match caller.call(&question, begun + self.interval).await {
                Ok(ServerAnswer::Heard { again_ms, lost_sight, .. }) => {
                    search.found();
                    if lost_sight {
                        // The connection outlived a silence that was taken for an outage.
                        outbox.say_again_of_store_points();
                    }
                    self.sights.were_told(&told);
                    self.interval = Duration::from_millis(again_ms).max(OFTENEST);
                    search.is_wanted_every(self.interval);
                }
                Ok(ServerAnswer::Unavailable { detail } | ServerAnswer::Refused { detail, .. }) => return detail,
                Ok(ServerAnswer::Noted { .. }) => return "it answers a heartbeat as if it were a notice".to_owned(),
                Err(error) => return error.to_string(),
            }
            sleep_until(begun + self.interval).await;
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            version: program::facts().version,
            now: Timestamp(self.clock.now_unix_ms()),
            position: self.known.borrow().position(),
            store_points: self.fullness.capacities(),
            sights: self.sights.next(Instant::now()),
        }
    }
}
