//! Files on the operating system's disk.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{FileError, FileLock, Files};

/// Read and write, for the owner alone.
const FILE_MODE: u32 = 0o600;

/// Read, write and search, for the owner alone.
const DIRECTORY_MODE: u32 = 0o700;

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFiles;

impl Files for DiskFiles {
    fn read(&self, path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileError> {
        let file = File::open(path).map_err(failed("open", path))?;
        read_bounded(file, path, bytes_max)
    }

    fn read_private(&self, path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileError> {
        let file = File::open(path).map_err(failed("open", path))?;
        // The mode of what was opened, not of what stands at the path by now.
        check_mode(&file, path, FILE_MODE)?;
        read_bounded(file, path, bytes_max)
    }

    fn write_atomic(&self, path: &Path, contents: &[u8]) -> Result<(), FileError> {
        let aside = aside_of(path);
        remove_if_present(&aside)?;
        let written = write_new(&aside, contents).and_then(|()| fs::rename(&aside, path).map_err(failed("replace", path)));
        if written.is_err() {
            // The failure that is reported is the first one; what is left behind is harmless and
            // removed by the next write.
            let _ = fs::remove_file(&aside);
        }
        written?;
        sync_directory_of(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, FileError> {
        path.try_exists().map_err(failed("examine", path))
    }

    fn list(&self, directory: &Path) -> Result<Vec<OsString>, FileError> {
        let mut names = fs::read_dir(directory)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>())
            .map_err(failed("list", directory))?;
        names.sort();
        Ok(names)
    }

    fn create_directory(&self, directory: &Path) -> Result<(), FileError> {
        if directory.is_dir() {
            return Ok(());
        }
        if let Some(parent) = parent_of(directory) {
            self.create_directory(parent)?;
        }
        DirBuilder::new().mode(DIRECTORY_MODE).create(directory).map_err(failed("create", directory))?;
        sync_directory_of(directory).inspect_err(|_| {
            // Nothing better can be done on a disk that fails.
            let _ = fs::remove_dir(directory);
        })
    }

    fn require_private(&self, directory: &Path) -> Result<(), FileError> {
        let opened = File::open(directory).map_err(failed("open", directory))?;
        check_mode(&opened, directory, DIRECTORY_MODE)
    }

    fn remove(&self, path: &Path) -> Result<(), FileError> {
        fs::remove_file(path).map_err(failed("remove", path))?;
        sync_directory_of(path)
    }

    fn lock(&self, path: &Path) -> Result<FileLock, FileError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(path)
            .map_err(failed("open", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(FileError::Locked { path: path.to_owned(), pid: read_pid(&file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed("lock", path)(source)),
        }
        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed("write", path))?;
        Ok(FileLock::new(file))
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |source| match source.kind() {
        io::ErrorKind::NotFound => FileError::NotFound { path: path.to_owned() },
        _ => FileError::Io { action, path: path.to_owned(), source },
    }
}

/// Every permission bit beyond `bound` is one too many.
fn check_mode(file: &File, path: &Path, bound: u32) -> Result<(), FileError> {
    let mode = file.metadata().map_err(failed("examine", path))?.permissions().mode() & 0o7777;
    if mode & !bound != 0 { Err(FileError::LooseMode { path: path.to_owned(), mode, bound }) } else { Ok(()) }
}

fn read_bounded(file: File, path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileError> {
    let mut contents = Vec::new();
    // One byte more than allowed tells a file that is too large from one that just fits.
    let mut bounded = file.take(bytes_max as u64 + 1);
    bounded.read_to_end(&mut contents).map_err(failed("read", path))?;
    if contents.len() > bytes_max {
        return Err(FileError::TooLarge { path: path.to_owned(), bytes_max });
    }
    Ok(contents)
}

/// A new file can only be made where nothing is, so that neither a planted link nor a looser mode
/// survives.
fn write_new(path: &Path, contents: &[u8]) -> Result<(), FileError> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path).map_err(failed("create", path))?;
    file.write_all(contents).map_err(failed("write", path))?;
    file.sync_all().map_err(failed("sync", path))
}

fn remove_if_present(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// A name in a directory is durable only once the directory is synced too.
fn sync_directory_of(path: &Path) -> Result<(), FileError> {
    let directory = parent_of(path).unwrap_or(Path::new("."));
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(failed("sync", directory))
}

fn parent_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty())
}

fn aside_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or(OsStr::new("file")));
    name.push(".aside");
    path.with_file_name(name)
}

fn read_pid(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tempfile::TempDir;

    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_written_belongs_to_the_owner_alone() {
        let directory = TempDir::new().unwrap();
        let nested = directory.path().join("a/b");
        DiskFiles.create_directory(&nested).unwrap();
        DiskFiles.write_atomic(&nested.join("key"), b"secret").unwrap();
        assert_eq!(mode_of(&nested), 0o700);
        assert_eq!(mode_of(&directory.path().join("a")), 0o700);
        assert_eq!(mode_of(&nested.join("key")), 0o600);
        assert_eq!(DiskFiles.read_private(&nested.join("key"), 6).unwrap(), b"secret");
    }

    #[test]
    fn a_secret_that_others_may_read_is_refused_with_the_command_that_mends_it() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("key");
        DiskFiles.write_atomic(&path, b"secret").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o700, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = DiskFiles.read_private(&path, 100).unwrap_err();
            assert!(matches!(refused, FileError::LooseMode { mode: found, .. } if found == mode));
            assert!(refused.to_string().ends_with(&format!("run `chmod 600 {}`", path.display())), "{refused}");
        }
        assert_eq!(DiskFiles.read(&path, 100).unwrap(), b"secret");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(DiskFiles.read_private(&path, 100).unwrap(), b"secret");
    }

    #[test]
    fn a_directory_that_others_may_look_into_is_refused_with_the_command_that_mends_it() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("node");
        DiskFiles.create_directory(&path).unwrap();
        DiskFiles.require_private(&path).unwrap();
        for mode in [0o750, 0o701, 0o755, 0o1700] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = DiskFiles.require_private(&path).unwrap_err();
            assert!(matches!(refused, FileError::LooseMode { mode: found, .. } if found == mode));
            assert!(refused.to_string().ends_with(&format!("run `chmod 700 {}`", path.display())), "{refused}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        DiskFiles.require_private(&path).unwrap();
    }

    #[test]
    fn a_reader_gets_no_more_than_it_takes() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("file");
        DiskFiles.write_atomic(&path, b"12345").unwrap();
        assert_eq!(DiskFiles.read(&path, 5).unwrap(), b"12345");
        assert!(matches!(DiskFiles.read(&path, 4), Err(FileError::TooLarge { bytes_max: 4, .. })));
        assert!(matches!(DiskFiles.read(&directory.path().join("none"), 4), Err(FileError::NotFound { .. })));
    }

    #[test]
    fn a_second_lock_is_refused_and_names_the_holder() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("lock");
        let first = DiskFiles.lock(&path).unwrap();
        let Err(refused) = DiskFiles.lock(&path) else { panic!("two hold the lock") };
        assert!(matches!(refused, FileError::Locked { pid: Some(pid), .. } if pid == std::process::id()));
        drop(first);
        let _second = DiskFiles.lock(&path).unwrap();
    }

    #[test]
    fn readers_beside_a_writer_see_all_of_the_old_or_all_of_the_new() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("file");
        let versions = [vec![b'a'; 100_000], vec![b'b'; 200_000]];
        DiskFiles.write_atomic(&path, &versions[0]).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..40 {
                    DiskFiles.write_atomic(&path, &versions[round % 2]).unwrap();
                }
                done.store(true, Ordering::Release);
            });
            while !done.load(Ordering::Acquire) {
                let seen = DiskFiles.read(&path, 200_000).unwrap();
                assert!(versions.contains(&seen), "a reader saw {} bytes of neither version", seen.len());
            }
        });
    }

    #[test]
    fn a_failed_write_leaves_the_old_and_nothing_beside_it() {
        let directory = TempDir::new().unwrap();
        let occupied = directory.path().join("occupied");
        DiskFiles.create_directory(&occupied.join("inside")).unwrap();
        assert!(matches!(DiskFiles.write_atomic(&occupied, b"new"), Err(FileError::Io { action: "replace", .. })));
        assert_eq!(DiskFiles.list(directory.path()).unwrap(), ["occupied"]);
        assert_eq!(DiskFiles.list(&occupied).unwrap(), ["inside"]);
    }

    #[test]
    fn what_a_power_cut_left_aside_disturbs_nobody() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("file");
        DiskFiles.write_atomic(&path, b"old").unwrap();
        fs::write(directory.path().join(".file.aside"), b"ne").unwrap();
        assert_eq!(DiskFiles.read(&path, 100).unwrap(), b"old");
        DiskFiles.write_atomic(&path, b"new").unwrap();
        assert_eq!(DiskFiles.read(&path, 100).unwrap(), b"new");
        assert_eq!(DiskFiles.list(directory.path()).unwrap(), ["file"]);
        DiskFiles.remove(&path).unwrap();
        assert!(!DiskFiles.exists(&path).unwrap());
    }
}
