//! A world within one process and one thread, whose time passes only where nothing else happens.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bursar::World;
use bursar_net::{
    Address, Blocking, BoxedStream, DiskFiles, DiskVolumes, Job, Listener, Network, SystemEntropy, WallClock, Worker,
};
use bursar_simulations::clear::Clear;
use bursar_storage::engine::MemoryEngines;
use tokio::{
    io::duplex,
    sync::{Mutex as AsyncMutex, mpsc},
    time::Instant,
};

const BUFFER_BYTES: usize = 64 << 10;

/// A world in which everybody reaches everybody; files rest in a folder of the test, stores in memory.
pub fn world() -> World {
    World {
        clock: Arc::new(Clock(Instant::now())),
        entropy: Arc::new(SystemEntropy::new()),
        network: Arc::new(MemoryNetwork::default()),
        transport: Arc::new(Clear),
        blocking: Arc::new(Tasks),
        files: Arc::new(DiskFiles),
        engines: Arc::new(MemoryEngines::new()),
        volumes: Arc::new(DiskVolumes),
        loose: Arc::new(Tasks),
    }
}

/// A clock on the wall that goes with tokio's time.
struct Clock(Instant);

impl WallClock for Clock {
    fn now_unix_ms(&self) -> u64 {
        1_900_000_000_000 + u64::try_from(self.0.elapsed().as_millis()).expect("a span of this century")
    }
}

/// Blocking work as tasks of the one thread.
struct Tasks;

impl Blocking for Tasks {
    fn spawn(&self, job: Job) {
        tokio::spawn(async move { job() });
    }

    fn worker(&self, _name: &str) -> Arc<dyn Worker> {
        let (jobs, mut submitted) = mpsc::unbounded_channel::<Job>();
        tokio::spawn(async move {
            while let Some(job) = submitted.recv().await {
                job();
            }
        });
        Arc::new(TaskWorker(jobs))
    }
}

struct TaskWorker(mpsc::UnboundedSender<Job>);

impl Worker for TaskWorker {
    fn submit(&self, job: Job) {
        // Nobody receives once the runtime ends, and then nobody waits either.
        let _ = self.0.send(job);
    }
}

/// Connections within the process.
#[derive(Default)]
struct MemoryNetwork(Mutex<BTreeMap<String, mpsc::Sender<BoxedStream>>>);

#[async_trait]
impl Network for MemoryNetwork {
    async fn connect(&self, address: &Address) -> io::Result<BoxedStream> {
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let listener = self.0.lock().expect("no panic").get(&address.to_string()).cloned().ok_or_else(refused)?;
        let (here, there) = duplex(BUFFER_BYTES);
        listener.send(Box::new(there)).await.map_err(|_| refused())?;
        Ok(Box::new(here))
    }

    async fn bind(&self, address: &Address) -> io::Result<Box<dyn Listener>> {
        let (sender, streams) = mpsc::channel(64);
        let mut listeners = self.0.lock().expect("no panic");
        if listeners.get(&address.to_string()).is_some_and(|listener| !listener.is_closed()) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        listeners.insert(address.to_string(), sender);
        let local = address.to_string().parse().map_err(io::Error::other)?;
        Ok(Box::new(MemoryListener { streams: AsyncMutex::new(streams), local }))
    }
}

struct MemoryListener {
    streams: AsyncMutex<mpsc::Receiver<BoxedStream>>,
    local: SocketAddr,
}

#[async_trait]
impl Listener for MemoryListener {
    async fn accept(&self) -> io::Result<(BoxedStream, SocketAddr)> {
        let stream = self.streams.lock().await.recv().await.ok_or_else(|| io::Error::other("the network is gone"))?;
        Ok((stream, self.local))
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}
