//! The demo: a whole fleet on one machine, made of the real thing. Three authority nodes and two storage servers with a store point
//! each, every one a process of its own with its own data directory, talk over mutual TLS on loopback. A second start continues
//! from the data, and makes what an interrupted one has left unmade.
//!
//! ```text
//! places   where each process lives      survey   all of them looked over, before anything is made
//! fleet    makes and starts them, authority first, then storage; stays; ends them
//! process  one that runs      holder   one that somebody else has started      stop   ends them all
//! ```

mod credentials;
mod error;
mod fleet;
mod holder;
mod invited;
mod places;
pub mod ports;
mod process;
mod ready;
mod role;
mod stop;
mod survey;

use std::{path::Path, time::Duration};

use bursar_net::{DiskFiles, FileError, FileLock, Files};

use crate::{
    arguments::{self, Ports},
    signals::Signals,
};
pub use error::DemoError;
use fleet::Fleet;
use survey::{Survey, survey};

const LOCK_FILE: &str = "demo.lock";
/// How long a process may take to end once it is asked to.
const END_TIMEOUT: Duration = Duration::from_secs(15);

/// `bursar demo`
pub async fn run(options: arguments::Demo) -> Result<(), DemoError> {
    let folder =
        std::path::absolute(&options.dir).map_err(|source| DemoError::System { action: "find the demo's folder", source })?;
    if options.stop { stop::stop(&folder).await } else { start(&folder, options).await }
}

async fn start(folder: &Path, options: arguments::Demo) -> Result<(), DemoError> {
    let talkative = !options.json;
    let (_lock, survey) = match take_hold(folder, &options) {
        Err(DemoError::Runs { folder, pids, stopped, .. }) => {
            let (removed, stopped) = fleet::tell_removed(&folder, stopped).await;
            return Err(DemoError::Runs { folder, pids, stopped, removed });
        }
        held => held?,
    };
    if talkative && options.ports == Ports::Auto && survey.is_made() {
        eprintln!("this demo keeps the ports that it was made with");
    }
    let mut signals = Signals::new().map_err(|source| DemoError::System { action: "listen for signals", source })?;
    let mut fleet = Fleet::new(folder.to_owned(), survey, talkative);
    let started = tokio::select! {
        started = fleet.start() => Some(started),
        _ = signals.received() => None,
    };
    let watched = match started {
        Some(Ok(credentials)) => {
            if options.json {
                ready::print_json(folder, &credentials, fleet.processes());
            } else {
                ready::print_welcome(folder, &credentials, fleet.processes(), fleet.store_points());
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

/// Looks over a demo that does not run, and keeps others from starting it. Where ports are not to be had, nothing is made,
/// started or sent.
fn take_hold(folder: &Path, options: &arguments::Demo) -> Result<(FileLock, Survey), DemoError> {
    let (lock, look) = (folder.join(LOCK_FILE), || survey(folder, options.ports, options.storage_servers));
    // Free ports are the folder's, so that they can be taken only where there is one.
    if options.ports == Ports::Customary && !DiskFiles.exists(&lock)? {
        look()?.require_free_ports()?;
    }
    DiskFiles.create_directory(folder)?;
    // Held while processes are started, and by whoever stays with them.
    let lock = match DiskFiles.lock(&lock) {
        Ok(lock) => lock,
        Err(FileError::Locked { pid, .. }) => {
            let (pids, stopped, removed) = (pid.into_iter().collect(), places::stopped(folder)?, Vec::new());
            return Err(DemoError::Runs { folder: folder.to_owned(), pids, stopped, removed });
        }
        Err(other) => return Err(other.into()),
    };
    let survey = look()?;
    survey.require_free_ports()?;
    Ok((lock, survey))
}

/// This program as it was started, for advice that can be followed word by word.
fn program() -> String {
    std::env::args_os().next().map_or_else(|| "bursar".to_owned(), |program| program.to_string_lossy().into_owned())
}
