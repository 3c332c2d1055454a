//! Disks that have bad luck: an operation fails, or the machine stops amid it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bursar_net::{DiskVolumes, Folder, Space, Volumes};

use crate::faults::Moment;

/// What is done with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Open,
    Read,
    Write,
    Remove,
    Name,
    Sync,
    Room,
}

/// When an operation on an entry fails, and with what.
pub(super) type Rule = Arc<dyn Fn(Operation, &str) -> Option<io::ErrorKind> + Send + Sync>;

/// The operating system's disks, with faults.
#[derive(Clone)]
pub(super) struct FaultyVolumes {
    rule: Rule,
    changes_left: Arc<AtomicUsize>,
    moment: Moment,
}

impl FaultyVolumes {
    /// Disks on which operations fail by a rule.
    pub(super) fn failing(rule: impl Fn(Operation, &str) -> Option<io::ErrorKind> + Send + Sync + 'static) -> Self {
        Self { rule: Arc::new(rule), changes_left: Arc::new(AtomicUsize::new(usize::MAX)), moment: Moment::Before }
    }

    /// Disks of a machine that stops at the change number `at`, from 0.
    pub(super) fn ending_at(at: usize, moment: Moment) -> Self {
        Self { changes_left: Arc::new(AtomicUsize::new(at + 1)), moment, ..Self::failing(|_, _| None) }
    }

    /// Whether the machine has stopped.
    pub(super) fn have_ended(&self) -> bool {
        self.changes_left.load(Ordering::SeqCst) == 0
    }

    fn look<T>(&self, operation: Operation, name: &str, look: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if self.have_ended() {
            return Err(io::Error::other("the machine has stopped"));
        }
        (self.rule)(operation, name).map_or_else(look, |kind| Err(kind.into()))
    }

    fn change(&self, operation: Operation, name: &str, change: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.look(operation, name, || Ok(()))?;
        if self.changes_left.fetch_sub(1, Ordering::SeqCst) > 1 {
            return change();
        }
        if matches!(self.moment, Moment::After) {
            change()?;
        }
        Err(io::Error::other("the machine has stopped"))
    }

    fn folder(&self, inner: Box<dyn Folder>) -> Box<dyn Folder> {
        Box::new(FaultyFolder { disks: self.clone(), inner })
    }
}

impl Volumes for FaultyVolumes {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Folder>> {
        let opened = self.look(Operation::Open, &path.to_string_lossy(), || DiskVolumes.open(path))?;
        Ok(self.folder(opened))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.look(Operation::Open, &path.to_string_lossy(), || DiskVolumes.canonical(path))
    }
}

struct FaultyFolder {
    disks: FaultyVolumes,
    inner: Box<dyn Folder>,
}

impl Folder for FaultyFolder {
    fn open(&self, name: &str) -> io::Result<Box<dyn Folder>> {
        Ok(self.disks.folder(self.disks.look(Operation::Open, name, || self.inner.open(name))?))
    }

    fn create(&self, name: &str) -> io::Result<()> {
        self.disks.change(Operation::Name, name, || self.inner.create(name))
    }

    fn read(&self, name: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        self.disks.look(Operation::Read, name, || self.inner.read(name, bytes_max))
    }

    fn write_new(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        let written = self.disks.change(Operation::Write, name, || self.inner.write_new(name, contents));
        if self.disks.have_ended() && matches!(self.disks.moment, Moment::Amid) {
            self.inner.write_new(name, &contents[..contents.len() / 2])?;
        }
        written
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disks.change(Operation::Remove, name, || self.inner.remove(name))
    }

    fn remove_empty(&self, name: &str) -> io::Result<()> {
        self.disks.change(Operation::Remove, name, || self.inner.remove_empty(name))
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        self.disks.change(Operation::Name, to, || self.inner.rename_new(from, to))
    }

    fn sync(&self) -> io::Result<()> {
        self.disks.change(Operation::Sync, "", || self.inner.sync())
    }

    fn names(&self, prefix: &str) -> io::Result<Vec<String>> {
        self.disks.look(Operation::Read, prefix, || self.inner.names(prefix))
    }

    fn space(&self) -> io::Result<Space> {
        self.disks.look(Operation::Room, "", || self.inner.space())
    }

    fn used_bytes(&self) -> io::Result<u64> {
        self.disks.look(Operation::Read, "", || self.inner.used_bytes())
    }
}
