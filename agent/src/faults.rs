//! Files of a process that has bad luck: it ends amid one of its changes to the disk, or somebody else is faster.

use std::{
    ffi::OsString,
    fs, io,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bursar_net::{DiskFiles, FileError, FileLock, Files};

/// Where within a change the process ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// Before anything of it is done.
    Before,
    /// When half of what replaces a file stands beside it.
    Amid,
    /// When all is done, and nobody was told.
    After,
}

impl Moment {
    pub(crate) const ALL: [Self; 3] = [Self::Before, Self::Amid, Self::After];
}

/// What somebody else does meanwhile.
type Rival = Box<dyn FnOnce() + Send>;

/// Files on the disk, until the process ends; from then on nothing is done any more.
pub(crate) struct FaultyFiles {
    changes_left: AtomicUsize,
    moment: Moment,
    /// Whoever holds a lock just before this process gets it.
    rival: Mutex<Option<Rival>>,
}

impl FaultyFiles {
    /// Files of a process that ends at its change number `at`, from 0.
    pub(crate) fn ending_at(at: usize, moment: Moment) -> Self {
        Self { changes_left: AtomicUsize::new(at + 1), moment, rival: Mutex::new(None) }
    }

    /// Files of a process that gets its first lock only after somebody else had it.
    pub(crate) fn overtaken_by(rival: impl FnOnce() + Send + 'static) -> Self {
        Self { rival: Mutex::new(Some(Box::new(rival))), ..Self::ending_at(1_000, Moment::Before) }
    }

    /// Whether the process has ended.
    pub(crate) fn have_ended(&self) -> bool {
        self.changes_left.load(Ordering::SeqCst) == 0
    }

    fn alive(&self, path: &Path) -> Result<(), FileError> {
        if self.have_ended() { Err(ended(path)) } else { Ok(()) }
    }

    fn change<T>(&self, path: &Path, change: impl FnOnce() -> Result<T, FileError>) -> Result<T, FileError> {
        self.alive(path)?;
        if self.changes_left.fetch_sub(1, Ordering::SeqCst) > 1 {
            return change();
        }
        if matches!(self.moment, Moment::After) {
            change()?;
        }
        Err(ended(path))
    }
}

fn ended(path: &Path) -> FileError {
    FileError::Io { action: "go on with", path: path.to_owned(), source: io::Error::other("the process has ended") }
}

impl Files for FaultyFiles {
    fn read(&self, path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileError> {
        self.alive(path).and_then(|()| DiskFiles.read(path, bytes_max))
    }

    fn read_private(&self, path: &Path, bytes_max: usize) -> Result<Vec<u8>, FileError> {
        self.alive(path).and_then(|()| DiskFiles.read_private(path, bytes_max))
    }

    fn write_atomic(&self, path: &Path, contents: &[u8]) -> Result<(), FileError> {
        let written = self.change(path, || DiskFiles.write_atomic(path, contents));
        if written.is_err() && matches!(self.moment, Moment::Amid) {
            let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            fs::write(path.with_file_name(format!(".{name}.aside")), &contents[..contents.len() / 2]).expect("a write");
        }
        written
    }

    fn exists(&self, path: &Path) -> Result<bool, FileError> {
        self.alive(path).and_then(|()| DiskFiles.exists(path))
    }

    fn list(&self, directory: &Path) -> Result<Vec<OsString>, FileError> {
        self.alive(directory).and_then(|()| DiskFiles.list(directory))
    }

    fn create_directory(&self, directory: &Path) -> Result<(), FileError> {
        self.change(directory, || DiskFiles.create_directory(directory))
    }

    fn require_private(&self, directory: &Path) -> Result<(), FileError> {
        self.alive(directory).and_then(|()| DiskFiles.require_private(directory))
    }

    fn remove(&self, path: &Path) -> Result<(), FileError> {
        self.change(path, || DiskFiles.remove(path))
    }

    fn lock(&self, path: &Path) -> Result<FileLock, FileError> {
        let rival = self.rival.lock().expect("no rival panics").take();
        rival.into_iter().for_each(|rival| rival());
        self.change(path, || DiskFiles.lock(path))
    }
}
