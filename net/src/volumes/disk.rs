//! Directories of the operating system.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, fstatvfs, fsync, mkdirat, openat, renameat, renameat_with, statat,
    unlinkat,
};
use rustix::io::Errno;

use super::{Folder, Space, Volumes};

const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o700);
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Opening a pipe must not wait for its other end.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
const NEW_FILE: OFlags = OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// The unit in which the operating system counts what a file takes.
const BLOCK_BYTES: u64 = 512;

/// The operating system's disks.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskVolumes;

impl Volumes for DiskVolumes {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Folder>> {
        Ok(Box::new(DiskFolder(openat(CWD, path, DIRECTORY, Mode::empty()).map_err(told)?)))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }
}

struct DiskFolder(OwnedFd);

impl DiskFolder {
    fn open(&self, name: &str) -> io::Result<Self> {
        Ok(Self(openat(&self.0, entry(name)?, DIRECTORY, Mode::empty()).map_err(told)?))
    }

    /// Calls `look` with the name of each entry.
    fn each(&self, mut look: impl FnMut(&str) -> io::Result<()>) -> io::Result<()> {
        for found in Dir::read_from(&self.0)? {
            let found = found?;
            match found.file_name().to_string_lossy() {
                name if name == "." || name == ".." => {}
                name => look(&name)?,
            }
        }
        Ok(())
    }
}

impl Folder for DiskFolder {
    fn open(&self, name: &str) -> io::Result<Box<dyn Folder>> {
        Ok(Box::new(self.open(name)?))
    }

    fn create(&self, name: &str) -> io::Result<()> {
        mkdirat(&self.0, entry(name)?, DIRECTORY_MODE).map_err(told)
    }

    fn read(&self, name: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        let file = File::from(openat(&self.0, entry(name)?, FILE, Mode::empty()).map_err(told)?);
        let mut contents = Vec::new();
        // One byte more than allowed tells a file that is too large from one that just fits.
        file.take(bytes_max as u64 + 1).read_to_end(&mut contents)?;
        if contents.len() > bytes_max { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(contents) }
    }

    fn write_new(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        let mut file = File::from(openat(&self.0, entry(name)?, NEW_FILE, FILE_MODE).map_err(told)?);
        file.write_all(contents)?;
        file.sync_all()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        unlinkat(&self.0, entry(name)?, AtFlags::empty()).map_err(told)
    }

    fn remove_empty(&self, name: &str) -> io::Result<()> {
        unlinkat(&self.0, entry(name)?, AtFlags::REMOVEDIR).map_err(told)
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (entry(from)?, entry(to)?);
        match renameat_with(&self.0, from, &self.0, to, RenameFlags::NOREPLACE) {
            // Some file systems cannot do both in one; what comes between is then for whoever shares the directory to avoid.
            Err(Errno::INVAL | Errno::NOSYS) => match statat(&self.0, to, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
                Err(Errno::NOENT) => renameat(&self.0, from, &self.0, to).map_err(told),
                Err(error) => Err(told(error)),
            },
            renamed => renamed.map_err(told),
        }
    }

    fn sync(&self) -> io::Result<()> {
        fsync(&self.0).map_err(told)
    }

    fn names(&self, prefix: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        self.each(|name| {
            if name.starts_with(prefix) {
                names.push(name.to_owned());
            }
            Ok(())
        })?;
        names.sort();
        Ok(names)
    }

    fn space(&self) -> io::Result<Space> {
        let found = fstatvfs(&self.0).map_err(told)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Space { total: bytes(found.f_blocks), free: bytes(found.f_bavail) })
    }

    fn used_bytes(&self) -> io::Result<u64> {
        let mut used = 0_u64;
        self.each(|name| {
            let found = match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
                // It went away while the others were looked at.
                Err(Errno::NOENT) => return Ok(()),
                found => found.map_err(told)?,
            };
            used = used.saturating_add(u64::try_from(found.st_blocks).unwrap_or(0).saturating_mul(BLOCK_BYTES));
            if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
                used = used.saturating_add(self.open(name)?.used_bytes()?);
            }
            Ok(())
        })?;
        Ok(used)
    }
}

/// A name that leads nowhere else.
fn entry(name: &str) -> io::Result<&str> {
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no name of an entry")));
    }
    Ok(name)
}

/// A link where a directory must be is no directory, whichever way the operating system puts it.
fn told(error: Errno) -> io::Error {
    if error == Errno::LOOP { io::ErrorKind::NotADirectory.into() } else { error.into() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

    use std::os::unix::fs::{PermissionsExt, symlink};

    use tempfile::TempDir;

    use super::*;

    fn folder() -> (TempDir, Box<dyn Folder>) {
        let path = TempDir::new().unwrap();
        let opened = DiskVolumes.open(path.path()).unwrap();
        (path, opened)
    }

    fn refusal<T>(result: io::Result<T>) -> io::ErrorKind {
        result.err().unwrap().kind()
    }

    #[test]
    fn what_is_made_is_its_owners_alone_and_new() {
        let (path, folder) = folder();
        folder.create("inner").unwrap();
        folder.write_new("file", b"contents").unwrap();
        folder.sync().unwrap();
        let mode = |name: &str| fs::metadata(path.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("inner"), mode("file")), (0o700, 0o600));
        assert_eq!(folder.read("file", 8).unwrap(), b"contents");
        assert_eq!(refusal(folder.read("file", 7)), io::ErrorKind::FileTooLarge);
        assert_eq!(refusal(folder.create("inner")), io::ErrorKind::AlreadyExists);
        assert_eq!(refusal(folder.write_new("file", b"other")), io::ErrorKind::AlreadyExists);
        assert_eq!(folder.names("in").unwrap(), ["inner"]);
        folder.remove("file").unwrap();
        folder.remove_empty("inner").unwrap();
        assert_eq!(folder.names("").unwrap(), [""; 0]);
    }

    #[test]
    fn a_name_is_given_only_where_nothing_has_it() {
        let (path, folder) = folder();
        folder.create("new").unwrap();
        folder.create("taken").unwrap();
        assert_eq!(refusal(folder.rename_new("new", "taken")), io::ErrorKind::AlreadyExists, "not even an empty directory's");
        folder.rename_new("new", "free").unwrap();
        assert!(path.path().join("free").is_dir() && !path.path().join("new").exists());
        folder.open("free").unwrap().write_new("file", b"").unwrap();
        assert_eq!(refusal(folder.remove_empty("free")), io::ErrorKind::DirectoryNotEmpty);
    }

    #[test]
    fn no_link_is_followed_and_no_name_leads_elsewhere() {
        let (path, folder) = folder();
        folder.create("inner").unwrap();
        folder.write_new("file", b"contents").unwrap();
        symlink(path.path().join("inner"), path.path().join("link")).unwrap();
        symlink(path.path().join("file"), path.path().join("file-link")).unwrap();
        assert_eq!(refusal(folder.open("link")), io::ErrorKind::NotADirectory);
        assert_eq!(refusal(folder.open("file")), io::ErrorKind::NotADirectory);
        assert_eq!(refusal(DiskVolumes.open(&path.path().join("link"))), io::ErrorKind::NotADirectory);
        assert!(folder.read("file-link", 100).is_err());
        assert_eq!(DiskVolumes.canonical(&path.path().join("link")).unwrap(), path.path().join("inner").canonicalize().unwrap());
        for name in ["", ".", "..", "inner/..", "/etc"] {
            assert_eq!(refusal(folder.open(name)), io::ErrorKind::InvalidInput, "{name:?}");
        }
        assert_eq!(refusal(folder.open("none")), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_folder_that_is_held_open_is_the_same_wherever_it_is_moved() {
        let (path, folder) = folder();
        folder.create("inner").unwrap();
        let inner = folder.open("inner").unwrap();
        folder.rename_new("inner", "moved").unwrap();
        folder.create("inner").unwrap();
        inner.write_new("file", b"contents").unwrap();
        assert!(path.path().join("moved/file").exists() && !path.path().join("inner/file").exists());
    }

    #[test]
    fn room_and_use_are_counted() {
        let (_path, folder) = folder();
        let Space { total, free } = folder.space().unwrap();
        assert!(total >= free && total > 0);
        let empty = folder.used_bytes().unwrap();
        folder.create("inner").unwrap();
        folder.open("inner").unwrap().write_new("file", &[1; 100_000]).unwrap();
        let used = folder.used_bytes().unwrap();
        assert!((empty + 100_000..empty + 200_000).contains(&used), "{used} bytes");
    }
}
