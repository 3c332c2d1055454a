//! The named points of production ([`bursar_net::point!`]), at which a machine may be struck.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::plan::Role;

/// How many of [`POINTS`] storage servers pass: the last.
const OF_STORAGE_SERVERS: usize = 5;

/// All of them: first those that authority nodes pass, then those that storage servers do. No process passes points of both.
pub const POINTS: [&str; 22] = [
    "log.written",
    "log.synced",
    "log.purge",
    "vote.durable",
    "vote.found",
    "leader.elected",
    "ledger.committed",
    "checkpoint.written",
    "checkpoint.pointed",
    "checkpoint.made",
    "install.chunk",
    "install.records",
    "install.complete",
    "install.pointed",
    "install.durable",
    "join.decided",
    "join.welcomed",
    // From here on those of storage servers.
    "server.adopted",
    "projection.saved",
    "store-point.aside",
    "store-point.noted",
    "store-point.named",
];

/// Those that processes of a role pass.
pub fn passed_by(role: Role) -> &'static [&'static str] {
    let (of_authority_nodes, of_storage_servers) = POINTS.split_at(POINTS.len() - OF_STORAGE_SERVERS);
    match role {
        Role::Authority => of_authority_nodes,
        Role::StorageServer => of_storage_servers,
    }
}

/// How a process ends at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Crash {
    /// It alone, as if it was killed.
    Exit,
    /// With its machine, which loses its power.
    PowerLoss,
}

/// What waits for the processes of a machine to pass points.
#[derive(Default)]
pub struct Snares {
    set: Mutex<Vec<Snare>>,
}

struct Snare {
    point: String,
    /// How many passings are left, the one included at which it strikes.
    left: u64,
    crash: Crash,
    struck: oneshot::Sender<String>,
}

/// One that has struck.
pub struct Struck {
    /// How.
    pub crash: Crash,
    told: oneshot::Sender<String>,
}

impl Snares {
    /// Waits for the `nth` passing of a point from now on (1 is the next). Whoever waits is told which process was there.
    pub fn set(&self, point: &str, nth: u64, crash: Crash) -> oneshot::Receiver<String> {
        let (struck, strikes) = oneshot::channel();
        self.all().push(Snare { point: point.to_owned(), left: nth, crash, struck });
        strikes
    }

    /// Waits for nothing any more.
    pub fn clear(&self) {
        self.all().clear();
    }

    /// Counts that a process passes a point, and gives what strikes there.
    pub fn pass(&self, point: &str) -> Option<Struck> {
        let mut all = self.all();
        for snare in all.iter_mut().filter(|snare| snare.point == point) {
            snare.left = snare.left.saturating_sub(1);
        }
        let place = all.iter().position(|snare| snare.left == 0)?;
        let Snare { crash, struck, .. } = all.remove(place);
        Some(Struck { crash, told: struck })
    }

    fn all(&self) -> MutexGuard<'_, Vec<Snare>> {
        // Nothing panics between two changes of it that belong together.
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Struck {
    /// Tells which process it was.
    pub fn tell(self, process: &str) {
        // The plan may be over, and nobody wait any more.
        let _ = self.told.send(process.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snare_strikes_once_at_its_passing_of_its_point() {
        let snares = Snares::default();
        let mut third = snares.set("log.synced", 3, Crash::PowerLoss);
        let mut first = snares.set("log.purge", 1, Crash::Exit);
        assert!(snares.pass("log.synced").is_none() && snares.pass("log.synced").is_none());
        let struck = snares.pass("log.purge").expect("it is the first");
        assert_eq!(struck.crash, Crash::Exit);
        struck.tell("authority-1");
        assert_eq!(first.try_recv().unwrap(), "authority-1");
        assert_eq!(snares.pass("log.synced").expect("it is the third").crash, Crash::PowerLoss);
        assert!(snares.pass("log.synced").is_none() && snares.pass("log.purge").is_none());
        assert!(third.try_recv().is_err(), "nobody told");
        let _waiting = snares.set("log.purge", 1, Crash::Exit);
        snares.clear();
        assert!(snares.pass("log.purge").is_none());
    }
}
