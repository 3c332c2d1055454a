//! A network of its own for each node, and a router between them that loses what it is told to lose.
//!
//! ```text
//! node 1 ── 10.0.1.0/24 ──┐
//! node 2 ── 10.0.2.0/24 ──┼── router, where the test lives
//! node 3 ── 10.0.3.0/24 ──┘
//! ```
//!
//! Each is a namespace of the kernel, so nothing of it is seen outside. The test reaches every node whatever the nodes can
//! send to each other. A cut is a rule of the router by which packets of one node to another vanish, and nobody is told:
//! connections stand, and nothing comes.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::fd::AsFd,
    path::Path,
    process::Command,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use bursar_wire::client::Change;
use rustix::{
    process::geteuid,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::{Fleet, members::Home, site, skip};

/// How long the invitation of a test's node holds, in seconds.
const INVITATION: u64 = 3_600;

/// Namespaces and the cables between them. All are gone when it is dropped.
pub struct Network {
    /// What the names of its namespaces begin with: no other network on the machine has it.
    name: String,
    pub(super) nodes: Vec<u64>,
    /// From whom to whom nothing comes through.
    cuts: Mutex<BTreeSet<(u64, u64)>>,
}

impl Network {
    /// A network of so many nodes, numbered from 1; `None` where none can be made and skipping is allowed.
    pub fn of(nodes: u64) -> Option<Self> {
        static BUILT: AtomicU32 = AtomicU32::new(0);
        if !geteuid().is_root() {
            skip("only root may make network namespaces");
            return None;
        }
        let number = BUILT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bursar-{}-{number}", std::process::id());
        let network = Self { name, nodes: (1..=nodes).collect(), cuts: Mutex::default() };
        if let Err(refused) = try_ip(&["netns", "add", &network.router()]) {
            skip(&format!("no network namespace can be made: {refused}"));
            return None;
        }
        for node in &network.nodes {
            network.connect(*node);
        }
        Some(network)
    }

    /// Runs a test where the router is: whatever it dials or starts has that network.
    pub fn run<T: Send>(&self, test: impl AsyncFnOnce() -> T + Send) -> T {
        let namespace = Path::new("/run/netns").join(self.router());
        let enter = move || {
            let namespace = File::open(&namespace).expect("the router's namespace");
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter it");
        };
        let inside = || {
            enter();
            fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("the router's own setting");
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.enable_all().on_thread_start(enter.clone()).build().expect("a runtime");
            runtime.block_on(test())
        };
        // A thread of its own, which need not find its way back.
        let outcome = std::thread::scope(|scope| scope.spawn(inside).join());
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Nothing comes through any more from one node to another.
    pub fn cut(&self, from: u64, to: u64) {
        if self.cuts().insert((from, to)) {
            self.rule("add", from, to);
        }
    }

    /// Everything comes through again.
    pub fn heal(&self) {
        for (from, to) in std::mem::take(&mut *self.cuts()) {
            self.rule("del", from, to);
        }
    }

    pub(super) fn home(&self, node: u64) -> Home {
        let address = address(node);
        let [peer, api, control] = [4283, 4285, 4288].map(|port| format!("{address}:{port}"));
        Home { peer, api, control, namespace: Some(self.namespace(node)) }
    }

    pub(super) fn router(&self) -> String {
        format!("{}-router", self.name)
    }

    pub(super) fn namespace(&self, node: u64) -> String {
        format!("{}-node-{node}", self.name)
    }

    /// Makes a node's namespace, and its cable to the router.
    fn connect(&self, node: u64) {
        let (router, namespace, cable) = (self.router(), self.namespace(node), format!("node-{node}"));
        let (near, far) = (format!("10.0.{node}.1"), format!("{}/24", address(node)));
        ip(&["netns", "add", &namespace]);
        ip(&["-n", &router, "link", "add", &cable, "type", "veth", "peer", "name", "router", "netns", &namespace]);
        ip(&["-n", &router, "address", "add", &format!("{near}/24"), "dev", &cable]);
        ip(&["-n", &router, "link", "set", &cable, "up"]);
        ip(&["-n", &namespace, "address", "add", &far, "dev", "router"]);
        ip(&["-n", &namespace, "link", "set", "lo", "up"]);
        ip(&["-n", &namespace, "link", "set", "router", "up"]);
        ip(&["-n", &namespace, "route", "add", "default", "via", &near]);
    }

    fn rule(&self, change: &str, from: u64, to: u64) {
        ip(&["-n", &self.router(), "rule", change, "from", &address(from), "to", &address(to), "blackhole"]);
    }

    fn cuts(&self) -> std::sync::MutexGuard<'_, BTreeSet<(u64, u64)>> {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The cables go with their ends. What a failed test has not made is not there to be removed.
        for namespace in self.nodes.iter().map(|node| self.namespace(*node)).chain([self.router()]) {
            if let Err(refused) = try_ip(&["netns", "del", &namespace]) {
                eprintln!("{namespace} is not removed: {refused}");
            }
        }
    }
}

impl Fleet {
    /// A cluster of a voting node in each namespace, and one site.
    pub async fn across(network: &Network) -> Self {
        let (first, others) = network.nodes.split_first().expect("a network of some nodes");
        let mut fleet = Self::of_one_at(network.home(*first)).await;
        for node in others {
            let joined = fleet.join_at(network.home(*node), &format!("authority-{node}"), &fleet.invite(INVITATION));
            assert_eq!(fleet.take_in(joined.expect("the machine joins")), *node);
        }
        fleet.until_voting(&network.nodes).await;
        fleet.client().post("sites", &site("Bern"), Change::default()).await.expect("a site");
        fleet
    }
}

pub(super) fn address(node: u64) -> String {
    format!("10.0.{node}.2")
}

pub(super) fn ip(words: &[&str]) {
    try_ip(words).unwrap_or_else(|refused| panic!("ip {}: {refused}", words.join(" ")));
}

fn try_ip(words: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(words).output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}
