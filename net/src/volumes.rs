//! Directories on whatever disks a machine has been given: what store points are made of.
//!
//! These calls block, and on a disk that hangs they may never return: they are made on threads that nobody has to wait for, see
//! [`crate::LooseThreads`]. Errors are the operating system's own, for callers tell them apart by their kind.

mod disk;

use std::io;
use std::path::{Path, PathBuf};

pub use disk::DiskVolumes;

/// The machine's disks.
pub trait Volumes: Send + Sync + 'static {
    /// Opens the directory at `path`. What stands at its end must be a directory itself, and no link to one.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Folder>>;

    /// The path of what is at `path`, with all symbolic links followed.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;
}

/// A directory that is held open. What is done with it happens in this very directory, whatever is mounted or moved to its
/// path meanwhile. Names are those of single entries; links are never followed.
pub trait Folder: Send {
    /// Opens a directory in it.
    fn open(&self, name: &str) -> io::Result<Box<dyn Folder>>;

    /// Makes a directory in it, for the owner alone, where nothing of that name is.
    fn create(&self, name: &str) -> io::Result<()>;

    /// The whole of a file that has at most `bytes_max` bytes.
    fn read(&self, name: &str, bytes_max: usize) -> io::Result<Vec<u8>>;

    /// Makes a file for the owner alone, where nothing of that name is, and syncs what it holds; its name is durable after
    /// [`sync`](Self::sync).
    fn write_new(&self, name: &str, contents: &[u8]) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Removes a directory that is empty.
    fn remove_empty(&self, name: &str) -> io::Result<()>;

    /// Gives an entry another name, which nothing has yet.
    fn rename_new(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes the names in it durable.
    fn sync(&self) -> io::Result<()>;

    /// The names in it that begin with `prefix`, sorted.
    fn names(&self, prefix: &str) -> io::Result<Vec<String>>;

    /// How much room its file system has.
    fn space(&self) -> io::Result<Space>;

    /// How many bytes everything in it takes on the disk, at any depth. It looks at each entry.
    fn used_bytes(&self) -> io::Result<u64>;
}

/// How much room a file system has, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Its size.
    pub total: u64,
    /// What is free for whoever asks.
    pub free: u64,
}
