//! What a node makes of the files it finds: looser modes, newer formats, another node's stores or older ones, somebody else's
//! lock, a directory that is in use.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use bursar_domain::StoreId;
use bursar_storage::{
    engine::{Batch, Direction, Engine, KeyRange, Profile, RocksEngine, Space},
    envelope::{self, Kind},
};
use serde::Serialize;
use support::{
    Fleet,
    disk::copy_folder,
    durable::write,
    ended::{Diagnosis, bursar, doctor},
    errors_of,
    lone::found,
    members::Home,
    until,
};

const NODE: u64 = 1;
/// The files that nobody but their owner may read or write.
const PRIVATE_FILES: [&str; 5] = ["identity.toml", "node.key", "cluster.key", "node.crt", "ca.crt"];

/// A node with some data, stopped.
async fn stopped_node() -> Fleet {
    let mut fleet = Fleet::of_one().await;
    let client = fleet.client();
    for number in 0..5 {
        write(&client, format!("site {number}")).await;
    }
    fleet.kill(NODE);
    fleet.restart(NODE);
    fleet.ready(NODE).await;
    fleet.stop(NODE);
    fleet
}

/// What the program says when it refuses to run the node.
fn refusal(dir: &Path) -> String {
    let output = bursar(&["authority", "run", "--dir"], dir);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "the node ran: {said}");
    said.lines().rev().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("no error: {said}")).to_owned()
}

/// What the doctor complains about first.
fn complaint(dir: &Path) -> String {
    doctor(dir).complaints().first().expect("a complaint").detail.clone()
}

/// The contents of every file of a folder, but for the lock, which names who held it last.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut contents = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            contents.extend(self::contents(&path));
        } else if !path.ends_with("lock") {
            contents.insert(path.clone(), fs::read(&path).expect("a file"));
        }
    }
    contents
}

#[test]
fn a_place_where_no_node_can_be_made_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = Home::free(folder.path());
    fs::write(folder.path().join("file"), "").expect("a file");
    for (place, remedy) in [
        ("file", "something else is there already: move it away, or choose another path"),
        ("file/node", "/file: File exists (os error 17); something else is there already"),
        (&*"n".repeat(300), "choose a shorter path"),
    ] {
        let refused = found(&home, &folder.path().join(place), &[]);
        assert!(!refused.status.success() && errors_of(&refused).contains(remedy), "{}", errors_of(&refused));
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_with_what_to_do() {
    let fleet = stopped_node().await;
    let dir = &fleet.node(NODE).dir;
    let _taken = std::net::TcpListener::bind(&fleet.node(NODE).peer).expect("the node has ended");
    let said = refusal(dir);
    assert!(said.contains("Stop what uses the port, or choose another one in ") && said.ends_with("bursar.toml"), "{said}");
}

#[tokio::test]
async fn files_that_others_may_read_are_refused_with_the_command_that_mends_it() {
    let mut fleet = stopped_node().await;
    let dir = fleet.node(NODE).dir.clone();
    for file in PRIVATE_FILES {
        let path = dir.join(file);
        assert_eq!(fs::metadata(&path).expect(file).permissions().mode() & 0o777, 0o600, "{file} as it was made");
        for mode in [0o644, 0o640, 0o602] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect(file);
            let mend = format!("chmod 600 {}", path.display());
            let before = contents(&dir);
            let refused = refusal(&dir);
            assert!(contents(&dir) == before, "{file}: a refused start changed a file");
            let complained = complaint(&dir);
            println!("{file} at {mode:04o}: {refused}");
            assert!(refused.contains(&mend) && complained.contains(&mend), "{refused}; {complained}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect(file);
    }
    fleet.restart_anew(NODE, &[]);
    fleet.leader().await;
}

#[tokio::test]
async fn the_setup_secret_is_removed_once_it_was_used_also_by_a_later_start() {
    let mut fleet = Fleet::of_one().await;
    let file = fleet.node(NODE).dir.join("setup-secret");
    until("the setup secret is removed", async || (!file.exists()).then_some(())).await;
    // As where the node ended between the claim and the removal.
    fleet.stop(NODE);
    fs::write(&file, "left over").expect("the setup secret");
    fleet.restart_anew(NODE, &[]);
    until("the setup secret is removed", async || (!file.exists()).then_some(())).await;
}

#[tokio::test]
async fn an_identity_of_a_newer_format_is_refused_and_nothing_is_written() {
    let fleet = stopped_node().await;
    let dir = fleet.node(NODE).dir.clone();
    let file = dir.join("identity.toml");
    let identity = fs::read_to_string(&file).expect("the identity");
    assert!(identity.contains("format = 1\n"), "{identity}");
    // A newer program may keep more in it.
    fs::write(&file, identity.replace("format = 1\n", "format = 99\nmore = \"things\"\n")).expect("the identity");
    let before = contents(&dir);
    let refused = refusal(&dir);
    println!("{refused}");
    assert!(refused.contains(&file.display().to_string()) && refused.contains("99"), "{refused}");
    assert!(refused.contains("run the newer program"), "{refused}");
    assert!(contents(&dir) == before, "a refused start changed a file");
    // No format was ever older than the first.
    fs::write(&file, identity.replace("format = 1\n", "format = 0\n")).expect("the identity");
    let refused = refusal(&dir);
    assert!(refused.contains(&file.display().to_string()), "{refused}");
}

/// The modes of everything that a folder holds, and its own.
fn modes(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o7777;
    let mut modes = vec![(folder.to_owned(), mode(folder))];
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            modes.extend(self::modes(&path));
        } else {
            modes.push((path.clone(), mode(&path)));
        }
    }
    modes
}

#[tokio::test]
async fn nobody_but_the_owner_may_look_into_a_data_directory() {
    let mut fleet = stopped_node().await;
    let dir = fleet.node(NODE).dir.clone();
    // Of what RocksDB wrote, too: while the node was made, while it ran, and when it was started again.
    let loose: Vec<_> = modes(&dir).into_iter().filter(|(_, mode)| mode & 0o077 != 0).collect();
    assert!(loose.is_empty(), "{loose:?}");
    for mode in [0o750, 0o705, 0o711] {
        fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).expect("the directory");
        let mend = format!("chmod 700 {}", dir.display());
        let (refused, complained) = (refusal(&dir), complaint(&dir));
        println!("{mode:04o}: {refused}");
        assert!(refused.contains(&mend) && complained.contains(&mend), "{refused}; {complained}");
    }
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("the directory");
    // The settings hold nothing secret, and editors give what they write modes of their own.
    fs::set_permissions(dir.join("bursar.toml"), fs::Permissions::from_mode(0o644)).expect("the settings");
    fleet.restart_anew(NODE, &[]);
    fleet.leader().await;
}

/// The stamp of a store, as a program of the future may write it.
#[derive(Serialize)]
struct Stamp {
    format: u8,
    store: StoreId,
}

/// Every key and value of a store.
fn pairs(engine: &RocksEngine, profile: Profile) -> Vec<(Space, Vec<u8>, Vec<u8>)> {
    let mut pairs = Vec::new();
    for space in profile.spaces() {
        let mut take = |key: &[u8], value: &[u8]| {
            pairs.push((*space, key.to_vec(), value.to_vec()));
            Ok(std::ops::ControlFlow::Continue(()))
        };
        engine.scan(*space, KeyRange::ALL, Direction::Forward, &mut take).expect("a scan");
    }
    pairs
}

#[tokio::test]
async fn a_store_of_a_newer_format_is_refused_and_nothing_in_it_is_changed() {
    let mut fleet = stopped_node().await;
    let dir = fleet.node(NODE).dir.clone();
    for (folder, profile, state) in [("log", Profile::Log, Space::LogState), ("ledger", Profile::Ledger, Space::LedgerState)] {
        let stamp = |engine: &RocksEngine, frame| {
            let mut batch = Batch::new();
            batch.put(state, &b"stamp"[..], frame);
            engine.write(&batch).and_then(|()| engine.sync()).expect("a write");
        };
        let open = || RocksEngine::open(&dir.join(folder), profile).expect("the store");
        let engine = open();
        let sound = engine.get(state, b"stamp").expect("a read").expect("every store has a stamp");
        stamp(&engine, envelope::pack(Kind::Stamp, 1, &Stamp { format: 2, store: StoreId([1; 16]) }));
        let before = pairs(&engine, profile);
        drop(engine);

        let refused = refusal(&dir);
        println!("{folder}: {refused}");
        assert!(refused.contains("has format 2, this program reads up to 1"), "{refused}");
        assert!(refused.contains("start the node with the newer program"), "{refused}");
        assert!(complaint(&dir).contains("has format 2"));

        let engine = open();
        assert!(pairs(&engine, profile) == before, "{folder}: a refused start changed something");
        stamp(&engine, sound);
    }
    fleet.restart_anew(NODE, &[]);
    fleet.leader().await;
}

#[tokio::test]
async fn a_second_process_on_a_directory_is_refused_and_told_who_holds_it() {
    let fleet = Fleet::of_one().await;
    let (dir, pid) = (fleet.node(NODE).dir.clone(), fleet.node(NODE).pid());
    let refused = refusal(&dir);
    println!("{refused}");
    assert!(refused.contains(&format!("is held by pid {pid}")) && refused.contains("stop it first"), "{refused}");
    write(&fleet.client(), "the first one serves on".into()).await;
}

#[tokio::test]
async fn a_node_is_made_only_where_nothing_is() {
    let fleet = stopped_node().await;
    let dir = fleet.node(NODE).dir.clone();
    let init = |dir: &Path| {
        let addresses = ["authority", "init", "--peer-address", "127.0.0.1:4283", "--api-address", "127.0.0.1:4285", "--dir"];
        let output = bursar(&addresses, dir);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let before = contents(&dir);
    let (made, said) = init(&dir);
    println!("{said}");
    assert!(!made && said.contains("holds a node already"), "{said}");
    assert!(said.contains("bursar authority run"), "{said}");
    assert!(contents(&dir) == before, "a refused founding changed a file");

    // Whatever lies there is somebody's: a node without its identity, or a folder that was mistyped.
    for file in ["notes.txt", "log/CURRENT", "ledger/CURRENT"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, "mine").expect("a file");
        let (made, said) = init(folder.path());
        println!("{file}: {said}");
        assert!(!made, "a node was made over {file}");
        assert!(said.contains(&folder.path().display().to_string()) && said.contains("empty"), "{said}");
        assert_eq!(contents(folder.path()).into_keys().collect::<Vec<_>>(), [path]);
    }
}

/// The store id that an identity names.
fn store_of(dir: &Path) -> String {
    let identity = fs::read_to_string(dir.join("identity.toml")).expect("an identity");
    let store = identity.lines().find_map(|line| line.strip_prefix("store = "));
    store.expect("an identity names its store").trim_matches('"').to_owned()
}

#[tokio::test]
async fn a_store_of_another_node_is_refused() {
    let mut fleet = Fleet::start();
    let (one, two) = (1, 2);
    fleet.kill(one);
    fleet.kill(two);
    let [own, others] = [one, two].map(|id| fleet.node(id).dir.clone());
    let stores = [store_of(&own), store_of(&others)];
    assert_ne!(stores[0], stores[1]);
    let swap = |store: &str| {
        let aside = own.join("aside");
        for (from, to) in [(own.join(store), aside.clone()), (others.join(store), own.join(store)), (aside, others.join(store))] {
            fs::rename(from, to).expect("a store");
        }
    };
    for swapped in [&["log"][..], &["ledger"], &["log", "ledger"]] {
        swapped.iter().for_each(|store| swap(store));
        for (dir, [expected, found]) in [(&own, [&stores[0], &stores[1]]), (&others, [&stores[1], &stores[0]])] {
            let (refused, complained) = (refusal(dir), complaint(dir));
            println!("{swapped:?}: {refused}");
            for said in [&refused, &complained] {
                let names = [dir.join(swapped[0]).display().to_string(), dir.join("identity.toml").display().to_string()];
                assert!(names.iter().chain([expected, found]).all(|name| said.contains(name)), "{said}");
                assert!(said.contains("restore") && said.contains("join"), "it says what to do: {said}");
            }
        }
        swapped.iter().for_each(|store| swap(store));
    }
    for id in [one, two] {
        fleet.restart_anew(id, &[]);
        fleet.ready(id).await;
    }
}

#[tokio::test]
async fn an_older_copy_of_the_log_is_refused() {
    let mut fleet = stopped_node().await;
    let dir = fleet.node(NODE).dir.clone();
    let (log, older) = (dir.join("log"), fleet.folder().join("older"));
    copy_folder(&log, &older);
    // Each start is a new term, for which the node votes.
    fleet.restart_anew(NODE, &[]);
    fleet.ready(NODE).await;
    write(&fleet.client(), "in a later term".into()).await;
    fleet.stop(NODE);
    let newest = fleet.folder().join("newest");
    fs::rename(&log, &newest).expect("the log");
    fs::rename(&older, &log).expect("the older log");
    let (refused, complained) = (refusal(&dir), complaint(&dir));
    println!("{refused}");
    for said in [refused, complained] {
        assert!(said.contains(&dir.display().to_string()) && said.contains("the Raft log is an older copy"), "{said}");
        assert!(said.contains("move back the very one"), "it says what to do: {said}");
    }
    fs::rename(&log, &older).expect("the older log");
    fs::rename(&newest, &log).expect("the log");
    fleet.restart_anew(NODE, &[]);
    fleet.leader().await;
}

#[tokio::test]
async fn a_node_whose_making_was_interrupted_is_made_anew() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path().join("node");
    let init = || {
        let addresses = ["authority", "init", "--peer-address", "127.0.0.1:4283", "--api-address", "127.0.0.1:4285", "--dir"];
        bursar(&addresses, &dir)
    };
    assert!(init().status.success());
    let first = store_of(&dir);
    // The identity is written last: without it, and before the first start, everything there is left over.
    fs::remove_file(dir.join("identity.toml")).expect("an identity");
    assert!(init().status.success());
    assert_ne!(store_of(&dir), first);
    let diagnosis = doctor(&dir);
    assert!(diagnosis.healthy, "{:?}", diagnosis.complaints());
}

#[tokio::test]
async fn a_member_forgets_how_it_joined() {
    let mut fleet = stopped_node().await;
    let joining = fleet.node(NODE).dir.join("joining");
    fs::write(&joining, "a store and a key").expect("a file");
    fleet.restart_anew(NODE, &[]);
    fleet.leader().await;
    assert!(!joining.exists(), "a second copy of the key stays behind");
}

#[tokio::test]
async fn a_store_that_is_gone_is_not_begun_anew() {
    let mut fleet = stopped_node().await;
    let dir = fleet.node(NODE).dir.clone();
    for store in ["log", "ledger"] {
        let (path, aside) = (dir.join(store), dir.join("aside"));
        for empty in [false, true] {
            fs::rename(&path, &aside).expect("the store");
            if empty {
                fs::create_dir(&path).expect("a folder");
            }
            let (refused, complained) = (refusal(&dir), complaint(&dir));
            println!("{store}: {refused}");
            for said in [refused, complained] {
                assert!(said.contains(&path.display().to_string()) && said.contains("join"), "{said}");
            }
            assert!(!path.join("CURRENT").exists(), "{store} was begun anew");
            if empty {
                fs::remove_dir(&path).expect("the folder is still empty");
            }
            fs::rename(&aside, &path).expect("the store");
        }
    }
    fleet.restart_anew(NODE, &[]);
    fleet.leader().await;
}

#[tokio::test]
async fn the_doctor_asks_a_running_node_and_reads_stopped_ones() {
    let mut fleet = Fleet::start();
    let client = fleet.client();
    for number in 0..50 {
        write(&client, format!("site {number}")).await;
    }
    for id in fleet.ids() {
        // The demo's own children are nobody's.
        fleet.kill(id);
        fleet.restart_anew(id, &[]);
        fleet.leader().await;
    }
    let ids = fleet.ids();
    let written = until("all nodes have all of it", async || all_at_one_revision(&fleet, &ids).await).await;

    for id in &ids {
        let diagnosis = healthy(&fleet.node(*id).dir).await;
        assert!(diagnosis.of("live").detail.contains(&fleet.node(*id).api), "{diagnosis:?}");
    }
    for id in &ids {
        fleet.stop(*id);
    }
    let found: Vec<String> = ids
        .iter()
        .map(|id| {
            let diagnosis = doctor(&fleet.node(*id).dir);
            assert!(diagnosis.healthy, "stopped node {id}: {:?}", diagnosis.complaints());
            diagnosis.of("history").detail.clone()
        })
        .collect();
    println!("{}", found[0]);
    assert!(
        found[0].starts_with(&format!("whole up to revision {}, ", written.split_once('-').expect("a cursor").1)),
        "{written}: {found:?}"
    );
    assert!(found.iter().all(|finding| *finding == found[0]), "the nodes differ: {found:#?}");
}

#[tokio::test]
async fn the_doctor_says_what_a_running_node_lacks() {
    let mut fleet = Fleet::start();
    let id = 1;
    for other in fleet.others(id) {
        fleet.kill(other);
    }
    let dir = fleet.node(id).dir.clone();
    let lacks = until("the node is alone", async || {
        let diagnosis = doctor(&dir);
        let ready = diagnosis.of("ready");
        (!ready.sound && ready.detail.contains("No quorum has confirmed lately that the node is up to date."))
            .then(|| ready.detail.clone())
    })
    .await;
    assert!(lacks.contains("See whether the other nodes run"), "{lacks}");
    assert!(!lacks.contains("something else"), "{lacks}");
}

#[tokio::test]
async fn the_doctor_says_what_the_next_start_has_to_do() {
    let mut fleet = Fleet::of_one().await;
    let client = fleet.client();
    for number in 0..5 {
        write(&client, format!("site {number}")).await;
    }
    let dir = fleet.node(NODE).dir.clone();
    fleet.kill(NODE);
    let killed = doctor(&dir);
    println!("killed: {killed:?}");
    assert!(killed.healthy, "{:?}", killed.complaints());
    let replayed = killed
        .of("next start")
        .detail
        .strip_prefix("nothing was saved to start from yet (no checkpoint); ")
        .expect("no checkpoint was due")
        .to_owned();
    let entries: u64 = replayed.split_once(' ').expect("a number of entries").0.parse().expect("a number");
    assert!(entries >= 6, "the cluster, its administrator and the sites: {replayed}");
    let history = &killed.of("history").detail;
    assert!(history.starts_with("nothing on the disk yet"), "{history}");
    assert!(history.ends_with(&format!("{entries} entries for the next start to apply")), "{history}");
    let untold = "its history tells nothing of certificate authority and cluster key yet";
    assert_eq!(killed.of("cluster files").detail, untold);

    fleet.restart(NODE);
    fleet.ready(NODE).await;
    fleet.stop(NODE);
    let stopped = doctor(&dir);
    println!("stopped: {stopped:?}");
    assert!(stopped.of("next start").detail.ends_with("; 0 entries of the log are carried out again at start"), "{stopped:?}");
}

#[test]
fn addresses_that_serve_nobody_are_refused_before_anything_is_made() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dir = folder.path().join("node");
    for [peer, api, why] in [
        ["0.0.0.0:4283", "a.example:4285", "nobody reaches this machine under 0.0.0.0:4283"],
        ["a.example:4283", "[::]:4285", "nobody reaches this machine under [::]:4285"],
        ["a.example:4283", "a.example:4283", "give them a port each"],
        ["a.example:4283", "b.example:4283", "give them a port each"],
        ["a.example:4288", "a.example:4285", "give them a port each"],
    ] {
        for how in [&["init"][..], &["join", "--token-file", "no-such-file"]] {
            let words = [&["authority"], how, &["--peer-address", peer, "--api-address", api, "--dir"]].concat();
            let refused = bursar(&words, &dir);
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(refused.status.code() == Some(2) && said.contains(why), "{words:?}: {said}");
            assert!(!dir.exists(), "nothing is made");
        }
    }
}

/// What the doctor says of a running node, once it is healthy. Until then it may be that the node is not ready, and nothing
/// else: having it all is not yet having heard that it is all, and whoever was held up has to hear it again.
async fn healthy(dir: &Path) -> Diagnosis {
    until("the running node is ready", async || {
        let diagnosis = doctor(dir);
        let may_pass = diagnosis.complaints().iter().all(|finding| finding.what == "ready");
        assert!(may_pass, "running node: {:?}", diagnosis.complaints());
        diagnosis.healthy.then_some(diagnosis)
    })
    .await
}

/// The revision that all nodes have, if they have the same.
async fn all_at_one_revision(fleet: &Fleet, ids: &[u64]) -> Option<String> {
    let mut revisions = Vec::new();
    for id in ids {
        revisions.push(fleet.status_of(*id).await?.revision);
    }
    revisions.dedup();
    (revisions.len() == 1).then(|| revisions.remove(0))
}
