//! Storage servers of a fleet: each a machine on ports of its own, with a disk for a store point.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use bursar_wire::{
    Secret,
    alerts::Alert,
    client::{Change, ClientError, Failure},
    operations::{Operation, OperationStatus},
    query::{ListQuery, ReadQuery},
    servers::{AddServer, Server, ServerCondition, ServerDetails, ServerObserved},
    store_points::{CreateStorePoint, StorePoint, StorePointCondition, StorePointDetails},
};

use super::{BURSAR, Fleet, free_addresses, site, until};

/// A storage server, or a machine that is to become one. Its process ends with it.
pub struct StorageServer {
    pub id: u64,
    pub name: String,
    pub dir: PathBuf,
    /// The connection string that it printed when it was made.
    pub string: String,
    log: PathBuf,
    child: Option<Child>,
}

impl StorageServer {
    /// Makes one, has it taken into the fleet's first destination, and gives it a store point. Returns once both are online.
    pub async fn join(fleet: &Fleet, name: &str) -> Self {
        let server = Self::joined(fleet, name).await;
        server.give_store_point(fleet, &format!("{name}'s"), &server.disk()).await;
        server
    }

    /// Makes one, and has it taken into the fleet's first destination.
    pub async fn joined(fleet: &Fleet, name: &str) -> Self {
        let mut server = Self::made(fleet, name);
        server.start();
        server.is_taken_in(fleet).await;
        server
    }

    /// Makes one on free ports, with the fleet's license key.
    pub fn made(fleet: &Fleet, name: &str) -> Self {
        Self::made_with(fleet, name, &fleet.node(1).dir.join("license.key"), &[])
    }

    /// The same with a license key of its own. It is reached at these addresses and behind them at the one where it is; at most
    /// one of them is given.
    pub fn made_with(fleet: &Fleet, name: &str, license: &Path, elsewhere: &[&str]) -> Self {
        let dir = fleet.folder().join(name);
        let [peer, transfer, control] = free_addresses(fleet.folder());
        let mut addresses = elsewhere.iter().copied().chain([control.as_str()]);
        let mut command = Command::new(BURSAR);
        command.args(["storage-server", "init", "--name", name, "--listen-control", &control]);
        command.args(["--listen-peer", &peer, "--listen-transfer", &transfer, "--license-key-file"]).arg(license);
        for flag in ["--primary-address", "--secondary-address"] {
            if let Some(address) = addresses.next() {
                command.args([flag, address]);
            }
        }
        let made = command.arg("--dir").arg(&dir).output().expect("the program starts");
        assert!(made.status.success(), "{}", super::errors_of(&made));
        let string = String::from_utf8(made.stdout).expect("a connection string is text").trim_end().to_owned();
        Self { id: 0, name: name.into(), log: fleet.folder().join(format!("{name}.log")), dir, string, child: None }
    }

    /// Where its first disk is, made where it is missing.
    pub fn disk(&self) -> PathBuf {
        let disk = self.dir.with_extension("disk");
        fs::create_dir_all(&disk).expect("a disk");
        disk
    }

    /// Has it taken into the fleet's first destination by its connection string. Returns once it has joined.
    pub async fn is_taken_in(&mut self, fleet: &Fleet) {
        let adding = AddServer { connection_string: Secret::new(self.string.clone()), name: None };
        let added = fleet.client().post("destinations/1/servers", &adding, Change::default()).await.expect("it is added");
        let operation: Operation = added.json().expect("an operation");
        self.id = operation.task.object.id;
        succeeded(fleet, operation.id).await;
    }

    /// Gives it a store point at a path; its number, once it is online.
    pub async fn give_store_point(&self, fleet: &Fleet, name: &str, path: &Path) -> u64 {
        let id = self.is_asked_for_store_point(fleet, name, path).await;
        until_store_point(fleet, id, &StorePointCondition::Online).await;
        id
    }

    /// Has a store point wanted of it at a path; its number.
    pub async fn is_asked_for_store_point(&self, fleet: &Fleet, name: &str, path: &Path) -> u64 {
        let making = CreateStorePoint { name: name.into(), path: path.display().to_string(), ..CreateStorePoint::default() };
        let of_server = format!("servers/{}/store-points", self.id);
        let made = fleet.client().post(&of_server, &making, Change::default()).await.expect("a store point");
        made.json::<StorePoint>().expect("a store point").id
    }

    /// Starts its process.
    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// Starts its process in an environment.
    pub fn start_with(&mut self, environment: &[(&str, &str)]) {
        assert!(self.child.is_none(), "{} was ended before", self.name);
        let log = OpenOptions::new().append(true).create(true).open(&self.log).expect("the log file");
        let child = Command::new(BURSAR)
            .args(["storage-server", "run", "--dir"])
            .arg(&self.dir)
            .envs(environment.iter().copied())
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

    /// Waits until it waits for the authority.
    pub async fn waits(&self) {
        until("it waits for the authority", async || self.said().contains("waits for the authority").then_some(())).await;
    }

    /// Waits until its process has ended by itself; its exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        let child = self.child.as_mut().expect("its process was started");
        let status = until("the server ends", async || child.try_wait().expect("a child can be asked")).await;
        self.child = None;
        status.code()
    }

    /// Everything that it has logged.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What the leader observes of it, as soon as it has heard of it.
    pub async fn observed(&self, fleet: &Fleet) -> ServerObserved {
        let path = format!("servers/{}", self.id);
        until(&format!("{} is heard", self.name), async || {
            let details: ServerDetails = fleet.client().get(&path, &ReadQuery::default()).await.ok()?.json().ok()?;
            details.observed
        })
        .await
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
            eprintln!("--- the log of storage server {}\n{}", self.name, self.said());
        }
    }
}

impl Fleet {
    /// One authority node, with a destination for storage servers.
    pub async fn for_storage() -> Self {
        let fleet = Self::of_one().await;
        fleet.has_destination().await;
        fleet
    }

    /// Makes its first site and its first destination.
    pub async fn has_destination(&self) {
        let client = self.client();
        client.post("sites", &site("here"), Change::default()).await.expect("a site");
        let destination = serde_json::json!({ "name": "vault", "site": 1 });
        client.post("destinations", &destination, Change::default()).await.expect("a destination");
    }

    /// Has silence of servers found sooner, from the next start of a node on.
    pub fn miss_servers_after(&self, id: u64, window_ms: u64) {
        let file = self.node(id).dir.join("bursar.toml");
        let settings = fs::read_to_string(&file).expect("the settings");
        let line = settings.lines().find(|line| line.starts_with("detection_window_ms")).expect("the settings name all");
        fs::write(&file, settings.replace(line, &format!("detection_window_ms = {window_ms}"))).expect("the settings");
    }
}

/// Waits until an operation has succeeded.
pub async fn succeeded(fleet: &Fleet, operation: u64) {
    let path = format!("operations/{operation}");
    until("the operation succeeds", async || {
        let now: Operation = fleet.client().get(&path, &ReadQuery::default()).await.ok()?.json().ok()?;
        assert!(matches!(now.status, OperationStatus::Running | OperationStatus::Succeeded), "{now:?}");
        (now.status == OperationStatus::Succeeded).then_some(())
    })
    .await;
}

/// A store point, with what is observed of it.
pub async fn store_point(fleet: &Fleet, id: u64) -> Option<StorePointDetails> {
    fleet.client().get(&format!("store-points/{id}"), &ReadQuery::default()).await.ok()?.json().ok()
}

/// Waits until the ledger has a store point in this condition.
pub async fn until_store_point(fleet: &Fleet, id: u64, condition: &StorePointCondition) {
    until(&format!("store point {id} is {condition:?}"), async || {
        (store_point(fleet, id).await?.store_point.condition == *condition).then_some(())
    })
    .await;
}

/// Waits until a store point is offline, for this reason.
pub async fn until_offline(fleet: &Fleet, id: u64, wanted: &str) {
    until(&format!("store point {id} is offline: {wanted}"), async || {
        match store_point(fleet, id).await?.store_point.condition {
            StorePointCondition::Offline { reason, .. } => (reason == wanted).then_some(()),
            _ => None,
        }
    })
    .await;
}

/// The alerts in the overview: an alert that ever fired is there until somebody takes note of it.
pub async fn open_alerts(fleet: &Fleet) -> Vec<Alert> {
    alerts(fleet, None).await
}

/// The alerts that meet a condition.
pub async fn alerts(fleet: &Fleet, filter: Option<&str>) -> Vec<Alert> {
    let query = ListQuery { filter: filter.map(str::to_owned), ..ListQuery::default() };
    fleet.client().page("alerts", &query).await.expect("the alerts").items
}

/// Of a request that must be refused: the status and the code.
pub fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (u16, String) {
    match answer {
        Err(ClientError::Problem { problem, .. }) => (problem.status, problem.code),
        Err(ClientError::Unreachable { failures }) => match failures.into_iter().next().map(|node| node.failure) {
            Some(Failure::Refused(problem)) => (problem.status, problem.code),
            other => panic!("it should be refused: {other:?}"),
        },
        other => panic!("it should be refused: {other:?}"),
    }
}
