//! One suite for all forms of `Engines`: engines at paths, which outlive whoever opened them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bursar_storage::StorageError;
use bursar_storage::engine::{Batch, Engine, Engines, MemoryEngines, Profile, Space};
use tempfile::TempDir;

/// Instantiates every test of the suite for a form.
macro_rules! conformance {
    ($form:ident, $engines:expr; $($test:ident)*) => {
        mod $form {
            $(#[test] fn $test() { super::$test(&$engines, &super::Place::new()); })*
        }
    };
    ($form:ident, $engines:expr) => {
        conformance!($form, $engines;
            an_engine_is_made_once_and_found_again
            an_engine_has_one_holder
            what_was_written_outlives_its_holder
            a_removed_engine_is_gone_and_another_can_be_made
        );
    };
}

conformance!(memory, bursar_storage::engine::MemoryEngines::new());
#[cfg(feature = "rocksdb")]
conformance!(rocksdb, bursar_storage::engine::RocksEngines);

/// A directory of a test's own.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("log")
    }
}

fn put(engine: &dyn Engine, key: &'static str) {
    let mut batch = Batch::new();
    batch.put(Space::LogState, key, "value");
    engine.write(&batch).expect("a write");
}

fn has(engine: &dyn Engine, key: &str) -> bool {
    engine.get(Space::LogState, key.as_bytes()).expect("a get").is_some()
}

fn create(engines: &dyn Engines, path: &Path) -> Arc<dyn Engine> {
    engines.create(path, Profile::Log).expect("nothing is there yet")
}

fn open(engines: &dyn Engines, path: &Path) -> Arc<dyn Engine> {
    engines.open(path, Profile::Log).expect("an engine that nobody holds")
}

fn refused(opened: Result<Arc<dyn Engine>, StorageError>) {
    assert!(matches!(opened.err(), Some(StorageError::Io { .. })));
}

fn an_engine_is_made_once_and_found_again(engines: &dyn Engines, place: &Place) {
    let path = place.path();
    assert!(!engines.exists(&path));
    refused(engines.open(&path, Profile::Log));
    drop(create(engines, &path));
    assert!(engines.exists(&path));
    refused(engines.create(&path, Profile::Log));
    open(engines, &path);
    assert!(!engines.exists(&place.path().with_file_name("ledger")), "each path has its own");
}

fn an_engine_has_one_holder(engines: &dyn Engines, place: &Place) {
    let held = create(engines, &place.path());
    refused(engines.open(&place.path(), Profile::Log));
    let clone = Arc::clone(&held);
    drop(held);
    refused(engines.open(&place.path(), Profile::Log));
    drop(clone);
    open(engines, &place.path());
}

fn what_was_written_outlives_its_holder(engines: &dyn Engines, place: &Place) {
    let first = create(engines, &place.path());
    put(first.as_ref(), "synced");
    first.sync().expect("a sync");
    put(first.as_ref(), "not synced");
    drop(first);
    let second = open(engines, &place.path());
    assert!(has(second.as_ref(), "synced") && has(second.as_ref(), "not synced"));
}

fn a_removed_engine_is_gone_and_another_can_be_made(engines: &dyn Engines, place: &Place) {
    engines.remove(&place.path()).expect("there is nothing to remove");
    let first = create(engines, &place.path());
    put(first.as_ref(), "key");
    drop(first);
    engines.remove(&place.path()).expect("nobody holds it");
    assert!(!engines.exists(&place.path()));
    assert!(!has(create(engines, &place.path()).as_ref(), "key"));
}

#[test]
fn a_power_cut_takes_what_was_not_synced_and_leaves_whoever_held_it_with_nothing() {
    let (engines, path) = (MemoryEngines::new(), Path::new("/node/log"));
    let before = create(&engines, path);
    put(before.as_ref(), "durable");
    before.sync().expect("a sync");
    for key in ["taken in", "lost", "lost too"] {
        put(before.as_ref(), key);
    }
    engines.crash(|crashed, unsynced| {
        assert_eq!((crashed, unsynced), (path, 3));
        1
    });
    let after = open(&engines, path);
    put(before.as_ref(), "by a process that is no more");
    before.sync().expect("a sync");
    let kept = ["durable", "taken in", "lost", "lost too", "by a process that is no more"].map(|key| has(after.as_ref(), key));
    assert_eq!(kept, [true, true, false, false, false]);
}

#[test]
fn a_process_that_saw_the_disk_fail_does_not_keep_the_next_from_it() {
    let (engines, path) = (MemoryEngines::new(), Path::new("/node/log"));
    let before = create(&engines, path);
    put(before.as_ref(), "key");
    engines.at(path).expect("it was made").fail_sync(1);
    before.sync().expect_err("the disk fails");
    assert!(matches!(before.sync(), Err(StorageError::Poisoned { .. })));
    drop(before);
    let after = open(&engines, path);
    after.sync().expect("the disk works again");
    assert!(has(after.as_ref(), "key"));
    assert_eq!(engines.at(path).expect("it is there").counters().syncs, 2);
}
