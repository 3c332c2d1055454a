//! Stores on simulated disks.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bursar_storage::StorageError;
use bursar_storage::engine::{Batch, Direction, Engine, Engines, KeyRange, MemoryEngines, Profile, Space, Visitor};
use bytes::Bytes;

use super::{DiskOperation, Disks};

/// [`Engines`] of a machine, until it loses its power.
#[derive(Clone, Debug)]
pub struct HostEngines {
    disks: Disks,
    boot: u32,
    engines: MemoryEngines,
}

impl HostEngines {
    pub(super) fn new(disks: Disks, boot: u32, engines: MemoryEngines) -> Self {
        Self { disks, boot, engines }
    }

    fn check(&self, path: &Path, operation: DiskOperation) -> io::Result<()> {
        self.disks.act(self.boot, |machine| {
            let volume = machine.volume_of(path);
            machine.volume(volume).check(operation)
        })
    }

    fn refused(action: &str, path: &Path) -> impl FnOnce(io::Error) -> StorageError {
        let action = format!("{action} {}", path.display());
        move |error| StorageError::io(action, error)
    }

    fn held(&self, path: &Path, inner: Arc<dyn Engine>) -> Arc<dyn Engine> {
        Arc::new(HostEngine { host: self.clone(), path: path.to_owned(), inner, failed: OnceLock::new() })
    }
}

impl Engines for HostEngines {
    fn create(&self, path: &Path, profile: Profile) -> Result<Arc<dyn Engine>, StorageError> {
        self.check(path, DiskOperation::Write).map_err(Self::refused("create", path))?;
        Ok(self.held(path, self.engines.create(path, profile)?))
    }

    fn open(&self, path: &Path, profile: Profile) -> Result<Arc<dyn Engine>, StorageError> {
        self.check(path, DiskOperation::Read).map_err(Self::refused("open", path))?;
        Ok(self.held(path, self.engines.open(path, profile)?))
    }

    fn exists(&self, path: &Path) -> bool {
        self.engines.exists(path)
    }

    fn remove(&self, path: &Path) -> Result<(), StorageError> {
        self.check(path, DiskOperation::Write).map_err(Self::refused("remove", path))?;
        self.engines.remove(path)
    }
}

/// An engine that fails with its disk, and after that in everything, as each of the real ones does.
struct HostEngine {
    host: HostEngines,
    path: PathBuf,
    inner: Arc<dyn Engine>,
    /// Why it takes nothing any more.
    failed: OnceLock<String>,
}

impl HostEngine {
    /// Lets an operation pass if the disk does.
    fn pass(&self, action: &str, disk: impl FnOnce() -> io::Result<()>) -> Result<(), StorageError> {
        if let Some(cause) = self.failed.get() {
            return Err(StorageError::Poisoned { cause: cause.clone() });
        }
        disk().map_err(HostEngines::refused(action, &self.path)).inspect_err(|error| {
            self.failed.get_or_init(|| error.to_string());
        })
    }

    fn check(&self, action: &str, operation: DiskOperation) -> Result<(), StorageError> {
        self.pass(action, || self.host.check(&self.path, operation))
    }
}

impl Engine for HostEngine {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        self.check("read", DiskOperation::Read)?;
        self.inner.get(space, key)
    }

    fn scan(&self, space: Space, range: KeyRange<'_>, direction: Direction, visit: &mut Visitor<'_>) -> Result<(), StorageError> {
        self.check("read", DiskOperation::Read)?;
        self.inner.scan(space, range, direction, visit)
    }

    fn write(&self, batch: &Batch) -> Result<(), StorageError> {
        self.pass("write", || {
            self.host.disks.act(self.host.boot, |machine| {
                let volume = machine.volume_of(&self.path);
                machine.volume(volume).check_write()
            })
        })?;
        self.inner.write(batch)
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.pass("sync", || self.host.disks.act(self.host.boot, |machine| machine.count_sync()))?;
        self.check("sync", DiskOperation::Sync)?;
        self.inner.sync()
    }
}
