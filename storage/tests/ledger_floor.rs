//! Raising the floor: what lies below it is gone, and everything above it is as before.

mod common;
mod support;

use std::sync::Arc;

use bursar_domain::{Hash, Revision};
use bursar_storage::engine::{Engine, MemoryEngine, Space};
use bursar_storage::ledger::{BelowFloor, Checkpoint, InstallError, Ledger, PastError};
use bytes::Bytes;
use common::author::{Decided, history, last};
use common::wishes::{bulk, edits};
use common::{Counted, Replica, contents, generations, journal_of, on_every_engine};
use support::{Fixture, Observed};

on_every_engine! {
    above_its_floor_a_journal_is_as_before_and_below_there_is_nothing
    a_floor_is_raised_again_and_never_lowered
}

/// What the records of a journal are kept under.
fn kept(engine: &dyn Engine) -> Vec<u64> {
    let number = |key: Bytes| u64::from_be_bytes(key.as_ref().try_into().expect("a revision"));
    contents(engine, Space::Journal).into_iter().map(|(key, _)| number(key)).collect()
}

/// A ledger that has the `behind` first decisions of a history below its floor, and a checkpoint at its end.
fn raised(replica: &mut Replica, history: &[Decided], behind: usize) -> Revision {
    replica.commit(&history[..behind]);
    replica.ledger.raise_floor(replica.checkpoint()).expect("a sound engine");
    replica.commit(&history[behind..]);
    replica.checkpoint();
    history[behind - 1].applied.revision
}

/// Asserts all that is told of a history whose first decisions are gone.
fn assert_begins_behind(ledger: &Ledger, history: &[Decided], behind: usize) {
    let (gone, there) = history.split_at(behind);
    let floor = last(gone).applied.revision;
    assert_eq!(ledger.floor(), floor);
    for below in [Revision::ZERO, Revision(floor.0 - 1)] {
        assert_eq!(ledger.records(below, Revision(u64::MAX), 100_000), Ok(Vec::new()));
        assert_eq!(ledger.hash_at(below), Ok(None));
        assert_eq!(ledger.state_at(below).err(), Some(PastError::BelowFloor(BelowFloor { asked: below, floor })));
    }
    let records = ledger.records(floor, Revision(u64::MAX), usize::MAX).expect("a sound journal");
    assert_eq!(records.into_iter().map(|record| record.bytes).collect::<Vec<_>>(), journal_of(there));
    for decided in &history[behind - 1..] {
        let revision = decided.applied.revision;
        let state = ledger.state_at(revision).expect("it was committed");
        assert_eq!((state.head(), state.digest()), (decided.state.head(), decided.state.digest()), "{revision}");
        assert_eq!(ledger.hash_at(revision), Ok(Some(decided.state.head())));
    }
    let verified = ledger.verify(&mut |_| {}).expect("a sound ledger");
    assert_eq!((verified.revision, verified.records), (last(history).applied.revision, journal_of(there).len() as u64));
}

fn above_its_floor_a_journal_is_as_before_and_below_there_is_nothing<F: Fixture>() {
    let fixture = F::create();
    let history = history(&edits(20));
    let mut replica = Replica::make(fixture.engine());
    let floor = raised(&mut replica, &history, 10);
    assert_begins_behind(&replica.ledger, &history, 10);
    assert_eq!(kept(&*fixture.engine()).first(), Some(&floor.next().0), "the records are gone");
    assert_eq!(generations(&*fixture.engine()), 2, "the one in use, and the one at the floor");
    drop(replica);

    let fixture = fixture.reopen();
    let replica = Replica::open(fixture.engine()).expect("a sound ledger");
    replica.assert_stands_at(last(&history));
    assert_begins_behind(&replica.ledger, &history, 10);
}

fn a_floor_is_raised_again_and_never_lowered<F: Fixture>() {
    let fixture = F::create();
    let history = history(&edits(20));
    let mut replica = Replica::make(fixture.engine());
    replica.commit(&history[..5]);
    let older = replica.checkpoint();
    replica.commit(&history[5..]);
    replica.ledger.raise_floor(replica.checkpoint()).expect("a sound engine");
    replica.ledger.raise_floor(older).expect("a sound engine");
    assert_begins_behind(&replica.ledger, &history, history.len());
    assert_eq!((kept(&*fixture.engine()), generations(&*fixture.engine())), (Vec::new(), 1));
    drop(replica);

    let fixture = fixture.reopen();
    let replica = Replica::open(fixture.engine()).expect("a sound ledger");
    replica.assert_stands_at(last(&history));
    assert_begins_behind(&replica.ledger, &history, history.len());
}

#[test]
fn a_floor_that_is_raised_is_durable_and_wherever_that_is_interrupted_nothing_is_half_gone() {
    let history = history(&bulk(20));
    let (mut replica, engine) = Replica::in_memory();
    replica.commit(&history[..10]);
    replica.checkpoint();
    replica.commit(&history[10..]);
    replica.ledger.sync().expect("a sync");
    let counted = Counted::over(engine.crash());
    let opened = Replica::open(counted.clone()).expect("a sound ledger");
    let (opening, checkpoint) = (counted.operations(), opened.ledger.latest_checkpoint());
    assert_eq!(checkpoint.map(|checkpoint| checkpoint.manifest().floor), Some(Revision::ZERO));
    let mut floors = Vec::new();
    for nth in 1.. {
        let disk = engine.crash();
        let opened = Replica::open(Counted::failing_at(opening + nth, disk.clone())).expect("the failure comes later");
        let checkpoint = opened.ledger.latest_checkpoint().expect("it was written");
        let outcome = opened.ledger.raise_floor(checkpoint);
        for left in [disk.crash(), disk.crash_keeping(usize::MAX)] {
            let recovered = Replica::open(Arc::new(left.clone())).expect("what is left is sound");
            recovered.assert_stands_at(last(&history));
            let floor = recovered.ledger.floor();
            assert_eq!(kept(&left).first(), Some(&floor.next().0), "nothing is left below the floor, and nothing is missing");
            assert!(outcome.is_err() || floor > Revision::ZERO, "it is durable once it is reported");
            floors.push(floor);
        }
        if outcome.is_ok() {
            break;
        }
    }
    floors.dedup();
    assert_eq!(floors.first(), Some(&Revision::ZERO));
    assert_eq!(floors.last(), Some(&history[9].applied.revision));
}

#[test]
fn whoever_holds_a_checkpoint_from_before_can_still_send_it_to_everybody() {
    let history = history(&edits(10));
    let (mut sender, engine) = Replica::in_memory();
    sender.commit(&history[..8]);
    let before = sender.checkpoint();
    sender.ledger.raise_floor(sender.checkpoint()).expect("a sound engine");
    assert_eq!(sender.ledger.floor(), history[7].applied.revision);
    assert_eq!(kept(&engine).first(), Some(&1), "somebody relies on them");

    let (receiver, _) = Replica::in_memory();
    let mut installer = receiver.ledger.installer(before.manifest().clone()).expect("it lacks everything");
    fill(&mut installer, &before);
    installer.finish().expect("an install");
    assert_eq!(receiver.journal_after(Revision::ZERO), journal_of(&history[..8]));

    drop(before);
    sender.commit(&history[8..]);
    sender.checkpoint();
    assert_eq!(kept(&engine).first(), Some(&history[7].applied.revision.next().0));
}

fn fill(installer: &mut bursar_storage::ledger::Installer, checkpoint: &Checkpoint) {
    for (number, chunk) in (0..).zip(checkpoint.chunks(0)) {
        installer.put_chunk(number, chunk.expect("the sender is sound")).expect("a sound chunk");
    }
    let (after, _) = installer.missing_records();
    let records = checkpoint.records(after, usize::MAX).expect("the sender is sound");
    installer.put_records(&records.into_iter().map(|record| record.bytes).collect::<Vec<_>>()).expect("sound records");
}

#[test]
fn a_node_that_lacks_what_is_gone_takes_no_snapshot_and_one_that_has_it_does() {
    let history = history(&edits(10));
    let (mut sender, _) = Replica::in_memory();
    let floor = raised(&mut sender, &history, 6);
    let checkpoint = sender.ledger.latest_checkpoint().expect("it was written");
    assert_eq!(checkpoint.manifest().floor, floor);

    let (mut behind, engine) = Replica::in_memory();
    behind.commit(&history[..5]);
    let refused = behind.ledger.installer(checkpoint.manifest().clone()).expect_err("there would be a hole");
    let lacks = BelowFloor { asked: history[4].applied.revision, floor };
    assert!(refused == InstallError::BelowFloor(lacks) && !refused.stops_the_node(), "{refused}");
    assert_eq!((checkpoint.reaches(lacks.asked), checkpoint.reaches(floor)), (Err(lacks), Ok(())));
    Replica::open(Arc::new(engine)).expect("a sound ledger").assert_stands_at(&history[4]);

    let (mut there, engine) = Replica::in_memory();
    there.commit(&history[..6]);
    let mut installer = there.ledger.installer(checkpoint.manifest().clone()).expect("it has all that is gone");
    fill(&mut installer, &checkpoint);
    installer.finish().expect("an install");
    assert_eq!(there.ledger.floor(), Revision::ZERO, "its own journal begins where it did");
    Replica::open(Arc::new(engine)).expect("a sound ledger").assert_stands_at(last(&history));
}

#[test]
fn a_reading_that_the_floor_overtakes_finds_no_damage() {
    type Read = fn(&Ledger) -> bool;
    let reads: [Read; 3] = [
        |ledger| ledger.records(Revision::ZERO, Revision(9), 100).expect("no damage").is_empty(),
        |ledger| ledger.hash_at(Revision(1)).expect("no damage").is_none(),
        // What it needs stays until it is done.
        |ledger| ledger.state_at(Revision(1)).expect("no damage").revision() == Revision(1),
    ];
    for read in reads {
        let history = history(&edits(10));
        let disk = MemoryEngine::new();
        let mut replica = Replica::make(Arc::new(disk.clone()));
        replica.commit(&history);
        replica.checkpoint();
        drop(replica);
        let engine = Observed::over(disk);
        let ledger = Replica::open(Arc::<Observed>::clone(&engine)).expect("a sound ledger").ledger;
        let raising = ledger.clone();
        engine.before_scan.once(move || {
            let checkpoint = raising.latest_checkpoint().expect("it was written");
            raising.raise_floor(checkpoint).expect("a sound engine");
        });
        assert!(read(&ledger));
        assert_ne!(ledger.hash_at(ledger.floor()), Ok(Some(Hash::ZERO)));
    }
}

#[test]
fn a_base_that_is_gone_or_beyond_the_checkpoint_is_named() {
    let history = history(&edits(10));
    let (mut replica, engine) = Replica::in_memory();
    raised(&mut replica, &history, 6);
    let base = contents(&engine, Space::Checkpoints).into_iter().next().expect("the older generation").0;
    let lost = engine.crash_keeping(usize::MAX);
    let mut batch = bursar_storage::engine::Batch::new();
    batch.delete_range(Space::Checkpoints, base.clone(), [&base[..7], &[base[7] + 1]].concat());
    lost.write(&batch).expect("a write");
    let error = Replica::open(Arc::new(lost)).err().expect("its beginning is lost").to_string();
    assert!(error.contains("manifest of checkpoint") && error.contains("missing"), "{error}");

    let first = engine.crash_keeping(usize::MAX);
    let key = kept(&first)[0].to_be_bytes().to_vec();
    let mut batch = bursar_storage::engine::Batch::new();
    batch.delete_range(Space::Journal, key.clone(), [key, vec![0]].concat());
    first.write(&batch).expect("a write");
    let error = Replica::open(Arc::new(first)).err().expect("its first record is lost").to_string();
    assert!(error.contains("the record is missing"), "{error}");
}
