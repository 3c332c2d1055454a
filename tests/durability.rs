//! Nothing is promised before it is durable: seen at the system calls of real processes, and on their clients' clocks.
//!
//! `kill -9` cannot show this, because the kernel keeps what a process wrote. So each node runs under a shim that notes every
//! write and every sync; the files say which entry lies at which byte; and the client notes when it was told.

mod support;

use std::{collections::BTreeMap, time::Duration};

use bursar_wire::client::Client;
use support::{
    Fleet,
    disk::{Shim, Watched},
    durable::{Acknowledged, Log, Violation, acknowledged_too_early, led_too_early, write},
    quiet::{Disturbed, quiet},
    until,
};

/// How many writes follow one another.
const SEQUENTIAL_WRITES: usize = 30;
/// How many clients write at once, and how often.
const CLIENTS: usize = 64;
const WRITES_EACH: usize = 10;
/// How much longer a sync takes on a slow disk.
const DELAY: Duration = Duration::from_millis(20);

/// A cluster of which every node is watched.
struct Observed {
    fleet: Fleet,
    watched: Vec<(u64, Watched)>,
}

impl Observed {
    /// Restarts all nodes under the shim, one after the other.
    async fn of(mut fleet: Fleet, shim: &Shim, mode: impl Fn(Watched) -> Watched) -> Self {
        let mut watched = Vec::new();
        for id in fleet.ids() {
            let watch = mode(shim.watch(&fleet, id));
            fleet.kill(id);
            fleet.restart_with(id, &watch.environment());
            watched.push((id, watch));
            fleet.leader().await;
        }
        let client = fleet.client();
        until("all nodes take requests", async || client.get("sites", &()).await.ok()).await;
        Self { fleet, watched }
    }

    async fn one(shim: &Shim, mode: impl Fn(Watched) -> Watched) -> Self {
        Self::of(Fleet::of_one().await, shim, mode).await
    }

    async fn three(shim: &Shim, mode: impl Fn(Watched) -> Watched) -> Self {
        Self::of(Fleet::start(), shim, mode).await
    }

    fn logs(&self) -> Vec<Log> {
        self.watched.iter().map(|(id, watched)| Log::of(&self.fleet, *id, watched)).collect()
    }

    fn log(&self, id: u64) -> Log {
        let (_, watched) = self.watched.iter().find(|(node, _)| *node == id).expect("a node of the fleet");
        Log::of(&self.fleet, id, watched)
    }

    fn violations(&self, writes: &[Acknowledged]) -> Vec<Violation> {
        acknowledged_too_early(&self.logs(), self.watched.len(), writes)
    }

    async fn write_sequentially(&self) -> Vec<Acknowledged> {
        let client = self.fleet.client();
        let mut writes = Vec::new();
        for number in 0..SEQUENTIAL_WRITES {
            writes.push(write(&client, format!("sequential-{number:06}")).await);
        }
        writes
    }

    async fn write_at_once(&self) -> Vec<Acknowledged> {
        let tasks: Vec<_> = (0..CLIENTS).map(|client| tokio::spawn(write_some(self.fleet.client(), client))).collect();
        let mut writes = Vec::new();
        for task in tasks {
            writes.extend(task.await.expect("no client fails"));
        }
        writes
    }

    /// Ends the leader and brings it back. Whoever is elected meanwhile needs both votes that are left.
    async fn lose_the_leader(&mut self) -> Result<(), Disturbed> {
        let former = self.fleet.leader().await;
        self.fleet.kill(former);
        let elected = self.elected_without(former).await;
        let (_, watched) = self.watched.iter().find(|(node, _)| *node == former).expect("a node of the fleet");
        self.fleet.restart_with(former, &watched.environment());
        until("the former leader is back", async || self.fleet.status_of(former).await?.leader).await;
        elected
    }

    /// Both votes for whoever leads without `former` were synced before it wrote. Where another one led already when `former`
    /// ended, nobody need be elected.
    async fn elected_without(&self, former: u64) -> Result<(), Disturbed> {
        // Its log stands still, so in no later term has it voted.
        let former_term = self.log(former).term();
        let led = self.fleet.led().await;
        let client = self.fleet.client();
        until("the new leader takes requests", async || client.get("sites", &()).await.ok()).await;
        let logs: Vec<_> = self.logs().into_iter().filter(|log| log.node != former).collect();
        let (terms, violations) = led_too_early(&logs, 3, former_term);
        assert_none(&violations);
        if led.term <= former_term {
            return Err(Disturbed::by(format!("authority node {} led in term {} before {former} ended", led.leader, led.term)));
        }
        println!("three nodes without their leader {former}: both votes were synced before the next one wrote, {terms} times");
        assert!(terms >= 1, "there was an election");
        Ok(())
    }

    /// Every write must have been durable on a majority. Syncs of writes that follow one another are not shared, so that many
    /// were made, too.
    async fn assert_each_write_has_its_syncs(&self, what: &str) {
        let leader = self.fleet.leader().await;
        let writes = self.write_sequentially().await;
        assert_none(&self.violations(&writes));
        let (begin, end) = (writes[0].sent, writes[writes.len() - 1].told);
        let counts = self.logs().into_iter().map(|log| (log.node, log.syncs_between(begin, end)));
        let syncs: BTreeMap<u64, usize> = counts.collect();
        println!("{what}, of which {leader} leads: {} sequential writes, syncs by node {syncs:?}", writes.len());
        let majority = self.watched.len() / 2 + 1;
        assert!(syncs.values().sum::<usize>() >= majority * writes.len(), "fewer syncs than the acknowledged writes need");
    }

    /// Writes that wait together share a sync.
    async fn assert_writes_share_syncs(&self, what: &str) {
        let leader = self.fleet.leader().await;
        let writes = self.write_at_once().await;
        assert_none(&self.violations(&writes));
        let begin = writes.iter().map(|write| write.sent).min().expect("there are writes");
        let end = writes.iter().map(|write| write.told).max().expect("there are writes");
        let syncs = self.log(leader).syncs_between(begin, end);
        let per_write = syncs as f64 / writes.len() as f64;
        println!(
            "{what}: {} writes of {CLIENTS} clients at once, {syncs} syncs on the leader, {per_write:.3} a write",
            writes.len()
        );
        assert!(syncs > 0 && per_write < 0.5, "{per_write:.3} syncs a write: they are not shared");
    }
}

async fn write_some(client: Client, number: usize) -> Vec<Acknowledged> {
    let mut writes = Vec::new();
    for turn in 0..WRITES_EACH {
        writes.push(write(&client, format!("at-once-{number:03}-{turn:03}")).await);
    }
    writes
}

fn assert_none(violations: &[Violation]) {
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{}", lines.join("\n"));
}

#[tokio::test]
async fn a_lone_node_acknowledges_nothing_before_its_sync() {
    let Some(shim) = Shim::build() else { return };
    let observed = Observed::one(shim, |watched| watched).await;
    observed.assert_each_write_has_its_syncs("one node").await;
    observed.assert_writes_share_syncs("one node").await;
}

#[tokio::test]
async fn three_nodes_acknowledge_nothing_before_a_majority_has_synced() {
    let Some(shim) = Shim::build() else { return };
    let observed = Observed::three(shim, |watched| watched).await;
    observed.assert_each_write_has_its_syncs("three nodes").await;
    observed.assert_writes_share_syncs("three nodes").await;
}

/// The check itself: where the syncs are missing, it says so of every write.
#[tokio::test]
async fn writes_without_syncs_are_reported() {
    let Some(shim) = Shim::build() else { return };
    for observed in [Observed::one(shim, Watched::lying).await, Observed::three(shim, Watched::lying).await] {
        let majority = observed.watched.len() / 2 + 1;
        let writes = observed.write_sequentially().await;
        let expected = |write: &Acknowledged| {
            let marker = write.marker.clone();
            Violation::Acknowledged { marker, durable_on: vec![], majority }
        };
        assert_eq!(observed.violations(&writes), writes.iter().map(expected).collect::<Vec<_>>());
        let (terms, led) = led_too_early(&observed.logs(), observed.watched.len(), 0);
        assert_eq!(led.len(), terms, "no vote was synced: {led:?}");
        assert!(terms > 0, "somebody led");
    }
}

/// The check itself: what is in a log while the call that writes it is not over counts as not durable there. So it is with a
/// follower that comes after the others.
#[tokio::test]
async fn a_write_that_is_not_over_is_not_durable() {
    let Some(shim) = Shim::build() else { return };
    let observed = Observed::one(shim, |watched| watched).await;
    let writes = observed.write_sequentially().await;
    observed.watched[0].1.forget();
    assert_eq!(observed.violations(&writes).len(), writes.len());
}

/// The check itself again: of what was told too early by less than a sync takes, it says so too.
#[tokio::test]
async fn a_promise_that_comes_before_its_sync_ends_is_reported() {
    let Some(shim) = Shim::build() else { return };
    let observed = Observed::one(shim, |watched| watched.delayed_us(DELAY.as_micros() as u64)).await;
    let writes = observed.write_sequentially().await;
    assert_none(&observed.violations(&writes));
    // A sync that began after the write was sent cannot be over by then, however slow the machine is.
    let just_before = u64::try_from(DELAY.as_nanos()).expect("a short time") - 1_000_000;
    let earlier = |write: &Acknowledged| Acknowledged { told: write.sent + just_before, ..write.clone() };
    let early: Vec<_> = writes.iter().map(earlier).collect();
    assert_eq!(observed.violations(&early).len(), writes.len());
}

#[tokio::test]
async fn a_slow_disk_shows_in_every_acknowledgement() {
    let Some(shim) = Shim::build() else { return };
    let slow = |watched: Watched| watched.delayed_us(DELAY.as_micros() as u64);
    for observed in [Observed::one(shim, slow).await, Observed::three(shim, slow).await] {
        let writes = observed.write_sequentially().await;
        assert_none(&observed.violations(&writes));
        let mut latencies: Vec<Duration> = writes.iter().map(|write| Duration::from_nanos(write.told - write.sent)).collect();
        latencies.sort_unstable();
        let (least, median) = (latencies[0], latencies[latencies.len() / 2]);
        println!(
            "{} nodes, each sync {DELAY:?} longer: acknowledged after {least:?} at least, {median:?} in the median",
            observed.watched.len()
        );
        assert!(least >= DELAY, "acknowledged after {least:?}, before any sync was over");
    }
}

#[tokio::test]
async fn votes_are_durable_before_they_count() {
    let Some(shim) = Shim::build() else { return };
    let mut observed = Observed::three(shim, |watched| watched).await;
    for _ in 0..3 {
        quiet("the leader ends", async || observed.lose_the_leader().await).await;
    }
}

#[tokio::test]
async fn a_lone_node_leads_on_a_durable_vote() {
    let Some(shim) = Shim::build() else { return };
    let mut observed = Observed::one(shim, |watched| watched).await;
    let id = observed.fleet.ids()[0];
    observed.fleet.kill(id);
    observed.fleet.restart_with(id, &observed.watched[0].1.environment());
    observed.fleet.leader().await;
    let (terms, violations) = led_too_early(&observed.logs(), 1, 0);
    assert!(terms >= 1, "it led");
    assert_none(&violations);
}
