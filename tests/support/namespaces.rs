//! Machines of a fleet, each in a network of its own, and a firewall between them: the router lets some ports through, and drops
//! what goes to any other. It is made of rules of the router, as a cut is ([`super::network`]), so it needs `ip` alone.

use std::{
    fs::{self, OpenOptions},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use bursar_wire::{
    Secret,
    client::{Change, Client},
    operations::{Operation, OperationStatus},
    query::ReadQuery,
    servers::{AddServer, InspectServer, Inspection, Reachability, Server},
    store_points::{CreateStorePoint, StorePoint},
};
use serde_json::json;

use super::{
    BURSAR, Fleet, errors_of,
    network::{Network, address, ip},
    program_in, site, until,
};

/// The ports between servers: among authority nodes, of archives, of the authority's conversation with servers.
pub const PORTS: [u16; 3] = [4283, 4286, 4288];
/// The destination that all servers are of.
pub const DESTINATION: u64 = 1;

/// Rules of the router that come before the one by which everything is dropped, and before those that let something through.
const LET_THROUGH: &str = "200";
const DROP: &str = "300";
const BLOCK: &str = "100";

/// That nothing comes through from one node to a port of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocked {
    pub from: u64,
    pub to: u64,
    pub port: u16,
}

impl Network {
    /// Between nodes nothing comes through but TCP to [`PORTS`], and the answers.
    pub fn let_through_three_ports(&self) {
        let router = self.router();
        for (port, end) in PORTS.into_iter().flat_map(|port| ["dport", "sport"].map(|end| (port.to_string(), end))) {
            ip(&["-n", &router, "rule", "add", "pref", LET_THROUGH, "ipproto", "tcp", end, &port, "lookup", "main"]);
        }
        for (from, to) in self.nodes.iter().flat_map(|from| self.nodes.iter().map(move |to| (from, to))) {
            if from != to {
                ip(&["-n", &router, "rule", "add", "pref", DROP, "from", &address(*from), "to", &address(*to), "blackhole"]);
            }
        }
    }

    /// Nothing comes through any more to that port.
    pub fn block(&self, blocked: Blocked) {
        self.block_rule("add", blocked);
    }

    /// It comes through again.
    pub fn unblock(&self, blocked: Blocked) {
        self.block_rule("del", blocked);
    }

    /// Whether a TCP connection from one node to a port of another comes about within two seconds.
    pub fn connects(&self, from: u64, to: u64, port: u16) -> bool {
        let open = format!("exec 3<>/dev/tcp/{}/{port}", address(to));
        let tried =
            Command::new("ip").args(["netns", "exec", &self.namespace(from), "timeout", "2", "bash", "-c", &open]).output();
        tried.expect("bash starts").status.success()
    }

    fn block_rule(&self, change: &str, Blocked { from, to, port }: Blocked) {
        let (from, to, port) = (address(from), address(to), port.to_string());
        let router = self.router();
        ip(&[
            "-n",
            &router,
            "rule",
            change,
            "pref",
            BLOCK,
            "from",
            &from,
            "to",
            &to,
            "ipproto",
            "tcp",
            "dport",
            &port,
            "blackhole",
        ]);
    }
}

/// A machine that keeps archives, or will, in the network of a node. Its process ends with it.
pub struct Machine {
    pub name: String,
    string: String,
    namespace: String,
    dir: PathBuf,
    child: Option<Child>,
}

impl Machine {
    /// Makes one on the customary ports, and starts it: it waits to be taken in.
    pub fn waits(network: &Network, node: u64, fleet: &Fleet) -> Self {
        let name = format!("store-{node}");
        let dir = fleet.folder().join(&name);
        let made = Command::new(BURSAR)
            .args(["storage-server", "init", "--name", &name, "--primary-address", &format!("{}:4288", address(node))])
            .arg("--license-key-file")
            .arg(fleet.node(1).dir.join("license.key"))
            .arg("--dir")
            .arg(&dir)
            .output()
            .expect("the program starts");
        assert!(made.status.success(), "{}", errors_of(&made));
        let string = String::from_utf8(made.stdout).expect("a connection string is text").trim_end().to_owned();
        let mut machine = Self { name, string, namespace: network.namespace(node), dir, child: None };
        machine.start();
        machine
    }

    /// What an inspection of it finds, once it is up.
    pub async fn inspected(&self, fleet: &Fleet) -> Inspection {
        let request =
            InspectServer { connection_string: Secret::new(self.string.clone()), destination: Some(DESTINATION), name: None };
        let found = fleet.client().post("servers/inspect", &request, Change::default()).await.expect("it is looked at");
        found.json().expect("an inspection")
    }

    /// Has it taken in; its number.
    pub async fn joins(&self, fleet: &Fleet) -> u64 {
        let client = fleet.client();
        let adding = AddServer { connection_string: Secret::new(self.string.clone()), name: None };
        let path = format!("destinations/{DESTINATION}/servers");
        let added = client.post(&path, &adding, Change::default()).await.expect("it is added");
        let operation: Operation = added.json().expect("an operation");
        let path = format!("operations/{}", operation.id);
        until("the server joins", async || {
            let now: Operation = client.get(&path, &ReadQuery::default()).await.ok()?.json().ok()?;
            assert!(now.status != OperationStatus::Failed, "{now:?}");
            (now.status == OperationStatus::Succeeded).then_some(())
        })
        .await;
        operation.task.object.id
    }

    /// Makes it a store point, and waits until it is online.
    pub async fn has_a_store_point(&self, fleet: &Fleet, server: u64) {
        let client = fleet.client();
        let disk = fleet.folder().join(format!("{}.disk", self.name));
        fs::create_dir(&disk).expect("a disk");
        let path = disk.display().to_string();
        let making = CreateStorePoint { name: "Disk 1".into(), path, notes: String::new(), quota_bytes: None };
        let made = client.post(&format!("servers/{server}/store-points"), &making, Change::default()).await;
        let made: StorePoint = made.expect("a store point").json().expect("a store point");
        until("the store point is online", async || {
            let now = client.get(&format!("store-points/{}", made.id), &ReadQuery::default()).await.ok()?;
            (now.json::<serde_json::Value>().ok()?["condition"]["state"] == "online").then_some(())
        })
        .await;
    }

    fn start(&mut self) {
        let log = OpenOptions::new().append(true).create(true).open(self.dir.join("server.log")).expect("the log file");
        let child = program_in(Some(&self.namespace))
            .args(["storage-server", "run", "--dir"])
            .arg(&self.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log file"))
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("the program starts"));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the log of {}\n{}", self.name, fs::read_to_string(self.dir.join("server.log")).unwrap_or_default());
        }
    }
}

impl Fleet {
    /// A cluster of one node in the first network, with a destination.
    pub async fn behind_a_firewall(network: &Network) -> Self {
        network.let_through_three_ports();
        let fleet = Self::of_one_at(network.home(1)).await;
        let client = fleet.client();
        client.post("sites", &site("Bern"), Change::default()).await.expect("a site");
        let destination = json!({ "name": "Main", "site": 1 });
        client.post("destinations", &destination, Change::default()).await.expect("a destination");
        fleet
    }
}

/// How a server is.
pub async fn server(client: &Client, server: u64) -> Option<Server> {
    client.get(&format!("servers/{server}"), &ReadQuery::default()).await.ok()?.json().ok()
}

/// Which ports pass between a server and its neighbours.
pub async fn matrix_of(client: &Client, server: u64) -> Option<Reachability> {
    client.get(&format!("servers/{server}/reachability"), &ReadQuery::default()).await.ok()?.json().ok()
}
