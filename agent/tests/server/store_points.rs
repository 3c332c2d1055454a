//! The directories of store points, as the authority hears of them.

use std::fs;

use bursar_domain::{
    Level,
    projection::Making,
    store_point::{CreationFailure, OfflineReason, Report},
};
use bursar_wire::control::{Notice, ServerAnswer, ServerQuestion};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_directory_is_made_once_and_never_again() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let mut node = cluster.node(1).await;
    let running = machine.run().await;
    let mut call = node.wants_a_store_point(&machine).await;
    let mut speaker = node.speaker().await;
    speaker.note_until(&told(3, Report::Online)).await;
    let directory = machine.disk().join("CrashPlanArchive_m7x3");
    assert!(directory.join("bursar-store-point.toml").exists());
    let full = speaker.hear_until(|heartbeat| !heartbeat.store_points.is_empty()).await;
    let capacity = full.store_points.values().next().unwrap();
    assert!(capacity.total >= capacity.free && capacity.used > 0, "{capacity:?}");

    let was_made = reported(3, Report::Online);
    call.tell(happened(11, std::slice::from_ref(&was_made))).await;
    speaker.hear_at(at(11)).await;
    // The disk is unmounted.
    let elsewhere = machine.root().join("..").join("unmounted");
    fs::rename(&directory, &elsewhere).unwrap();
    speaker.note_until(&told(3, Report::Offline(OfflineReason::Missing))).await;
    drop((running, speaker, call));
    let _running = machine.run().await;
    let mut speaker = node.speaker().await;
    speaker.note_until(&told(3, Report::Offline(OfflineReason::Missing))).await;
    assert!(!directory.exists(), "what was made once is never made again");
    fs::rename(&elsewhere, &directory).unwrap();
    speaker.note_until(&told(3, Report::Online)).await;
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_vanished_before_its_report_was_noted_is_not_made_again() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let mut node = cluster.node(1).await;
    let running = machine.run().await;
    let call = node.wants_a_store_point(&machine).await;
    let mut speaker = node.speaker().await;
    // The server dies after it has said that the directory is there, and before anybody has noted that.
    let online = told(3, Report::Online);
    loop {
        let (number, _, notice) = speaker.unanswered().await;
        if notice == online {
            break;
        }
        speaker.answer(number, noted()).await;
    }
    drop((running, speaker, call));
    let directory = machine.disk().join("CrashPlanArchive_m7x3");
    let elsewhere = machine.root().join("..").join("unmounted");
    fs::rename(&directory, &elsewhere).unwrap();

    let _running = machine.run().await;
    let mut speaker = node.speaker().await;
    let first = loop {
        let (number, _, notice) = speaker.unanswered().await;
        speaker.answer(number, noted()).await;
        if matches!(notice, Notice::StorePoint { .. }) {
            break notice;
        }
    };
    assert_eq!(first, told(3, Report::Offline(OfflineReason::Missing)));
    assert!(!directory.exists(), "for the authority it is still to be made, and was made");
    fs::rename(&elsewhere, &directory).unwrap();
    speaker.note_until(&online).await;
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_made_is_told_and_left_alone() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let mut node = cluster.node(1).await;
    let _running = machine.run().await;
    let taken = machine.disk().join("CrashPlanArchive_m7x3");
    fs::create_dir(&taken).unwrap();
    let gone = machine.disk().join("gone");
    let mut fleet = fleet(&[1]);
    fleet.store_points.extend([store_point(3, &machine.disk(), Making::Wanted), store_point(4, &gone, Making::Wanted)]);
    let (mut call, _) = node.follower().await;
    call.tell(anew(10, &fleet)).await;
    let mut speaker = node.speaker().await;
    let (mut exists, mut missing) = (false, false);
    while !(exists && missing) {
        let (number, _, notice) = speaker.unanswered().await;
        exists |= notice == told(3, Report::Failed(CreationFailure::DirectoryExists));
        missing |= notice == told(4, Report::Failed(CreationFailure::PathMissing));
        speaker.answer(number, noted()).await;
    }
    assert_eq!(fs::read_dir(&taken).unwrap().count(), 0, "nothing is written to what is another's");
    fs::create_dir(&gone).unwrap();
    for revision in 11..20 {
        call.tell(happened(revision, &[renamed(&format!("store-{revision}"))])).await;
        speaker.hear_at(at(revision)).await;
    }
    assert_eq!(fs::read_dir(&gone).unwrap().count(), 0, "it is not tried again");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_to_what_bears_another_identity() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let mut node = cluster.node(1).await;
    let _running = machine.run().await;
    let mut fleet = fleet(&[1]);
    let point = |id, making| store_point(id, &machine.disk(), making);
    fleet.store_points.extend([point(3, Making::Wanted), point(4, Making::Wanted)]);
    let (mut call, _) = node.follower().await;
    call.tell(anew(10, &fleet)).await;
    let mut speaker = node.speaker().await;
    speaker.note_until(&told(3, Report::Online)).await;
    speaker.hear_until(|heartbeat| heartbeat.store_points.len() == 2).await;
    // Somebody has swapped the disks.
    let [third, fourth] = [3, 4].map(|id| machine.disk().join(format!("CrashPlanArchive_m7x{id}")));
    let aside = machine.disk().join("aside");
    fs::rename(&third, &aside).unwrap();
    fs::rename(&fourth, &third).unwrap();
    // Only then has every look ended that was under way: the fourth's held open what is now the third's.
    let mut awaited =
        vec![told(3, Report::Offline(OfflineReason::ForeignIdentity)), told(4, Report::Offline(OfflineReason::Missing))];
    while !awaited.is_empty() {
        let (number, _, notice) = speaker.unanswered().await;
        speaker.answer(number, noted()).await;
        awaited.retain(|awaited| *awaited != notice);
    }
    let changed = || fs::metadata(&third).unwrap().modified().unwrap();
    let was = changed();
    for _ in 0..3 {
        speaker.hear_until(|heartbeat| heartbeat.store_points.is_empty()).await;
    }
    assert_eq!(changed(), was, "nothing was made in it");
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_has_them_otherwise_is_told_again_how_they_are() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let mut node = cluster.node(1).await;
    let _running = machine.run().await;
    let _call = node.wants_a_store_point(&machine).await;
    let mut speaker = node.speaker().await;
    let first = speaker.note_until(&told(3, Report::Online)).await;
    // The server was held up for longer than its silence is borne, and its connection outlived that.
    let again = loop {
        match speaker.question().await {
            (number, ServerQuestion::Heartbeat { said, .. }) => {
                let otherwise = said.contains(&told(3, Report::Online));
                speaker.answer(number, ServerAnswer::Heard { again_ms: 5_000, level: Level::FIRST, otherwise }).await;
            }
            (number, ServerQuestion::Notice { request, notice }) => {
                speaker.answer(number, noted()).await;
                if notice == told(3, Report::Online) {
                    break request;
                }
            }
        }
    };
    assert_ne!(again, first, "it is another telling");
}
