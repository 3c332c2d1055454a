//! One suite for all engines: whatever a store above could see, they do alike.

mod support;

use std::ops::ControlFlow;

use bursar_domain::StoreId;
use bursar_storage::StorageError;
use bursar_storage::engine::{Batch, Direction, Engine, KeyRange, MemoryEngine, Space, Stamping};
use support::{Fixture, STORE, pairs};

/// Instantiates every test of the suite for a fixture.
macro_rules! conformance {
    ($engine:ident, $fixture:ty: $($test:ident)*) => {
        mod $engine {
            $(#[test] fn $test() { super::$test::<$fixture>(); })*
        }
    };
    ($engine:ident, $fixture:ty) => {
        conformance!($engine, $fixture:
            what_is_written_is_readable_at_once
            a_batch_is_applied_in_order_over_all_spaces
            scans_keep_order_direction_and_limits
            a_scan_ends_when_its_visitor_breaks_or_fails
            spaces_do_not_see_each_other
            an_inverted_range_is_empty
            large_values_survive_a_reopening
            what_was_synced_survives_a_reopening
            a_store_is_stamped_once_and_opened_as_what_it_is
        );
    };
}

conformance!(memory, crate::support::Memory);
#[cfg(feature = "rocksdb")]
conformance!(rocksdb_log, crate::support::rocks::RocksLog);
#[cfg(feature = "rocksdb")]
conformance!(rocksdb_ledger, crate::support::rocks::RocksLedger);

fn put(engine: &dyn Engine, space: Space, keys: &[&str]) {
    let mut batch = Batch::new();
    for key in keys {
        batch.put(space, key.to_string(), format!("value of {key}"));
    }
    engine.write(&batch).expect("a write");
}

fn keys(engine: &dyn Engine, space: Space) -> Vec<String> {
    let pairs = pairs(engine, space, KeyRange::ALL, Direction::Forward);
    pairs.into_iter().map(|(key, _)| key).collect()
}

fn what_is_written_is_readable_at_once<F: Fixture>() {
    let fixture = F::create();
    let (engine, [space, _]) = (fixture.engine(), F::spaces());
    assert_eq!(engine.get(space, b"a").expect("a get"), None);
    put(engine.as_ref(), space, &["a"]);
    assert_eq!(engine.get(space, b"a").expect("a get"), Some("value of a".into()));
    engine.write(&Batch::new()).expect("an empty write");
    engine.sync().expect("a sync");
}

fn a_batch_is_applied_in_order_over_all_spaces<F: Fixture>() {
    let fixture = F::create();
    let (engine, [contents, state]) = (fixture.engine(), F::spaces());
    put(engine.as_ref(), contents, &["a", "b", "c", "d", "e"]);
    let mut batch = Batch::new();
    batch.delete_range(contents, "b", "d");
    batch.put(contents, "c", "again");
    batch.put(contents, "f", "short-lived");
    batch.delete(contents, "f");
    batch.delete(contents, "never there");
    batch.put(state, "s", "first");
    batch.put(state, "s", "second");
    engine.write(&batch).expect("a write");
    assert_eq!(keys(engine.as_ref(), contents), ["a", "c", "d", "e"]);
    assert_eq!(engine.get(contents, b"c").expect("a get"), Some("again".into()));
    assert_eq!(engine.get(state, b"s").expect("a get"), Some("second".into()));
}

fn scans_keep_order_direction_and_limits<F: Fixture>() {
    let fixture = F::create();
    let (engine, [space, _]) = (fixture.engine(), F::spaces());
    put(engine.as_ref(), space, &["d", "b", "a", "c", "ba"]);
    let names = |range, direction| -> String {
        let pairs = pairs(engine.as_ref(), space, range, direction);
        pairs.into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" ")
    };
    use Direction::{Backward, Forward};
    assert_eq!(names(KeyRange::ALL, Forward), "a b ba c d");
    assert_eq!(names(KeyRange::ALL, Backward), "d c ba b a");
    assert_eq!(names(KeyRange::from(b"b"), Forward), "b ba c d");
    assert_eq!(names(KeyRange::from(b"b"), Backward), "d c ba b");
    assert_eq!(names(KeyRange::between(b"b", b"c"), Forward), "b ba");
    assert_eq!(names(KeyRange::between(b"b", b"c"), Backward), "ba b");
    assert_eq!(names(KeyRange::between(b"bb", b"cc"), Backward), "c");
    assert_eq!(names(KeyRange::from(b"e"), Forward), "");
    assert_eq!(names(KeyRange::from(b"e"), Backward), "");
}

fn a_scan_ends_when_its_visitor_breaks_or_fails<F: Fixture>() {
    let fixture = F::create();
    let (engine, [space, _]) = (fixture.engine(), F::spaces());
    put(engine.as_ref(), space, &["a", "b", "c"]);
    let mut seen = 0;
    let mut two = |_: &[u8], _: &[u8]| {
        seen += 1;
        Ok(if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    engine.scan(space, KeyRange::ALL, Direction::Forward, &mut two).expect("a scan");
    assert_eq!(seen, 2);
    let mut refuse = |_: &[u8], _: &[u8]| Err(StorageError::io("look", "it is dark"));
    let error = engine.scan(space, KeyRange::ALL, Direction::Forward, &mut refuse);
    assert_eq!(error, Err(StorageError::io("look", "it is dark")));
    assert_eq!(keys(engine.as_ref(), space).len(), 3, "a visitor's failure is not the engine's");
}

fn spaces_do_not_see_each_other<F: Fixture>() {
    let fixture = F::create();
    let (engine, [contents, state]) = (fixture.engine(), F::spaces());
    put(engine.as_ref(), contents, &["a", "b"]);
    put(engine.as_ref(), state, &["b", "c"]);
    let mut batch = Batch::new();
    batch.delete_range(contents, "a", "z");
    engine.write(&batch).expect("a write");
    assert_eq!(keys(engine.as_ref(), contents), [""; 0]);
    assert_eq!(keys(engine.as_ref(), state), ["b", "c"]);
}

fn an_inverted_range_is_empty<F: Fixture>() {
    let fixture = F::create();
    let (engine, [space, _]) = (fixture.engine(), F::spaces());
    put(engine.as_ref(), space, &["a", "b"]);
    let mut batch = Batch::new();
    batch.delete_range(space, "b", "a");
    batch.delete_range(space, "b", "b");
    engine.write(&batch).expect("a write");
    for (from, to) in [(b"b", b"a"), (b"b", b"b")] {
        for direction in [Direction::Forward, Direction::Backward] {
            assert_eq!(pairs(engine.as_ref(), space, KeyRange::between(from, to), direction), []);
        }
    }
    assert_eq!(keys(engine.as_ref(), space), ["a", "b"]);
}

fn large_values_survive_a_reopening<F: Fixture>() {
    let fixture = F::create();
    let [space, _] = F::spaces();
    let value = |index: usize| vec![index as u8; index * 100_000];
    let mut batch = Batch::new();
    for index in 0..20 {
        batch.put(space, format!("{index:02}"), value(index));
    }
    fixture.engine().write(&batch).expect("a write");
    fixture.engine().sync().expect("a sync");
    let fixture = fixture.reopen();
    for index in 0..20 {
        let found = fixture.engine().get(space, format!("{index:02}").as_bytes()).expect("a get");
        assert!(found.expect("it was synced") == value(index), "value {index}");
    }
}

fn what_was_synced_survives_a_reopening<F: Fixture>() {
    let [contents, state] = F::spaces();
    let mut fixture = F::create();
    for round in 0..5 {
        let mut batch = Batch::new();
        batch.put(contents, format!("key {round}"), format!("{round}"));
        batch.put(state, "round", format!("{round}"));
        fixture.engine().write(&batch).expect("a write");
        fixture.engine().sync().expect("a sync");
        fixture = fixture.reopen();
        assert_eq!(keys(fixture.engine().as_ref(), contents).len(), round + 1);
        let last = fixture.engine().get(state, b"round").expect("a get");
        assert_eq!(last, Some(round.to_string().into()));
    }
}

fn a_store_is_stamped_once_and_opened_as_what_it_is<F: Fixture>() {
    let fixture = F::create();
    let [contents, state] = F::spaces();
    let contents: &'static [Space] = Box::leak(Box::new([contents]));
    let engine = fixture.engine();
    let stamping = |format| Stamping { what: "a store", space: state, contents, format };
    assert!(stamping(2).check(&*engine, STORE).expect_err("nothing was made").is_damage());
    let mut first = Batch::new();
    first.put(state, "first", "what it begins with");
    assert_eq!(stamping(2).make(&*engine, STORE, first), Ok(()));
    assert_eq!(keys(&*engine, state), ["first", "stamp"]);
    assert_eq!(stamping(2).check(&*engine, STORE), Ok(2));
    assert_eq!(stamping(3).check(&*engine, STORE), Ok(2), "an older format is told to its reader");
    let newer = StorageError::NewerFormat { what: "a store".into(), found: 2, supported: 1 };
    assert_eq!(stamping(1).check(&*engine, STORE), Err(newer));
    let other = StoreId([7; 16]);
    let foreign = StorageError::Foreign { what: "a store", found: STORE, expected: other };
    assert_eq!(stamping(2).check(&*engine, other), Err(foreign));

    let not_empty = |space: Space| Err(StorageError::NotEmpty { what: "a store", space: space.name() });
    assert_eq!(stamping(2).make(&*engine, other, Batch::new()), not_empty(state));
    put(&*engine, contents[0], &["a"]);
    assert_eq!(stamping(2).make(&*engine, other, Batch::new()), not_empty(contents[0]));
    assert_eq!(stamping(2).check(&*engine, STORE), Ok(2), "what was there is there");
}

#[test]
fn a_crash_of_the_memory_engine_leaves_what_was_synced_and_a_prefix_of_the_rest() {
    let engine = MemoryEngine::new();
    let space = Space::Journal;
    put(&engine, space, &["a"]);
    engine.sync().expect("a sync");
    put(&engine, space, &["b"]);
    put(&engine, space, &["c"]);
    assert_eq!(engine.unsynced(), 2);
    assert_eq!(keys(&engine, space), ["a", "b", "c"]);
    assert_eq!(keys(&engine.crash(), space), ["a"]);
    assert_eq!(keys(&engine.crash_keeping(1), space), ["a", "b"]);
    assert_eq!(keys(&engine.crash_keeping(9), space), ["a", "b", "c"]);
    engine.sync().expect("a sync");
    assert_eq!(keys(&engine.crash(), space), ["a", "b", "c"]);
}

#[test]
fn after_a_failed_sync_or_write_nothing_passes_any_more() {
    let sync_fails = |engine: &MemoryEngine| engine.fail_sync(1);
    let write_fails = |engine: &MemoryEngine| engine.fail_write(1);
    for (fails, inject) in [("sync", &sync_fails as &dyn Fn(&MemoryEngine)), ("write", &write_fails)] {
        let engine = MemoryEngine::new();
        put(&engine, Space::Journal, &["a"]);
        engine.sync().expect("a sync");
        inject(&engine);
        let mut batch = Batch::new();
        batch.put(Space::Journal, "b", "b");
        let outcome = engine.write(&batch).and_then(|()| engine.sync());
        assert!(matches!(outcome, Err(StorageError::Io { .. })), "{fails}: {outcome:?}");

        let poisoned = |outcome: Result<(), StorageError>| {
            assert!(matches!(outcome, Err(StorageError::Poisoned { .. })), "{fails}: {outcome:?}");
        };
        poisoned(engine.sync());
        poisoned(engine.write(&batch));
        poisoned(engine.get(Space::Journal, b"a").map(|_| ()));
        let mut visit = |_: &[u8], _: &[u8]| Ok(ControlFlow::Continue(()));
        poisoned(engine.scan(Space::Journal, KeyRange::ALL, Direction::Forward, &mut visit));
        assert_eq!(keys(&engine.crash(), Space::Journal), ["a"], "{fails}");
    }
}
