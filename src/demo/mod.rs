//! The demo: a whole cluster on one machine, made of the real thing. Three authority nodes, each a process of its own with its
//! own data directory, talk over mutual TLS on loopback. A second start continues from the data.

mod credentials;
mod error;
mod fleet;
mod holder;
mod places;
pub mod ports;
mod process;
mod stop;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use bursar_net::{DiskFiles, FileError, FileLock, Files};
use serde::Serialize;

use crate::{
    arguments::{self, Ports},
    signals::Signals,
};
use credentials::Credentials;
pub use error::DemoError;
use fleet::Fleet;
use places::Place;
use process::Process;

const LOCK_FILE: &str = "demo.lock";
/// How long a node may take to end once it is asked to.
const END_TIMEOUT: Duration = Duration::from_secs(15);

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
    let folder =
        std::path::absolute(&options.dir).map_err(|source| DemoError::System { action: "find the demo's folder", source })?;
    if options.stop { stop::stop(&folder).await } else { start(&folder, options).await }
}

async fn start(folder: &Path, options: arguments::Demo) -> Result<(), DemoError> {
    let talkative = !options.json;
    let (_lock, places) = take_hold(folder, options.ports)?;
    if talkative && options.ports == Ports::Auto && places.iter().all(Place::is_made) {
        eprintln!("this demo keeps the ports that it was made with");
    }
    let mut signals = Signals::new().map_err(|source| DemoError::System { action: "listen for signals", source })?;
    let mut fleet = Fleet::new(folder.to_owned(), places, talkative);
    let started = tokio::select! {
        started = fleet.start() => Some(started),
        _ = signals.received() => None,
    };
    let watched = match started {
        Some(Ok(credentials)) => {
            if options.json {
                print_json(folder, &credentials, fleet.processes());
            } else {
                print_welcome(folder, &credentials);
            }
            if options.json && !options.supervise {
                return Ok(());
            }
            fleet.watch(signals.received()).await
        }
        Some(Err(error)) => Err(error),
        None => Ok(()),
    };
    if talkative && watched.is_ok() {
        eprintln!("ending …; the data stays in {}", options.dir.display());
    }
    fleet.end().await;
    watched
}

/// Looks over the places of a demo that does not run, and keeps others from starting it. Where ports are not to be had,
/// nothing is made, started or sent.
fn take_hold(folder: &Path, ports: Ports) -> Result<(FileLock, Vec<Place>), DemoError> {
    let lock = folder.join(LOCK_FILE);
    // Free ports are the folder's, so that they can be taken only where there is one.
    if ports == Ports::Customary && !DiskFiles.exists(&lock)? {
        places::require_free_ports(&places::survey(folder, ports)?)?;
    }
    DiskFiles.create_directory(folder)?;
    // Held while nodes are started, and by whoever stays with them.
    let lock = DiskFiles.lock(&lock).map_err(|error| match error {
        FileError::Locked { pid, .. } => DemoError::Runs { folder: folder.to_owned(), pids: pid.into_iter().collect() },
        other => other.into(),
    })?;
    let places = places::survey(folder, ports)?;
    places::require_free_ports(&places)?;
    Ok((lock, places))
}

/// This program as it was started, for advice that can be followed word by word.
fn program() -> String {
    std::env::args_os().next().map_or_else(|| "bursar".to_owned(), |program| program.to_string_lossy().into_owned())
}

fn print_json(folder: &Path, credentials: &Credentials, processes: &[Process]) {
    let ready = Ready {
        url: &credentials.url,
        urls: &credentials.urls,
        token: &credentials.token,
        credentials: Credentials::file(folder),
        processes: processes.iter().map(Process::describe).collect(),
    };
    println!("{}", serde_json::to_string(&ready).expect("the description can be written as JSON"));
    // Whoever reads the line may close the pipe at once.
    let _ = io::stdout().flush();
}

fn print_welcome(folder: &Path, credentials: &Credentials) {
    let program = program();
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
  {program} cluster transfer-leadership --yes     another node leads, nothing is lost

Ctrl-C ends the demo; the next start continues from its data.",
        url = credentials.url,
        urls = credentials.urls.join(","),
        token = credentials.token,
        token_file = Credentials::token_file(folder).display(),
        file = Credentials::file(folder).display(),
        logs = folder.join("authority-*/node.log").display(),
    );
}
