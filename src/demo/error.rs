//! Why the demo does not run, and what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bursar_domain::ClusterId;
use bursar_net::FileError;
use bursar_wire::client::ClientError;

use super::{places::Place, program};
use crate::{
    advice::Advice,
    authority::{DirectoryError, FoundError, JoinError},
};

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
    /// A storage server's folder.
    #[error(transparent)]
    ServerDirectory(#[from] bursar_agent::DirectoryError),
    /// A storage server could not be made.
    #[error(transparent)]
    Make(#[from] bursar_agent::MakeError),
    /// The master license key, by which storage servers are made.
    #[error(
        "{} is missing or damaged, and storage servers are made with it: put it back, or start with `--storage-servers 0`, which \
         makes none", .0.display()
    )]
    License(PathBuf),
    /// A storage server was not taken in.
    #[error(
        "{server} was not taken in by the authority; `bursar operation list` says why. To have it made anew end the demo, remove {} \
         and start again", server.directory.display()
    )]
    NotTakenIn {
        /// Which.
        server: Place,
    },
    /// A process is no part of this demo.
    #[error("{place} belongs to another cluster than this demo: move {} away", place.directory.display())]
    Stray {
        /// Which.
        place: Place,
    },
    /// A node does not answer as it should.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The credentials are missing.
    #[error("{} is missing or damaged: the first start was interrupted. Remove the demo's folder and start again", .0.display())]
    Credentials(PathBuf),
    /// The demo runs already.
    #[error(
        "the demo in {} runs already ({}). End it with `{}`, or choose another folder with --dir{}",
        folder.display(), processes(pids), stop_command(folder), how_to_start(stopped) + &gone(removed)
    )]
    Runs {
        /// The demo's folder.
        folder: PathBuf,
        /// Its processes, as far as they are known.
        pids: Vec<u32>,
        /// What of it does not run.
        stopped: Vec<Place>,
        /// Its storage servers that the fleet has removed, as far as it could be asked.
        removed: Vec<Place>,
    },
    /// There is no demo to stop.
    #[error("{} holds no demo: name its folder with --dir", .0.display())]
    NoDemo(PathBuf),
    /// A data directory is held by a process that the demo has nothing to do with.
    #[error(
        "{} is held by {}, which is no process of the demo: end that one yourself",
        path.display(), processes(pid.as_slice())
    )]
    Held {
        /// The directory's lock.
        path: PathBuf,
        /// Who holds it, where that is known.
        pid: Option<u32>,
    },
    /// Ports of a new demo are taken.
    #[error("{}, or use `--ports auto`", busy(ports))]
    PortsBusy {
        /// Which.
        ports: Vec<u16>,
    },
    /// Ports are taken that the demo has had since it was made.
    #[error(
        "{}: this demo was made with {}. For another demo beside it use `--dir OTHER --ports auto`",
        busy(ports), if ports.len() == 1 { "that port" } else { "those ports" }
    )]
    OwnPortsBusy {
        /// Which.
        ports: Vec<u16>,
    },
    /// Somebody else's node answers where one of the demo's should.
    #[error(
        "{api} is answered by cluster {found}, and the demo's is {expected}: another program took the port. No secret was sent \
         to it; end it, and start the demo again"
    )]
    Foreign {
        /// The API that was asked.
        api: String,
        /// The cluster of whoever answered.
        found: String,
        /// The demo's cluster.
        expected: ClusterId,
    },
    /// A process ended before it was ready.
    #[error("{process} ended before it was ready ({status}); what {} says of this start:\n{tail}", log.display())]
    Ended {
        /// Which.
        process: String,
        /// How.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines that this start has logged.
        tail: String,
    },
    /// A process did not become ready.
    #[error("{what} after {} s; see the logs in {}", waited.as_secs(), folder.join("*").join("*.log").display())]
    Slow {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// The demo's folder.
        folder: PathBuf,
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

impl DemoError {
    /// What to do next about the demo of a folder.
    pub fn advice(&self, folder: &Path) -> Advice {
        let again = |flags: &str| format!("{} demo{flags} --dir {}", program(), folder.display());
        Advice::next(match self {
            Self::Runs { .. } => stop_command(folder),
            Self::License(_) => again(" --storage-servers 0"),
            Self::PortsBusy { .. } => again(" --ports auto"),
            Self::OwnPortsBusy { .. } => format!("{} demo --ports auto --dir OTHER", program()),
            Self::Ended { log, .. } => format!("cat {}", log.display()),
            Self::Slow { folder, .. } => format!("tail {}", folder.join("*").join("*.log").display()),
            Self::Held { pid: Some(pid), .. } => format!("ps -p {pid}"),
            Self::Client(_) | Self::Foreign { .. } | Self::Join(_) | Self::NotTakenIn { .. } => again(""),
            Self::File(_)
            | Self::Directory(_)
            | Self::Found(_)
            | Self::ServerDirectory(_)
            | Self::Make(_)
            | Self::Stray { .. }
            | Self::Credentials(_)
            | Self::NoDemo(_)
            | Self::Held { pid: None, .. }
            | Self::System { .. } => format!("{} demo --help", program()),
        })
    }
}

/// The command that ends the demo of a folder.
pub fn stop_command(folder: &Path) -> String {
    format!("{} demo --stop --dir {}", program(), folder.display())
}

fn how_to_start(stopped: &[Place]) -> String {
    stopped.iter().map(|place| format!("\n{place} does not run; start it with: {}", place.command())).collect()
}

fn gone(removed: &[Place]) -> String {
    removed.iter().map(|place| format!("\n{place} was removed from the fleet, and is not started again")).collect()
}

fn processes(pids: &[u32]) -> String {
    match pids {
        [] => "another process".to_owned(),
        [pid] => format!("pid {pid}"),
        pids => format!("pids {}", listed(pids)),
    }
}

fn busy(ports: &[u16]) -> String {
    match ports {
        [port] => format!("port {port} is in use by another program: end it"),
        ports => format!("ports {} are in use by other programs: end them", listed(ports)),
    }
}

fn listed(numbers: &[impl ToString]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_try_next_is_a_command_for_the_demos_own_folder() {
        let folder = Path::new("/srv/demo");
        let next = |error: DemoError| {
            let told = error.advice(folder).to_string();
            told.strip_prefix("next: ").and_then(|told| told.strip_prefix(&program())).expect("this program").to_owned()
        };
        let runs = DemoError::Runs { folder: folder.to_owned(), pids: vec![], stopped: vec![], removed: vec![] };
        assert_eq!(next(runs), " demo --stop --dir /srv/demo");
        assert_eq!(next(DemoError::PortsBusy { ports: vec![4283] }), " demo --ports auto --dir /srv/demo");
        assert_eq!(next(DemoError::NoDemo(folder.to_owned())), " demo --help");
    }
}
