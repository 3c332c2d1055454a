//! One process of the demo.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::Stdio,
};

use bursar_net::Address;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use super::{
    DemoError, END_TIMEOUT,
    holder::Holder,
    places::Place,
    role::Role,
    survey::{Node, Server},
};

/// How much of a log is shown when a process ends before it is ready, in bytes.
const TAIL_BYTES: u64 = 2_000;

/// With which code a storage server ends that was removed from the fleet.
const REMOVED: i32 = 4;

/// A process that the demo runs, in a session of its own, its log in a file.
pub struct Process {
    place: Place,
    /// The number of the node or the server in the cluster.
    id: u64,
    pid: u32,
    runs: Runs,
    /// Where this start's lines begin in the log, in bytes.
    log_start: u64,
    addresses: Addresses,
}

/// How a process runs.
enum Runs {
    /// As the demo has started it.
    Child(Child),
    /// Started again by somebody else, after it had ended.
    Again(Holder),
    /// Not at all.
    Ended,
}

/// Where a process answers.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Addresses {
    /// An authority node: people at the URL of its API, the other nodes, storage servers.
    Authority { api: String, peer: Address, control: Address },
    /// A storage server: whoever probes it, archives, the authority.
    StorageServer { peer: Address, transfer: Address, control: Address },
}

/// That a process has ended.
pub struct End {
    /// How, as far as that is known: nothing, or words in brackets.
    pub how: String,
    /// Whether it was a storage server that the authority has removed: started again it would end again.
    pub was_removed: bool,
}

/// What scripts are told of a process.
#[derive(Serialize)]
pub struct Description<'d> {
    role: Role,
    id: u64,
    pid: u32,
    dir: &'d Path,
    log: PathBuf,
    #[serde(flatten)]
    addresses: &'d Addresses,
}

impl Process {
    /// Starts an authority node.
    pub fn start_node(node: &Node) -> Result<Self, DemoError> {
        let Node { place, config, .. } = node;
        let (peer, control) = (config.advertised.peer.clone(), config.advertised.control.clone());
        Self::start(place, place.number, Addresses::Authority { api: node.api(), peer, control })
    }

    /// Starts a storage server. The number in the cluster is the authority's to give; until then its place's stands for it.
    pub fn start_server(server: &Server) -> Result<Self, DemoError> {
        let Server { place, settings, .. } = server;
        let bursar_agent::Listen { peer, transfer, control } = settings.listen.clone();
        Self::start(place, place.number, Addresses::StorageServer { peer, transfer, control })
    }

    fn start(place: &Place, id: u64, addresses: Addresses) -> Result<Self, DemoError> {
        let log = place.log();
        let system = |action| move |source| DemoError::System { action, source };
        let output: File = OpenOptions::new().create(true).append(true).open(&log).map_err(system("open a log file"))?;
        let log_start = output.metadata().map_err(system("examine a log file"))?.len();
        let errors = output.try_clone().map_err(system("open a log file"))?;
        let program = std::env::current_exe().map_err(system("find this program"))?;
        let child = Command::new(program)
            .args(place.role.run_words())
            .args(["--own-session", "--dir"])
            .arg(&place.directory)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(system("start a process"))?;
        let pid = child.id().expect("a process that was not waited for has a pid");
        Ok(Self { place: place.clone(), id, pid, runs: Runs::Child(child), log_start, addresses })
    }

    /// What scripts are told of it.
    pub fn describe(&self) -> Description<'_> {
        let Self { place, id, pid, addresses, .. } = self;
        Description { role: place.role, id: *id, pid: *pid, dir: &place.directory, log: place.log(), addresses }
    }

    /// Where it lives.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The number of the node or the server in the cluster.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Notes the number that the authority has given it.
    pub const fn is_known_as(&mut self, id: u64) {
        self.id = id;
    }

    /// The number of the process that runs it, or ran it last.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Where it answers.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The URL of its API, where it has one.
    pub fn api(&self) -> Option<&str> {
        match &self.addresses {
            Addresses::Authority { api, .. } => Some(api),
            Addresses::StorageServer { .. } => None,
        }
    }

    /// Waits until it has ended; for ever where it had ended already.
    pub async fn ended(&mut self) -> End {
        let (how, code) = match &mut self.runs {
            Runs::Child(child) => match child.wait().await {
                Ok(status) => (format!(" ({status})"), status.code()),
                Err(error) => (format!(" ({error})"), None),
            },
            Runs::Again(holder) => {
                holder.ended().await;
                (String::new(), None)
            }
            Runs::Ended => std::future::pending().await,
        };
        self.runs = Runs::Ended;
        End { how, was_removed: self.place.role == Role::StorageServer && code == Some(REMOVED) }
    }

    /// Whether it had ended, and somebody has started it again.
    pub fn is_started_again(&mut self) -> Result<bool, DemoError> {
        if !matches!(self.runs, Runs::Ended) {
            return Ok(false);
        }
        let Some(holder) = self.place.holder()? else { return Ok(false) };
        (self.pid, self.runs) = (holder.pid(), Runs::Again(holder));
        Ok(true)
    }

    /// Fails where it has ended already.
    pub fn must_run(&mut self) -> Result<(), DemoError> {
        let Runs::Child(child) = &mut self.runs else { return Ok(()) };
        match child.try_wait() {
            Ok(Some(status)) => Err(DemoError::Ended {
                process: self.place.to_string(),
                status: status.to_string(),
                log: self.place.log(),
                tail: last_lines(&self.place.log(), self.log_start).unwrap_or_else(|error| error.to_string()),
            }),
            _ => Ok(()),
        }
    }

    /// Asks it to end, and makes it where it does not.
    pub async fn end(&mut self) {
        // It may have been started again since it was last looked at; where the system does not tell, nothing can be ended.
        let _ = self.is_started_again();
        match &mut self.runs {
            Runs::Child(child) => end_child(child, self.pid).await,
            Runs::Again(holder) => holder.end(END_TIMEOUT).await,
            Runs::Ended => {}
        }
        self.runs = Runs::Ended;
    }
}

/// The last whole lines of a log behind `start`, about [`TAIL_BYTES`] of them.
fn last_lines(log: &Path, start: u64) -> io::Result<String> {
    let mut log = File::open(log)?;
    let shown_from = log.metadata()?.len().saturating_sub(TAIL_BYTES).max(start);
    log.seek(SeekFrom::Start(shown_from))?;
    let mut bytes = Vec::new();
    log.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let is_cut = shown_from > start;
    let whole = if is_cut { text.split_once('\n').map_or("", |(_cut, whole)| whole) } else { &text };
    Ok(whole.to_owned())
}

async fn end_child(child: &mut Child, pid: u32) {
    if matches!(child.try_wait(), Ok(None))
        && let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw)
    {
        // It may have ended in this moment: then there is nothing to ask.
        let _ = kill_process(pid, Signal::TERM);
        if timeout(END_TIMEOUT, child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_whole_lines_of_one_start() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("node.log");
        let (before, line) = ("of an earlier start\n", "a line of this start\n");
        std::fs::write(&log, format!("{before}{line}")).expect("a file");
        let start = before.len() as u64;
        assert_eq!(last_lines(&log, start).expect("the log"), line);
        std::fs::write(&log, format!("{before}{}", line.repeat(200))).expect("a file");
        let shown = last_lines(&log, start).expect("the log");
        assert_eq!(shown, line.repeat(shown.len() / line.len()), "no line is cut");
        assert!(shown.len() as u64 <= TAIL_BYTES && shown.len() + line.len() > TAIL_BYTES as usize, "{} bytes", shown.len());
    }
}
