//! Small files on a simulated disk.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use bursar_net::{FileError, FileLock, Files};
use bytes::Bytes;

use super::volume::Inode;
use super::{Disks, Machine, Place};

/// The loosest mode of a file with a secret, and of a directory that is its owner's alone.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// [`Files`] of a machine as one of its processes has them, until the machine loses its power.
#[derive(Clone, Debug)]
pub struct HostFiles {
    disks: Disks,
    boot: u32,
    /// The process, for whoever finds its locks.
    pid: u32,
}

impl HostFiles {
    pub(super) fn new(disks: Disks, boot: u32, pid: u32) -> Self {
        Self { disks, boot, pid }
    }

    /// Does something with the machine's disks; errors say that it was `action`, with `path`.
    fn act<T>(&self, action: &'static str, path: &Path, act: impl FnOnce(&mut Machine) -> io::Result<T>) -> Result<T, FileError> {
        self.disks.act(self.boot, act).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => FileError::NotFound { path: path.to_owned() },
            _ => FileError::Io { action, path: path.to_owned(), source },
        })
    }

    fn is_directory(&self, path: &Path) -> Result<bool, FileError> {
        self.act("examine", path, |machine| {
            let Place { volume, inode } = machine.resolve(path)?;
            Ok(machine.volume(volume).is_directory(inode))
        })
    }

    fn check_mode(&self, path: &Path, bound: u32) -> Result<(), FileError> {
        let mode = self.act("examine", path, |machine| {
            let Place { volume, inode } = machine.resolve(path)?;
            machine.volume(volume).mode(inode)
        })?;
        if mode & !bound != 0 { Err(FileError::LooseMode { path: path.to_owned(), mode, bound }) } else { Ok(()) }
    }
}

impl Files for HostFiles {
    fn read(&self, path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileError> {
        let contents = self.act("read", path, |machine| {
            let Place { volume, inode } = machine.resolve(path)?;
            machine.volume(volume).read(inode)
        })?;
        if contents.len() > bytes_max {
            return Err(FileError::TooLarge { path: path.to_owned(), bytes_max });
        }
        Ok(contents.into())
    }

    fn read_private(&self, path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileError> {
        self.check_mode(path, FILE_MODE)?;
        self.read(path, bytes_max)
    }

    fn write_atomic(&self, path: &Path, contents: &[u8]) -> Result<(), FileError> {
        self.act("write", path, |machine| {
            let (directory, name) = machine.parent(path)?;
            let aside = aside_of(&name);
            match machine.volume(directory.volume).remove_file(directory.inode, &aside) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let written = write_aside(machine, directory, &aside, contents)
                .and_then(|()| machine.volume(directory.volume).rename(directory.inode, &aside, &name));
            if written.is_err() {
                // As the real form: the first failure is what is told, and what is left aside is harmless.
                let _ = machine.volume(directory.volume).remove_file(directory.inode, &aside);
            }
            written?;
            machine.sync(directory)
        })
    }

    fn exists(&self, path: &Path) -> Result<bool, FileError> {
        match self.act("examine", path, |machine| machine.resolve(path)) {
            Ok(_) => Ok(true),
            Err(FileError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn list(&self, directory: &Path) -> Result<Vec<OsString>, FileError> {
        self.act("list", directory, |machine| {
            let Place { volume, inode } = machine.resolve(directory)?;
            machine.volume(volume).names(inode)
        })
    }

    fn create_directory(&self, directory: &Path) -> Result<(), FileError> {
        match self.is_directory(directory) {
            Ok(true) => return Ok(()),
            Ok(false) | Err(FileError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        if let Some(parent) = directory.parent() {
            self.create_directory(parent)?;
        }
        self.act("create", directory, |machine| {
            let (parent, name) = machine.parent(directory)?;
            machine.volume(parent.volume).create_directory(parent.inode, &name)?;
            machine.sync(parent).inspect_err(|_| {
                let _ = machine.volume(parent.volume).remove_directory(parent.inode, &name);
            })
        })
    }

    fn require_private(&self, directory: &Path) -> Result<(), FileError> {
        self.check_mode(directory, DIRECTORY_MODE)
    }

    fn remove(&self, path: &Path) -> Result<(), FileError> {
        self.act("remove", path, |machine| {
            let (directory, name) = machine.parent(path)?;
            machine.volume(directory.volume).remove_file(directory.inode, &name)?;
            machine.sync(directory)
        })
    }

    fn lock(&self, path: &Path) -> Result<FileLock, FileError> {
        let place = self.act("open", path, |machine| {
            let (directory, name) = machine.parent(path)?;
            let volume = machine.volume(directory.volume);
            let inode = match volume.lookup(directory.inode, &name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => volume.create_file(directory.inode, &name),
                found => found,
            }?;
            Ok(Place { inode, ..directory })
        })?;
        let number = self.act("lock", path, |machine| {
            if machine.locks.contains_key(&place) {
                return Ok(None);
            }
            machine.volume(place.volume).write(place.inode, Bytes::from(format!("{}\n", self.pid)))?;
            let number = machine.next_lock;
            machine.next_lock += 1;
            machine.locks.insert(place, number);
            Ok(Some(number))
        })?;
        match number {
            Some(number) => Ok(FileLock::new(HeldLock { disks: self.disks.clone(), place, number })),
            None => {
                let holder = self.read(path, 16).ok().and_then(|pid| String::from_utf8(pid).ok()?.trim().parse().ok());
                Err(FileError::Locked { path: path.to_owned(), pid: holder })
            }
        }
    }
}

fn write_aside(machine: &mut Machine, directory: Place, aside: &OsStr, contents: &[u8]) -> io::Result<()> {
    let volume = machine.volume(directory.volume);
    let inode: Inode = volume.create_file(directory.inode, aside)?;
    volume.write(inode, Bytes::copy_from_slice(contents))?;
    machine.sync(Place { inode, ..directory })
}

fn aside_of(name: &OsStr) -> OsString {
    let mut aside = OsString::from(".");
    aside.push(name);
    aside.push(".aside");
    aside
}

/// A lock, which ends with its holder. One that was lost with the power frees nobody else's.
struct HeldLock {
    disks: Disks,
    place: Place,
    number: u64,
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        let mut machine = self.disks.machine();
        if machine.locks.get(&self.place) == Some(&self.number) {
            machine.locks.remove(&self.place);
        }
    }
}
