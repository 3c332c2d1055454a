//! The demo: a whole cluster on one machine, made of the real thing. Three authority nodes, each a process of its own with its
//! own data directory, talk over mutual TLS on loopback. A second start continues from the data.

mod fleet;
pub mod ports;
mod process;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use bursar_net::{DiskFiles, FileError, Files};
use bursar_wire::client::ClientError;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    arguments,
    authority::{DirectoryError, FoundError, JoinError},
};
use fleet::Fleet;
use process::Process;

const LOCK_FILE: &str = "demo.lock";
const CREDENTIALS_FILE: &str = "credentials.json";
/// The token alone, as the operators' commands read it.
const TOKEN_FILE: &str = "token";
/// How long a node may take to end once it is asked to.
const END_TIMEOUT: Duration = Duration::from_secs(15);

/// Why the demo does not run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Its folder.
    #[error(transparent)]
    File(#[from] FileError),
    /// A node's folder.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The cluster could not be founded.
    #[error(transparent)]
    Found(#[from] FoundError),
    /// A node could not join.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// A node does not answer as it should.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The credentials are missing.
    #[error("{} is missing or damaged: the first start was interrupted. Remove the demo's folder and start again", .0.display())]
    Credentials(PathBuf),
    /// The demo's nodes run already.
    #[error("the demo in {} runs already (authority node {node} is held by another process). End that one first, or choose another folder with --dir", folder.display())]
    Runs {
        /// The demo's folder.
        folder: PathBuf,
        /// A node that runs.
        node: u64,
    },
    /// A process ended before it was ready.
    #[error("authority node {node} ended before it was ready ({status}); the end of {}:\n{tail}", log.display())]
    Ended {
        /// Which.
        node: u64,
        /// How.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// A process did not become ready.
    #[error("{what} after {} s; see {}", waited.as_secs(), log.display())]
    Slow {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// The log file to look at.
        log: PathBuf,
    },
    /// The operating system.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What it said.
        source: io::Error,
    },
}

/// What whoever uses the demo must know. It rests in the demo's folder, for its owner alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    /// The first node's API.
    url: String,
    /// Every node's API.
    urls: Vec<String>,
    /// The administrator's token.
    token: String,
}

impl Credentials {
    fn read(folder: &Path) -> Result<Self, DemoError> {
        let path = folder.join(CREDENTIALS_FILE);
        let bytes = DiskFiles.read_private(&path, 64 * 1024).map_err(|error| match error {
            FileError::NotFound { path } => DemoError::Credentials(path),
            other => other.into(),
        })?;
        serde_json::from_slice(&bytes).map_err(|_| DemoError::Credentials(path))
    }

    fn write(&self, folder: &Path) -> Result<(), DemoError> {
        let json = serde_json::to_vec_pretty(self).expect("credentials can be written as JSON");
        DiskFiles.write_atomic(&folder.join(TOKEN_FILE), self.token.as_bytes())?;
        Ok(DiskFiles.write_atomic(&folder.join(CREDENTIALS_FILE), &json)?)
    }
}

/// The one line of JSON for scripts.
#[derive(Serialize)]
struct Ready<'r> {
    url: &'r str,
    urls: &'r [String],
    token: &'r str,
    credentials: PathBuf,
    processes: Vec<process::Description<'r>>,
}

/// `bursar demo`
pub async fn run(options: arguments::Demo) -> Result<(), DemoError> {
    DiskFiles.create_directory(&options.dir)?;
    let folder =
        std::path::absolute(&options.dir).map_err(|source| DemoError::System { action: "find the demo's folder", source })?;
    // Held while nodes are started, and by whoever stays with them.
    let _lock = DiskFiles.lock(&folder.join(LOCK_FILE))?;
    let mut ends = Ends::new()?;

    let stays = options.supervise || !options.json;
    let mut fleet = Fleet::new(folder.clone(), options.ports, !options.json);
    let started = tokio::select! {
        started = fleet.start() => started,
        () = ends.asked() => {
            fleet.end().await;
            return Ok(());
        }
    };
    let credentials = match started {
        Ok(credentials) => credentials,
        Err(error) => {
            fleet.end().await;
            return Err(error);
        }
    };
    if options.json {
        print_json(&folder, &credentials, fleet.processes())
    } else {
        print_welcome(&folder, &credentials)
    }
    if stays {
        fleet.watch(ends.asked()).await;
        fleet.end().await;
    }
    Ok(())
}

fn print_json(folder: &Path, credentials: &Credentials, processes: &[Process]) {
    let ready = Ready {
        url: &credentials.url,
        urls: &credentials.urls,
        token: &credentials.token,
        credentials: folder.join(CREDENTIALS_FILE),
        processes: processes.iter().map(Process::describe).collect(),
    };
    println!("{}", serde_json::to_string(&ready).expect("the description can be written as JSON"));
    // Whoever reads the line may close the pipe at once.
    let _ = io::stdout().flush();
}

fn print_welcome(folder: &Path, credentials: &Credentials) {
    let program = std::env::args().next().unwrap_or_else(|| "bursar".into());
    println!(
        "
Bursar is ready: three authority nodes, two sites, a first destination.

  URL          {url}
  token        {token}
  credentials  {file}
  logs         {logs}

Try, in another terminal:

  export BURSAR_URL={urls}
  export BURSAR_TOKEN_FILE={token_file}

  {program} status                                how the cluster fares
  {program} destination list                      what there is
  {program} destination add --site 2 Archive      something new
  {program} event watch                           everything as it happens
  {program} cluster transfer-leadership           another node leads, nothing is lost

Ctrl-C ends the demo; the next start continues from its data.",
        url = credentials.url,
        urls = credentials.urls.join(","),
        token = credentials.token,
        token_file = folder.join(TOKEN_FILE).display(),
        file = folder.join(CREDENTIALS_FILE).display(),
        logs = folder.join("authority-*/node.log").display(),
    );
}

/// What asks the demo to end: Ctrl-C, or SIGTERM.
struct Ends {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Ends {
    fn new() -> Result<Self, DemoError> {
        let listen = |kind| signal(kind).map_err(|source| DemoError::System { action: "listen for signals", source });
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
