//! One process of the demo.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use super::{DemoError, END_TIMEOUT};

/// How much of a log is shown when a process ends before it is ready, in bytes.
const TAIL_BYTES: u64 = 2_000;

/// A running authority node, in a session of its own, its log in a file.
pub struct Process {
    id: u64,
    pid: u32,
    child: Child,
    directory: PathBuf,
    log: PathBuf,
    api: String,
    peer: String,
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

impl Process {
    /// Starts the node of a data directory.
    pub fn start(id: u64, directory: &Path, api: String, peer: String) -> Result<Self, DemoError> {
        let log = directory.join("node.log");
        let system = |action| move |source| DemoError::System { action, source };
        let output: File = OpenOptions::new().create(true).append(true).open(&log).map_err(system("open a log file"))?;
        let errors = output.try_clone().map_err(system("open a log file"))?;
        let program = std::env::current_exe().map_err(system("find this program"))?;
        let child = Command::new(program)
            .args(["authority", "run", "--own-session", "--dir"])
            .arg(directory)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(system("start a process"))?;
        let pid = child.id().expect("a process that was not waited for has a pid");
        Ok(Self { id, pid, child, directory: directory.to_owned(), log, api, peer })
    }

    /// What scripts are told of it.
    pub fn describe(&self) -> Description<'_> {
        let Self { id, pid, directory, log, api, peer, .. } = self;
        Description { role: "authority", id: *id, pid: *pid, dir: directory, log, api, peer }
    }

    /// Its number.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its API.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => describe_end(status),
            Err(error) => error.to_string(),
        }
    }

    /// Fails where it has ended already.
    pub fn must_run(&mut self) -> Result<(), DemoError> {
        match self.child.try_wait() {
            Ok(Some(status)) => {
                Err(DemoError::Ended { node: self.id, status: describe_end(status), log: self.log.clone(), tail: self.tail() })
            }
            _ => Ok(()),
        }
    }

    /// Asks it to end, and makes it where it does not.
    pub async fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(None))
            && let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
        {
            // It may have ended in this moment: then there is nothing to ask.
            let _ = kill_process(pid, Signal::TERM);
            if timeout(END_TIMEOUT, self.child.wait()).await.is_err() {
                let _ = self.child.kill().await;
            }
        }
    }

    /// The last lines of its log.
    fn tail(&self) -> String {
        let read = || {
            let mut log = File::open(&self.log)?;
            let length = log.metadata()?.len();
            log.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            log.read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_else(|error| error.to_string())
    }
}

fn describe_end(status: ExitStatus) -> String {
    status.to_string()
}
