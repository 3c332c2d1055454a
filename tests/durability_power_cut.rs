//! A power cut leaves what was synced, and of the rest some beginning. What was acknowledged is among what was synced.
//!
//! Nodes are frozen while clients write, their directories are copied, and the copies lose what a power cut may take: every
//! write-ahead log ends at any byte behind the last sync that was over. Then nodes run on the copies.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use bursar_wire::client::Client;
use support::{
    Fleet,
    disk::{Event, Shim, Watched, copy_folder},
    durable::{site_names, try_write},
    ended::{Run, doctor},
    random::Random,
    until,
};

/// How many clients write.
const CLIENTS: usize = 8;
/// How many power cuts must have taken something, and how many there are at most until so many have.
const CUTS_THAT_TAKE: usize = 5;
const CUTS_MAX: usize = 40;
/// Syncs take so much longer, so that much is written and not yet synced at any moment.
const DELAY_US: u64 = 10_000;

/// Clients that write until they are stopped, and what they were told is done.
struct Writers {
    acknowledged: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Writers {
    fn start(fleet: &Fleet) -> Self {
        let (acknowledged, stop) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let write = |number| write_on(fleet.client(), number, Arc::clone(&acknowledged), Arc::clone(&stop));
        let tasks = (0..CLIENTS).map(|number| tokio::spawn(write(number))).collect();
        Self { acknowledged, stop, tasks }
    }

    fn acknowledged(&self) -> Vec<String> {
        self.acknowledged.lock().expect("no client panics").clone()
    }

    /// Waits until so many more writes are acknowledged.
    async fn go_on(&self, count: usize) {
        let before = self.acknowledged().len();
        until("the clients write", async || (self.acknowledged().len() >= before + count).then_some(())).await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("no client panics");
        }
    }
}

async fn write_on(client: Client, number: usize, acknowledged: Arc<Mutex<Vec<String>>>, stop: Arc<AtomicBool>) {
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        // A frozen node may answer too late for the client's patience: then nothing is known, and nothing is promised.
        if let Ok(write) = try_write(&client, format!("client {number} site {turn:06}")).await {
            acknowledged.lock().expect("no client panics").push(write.marker);
        }
    }
}

/// The directories of all nodes after a power cut, and what clients had been told by then.
struct Cut {
    copies: Vec<(u64, PathBuf)>,
    acknowledged: BTreeSet<String>,
    bytes_taken: u64,
}

/// A cluster whose nodes can be frozen.
struct Cluster {
    fleet: Fleet,
    watched: Vec<(u64, Watched)>,
    random: Random,
}

impl Cluster {
    /// Restarts all nodes under the shim, one after the other.
    async fn of(mut fleet: Fleet, shim: &Shim, mode: impl Fn(Watched) -> Watched) -> Self {
        let mut watched = Vec::new();
        for id in fleet.ids() {
            let watch = mode(shim.watch(&fleet, id));
            fleet.kill(id);
            fleet.restart_anew(id, &watch.environment());
            watched.push((id, watch));
            fleet.leader().await;
        }
        let client = fleet.client();
        until("all nodes take requests", async || client.get("sites", &()).await.ok()).await;
        Self { fleet, watched, random: Random::of("power cut") }
    }

    /// Freezes all nodes and copies them; what was not synced is lost to the copies.
    fn cut(&mut self, number: usize, writers: &Writers) -> Cut {
        for id in self.fleet.ids() {
            self.fleet.freeze(id);
        }
        let folder = self.fleet.folder().join(format!("cut-{number}"));
        fs::create_dir(&folder).expect("a new folder");
        let mut cut = Cut { copies: Vec::new(), acknowledged: BTreeSet::new(), bytes_taken: 0 };
        for (id, watched) in &self.watched {
            let (dir, copy) =
                (fs::canonicalize(&self.fleet.node(*id).dir).expect("the node's folder"), folder.join(format!("node-{id}")));
            copy_folder(&dir, &copy);
            cut.bytes_taken += take_unsynced(&synced(&watched.events(), &dir), &copy, &mut self.random);
            cut.copies.push((*id, copy));
        }
        // Told so late, these were synced before the nodes froze.
        cut.acknowledged = writers.acknowledged().into_iter().collect();
        for id in self.fleet.ids() {
            self.fleet.thaw(id);
        }
        cut
    }

    /// Starts nodes on the copies; what was acknowledged and they do not have.
    async fn lost(&self, cut: &Cut) -> Vec<String> {
        for (id, copy) in &cut.copies {
            let diagnosis = doctor(copy);
            assert!(diagnosis.healthy, "node {id}: {:?}", diagnosis.complaints());
        }
        let mut nodes: Vec<Run> = cut.copies.iter().map(|(_, copy)| Run::start(copy)).collect();
        for node in &mut nodes {
            let comes_up = until("the node runs or ends", async || node.comes_up()).await;
            assert!(comes_up, "a node does not start: {}", node.said());
        }
        let client = self.fleet.client();
        until("the nodes take requests", async || client.get("sites", &()).await.ok()).await;
        let names = site_names(&client).await;
        let lost: Vec<_> = cut.acknowledged.difference(&names).cloned().collect();
        let (told, unsynced) = (cut.acknowledged.len(), cut.bytes_taken);
        println!(
            "{unsynced} bytes taken that were not synced: of {told} acknowledged writes {} are lost; {} in all",
            lost.len(),
            names.len()
        );
        lost
    }
}

/// How many bytes of each file were synced for sure, by its path within the directory.
fn synced(events: &[Event], dir: &Path) -> BTreeMap<PathBuf, u64> {
    let mut synced = BTreeMap::new();
    for event in events.iter().filter(|event| event.is_sync()) {
        if let Ok(path) = event.path.strip_prefix(dir) {
            let bytes = u64::try_from(event.bytes).expect("the size of a file");
            let most: &mut u64 = synced.entry(path.to_owned()).or_default();
            *most = bytes.max(*most);
        }
    }
    synced
}

/// Cuts each write-ahead log anywhere behind what was synced, or fills it with zeros from there. How many bytes that takes.
fn take_unsynced(synced: &BTreeMap<PathBuf, u64>, copy: &Path, random: &mut Random) -> u64 {
    let mut taken = 0;
    for store in ["log", "ledger"] {
        for file in support::write_ahead::log_files(&copy.join(store)) {
            let name = file.strip_prefix(fs::canonicalize(copy).expect("the copy")).or_else(|_| file.strip_prefix(copy));
            let durable = synced.get(name.expect("a file of the copy")).copied().unwrap_or(0);
            let length = fs::metadata(&file).expect("the file").len();
            let kept = random.within(durable as usize..length as usize + 1) as u64;
            let opened = fs::File::options().write(true).open(&file).expect("the file");
            opened.set_len(kept).expect("a shorter file");
            if random.within(0..2) == 0 {
                opened.set_len(length).expect("a file with zeros at its end");
            }
            taken += length - kept;
        }
    }
    taken
}

/// Cuts the power while clients write, until so many cuts have taken something.
async fn cuts(cluster: &mut Cluster, count: usize) -> Vec<Cut> {
    let writers = Writers::start(&cluster.fleet);
    let mut cuts: Vec<Cut> = Vec::new();
    while cuts.iter().filter(|cut| cut.bytes_taken > 0).count() < count {
        assert!(cuts.len() < CUTS_MAX, "no power cut found anything that was not synced");
        let writes = cluster.random.within(5..40);
        writers.go_on(writes).await;
        cuts.push(cluster.cut(cuts.len(), &writers));
    }
    writers.end().await;
    cluster.fleet.kill_all();
    cuts
}

async fn survives_power_cuts(fleet: Fleet, shim: &Shim) {
    let mut cluster = Cluster::of(fleet, shim, |watched| watched.delayed_us(DELAY_US)).await;
    for (number, cut) in cuts(&mut cluster, CUTS_THAT_TAKE).await.iter().enumerate() {
        let lost = cluster.lost(cut).await;
        assert!(lost.is_empty(), "cut {number}: acknowledged and lost: {lost:?}");
    }
}

#[tokio::test]
async fn a_lone_node_has_what_it_acknowledged_after_a_power_cut() {
    let Some(shim) = Shim::build() else { return };
    survives_power_cuts(Fleet::of_one().await, shim).await;
}

#[tokio::test]
async fn three_nodes_have_what_they_acknowledged_after_a_power_cut_of_all() {
    let Some(shim) = Shim::build() else { return };
    survives_power_cuts(Fleet::start(), shim).await;
}

/// The test itself: where the syncs are missing, power cuts take what was acknowledged.
#[tokio::test]
async fn without_syncs_a_power_cut_takes_what_was_acknowledged() {
    let Some(shim) = Shim::build() else { return };
    let mut cluster = Cluster::of(Fleet::of_one().await, shim, Watched::lying).await;
    let mut lost = 0;
    for cut in cuts(&mut cluster, CUTS_THAT_TAKE).await {
        lost += cluster.lost(&cut).await.len();
    }
    assert!(lost > 0, "nothing was synced, and nothing is lost");
}
