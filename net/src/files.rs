//! Small files that a node keeps about itself: identity, keys, configuration, locks.
//!
//! These calls block. A node makes them while it starts, or through [`crate::Blocking`].

mod disk;
mod kept;
mod settings;

use std::any::Any;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

pub use disk::DiskFiles;
pub use kept::{FormatError, kept_from_toml, kept_to_toml, read_kept};
pub use settings::{CheckedSettings, SETTINGS_FILE, SettingsError, read_settings, settings_to_toml, write_settings};

/// A tree of files.
pub trait Files: Send + Sync + 'static {
    /// The whole of a file that has at most `bytes_max` bytes.
    fn read(&self, path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileError>;

    /// Like [`Files::read`], for a file with a secret: refused when its mode is looser than 0600.
    fn read_private(&self, path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileError>;

    /// Puts `contents` at `path`, for the owner alone. Whatever fails and whenever the power is
    /// cut, the file holds all of the old or all of the new; on return the new is durable. One
    /// writer a path at a time.
    fn write_atomic(&self, path: &Path, contents: &[u8]) -> Result<(), FileError>;

    /// Whether there is a file or directory at `path`.
    fn exists(&self, path: &Path) -> Result<bool, FileError>;

    /// The names in a directory, sorted. A power cut during [`Files::write_atomic`] may leave a
    /// name that ends in `.aside`.
    fn list(&self, directory: &Path) -> Result<Vec<OsString>, FileError>;

    /// Makes a directory for the owner alone, and its parents where they are missing. One that
    /// exists is left as it is; one whose making cannot be synced is taken away again, for whoever
    /// comes next would take it for durable.
    fn create_directory(&self, directory: &Path) -> Result<(), FileError>;

    /// Refuses a directory that others than its owner may look into or write to.
    fn require_private(&self, directory: &Path) -> Result<(), FileError>;

    /// Removes a file, durably.
    fn remove(&self, path: &Path) -> Result<(), FileError>;

    /// Locks the file at `path`, made where it is missing, until the lock is dropped or the process
    /// ends.
    fn lock(&self, path: &Path) -> Result<FileLock, FileError>;
}

/// Holds a file locked for as long as it lives.
#[must_use = "dropping the lock unlocks the file"]
pub struct FileLock {
    _held: Box<dyn Any + Send + Sync>,
}

impl FileLock {
    /// Wraps whatever unlocks when it is dropped.
    pub fn new(held: impl Any + Send + Sync) -> Self {
        Self { _held: Box::new(held) }
    }
}

/// What can go wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Nothing is there.
    #[error("{} does not exist: check the path", path.display())]
    NotFound {
        /// The path that was asked for.
        path: PathBuf,
    },
    /// More than the reader takes.
    #[error("{} is larger than the {bytes_max} bytes that it may have: check that it is the right file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound, in bytes.
        bytes_max: usize,
    },
    /// What is for its owner alone, and others may read or replace.
    #[error("{0} has mode {mode:04o}, looser than {bound:04o}: run `chmod {bound:o} {0}`", path.display())]
    LooseMode {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The loosest that it may have.
        bound: u32,
    },
    /// Somebody else holds the lock.
    #[error("{} is held by {}: stop it first, or choose another directory",
        path.display(), holder(*pid))]
    Locked {
        /// The locked file.
        path: PathBuf,
        /// The process that holds it, where the file tells.
        pid: Option<u32>,
    },
    /// The operating system failed us.
    #[error("cannot {action} {}: {source}; {}", path.display(), remedy(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// What to do about a failure of the operating system.
fn remedy(source: &io::Error) -> &'static str {
    match Errno::from_io_error(source) {
        Some(Errno::MFILE) => return "raise the limit of open files of this process (`ulimit -n`, or `LimitNOFILE=`)",
        Some(Errno::NFILE) => return "raise the limit of open files of this machine (`sysctl fs.file-max`)",
        Some(Errno::IO) => return "check the disk and its file system, then try again",
        _ => {}
    }
    match source.kind() {
        io::ErrorKind::PermissionDenied => {
            "run this as the user whose directory it is, or give this user the right to read and write there"
        }
        io::ErrorKind::StorageFull => "free space on its disk, then try again",
        io::ErrorKind::QuotaExceeded => "free space, or have this user's quota raised, then try again",
        io::ErrorKind::ReadOnlyFilesystem => "mount its file system for writing, or choose another directory",
        io::ErrorKind::NotADirectory => "a part of the path is a file: choose another path",
        io::ErrorKind::IsADirectory => "there is a directory where a file belongs: move it away, or choose another path",
        io::ErrorKind::AlreadyExists => "something else is there already: move it away, or choose another path",
        io::ErrorKind::InvalidFilename => "choose a shorter path",
        _ => "mend what the operating system names, then try again",
    }
}

fn holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("pid {pid}"),
        None => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_operating_system_refuses_is_told_with_what_to_do() {
        for (code, remedy) in [
            (Errno::ACCESS.raw_os_error(), "run this as the user"),
            (Errno::NOSPC.raw_os_error(), "free space"),
            (Errno::DQUOT.raw_os_error(), "quota"),
            (Errno::ROFS.raw_os_error(), "mount its file system for writing"),
            (Errno::NOTDIR.raw_os_error(), "a part of the path is a file"),
            (Errno::ISDIR.raw_os_error(), "move it away"),
            (Errno::EXIST.raw_os_error(), "move it away"),
            (Errno::NAMETOOLONG.raw_os_error(), "choose a shorter path"),
            (Errno::MFILE.raw_os_error(), "limit of open files of this process"),
            (Errno::NFILE.raw_os_error(), "limit of open files of this machine"),
            (Errno::IO.raw_os_error(), "check the disk"),
            (Errno::LOOP.raw_os_error(), "mend what the operating system names"),
        ] {
            let source = io::Error::from_raw_os_error(code);
            let told = FileError::Io { action: "write", path: "/a/b".into(), source }.to_string();
            assert!(told.starts_with("cannot write /a/b: ") && told.contains(remedy), "{told}");
        }
    }
}
