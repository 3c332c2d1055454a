//! A small fleet for the tests of the world: each process answers what it is sent, calls another one now and then, and counts on its
//! disk how often it was answered. It looks what is written on its disks for archives: where each is mounted. Clients at the desk call
//! processes, too.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bursar_net::overseer::{CallFate, fate_of_call};
use bursar_net::{Address, BoxedStream, Files, JobLost, Network, tasks};
use bursar_simulations::host::{Parts, Program};
use bursar_simulations::nemesis::Due;
use bursar_simulations::network::HostId;
use bursar_simulations::plan::{FaultKind, Operation};
use bursar_simulations::verdict::Broken;
use bursar_simulations::world::{Inhabitants, World};
use futures_util::future::LocalBoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

const FIRST_PORT: u16 = 4_000;
const MESSAGE_BYTES: usize = 64;
const LOOK_EVERY: Duration = Duration::from_millis(250);
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// How long after everything was mended all processes must have been answered again.
const RECOVERY: Duration = Duration::from_secs(20);

/// Processes that call each other. What each was answered so far is known from outside, too.
#[derive(Default)]
pub struct Callers {
    answered: Arc<Mutex<HashMap<String, u64>>>,
}

impl Callers {
    fn answered(&self) -> HashMap<String, u64> {
        self.answered.lock().unwrap().clone()
    }

    /// A process loses its directory, and starts anew after a while; who joins late has been there all the time.
    async fn undo(&self, world: &World, due: &mut Due<'_>) {
        match &due.fault.kind {
            FaultKind::LostCopy { process, .. } | FaultKind::RetiredNode { process } | FaultKind::LostServer { process } => {
                let host = world.host_of(process);
                host.close(process);
                host.disks().erase(&directory_of(process));
                due.strikes();
                sleep(Duration::from_millis(due.fault.for_ms)).await;
                host.open(process);
            }
            _ => due.strikes(),
        }
    }
}

#[async_trait]
impl Inhabitants for Callers {
    fn settle<'a>(&'a self, world: &'a Arc<World>) -> LocalBoxFuture<'a, Result<(), Broken>> {
        let hosts = &world.plan.topology.hosts;
        let ports = ports(world);
        for (host, disk) in hosts.iter().flat_map(|host| host.disks.iter().map(move |disk| (host, disk))) {
            world.host(&host.name).disks().files(1).write_atomic(&label_of(disk), disk.as_bytes()).unwrap();
        }
        let mut own = ports.clone().into_iter();
        for (host, process) in hosts.iter().flat_map(|host| host.processes.iter().map(move |process| (host, process))) {
            let caller = Caller {
                name: process.name.clone(),
                port: own.next().unwrap(),
                others: ports.clone(),
                disks: host.disks.iter().filter(|disk| disk.contains(&format!("/{}/", process.name))).cloned().collect(),
                answered: Arc::clone(&self.answered),
            };
            let program: Program = Arc::new(move |parts| Box::pin(caller.clone().live(parts)));
            let restart_after = Duration::from_millis(world.plan.knobs.restart_after_ms);
            world.host(&host.name).install(&process.name, Some(restart_after), program);
            world.host(&host.name).start(&process.name);
        }
        Box::pin(std::future::ready(Ok(())))
    }

    async fn operate(&self, world: &Arc<World>, operation: Operation) {
        let others = ports(world);
        let other = &others[operation.subject as usize % others.len()];
        let network = world.internet.of(world.desk);
        let answered = timeout(ANSWERED_WITHIN, exchange(&network, other, [7; MESSAGE_BYTES])).await;
        world.trace.record("operation", format_args!("{operation:?} {other} {answered:?}"));
    }

    fn repair<'a>(&'a self, world: &'a Arc<World>, due: &'a mut Due<'_>) -> LocalBoxFuture<'a, Result<(), Broken>> {
        Box::pin(async {
            self.undo(world, due).await;
            Ok(())
        })
    }

    fn look(&self, _world: &World) -> Result<(), Broken> {
        Ok(())
    }

    fn leader(&self, world: &World) -> Option<HostId> {
        world.hosts.values().next().map(|host| host.id())
    }

    async fn converge(&self, _world: &Arc<World>, core: &BTreeSet<&str>) -> Result<(), Broken> {
        let before = self.answered();
        sleep(RECOVERY).await;
        let after = self.answered();
        let is_stuck = |name: &&String| core.contains(name.as_str()) && after[*name] == before[*name];
        let mut stuck: Vec<_> = before.keys().filter(is_stuck).collect();
        stuck.sort();
        if stuck.is_empty() { Ok(()) } else { Err(Broken::new("convergence", format_args!("not answered: {stuck:?}"))) }
    }

    async fn judge(&self, _world: &Arc<World>) -> Result<(), Broken> {
        Ok(())
    }
}

#[derive(Clone)]
struct Caller {
    name: String,
    port: Address,
    others: Vec<Address>,
    disks: Vec<String>,
    answered: Arc<Mutex<HashMap<String, u64>>>,
}

impl Caller {
    async fn live(self, parts: Parts) -> Result<(), String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let directory = directory_of(&self.name);
        parts.files.create_directory(&directory).map_err(|error| told(&error))?;
        let _lock = parts.files.lock(&directory.join("lock")).map_err(|error| told(&error))?;
        let listener = parts.network.bind(&self.port).await.map_err(|error| told(&error))?;
        tasks::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tasks::spawn(answer(stream));
            }
        });
        tasks::spawn(look_at(parts.clone(), self.disks));
        let count_file = directory.join("count");
        let mut count = read_count(&parts, &count_file)?;
        loop {
            let [wait, choice] = parts.entropy.array::<2>();
            sleep(Duration::from_millis(20 + u64::from(wait))).await;
            let other = &self.others[usize::from(choice) % self.others.len()];
            match timeout(ANSWERED_WITHIN, call(&parts, other)).await {
                Ok(Ok(())) => {}
                failed => {
                    tracing::debug!(target: "bursar_caller", %other, ?failed, at = parts.clock.now_unix_ms(), "not answered");
                    continue;
                }
            }
            count += 1;
            let (files, path) = (Arc::clone(&parts.files), count_file.clone());
            let written = parts.blocking.run(move || files.write_atomic(&path, count.to_string().as_bytes())).await;
            written.map_err(|JobLost| "lost".to_owned())?.map_err(|error| told(&error))?;
            bursar_net::point!("log.synced");
            tracing::debug!(target: "bursar_caller", at = parts.clock.now_unix_ms(), "answered");
            self.answered.lock().unwrap().insert(self.name.clone(), count);
        }
    }
}

/// Where each process is reached, in the order of the plan.
fn ports(world: &World) -> Vec<Address> {
    let hosts = world.plan.topology.hosts.iter();
    hosts
        .flat_map(|host| (0..).zip(&host.processes).map(|(place, _)| Address::new(&host.name, FIRST_PORT + place).unwrap()))
        .collect()
}

fn directory_of(process: &str) -> PathBuf {
    PathBuf::from(format!("/var/{process}"))
}

/// The file of a disk in which stands where it belongs.
fn label_of(disk: &str) -> PathBuf {
    Path::new(disk).join("label")
}

/// Tells again and again which disk is where.
async fn look_at(parts: Parts, disks: Vec<String>) {
    loop {
        sleep(LOOK_EVERY).await;
        for disk in &disks {
            let (files, path) = (Arc::clone(&parts.files), label_of(disk));
            let Ok(read) = parts.loose.run(move || files.read(&path, 100)).await else { return };
            let label = read.ok().map(|bytes| String::from_utf8(bytes).unwrap());
            tracing::debug!(target: "bursar_caller", %disk, ?label, "looked");
        }
    }
}

fn read_count(parts: &Parts, path: &Path) -> Result<u64, String> {
    if !parts.files.exists(path).map_err(|error| error.to_string())? {
        return Ok(0);
    }
    let bytes = parts.files.read(path, 20).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).unwrap().parse().map_err(|_| "the count is torn".to_owned())
}

async fn answer(mut stream: BoxedStream) -> std::io::Result<()> {
    let mut message = [0; MESSAGE_BYTES];
    stream.read_exact(&mut message).await?;
    stream.write_all(&message).await
}

async fn call(parts: &Parts, other: &Address) -> std::io::Result<()> {
    match fate_of_call() {
        CallFate::Lost | CallFate::Unanswered => std::future::pending().await,
        CallFate::Late { by } => sleep(by).await,
        CallFate::Carried | CallFate::Repeated { .. } => {}
    }
    exchange(&*parts.network, other, parts.entropy.array()).await
}

async fn exchange(network: &dyn Network, other: &Address, sent: [u8; MESSAGE_BYTES]) -> std::io::Result<()> {
    let mut stream = network.connect(other).await?;
    stream.write_all(&sent).await?;
    let mut received = [0; MESSAGE_BYTES];
    stream.read_exact(&mut received).await?;
    assert_eq!(sent, received, "what comes back is what was sent");
    Ok(())
}
