//! A fleet of real processes for the tests: started by `bursar demo`, killed, paused and restarted one by one.

#![allow(dead_code, reason = "each test program uses its own part of it")]

pub mod disk;
pub mod durable;
pub mod ended;
pub mod lone;
pub mod write_ahead;

use std::{
    fs::OpenOptions,
    future::Future,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bursar_wire::{
    Secret,
    client::{Client, ClientConfig, ClientParts},
    status::Status,
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// The program under test.
pub const BURSAR: &str = env!("CARGO_BIN_EXE_bursar");
/// How long anything may take that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often to look whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What `bursar demo --json` prints.
#[derive(Clone, Debug, Deserialize)]
pub struct Ready {
    pub url: String,
    pub urls: Vec<String>,
    pub token: String,
    pub credentials: PathBuf,
    pub processes: Vec<Described>,
}

/// A process as the demo describes it.
#[derive(Clone, Debug, Deserialize)]
pub struct Described {
    pub role: String,
    pub id: u64,
    pub pid: i32,
    pub dir: PathBuf,
    pub log: PathBuf,
    pub api: String,
    pub peer: String,
}

/// Three authority nodes on free ports, in a folder of their own. All processes end with it.
pub struct Fleet {
    folder: TempDir,
    pub token: String,
    nodes: Vec<Node>,
}

/// An authority node.
pub struct Node {
    pub id: u64,
    pub dir: PathBuf,
    pub log: PathBuf,
    pub api: String,
    pub peer: String,
    pid: i32,
    /// The process, where this test started it; the demo's own are nobody's children.
    child: Option<Child>,
}

impl Fleet {
    /// A fresh fleet, complete.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self::start_in(folder)
    }

    /// The fleet of a folder, which continues from what is there.
    pub fn start_in(folder: TempDir) -> Self {
        let ready = run_demo(folder.path());
        let nodes = ready.processes.iter().map(Node::of).collect();
        Self { folder, token: ready.token, nodes }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn ids(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    pub fn node(&self, id: u64) -> &Node {
        self.nodes.iter().find(|node| node.id == id).expect("a node of the fleet")
    }

    fn node_mut(&mut self, id: u64) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.id == id).expect("a node of the fleet")
    }

    /// Ends a node without warning.
    pub fn kill(&mut self, id: u64) {
        self.node_mut(id).kill();
    }

    /// Ends all nodes at once without warning.
    pub fn kill_all(&mut self) {
        for node in &self.nodes {
            node.signal(Signal::KILL);
        }
        for node in &mut self.nodes {
            node.kill();
        }
    }

    /// Starts a node that has ended.
    pub fn restart(&mut self, id: u64) {
        self.node_mut(id).start(&[]);
    }

    /// Starts a node that has ended, in another environment.
    pub fn restart_with(&mut self, id: u64, environment: &[(&str, &str)]) {
        self.node_mut(id).start(environment);
    }

    pub fn signal(&self, id: u64, signal: Signal) {
        self.node(id).signal(signal);
    }

    /// A client of all nodes.
    pub fn client(&self) -> Client {
        self.client_of(&self.ids())
    }

    /// A client of some nodes alone.
    pub fn client_of(&self, ids: &[u64]) -> Client {
        let nodes = ids.iter().map(|id| self.node(*id).api.parse().expect("a URL")).collect();
        let config = ClientConfig::new(nodes, Some(Secret::new(self.token.clone())));
        Client::new(config, ClientParts::real(None)).expect("a client of plain URLs")
    }

    /// What a node says of the cluster, from its own knowledge alone.
    pub async fn status_of(&self, id: u64) -> Option<Status> {
        let stale = [("consistency", "stale")];
        self.client_of(&[id]).get("status", &stale).await.ok()?.json().ok()
    }

    /// The node that leads, as soon as one does that says so itself.
    pub async fn leader(&self) -> u64 {
        let ids: Vec<u64> = self.nodes.iter().filter(|node| node.runs()).map(|node| node.id).collect();
        until("a node leads", async || {
            for id in &ids {
                if let Some(status) = self.status_of(*id).await
                    && status.leader == Some(*id)
                {
                    return Some(*id);
                }
            }
            None
        })
        .await
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.kill_all();
        if std::thread::panicking() {
            for node in &self.nodes {
                let log = std::fs::read_to_string(&node.log).unwrap_or_default();
                let tail: Vec<_> = log.lines().rev().take(20).collect();
                eprintln!("--- the end of the log of authority node {}", node.id);
                tail.iter().rev().for_each(|line| eprintln!("{line}"));
            }
        }
    }
}

impl Node {
    fn of(described: &Described) -> Self {
        let Described { id, pid, dir, log, api, peer, .. } = described.clone();
        Self { id, dir, log, api, peer, pid, child: None }
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether its process is there.
    pub fn runs(&self) -> bool {
        self.pid != 0 && test_kill_process(self.raw_pid()).is_ok()
    }

    fn raw_pid(&self) -> Pid {
        Pid::from_raw(self.pid).expect("a running process has a pid")
    }

    pub fn signal(&self, signal: Signal) {
        if self.pid != 0 {
            // It may have ended by itself.
            let _ = kill_process(self.raw_pid(), signal);
        }
    }

    fn kill(&mut self) {
        self.signal(Signal::KILL);
        if let Some(mut child) = self.child.take() {
            child.wait().expect("a child can be waited for");
        } else {
            // Nobody's child: gone when the kernel says so.
            while self.pid != 0 && is_alive(self.pid) {
                std::thread::yield_now();
            }
        }
        self.pid = 0;
    }

    fn start(&mut self, environment: &[(&str, &str)]) {
        assert_eq!(self.pid, 0, "authority node {} was ended before", self.id);
        let log = OpenOptions::new().append(true).create(true).open(&self.log).expect("the log file");
        let child = Command::new(BURSAR)
            .args(["authority", "run", "--own-session", "--dir"])
            .arg(&self.dir)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log file"))
            .stderr(log)
            .spawn()
            .expect("the program starts");
        self.pid = i32::try_from(child.id()).expect("a pid");
        self.child = Some(child);
    }

    /// Waits until a process that this test started ends by itself; whether it ended well.
    pub fn wait_for_end(&mut self) -> bool {
        let mut child = self.child.take().expect("a process that this test started");
        let status = child.wait().expect("a child can be waited for");
        self.pid = 0;
        status.success()
    }
}

/// A process that has not ended, and is no corpse that waits for its parent. Its first thread may be a corpse while others
/// still hold its files.
fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    state.is_some_and(|state| (state != "Z" && state != "X") || threads > 1)
}

/// Starts, or continues, the demo of a folder.
pub fn run_demo(folder: &Path) -> Ready {
    let output = Command::new(BURSAR)
        .args(["demo", "--json", "--ports", "auto", "--dir"])
        .arg(folder.join("demo"))
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let (line, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "the demo does not start: {errors}");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("the demo prints one line of JSON: {error}: {line}"))
}

/// What `look` finds, as soon as it finds something.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {} s", PATIENCE.as_secs());
        sleep(LOOK_AGAIN).await;
    }
}

/// What a future gives, which must not take longer than anything may.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {} s", PATIENCE.as_secs()))
}

/// Notes that a test cannot run here, and why. Fails unless the environment allows that.
pub fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
    assert!(std::env::var_os("BURSAR_ALLOW_SKIP").is_some(), "{why}; set BURSAR_ALLOW_SKIP to pass without this test");
}
