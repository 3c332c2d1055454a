//! A fleet of real processes for the tests: started by `bursar demo`, killed, paused and restarted one by one.

#![allow(dead_code, reason = "each test program uses its own part of it")]

pub mod disk;
pub mod durable;
pub mod ended;
pub mod frozen;
pub mod history;
pub mod lone;
pub mod members;
pub mod mounts;
pub mod namespaces;
pub mod network;
pub mod pages;
pub mod quiet;
pub mod random;
pub mod refused;
pub mod shell;
pub mod shim;
pub mod storage;
pub mod traffic;
pub mod write_ahead;

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    future::Future,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use bursar_net::SystemClock;
use bursar_wire::{
    Secret,
    client::{Client, ClientConfig, ClientParts, NodeUrl, Trust},
    query::ReadQuery,
    sites::CreateSite,
    status::Status,
};
use ended::doctor;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// The program under test.
pub const BURSAR: &str = env!("CARGO_BIN_EXE_bursar");
/// How long anything may take that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often to look whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long a node may take to say how it fares before it counts as silent. One that is paused says nothing for long.
const STATUS_TIMEOUT: Duration = Duration::from_millis(500);

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
    /// The URL of its API, where it has one.
    pub api: Option<String>,
    pub peer: String,
    pub control: String,
    /// Where it takes archives, where it does.
    pub transfer: Option<String>,
}

impl Ready {
    /// The processes of a role.
    pub fn of_role(&self, role: &str) -> impl Iterator<Item = &Described> {
        self.processes.iter().filter(move |process| process.role == role)
    }
}

/// The demo's three authority nodes on free ports, in a folder of their own. All processes end with it.
pub struct Fleet {
    folder: TempDir,
    /// The administrator's; empty before there is one.
    pub token: String,
    /// Where the token rests, for the commands of operators.
    token_file: PathBuf,
    nodes: Vec<Node>,
}

/// An authority node.
pub struct Node {
    pub id: u64,
    pub dir: PathBuf,
    pub log: PathBuf,
    pub api: String,
    pub peer: String,
    /// The network that it lives in, where that is not everybody's.
    namespace: Option<String>,
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
        Self::of_demo(folder, &ready)
    }

    /// The authority nodes of a folder's demo, which runs.
    pub fn of_demo(folder: TempDir, ready: &Ready) -> Self {
        let nodes = ready.of_role("authority").map(Node::of).collect();
        let token_file = folder.path().join("demo").join("token");
        Self { folder, token: ready.token.clone(), token_file, nodes }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn ids(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    /// The nodes whose processes are there.
    pub fn running(&self) -> Vec<u64> {
        self.nodes.iter().filter(|node| node.runs()).map(|node| node.id).collect()
    }

    /// All nodes but one.
    pub fn others(&self, id: u64) -> Vec<u64> {
        self.ids().into_iter().filter(|other| *other != id).collect()
    }

    pub fn node(&self, id: u64) -> &Node {
        self.nodes.iter().find(|node| node.id == id).expect("a node of the fleet")
    }

    pub fn node_mut(&mut self, id: u64) -> &mut Node {
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

    /// What an operator's command gives; it asks all nodes.
    pub fn operate<'w>(&self, words: impl IntoIterator<Item = &'w str>) -> Output {
        let urls: Vec<_> = self.nodes.iter().map(|node| node.api.as_str()).collect();
        Command::new(BURSAR)
            .args(words)
            .env("BURSAR_URL", urls.join(","))
            .env("BURSAR_TOKEN_FILE", &self.token_file)
            .env("BURSAR_CA_FILE", self.nodes[0].dir.join("ca.crt"))
            .env("BURSAR_CONFIG", self.folder().join("no-config.toml"))
            .stdin(Stdio::null())
            .output()
            .expect("the program starts")
    }

    /// Asks a node to end, and waits until it has: well, where this test started it and can tell.
    pub fn stop(&mut self, id: u64) {
        self.node(id).signal(Signal::TERM);
        let node = self.node_mut(id);
        let well = node.wait_for_exit();
        assert_ne!(well, Some(false), "authority node {id} was asked to end, and failed:\n{}", node.end_of_log());
    }

    /// Has every node, from its next start on, write a checkpoint after so many revisions, and keep so many entries of the log
    /// behind it.
    pub fn write_checkpoints_every(&self, revisions: u64, log_kept: u64) {
        for node in &self.nodes {
            let file = node.dir.join("bursar.toml");
            let settings = std::fs::read_to_string(&file).expect("the settings");
            let (before, _) = settings.split_once("[checkpoints]").expect("the settings name all that can be set");
            let settings = format!("{before}[checkpoints]\nevery = {revisions}\nlog_kept = {log_kept}\n");
            std::fs::write(&file, settings).expect("the settings");
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

    /// A client of all nodes.
    pub fn client(&self) -> Client {
        self.client_of(&self.ids())
    }

    /// A client of all nodes that begins with another one for each number.
    pub fn client_from(&self, number: usize) -> Client {
        self.client_of(&self.ids_from(number))
    }

    /// All nodes, beginning with another one for each number.
    pub fn ids_from(&self, number: usize) -> Vec<u64> {
        let mut ids = self.ids();
        let first = number % ids.len();
        ids.rotate_left(first);
        ids
    }

    /// A client of some nodes alone.
    pub fn client_of(&self, ids: &[u64]) -> Client {
        self.client_with(ids, |config| config)
    }

    /// A client of some nodes alone, with another patience than the customary one.
    pub fn client_with(&self, ids: &[u64], change: impl FnOnce(ClientConfig) -> ClientConfig) -> Client {
        let nodes: Vec<NodeUrl> = ids.iter().map(|id| self.node(*id).api.parse().expect("a URL")).collect();
        // All nodes have the authority's certificate.
        let trust = nodes.iter().any(NodeUrl::is_secure).then(|| self.nodes[0].trust());
        let token = (!self.token.is_empty()).then(|| Secret::new(self.token.clone()));
        let config = change(ClientConfig::new(nodes, token));
        Client::new(config, ClientParts::real(trust)).expect("a client of the fleet's URLs")
    }

    /// What a node says of the cluster, from its own knowledge alone.
    pub async fn status_of(&self, id: u64) -> Option<Status> {
        self.impatient_client(id).get("status", &stale()).await.ok()?.json().ok()
    }

    /// A client of one node for looks that are repeated: its own patience would be spent on pauses between its attempts.
    pub fn impatient_client(&self, id: u64) -> Client {
        let impatient = |config| ClientConfig { timeout: STATUS_TIMEOUT, attempt_timeout: STATUS_TIMEOUT, ..config };
        self.client_with(&[id], impatient)
    }

    /// The node that leads, as soon as one does that says so itself.
    pub async fn leader(&self) -> u64 {
        self.leader_among(&self.running()).await
    }

    /// The node that leads, as soon as one of these does that says so itself.
    pub async fn leader_among(&self, ids: &[u64]) -> u64 {
        until("a node leads", async || {
            for id in ids {
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

    /// Waits until a node can serve.
    pub async fn ready(&self, id: u64) {
        self.shows(id, "/readyz", "").await;
    }

    /// Waits until a page of a node, for which nobody need be known, holds a text.
    pub async fn shows(&self, id: u64, page: &str, text: &str) {
        let client = self.impatient_client(id);
        let shown = async || String::from_utf8_lossy(&client.probe(page).await.ok()?.body).contains(text).then_some(());
        until(&format!("{page} of node {id} shows `{text}`"), shown).await;
    }

    /// One of a node's counters or gauges that have no labels.
    pub async fn metric(&self, id: u64, name: &str) -> u64 {
        let value = self.find_metric(id, name).await;
        value.unwrap_or_else(|| panic!("node {id} does not count {name}"))
    }

    /// The same, where the node may be gone, or have nothing to tell of it yet.
    pub async fn find_metric(&self, id: u64, name: &str) -> Option<u64> {
        let page = soon("the metrics", self.client_of(&[id]).probe("/metrics")).await.ok()?;
        let page = String::from_utf8(page.body.to_vec()).expect("metrics are text");
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Stops all nodes and has the doctor examine them: all are healthy, and all hold the same.
    pub fn stop_and_examine(&mut self) {
        for id in self.running() {
            self.stop(id);
        }
        let mut ledgers = BTreeMap::new();
        for id in self.ids() {
            let diagnosis = doctor(&self.node(id).dir);
            assert!(diagnosis.healthy, "authority node {id}: {:#?}", diagnosis.complaints());
            let ledger = diagnosis.of("history").detail.clone();
            assert!(ledger.contains("digest"), "{ledger}");
            ledgers.entry(ledger).or_insert_with(Vec::new).push(id);
        }
        assert_eq!(ledgers.len(), 1, "all nodes hold the same: {ledgers:#?}");
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.kill_all();
        if std::thread::panicking() {
            for node in &self.nodes {
                eprintln!("--- the end of the log of authority node {}\n{}", node.id, node.end_of_log());
            }
        }
    }
}

impl Node {
    fn of(described: &Described) -> Self {
        let Described { id, pid, dir, log, api, peer, .. } = described.clone();
        let api = api.expect("an authority node has an API");
        Self { id, dir, log, api, peer, namespace: None, pid, child: None }
    }

    /// Trust in the certificate authority of its cluster.
    fn trust(&self) -> Trust {
        let authority = std::fs::read(self.dir.join("ca.crt")).expect("every node has the authority's certificate");
        Trust::in_authorities(&authority, Arc::new(SystemClock)).expect("a certificate authority")
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether its process is there.
    pub fn runs(&self) -> bool {
        self.pid != 0 && is_alive(self.pid)
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

    pub fn start(&mut self, environment: &[(&str, &str)]) {
        assert_eq!(self.pid, 0, "authority node {} was ended before", self.id);
        let log = OpenOptions::new().append(true).create(true).open(&self.log).expect("the log file");
        let child = program_in(self.namespace.as_deref())
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
        assert!(self.child.is_some(), "a process that this test started");
        self.wait_for_exit().expect("a child's status is known")
    }

    /// Waits until its process has ended; whether it ended well, where this test started it.
    pub fn wait_for_exit(&mut self) -> Option<bool> {
        let deadline = std::time::Instant::now() + PATIENCE;
        let ended = loop {
            let ended = match &mut self.child {
                Some(child) => child.try_wait().expect("a child can be waited for").map(|status| Some(status.success())),
                None => (self.pid == 0 || !is_alive(self.pid)).then_some(None),
            };
            if let Some(ended) = ended {
                break ended;
            }
            assert!(std::time::Instant::now() < deadline, "node {} does not end:\n{}", self.id, self.end_of_log());
            std::thread::sleep(LOOK_AGAIN);
        };
        (self.child, self.pid) = (None, 0);
        ended
    }

    /// How much it has logged.
    pub fn log_bytes(&self) -> u64 {
        std::fs::metadata(&self.log).expect("the log file").len()
    }

    /// How much processor time its process has taken.
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).expect("a running process has figures");
        let behind_name = stat.rsplit(')').next().expect("something follows the name");
        // Fields 14 and 15 of proc_pid_stat(5): user and system time in ticks, of which Linux shows a hundred a second.
        let ticks: u64 = behind_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum();
        Duration::from_secs(ticks) / 100
    }

    /// The last lines that it has logged.
    pub fn end_of_log(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// A process that has not ended, and is no corpse that waits for its parent. Its first thread may be a corpse while others
/// still hold its files.
pub fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    state.is_some_and(|state| (state != "Z" && state != "X") || threads > 1)
}

/// Asks for what the answering node has, however old.
pub fn stale() -> ReadQuery {
    ReadQuery::stale()
}

/// The request for a site with this name.
pub fn site(name: &str) -> CreateSite {
    CreateSite { name: name.into(), expected_latency_ms: 1 }
}

/// What the program told on standard error.
pub fn errors_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Writes a file that its owner alone can read.
fn write_private(path: &Path, text: &str) {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).expect("the file is written");
}

/// The program, to be run in a network.
fn program_in(namespace: Option<&str>) -> Command {
    let Some(namespace) = namespace else { return Command::new(BURSAR) };
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, BURSAR]);
    command
}

/// A node's three addresses on this machine, which are its own for as long as the folder is there.
pub fn free_addresses(folder: &Path) -> [String; 3] {
    let first = bursar::demo::ports::take_block(folder).expect("free ports");
    [first, first + 1, first + 2].map(|port| format!("127.0.0.1:{port}"))
}

/// Starts, or continues, the demo of a folder, as far as it has authority nodes.
pub fn run_demo(folder: &Path) -> Ready {
    run_demo_with(folder, 0)
}

/// Starts, or continues, the demo of a folder with at least so many storage servers.
pub fn run_demo_with(folder: &Path, storage_servers: u64) -> Ready {
    let output = Command::new(BURSAR)
        .args(["demo", "--json", "--ports", "auto", "--storage-servers", &storage_servers.to_string(), "--dir"])
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
