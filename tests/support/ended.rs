//! How processes end, and what they say about it.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use super::{BURSAR, Fleet, PATIENCE, until};

/// How a process ended, and everything that it had said.
#[derive(Debug)]
pub struct Ended {
    pub success: bool,
    pub said: String,
}

/// What `bursar doctor --json` prints.
#[derive(Clone, Debug, Deserialize)]
pub struct Diagnosis {
    pub healthy: bool,
    pub findings: Vec<Finding>,
}

/// One thing that the doctor has examined.
#[derive(Clone, Debug, Deserialize)]
pub struct Finding {
    pub what: String,
    pub sound: bool,
    pub warning: bool,
    pub detail: String,
}

impl Fleet {
    /// Starts a node, as [`Fleet::restart_with`] does, with an empty log file.
    pub fn restart_anew(&mut self, id: u64, environment: &[(&str, &str)]) {
        std::fs::write(&self.node(id).log, "").expect("the log file");
        self.restart_with(id, environment);
    }

    /// Whether a node that this test started has ended by itself.
    pub fn has_ended(&mut self, id: u64) -> bool {
        let child = self.node_mut(id).child.as_mut().expect("a process that this test started");
        child.try_wait().expect("a child can be asked").is_some()
    }

    /// Waits until a node that this test started ends by itself.
    pub async fn ended(&mut self, id: u64) -> Ended {
        until("the node ends", async || self.has_ended(id).then_some(())).await;
        let node = self.node_mut(id);
        let success = node.wait_for_end();
        Ended { success, said: std::fs::read_to_string(&node.log).expect("the log file") }
    }
}

/// What the doctor says of a data directory.
pub fn doctor(dir: &Path) -> Diagnosis {
    let output = bursar(&["doctor", "--json", "--dir"], dir);
    let (line, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let diagnosis: Diagnosis = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}{errors}"));
    let code = if diagnosis.healthy { 0 } else { 10 };
    assert_eq!(output.status.code(), Some(code), "{line}{errors}");
    diagnosis
}

/// Runs the program to its end, which must come soon.
pub fn bursar(arguments: &[&str], dir: &Path) -> Output {
    let mut command = Command::new(BURSAR);
    command.args(arguments).arg(dir).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the program starts");
    let pid = Pid::from_raw(child.id().try_into().expect("a pid")).expect("a running process has a pid");
    let (over, ended) = mpsc::channel();
    let waiting = std::thread::spawn(move || {
        let output = child.wait_with_output().expect("a child can be waited for");
        // Nobody listens any more where it came too late.
        let _ = over.send(());
        output
    });
    let in_time = ended.recv_timeout(PATIENCE).is_ok();
    if !in_time {
        kill_process(pid, Signal::KILL).expect("a child that was not waited for is there");
    }
    let output = waiting.join().expect("waiting does not panic");
    assert!(in_time, "it did not end: {}", String::from_utf8_lossy(&output.stderr));
    output
}

impl Diagnosis {
    /// What was found about something.
    pub fn of(&self, what: &str) -> &Finding {
        self.findings.iter().find(|finding| finding.what == what).unwrap_or_else(|| panic!("nothing on {what}: {self:?}"))
    }

    /// Everything that is not as it should be.
    pub fn complaints(&self) -> Vec<&Finding> {
        self.findings.iter().filter(|finding| !finding.sound).collect()
    }
}

/// The program on a data directory, until this is dropped.
pub struct Run {
    child: Child,
    log: PathBuf,
}

impl Run {
    pub fn start(dir: &Path) -> Self {
        let log = dir.with_extension("log");
        let output = std::fs::File::create(&log).expect("a log file");
        let mut command = Command::new(BURSAR);
        command.args(["authority", "run", "--dir"]).arg(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        Self { child: command.spawn().expect("the program starts"), log }
    }

    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log file")
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_some()
    }

    pub fn ended_well(&mut self) -> bool {
        self.child.wait().expect("a child can be waited for").success()
    }

    /// Whether it serves, once it does or has ended.
    pub fn comes_up(&mut self) -> Option<bool> {
        if self.has_ended() {
            return Some(false);
        }
        self.said().contains("the node runs").then_some(true)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
