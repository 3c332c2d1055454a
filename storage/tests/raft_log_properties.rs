//! The Raft log against a model: over random histories, reopenings and power cuts.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bursar_storage::engine::MemoryEngine;
use bursar_storage::log::{Bounds, LogEntry, LogPosition, RaftLog, Vote};
use proptest::prelude::*;
use support::{Fixture, InlineWorker, ManualWorker, Memory, Observed, STORE, empty_log, entry, position};

/// What a log should hold.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    term: u64,
    vote: Option<Vote>,
    purged: Option<LogPosition>,
    entries: BTreeMap<u64, LogEntry>,
}

impl Model {
    fn last(&self) -> Option<LogPosition> {
        let last = self.entries.last_key_value();
        last.map(|(_, entry)| entry.position).or(self.purged)
    }

    /// What the log says that it holds.
    fn of(log: &RaftLog, term: u64) -> Self {
        let entries = log.read(0..u64::MAX, u64::MAX).expect("a read");
        Model {
            term,
            vote: log.vote(),
            purged: log.bounds().purged,
            entries: entries.into_iter().map(|entry| (entry.position.index, entry)).collect(),
        }
    }
}

/// A step, told relative to the log so that every random one makes sense.
#[derive(Debug, Clone)]
enum Step {
    Append { count: u64, size: usize },
    TruncateLast { count: u64 },
    PurgeFirst { count: u64 },
    SaveVote,
    SaveCommitted,
    Turn,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4_u64, 0..200_usize).prop_map(|(count, size)| Step::Append { count, size }),
        2 => (0..4_u64).prop_map(|count| Step::TruncateLast { count }),
        2 => (0..4_u64).prop_map(|count| Step::PurgeFirst { count }),
        1 => Just(Step::SaveVote),
        1 => Just(Step::SaveCommitted),
        3 => Just(Step::Turn),
    ];
    prop::collection::vec(step, 1..40)
}

/// Takes a step on the model and on the log alike. `done` is called where the log calls back.
fn take(step: &Step, model: &mut Model, log: &RaftLog, done: impl FnOnce() + Send + 'static) {
    let done = Box::new(move |outcome: Result<(), _>| {
        outcome.expect("nothing fails here");
        done();
    });
    match *step {
        Step::Append { count, size } => {
            let first = model.last().map_or(1, |last| last.index + 1);
            let entries: Vec<_> = (first..first + count).map(|index| entry(model.term, index, size)).collect();
            model.entries.extend(entries.iter().map(|entry| (entry.position.index, entry.clone())));
            log.append(entries, done);
        }
        Step::TruncateLast { count } => {
            let kept = model.last().map_or(0, |last| last.index).saturating_sub(count);
            model.entries.split_off(&(kept + 1));
            model.term += 1;
            log.truncate_after(Some(kept)).expect("a truncation");
        }
        Step::PurgeFirst { count } => {
            let first = model.entries.first_key_value().map(|(index, _)| *index);
            let next = first.or(model.last().map(|last| last.index + 1)).unwrap_or(1);
            let up_to = position(model.term, next + count);
            model.entries = model.entries.split_off(&(up_to.index + 1));
            model.purged = Some(up_to);
            log.purge(up_to).expect("a purge");
        }
        Step::SaveVote => {
            model.term += 1;
            let vote = Vote { term: model.term, leader: 1, committed: model.term.is_multiple_of(2) };
            model.vote = Some(vote);
            log.save_vote(vote, done);
        }
        Step::SaveCommitted => log.save_committed(model.last()).expect("no failure"),
        Step::Turn => {}
    }
}

fn check_against_model<F: Fixture>(histories: Vec<Vec<Step>>, cache_bytes: u64) -> Result<(), TestCaseError> {
    let mut fixture = F::create();
    RaftLog::make(&*fixture.engine(), STORE).expect("an empty engine");
    let mut model = Model::default();
    for history in histories {
        let worker = Arc::new(ManualWorker::default());
        let log = RaftLog::open(fixture.engine(), STORE, worker.clone(), cache_bytes).expect("a sound store");
        for step in &history {
            take(step, &mut model, &log, || {});
            if let Step::Turn = step {
                worker.run_one();
            }
            let bounds = Bounds { purged: model.purged, last: model.last() };
            prop_assert_eq!(log.bounds(), bounds);
            prop_assert_eq!(Model::of(&log, model.term), model.clone());
        }
        worker.run_all();
        prop_assert_eq!(Model::of(&log, model.term), model.clone());
        drop(log);
        fixture = fixture.reopen();
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn a_log_in_memory_is_like_the_model(
        histories in prop::collection::vec(steps(), 1..4),
        cache_bytes in prop_oneof![Just(0), Just(500), Just(u64::MAX)],
    ) {
        check_against_model::<Memory>(histories, cache_bytes)?;
    }

    #[test]
    fn whatever_was_acknowledged_survives_a_power_cut(steps in steps()) {
        prop_assert_eq!(cut_power_everywhere(&steps, Observed::over), Ok(()));
    }
}

#[cfg(feature = "rocksdb")]
proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(12) })]

    #[test]
    fn a_log_in_rocksdb_is_like_the_model(
        histories in prop::collection::vec(steps(), 1..4),
        cache_bytes in prop_oneof![Just(0), Just(500), Just(u64::MAX)],
    ) {
        check_against_model::<support::rocks::RocksLog>(histories, cache_bytes)?;
    }
}

/// What the log promised so far: each state that it went through, and the newest of them that was acknowledged.
#[derive(Default)]
struct Promises {
    states: Vec<Model>,
    acknowledged: usize,
    committed: Vec<Option<LogPosition>>,
    broken: Option<String>,
}

impl Promises {
    /// A store after a power cut must hold one of the states from the acknowledged one on.
    fn check(&mut self, engine: &MemoryEngine, unsynced_kept: usize) {
        let store = engine.crash_keeping(unsynced_kept);
        let log = RaftLog::open(Arc::new(store), STORE, Arc::new(InlineWorker), 0).expect("a power cut is no damage");
        let found = |state: &Model| Model::of(&log, state.term) == *state;
        if !self.states[self.acknowledged..].iter().any(found) {
            let acknowledged = &self.states[self.acknowledged];
            self.broken.get_or_insert(format!("acknowledged {acknowledged:?}, found {:?}", Model::of(&log, acknowledged.term)));
        }
        if !self.committed.contains(&log.committed()) {
            self.broken.get_or_insert(format!("nobody committed {:?}", log.committed()));
        }
    }
}

/// Takes the steps, and cuts the power before each sync, with every part of what was not synced, and after each turn.
fn cut_power_everywhere(steps: &[Step], observe: impl FnOnce(MemoryEngine) -> Arc<Observed>) -> Result<(), String> {
    let memory = empty_log();
    let engine = observe(memory.clone());
    let worker = Arc::new(ManualWorker::default());
    let log = RaftLog::open(engine.clone(), STORE, worker.clone(), 300).expect("an empty store");
    let mut model = Model::default();
    let promises = Arc::new(Mutex::new(Promises { states: vec![model.clone()], committed: vec![None], ..Promises::default() }));
    let (hook_memory, hook_promises) = (memory.clone(), promises.clone());
    engine.before_sync.each_time(move || {
        for kept in 0..=hook_memory.unsynced() {
            hook_promises.lock().expect("no check panicked").check(&hook_memory, kept);
        }
    });
    for step in steps.iter().chain([&Step::SaveVote, &Step::Turn, &Step::Turn]) {
        let state = promises.lock().expect("no check panicked").states.len();
        let told = promises.clone();
        take(step, &mut model, &log, move || {
            told.lock().expect("no check panicked").acknowledged = state;
        });
        {
            let mut promises = promises.lock().expect("no check panicked");
            promises.states.push(model.clone());
            promises.committed.push(log.committed());
        }
        if let Step::Turn = step {
            worker.run_one();
            promises.lock().expect("no check panicked").check(&memory, 0);
        }
    }
    let mut promises = promises.lock().expect("no check panicked");
    promises.broken.take().map_or(Ok(()), Err)
}

#[test]
fn an_engine_that_lies_about_its_syncs_is_caught() {
    let append = Step::Append { count: 1, size: 10 };
    for acknowledged in [append, Step::SaveVote] {
        let steps = [acknowledged, Step::Turn];
        assert_eq!(cut_power_everywhere(&steps, Observed::over), Ok(()));
        let broken = cut_power_everywhere(&steps, Observed::lying).expect_err("nothing was ever synced");
        assert!(broken.starts_with("acknowledged Model"), "{broken}");
    }
}
