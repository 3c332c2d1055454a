//! What a storage server needs of the world, each as a part: a simulation gives its own.

use std::{io, sync::Arc};

use bursar_net::{Address, Blocking, Entropy, Listener, Network, TaskSet, Volumes, WallClock};
use tokio::task::JoinError;

use crate::settings::Listen;

/// The parts of the world that a storage server is made of.
#[derive(Clone)]
pub struct World {
    /// The time of day.
    pub clock: Arc<dyn WallClock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Connections.
    pub network: Arc<dyn Network>,
    /// Runs what blocks and comes back: the files of the data directory.
    pub blocking: Arc<dyn Blocking>,
    /// The disks that store points are on.
    pub volumes: Arc<dyn Volumes>,
    /// Runs what is done on them: a disk that hangs may never come back.
    pub loose: Arc<dyn Blocking>,
}

/// The three ports of a storage server, taken and not yet served.
pub struct Ports {
    /// For whoever looks whether the server is reached there.
    pub peer: Box<dyn Listener>,
    /// For archives.
    pub transfer: Box<dyn Listener>,
    /// For the authority.
    pub control: Box<dyn Listener>,
}

/// A port that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    /// Where.
    pub address: Address,
    /// What the operating system says.
    pub source: io::Error,
}

impl Ports {
    /// Takes all three, or none.
    pub async fn bind(network: &dyn Network, listen: &Listen) -> Result<Self, ListenError> {
        let bind = async |address: &Address| {
            network.bind(address).await.map_err(|source| ListenError { address: address.clone(), source })
        };
        Ok(Self {
            peer: bind(&listen.peer).await?,
            transfer: bind(&listen.transfer).await?,
            control: bind(&listen.control).await?,
        })
    }
}

/// Something that the server does all the time ended, although nobody has asked for it.
#[derive(Debug, thiserror::Error)]
#[error("the server no longer {what}: {detail}. Report this, and start the server again")]
pub struct Abandoned {
    /// What it did.
    pub what: &'static str,
    /// How it ended.
    pub detail: String,
}

/// Several things that are done all the time, each in a task of its own. Dropping it ends all of them.
pub(crate) struct Tasks<E> {
    tasks: TaskSet<(&'static str, Result<E, JoinError>)>,
}

impl<E: Send + 'static> Tasks<E> {
    pub(crate) fn new() -> Self {
        Self { tasks: TaskSet::new() }
    }

    /// Begins with one more, which the server says that it does: `what`, in the third person.
    pub(crate) fn begin(&mut self, what: &'static str, task: impl Future<Output = E> + Send + 'static) {
        // The task inside is aborted with the one around it, which alone can tell its name when it panics.
        let mut inner = TaskSet::new();
        inner.spawn(task);
        self.tasks.spawn(async move { (what, inner.join_next().await.expect("it was spawned")) });
    }

    /// Waits for the first that ends, and says how: with its own reason, or by a panic.
    pub(crate) async fn first(&mut self) -> (&'static str, Result<E, Abandoned>) {
        let ended = self.tasks.join_next().await.expect("something is begun before it is waited for");
        let (what, ended) = ended.expect("whoever waits for a task neither panics nor is aborted");
        (what, ended.map_err(|error| Abandoned { what, detail: error.to_string() }))
    }

    /// Waits until all have ended.
    pub(crate) async fn all(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}
