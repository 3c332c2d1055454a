//! The Raft log: one sync for all that wait, in order, and nothing is acknowledged that is not durable.

mod support;

use std::sync::Arc;

use bursar_domain::StoreId;
use bursar_net::Worker;
use bursar_storage::engine::{Batch, Engine, MemoryEngine, Space};
use bursar_storage::ledger::Applied;
use bursar_storage::log::{Bounds, LogEntry, LogPosition, Payload, RaftLog, Vote};
use bursar_storage::{Place, StorageError, compare_ages};
use support::{Calls, InlineWorker, ManualWorker, Observed, STORE, ThreadWorker, empty_log, entry, position};

const CACHE: u64 = 1 << 20;

fn open(engine: &MemoryEngine) -> Result<RaftLog, StorageError> {
    RaftLog::open(Arc::new(engine.clone()), STORE, Arc::new(InlineWorker), CACHE)
}

fn manual(engine: Arc<dyn Engine>) -> (RaftLog, Arc<ManualWorker>) {
    let worker = Arc::new(ManualWorker::default());
    let log = RaftLog::open(engine, STORE, worker.clone(), CACHE).expect("a sound store");
    (log, worker)
}

fn indexes(log: &RaftLog) -> Vec<u64> {
    let entries = log.read(0..u64::MAX, u64::MAX).expect("a read");
    entries.iter().map(|entry| entry.position.index).collect()
}

fn vote(term: u64) -> Vote {
    Vote { term, leader: 1, committed: false }
}

fn ignore() -> Box<dyn FnOnce(Result<(), Arc<StorageError>>) + Send> {
    Box::new(|_| {})
}

#[test]
fn what_arrives_during_a_sync_shares_the_next_one() {
    let memory = empty_log();
    let engine = Observed::over(memory.clone());
    let (log, worker) = manual(engine.clone());
    let opening = memory.counters().syncs;
    let calls = Calls::default();

    log.append(vec![entry(1, 0, 10)], calls.done("first"));
    assert_eq!(worker.waiting(), 1);
    let (during, during_calls) = (log.clone(), calls.clone());
    engine.before_sync.once(move || {
        for index in 1..=100 {
            during.append(vec![entry(1, index, 10)], during_calls.done(index));
        }
        during.save_vote(vote(1), during_calls.done("vote"));
        assert_eq!(during_calls.names(), [""; 0], "nothing is told before the sync");
    });
    worker.run_one();
    assert_eq!(calls.names(), ["first"]);
    assert_eq!(worker.waiting(), 1, "one turn is asked for, however many wait");
    worker.run_all();
    let expected: Vec<String> =
        ["first".into()].into_iter().chain((1..=100).map(|index: u64| index.to_string())).chain(["vote".into()]).collect();
    assert_eq!(calls.names(), expected);
    assert_eq!(memory.counters().syncs - opening, 2);
    let counters = log.counters();
    assert_eq!((counters.groups, counters.syncs, counters.entries), (2, 2, 101));
}

#[test]
fn entries_and_removals_are_seen_at_once() {
    let (log, worker) = manual(Arc::new(empty_log()));
    log.append((0..10).map(|index| entry(1, index, 10)).collect(), ignore());
    assert_eq!(indexes(&log), (0..10).collect::<Vec<_>>());
    log.truncate_after(Some(6)).expect("a truncation");
    log.append(vec![entry(2, 7, 10)], ignore());
    log.purge(position(1, 2)).expect("a purge");
    assert_eq!(indexes(&log), [3, 4, 5, 6, 7]);
    let expected = Bounds { purged: Some(position(1, 2)), last: Some(position(2, 7)) };
    assert_eq!(log.bounds(), expected);
    assert_eq!(log.counters().groups, 0);
    worker.run_all();
    assert_eq!(indexes(&log), [3, 4, 5, 6, 7]);
    assert_eq!(log.counters().groups, 1);
}

#[test]
fn a_vote_is_durable_before_it_is_told() {
    let memory = empty_log();
    let engine = Observed::over(memory.clone());
    let (log, worker) = manual(engine.clone());
    let calls = Calls::default();
    log.save_vote(vote(7), calls.done("vote"));
    let (before, before_calls) = (memory.clone(), calls.clone());
    engine.before_sync.once(move || {
        assert_eq!(before_calls.names(), [""; 0]);
        assert_eq!(open(&before.crash()).expect("a sound store").vote(), None);
    });
    worker.run_all();
    assert_eq!(calls.names(), ["vote"]);
    assert_eq!(open(&memory.crash()).expect("a sound store").vote(), Some(vote(7)));
}

#[test]
fn a_committed_position_rides_along_without_a_turn_of_its_own() {
    let memory = empty_log();
    let (log, worker) = manual(Arc::new(memory.clone()));
    log.save_committed(Some(position(1, 0))).expect("no failure");
    assert_eq!(worker.waiting(), 0);
    assert_eq!(log.committed(), Some(position(1, 0)));
    log.append(vec![entry(1, 0, 10)], ignore());
    worker.run_all();
    assert_eq!(open(&memory.crash()).expect("a sound store").committed(), Some(position(1, 0)));
}

#[test]
fn a_callback_that_asks_for_more_overtakes_nobody() {
    let log = open(&empty_log()).expect("an empty store");
    let calls = Calls::default();
    let (inner_log, inner_done, first) = (log.clone(), calls.done("inner"), calls.done("first"));
    log.append(
        vec![entry(1, 0, 10)],
        Box::new(move |outcome| {
            inner_log.append(vec![entry(1, 1, 10)], inner_done);
            first(outcome);
        }),
    );
    assert_eq!(calls.names(), ["first", "inner"]);
    assert_eq!(indexes(&log), [0, 1]);
}

#[test]
fn the_first_failure_is_everybodys_and_final() {
    let inject_sync = |engine: &MemoryEngine| engine.fail_sync(1);
    let inject_write = |engine: &MemoryEngine| engine.fail_write(1);
    for inject in [&inject_sync as &dyn Fn(&MemoryEngine), &inject_write] {
        let memory = empty_log();
        let (log, worker) = manual(Arc::new(memory.clone()));
        inject(&memory);
        let calls = Calls::default();
        log.append(vec![entry(1, 0, 10)], calls.done("append"));
        log.save_vote(vote(1), calls.done("vote"));
        worker.run_one();
        log.append(vec![entry(1, 1, 10)], calls.done("later append"));
        log.save_vote(vote(2), calls.done("later vote"));
        worker.run_all();
        assert_eq!(calls.names(), ["append!", "vote!", "later append!", "later vote!"]);

        let mut failures: Vec<_> = calls.outcomes().into_iter().filter_map(Result::err).collect();
        failures.extend(log.read(0..9, u64::MAX).err());
        failures.extend(log.purge(position(1, 0)).err());
        failures.extend(log.truncate_after(None).err());
        failures.extend(log.save_committed(None).err());
        assert_eq!(failures.len(), 8);
        assert!(matches!(*failures[0], StorageError::Io { .. }), "{}", failures[0]);
        assert!(failures.iter().all(|failure| Arc::ptr_eq(failure, &failures[0])));
        let (writes, syncs) = (memory.counters().writes, memory.counters().syncs);
        worker.run_all();
        assert_eq!((memory.counters().writes, memory.counters().syncs), (writes, syncs), "nothing is retried");
        assert_eq!(indexes(&open(&memory.crash()).expect("a sound store")), [0; 0]);
    }
}

#[test]
fn a_panic_of_the_engine_is_told_to_all_who_wait_and_final() {
    let engine = Observed::over(empty_log());
    let (log, worker) = manual(engine.clone());
    let calls = Calls::default();
    log.append(vec![entry(1, 0, 10)], calls.done("append"));
    log.save_vote(vote(1), calls.done("vote"));
    engine.before_sync.once(|| panic!("planted"));
    worker.run_one();
    log.append(vec![entry(1, 1, 10)], calls.done("later"));
    worker.run_all();
    assert_eq!(calls.names(), ["append!", "vote!", "later!"]);
    for outcome in calls.outcomes() {
        let failure = outcome.expect_err("nothing was synced").to_string();
        assert!(failure.contains("panicked") && failure.contains("planted") && failure.contains("report this"), "{failure}");
    }
}

#[test]
fn a_callback_that_panics_keeps_no_other_from_its_outcome_and_nothing_is_written_any_more() {
    let memory = empty_log();
    let (log, worker) = manual(Arc::new(memory.clone()));
    let calls = Calls::default();
    log.append(vec![entry(1, 0, 10)], Box::new(|_| panic!("planted")));
    log.append(vec![entry(1, 1, 10)], calls.done("behind it"));
    worker.run_all();
    log.append(vec![entry(1, 2, 10)], calls.done("later"));
    worker.run_all();
    assert_eq!(calls.names(), ["behind it", "later!"]);
    assert_eq!(indexes(&open(&memory.crash()).expect("a sound store")), [0, 1]);
}

#[tokio::test]
async fn a_failure_of_which_no_caller_is_told_is_told_to_who_watches() {
    let memory = empty_log();
    let (log, worker) = manual(Arc::new(memory.clone()));
    log.append(vec![entry(1, 0, 10)], ignore());
    worker.run_all();
    let watching = tokio::spawn({
        let log = log.clone();
        async move { log.failed().await }
    });
    memory.fail_sync(1);
    log.purge(position(1, 0)).expect("it is asked for");
    worker.run_all();
    let failure = watching.await.expect("watching does not panic");
    assert!(matches!(*failure, StorageError::Io { .. }), "{failure}");
    assert!(Arc::ptr_eq(&failure, &log.failed().await), "whoever comes later is told the same");
}

#[test]
fn a_hole_or_an_overlap_is_refused_and_final() {
    for wrong in [4, 1, 2] {
        let log = open(&empty_log()).expect("an empty store");
        let calls = Calls::default();
        log.append(vec![entry(1, 1, 10), entry(1, 2, 10)], calls.done("right"));
        log.append(vec![entry(1, wrong, 10)], calls.done("wrong"));
        log.append(vec![entry(1, 3, 10)], calls.done("later"));
        assert_eq!(calls.names(), ["right", "wrong!", "later!"]);
        let expected = StorageError::HoleInLog { expected: 3, found: wrong };
        assert_eq!(calls.outcomes()[1], Err(Arc::new(expected)));
    }
}

#[test]
fn a_hole_within_one_append_or_after_a_purge_is_refused() {
    let log = open(&empty_log()).expect("an empty store");
    let calls = Calls::default();
    log.append(vec![entry(1, 1, 10), entry(1, 3, 10)], calls.done("hole"));
    assert_eq!(calls.names(), ["hole!"]);

    let log = open(&empty_log()).expect("an empty store");
    log.purge(position(1, 5)).expect("a purge");
    log.append(vec![entry(1, 7, 10)], calls.done("gap"));
    assert_eq!(calls.names(), ["hole!", "gap!"]);

    let log = open(&empty_log()).expect("an empty store");
    log.append(vec![entry(1, 5, 10)], calls.done("five"));
    let hole = StorageError::HoleInLog { expected: 5, found: 3 };
    assert_eq!(log.purge(position(1, 3)), Err(Arc::new(hole)));
}

#[test]
fn a_log_may_begin_anywhere_and_goes_on_after_a_purge_beyond_its_end() {
    let memory = empty_log();
    let log = open(&memory).expect("an empty store");
    log.append(vec![entry(1, 2, 10)], ignore());
    log.purge(position(1, 1)).expect("a purge before the first entry");
    log.purge(position(3, 20)).expect("a purge beyond the end");
    assert_eq!(log.bounds().last, Some(position(3, 20)));
    log.append(vec![entry(3, 21, 10)], ignore());
    log.truncate_after(Some(20)).expect("a truncation to the purged position");
    assert_eq!(log.bounds().last, Some(position(3, 20)));
    log.append(vec![entry(4, 21, 10)], ignore());
    let again = open(&memory.crash()).expect("a sound store");
    assert_eq!(again.bounds(), log.bounds());
    assert_eq!(indexes(&again), [21]);
}

#[test]
fn a_read_is_bounded_by_bytes_and_never_empty_for_it() {
    for cache in [0, CACHE] {
        let engine = Arc::new(empty_log());
        let log = RaftLog::open(engine, STORE, Arc::new(InlineWorker), cache).expect("an empty store");
        log.append((0..10).map(|index| entry(1, index, 100)).collect(), ignore());
        let weight = entry(1, 0, 100).weight();
        let count = |range, max| log.read(range, max).expect("a read").len();
        assert_eq!(count(0..10, 0), 1);
        assert_eq!(count(0..10, weight), 1);
        assert_eq!(count(0..10, 3 * weight), 3);
        assert_eq!(count(0..10, 4 * weight - 1), 3);
        assert_eq!(count(7..u64::MAX, u64::MAX), 3);
        assert_eq!(count(3..3, u64::MAX), 0);
        assert_eq!(count(10..20, u64::MAX), 0);
    }
}

#[test]
fn a_read_that_a_removal_overtakes_starts_anew() {
    let memory = empty_log();
    let engine = Observed::over(memory.clone());
    let log = RaftLog::open(engine.clone(), STORE, Arc::new(InlineWorker), 0).expect("an empty store");
    log.append((0..10).map(|index| entry(1, index, 10)).collect(), ignore());
    let other = log.clone();
    engine.before_scan.once(move || {
        other.purge(position(1, 2)).expect("a purge");
        other.truncate_after(Some(5)).expect("a truncation");
        other.append((6..9).map(|index| entry(2, index, 10)).collect(), ignore());
    });
    let found: Vec<_> = log.read(0..99, u64::MAX).expect("a read").iter().map(|entry| entry.position).collect();
    let expected: Vec<_> = (3..9).map(|index| position(if index < 6 { 1 } else { 2 }, index)).collect();
    assert_eq!(found, expected);
}

#[test]
fn readers_meet_no_gap_while_a_thread_writes() {
    const ENTRIES: u64 = 3_000;
    let worker: Arc<dyn Worker> = Arc::new(ThreadWorker::start());
    let log = RaftLog::open(Arc::new(empty_log()), STORE, worker, 1_000).expect("an empty store");
    let (told, last_told) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let entries = log.read(0..ENTRIES, u64::MAX).expect("a read");
                    for (index, entry) in entries.iter().enumerate() {
                        assert_eq!(entry.position.index, index as u64);
                    }
                    if entries.len() as u64 == ENTRIES {
                        break;
                    }
                }
            });
        }
        for index in 0..ENTRIES {
            let told = told.clone();
            log.append(
                vec![entry(1, index, 20)],
                Box::new(move |outcome| told.send((index, outcome)).expect("the test listens")),
            );
        }
    });
    for index in 0..ENTRIES {
        assert_eq!(last_told.recv().expect("every append is told"), (index, Ok(())));
    }
    let counters = log.counters();
    assert_eq!(counters.entries, ENTRIES);
    assert_eq!(counters.groups, counters.syncs);
}

#[test]
fn a_log_is_made_once_and_opened_for_its_own_directory_alone() {
    let (memory, other) = (MemoryEngine::new(), StoreId([7; 16]));
    let open_for = |store| RaftLog::open(Arc::new(memory.clone()), store, Arc::new(InlineWorker), CACHE).map(drop);
    assert!(open_for(STORE).expect_err("nothing was made").is_damage());
    RaftLog::make(&memory, STORE).expect("an empty engine");
    assert_eq!(open_for(STORE), Ok(()));
    assert_eq!(open_for(other), Err(StorageError::Foreign { what: "the Raft log", found: STORE, expected: other }));
    let again = RaftLog::make(&memory, other);
    assert_eq!(again, Err(StorageError::NotEmpty { what: "the Raft log", space: Space::LogState.name() }));
    assert_eq!(open_for(STORE), Ok(()), "what was there is there");
    assert_eq!(memory.unsynced(), 0, "a log that is made is durable");
}

#[test]
fn of_log_and_ledger_the_older_copy_is_named() {
    let ages = |vote_term: u64, purged: Option<LogPosition>, applied: Option<LogPosition>| {
        let log = open(&empty_log()).expect("an empty log");
        log.save_vote(vote(vote_term), ignore());
        if let Some(purged) = purged {
            log.purge(purged).expect("a purge");
        }
        match compare_ages(&log, &Applied { position: applied, ..Applied::default() }) {
            Ok(()) => None,
            Err(StorageError::OlderCopy { what, .. }) => Some(what),
            Err(other) => panic!("{other}"),
        }
    };
    let (fifth, sixth) = (Some(position(2, 5)), Some(position(2, 6)));
    assert_eq!(ages(0, None, None), None, "a new node");
    assert_eq!(ages(2, None, fifth), None, "the log is behind, as a power cut may leave it");
    assert_eq!(ages(2, fifth, fifth), None);
    assert_eq!(ages(3, fifth, sixth), None);
    assert_eq!(ages(2, sixth, fifth), Some("the ledger"));
    assert_eq!(ages(2, fifth, None), Some("the ledger"));
    assert_eq!(ages(1, None, fifth), Some("the Raft log"));
}

/// Whoever kept an entry had kept the vote of its term before: what a crash leaves has both, or the vote alone.
#[test]
fn a_log_that_is_ahead_of_its_vote_is_named() {
    let ages = |vote_term| {
        let log = open(&empty_log()).expect("an empty log");
        log.save_vote(vote(vote_term), ignore());
        log.append(vec![entry(2, 1, 8)], ignore());
        compare_ages(&log, &Applied::default())
    };
    assert_eq!(ages(2), Ok(()));
    assert!(matches!(ages(1), Err(StorageError::OlderCopy { what: "the Raft log", .. })));
}

/// Three entries of each kind, a vote, a committed and a purged position.
fn sample() -> MemoryEngine {
    let memory = empty_log();
    let log = open(&memory).expect("an empty store");
    let blank = LogEntry { position: position(1, 5), payload: Payload::Blank };
    log.append(vec![entry(1, 3, 8), entry(1, 4, 8), blank, entry(1, 6, 8)], ignore());
    log.purge(position(1, 3)).expect("a purge");
    log.save_committed(Some(position(1, 5))).expect("no failure");
    log.save_vote(vote(3), ignore());
    memory
}

fn overwrite(engine: &MemoryEngine, space: Space, key: &[u8], value: Vec<u8>) {
    let mut batch = Batch::new();
    batch.put(space, key.to_vec(), value);
    engine.write(&batch).expect("a write");
}

#[test]
fn every_flipped_bit_is_found_when_the_log_is_opened() {
    let index = |index: u64| (Space::LogEntries, index.to_be_bytes().to_vec(), Place::Index(index));
    let state = |key: &'static str| (Space::LogState, key.as_bytes().to_vec(), Place::Key(key));
    let values = [index(4), index(5), index(6), state("vote"), state("committed"), state("purged"), state("stamp")];
    let memory = sample();
    for (space, key, place) in values {
        let sound = memory.get(space, &key).expect("a get").expect("the sample has it");
        for bit in 0..sound.len() * 8 {
            let mut flipped = sound.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            overwrite(&memory, space, &key, flipped);
            match open(&memory).expect_err("a bit is flipped") {
                StorageError::Damaged { at, remedy, .. } => {
                    assert_eq!(at, place, "bit {bit}");
                    assert_eq!(remedy, bursar_storage::REBUILD_FROM_QUORUM);
                }
                other => panic!("{place}, bit {bit}: {other}"),
            }
        }
        overwrite(&memory, space, &key, sound.to_vec());
    }
    assert_eq!(indexes(&open(&memory).expect("it is sound again")), [4, 5, 6]);
}

#[test]
fn missing_swapped_and_left_over_entries_are_found_when_the_log_is_opened() {
    let damaged_at = |change: &dyn Fn(&MemoryEngine)| {
        let memory = sample();
        change(&memory);
        match open(&memory).expect_err("the store was changed") {
            StorageError::Damaged { at, .. } => at,
            other => panic!("{other}"),
        }
    };
    let key = |index: u64| index.to_be_bytes();
    for lost in [4, 5] {
        let at = damaged_at(&|memory| {
            let mut batch = Batch::new();
            batch.delete(Space::LogEntries, key(lost).to_vec());
            memory.write(&batch).expect("a write");
        });
        assert_eq!(at, Place::Index(lost));
    }
    let at = damaged_at(&|memory| {
        let other = memory.get(Space::LogEntries, &key(6)).expect("a get").expect("an entry");
        overwrite(memory, Space::LogEntries, &key(5), other.to_vec());
    });
    assert_eq!(at, Place::Index(5));
    let at = damaged_at(&|memory| {
        overwrite(memory, Space::LogEntries, &key(2), entry(1, 2, 8).encode().to_vec());
    });
    assert_eq!(at, Place::Index(2));
    let at = damaged_at(&|memory| overwrite(memory, Space::LogEntries, b"odd", b"".to_vec()));
    assert_eq!(at, Place::Key("entries"));
}

#[test]
fn damage_is_found_by_the_read_that_meets_it() {
    let memory = empty_log();
    let log = RaftLog::open(Arc::new(memory.clone()), STORE, Arc::new(InlineWorker), 0).expect("an empty store");
    log.append((0..5).map(|index| entry(1, index, 10)).collect(), ignore());
    overwrite(&memory, Space::LogEntries, &3_u64.to_be_bytes(), b"not a frame".to_vec());
    assert_eq!(log.read(0..3, u64::MAX).expect("sound entries").len(), 3);
    let failure = log.read(0..5, u64::MAX).expect_err("a damaged entry");
    assert!(failure.is_damage(), "{failure}");
    assert_eq!(log.read(0..3, u64::MAX), Err(failure), "damage is final");
}
