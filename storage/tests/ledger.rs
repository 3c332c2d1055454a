//! The ledger: what is committed stays, what is torn is whole again, and what is damaged is named.

mod common;
mod support;

use std::sync::Arc;
use std::thread;

use bursar_domain::{Hash, Revision, Sealed, StoreId};
use bursar_storage::StorageError;
use bursar_storage::engine::{Batch, Engine, MemoryEngine, Space};
use bursar_storage::envelope::{self, HEADER_BYTES, Kind};
use bursar_storage::ledger::{Applied, Ledger, PastError, Progress, Recovered};
use bytes::Bytes;
use common::author::{Decided, history, last};
use common::wishes::{Ask, Wish, bulk, edits};
use common::{Counted, Replica, STORE, contents, generations, journal_of, on_every_engine, replace};
use support::Fixture;

on_every_engine! {
    an_empty_ledger_opens_empty
    what_was_committed_is_there_after_a_reopening
    a_checkpoint_and_its_tail_are_the_state
    every_state_of_the_past_is_found_again
    readers_get_what_they_ask_for_from_memory_and_from_the_engine
    a_held_checkpoint_stays_and_others_go
    every_flipped_bit_is_found_and_named
    newer_formats_are_told_from_damage
    a_hole_in_the_journal_is_found
    a_record_in_anothers_place_is_found
}

/// Every kind of value that a ledger holds.
const KINDS: [Kind; 6] =
    [Kind::Stamp, Kind::Record, Kind::Applied, Kind::CheckpointManifest, Kind::CheckpointChunk, Kind::CheckpointPointer];

fn an_empty_ledger_opens_empty<F: Fixture>() {
    let fixture = F::create();
    drop(Replica::make(fixture.engine()));
    for _ in 0..2 {
        let replica = Replica::open(fixture.engine()).expect("an empty ledger");
        assert_eq!((replica.ledger.head(), replica.ledger.floor()), (Revision::ZERO, Revision::ZERO));
        assert_eq!(replica.ledger.hash_at(Revision::ZERO), Ok(Some(Hash::ZERO)));
        assert_eq!(replica.ledger.records(Revision::ZERO, Revision(9), 100), Ok(Vec::new()));
        assert!(replica.ledger.latest_checkpoint().is_none());
        let verified = replica.ledger.verify(&mut |_| panic!("there is nothing to report")).expect("nothing is sound");
        assert_eq!((verified.records, verified.checkpoint), (0, None));
    }
}

fn what_was_committed_is_there_after_a_reopening<F: Fixture>() {
    let fixture = F::create();
    let mut wishes = edits(20);
    wishes.push(Wish::ChangeMembers { members: 3 });
    let history = history(&wishes);
    let mut replica = Replica::make(fixture.engine());
    replica.commit(&history[..5]);
    replica.commit_together(&history[5..]);
    replica.ledger.sync().expect("a sync");
    drop(replica);

    let fixture = fixture.reopen();
    let replica = Replica::open(fixture.engine()).expect("a sound ledger");
    replica.assert_stands_at(last(&history));
    assert_eq!(replica.applied.membership.membership.configs, [(1..=3).collect()]);
    assert_eq!(replica.journal_after(Revision::ZERO), journal_of(&history), "the domain's own bytes");
}

fn a_checkpoint_and_its_tail_are_the_state<F: Fixture>() {
    let fixture = F::create();
    let history = history(&bulk(40));
    let mut replica = Replica::make(fixture.engine());
    replica.commit(&history[..38]);
    let checkpoint = replica.checkpoint();
    assert_eq!(checkpoint.manifest().applied, history[37].applied);
    assert_eq!(checkpoint.manifest().digest, history[37].state.digest());
    assert!(checkpoint.manifest().chunks >= 3, "{} chunks", checkpoint.manifest().chunks);
    replica.commit(&history[38..]);
    replica.ledger.sync().expect("a sync");
    let bytes_behind = |after| replica.journal_after(after).iter().map(|record| record.len() as u64).sum::<u64>();
    assert_eq!(replica.ledger.folded_bytes(), bytes_behind(Revision::ZERO));
    let tail_bytes = bytes_behind(history[37].applied.revision);
    drop((replica, checkpoint));

    let fixture = fixture.reopen();
    let replica = Replica::open(fixture.engine()).expect("a sound ledger");
    replica.assert_stands_at(last(&history));
    assert_eq!(replica.ledger.folded_bytes(), tail_bytes);
    let checkpoint = replica.ledger.latest_checkpoint().expect("one was written");
    assert_eq!(checkpoint.manifest().applied, history[37].applied);

    let mut reports = Vec::new();
    let verified = replica.ledger.verify(&mut |progress| reports.push(progress)).expect("a sound ledger");
    let total = last(&history).applied.revision.0;
    assert_eq!(reports.last(), Some(&Progress { checked: total, total }));
    assert_eq!((verified.records, verified.checkpoint), (total, Some(history[37].applied.revision)));
    assert_eq!((verified.chunks, verified.items), (checkpoint.manifest().chunks, checkpoint.manifest().items));
    assert_eq!(verified.record_bytes, journal_of(&history).iter().map(|bytes| bytes.len() as u64).sum::<u64>());
}

fn every_state_of_the_past_is_found_again<F: Fixture>() {
    let fixture = F::create();
    let history = history(&edits(20));
    let mut replica = Replica::make(fixture.engine());
    replica.commit(&history[..10]);
    replica.checkpoint();
    replica.commit(&history[10..]);
    // Before the checkpoint, at it, and behind it.
    for decided in &history {
        let revision = decided.applied.revision;
        let state = replica.ledger.state_at(revision).expect("it was committed");
        assert_eq!((state.revision(), state.head(), state.digest()), (revision, decided.state.head(), decided.state.digest()));
    }
    let nothing = replica.ledger.state_at(Revision::ZERO).expect("where everything begins");
    assert_eq!((nothing.revision(), nothing.sites().len()), (Revision::ZERO, 0));
    let head = replica.ledger.head();
    let beyond = replica.ledger.state_at(head.next()).err();
    assert_eq!(beyond, Some(PastError::BeyondHead { asked: head.next(), head }));
}

fn readers_get_what_they_ask_for_from_memory_and_from_the_engine<F: Fixture>() {
    let fixture = F::create();
    let history = history(&edits(20));
    let journal = journal_of(&history);
    let mut live = Replica::make(fixture.engine());
    live.commit(&history);
    // A ledger that was just opened has nothing in memory yet.
    let opened = Replica::open(fixture.engine()).expect("a sound ledger");
    for replica in [&live, &opened] {
        let read = |after, upto, bytes_max| {
            let records = replica.ledger.records(Revision(after), Revision(upto), bytes_max).expect("a sound journal");
            for (record, revision) in records.iter().zip(after + 1..) {
                assert_eq!(record.revision, Revision(revision));
                assert_eq!(record.bytes, journal[revision as usize - 1]);
            }
            records.len()
        };
        assert_eq!(read(0, 22, usize::MAX), 22);
        assert_eq!(read(7, 12, usize::MAX), 5);
        assert_eq!(read(7, 12, 0), 1, "at least one");
        assert_eq!(read(7, 12, journal[7].len() + journal[8].len()), 2);
        assert_eq!(read(20, 1_000, usize::MAX), journal.len() - 20, "up to the head");
        assert_eq!(read(1_000, 2_000, usize::MAX), 0);
        assert_eq!(read(5, 5, usize::MAX), 0);
        for (bytes, revision) in journal.iter().zip(1..) {
            assert_eq!(replica.ledger.hash_at(Revision(revision)), Ok(Some(Hash::of(bytes))));
        }
        assert_eq!(replica.ledger.hash_at(Revision(journal.len() as u64 + 1)), Ok(None));
    }
}

fn a_held_checkpoint_stays_and_others_go<F: Fixture>() {
    let fixture = F::create();
    let engine = fixture.engine();
    let history = history(&edits(20));
    let mut replica = Replica::make(Arc::clone(&engine));
    replica.commit(&history[..5]);
    let held = replica.checkpoint();
    for decided in &history[5..10] {
        replica.commit(std::slice::from_ref(decided));
        replica.checkpoint();
    }
    assert_eq!(generations(&*engine), 2, "the held one and the last");
    assert_eq!(held.chunks(0).collect::<Result<Vec<_>, _>>().expect("they are held").len(), held.manifest().chunks as usize);
    assert_eq!(
        held.records(Revision::ZERO, usize::MAX).expect("a sound journal").len() as u64,
        held.manifest().applied.revision.0
    );

    drop(held);
    replica.commit(&history[10..]);
    let newest = replica.checkpoint();
    assert_eq!(generations(&*engine), 1);
    let again = replica.checkpoint();
    assert_eq!(again.manifest(), newest.manifest(), "it is as new already");
    assert_eq!(generations(&*engine), 1);
}

/// A ledger with a checkpoint and a tail.
fn specimen(engine: &Arc<dyn Engine>) -> Vec<Decided> {
    let history = history(&edits(12));
    let mut replica = Replica::make(Arc::clone(engine));
    replica.commit(&history[..8]);
    replica.checkpoint();
    replica.commit(&history[8..]);
    replica.ledger.sync().expect("a sync");
    history
}

/// Opens the ledger and goes through all of it.
fn open_and_verify(engine: &Arc<dyn Engine>) -> Result<(), StorageError> {
    let (ledger, _) = Ledger::open(Arc::clone(engine), STORE)?;
    ledger.verify(&mut |_| {}).map(drop)
}

/// How an error speaks of a value.
fn name_of(space: Space, key: &[u8]) -> String {
    match (space, key) {
        (Space::Journal, key) => {
            let revision = u64::from_be_bytes(key.try_into().expect("a revision"));
            format!("the journal is damaged at revision {revision}:")
        }
        (Space::Checkpoints, [.., 0]) if key.len() == 9 => "the manifest of checkpoint 1 is damaged at".into(),
        (Space::Checkpoints, [.., number]) => format!("chunk {number} of checkpoint 1 is damaged at"),
        (_, name) => format!("the ledger is damaged at `{}`", String::from_utf8_lossy(name)),
    }
}

fn every_flipped_bit_is_found_and_named<F: Fixture>() {
    let fixture = F::create();
    let engine = fixture.engine();
    specimen(&engine);
    let mut kinds = std::collections::BTreeSet::new();
    for space in [Space::Journal, Space::Checkpoints, Space::LedgerState] {
        for (key, value) in contents(&*engine, space) {
            kinds.insert(value[0]);
            // Kind, version, checksum, the beginning, the middle and the end of what is inside.
            for byte in [0, 1, 3, HEADER_BYTES, value.len() / 2, value.len() - 1] {
                let mut flipped = value.to_vec();
                flipped[byte] ^= 0x10;
                replace(&*engine, space, &key, flipped);
                let error = open_and_verify(&engine).expect_err("a bit is flipped");
                assert!(error.is_damage(), "{error}");
                assert!(error.to_string().starts_with(&name_of(space, &key)), "byte {byte} of {}: {error}", name_of(space, &key));
            }
            replace(&*engine, space, &key, value);
        }
    }
    assert_eq!(kinds, KINDS.map(|kind| kind as u8).into(), "every kind of value was there");
    open_and_verify(&engine).expect("everything is as it was");
}

fn newer_formats_are_told_from_damage<F: Fixture>() {
    let fixture = F::create();
    let engine = fixture.engine();
    specimen(&engine);
    for space in [Space::Journal, Space::Checkpoints, Space::LedgerState] {
        for (key, value) in contents(&*engine, space) {
            let kind = KINDS.into_iter().find(|kind| *kind as u8 == value[0]).expect("a kind of the ledger");
            replace(&*engine, space, &key, envelope::seal(kind, 2, &value[HEADER_BYTES..]));
            let error = open_and_verify(&engine).expect_err("the value is of a newer program");
            assert!(matches!(error, StorageError::NewerFormat { found: 2, supported: 1, .. }), "{error}");
            replace(&*engine, space, &key, value);
        }
    }
    // The encodings of the domain inside have versions of their own.
    let (key, value) = contents(&*engine, Space::Journal).pop().expect("there are records");
    let mut record = value[HEADER_BYTES..].to_vec();
    record[1] = 2;
    replace(&*engine, Space::Journal, &key, envelope::seal(Kind::Record, 1, &record));
    let error = open_and_verify(&engine).expect_err("the record is of a newer program");
    assert!(matches!(&error, StorageError::NewerFormat { what, .. } if what.contains("the journal, revision")), "{error}");
}

fn a_hole_in_the_journal_is_found<F: Fixture>() {
    let fixture = F::create();
    let engine = fixture.engine();
    let history = specimen(&engine);
    let checkpoint_at = history[7].applied.revision;
    let records = contents(&*engine, Space::Journal);
    for ((key, value), revision) in records.iter().zip(1..).map(|(pair, revision)| (pair, Revision(revision))) {
        let mut batch = Batch::new();
        batch.delete(Space::Journal, key.clone());
        engine.write(&batch).expect("a write");
        let error = open_and_verify(&engine).expect_err("a record is missing");
        let expected = format!("the journal is damaged at revision {revision}: the record is missing");
        assert!(error.to_string().starts_with(&expected), "{error}");
        // What is needed to rebuild the state, and the beginning, is looked at by every start; the rest when it is read.
        let at_start = Ledger::open(Arc::clone(&engine), STORE);
        assert_eq!(at_start.is_err(), revision >= checkpoint_at || revision == Revision(1), "revision {revision}");
        if let Ok((ledger, _)) = at_start {
            assert_eq!(ledger.records(Revision::ZERO, Revision(u64::MAX), usize::MAX), Err(error.clone()));
            assert_eq!(ledger.hash_at(revision), Err(error));
        }
        replace(&*engine, Space::Journal, key, value.clone());
    }
    open_and_verify(&engine).expect("everything is as it was");
}

fn a_record_in_anothers_place_is_found<F: Fixture>() {
    let fixture = F::create();
    let engine = fixture.engine();
    specimen(&engine);
    let records = contents(&*engine, Space::Journal);
    let (key, value) = &records[3];
    replace(&*engine, Space::Journal, key, records[4].1.clone());
    let error = open_and_verify(&engine).expect_err("revision 4 holds revision 5");
    assert!(error.to_string().contains("revision 4: the record there says that it is revision 5"), "{error}");

    // A sound record that says something else breaks the chain.
    let sealed = Sealed::open(value[HEADER_BYTES..].to_vec()).expect("it is sound");
    let mut other = sealed.record;
    other.time.0 += 1;
    let other = bursar_domain::encoding::encode(&other);
    replace(&*engine, Space::Journal, key, envelope::seal(Kind::Record, 1, &other));
    let error = open_and_verify(&engine).expect_err("revision 4 was forged");
    assert!(error.to_string().contains("revision 5: it follows a record of hash"), "{error}");
}

#[test]
fn a_power_cut_takes_whole_commits_from_the_end_and_nothing_else() {
    let history = history(&bulk(6));
    let (mut replica, engine) = Replica::in_memory();
    replica.commit(&history[..3]);
    replica.ledger.sync().expect("a sync");
    replica.commit(&history[3..]);
    assert_eq!(engine.unsynced(), history.len() - 3);
    for kept in 0..=engine.unsynced() {
        let replica = Replica::open(Arc::new(engine.crash_keeping(kept))).expect("what is left is sound");
        replica.assert_stands_at(&history[2 + kept]);
    }
}

#[test]
fn a_checkpoint_makes_the_journal_durable_before_it_is_reported() {
    let history = history(&edits(5));
    let (mut replica, engine) = Replica::in_memory();
    replica.commit(&history);
    let checkpoint = replica.checkpoint();
    assert_eq!(checkpoint.manifest().applied, last(&history).applied);
    let after_a_power_cut = Replica::open(Arc::new(engine.crash())).expect("a sound ledger");
    after_a_power_cut.assert_stands_at(last(&history));
    let kept = after_a_power_cut.ledger.latest_checkpoint().expect("it was reported");
    assert_eq!(kept.manifest(), checkpoint.manifest());
}

#[test]
fn a_checkpoint_that_is_interrupted_anywhere_changes_nothing_that_readers_see() {
    let history = history(&bulk(20));
    let (mut replica, engine) = Replica::in_memory();
    replica.commit(&history[..2]);
    replica.checkpoint();
    replica.commit(&history[2..]);
    replica.ledger.sync().expect("a sync");
    // What opening costs is not part of the checkpoint.
    let counted = Counted::over(engine.crash());
    drop(Replica::open(counted.clone()).expect("a sound ledger"));
    let opening = counted.operations();
    let mut outcomes = Vec::new();
    for nth in 1.. {
        let disk = engine.crash();
        let opened = Replica::open(Counted::failing_at(opening + nth, disk.clone())).expect("the failure comes later");
        let outcome = opened.ledger.write_checkpoint(&opened.state, &opened.applied).map(drop);
        for left in [disk.crash(), disk.crash_keeping(usize::MAX)] {
            let recovered = Replica::open(Arc::new(left.clone())).expect("what is left is sound");
            recovered.assert_stands_at(last(&history));
            assert_eq!(generations(&left), 1, "leftovers are cleaned");
        }
        outcomes.push(outcome.is_ok());
        if outcome.is_ok() {
            break;
        }
    }
    assert!(outcomes.len() > 6, "{} operations were interrupted", outcomes.len());
}

#[test]
fn a_checkpoint_is_written_in_pieces_and_never_goes_back() {
    let history = history(&bulk(100));
    let engine = Counted::over(Default::default());
    let mut replica = Replica::make(engine.clone());
    replica.commit(&history[..50]);
    let (state, applied) = (replica.state.clone(), replica.applied.clone());
    replica.commit(&history[50..]);
    let newest = replica.checkpoint();
    let state_bytes: usize = replica.state.export().map(|item| item.len()).sum();
    assert!(state_bytes > 1 << 20, "{state_bytes} bytes of state");
    assert!(engine.largest_batch() < 300 << 10, "{} bytes in a batch", engine.largest_batch());
    let late = replica.ledger.write_checkpoint(&state, &applied).expect("a checkpoint");
    assert_eq!(late.manifest(), newest.manifest(), "an older state does not take the place of a newer one");
}

#[test]
fn live_readers_do_not_ask_the_engine() {
    let engine = Counted::over(Default::default());
    let history = history(&edits(50));
    let mut replica = Replica::make(engine.clone());
    replica.commit(&history);
    let before = engine.operations();
    assert_eq!(replica.journal_after(Revision::ZERO), journal_of(&history));
    assert_eq!(engine.operations(), before);
}

#[test]
fn readers_run_beside_commits_and_see_no_gap() {
    let history = history(&edits(400));
    let upto = last(&history).applied.revision;
    let journal = journal_of(&history);
    let (mut replica, _) = Replica::in_memory();
    thread::scope(|scope| {
        for _ in 0..3 {
            let (ledger, journal) = (replica.ledger.clone(), &journal);
            scope.spawn(move || {
                let mut reached = Revision::ZERO;
                while reached < upto {
                    for record in ledger.records(reached, Revision(u64::MAX), 10_000).expect("a sound journal") {
                        assert_eq!(record.revision, reached.next());
                        assert_eq!(record.bytes, journal[reached.0 as usize]);
                        reached = record.revision;
                    }
                    thread::yield_now();
                }
            });
        }
        for (number, decided) in history.iter().enumerate() {
            replica.commit(std::slice::from_ref(decided));
            if number % 100 == 50 {
                replica.checkpoint();
            }
        }
    });
}

#[test]
fn a_commit_that_does_not_follow_is_a_broken_invariant() {
    let history = history(&[Wish::Ask(Ask::IssueJoinToken { minutes: 60 }), Wish::Ask(Ask::Admit { token: 1, store: 2 })]);
    let several = last(&history);
    assert!(several.records.len() > 1, "an admission has several events");
    let panics = |records: &[Sealed], decided: &Decided| {
        let (mut replica, engine) = Replica::in_memory();
        replica.commit(&history[..3]);
        let mut applied = decided.applied.clone();
        if let Some(last) = records.last() {
            (applied.revision, applied.head) = (last.record.revision, last.hash);
        }
        let attempt = std::panic::AssertUnwindSafe(|| replica.ledger.commit(records, &applied));
        let panicked = std::panic::catch_unwind(attempt).is_err();
        Replica::open(Arc::new(engine)).expect("a sound ledger").assert_stands_at(&history[if panicked { 2 } else { 3 }]);
        panicked
    };
    assert!(!panics(&several.records, several));
    assert!(panics(&several.records[..1], several), "half a decision");
    assert!(panics(&several.records[1..], several), "a gap");
    assert!(panics(&[], several), "records that are not there");
    assert!(panics(&history[2].records, &history[2]), "a repetition");
}

#[test]
fn a_ledger_is_made_once_and_opened_for_its_own_directory_alone() {
    let (engine, other) = (MemoryEngine::new(), StoreId([7; 16]));
    let open_for = |store| Ledger::open(Arc::new(engine.clone()), store).map(drop);
    assert!(open_for(STORE).expect_err("nothing was made").is_damage());
    Ledger::make(&engine, STORE).expect("an empty engine");
    assert_eq!(open_for(STORE), Ok(()));
    assert_eq!(open_for(other), Err(StorageError::Foreign { what: "the ledger", found: STORE, expected: other }));
    let again = Ledger::make(&engine, other);
    assert_eq!(again, Err(StorageError::NotEmpty { what: "the ledger", space: Space::LedgerState.name() }));
    assert_eq!(open_for(STORE), Ok(()), "what was there is there");
    assert_eq!(engine.unsynced(), 0, "a ledger that is made is durable");
}

#[test]
fn a_lost_applied_position_is_damage_and_no_fresh_start() {
    let (mut replica, engine) = Replica::in_memory();
    replica.commit(&history(&edits(3)));
    let mut batch = Batch::new();
    batch.delete(Space::LedgerState, Bytes::from_static(b"applied"));
    engine.write(&batch).expect("a write");
    let error = Ledger::open(Arc::new(engine.clone()), STORE).map(drop).expect_err("the position is gone");
    assert!(error.to_string().starts_with("the ledger is damaged at `applied`: it is missing"), "{error}");
    assert!(!contents(&engine, Space::Journal).is_empty(), "nothing was removed");
}

#[test]
fn an_applied_position_that_went_back_is_damage() {
    let history = history(&edits(6));
    let (mut replica, engine) = Replica::in_memory();
    replica.commit(&history[..3]);
    let (key, earlier) =
        contents(&engine, Space::LedgerState).into_iter().find(|(key, _)| **key == *b"applied").expect("it is there");
    replica.commit(&history[3..]);
    replica.checkpoint();
    replace(&engine, Space::LedgerState, &key, earlier);
    let error = Ledger::open(Arc::new(engine), STORE)
        .map(|(_, Recovered { applied, .. })| applied)
        .expect_err("it is behind the checkpoint");
    assert!(error.to_string().starts_with("the ledger is damaged at `applied`: it stands at revision"), "{error}");
}

#[test]
fn an_applied_position_of_another_history_is_damage() {
    let (mut replica, engine) = Replica::in_memory();
    replica.commit(&history(&edits(3)));
    let other = Applied { head: Hash::of(b"another history"), ..replica.applied.clone() };
    replace(&engine, Space::LedgerState, &Bytes::from_static(b"applied"), other.encode());
    let error = Ledger::open(Arc::new(engine), STORE).map(drop).expect_err("the last record has another hash");
    let expected = format!("the journal is damaged at revision {}: the last record has the hash", other.revision);
    assert!(error.to_string().starts_with(&expected), "{error}");
}
