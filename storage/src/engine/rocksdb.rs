//! The engine on disk: RocksDB, with little memory and with nothing that forgives damage.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::{fmt, io};

use bytes::Bytes;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, ErrorKind, LogLevel,
    Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::fuse::Fuse;
use super::{Batch, Direction, Engine, Engines, KeyRange, Operation, Profile, Space, Visitor, wal_audit};
use crate::{Place, StorageError};

const MIB: usize = 1024 * 1024;

/// Every change of the manifest is a whole new one, synced before it is in use: so none that is in use has a torn end, and a
/// flipped length cannot pass for one. It has a line a table, and a table has megabytes.
const WHOLE_MANIFESTS: &str = "max_manifest_file_size=0;max_manifest_space_amp_pct=0";

/// The databases of this machine's disks.
#[derive(Debug, Clone, Copy, Default)]
pub struct RocksEngines;

impl Engines for RocksEngines {
    fn create(&self, path: &Path, profile: Profile) -> Result<Arc<dyn Engine>, StorageError> {
        Ok(Arc::new(RocksEngine::create(path, profile)?))
    }

    fn open(&self, path: &Path, profile: Profile) -> Result<Arc<dyn Engine>, StorageError> {
        Ok(Arc::new(RocksEngine::open(path, profile)?))
    }

    fn exists(&self, path: &Path) -> bool {
        RocksEngine::exists(path)
    }

    fn remove(&self, path: &Path) -> Result<(), StorageError> {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(StorageError::io(format!("remove {}", path.display()), error)),
            Ok(()) => sync_parent(path),
        }
    }
}

/// A RocksDB database in a directory of its own. RocksDB's lock keeps a second process out.
pub struct RocksEngine {
    database: DB,
    fuse: Fuse,
}

impl RocksEngine {
    /// Creates an empty database. The parent directory must exist.
    ///
    /// # Errors
    /// A database that is there already; a disk that fails.
    pub fn create(directory: &Path, profile: Profile) -> Result<Self, StorageError> {
        let mut options = database_options()?;
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_error_if_exists(true);
        Self::start(directory, profile, &options, "create")
    }

    /// Opens the database that is there, after an audit of its manifest and its write-ahead log.
    ///
    /// # Errors
    /// No database; damage, with the file that has it; a database that is in use or cannot be opened.
    pub fn open(directory: &Path, profile: Profile) -> Result<Self, StorageError> {
        // RocksDB would leave files of its own in the directory that it refuses.
        if !Self::exists(directory) {
            return Err(StorageError::io(format!("open {}", directory.display()), "there is no database"));
        }
        wal_audit::audit_manifest(directory)?;
        for torn in wal_audit::audit(directory)? {
            torn.cut()?;
            tracing::warn!(file = %torn.file.display(), offset = torn.offset, bytes = torn.bytes, "cut off the torn end of a log");
        }
        Self::start(directory, profile, &database_options()?, "open")
    }

    fn start(directory: &Path, profile: Profile, options: &Options, action: &str) -> Result<Self, StorageError> {
        let cache = Cache::new_lru_cache(cache_bytes(profile));
        let families = profile.spaces().iter().map(|space| ColumnFamilyDescriptor::new(space.name(), family_options(&cache)));
        let database = DB::open_cf_descriptors(options, directory, families)
            .map_err(|error| failure(&format!("{action} {}", directory.display()), error))?;
        // The directory's name, new files and the removal of old log files rest before anything relies on them.
        sync_directory(directory)?;
        sync_parent(directory)?;
        Ok(RocksEngine { database, fuse: Fuse::default() })
    }

    /// Whether there is a database in `directory`.
    pub fn exists(directory: &Path) -> bool {
        // RocksDB's pointer to the manifest: the last file that it makes, and none of its databases is without.
        directory.join("CURRENT").exists()
    }

    fn family(&self, space: Space) -> Result<&ColumnFamily, StorageError> {
        self.database.cf_handle(space.name()).ok_or_else(|| {
            StorageError::io(format!("find the key space {}", space.name()), "this database was opened without it")
        })
    }
}

impl Engine for RocksEngine {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.fuse.check()?;
        let value = self.database.get_pinned_cf(self.family(space)?, key);
        let value = value.map_err(|error| failure(&format!("read from {}", space.name()), error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, space: Space, range: KeyRange<'_>, direction: Direction, visit: &mut Visitor<'_>) -> Result<(), StorageError> {
        self.fuse.check()?;
        if range.is_empty() {
            return Ok(());
        }
        let mut bounds = ReadOptions::default();
        bounds.set_iterate_lower_bound(range.from);
        if let Some(to) = range.to {
            bounds.set_iterate_upper_bound(to);
        }
        let mut pairs = self.database.raw_iterator_cf_opt(self.family(space)?, bounds);
        match direction {
            Direction::Forward => pairs.seek_to_first(),
            Direction::Backward => pairs.seek_to_last(),
        }
        while let Some((key, value)) = pairs.item() {
            if visit(key, value)?.is_break() {
                return Ok(());
            }
            match direction {
                Direction::Forward => pairs.next(),
                Direction::Backward => pairs.prev(),
            }
        }
        // The iterator ends alike at the end of the range and at a block that it cannot read.
        pairs.status().map_err(|error| failure(&format!("scan {}", space.name()), error))
    }

    fn write(&self, batch: &Batch) -> Result<(), StorageError> {
        let mut rocks_batch = WriteBatch::default();
        for operation in batch.operations() {
            match operation {
                Operation::Put { space, key, value } => rocks_batch.put_cf(self.family(*space)?, key, value),
                Operation::Delete { space, key } => rocks_batch.delete_cf(self.family(*space)?, key),
                Operation::DeleteRange { space, from, to } => {
                    rocks_batch.delete_range_cf(self.family(*space)?, from, to);
                }
            }
        }
        self.fuse.guard(|| {
            let written = self.database.write_opt(rocks_batch, &WriteOptions::default());
            written.map_err(|error| failure("write a batch", error))
        })
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.fuse.guard(|| self.database.flush_wal(true).map_err(|error| failure("sync the write-ahead log", error)))
    }
}

impl fmt::Debug for RocksEngine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("RocksEngine").field(&self.database.path()).finish()
    }
}

/// Bytes of blocks that are kept for readers.
const fn cache_bytes(profile: Profile) -> usize {
    match profile {
        Profile::Log => 8 * MIB,
        Profile::Ledger => 32 * MIB,
    }
}

fn database_options() -> Result<Options, StorageError> {
    let mut options = Options::default();
    options.set_paranoid_checks(true);
    // A write only fills the buffer of the write-ahead log; `sync` hands it to the kernel and syncs, once.
    options.set_manual_wal_flush(true);
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_recycle_log_file_num(0);
    options.set_max_total_wal_size(64 * MIB as u64);
    options.set_db_write_buffer_size(48 * MIB);
    options.set_max_open_files(128);
    options.set_max_background_jobs(2);
    options.set_bytes_per_sync(MIB as u64);
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(MIB);
    options.set_keep_log_file_num(2);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.get_options_from_string(WHOLE_MANIFESTS).map_err(|error| failure("set the options of the database", error))
}

fn family_options(cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    // Index and filter blocks count against the cache too, so that it bounds what readers take.
    blocks.set_cache_index_and_filter_blocks(true);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(16 * MIB);
    options.set_max_write_buffer_number(2);
    options.set_compression_type(DBCompressionType::Lz4);
    options
}

fn failure(action: &str, error: rocksdb::Error) -> StorageError {
    match error.kind() {
        ErrorKind::Corruption => StorageError::damaged("the database", Place::Unknown, format!("failed to {action}: {error}")),
        _ => StorageError::io(action, error),
    }
}

fn sync_parent(path: &Path) -> Result<(), StorageError> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}

fn sync_directory(directory: &Path) -> Result<(), StorageError> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| StorageError::io(format!("sync the directory {}", directory.display()), error))
}
