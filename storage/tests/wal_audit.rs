//! The audit of RocksDB's own log files, on files that RocksDB wrote: a tear is cut off, damage is refused.
#![cfg(feature = "rocksdb")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use bursar_storage::engine::wal_audit::{TornTail, audit, audit_manifest};
use bursar_storage::engine::{Batch, Direction, Engine, KeyRange, Profile, RocksEngine, Space};
use bursar_storage::{Place, StorageError};
use support::pairs;
use tempfile::TempDir;

/// A database of which all is in one log file, and where in the file each synced batch ends.
struct Database {
    _directory: TempDir,
    path: PathBuf,
    log: PathBuf,
    sound: Vec<u8>,
    ends: Vec<usize>,
}

impl Database {
    /// Writes and syncs a batch for each size; the values have that many bytes.
    fn with_batches(sizes: &[usize]) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let path = directory.path().join("log");
        let engine = RocksEngine::create(&path, Profile::Log).expect("a directory of its own");
        let log = log_file(&path);
        let mut ends = Vec::new();
        for (index, size) in sizes.iter().enumerate() {
            let mut batch = Batch::new();
            batch.put(Space::LogEntries, format!("{index}"), vec![0xa5_u8 ^ index as u8; *size]);
            engine.write(&batch).expect("a write");
            engine.sync().expect("a sync");
            ends.push(fs::read(&log).expect("the log file").len());
        }
        drop(engine);
        let sound = fs::read(&log).expect("the log file");
        assert_eq!(ends.last(), Some(&sound.len()), "nothing is written behind the last sync");
        Database { _directory: directory, path, log, sound, ends }
    }

    fn audit_with(&self, log: &[u8]) -> Result<Vec<TornTail>, StorageError> {
        fs::write(&self.log, log).expect("the log file");
        audit(&self.path)
    }

    fn flipped(&self, byte: usize, mask: u8) -> Vec<u8> {
        let mut log = self.sound.clone();
        log[byte] ^= mask;
        log
    }

    /// Where the batch begins that a byte belongs to, and which one it is.
    fn batch_of(&self, byte: usize) -> (usize, usize) {
        let batch = self.ends.partition_point(|end| *end <= byte);
        (batch, batch.checked_sub(1).map_or(0, |before| self.ends[before]))
    }

    /// How many batches are there once RocksDB has recovered.
    fn recovered(&self) -> usize {
        let engine = RocksEngine::open(&self.path, Profile::Log).expect("no damage");
        pairs(&engine, Space::LogEntries, KeyRange::ALL, Direction::Forward).len()
    }
}

/// The only log file of a database.
fn log_file(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory).expect("the directory").map(|entry| entry.expect("an entry").path());
    let mut logs: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    assert_eq!(logs.len(), 1, "{logs:?}");
    logs.remove(0)
}

#[test]
fn a_sound_file_is_clean_and_an_unmade_directory_too() {
    let database = Database::with_batches(&[10, 70_000, 0, 10]);
    assert_eq!(audit(&database.path), Ok(vec![]));
    assert_eq!(audit(&database.path.join("nothing")), Ok(vec![]));
    assert_eq!(database.recovered(), 4);
}

/// RocksDB would take a flipped length for a torn end, and forget the tables that the lost records name.
#[test]
fn every_flipped_bit_in_a_manifest_is_refused_and_so_is_a_torn_end() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("log");
    // Each opening makes tables of what the one before has written.
    drop(RocksEngine::create(&path, Profile::Log).expect("a directory of its own"));
    for round in 0..4 {
        let engine = RocksEngine::open(&path, Profile::Log).expect("no damage");
        let mut batch = Batch::new();
        batch.put(Space::LogEntries, format!("{round}"), "a value");
        engine.write(&batch).and_then(|()| engine.sync()).expect("a synced write");
    }
    let current = fs::read_to_string(path.join("CURRENT")).expect("the pointer to the manifest");
    let manifest = path.join(current.trim_end());
    let sound = fs::read(&manifest).expect("the manifest");
    assert_eq!(audit_manifest(&path), Ok(()));

    let refused = |bytes: &[u8], what: &str| {
        fs::write(&manifest, bytes).expect("the manifest");
        let outcome = audit_manifest(&path);
        let named = manifest.display().to_string();
        assert!(matches!(&outcome, Err(StorageError::Damaged { what, .. }) if *what == named), "{what}: {outcome:?}");
    };
    for bit in 0..sound.len() * 8 {
        let mut flipped = sound.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        refused(&flipped, &format!("bit {bit}"));
    }
    // The last record has a checksum, a length, a type and more than one byte.
    for cut in 1..=7 {
        refused(&sound[..sound.len() - cut], &format!("{cut} bytes fewer"));
    }
    refused(&[&sound[..], &[0; 100]].concat(), "zeros");
    assert_eq!(RocksEngine::open(&path, Profile::Log).err(), audit_manifest(&path).err(), "the engine asks the audit");
    fs::write(&manifest, &sound).expect("the manifest");

    for other in ["", "MANIFEST-000001", "MANIFEST-999999\n", "LANIFEST-000001\n"] {
        fs::write(path.join("CURRENT"), other).expect("the pointer");
        assert!(audit_manifest(&path).is_err_and(|error| error.is_damage()), "{other:?}");
    }
    fs::write(path.join("CURRENT"), &current).expect("the pointer");
    let engine = RocksEngine::open(&path, Profile::Log).expect("no damage");
    assert_eq!(pairs(&engine, Space::LogEntries, KeyRange::ALL, Direction::Forward).len(), 4);
}

#[test]
fn a_database_is_created_once_and_opened_only_where_it_is() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("log");
    for empty in [false, true] {
        assert!(!RocksEngine::exists(&path));
        let error = RocksEngine::open(&path, Profile::Log).expect_err("there is no database");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        assert_eq!(path.exists(), empty);
        if empty {
            assert_eq!(fs::read_dir(&path).expect("the directory").count(), 0, "nothing is left in it");
        } else {
            fs::create_dir(&path).expect("a directory");
        }
    }
    drop(RocksEngine::create(&path, Profile::Log).expect("an empty directory"));
    assert!(RocksEngine::exists(&path));
    RocksEngine::create(&path, Profile::Log).expect_err("there is a database");
    RocksEngine::open(&path, Profile::Log).expect("no damage");
}

#[test]
fn a_manifest_in_use_is_never_appended_to() {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("log");
    let engine = RocksEngine::create(&path, Profile::Log).expect("a directory of its own");
    let manifest_in_use = || {
        let current = fs::read_to_string(path.join("CURRENT")).expect("the pointer to the manifest");
        let manifest = path.join(current.trim_end());
        fs::read(&manifest).ok().map(|bytes| (manifest, bytes))
    };
    let (first, contents) = manifest_in_use().expect("a manifest");
    let mut batch = Batch::new();
    batch.put(Space::LogEntries, "key", vec![0xa5; 1 << 20]);
    // Sooner or later so much is written that a table is made.
    let changed = (0..200).find_map(|_| {
        engine.write(&batch).expect("a write");
        manifest_in_use().filter(|(manifest, bytes)| *manifest != first || *bytes != contents)
    });
    let (changed, _) = changed.expect("a table was made");
    assert_ne!(changed, first, "a table was noted in the manifest that was in use");
}

#[test]
fn a_file_cut_anywhere_is_a_torn_tail_and_keeps_the_batches_before_it() {
    let database = Database::with_batches(&[5, 5, 5]);
    for length in 0..database.sound.len() {
        let (_, whole) = database.batch_of(length);
        let torn = database.audit_with(&database.sound[..length]).expect("a torn tail is no damage");
        let expected = TornTail { file: database.log.clone(), offset: whole as u64, bytes: (length - whole) as u64 };
        assert_eq!(torn, if length == whole { vec![] } else { vec![expected] }, "{length} bytes");
    }
}

#[test]
fn every_flipped_bit_before_the_last_record_is_refused() {
    let database = Database::with_batches(&[5, 0, 9, 5]);
    let last = database.ends[2];
    for byte in 0..database.sound.len() {
        let (_, start) = database.batch_of(byte);
        for bit in 0..8 {
            let outcome = database.audit_with(&database.flipped(byte, 1 << bit));
            match outcome {
                Err(StorageError::Damaged { what, at, remedy, .. }) if byte < last => {
                    assert_eq!(what, database.log.display().to_string());
                    assert_eq!(at, Place::Offset(start as u64));
                    assert_eq!(remedy, bursar_storage::REBUILD_FROM_QUORUM);
                }
                // Nothing follows the last record that would say that it was ever whole.
                Ok(torn) if byte >= last => assert_eq!(torn[0].offset, last as u64),
                other => panic!("byte {byte}, bit {bit}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_damaged_file_is_refused_before_rocksdb_sees_it() {
    let database = Database::with_batches(&[5, 5, 5]);
    let length_byte = database.ends[0] + 4;
    for (byte, mask) in [(20, 0x10), (length_byte, 0x01), (length_byte + 1, 0x40)] {
        fs::write(&database.log, database.flipped(byte, mask)).expect("the log file");
        let before = fs::read_dir(&database.path).expect("the directory").count();
        let failure = RocksEngine::open(&database.path, Profile::Log).expect_err("a bit is flipped");
        assert!(failure.is_damage(), "{failure}");
        assert!(failure.to_string().contains("rebuild this node from the quorum under a new id"), "{failure}");
        assert_eq!(fs::read(&database.log).expect("the log file"), database.flipped(byte, mask), "nothing is changed");
        assert_eq!(fs::read_dir(&database.path).expect("the directory").count(), before);
    }
    fs::write(&database.log, &database.sound).expect("the log file");
    assert_eq!(database.recovered(), 3);
}

#[test]
fn a_torn_or_damaged_last_record_is_cut_and_the_rest_recovered() {
    let cuts: [fn(&Database) -> Vec<u8>; 4] = [
        |database| database.sound[..database.sound.len() - 3].to_vec(),
        |database| database.sound[..database.ends[1] + 3].to_vec(),
        |database| database.flipped(database.ends[1] + 20, 1),
        |database| {
            let mut log = database.sound.clone();
            log[database.ends[1] + 15..].fill(0);
            log
        },
    ];
    for cut in cuts {
        let database = Database::with_batches(&[5, 5, 40]);
        fs::write(&database.log, cut(&database)).expect("the log file");
        assert_eq!(database.recovered(), 2);
        assert_eq!(database.recovered(), 2, "and it stays so");
    }
}

#[test]
fn damage_is_found_in_records_of_many_blocks() {
    let database = Database::with_batches(&[100_000, 50_000, 10]);
    for byte in (0..database.ends[1]).step_by(613) {
        let outcome = database.audit_with(&database.flipped(byte, 0x80));
        assert!(outcome.as_ref().is_err_and(StorageError::is_damage), "byte {byte}: {outcome:?}");
    }
    // A fragment of the last record is as good a proof as a whole one.
    let database = Database::with_batches(&[10, 100_000]);
    let outcome = database.audit_with(&database.flipped(1_000, 0x80));
    assert!(outcome.as_ref().is_err_and(StorageError::is_damage), "{outcome:?}");
}

#[test]
fn a_lost_page_with_records_behind_it_is_refused() {
    let database = Database::with_batches(&[10_000, 10, 10]);
    let mut log = database.sound.clone();
    log[4_096..8_192].fill(0);
    let outcome = database.audit_with(&log);
    assert!(outcome.as_ref().is_err_and(StorageError::is_damage), "{outcome:?}");
}

#[test]
fn a_tear_with_a_later_file_behind_it_is_damage() {
    let database = Database::with_batches(&[5, 5]);
    let later = database.path.join("999999.log");
    fs::write(&later, b"").expect("a file");
    let torn = &database.sound[..database.sound.len() - 1];
    assert_eq!(database.audit_with(torn).expect("nothing is behind the tear").len(), 1);

    fs::write(&later, &database.sound[..5]).expect("a file");
    let tears = database.audit_with(torn).expect("nothing valid is behind the tear");
    let (files, offsets): (Vec<_>, Vec<_>) = tears.into_iter().map(|tear| (tear.file, tear.offset)).unzip();
    assert_eq!(files, [database.log.clone(), later.clone()]);
    assert_eq!(offsets, [database.ends[0] as u64, 0]);

    fs::write(&later, &database.sound).expect("a file");
    let failure = database.audit_with(torn).expect_err("a whole record is behind the tear");
    assert!(failure.is_damage(), "{failure}");
    assert_eq!(database.audit_with(&database.sound), Ok(vec![]), "two whole files are sound");
}
