//! The process that holds a lock of the demo, whoever started it: a node that was started again by hand, or one that an
//! earlier demo has left running.
//!
//! A lock file names a process by its number, and numbers are given again. So the process is taken hold of first, by a
//! descriptor that stays with it, and checked then: it runs this program for that purpose, and has the lock file open.

use std::{
    ffi::OsString,
    fs,
    io::{self, ErrorKind},
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use tokio::time::{sleep, timeout};

use super::DemoError;

/// What the kernel adds to the name of a program that was built anew since it was started.
const REPLACED: &str = " (deleted)";

/// How often to look whether a process has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A process that holds a lock.
pub struct Holder {
    pid: u32,
    /// Readable once the process has ended.
    process: OwnedFd,
}

impl Holder {
    /// The process of this program, started with these words, that holds a lock; none where there is no such process.
    ///
    /// # Errors
    /// The operating system does not tell.
    pub fn of(lock: &Path, words: &[&str]) -> Result<Option<Self>, DemoError> {
        find(lock, words).map_err(|source| DemoError::System { action: "look for the process that holds a lock", source })
    }

    /// Its number.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until it has ended. It is nobody's child here, so that it is looked at again and again.
    pub async fn ended(&self) {
        while !self.has_ended() {
            sleep(LOOK_AGAIN).await;
        }
    }

    fn has_ended(&self) -> bool {
        let mut process = [PollFd::new(&self.process, PollFlags::IN)];
        poll(&mut process, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// Asks it to end, and makes it where it does not within `patience`.
    pub async fn end(&self, patience: Duration) {
        for signal in [Signal::TERM, Signal::KILL] {
            // It may have ended in this moment: then there is nothing to ask.
            let _ = pidfd_send_signal(&self.process, signal);
            if timeout(patience, self.ended()).await.is_ok() {
                return;
            }
        }
    }
}

fn find(lock: &Path, words: &[&str]) -> io::Result<Option<Holder>> {
    let Some(named) = absent_is_none(fs::read_to_string(lock))? else { return Ok(None) };
    let Some(pid) = named.trim().parse().ok().and_then(Pid::from_raw) else { return Ok(None) };
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(Errno::SRCH) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let about = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    // What disappears while it is looked at has ended.
    let is_it = absent_is_none(runs_this_program(&about, words).and_then(|runs| Ok(runs && has_open(&about, lock)?)))?;
    if is_it != Some(true) {
        return Ok(None);
    }
    Ok(Some(Holder { pid: pid.as_raw_nonzero().get().unsigned_abs(), process }))
}

fn runs_this_program(about: &Path, words: &[&str]) -> io::Result<bool> {
    let program = fs::read_link(about.join("exe"))?;
    if name_of(&program) != name_of(&std::env::current_exe()?) {
        return Ok(false);
    }
    let line = fs::read(about.join("cmdline"))?;
    let mut given = line.split(|byte| *byte == 0).skip(1);
    Ok(words.iter().all(|word| given.next() == Some(word.as_bytes())))
}

fn name_of(program: &Path) -> Option<OsString> {
    let name = program.file_name()?.to_string_lossy().into_owned();
    Some(name.strip_suffix(REPLACED).unwrap_or(&name).into())
}

fn has_open(about: &Path, lock: &Path) -> io::Result<bool> {
    let wanted = fs::metadata(lock)?;
    for descriptor in fs::read_dir(about.join("fd"))? {
        // Descriptors come and go while they are listed.
        if let Some(open) = absent_is_none(fs::metadata(descriptor?.path()))?
            && (open.dev(), open.ino()) == (wanted.dev(), wanted.ino())
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is gone, and what belongs to another user, is none of the demo's.
fn absent_is_none<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    let is_absent = |error: &io::Error| {
        matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied)
            || error.raw_os_error() == Some(Errno::SRCH.raw_os_error())
    };
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_known_by_its_lock_its_program_and_what_it_was_started_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let lock = folder.path().join("lock");
        let is_found = |words: &[&str]| Holder::of(&lock, words).expect("the system tells").is_some();
        assert!(!is_found(&[]), "there is no lock");
        fs::write(&lock, format!("{}\n", std::process::id())).expect("a file");
        assert!(!is_found(&[]), "this process does not have the lock open");
        let held = fs::File::open(&lock).expect("the lock");
        assert!(is_found(&[]), "this process has it open");
        assert!(!is_found(&["authority", "run"]), "this process was not started so");
        fs::write(&lock, "1\n").expect("a file");
        assert!(!is_found(&[]), "the first process is another program");
        fs::write(&lock, "nobody\n").expect("a file");
        assert!(!is_found(&[]), "no number");
        drop(held);
    }
}
