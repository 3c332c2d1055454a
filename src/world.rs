//! What the program needs of the world, each as a part: `main.rs` takes the real ones, a simulation gives its own.

use std::sync::Arc;

use bursar_net::{
    Blocking, DiskFiles, DiskVolumes, Entropy, Files, LooseThreads, Network, SystemClock, SystemEntropy, TcpNetwork,
    ThreadBlocking, TlsTransport, Transport, Volumes, WallClock,
};
use bursar_storage::engine::Engines;

/// The parts of the world that authority nodes and storage servers are made of. Spans of time are not among them: tokio's clock
/// measures those, which a simulation pauses.
#[derive(Clone)]
pub struct World {
    /// The time of day.
    pub clock: Arc<dyn WallClock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Connections.
    pub network: Arc<dyn Network>,
    /// How they are secured, and who is at their other end.
    pub transport: Arc<dyn Transport>,
    /// Runs what blocks and comes back: stores, and the files of data directories.
    pub blocking: Arc<dyn Blocking>,
    /// The files of data directories.
    pub files: Arc<dyn Files>,
    /// The engines under an authority node's stores.
    pub engines: Arc<dyn Engines>,
    /// The disks that a storage server's store points are on.
    pub volumes: Arc<dyn Volumes>,
    /// Runs what is done on them: a disk that hangs may never come back.
    pub loose: Arc<dyn Blocking>,
}

impl World {
    /// The world as it is: this machine, its disks and its network, with RocksDB under the stores.
    #[cfg(feature = "rocksdb")]
    pub fn real() -> Self {
        Self::with_engines(Arc::new(bursar_storage::engine::RocksEngines))
    }

    /// This machine, its disks and its network, with other engines under the stores.
    pub fn with_engines(engines: Arc<dyn Engines>) -> Self {
        let clock = Arc::new(SystemClock);
        Self {
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy::new()),
            network: Arc::new(TcpNetwork),
            transport: Arc::new(TlsTransport::new(clock)),
            blocking: Arc::new(ThreadBlocking),
            files: Arc::new(DiskFiles),
            engines,
            volumes: Arc::new(DiskVolumes),
            loose: Arc::new(LooseThreads),
        }
    }

    /// What a storage server's own crate needs of it.
    pub(crate) fn of_storage_server(&self) -> bursar_agent::World {
        bursar_agent::World {
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            network: Arc::clone(&self.network),
            blocking: Arc::clone(&self.blocking),
            volumes: Arc::clone(&self.volumes),
            loose: Arc::clone(&self.loose),
        }
    }
}
