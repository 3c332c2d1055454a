//! A follower that was held back for so long that the log no longer reaches back to it is sent the state and the records that
//! it lacks. Killed at any step of that, it comes back with the old state or with the new one, and ends with all of the history.

mod support;

use bursar_storage::envelope::Kind;
use bursar_wire::{client::Change, destinations::CreateDestination, sites::EditSite};
use support::{
    Fleet,
    disk::{Event, EventKind, Shim},
    durable::write,
    history::number_of,
    quiet::{Disturbed, Led, quiet},
    traffic::{journal_of, settled},
    until, write_ahead,
};
use tokio::task::JoinSet;

/// Small, so that a follower is soon held back beyond the log.
const CHECKPOINT_EVERY: u64 = 40;
const LOG_KEPT: u64 = 10;
/// How many clients write at once.
const WRITERS: usize = 20;
/// Destinations with descriptions of the longest length: the state takes more than the megabyte that RocksDB holds back from the
/// operating system, so that its chunks do not all come to the disk in one write.
const DESTINATIONS: usize = 140;
const DESCRIPTION_CHARACTERS: usize = 4_096;
/// It has four bytes.
const WIDE: &str = "𝄞";
/// More steps than an install and the entries behind it take.
const STEPS_MAX: u64 = 60;
/// Fewer steps than they take: chunks, records, manifest, pointer, and a sync each of the last two.
const STEPS_MIN: usize = 6;

/// What a follower was left with when it had died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// The old state: another snapshot was installed.
    Old,
    /// The new state: the log did for the rest.
    New,
}

/// A fleet of which one follower is held back, again and again.
struct Trial {
    fleet: Fleet,
    follower: u64,
    /// How often it was held back.
    rounds: u32,
}

/// How far a follower was held back.
struct Lag {
    /// Its last revision.
    head: u64,
    /// The last entry of its log.
    last: u64,
    /// The last one of the others.
    upto: u64,
    /// Who led them.
    led: Led,
    /// A text that stands near the beginning of the state that it is sent, and in nothing that it has.
    mark: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_is_killed_at_any_step_of_an_install_ends_with_all_of_the_history() {
    let Some(shim) = Shim::build() else { return };
    let mut trial = Trial::begin().await;
    let mut left = Vec::new();
    for step in 0.. {
        assert!(step < STEPS_MAX, "an install takes so many steps");
        let died = quiet(&format!("step {step}"), async || trial.die_at(shim, step).await).await;
        let Some((call, what)) = died else { break };
        println!("step {step}: died in {}, left the {what:?} state", trial.name(&call));
        left.push(what);
    }
    assert!(left.len() >= STEPS_MIN, "the follower died at {} steps alone: {left:?}", left.len());
    assert!(left.contains(&Left::Old) && left.contains(&Left::New), "the follower died on one side alone: {left:?}");
    trial.fleet.stop_and_examine();
}

impl Trial {
    async fn begin() -> Self {
        let mut fleet = Fleet::start();
        for id in fleet.ids() {
            fleet.stop(id);
        }
        fleet.write_checkpoints_every(CHECKPOINT_EVERY, LOG_KEPT);
        for id in fleet.ids() {
            fleet.restart(id);
        }
        let client = fleet.client();
        for number in 0..DESTINATIONS {
            let destination = CreateDestination {
                name: format!("large {number}"),
                description: WIDE.repeat(DESCRIPTION_CHARACTERS),
                site: 1,
                ..CreateDestination::default()
            };
            client.post("destinations", &destination, Change::default()).await.expect("a destination");
        }
        let follower = fleet.others(fleet.leader().await)[0];
        Self { fleet, follower, rounds: 0 }
    }

    /// Has the follower die at a step of the install, and come back: the call that it died in, and what that left. None where
    /// it was through before it came so far.
    async fn die_at(&mut self, shim: &Shim, step: u64) -> Result<Option<(Event, Left)>, Disturbed> {
        let lag = self.hold_back().await;
        let watched = shim.watch(&self.fleet, self.follower).dying_behind(&lag.mark);
        watched.arm(step);
        self.fleet.restart_anew(self.follower, &watched.environment());
        until("the follower dies or catches up", async || self.is_over(&lag).await).await;
        let died = !watched.disarm();
        if died {
            let well = self.fleet.node_mut(self.follower).wait_for_end();
            assert!(!well, "it was killed: {}", self.fleet.node(self.follower).end_of_log());
            let call = watched.death().expect("the shim tells where");
            let expected = if self.has_moved() { Left::New } else { Left::Old };
            self.fleet.restart_anew(self.follower, &[]);
            let left = self.assert_complete(&lag).await?;
            assert_eq!(left, expected, "one batch makes the new state out of the old one, it died in {}", self.name(&call));
            return Ok(Some((call, left)));
        }
        assert_eq!(self.assert_complete(&lag).await?, Left::Old, "nothing but the snapshot brought it here");
        Ok(None)
    }

    /// Whether the follower, which has died, has written whole what moves it to the new state: the one batch that moves the
    /// pointer to the checkpoint and the applied position together. What it had written before this start, RocksDB has moved
    /// out of the log. Calls have no fixed order between the stores, so the number of a step does not tell.
    fn has_moved(&self) -> bool {
        let ledger = self.fleet.node(self.follower).dir.join("ledger");
        write_ahead::has_batch_of(&ledger, &[Kind::CheckpointPointer, Kind::Applied])
    }

    /// Ends the follower, and lets the others go on until their logs no longer reach back to it.
    async fn hold_back(&mut self) -> Lag {
        self.rounds += 1;
        let head = settled(&self.fleet).await;
        let last = self.fleet.metric(self.follower, "bursar_raft_last_log_index").await;
        // It ends well: a process that is killed keeps back a little of the ledger, which the log brings back later.
        self.fleet.stop(self.follower);
        let others = self.fleet.others(self.follower);
        let client = self.fleet.client_of(&others);
        let mark = format!("held back {:03} times", self.rounds);
        let rename = EditSite { name: Some(mark.clone()), ..EditSite::default() };
        client.patch("sites/1", &rename, Change::default()).await.expect("the others take writes");
        let mut turn = 0;
        until("the logs of the others no longer reach back to it", async || {
            turn += 1;
            let mut writers = JoinSet::new();
            for writer in 0..WRITERS {
                let (client, name) = (client.clone(), format!("site {turn}.{writer}, {mark}"));
                writers.spawn(async move { write(&client, name).await });
            }
            writers.join_all().await;
            for other in &others {
                if self.dropped_up_to(*other).await <= last {
                    return None;
                }
            }
            Some(())
        })
        .await;
        Lag { head, last, upto: settled(&self.fleet).await, led: self.fleet.led().await, mark }
    }

    /// The index up to which a node has dropped its log, once no checkpoint is due any more: whoever lags would be sent that one
    /// instead.
    async fn dropped_up_to(&self, id: u64) -> u64 {
        until("the last checkpoint is written", async || {
            let index = async |name: &str| self.fleet.find_metric(id, &format!("bursar_raft_{name}_index")).await;
            let (end, checkpoint) = (index("last_log").await?, index("checkpoint").await?);
            let (kept, purged) = (checkpoint.saturating_sub(LOG_KEPT), index("purged").await?);
            (end < checkpoint + CHECKPOINT_EVERY && purged >= kept).then_some(purged)
        })
        .await
    }

    /// Whether the follower has died, or has all that the others have and has dropped the log that it had before.
    async fn is_over(&mut self, lag: &Lag) -> Option<()> {
        if self.fleet.has_ended(self.follower) {
            return Some(());
        }
        let status = self.fleet.status_of(self.follower).await?;
        let purged = self.fleet.find_metric(self.follower, "bursar_raft_purged_index").await?;
        (number_of(&status.revision) == lag.upto && purged > lag.last).then_some(())
    }

    /// The follower has all of the history and serves it. It was sent no record but those that it lacked, if it was sent any.
    /// So it is with one leader: the next has a checkpoint of its own, and may send that one, too.
    async fn assert_complete(&self, lag: &Lag) -> Result<Left, Disturbed> {
        self.fleet.ready(self.follower).await;
        assert_eq!(settled(&self.fleet).await, lag.upto, "nothing has happened since");
        let leader = self.fleet.leader().await;
        assert_eq!(journal_of(&self.fleet, self.follower).await, journal_of(&self.fleet, leader).await, "round {}", self.rounds);
        let installed = self.fleet.metric(self.follower, "bursar_raft_snapshots_installed_total").await;
        let received = self.fleet.metric(self.follower, "bursar_raft_snapshot_records_received_total").await;
        self.fleet.is_still_led(lag.led).await?;
        if installed == 0 {
            assert_eq!(received, 0, "it needs no other snapshot");
            return Ok(Left::New);
        }
        let log = std::fs::read_to_string(&self.fleet.node(self.follower).log).expect("the log file");
        let told =
            log.lines().find_map(|line| line.split_once("installed a snapshot")?.1.split_once("revision=")?.1.parse().ok());
        let snapshot: u64 = told.unwrap_or_else(|| panic!("the log tells what was installed: {log}"));
        assert_eq!((installed, received), (1, snapshot - lag.head), "it is sent what it lacks, once");
        Ok(Left::Old)
    }

    /// A call as a step of the install is known by: what is done, to a file of which store.
    fn name(&self, call: &Event) -> String {
        let dir = std::fs::canonicalize(&self.fleet.node(self.follower).dir).expect("a folder");
        let file = call.path.strip_prefix(dir).expect("the shim watches the node's files");
        format!("a {} of {}", if call.kind == EventKind::Sync { "sync" } else { "write" }, file.display())
    }
}
