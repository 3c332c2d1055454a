//! A disk that fails once stops the node: with a message, without losing anything that was acknowledged. The failure passes,
//! so a node that tried again would find the disk willing, and would have promised what never came to rest.

mod support;

use std::fs;

use bursar_wire::client::Client;
use support::{
    Fleet,
    disk::{Fault, Shim, Watched, copy_folder},
    durable::{edit_at_once, site_names, try_write, write},
    ended::{Ended, doctor},
    traffic::journal_of,
    until,
};
use tokio::select;

const NODE: u64 = 1;
/// After so many revisions a checkpoint is due.
const CHECKPOINT_EVERY: u64 = 640;
/// More writes than any start of a small node makes.
const STEPS_MAX: u64 = 200;

/// The only node of a cluster, on a disk that fails when it is told to.
struct Fragile {
    fleet: Fleet,
    client: Client,
    /// What clients were told is done.
    acknowledged: Vec<String>,
}

impl Fragile {
    async fn node() -> Self {
        let fleet = Fleet::of_one().await;
        let client = fleet.client();
        Self { fleet, client, acknowledged: Vec::new() }
    }

    /// Starts the node again under the shim, which waits to be armed.
    async fn restart(&mut self, shim: &Shim, fault: Fault, part: &str) -> Watched {
        let watched = self.watch(shim, fault, part);
        self.fleet.kill(NODE);
        self.fleet.restart_anew(NODE, &watched.environment());
        self.is_ready().await;
        watched
    }

    fn watch(&self, shim: &Shim, fault: Fault, part: &str) -> Watched {
        shim.watch(&self.fleet, NODE).failing(fault, part)
    }

    async fn is_ready(&self) {
        self.fleet.ready(NODE).await;
    }

    async fn write(&mut self, count: usize) {
        for _ in 0..count {
            let marker = format!("site {:06}", self.acknowledged.len());
            self.acknowledged.push(write(&self.client, marker).await.marker);
        }
    }

    /// Writes until a write is not acknowledged.
    async fn write_until_it_fails(&mut self, name: &str) {
        let client = self.client.clone();
        for number in 0..10_000 {
            let ended = until("the node ends", async || self.fleet.has_ended(NODE).then_some(()));
            select! {
                biased;
                written = try_write(&client, format!("{name} {number:06}")) => match written {
                    Ok(write) => self.acknowledged.push(write.marker),
                    Err(error) => return println!("after {number} writes: {error}"),
                },
                // Nobody is left to answer.
                () = ended => return println!("after {number} writes the node ended"),
            }
        }
        panic!("{name}: the disk failed, and nobody noticed");
    }

    /// Starts the node again on a sound disk: it serves, everything acknowledged is there, and the doctor finds nothing.
    async fn assert_nothing_is_lost(&mut self) {
        self.fleet.restart_anew(NODE, &[]);
        self.is_ready().await;
        let names = site_names(&self.client).await;
        let lost: Vec<_> = self.acknowledged.iter().filter(|name| !names.contains(*name)).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        self.write(1).await;
        self.fleet.stop(NODE);
        let diagnosis = doctor(&self.fleet.node(NODE).dir);
        assert!(diagnosis.healthy, "{:?}", diagnosis.complaints());
        self.fleet.restart_anew(NODE, &[]);
        self.is_ready().await;
    }
}

/// It ended with an error that says what failed and what to do.
fn assert_told(ended: &Ended, what: &str, failure: &str) {
    let Ended { success, said } = ended;
    assert!(!success, "{what}: the node ended as if all were well");
    let error = said.lines().rev().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{what}: no error: {said}"));
    println!("{what}: {error}");
    assert!(error.contains(failure), "{what}: it does not name the failure `{failure}`: {error}");
    assert!(error.contains("check the disk, then start the node again"), "{what}: it does not say what to do: {error}");
    assert!(!said.contains("panicked"), "{what}: {said}");
}

#[tokio::test]
async fn the_first_sync_of_the_log_that_fails_stops_the_node() {
    let Some(shim) = Shim::build() else { return };
    let mut fragile = Fragile::node().await;
    for calls_that_pass in [0, 1, 7] {
        let watched = fragile.restart(shim, Fault::SyncFails, "/log/").await;
        fragile.write(5).await;
        watched.arm(calls_that_pass);
        fragile.write_until_it_fails(&format!("sync {calls_that_pass}")).await;
        assert!(!watched.disarm(), "the sync failed");
        let ended = fragile.fleet.ended(NODE).await;
        assert_told(&ended, "a sync of the log", Fault::SyncFails.message());
        fragile.assert_nothing_is_lost().await;
    }
}

#[tokio::test]
async fn a_full_disk_stops_the_node() {
    let Some(shim) = Shim::build() else { return };
    let mut fragile = Fragile::node().await;
    for calls_that_pass in [0, 3] {
        let watched = fragile.restart(shim, Fault::DiskFull, "/log/").await;
        fragile.write(5).await;
        watched.arm(calls_that_pass);
        fragile.write_until_it_fails(&format!("full {calls_that_pass}")).await;
        assert!(!watched.disarm(), "the disk was full");
        let ended = fragile.fleet.ended(NODE).await;
        assert_told(&ended, "a write to the log", Fault::DiskFull.message());
        fragile.assert_nothing_is_lost().await;
    }
}

/// Each sync of a start fails in its turn, in the log's folder and in the ledger's; then each write.
#[tokio::test]
async fn whatever_fails_at_a_start_the_node_does_not_start() {
    let Some(shim) = Shim::build() else { return };
    let mut fragile = Fragile::node().await;
    fragile.write(20).await;
    fragile.fleet.kill(NODE);
    for (fault, folder) in
        [(Fault::SyncFails, "/log/"), (Fault::SyncFails, "/ledger/"), (Fault::DiskFull, "/log/"), (Fault::DiskFull, "/ledger/")]
    {
        fragile.fail_each(shim, fault, folder, "/readyz", "").await;
        fragile.assert_nothing_is_lost().await;
        fragile.fleet.kill(NODE);
    }
}

/// The start that makes the stores and founds the cluster, from the very beginning for each kind of failure.
#[tokio::test]
async fn whatever_fails_at_the_first_start_the_cluster_is_founded_once() {
    let Some(shim) = Shim::build() else { return };
    for (fault, folder) in
        [(Fault::SyncFails, "/log/"), (Fault::SyncFails, "/ledger/"), (Fault::DiskFull, "/log/"), (Fault::DiskFull, "/ledger/")]
    {
        let fleet = Fleet::of_one_never_started();
        let client = fleet.client();
        let mut fragile = Fragile { fleet, client, acknowledged: Vec::new() };
        fragile.fail_each(shim, fault, folder, "/readyz", "").await;
        fragile.fleet.restart_anew(NODE, &[]);
        fragile.fleet.claim().await;
        fragile.client = fragile.fleet.client();
        let journal = journal_of(&fragile.fleet, NODE).await;
        let founded = journal.iter().filter(|line| line.kind == "cluster.founded").map(|line| line.revision);
        assert_eq!(founded.collect::<Vec<_>>(), [1], "{journal:#?}");
        fragile.fleet.kill(NODE);
        fragile.assert_nothing_is_lost().await;
    }
}

/// A checkpoint that cannot be made durable must not be taken for one, and neither may the log be cut behind it.
#[tokio::test]
async fn whatever_fails_at_a_checkpoint_the_node_stops() {
    let Some(shim) = Shim::build() else { return };
    let mut fragile = Fragile::node().await;
    fragile.write(20).await;
    fragile.fleet.write_checkpoints_every(CHECKPOINT_EVERY, CHECKPOINT_EVERY);
    let watched = fragile.restart(shim, Fault::SyncFails, "/ledger/").await;
    watched.arm(0);
    edit_at_once(&fragile.client, CHECKPOINT_EVERY).await;
    let ended = fragile.fleet.ended(NODE).await;
    assert!(!watched.disarm(), "the sync failed");
    assert_told(&ended, "the first sync of a checkpoint", Fault::SyncFails.message());

    // The checkpoint is overdue: each start makes it at once, and fails one step further.
    let (dir, overdue) = (fragile.fleet.node(NODE).dir.clone(), fragile.fleet.folder().join("overdue"));
    copy_folder(&dir, &overdue);
    let acknowledged = fragile.acknowledged.clone();
    for fault in [Fault::SyncFails, Fault::DiskFull] {
        fs::remove_dir_all(&dir).expect("the node's folder");
        copy_folder(&overdue, &dir);
        fragile.acknowledged = acknowledged.clone();
        fragile.fail_each(shim, fault, "/ledger/", "/metrics", "bursar_raft_checkpoint_index ").await;
        fragile.assert_nothing_is_lost().await;
        fragile.fleet.kill(NODE);
    }
}

impl Fragile {
    /// Starts the node again and again; each time a later step fails, until none does before `page` shows `sign`.
    async fn fail_each(&mut self, shim: &Shim, fault: Fault, folder: &str, page: &str, sign: &str) {
        // There are far more writes than syncs, and most lie in the same few files.
        let stride = if matches!(fault, Fault::DiskFull) { 3 } else { 1 };
        let mut failed = 0;
        loop {
            assert!(failed < STEPS_MAX, "a start takes so many steps in {folder}");
            let watched = self.watch(shim, fault, folder);
            watched.arm(failed);
            self.fleet.restart_anew(NODE, &watched.environment());
            let came_up = self.comes_up(page, sign).await;
            let reached = !watched.disarm();
            if came_up && !reached {
                break;
            }
            let ended = self.fleet.ended(NODE).await;
            assert!(reached, "the node ended without a failure of the disk: {}", ended.said);
            assert_told(&ended, &format!("{fault:?}, step {failed} in {folder}"), fault.message());
            failed += stride;
        }
        println!(
            "{fault:?}: a start takes {failed} steps in {folder} until {page} shows `{sign}`; one in {stride} was made to fail"
        );
        assert!(failed > 0, "a start writes and syncs");
        self.fleet.kill(NODE);
    }

    /// Whether the node comes so far, once it has or has ended.
    async fn comes_up(&mut self, page: &str, sign: &str) -> bool {
        let client = self.fleet.impatient_client(NODE);
        let ended = until("the node ends", async || self.fleet.has_ended(NODE).then_some(()));
        let shown = until("the node starts", async || {
            let page = client.probe(page).await.ok()?;
            String::from_utf8_lossy(&page.body).contains(sign).then_some(())
        });
        select! {
            () = ended => false,
            () = shown => true,
        }
    }
}
