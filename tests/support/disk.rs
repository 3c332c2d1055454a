//! A disk that is watched, slow, broken or dishonest: `tests/shim/disk.c`, loaded into the program, and what it tells.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::{Fleet, shim};

/// The error number of a call in which the process died.
const DIED: i32 = -1;

/// The compiled shim.
pub struct Shim {
    library: PathBuf,
}

/// What a process under the shim is to find.
pub struct Watched {
    environment: Vec<(&'static str, String)>,
    events: PathBuf,
    armed: PathBuf,
}

/// What a process did to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    /// On the clock that all processes of the machine share, in nanoseconds.
    pub begin: u64,
    pub end: u64,
    /// Where in the file a write began.
    pub offset: i64,
    /// How many bytes were written; of a sync, how long the file was.
    pub bytes: i64,
    /// 0 where it succeeded, −1 where the process died in it.
    pub errno: i32,
    pub path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Write,
    Sync,
}

impl Shim {
    /// Compiles the shim; `None` where there is no C compiler and skipping is allowed.
    pub fn build() -> Option<&'static Self> {
        static SHIM: OnceLock<Option<Shim>> = OnceLock::new();
        SHIM.get_or_init(|| Some(Shim { library: shim::compile("disk")? })).as_ref()
    }

    /// Watches a node; what it finds is kept beside its folder.
    pub fn watch(&self, fleet: &Fleet, id: u64) -> Watched {
        self.watch_folder(&fleet.node(id).dir, &fleet.folder().join(format!("disk-{id}")))
    }

    /// Watches a folder; what it finds is kept in files that begin with `notes`.
    pub fn watch_folder(&self, folder: &Path, notes: &Path) -> Watched {
        let dir = fs::canonicalize(folder).expect("a folder");
        let (events, armed) = (notes.with_extension("events"), notes.with_extension("armed"));
        let environment = vec![
            ("LD_PRELOAD", self.library.display().to_string()),
            ("DISK_FOLDER", format!("{}/", dir.display())),
            ("DISK_EVENTS", events.display().to_string()),
            ("DISK_ARMED", armed.display().to_string()),
        ];
        Watched { environment, events, armed }
    }
}

/// What fails when it is armed.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// A sync, with EIO: once, so that a second attempt would succeed and prove nothing.
    SyncFails,
    /// A write, with ENOSPC, after half of it.
    DiskFull,
}

impl Fault {
    /// What the operating system calls it.
    pub const fn message(self) -> &'static str {
        match self {
            Self::SyncFails => "Input/output error",
            Self::DiskFull => "No space left on device",
        }
    }
}

impl Watched {
    /// Syncs do nothing, and say that they did.
    pub fn lying(self) -> Self {
        self.with("DISK_LIES", "1".into())
    }

    /// Syncs take so much longer.
    pub fn delayed_us(self, delay_us: u64) -> Self {
        self.with("DISK_DELAY_US", delay_us.to_string())
    }

    /// What happens once it is [armed](Self::arm), to files whose path contains `part`.
    pub fn failing(self, fault: Fault, part: &str) -> Self {
        let rule = match fault {
            Fault::SyncFails => format!("sync:5:{part}"),
            Fault::DiskFull => format!("write:28:{part}"),
        };
        self.with("DISK_FAULT", rule)
    }

    /// The process dies in such a call, once that is [armed](Self::arm), for files whose path contains `part`: before a sync,
    /// or when half is written.
    pub fn dying_in(self, kind: EventKind, part: &str) -> Self {
        let call = match kind {
            EventKind::Sync => "sync",
            EventKind::Write => "write",
        };
        self.with("DISK_FAULT", format!("{call}:0:{part}"))
    }

    /// The process dies in whichever call, once that is [armed](Self::arm): before a sync, or when half is written. Calls count
    /// from the first write on that holds the text `from`.
    pub fn dying_behind(self, from: &str) -> Self {
        self.with("DISK_FAULT", "call:0:".into()).with("DISK_FROM", from.into())
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        self.environment.push((name, value));
        self
    }

    /// Lets the fault happen, after so many calls.
    pub fn arm(&self, calls_that_pass: u64) {
        let aside = self.armed.with_extension("aside");
        fs::write(&aside, calls_that_pass.to_string()).and_then(|()| fs::rename(&aside, &self.armed)).expect("a file");
    }

    /// Takes the fault back; whether it was still to come.
    pub fn disarm(&self) -> bool {
        fs::remove_file(&self.armed).is_ok()
    }

    /// For [`Fleet::restart_with`].
    pub fn environment(&self) -> Vec<(&str, &str)> {
        self.environment.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// The last call in which a process died.
    pub fn death(&self) -> Option<Event> {
        self.events().into_iter().rev().find(|event| event.errno == DIED)
    }

    /// Forgets everything so far.
    pub fn forget(&self) {
        fs::write(&self.events, "").expect("a file");
    }

    /// Everything so far, in the order in which it was over.
    pub fn events(&self) -> Vec<Event> {
        let text = fs::read_to_string(&self.events).unwrap_or_default();
        text.lines().map(Event::parse).collect()
    }
}

impl Event {
    fn parse(line: &str) -> Self {
        let mut words = line.splitn(7, ' ');
        let mut word = || words.next().unwrap_or_else(|| panic!("a line of seven words: {line}"));
        let kind = if word() == "sync" { EventKind::Sync } else { EventKind::Write };
        let mut number = || word().parse::<i64>().unwrap_or_else(|error| panic!("{error}: {line}"));
        let (begin, end, offset, bytes, errno) = (number(), number(), number(), number(), number());
        Event {
            kind,
            begin: begin.try_into().expect("a time since the start"),
            end: end.try_into().expect("a time since the start"),
            offset,
            bytes,
            errno: errno.try_into().expect("an error number"),
            path: PathBuf::from(word()),
        }
    }

    /// Whether it is a sync that succeeded.
    pub fn is_sync(&self) -> bool {
        self.kind == EventKind::Sync && self.errno == 0
    }

    /// Whether it concerns a write-ahead log of the store with this name.
    pub fn is_in_log_of(&self, store: &str) -> bool {
        let named = |path: Option<&Path>| path.and_then(Path::file_name).is_some_and(|name| name == store);
        named(self.path.parent()) && self.path.extension().is_some_and(|extension| extension == "log")
    }
}

/// Now, on the clock of the events.
pub fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).expect("a time since the start")
}

/// Copies a folder with all that is in it, modes included.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new folder");
    fs::set_permissions(to, fs::metadata(from).expect("a folder").permissions()).expect("its mode");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }
}
