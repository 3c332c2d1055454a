//! Storage servers of a fleet: each a machine on ports of its own, with a disk for a store point.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use bursar_wire::{
    Secret,
    alerts::Alert,
    client::Change,
    operations::{Operation, OperationStatus},
    page::Page,
    query::{ListQuery, ReadQuery},
    servers::{AddServer, Server, ServerCondition},
    store_points::{CreateStorePoint, StorePoint},
};

use super::{BURSAR, Fleet, free_addresses, until};

/// A storage server with a store point. Its process ends with it.
pub struct StorageServer {
    pub id: u64,
    pub name: String,
    dir: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl StorageServer {
    /// Makes one, has it taken into the fleet's first destination, and gives it a store point. Returns once both are online.
    pub async fn join(fleet: &Fleet, name: &str) -> Self {
        let (dir, disk) = (fleet.folder().join(name), fleet.folder().join(format!("{name}.disk")));
        fs::create_dir(&disk).expect("a disk");
        let string = init(fleet, name, &dir);
        let mut server = Self { id: 0, name: name.into(), log: dir.join("server.log"), dir, child: None };
        server.start();
        let client = fleet.client();
        let adding = AddServer { connection_string: Secret::new(string), name: None };
        let added = client.post("destinations/1/servers", &adding, Change::default()).await.expect("it is added");
        let operation: Operation = added.json().expect("an operation");
        until("the server joins", async || {
            let path = format!("operations/{}", operation.id);
            let now: Operation = client.get(&path, &ReadQuery::default()).await.ok()?.json().ok()?;
            assert!(now.status != OperationStatus::Failed, "{now:?}");
            (now.status == OperationStatus::Succeeded).then_some(())
        })
        .await;
        let page = client.get("servers", &ListQuery::default()).await.expect("the servers");
        let servers = page.json::<Page<Server>>().expect("a page of servers").items;
        server.id = servers.iter().find(|server| server.name == name).expect("it was added").id;
        let path = disk.display().to_string();
        let making = CreateStorePoint { name: format!("{name}'s"), path, notes: String::new(), quota_bytes: None };
        let of_server = format!("servers/{}/store-points", server.id);
        let made = client.post(&of_server, &making, Change::default()).await.expect("a store point");
        let made: StorePoint = made.json().expect("a store point");
        until("the store point is online", async || {
            let path = format!("store-points/{}", made.id);
            let now = client.get(&path, &ReadQuery::default()).await.ok()?.json::<serde_json::Value>().ok()?;
            (now["condition"]["state"] == "online").then_some(())
        })
        .await;
        server
    }

    /// Starts its process.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} was ended before", self.name);
        let log = OpenOptions::new().append(true).create(true).open(&self.log).expect("the log file");
        let child = Command::new(BURSAR)
            .args(["storage-server", "run", "--dir"])
            .arg(&self.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log file"))
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("the program starts"));
    }

    /// Ends its process without warning.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("a child can be killed");
            child.wait().expect("a child can be waited for");
        }
    }

    /// Waits until the ledger has it in this condition.
    pub async fn until_it_is(&self, fleet: &Fleet, condition: ServerCondition) {
        let client = fleet.client();
        let path = format!("servers/{}", self.id);
        until(&format!("{} is {condition:?}", self.name), async || {
            let server: Server = client.get(&path, &ReadQuery::default()).await.ok()?.json().ok()?;
            (server.condition == condition).then_some(())
        })
        .await;
    }
}

impl Drop for StorageServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the log of storage server {}\n{}", self.name, fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// The alerts in the overview: an alert that ever fired is there until somebody takes note of it.
pub async fn open_alerts(fleet: &Fleet) -> Vec<Alert> {
    let page = fleet.client().get("alerts", &ListQuery::default()).await.expect("the alerts");
    page.json::<Page<Alert>>().expect("a page of alerts").items
}

/// Makes a storage server on free ports; its connection string.
fn init(fleet: &Fleet, name: &str, dir: &Path) -> String {
    let [peer, transfer, control] = free_addresses(fleet.folder());
    let made = Command::new(BURSAR)
        .args(["storage-server", "init", "--name", name, "--primary-address", &control, "--listen-control", &control])
        .args(["--listen-peer", &peer, "--listen-transfer", &transfer, "--license-key-file"])
        .arg(fleet.node(1).dir.join("license.key"))
        .arg("--dir")
        .arg(dir)
        .output()
        .expect("the program starts");
    assert!(made.status.success(), "{}", super::errors_of(&made));
    String::from_utf8(made.stdout).expect("a connection string is text").trim_end().to_owned()
}
