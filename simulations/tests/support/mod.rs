//! A small fleet for the tests of the world: each process answers what it is sent, calls another one now and then, and counts on its
//! disk how often it was answered.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bursar_net::{Address, BoxedStream, JobLost, tasks};
use bursar_simulations::host::{Parts, Program};
use bursar_simulations::network::HostId;
use bursar_simulations::plan::{Fault, Operation};
use bursar_simulations::verdict::Broken;
use bursar_simulations::world::{Inhabitants, World};
use futures_util::future::LocalBoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

const FIRST_PORT: u16 = 4_000;
const MESSAGE_BYTES: usize = 64;
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
}

#[async_trait]
impl Inhabitants for Callers {
    fn settle<'a>(&'a self, world: &'a Arc<World>) -> LocalBoxFuture<'a, Result<(), Broken>> {
        let hosts = &world.plan.topology.hosts;
        let ports: Vec<Address> = hosts
            .iter()
            .flat_map(|host| (0..).zip(&host.processes).map(|(place, _)| Address::new(&host.name, FIRST_PORT + place).unwrap()))
            .collect();
        let mut own = ports.clone().into_iter();
        for (host, process) in hosts.iter().flat_map(|host| host.processes.iter().map(move |process| (host, process))) {
            let caller = Caller {
                name: process.name.clone(),
                port: own.next().unwrap(),
                others: ports.clone(),
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
        world.trace.record("operation", format_args!("{operation:?}"));
    }

    fn repair<'a>(&'a self, _world: &'a Arc<World>, _fault: &'a Fault) -> LocalBoxFuture<'a, Result<(), Broken>> {
        Box::pin(std::future::ready(Ok(())))
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
    answered: Arc<Mutex<HashMap<String, u64>>>,
}

impl Caller {
    async fn live(self, parts: Parts) -> Result<(), String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let directory = PathBuf::from(format!("/var/{}", self.name));
        parts.files.create_directory(&directory).map_err(|error| told(&error))?;
        let _lock = parts.files.lock(&directory.join("lock")).map_err(|error| told(&error))?;
        let listener = parts.network.bind(&self.port).await.map_err(|error| told(&error))?;
        tasks::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tasks::spawn(answer(stream));
            }
        });
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
            self.answered.lock().unwrap().insert(self.name.clone(), count);
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
    let mut stream = parts.network.connect(other).await?;
    let sent = parts.entropy.array::<MESSAGE_BYTES>();
    stream.write_all(&sent).await?;
    let mut received = [0; MESSAGE_BYTES];
    stream.read_exact(&mut received).await?;
    assert_eq!(sent, received, "what comes back is what was sent");
    Ok(())
}
