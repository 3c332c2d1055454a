//! The file that a trace goes to. A run does not end where its trace cannot be written, for its verdict is what counts; but whoever
//! wanted the trace is told that it is not whole.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::CommandError;

/// A file that a trace goes to.
#[derive(Debug)]
pub(super) struct TraceFile {
    path: PathBuf,
    trouble: Trouble,
}

/// What first kept something from being written.
type Trouble = Arc<Mutex<Option<io::Error>>>;

impl TraceFile {
    /// Makes the file, and what writes the lines of a trace to it.
    pub(super) fn create(path: &Path) -> Result<(Self, Box<dyn Write + Send>), CommandError> {
        let file = File::create(path).map_err(CommandError::writing("a trace", path))?;
        let trouble = Trouble::default();
        let lines = BufWriter::new(Noting { out: file, trouble: Arc::clone(&trouble) });
        Ok((Self { path: path.to_owned(), trouble }, Box::new(lines)))
    }

    /// Whether all of the trace was written, which is over.
    pub(super) fn check(self) -> Result<(), CommandError> {
        match lock(&self.trouble).take() {
            Some(source) => Err(CommandError::Trace { path: self.path, source }),
            None => Ok(()),
        }
    }
}

/// Notes the first trouble with what it writes to.
struct Noting<W> {
    out: W,
    trouble: Trouble,
}

impl<W: Write> Noting<W> {
    fn noted<T>(&self, done: io::Result<T>) -> io::Result<T> {
        done.inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                lock(&self.trouble).get_or_insert_with(|| same(error));
            }
        })
    }
}

impl<W: Write> Write for Noting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.noted(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.noted(flushed)
    }
}

/// The same error once more.
fn same(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

fn lock(trouble: &Trouble) -> MutexGuard<'_, Option<io::Error>> {
    trouble.lock().unwrap_or_else(PoisonError::into_inner)
}
