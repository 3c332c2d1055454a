use std::sync::atomic::{AtomicU64, Ordering};

use bursar_net::{DiskFiles, DiskVolumes, FileError, Files, Volumes};
use bursar_storage::engine::{Batch, Engine, Engines, Profile, Space};

use super::*;
use crate::draws::Draws;

const GIGABYTE: u64 = 1 << 30;

/// A machine whose disk at `/` is the system's, and which has two others.
fn disks_of_seed(seed: u64) -> Disks {
    let disks = Disks::new("host", GIGABYTE, Draws::of_seed(seed).stream("disk"), Trace::begin(None), || {});
    disks.mount(Path::new("/srv/a"), GIGABYTE);
    disks.mount(Path::new("/srv/b"), GIGABYTE);
    disks
}

fn disks() -> Disks {
    disks_of_seed(7)
}

fn files(disks: &Disks) -> HostFiles {
    disks.files(77)
}

fn kind<T>(result: io::Result<T>) -> io::ErrorKind {
    result.err().expect("it is refused").kind()
}

fn is_eio<T>(result: Result<T, FileError>) -> bool {
    matches!(result, Err(FileError::Io { source, .. }) if source.raw_os_error() == Some(libc::EIO))
}

/// Everything that a program can tell of a disk by small files, told in words.
fn tell_of_files(files: &dyn Files, root: &Path) -> Vec<String> {
    let at = |name: &str| root.join(name);
    let mut told = Vec::new();
    let mut tell = |what: Result<String, FileError>| {
        told.push(match what {
            Ok(value) => value,
            Err(FileError::Io { source, .. }) => format!("{:?}", source.kind()),
            Err(FileError::NotFound { .. }) => "nothing there".to_owned(),
            Err(FileError::TooLarge { .. }) => "too large".to_owned(),
            Err(FileError::LooseMode { mode, .. }) => format!("mode {mode:o}"),
            Err(FileError::Locked { pid, .. }) => format!("locked by somebody: {}", pid.is_some()),
        });
    };
    let done = |()| "done".to_owned();
    tell(files.create_directory(&at("a/b")).map(done));
    tell(files.create_directory(&at("a/b")).map(done));
    tell(files.require_private(&at("a/b")).map(done));
    tell(files.write_atomic(&at("a/file"), b"contents").map(done));
    tell(files.write_atomic(&at("a/file"), b"others").map(done));
    tell(files.write_atomic(&at("a/b"), b"where a directory is").map(done));
    tell(files.write_atomic(&at("none/file"), b"nowhere").map(done));
    tell(files.write_atomic(&at("a/file/inner"), b"below a file").map(done));
    tell(files.create_directory(&at("a/file")).map(done));
    tell(files.read_private(&at("a/file"), 6).map(|bytes| String::from_utf8(bytes).unwrap()));
    tell(files.read(&at("a/file"), 5).map(|_| "read".to_owned()));
    tell(files.read(&at("a/none"), 5).map(|_| "read".to_owned()));
    tell(files.read(&at("a"), 5).map(|_| "read".to_owned()));
    tell(files.list(&at("a")).map(|names| format!("{names:?}")));
    tell(files.list(&at("a/file")).map(|names| format!("{names:?}")));
    tell(files.exists(&at("a/file")).map(|found| found.to_string()));
    tell(files.exists(&at("a/none")).map(|found| found.to_string()));
    let lock = files.lock(&at("a/lock"));
    tell(files.lock(&at("a/lock")).map(|_| "locked twice".to_owned()));
    drop(lock);
    tell(files.lock(&at("a/lock")).map(|_| "locked again".to_owned()));
    tell(files.remove(&at("a/file")).map(done));
    tell(files.remove(&at("a/file")).map(done));
    tell(files.exists(&at("a")).map(|found| found.to_string()));
    told
}

/// Everything that a program can tell of a disk by directories that it holds open.
fn tell_of_folders(volumes: &dyn Volumes, root: &Path) -> Vec<String> {
    let mut told = Vec::new();
    let mut tell = |what: io::Result<String>| told.push(what.unwrap_or_else(|error| format!("{:?}", error.kind())));
    let done = |()| "done".to_owned();
    let folder = volumes.open(root).unwrap();
    tell(folder.create("inner").map(done));
    tell(folder.create("inner").map(done));
    tell(folder.create("..").map(done));
    tell(folder.write_new("file", b"contents").map(done));
    tell(folder.write_new("file", b"others").map(done));
    tell(folder.read("file", 8).map(|bytes| String::from_utf8(bytes).unwrap()));
    tell(folder.read("file", 7).map(|_| "read".to_owned()));
    tell(folder.read("none", 7).map(|_| "read".to_owned()));
    tell(folder.open("file").map(|_| "opened".to_owned()));
    tell(folder.open("inner/..").map(|_| "opened".to_owned()));
    tell(volumes.open(&root.join("file")).map(|_| "opened".to_owned()));
    tell(volumes.open(&root.join("none")).map(|_| "opened".to_owned()));
    tell(volumes.canonical(&root.join("none")).map(|_| "found".to_owned()));
    let inner = folder.open("inner").unwrap();
    tell(folder.rename_new("inner", "file").map(done));
    tell(folder.rename_new("inner", "moved").map(done));
    tell(inner.write_new("below", b"wherever it is").map(done));
    tell(folder.remove_empty("moved").map(done));
    tell(inner.remove("below").map(done));
    tell(folder.remove_empty("moved").map(done));
    tell(inner.create("after its end").map(done));
    tell(folder.names("f").map(|names| format!("{names:?}")));
    tell(folder.sync().map(done));
    tell(folder.remove("file").map(done));
    tell(folder.names("").map(|names| format!("{names:?}")));
    told
}

#[tokio::test]
async fn a_simulated_disk_answers_as_a_real_one() {
    let [of_files, of_folders] = [(); 2].map(|()| tempfile::TempDir::new().unwrap());
    let disks = disks();
    assert_eq!(tell_of_files(&files(&disks), Path::new("/")), tell_of_files(&DiskFiles, of_files.path()));
    assert_eq!(tell_of_folders(&disks.volumes(), Path::new("/srv/a")), tell_of_folders(&DiskVolumes, of_folders.path()));
}

#[tokio::test]
async fn what_was_written_atomically_outlives_every_power_cut() {
    for seed in 0..50 {
        let disks = disks_of_seed(seed);
        for version in 0..3_u8 {
            files(&disks).write_atomic(Path::new("/file"), &[version; 100]).unwrap();
        }
        disks.power_off();
        disks.power_on();
        assert_eq!(files(&disks).read(Path::new("/file"), 100).unwrap(), [2; 100]);
        assert_eq!(files(&disks).list(Path::new("/")).unwrap(), ["file", "srv"]);
    }
}

#[tokio::test]
async fn a_power_cut_keeps_any_number_of_the_changes_that_were_not_synced() {
    let mut outcomes = BTreeMap::new();
    for seed in 0..200 {
        let disks = disks_of_seed(seed);
        let folder = disks.volumes().open(Path::new("/srv/a")).unwrap();
        folder.create("first").unwrap();
        folder.create("second").unwrap();
        folder.rename_new("first", "third").unwrap();
        disks.power_off();
        disks.power_on();
        let left = disks.volumes().open(Path::new("/srv/a")).unwrap().names("").unwrap();
        *outcomes.entry(left.join(" ")).or_insert(0) += 1;
    }
    assert_eq!(outcomes.keys().collect::<Vec<_>>(), ["", "first", "first second", "second third"]);
    assert!(outcomes.values().all(|times| *times > 20), "{outcomes:?}");
}

#[tokio::test]
async fn a_power_cut_at_a_sync_leaves_all_of_the_old_or_all_of_the_new() {
    let mut outcomes = BTreeMap::new();
    for seed in 0..100 {
        for nth in 1..=2 {
            let struck = Arc::new(AtomicU64::new(0));
            let counted = Arc::clone(&struck);
            let disks = Disks::new("host", GIGABYTE, Draws::of_seed(seed).stream("disk"), Trace::begin(None), move || {
                counted.fetch_add(1, Ordering::SeqCst);
            });
            files(&disks).write_atomic(Path::new("/file"), b"old").unwrap();
            disks.power_off_at_sync(nth);
            let held = files(&disks);
            assert!(is_eio(held.write_atomic(Path::new("/file"), b"new")));
            assert_eq!(struck.load(Ordering::SeqCst), 1);
            assert!(is_eio(held.read(Path::new("/file"), 3)), "what had the power reads no more");
            disks.power_on();
            let left = String::from_utf8(files(&disks).read(Path::new("/file"), 3).unwrap()).unwrap();
            let torn = files(&disks).exists(Path::new("/.file.aside")).unwrap();
            *outcomes.entry((nth, left, torn)).or_insert(0) += 1;
        }
    }
    let seen: Vec<_> = outcomes.keys().map(|(nth, left, torn)| (*nth, left.as_str(), *torn)).collect();
    assert_eq!(seen, [(1, "old", false), (1, "old", true), (2, "new", false), (2, "old", false), (2, "old", true)]);
}

#[tokio::test]
async fn a_disk_fails_at_what_it_was_told_to_until_it_is_mended() {
    let disks = disks();
    let (files, path) = (files(&disks), Path::new("/file"));
    files.write_atomic(path, b"old").unwrap();
    for operation in [DiskOperation::Read, DiskOperation::Write, DiskOperation::Sync] {
        let fault = DiskFault::Fails(operation);
        let broken = disks.break_with(path, fault);
        assert_eq!(is_eio(files.read(path, 3)), operation == DiskOperation::Read);
        assert!(is_eio(files.write_atomic(path, b"new")));
        assert!(files.lock(Path::new("/srv/a/lock")).is_ok(), "another disk");
        disks.mend(&broken);
        assert_eq!(files.read(path, 3).unwrap(), b"old");
    }
    for (fault, code) in [(DiskFault::ReadOnly, libc::EROFS), (DiskFault::Full, libc::ENOSPC)] {
        disks.break_with(path, fault);
        let refused = files.write_atomic(path, b"new");
        assert!(matches!(refused, Err(FileError::Io { source, .. }) if source.raw_os_error() == Some(code)));
        assert_eq!(files.read(path, 3).unwrap(), b"old");
        disks.mend_all();
    }
    files.write_atomic(path, b"new").unwrap();
}

#[tokio::test]
async fn what_a_failed_sync_should_have_kept_is_lost_though_the_next_sync_succeeds() {
    let disks = disks();
    let folder = disks.volumes().open(Path::new("/srv/a")).unwrap();
    folder.create("inner").unwrap();
    disks.break_with(Path::new("/srv/a"), DiskFault::Fails(DiskOperation::Sync));
    folder.sync().unwrap_err();
    disks.mend_all();
    folder.sync().unwrap();
    assert_eq!(folder.names("").unwrap(), ["inner"], "it still shows");
    disks.power_off();
    disks.power_on();
    assert!(disks.volumes().open(Path::new("/srv/a")).unwrap().names("").unwrap().is_empty());
}

#[tokio::test]
async fn a_directory_that_is_not_known_to_be_durable_is_made_anew() {
    let (disks, directory) = (disks(), Path::new("/data"));
    disks.break_with(Path::new("/"), DiskFault::Fails(DiskOperation::Sync));
    files(&disks).create_directory(directory).unwrap_err();
    disks.mend_all();
    files(&disks).create_directory(directory).unwrap();
    disks.power_off();
    disks.power_on();
    files(&disks).list(directory).unwrap();
}

#[tokio::test]
async fn a_disk_that_is_pulled_shows_the_bare_directory_and_comes_back_as_it_was() {
    let disks = disks();
    let (volumes, path) = (disks.volumes(), Path::new("/srv/a"));
    let folder = volumes.open(path).unwrap();
    folder.write_new("file", b"contents").unwrap();
    let pulled = disks.pull(path).unwrap();
    assert!(disks.pull(path).is_none() && !disks.is_mounted(path) && disks.is_mounted(Path::new("/")));
    assert!(folder.read("file", 8).is_err_and(|error| error.raw_os_error() == Some(libc::EIO)));
    let bare = volumes.open(path).unwrap();
    assert!(bare.names("").unwrap().is_empty());
    bare.create("on the system's disk").unwrap();
    disks.put_back(&pulled);
    assert!(disks.is_mounted(path));
    assert_eq!(folder.read("file", 8).unwrap(), b"contents");
    assert_eq!(volumes.open(path).unwrap().names("").unwrap(), ["file"]);
}

#[tokio::test]
async fn disks_that_are_swapped_stay_what_they_are_for_whoever_holds_them() {
    let disks = disks();
    let (volumes, one, other) = (disks.volumes(), Path::new("/srv/a"), Path::new("/srv/b"));
    let folder = volumes.open(one).unwrap();
    folder.write_new("of-a", b"").unwrap();
    disks.swap(one, other).unwrap();
    assert!(volumes.open(one).unwrap().names("").unwrap().is_empty());
    assert_eq!(volumes.open(other).unwrap().names("").unwrap(), ["of-a"]);
    folder.write_new("later", b"").unwrap();
    assert_eq!(volumes.open(other).unwrap().names("").unwrap(), ["later", "of-a"]);
    disks.pull(one).unwrap();
    assert!(disks.swap(one, other).is_none(), "there is but one left");
    disks.mend_all();
    assert_eq!(volumes.open(one).unwrap().names("").unwrap(), ["later", "of-a"]);
}

#[tokio::test]
async fn swaps_and_pulls_that_overlap_are_over_when_all_have_ended() {
    let disks = disks();
    let (volumes, paths) = (disks.volumes(), ["/srv/a", "/srv/b", "/srv/c"].map(Path::new));
    disks.mount(paths[2], 1 << 20);
    for (path, name) in paths.iter().zip(["of-a", "of-b", "of-c"]) {
        volumes.open(path).unwrap().write_new(name, b"").unwrap();
    }
    let shown = || paths.map(|path| volumes.open(path).unwrap().names("").unwrap().concat());
    let usual = ["of-a", "of-b", "of-c"];
    assert_eq!(shown(), usual);

    // One of the two is on the table when they are swapped back.
    let swapped = disks.swap(paths[0], paths[1]).unwrap();
    let pulled = disks.pull(paths[0]).unwrap();
    assert_eq!(shown(), ["", "of-a", "of-c"]);
    disks.swap_back(&swapped);
    assert_eq!(shown(), ["of-a", "", "of-c"]);
    disks.put_back(&pulled);
    assert_eq!(shown(), usual);

    // The first of two swaps of one disk ends first.
    let (first, second) = (disks.swap(paths[0], paths[1]).unwrap(), disks.swap(paths[1], paths[2]).unwrap());
    assert_eq!(shown(), ["of-b", "of-c", "of-a"]);
    disks.swap_back(&first);
    assert_eq!(shown(), ["of-a", "of-c", "of-b"]);
    disks.swap_back(&second);
    assert_eq!(shown(), usual);
}

#[tokio::test]
async fn room_is_counted_by_blocks_and_runs_out() {
    let disks = Disks::new("host", 40_960, Draws::of_seed(7).stream("disk"), Trace::begin(None), || {});
    let folder = disks.volumes().open(Path::new("/")).unwrap();
    let before = folder.space().unwrap();
    folder.write_new("file", &[1; 4_097]).unwrap();
    assert_eq!((folder.space().unwrap().free, folder.used_bytes().unwrap()), (before.free - 8_192, 8_192));
    assert_eq!(kind(folder.write_new("large", &[1; 40_000])), io::ErrorKind::StorageFull);
    folder.remove("file").unwrap();
    folder.remove("large").unwrap();
    assert_eq!(folder.space().unwrap(), before);
}

#[tokio::test]
async fn locks_end_with_their_holders_and_with_the_power() {
    let disks = disks();
    let path = Path::new("/lock");
    let stale = files(&disks).lock(path).unwrap();
    assert!(matches!(files(&disks).lock(path), Err(FileError::Locked { pid: Some(77), .. })));
    disks.power_off();
    disks.power_on();
    let held = files(&disks).lock(path).unwrap();
    drop(stale);
    assert!(files(&disks).lock(path).is_err(), "the lock of before the cut frees nobody else's");
    drop(held);
    assert!(files(&disks).lock(path).is_ok());
}

#[tokio::test]
async fn modes_and_rot_are_seen() {
    let disks = disks();
    let (files, path) = (files(&disks), Path::new("/key"));
    files.write_atomic(path, b"secret").unwrap();
    disks.set_mode(path, 0o640).unwrap();
    assert!(matches!(files.read_private(path, 6), Err(FileError::LooseMode { mode: 0o640, .. })));
    disks.rot(path, 8).unwrap();
    assert_eq!(files.read(path, 6).unwrap(), b"sdcret");
    disks.power_off();
    disks.power_on();
    assert_eq!(disks.files(1).read(path, 6).unwrap(), b"sdcret", "at rest");
}

fn store(disks: &Disks) -> Arc<dyn Engine> {
    let (engines, path) = (disks.engines(), Path::new("/data/log"));
    if engines.exists(path) { engines.open(path, Profile::Log) } else { engines.create(path, Profile::Log) }.unwrap()
}

fn batch(number: u8) -> Batch {
    let mut batch = Batch::new();
    batch.put(Space::LogEntries, vec![number], vec![number]);
    batch
}

#[tokio::test]
async fn a_store_keeps_what_was_synced_and_any_number_of_the_batches_behind_it() {
    let mut outcomes = BTreeMap::new();
    for seed in 0..100 {
        let disks = disks_of_seed(seed);
        let held = store(&disks);
        held.write(&batch(1)).unwrap();
        held.sync().unwrap();
        held.write(&batch(2)).unwrap();
        held.write(&batch(3)).unwrap();
        disks.power_off();
        held.write(&batch(4)).unwrap_err();
        disks.power_on();
        let opened = store(&disks);
        let left: Vec<u8> = (1..=4).filter(|key| opened.get(Space::LogEntries, &[*key]).unwrap().is_some()).collect();
        *outcomes.entry(left).or_insert(0) += 1;
    }
    assert_eq!(outcomes.keys().collect::<Vec<_>>(), [&vec![1], &vec![1, 2], &vec![1, 2, 3]]);
}

#[tokio::test]
async fn a_store_fails_with_its_disk_and_stays_so() {
    let disks = disks();
    let held = store(&disks);
    let broken = disks.break_with(Path::new("/data/log"), DiskFault::Fails(DiskOperation::Sync));
    held.write(&batch(1)).unwrap();
    held.sync().unwrap_err();
    disks.mend(&broken);
    held.sync().unwrap_err();
    drop(held);
    store(&disks).sync().unwrap();
}

#[tokio::test]
async fn the_power_goes_off_at_the_sync_of_a_store_too() {
    let disks = disks();
    let held = store(&disks);
    held.write(&batch(1)).unwrap();
    disks.power_off_at_sync(2);
    held.sync().unwrap();
    held.write(&batch(2)).unwrap();
    held.sync().unwrap_err();
    held.get(Space::LogEntries, &[1]).unwrap_err();
    disks.power_on();
    assert!(store(&disks).get(Space::LogEntries, &[1]).unwrap().is_some());
}

#[tokio::test]
async fn what_is_erased_is_gone_for_good_and_nothing_else_is() {
    let disks = disks();
    let held = files(&disks);
    let (gone, kept) = (Path::new("/var/lib/gone"), Path::new("/var/lib/kept"));
    for directory in [gone, kept] {
        held.create_directory(directory).unwrap();
        held.write_atomic(&directory.join("file"), b"contents").unwrap();
        disks.engines().create(&directory.join("log"), Profile::Log).unwrap().sync().unwrap();
    }
    // Whatever is wrong with the disk.
    let broken = disks.break_with(Path::new("/"), DiskFault::Fails(DiskOperation::Read));
    disks.erase_stores(kept);
    disks.erase(gone);
    disks.erase(Path::new("/var/none/there"));
    disks.mend(&broken);
    for _ in 0..2 {
        let (files, engines) = (files(&disks), disks.engines());
        assert_eq!(files.list(Path::new("/var/lib")).unwrap(), ["kept"]);
        assert_eq!(files.read(&kept.join("file"), 100).unwrap(), b"contents");
        assert!(!engines.exists(&gone.join("log")) && !engines.exists(&kept.join("log")));
        disks.power_off();
        disks.power_on();
    }
    let files = files(&disks);
    files.create_directory(gone).unwrap();
    assert!(files.list(gone).unwrap().is_empty());
}

#[tokio::test]
async fn one_bit_of_a_store_rots() {
    let disks = disks();
    let (directory, path) = (Path::new("/var"), Path::new("/var/store"));
    assert_eq!(disks.rot_stores(directory, 0, 0), None, "there is no value");
    let held = disks.engines().create(path, Profile::Log).unwrap();
    let mut batch = Batch::new();
    for key in 0..3 {
        batch.put(Space::LogEntries, vec![key], vec![0; 4]);
    }
    held.write(&batch).unwrap();
    held.sync().unwrap();
    drop(held);
    // The fifth of three places is the second, and the 33rd of 32 bits the first.
    assert!(disks.rot_stores(directory, 4, 32).unwrap().starts_with("/var/store LogEntries"));
    assert_eq!(disks.rot_stores(Path::new("/srv"), 4, 32), None);
    disks.power_off();
    disks.power_on();
    let held = disks.engines().open(path, Profile::Log).unwrap();
    let values = [0, 1, 2].map(|key| held.get(Space::LogEntries, &[key]).unwrap().unwrap().to_vec());
    assert_eq!(values, [vec![0; 4], vec![1, 0, 0, 0], vec![0; 4]]);
}
