//! What befalls the disks of store points, with real file systems: each is told as it is, nothing is written to what is somebody
//! else's, and nothing is made twice.

mod support;

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use bursar_wire::{
    alerts::{AcknowledgeAlerts, Acknowledged, Alert, AlertCondition, AlertSeverity},
    client::Change,
    store_points::StorePointCondition,
};
use support::{
    Fleet,
    disk::{EventKind, Fault, Shim, Watched, copy_folder},
    ended::doctor,
    mounts::{self, Mount},
    storage::{StorageServer, alerts, open_alerts, store_point, until_offline, until_store_point},
    until,
};
use tokio::time::timeout;

/// Within which time a check that failed is told: the next check is 5 seconds later, and says something else.
const TOLD_WITHIN: Duration = Duration::from_secs(10);
/// How often a check fails until one is told.
const FAILURES_MAX: usize = 5;

/// A disk of its own for a store point.
struct Disk {
    path: PathBuf,
    mount: Option<Mount>,
    store_point: u64,
}

impl Disk {
    /// Mounts a small disk, and has a store point made on it.
    async fn with_store_point(fleet: &Fleet, server: &StorageServer, name: &str) -> Self {
        let path = fleet.folder().join("disks").join(name);
        let mount = Mount::disk(&path);
        let store_point = server.give_store_point(fleet, name, &path).await;
        Self { path, mount: Some(mount), store_point }
    }

    fn mount(&self) -> &Mount {
        self.mount.as_ref().expect("it is mounted")
    }

    /// The store point's directory.
    fn directory(&self, server: &StorageServer) -> PathBuf {
        self.path.join(format!("CrashPlanArchive_m{}x{}", server.id, self.store_point))
    }
}

/// What is in a folder, at any depth, and how long each file is.
fn contents(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let about = fs::symlink_metadata(&path).expect("an entry");
        found.push((path.clone(), about.len()));
        if about.is_dir() {
            found.extend(contents(&path));
        }
    }
    found.sort();
    found
}

/// Writes to a disk until it is full.
fn fill(disk: &Path) {
    let mut file = File::create(disk.join("ballast")).expect("a file");
    let full = loop {
        if let Err(error) = file.write_all(&[0; 4096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::StorageFull, "{full}");
}

/// Of which store points there are alerts, by their texts.
fn texts<'a>(alerts: impl IntoIterator<Item = &'a Alert>) -> Vec<&'a str> {
    let mut texts: Vec<_> = alerts.into_iter().map(|alert| alert.text.as_str()).collect();
    texts.sort_unstable();
    texts
}

/// Has one check of a store point fail, while the next goes well. Returns once the alert says so, which keeps its reason when it is
/// over. An authority that stands still from the one check to the next is told of the next alone: then another check fails.
async fn fails_for_a_moment(fleet: &Fleet, failing: &Watched, store_point: u64) {
    let is_it = |alert: &Alert| {
        let Alert { kind, subject, reason, .. } = alert;
        (kind.as_str(), subject.id, reason.as_str()) == ("store_point_offline", store_point, "io_failing")
    };
    for _ in 0..FAILURES_MAX {
        failing.arm(0);
        let told = until("the alert says io_failing", async || open_alerts(fleet).await.iter().any(is_it).then_some(()));
        if timeout(TOLD_WITHIN, told).await.is_ok() {
            // It may have been told of the former failure.
            failing.disarm();
            return;
        }
    }
    panic!("{FAILURES_MAX} checks of store point {store_point} failed, and no alert says so");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_misfortune_of_a_disk_is_told_as_it_is_and_ends_in_the_history() {
    let Some(shim) = Shim::build() else { return };
    if !mounts::are_possible() {
        return;
    }
    let fleet = Fleet::for_storage().await;
    let disks = fleet.folder().join("disks");
    fs::create_dir(&disks).expect("a folder");
    let mut server = StorageServer::made(&fleet, "store-1");
    let failing_sync =
        shim.watch_folder(&disks, &fleet.folder().join("failing")).failing(Fault::SyncFails, "/failing/CrashPlanArchive");
    server.start_with(&failing_sync.environment());
    server.is_taken_in(&fleet).await;
    let make = async |name| Disk::with_store_point(&fleet, &server, name).await;
    let (mut unmounted, exchanged, foreign) = (make("unmounted").await, make("exchanged").await, make("foreign").await);
    let (read_only, failing, full, moved) =
        (make("read-only").await, make("failing").await, make("full").await, make("moved").await);
    assert_eq!(open_alerts(&fleet).await, []);

    drop(unmounted.mount.take());
    // Of the same name, and another's: a copy of another store point, and a folder with somebody's files.
    let another = Mount::disk(&exchanged.path);
    copy_folder(&moved.directory(&server), &exchanged.directory(&server));
    let files = fleet.folder().join("somebody's");
    fs::create_dir(&files).expect("a folder");
    fs::write(files.join("letter"), "mine").expect("a file");
    let bound = Mount::bound(&files, &foreign.directory(&server));
    read_only.mount().make_read_only();
    fill(&full.path);
    let away = moved.path.join("away");
    fs::rename(moved.directory(&server), &away).expect("the directory is moved");
    let others = [contents(&exchanged.path), contents(&files)];

    fails_for_a_moment(&fleet, &failing_sync, failing.store_point).await;
    until_offline(&fleet, unmounted.store_point, "missing").await;
    until_offline(&fleet, exchanged.store_point, "foreign_identity").await;
    until_offline(&fleet, foreign.store_point, "foreign_identity").await;
    until_offline(&fleet, read_only.store_point, "read_only").await;
    until_offline(&fleet, moved.store_point, "missing").await;
    let examined = doctor(&server.dir);
    for (disk, told) in [
        (&unmounted, "is missing"),
        (&moved, "is missing"),
        (&exchanged, "bears another identity, or none"),
        (&foreign, "bears another identity, or none"),
    ] {
        let directory = disk.directory(&server).display().to_string();
        let complaint = examined.complaints().into_iter().find(|complaint| complaint.detail.contains(&directory));
        assert!(complaint.is_some_and(|complaint| complaint.detail.contains(told)), "{directory}: {examined:?}");
    }
    // Restores go on from a full disk.
    until("the full disk is looked at", async || {
        let observed = store_point(&fleet, full.store_point).await?.observed?;
        (observed.free_bytes == 0).then_some(())
    })
    .await;
    until_store_point(&fleet, full.store_point, &StorePointCondition::Online).await;
    let raised = open_alerts(&fleet).await;
    let unavailable = |names: &[&str]| names.iter().map(|name| format!("Store point is unavailable: {name}")).collect::<Vec<_>>();
    let names = ["exchanged", "failing", "foreign", "moved", "read-only", "unmounted"];
    assert_eq!(texts(&raised), unavailable(&names));
    assert!(raised.iter().all(|alert| alert.severity == AlertSeverity::Critical && alert.inhibited_by.is_none()), "{raised:#?}");

    // A server that starts finds the same, and touches none of it either.
    server.kill();
    server.start();
    until("it has looked at those that are online", async || {
        (server.observed(&fleet).await.store_points.len() == 2).then_some(())
    })
    .await;
    assert_eq!([contents(&exchanged.path), contents(&files)], others, "nothing is written to what is another's");
    assert_eq!(contents(&unmounted.path), [], "nothing is made where the disk is gone");
    assert!(!moved.directory(&server).exists(), "what was made once is never made again");

    drop((another, bound));
    unmounted.mount = Some(Mount::disk(&unmounted.path));
    read_only.mount().make_writable();
    fs::rename(&away, moved.directory(&server)).expect("the directory is put back");
    for disk in [&exchanged, &foreign, &read_only, &moved, &failing] {
        until_store_point(&fleet, disk.store_point, &StorePointCondition::Online).await;
    }
    // Another disk is there now, and it is empty.
    until_offline(&fleet, unmounted.store_point, "missing").await;
    assert_eq!(contents(&unmounted.path), []);
    acknowledged_and_kept(&fleet, &raised).await;
}

/// Takes note of several alerts at once, and of the rest by what they have in common.
async fn acknowledged_and_kept(fleet: &Fleet, raised: &[Alert]) {
    let id_of = |name: &str| raised.iter().find(|alert| alert.text.ends_with(name)).expect("it was raised").id;
    let over: Vec<u64> = ["exchanged", "foreign", "moved"].map(id_of).into();
    let acknowledge = async |meant: AcknowledgeAlerts| {
        let answer = fleet.client().post("alerts/acknowledge", &meant, Change::default()).await.expect("note is taken");
        answer.json::<Acknowledged>().expect("alerts").alerts
    };
    let ids =
        AcknowledgeAlerts { ids: Some(over.clone()), note: "the disks were mixed up".into(), ..AcknowledgeAlerts::default() };
    assert_eq!(acknowledge(ids).await.len(), 3);
    let still_open = ["failing", "read-only", "unmounted"];
    let overview = open_alerts(fleet).await;
    assert_eq!(texts(&overview), still_open.map(|name| format!("Store point is unavailable: {name}")));
    let history = alerts(fleet, Some("open=false")).await;
    assert_eq!(history.len(), 3);
    for alert in &history {
        let noted = alert.acknowledgement.as_ref().expect("somebody took note of it");
        assert!(over.contains(&alert.id) && matches!(alert.condition, AlertCondition::Resolved { .. }), "{alert:#?}");
        assert_eq!((noted.by.kind.as_str(), noted.note.as_str()), ("token", "the disks were mixed up"));
        assert!(noted.at.ends_with('Z'), "when: {}", noted.at);
    }

    // All that is open: what still fires stays, marked.
    acknowledge(AcknowledgeAlerts { filter: Some(String::new()), ..AcknowledgeAlerts::default() }).await;
    let overview = open_alerts(fleet).await;
    assert_eq!(texts(&overview), ["Store point is unavailable: unmounted"]);
    assert!(overview[0].acknowledgement.is_some(), "{overview:#?}");
    assert_eq!(alerts(fleet, Some("open=false")).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_vanishes_while_its_server_is_dead_is_not_made_again_though_nobody_knew_of_it() {
    let Some(shim) = Shim::build() else { return };
    let fleet = Fleet::for_storage().await;
    let mut server = StorageServer::made(&fleet, "store-1");
    let disk = server.disk();
    // It dies in its first check: the directory has its name, and the authority does not know.
    let watched = shim.watch_folder(&disk, &fleet.folder().join("deadly")).dying_in(EventKind::Write, "CrashPlanArchive_m1x1/");
    server.start_with(&watched.environment());
    server.is_taken_in(&fleet).await;
    watched.arm(0);
    let id = server.is_asked_for_store_point(&fleet, "shelf", &disk).await;
    assert_eq!(server.ended().await, None, "it was killed");
    assert!(watched.death().is_some_and(|death| death.path.ends_with("CrashPlanArchive_m1x1/.bursar-trial")));
    assert_eq!(store_point(&fleet, id).await.expect("a store point").store_point.condition, StorePointCondition::Creating);
    let (directory, away) = (disk.join("CrashPlanArchive_m1x1"), disk.join("away"));
    fs::rename(&directory, &away).expect("the directory was made");

    server.start();
    until_offline(&fleet, id, "missing").await;
    assert!(!directory.exists(), "it was made once");
    assert_eq!(texts(&open_alerts(&fleet).await), ["Store point is unavailable: shelf"]);
    fs::rename(&away, &directory).expect("the directory is put back");
    until_store_point(&fleet, id, &StorePointCondition::Online).await;
}
