//! What the pages for operators tell, done as they tell it: storage is added, goes offline, comes back, and gets another machine.

mod support;

use std::fs;

use support::{
    Fleet,
    ended::doctor,
    free_addresses,
    pages::fences,
    shell::{Background, Shell},
    until,
};
use tokio::time::Instant;

const ADD_STORAGE: &str = include_str!("../docs/operations/add-storage.md");
const STORE_POINT_OFFLINE: &str = include_str!("../docs/operations/store-point-offline.md");
const REPLACE_A_STORAGE_SERVER: &str = include_str!("../docs/operations/replace-a-storage-server.md");
/// Where the pages have a storage server keep its data.
const DATA: &str = "/var/lib/bursar-storage";
/// Where the pages have a disk mounted.
const DISK: &str = "/mnt/disk-1";
/// How soon a machine is online that was taken in, in seconds.
const ONLINE_WITHIN_S: u64 = 10;

/// An operator with a cluster and a machine, and then another one. All is on this one: folders stand for the places where a machine
/// keeps things, a folder that is moved away for a disk that is not mounted.
struct Operator {
    fleet: Fleet,
    shell: Shell,
    /// How the pages call the machine that is worked on.
    machine: &'static str,
    /// Its ports: for reachability, for archives, for the authority.
    ports: [String; 3],
    server: Option<Background>,
    /// What each command printed, in order.
    told: Vec<(String, String)>,
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_is_added_goes_offline_comes_back_and_gets_another_machine_as_the_pages_tell() {
    let mut operator = Operator::new();
    operator.follow(ADD_STORAGE).await;
    assert!(operator.told_by("bursar server inspect").contains("Nothing stands in the way of adding it."));
    assert!(operator.told_by("bursar server list").contains("online"));
    let made = operator.disk().join("CrashPlanArchive_m1x1");
    until("the store point's directory is made", async || made.is_dir().then_some(())).await;
    operator.until_prints("bursar store-point list", "yes").await;

    operator.unmount();
    operator.until_prints("bursar alert list", "Store point is unavailable: Disk 1").await;
    assert!(operator.prints("bursar store-point list").contains("its directory is missing"));
    assert!(!made.exists(), "what is missing is never made again");
    let examined = doctor(&operator.fleet.folder().join("store-1"));
    let [complaint] = examined.complaints()[..] else { panic!("the disk is missing, and nothing else: {examined:?}") };
    assert!(complaint.detail.contains(&format!("{} is missing", made.display())), "{complaint:?}");
    operator.follow(STORE_POINT_OFFLINE).await;
    let server = operator.told_by("bursar server show");
    assert!(server.contains("online") && server.contains("offline: its directory is missing"), "{server}");
    let alert = operator.told_by("bursar alert show");
    for told in ["its directory is missing", "server 1 “store-1”", &made.display().to_string()] {
        assert!(alert.contains(told), "{told}: {alert}");
    }
    let examined = operator.told_by("bursar doctor");
    assert!(examined.contains("“Disk 1”") && examined.ends_with("is healthy.\n"), "{examined}");

    // The first look of the last section is at the overview, the second at the history.
    let lists: Vec<_> = operator.told.iter().filter(|(command, _)| command.starts_with("bursar alert list")).collect();
    let [.., (_, overview), (_, history)] = lists.as_slice() else { panic!("the page looks at the alerts: {lists:?}") };
    assert!(!overview.contains("Disk 1"), "{overview}");
    assert!(history.contains("Store point is unavailable: Disk 1") && history.contains("resolved"), "{history}");
    let alert = operator.prints("bursar alert show 1");
    assert!(alert.contains("the cable was loose") && alert.contains("token 1 “"), "who took note, and of what: {alert}");

    let first = operator.fleet.folder().join("store-1");
    operator.machine_breaks();
    operator.until_prints("bursar server list", "offline").await;
    operator.has_another_machine("store-2");
    operator.follow(REPLACE_A_STORAGE_SERVER).await;
    let server = operator.told_by("bursar server show");
    assert!(server.contains("online") && server.contains(&operator.ports[2]), "it is the other machine: {server}");
    operator.until_prints("bursar store-point list", "yes").await;
    assert!(made.is_dir(), "the archives are where they were");
    let examined = doctor(&first);
    let [complaint] = examined.complaints()[..] else { panic!("it is none of the fleet's any more, nothing else: {examined:?}") };
    assert!(complaint.detail.contains("its place given to another machine") && complaint.what == "authority", "{complaint:?}");
}

impl Operator {
    fn new() -> Self {
        let fleet = Fleet::start();
        let mut shell = Shell::in_folder(fleet.folder());
        let urls: Vec<_> = fleet.ids().into_iter().map(|id| fleet.node(id).api.clone()).collect();
        shell.export(&format!("export BURSAR_URL={}", urls.join(",")));
        shell.export(&format!("export BURSAR_TOKEN_FILE={}", fleet.folder().join("demo/token").display()));
        let license = fleet.node(1).dir.join("license.key");
        fs::copy(license, fleet.folder().join("license.key")).expect("the node that founded the cluster has the license key");
        fs::create_dir(fleet.folder().join("disk-1")).expect("a disk");
        let ports = free_addresses(fleet.folder());
        Self { fleet, shell, machine: "store-1", ports, server: None, told: Vec::new() }
    }

    /// Its server is killed, and its disk taken out.
    fn machine_breaks(&mut self) {
        self.server = None;
        self.unmount();
    }

    fn has_another_machine(&mut self, name: &'static str) {
        (self.machine, self.ports) = (name, free_addresses(self.fleet.folder()));
    }

    /// Types what a page says.
    async fn follow(&mut self, page: &str) {
        let fences = fences(page);
        assert!(!fences.is_empty(), "the page has commands");
        for (info, block) in fences {
            assert_eq!(info, "sh", "are these commands to be run?\n{block}");
            for line in block.lines() {
                self.type_in(line).await;
            }
        }
    }

    /// Runs a command: to its end, or where it goes on, until it says that it does.
    async fn type_in(&mut self, line: &str) {
        if line == format!("mount {DISK}") {
            self.mount();
            if self.server.is_some() {
                self.until_prints("bursar store-point list", "yes").await;
            }
            return;
        }
        let began = Instant::now();
        if line.starts_with("bursar storage-server run ") {
            let mut server = self.shell.start(&self.here(line), &format!("{}.log", self.machine));
            until("the server waits", async || {
                server.expect_running();
                server.said().contains("waits for the authority").then_some(())
            })
            .await;
            self.server = Some(server);
            return;
        }
        let told = self.prints(line);
        if line.starts_with("bursar server add ") {
            assert!(began.elapsed().as_secs() < ONLINE_WITHIN_S, "online after {:?}", began.elapsed());
        }
        self.told.push((line.to_owned(), told));
    }

    fn prints(&self, line: &str) -> String {
        let line = self.here(line);
        let told = self.shell.prints(&line);
        println!("$ {line}\n{told}");
        told
    }

    async fn until_prints(&self, line: &str, text: &str) {
        until(&format!("`{line}` shows `{text}`"), async || self.shell.prints(&self.here(line)).contains(text).then_some(()))
            .await;
    }

    /// A command with this operator's places and addresses.
    fn here(&self, line: &str) -> String {
        let folder = self.fleet.folder();
        let [peer, transfer, control] = &self.ports;
        // Ports that a page leaves to custom are customary on a machine of its own alone.
        let address = format!("{control} --listen-control {control} --listen-peer {peer} --listen-transfer {transfer}");
        let line = line.replace(DATA, &folder.join(self.machine).display().to_string());
        // Under this address the pages have the machine reached.
        let line = line.replace(&format!("{}.example:4288", self.machine), &address);
        let line = line.replace(DISK, &self.disk().display().to_string());
        assert!(!line.contains(".example"), "it names a machine that there is not: {line}");
        line
    }

    /// What the last command that begins so has printed.
    fn told_by(&self, command: &str) -> &str {
        let told = self.told.iter().rev().find(|(line, _)| line.starts_with(command));
        &told.unwrap_or_else(|| panic!("the pages have no `{command}`")).1
    }

    fn disk(&self) -> std::path::PathBuf {
        self.fleet.folder().join("disk-1")
    }

    /// The mount point stays, what was on the disk is away.
    fn unmount(&self) {
        fs::rename(self.disk(), self.fleet.folder().join("disk-1.away")).expect("the disk is taken away");
        fs::create_dir(self.disk()).expect("the mount point");
    }

    fn mount(&self) {
        fs::remove_dir(self.disk()).expect("nothing was written to the mount point");
        fs::rename(self.fleet.folder().join("disk-1.away"), self.disk()).expect("the disk is put back");
    }
}
