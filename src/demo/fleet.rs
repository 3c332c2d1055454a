//! The demo's processes, all together: starting them, staying with them, ending them.

mod authority;
mod removed;
mod storage;

use std::{future::Future, path::PathBuf, time::Duration};

use bursar_wire::{
    Credentials, Secret,
    client::{Client, ClientConfig, ClientError, ClientParts},
};
use tokio::time::{Instant, interval, sleep};

use super::{DemoError, credentials, process::Process, survey::Survey};
pub use removed::tell_removed;

/// How long a process may take to answer, and the fleet to be complete.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often to look again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How often to look whether somebody has started a process again.
const LOOK_FOR_STARTED: Duration = Duration::from_millis(500);

/// The demo's processes.
pub struct Fleet {
    folder: PathBuf,
    survey: Survey,
    talkative: bool,
    /// In the order in which they were started: authority nodes first.
    processes: Vec<Process>,
    /// How many store points the storage servers among them have.
    store_points: usize,
}

impl Fleet {
    /// The fleet of a demo that was looked over, not yet started.
    pub fn new(folder: PathBuf, survey: Survey, talkative: bool) -> Self {
        Self { folder, survey, talkative, processes: Vec::new(), store_points: 0 }
    }

    /// The processes, running or ended.
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// How many store points the storage servers among them have.
    pub const fn store_points(&self) -> usize {
        self.store_points
    }

    /// Starts everything, and makes what is missing: the cluster, somewhere to put storage, storage servers with a store point
    /// each. Returns once all of it works. What is there already, by whatever name, is not made twice.
    pub async fn start(&mut self) -> Result<Credentials, DemoError> {
        let mut credentials = self.start_authority().await?;
        credentials.urls = self.apis().map(str::to_owned).collect();
        credentials::write(&self.folder, &credentials)?;
        let client = self.client(Some(&credentials.token))?;
        self.start_storage(&client).await?;
        Ok(credentials)
    }

    /// Stays until `end` comes; says so when a process ends by itself, and when somebody starts it again.
    pub async fn watch(&mut self, end: impl Future) -> Result<(), DemoError> {
        tokio::pin!(end);
        let mut look = interval(LOOK_FOR_STARTED);
        loop {
            let mut ends: Vec<_> = self
                .processes
                .iter_mut()
                .enumerate()
                .map(|(at, process)| Box::pin(async move { (at, process.ended().await) }))
                .collect();
            let ended = tokio::select! {
                _ = &mut end => return Ok(()),
                ended = first_of(&mut ends) => Some(ended),
                _ = look.tick() => None,
            };
            drop(ends);
            if let Some((at, end)) = ended {
                let place = self.processes[at].place();
                if end.was_removed {
                    eprintln!("{place} ended: it was removed from the fleet");
                } else {
                    eprintln!("{place} ended{}; start it again with: {}", end.how, place.command());
                }
            }
            for process in &mut self.processes {
                if process.is_started_again()? {
                    eprintln!("{} runs again (pid {}); Ctrl-C ends it too", process.place(), process.pid());
                }
            }
        }
    }

    /// Ends all processes, authority nodes first: nobody is left then to whom a storage server that ends is missing.
    pub async fn end(&mut self) {
        for process in &mut self.processes {
            process.end().await;
        }
    }

    /// Asks again and again, as long as all processes run and patience lasts.
    async fn wait_for(&mut self, what: &str, mut reached: impl AsyncFnMut() -> Result<bool, DemoError>) -> Result<(), DemoError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for process in &mut self.processes {
                process.must_run()?;
            }
            if reached().await? {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(DemoError::Slow { what: what.to_owned(), waited: PATIENCE, folder: self.folder.clone() });
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// The APIs of the nodes that were started.
    fn apis(&self) -> impl Iterator<Item = &str> {
        self.processes.iter().filter_map(Process::api)
    }

    /// A client of all nodes that were started.
    fn client(&self, token: Option<&Secret>) -> Result<Client, ClientError> {
        client_of(self.apis(), token)
    }

    fn tell(&self, what: &str) {
        if self.talkative {
            eprintln!("{what} …");
        }
    }
}

/// A client of the nodes that answer there.
fn client_of<'a>(apis: impl IntoIterator<Item = &'a str>, token: Option<&Secret>) -> Result<Client, ClientError> {
    let nodes = apis.into_iter().map(|api| api.parse().expect("the demo's URLs are well-formed")).collect();
    Client::new(ClientConfig::new(nodes, token.cloned()), ClientParts::real(None))
}

/// The first of several futures that is done.
async fn first_of<T, F: Future<Output = T> + Unpin>(futures: &mut [F]) -> T {
    std::future::poll_fn(|context| {
        let ready = futures.iter_mut().find_map(|future| match std::pin::Pin::new(future).poll(context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        });
        ready.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    })
    .await
}
