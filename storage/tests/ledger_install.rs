//! Installing a snapshot: the receiver gets only what it lacks, and is old or new whatever happens.

mod common;

use std::sync::Arc;

use bursar_domain::{Digest, Revision};
use bursar_storage::engine::{Engine, MemoryEngine, Space};
use bursar_storage::envelope::{self, HEADER_BYTES, Kind};
use bursar_storage::ledger::{Applied, Checkpoint, InstallError, Installer, Ledger, Manifest};
use bytes::Bytes;
use common::author::{Author, Decided, continued, history, last};
use common::wishes::{Ask, Wish, bulk, edits};
use common::{Counted, Replica, contents, generations, journal_of};

/// How many bytes of records go into one message.
const MESSAGE_BYTES: usize = 40_000;

/// What went over the wire.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sent {
    chunks: u32,
    records: u64,
}

/// Sends a checkpoint, and of the journal what the receiver lacks.
fn send(checkpoint: &Checkpoint, installer: &mut Installer) -> Result<Sent, InstallError> {
    let mut sent = Sent::default();
    for chunk in checkpoint.chunks(0) {
        installer.put_chunk(sent.chunks, chunk.expect("the sender is sound"))?;
        sent.chunks += 1;
    }
    let (mut reached, upto) = installer.missing_records();
    while reached < upto {
        let records = checkpoint.records(reached, MESSAGE_BYTES).expect("the sender is sound");
        reached = records.last().expect("there is more").revision;
        sent.records += records.len() as u64;
        installer.put_records(&records.into_iter().map(|record| record.bytes).collect::<Vec<_>>())?;
    }
    Ok(sent)
}

/// The whole transfer.
fn install(checkpoint: &Checkpoint, ledger: &Ledger) -> Result<Sent, InstallError> {
    let mut installer = ledger.installer(checkpoint.manifest().clone())?;
    let sent = send(checkpoint, &mut installer)?;
    let (state, applied) = installer.finish()?;
    assert_eq!(applied, checkpoint.manifest().applied);
    assert_eq!((state.revision(), state.digest()), (applied.revision, checkpoint.manifest().digest));
    assert_eq!(ledger.applied(), applied);
    Ok(sent)
}

/// A sender that has all of a history and a checkpoint of its end.
fn sender_of(history: &[Decided]) -> (Replica, Checkpoint) {
    let (mut sender, _) = Replica::in_memory();
    sender.commit(history);
    let checkpoint = sender.checkpoint();
    (sender, checkpoint)
}

fn replica_of(history: &[Decided]) -> (Replica, MemoryEngine) {
    let (mut replica, engine) = Replica::in_memory();
    replica.commit(history);
    replica.ledger.sync().expect("a sync");
    (replica, engine)
}

#[test]
fn a_follower_that_was_held_back_gets_the_state_and_only_the_records_that_it_lacks() {
    let history = history(&bulk(40));
    let (_, checkpoint) = sender_of(&history);
    for known in [0, 1, 20, 40] {
        let (follower, engine) = replica_of(&history[..known]);
        let lacking = checkpoint.manifest().applied.revision.0 - follower.ledger.head().0;
        let sent = install(&checkpoint, &follower.ledger).expect("an install");
        assert_eq!(sent, Sent { chunks: checkpoint.manifest().chunks, records: lacking });
        assert_eq!(follower.journal_after(Revision::ZERO), journal_of(&history), "it serves the whole history");
        Replica::open(Arc::new(engine.crash())).expect("a sound ledger").assert_stands_at(last(&history));
    }
}

#[test]
fn the_installed_ledger_goes_on_with_the_log() {
    let history = history(&edits(10));
    let (_, checkpoint) = sender_of(&history[..8]);
    let (follower, engine) = replica_of(&history[..3]);
    follower.checkpoint();
    install(&checkpoint, &follower.ledger).expect("an install");
    assert_eq!(generations(&engine), 1, "the former generation is gone");
    let mut follower = Replica::open(Arc::new(engine)).expect("a sound ledger");
    follower.commit(&history[8..]);
    follower.assert_stands_at(last(&history));
}

#[test]
fn entries_without_records_need_a_state_but_no_records() {
    let mut wishes = edits(5);
    wishes.push(Wish::ChangeMembers { members: 3 });
    let history = history(&wishes);
    let (_, checkpoint) = sender_of(&history);
    let (follower, engine) = replica_of(&history[..history.len() - 1]);
    let sent = install(&checkpoint, &follower.ledger).expect("an install");
    assert_eq!(sent.records, 0);
    Replica::open(Arc::new(engine)).expect("a sound ledger").assert_stands_at(last(&history));
}

#[test]
fn an_install_that_is_interrupted_at_any_operation_leaves_old_or_new_and_can_be_repeated() {
    let history = history(&bulk(36));
    let (old, new) = (&history[9], last(&history));
    let (_, checkpoint) = sender_of(&history);
    let (held_back, engine) = replica_of(&history[..10]);
    held_back.checkpoint();

    // What opening costs is not part of the install.
    let opening = {
        let counted = Counted::over(engine.crash());
        Replica::open(counted.clone()).expect("a sound ledger");
        counted.operations()
    };
    let total = {
        let counted = Counted::over(engine.crash());
        let replica = Replica::open(counted.clone()).expect("a sound ledger");
        install(&checkpoint, &replica.ledger).expect("an install");
        counted.operations() - opening
    };
    assert!(total > 20, "{total} operations");

    let mut left_old = 0;
    let mut left_new = 0;
    for nth in 1..=total {
        let disk = engine.crash();
        let replica = Replica::open(Counted::failing_at(opening + nth, disk.clone())).expect("the failure comes later");
        let error = install(&checkpoint, &replica.ledger).expect_err("an operation fails");
        assert!(error.stops_the_node(), "{error}");
        // The power may go with everything that was written already on the disk, or with nothing that was not synced.
        for left in [disk.crash(), disk.crash_keeping(usize::MAX)] {
            let recovered = Replica::open(Arc::new(left.clone())).expect("old or new is sound");
            assert_eq!(generations(&left), 1, "leftovers are cleaned");
            assert_eq!(contents(&left, Space::Journal).len() as u64, recovered.applied.revision.0, "leftovers are cleaned");
            if recovered.applied == old.applied {
                left_old += 1;
                recovered.assert_stands_at(old);
                let sent = install(&checkpoint, &recovered.ledger).expect("a second attempt");
                assert_eq!(sent.records, new.applied.revision.0 - old.applied.revision.0);
            } else {
                left_new += 1;
                recovered.assert_stands_at(new);
            }
            assert_eq!(recovered.journal_after(Revision::ZERO), journal_of(&history), "operation {nth} of {total}");
            Replica::open(Arc::new(left)).expect("a sound ledger").assert_stands_at(new);
        }
    }
    assert!(left_old > 2 && left_new > 0, "{left_old} times old, {left_new} times new");
}

#[test]
fn commits_go_on_during_an_install() {
    let history = history(&edits(20));
    let (_, checkpoint) = sender_of(&history);
    let (mut follower, engine) = replica_of(&history[..5]);
    let mut installer = follower.ledger.installer(checkpoint.manifest().clone()).expect("it lacks something");
    follower.commit(&history[5..7]);
    send(&checkpoint, &mut installer).expect("a transfer");
    follower.commit(&history[7..12]);
    assert_eq!(follower.journal_after(Revision::ZERO), journal_of(&history[..12]), "readers see no record beyond the head");
    installer.finish().expect("an install");
    assert_eq!(follower.journal_after(Revision::ZERO), journal_of(&history));
    Replica::open(Arc::new(engine)).expect("a sound ledger").assert_stands_at(last(&history));
}

#[test]
fn an_install_that_the_log_overtakes_is_outdated() {
    let history = history(&edits(20));
    let (_, checkpoint) = sender_of(&history[..15]);
    let (mut follower, engine) = replica_of(&history[..5]);
    let mut installer = follower.ledger.installer(checkpoint.manifest().clone()).expect("it lacks something");
    send(&checkpoint, &mut installer).expect("a transfer");
    follower.commit(&history[5..]);
    let error = installer.finish().map(drop).expect_err("the follower is further");
    assert!(matches!(error, InstallError::Outdated { .. }), "{error}");
    assert!(!error.stops_the_node());
    let error = follower.ledger.installer(checkpoint.manifest().clone()).map(drop).expect_err("the follower is further");
    assert!(matches!(error, InstallError::Outdated { .. }), "{error}");
    Replica::open(Arc::new(engine)).expect("a sound ledger").assert_stands_at(last(&history));
}

#[test]
fn what_an_abandoned_install_left_disturbs_nobody() {
    let common = history(&edits(5));
    let longer = continued(&common, &edits(30)[1..]);
    let (_, theirs) = sender_of(&[common.clone(), longer].concat());
    let (mut follower, engine) = replica_of(&common);
    let mut installer = follower.ledger.installer(theirs.manifest().clone()).expect("it lacks something");
    send(&theirs, &mut installer).expect("a transfer");
    drop(installer);
    follower.assert_stands_at(last(&common));

    let own = continued(&common, &bulk(3)[1..]);
    follower.commit(&own);
    follower.assert_stands_at(last(&own));
    let reopened = Replica::open(Arc::new(engine.clone())).expect("a sound ledger");
    reopened.assert_stands_at(last(&own));
    assert_eq!(reopened.journal_after(Revision::ZERO), journal_of(&[common, own].concat()));
    assert_eq!(generations(&engine), 0, "leftovers are cleaned");
}

#[test]
fn a_newer_install_voids_an_older_one() {
    let history = history(&edits(10));
    let (_, checkpoint) = sender_of(&history);
    let (follower, _) = replica_of(&history[..5]);
    let mut older = follower.ledger.installer(checkpoint.manifest().clone()).expect("it lacks something");
    let mut newer = follower.ledger.installer(checkpoint.manifest().clone()).expect("it lacks something");
    assert_eq!(send(&checkpoint, &mut older), Err(InstallError::Superseded));
    send(&checkpoint, &mut newer).expect("a transfer");
    newer.finish().expect("an install");
}

/// Two histories that part after a common beginning, the second longer than the first.
fn parted() -> (Vec<Decided>, Vec<Decided>) {
    let common = history(&edits(5));
    let own = continued(&common, &[Wish::Ask(Ask::CreateSite { name: 2 }), Wish::Ask(Ask::CreateSite { name: 3 })]);
    let theirs = continued(&common, &bulk(5)[1..]);
    ([common.clone(), own].concat(), [common, theirs].concat())
}

#[test]
fn a_receiver_with_another_history_must_stop() {
    let (own, theirs) = parted();
    let (_, checkpoint) = sender_of(&theirs);
    let (receiver, engine) = replica_of(&own);
    let error = install(&checkpoint, &receiver.ledger).expect_err("the histories part");
    let revision = last(&own).applied.revision;
    assert!(matches!(error, InstallError::Diverged { revision: at, .. } if at == revision), "{error}");
    assert!(error.stops_the_node());
    Replica::open(Arc::new(engine)).expect("a sound ledger").assert_stands_at(last(&own));
}

#[test]
fn a_receiver_that_parts_during_the_install_must_stop() {
    let (own, theirs) = parted();
    let (_, checkpoint) = sender_of(&theirs);
    let common = 6;
    // What it commits after the transfer does not agree with what it received, nor the other way round.
    for sends_first in [true, false] {
        let (mut receiver, engine) = replica_of(&own[..common]);
        let mut installer = receiver.ledger.installer(checkpoint.manifest().clone()).expect("it lacks something");
        let error = if sends_first {
            send(&checkpoint, &mut installer).expect("a transfer");
            receiver.commit(&own[common..]);
            installer.finish().map(drop).expect_err("the histories part")
        } else {
            receiver.commit(&own[common..]);
            send(&checkpoint, &mut installer).expect_err("the histories part")
        };
        assert!(matches!(error, InstallError::Diverged { .. }), "{error}");
        assert!(error.stops_the_node());
        Replica::open(Arc::new(engine)).expect("a sound ledger").assert_stands_at(last(&own));
    }
}

#[test]
fn a_receiver_beyond_the_snapshot_must_stop() {
    let history = history(&edits(10));
    let (_, checkpoint) = sender_of(&history[..6]);
    let (receiver, _) = replica_of(&history);
    // The sender counts more entries of the log for fewer records.
    let mut manifest = checkpoint.manifest().clone();
    manifest.applied.position = last(&continued(&history, &edits(3))).applied.position;
    let error = receiver.ledger.installer(manifest).map(drop).expect_err("the journal goes beyond it");
    assert!(matches!(error, InstallError::Ahead { .. }), "{error}");
    assert!(error.stops_the_node());
}

/// Attempts an install of what `spoil` makes of a sound transfer; it must be refused and change nothing.
fn refused(spoil: impl FnOnce(&mut Manifest, &mut Vec<Bytes>, &mut Vec<Bytes>)) -> String {
    let history = history(&bulk(20));
    let (_, checkpoint) = sender_of(&history);
    let (receiver, engine) = replica_of(&history[..5]);
    let mut manifest = checkpoint.manifest().clone();
    let mut chunks: Vec<Bytes> = checkpoint.chunks(0).map(|chunk| chunk.expect("the sender is sound")).collect();
    let mut records = journal_of(&history[5..]);
    spoil(&mut manifest, &mut chunks, &mut records);
    let attempt = || {
        let mut installer = receiver.ledger.installer(manifest)?;
        for (number, chunk) in chunks.into_iter().enumerate() {
            installer.put_chunk(number as u32, chunk)?;
        }
        installer.put_records(&records)?;
        installer.finish().map(drop)
    };
    let error = attempt().expect_err("something is wrong with it");
    assert!(!error.stops_the_node(), "{error}");
    receiver.assert_stands_at(&history[4]);
    Replica::open(Arc::new(engine.crash_keeping(usize::MAX))).expect("a sound ledger").assert_stands_at(&history[4]);
    // The fault is the transfer's: a sound one still succeeds.
    install(&checkpoint, &receiver.ledger).expect("an install");
    error.to_string()
}

#[test]
fn what_does_not_fit_is_refused_by_name_and_leaves_the_receiver_as_it_was() {
    let flip = |bytes: &mut Bytes| {
        let mut flipped = bytes.to_vec();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        *bytes = flipped.into();
    };
    let cases: [(&str, String); 13] = [
        ("chunk 1 was refused: the checksum is", refused(|_, chunks, _| flip(&mut chunks[1]))),
        (
            "chunk 0 was refused: the payload does not decode: it says that it is chunk 1",
            refused(|_, chunks, _| chunks.swap(0, 1)),
        ),
        ("state was refused: chunk 1 of 2 has not come", refused(|_, chunks, _| drop(chunks.pop()))),
        ("chunk 2 was refused: chunk 2 of 2 is next", refused(|_, chunks, _| chunks.push(chunks[1].clone()))),
        ("record 8 was refused: malformed Record", refused(|_, _, records| records[0] = records[0].slice(..40))),
        ("record 9 was refused: it follows the hash", refused(|_, _, records| flip(&mut records[0]))),
        ("record 10 was refused: revision 11 came instead", refused(|_, _, records| drop(records.remove(2)))),
        ("journal was refused: record 25 has not come", refused(|_, _, records| drop(records.pop()))),
        ("record 26 was refused: the snapshot ends before it", refused(|_, _, records| records.push(records[0].clone()))),
        ("journal was refused: it ends with the hash", refused(|manifest, _, _| manifest.applied.head.0[0] ^= 1)),
        ("state was refused: the digest of the state is", refused(|manifest, _, _| manifest.digest = Digest::EMPTY)),
        ("manifest was refused: a journal behind revision 99", refused(|manifest, _, _| manifest.floor = Revision(99))),
        ("state was refused: ", refused(|manifest, _, _| manifest.items += 1)),
    ];
    for (expected, error) in cases {
        assert!(error.starts_with(&format!("the snapshot's {expected}")), "{expected}: {error}");
    }
    let hole = refused(|manifest, _, _| manifest.floor = Revision(8));
    assert!(hole.starts_with("the sender of the snapshot does not keep what this node lacks: revision 7 lies below 8"), "{hole}");
}

#[test]
fn a_manifest_travels_as_it_rests() {
    let (_, checkpoint) = sender_of(&history(&edits(3)));
    let manifest = checkpoint.manifest();
    let frame = manifest.encode();
    assert_eq!(Manifest::decode(&frame).as_ref(), Ok(manifest));
    let newer = envelope::seal(Kind::CheckpointManifest, 2, &frame[HEADER_BYTES..]);
    assert!(matches!(Manifest::decode(&newer), Err(envelope::OpenError::Newer { found: 2, supported: 1 })));
    let floor = manifest.applied.revision;
    assert!(Manifest::decode(&Manifest { floor, ..manifest.clone() }.encode()).is_ok());
    assert!(Manifest::decode(&Manifest { floor: floor.next(), ..manifest.clone() }.encode()).is_err());
    let applied = Applied::decode(&manifest.applied.encode());
    assert_eq!(applied.as_ref(), Ok(&manifest.applied));
}

#[test]
fn a_checkpoint_does_not_take_the_place_of_a_newer_install() {
    let history = history(&edits(10));
    let (_, checkpoint) = sender_of(&history);
    let (follower, engine) = replica_of(&history[..5]);
    let (state, applied) = (follower.state.clone(), follower.applied.clone());
    install(&checkpoint, &follower.ledger).expect("an install");
    let late = follower.ledger.write_checkpoint(&state, &applied).expect("a checkpoint");
    assert_eq!(late.manifest(), checkpoint.manifest());
    let engine: Arc<dyn Engine> = Arc::new(engine);
    Replica::open(engine).expect("a sound ledger").assert_stands_at(last(&history));
}

#[test]
fn a_leader_of_a_later_term_offers_its_own_snapshot() {
    let common = history(&edits(5));
    let mut author = Author::behind(last(&common));
    let later: Vec<_> = edits(3)[1..].iter().map(|wish| author.carry_out(wish)).collect();
    let all = [common.clone(), later].concat();
    let (_, checkpoint) = sender_of(&all);
    let (follower, _) = replica_of(&common);
    install(&checkpoint, &follower.ledger).expect("an install");
}
