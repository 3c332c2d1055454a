#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::fs;

use bursar_domain::{Epoch, Revision};
use bursar_net::DiskFiles;
use tempfile::TempDir;

use super::*;
use crate::faults::{FaultyFiles, Moment};

const STORE: StoreId = StoreId([7; 16]);

fn file(folder: &TempDir, files: impl Files) -> ProjectionFile {
    ProjectionFile::new(Arc::new(files), folder.path().join("projection"), STORE)
}

fn saved(revision: u64) -> Saved {
    let position = Cursor { epoch: Epoch(1), revision: Revision(revision) };
    let bytes = usize::try_from(revision).unwrap();
    Saved { position, schema: 3, projection: vec![u8::try_from(revision).unwrap(); bytes] }
}

#[test]
fn what_was_saved_last_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(&folder, DiskFiles);
    assert_eq!(file.load().unwrap(), None);
    for revision in [1, 200, 5] {
        file.save(saved(revision)).unwrap();
        assert_eq!(file.load().unwrap(), Some(saved(revision)));
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_damage_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(&folder, DiskFiles);
    file.save(saved(40)).unwrap();
    let sound = fs::read(file.path()).unwrap();
    let is_damaged = |bytes: &[u8]| {
        fs::write(file.path(), bytes).unwrap();
        let refused = file.load().unwrap_err();
        assert!(refused.to_string().contains("remove it and start the server"), "{refused}");
        matches!(refused, ProjectionFileError::Damaged { .. })
    };
    for bit in 0..sound.len() * 8 {
        let mut flipped = sound.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(is_damaged(&flipped), "bit {bit}");
    }
    for length in 0..sound.len() {
        assert!(is_damaged(&sound[..length]), "cut to {length} bytes");
    }
    assert!(is_damaged(&[sound.as_slice(), &[0]].concat()), "a byte behind its end");
}

#[test]
fn whenever_the_process_ends_both_projection_and_position_are_old_or_both_are_new() {
    for moment in Moment::ALL {
        let folder = tempfile::tempdir().unwrap();
        file(&folder, DiskFiles).save(saved(100)).unwrap();
        let ending = file(&folder, FaultyFiles::ending_at(0, moment));
        assert!(ending.save(saved(200)).is_err(), "{moment:?}");
        let found = file(&folder, DiskFiles).load().unwrap().unwrap();
        let expected = if matches!(moment, Moment::After) { saved(200) } else { saved(100) };
        assert_eq!(found, expected, "{moment:?}");
        // What it left beside the file disturbs nobody.
        file(&folder, DiskFiles).save(saved(201)).unwrap();
        assert_eq!(file(&folder, DiskFiles).load().unwrap(), Some(saved(201)), "{moment:?}");
    }
}

#[test]
fn a_save_is_one_change_to_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let files = Arc::new(FaultyFiles::ending_at(1, Moment::Before));
    let file = ProjectionFile::new(files.clone(), folder.path().join("projection"), STORE);
    file.save(saved(1)).unwrap();
    assert!(!files.have_ended());
    assert_eq!(file.load().unwrap(), Some(saved(1)));
    assert!(file.save(saved(2)).is_err() && files.have_ended());
}

#[test]
fn another_directorys_file_and_a_newer_programs_are_told_apart_from_damage() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(&folder, DiskFiles);
    let other = ProjectionFile::new(Arc::new(DiskFiles), file.path().to_owned(), StoreId([8; 16]));
    other.save(saved(1)).unwrap();
    let refused = file.load().unwrap_err();
    assert!(matches!(refused, ProjectionFileError::Foreign { found: StoreId([8, ..]), expected: STORE, .. }), "{refused}");

    for (version, is_newer) in [(0, false), (2, true)] {
        let frame = [&[version], checksum(version, b"things").0.as_slice(), b"things"].concat();
        fs::write(file.path(), frame).unwrap();
        let refused = file.load().unwrap_err();
        assert_eq!(matches!(refused, ProjectionFileError::Newer { found: 2, .. }), is_newer, "{refused}");
    }
}

#[test]
fn what_could_not_be_loaded_again_is_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(&folder, DiskFiles);
    let largest = Saved { projection: vec![0; PROJECTION_BYTES_MAX], ..saved(1) };
    file.save(largest.clone()).unwrap();
    assert_eq!(file.load().unwrap(), Some(largest.clone()));
    let larger = Saved { projection: vec![0; PROJECTION_BYTES_MAX + 1], ..saved(2) };
    let refused = file.save(larger).unwrap_err();
    assert!(matches!(refused, ProjectionFileError::TooLarge { .. }), "{refused}");
    assert_eq!(file.load().unwrap(), Some(largest));
}
