//! One process of the demo.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use super::{DemoError, END_TIMEOUT, holder::Holder, places::Place};
use crate::authority::LOCK_FILE;

/// How much of a log is shown when a process ends before it is ready, in bytes.
const TAIL_BYTES: u64 = 2_000;
/// With which words the program runs a node.
const RUN: [&str; 2] = ["authority", "run"];

/// An authority node that the demo runs, in a session of its own, its log in a file.
pub struct Process {
    id: u64,
    pid: u32,
    runs: Runs,
    directory: PathBuf,
    log: PathBuf,
    /// Where this start's lines begin in the log, in bytes.
    log_start: u64,
    api: String,
    peer: String,
}

/// How a node runs.
enum Runs {
    /// As the demo has started it.
    Child(Child),
    /// Started again by somebody else, after it had ended.
    Again(Holder),
    /// Not at all.
    Ended,
}

/// What scripts are told of a process.
#[derive(Serialize)]
pub struct Description<'d> {
    role: &'static str,
    id: u64,
    pid: u32,
    dir: &'d Path,
    log: &'d Path,
    api: &'d str,
    peer: &'d str,
}

/// The process that runs the node of a data directory, whoever started it.
pub fn holder_of(directory: &Path) -> Result<Option<Holder>, DemoError> {
    Holder::of(&directory.join(LOCK_FILE), &RUN)
}

impl Process {
    /// Starts the node of a place.
    pub fn start(place: &Place) -> Result<Self, DemoError> {
        let directory = place.directory.clone();
        let log = directory.join("node.log");
        let system = |action| move |source| DemoError::System { action, source };
        let output: File = OpenOptions::new().create(true).append(true).open(&log).map_err(system("open a log file"))?;
        let log_start = output.metadata().map_err(system("examine a log file"))?.len();
        let errors = output.try_clone().map_err(system("open a log file"))?;
        let program = std::env::current_exe().map_err(system("find this program"))?;
        let child = Command::new(program)
            .args(RUN)
            .args(["--own-session", "--dir"])
            .arg(&directory)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(system("start a process"))?;
        let pid = child.id().expect("a process that was not waited for has a pid");
        let (api, peer) = (place.api(), place.config.advertised.peer.to_string());
        Ok(Self { id: place.node, pid, runs: Runs::Child(child), directory, log, log_start, api, peer })
    }

    /// What scripts are told of it.
    pub fn describe(&self) -> Description<'_> {
        let Self { id, pid, directory, log, api, peer, .. } = self;
        Description { role: "authority", id: *id, pid: *pid, dir: directory, log, api, peer }
    }

    /// The node's number.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The number of the process that runs it, or ran it last.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Its data directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its API.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// Waits until it has ended, and tells how as far as that is known; for ever where it had ended already.
    pub async fn ended(&mut self) -> String {
        let how = match &mut self.runs {
            Runs::Child(child) => match child.wait().await {
                Ok(status) => format!(" ({status})"),
                Err(error) => format!(" ({error})"),
            },
            Runs::Again(holder) => {
                holder.ended().await;
                String::new()
            }
            Runs::Ended => std::future::pending().await,
        };
        self.runs = Runs::Ended;
        how
    }

    /// Whether it had ended, and somebody has started it again.
    pub fn is_started_again(&mut self) -> Result<bool, DemoError> {
        if !matches!(self.runs, Runs::Ended) {
            return Ok(false);
        }
        let Some(holder) = holder_of(&self.directory)? else { return Ok(false) };
        (self.pid, self.runs) = (holder.pid(), Runs::Again(holder));
        Ok(true)
    }

    /// Fails where it has ended already.
    pub fn must_run(&mut self) -> Result<(), DemoError> {
        let Runs::Child(child) = &mut self.runs else { return Ok(()) };
        match child.try_wait() {
            Ok(Some(status)) => Err(DemoError::Ended {
                node: self.id,
                status: status.to_string(),
                log: self.log.clone(),
                tail: last_lines(&self.log, self.log_start).unwrap_or_else(|error| error.to_string()),
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
