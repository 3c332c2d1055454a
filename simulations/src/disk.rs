//! The disks of a machine: in memory, with what a power cut leaves of them, and with what goes wrong with disks.
//!
//! A machine has a disk of its own at `/`, and others that are mounted at directories of it. Each keeps apart what programs see
//! and what is durable, change by change (`volume.rs`). On it stand the parts that programs are given: [`HostFiles`]
//! (`files.rs`) and [`HostVolumes`] (`folders.rs`), and beside it the stores, [`HostEngines`] (`engines.rs`). They are worth nothing once the machine has lost its power.
//!
//! A change takes no time by itself: a slow disk is slow where the program hands the work over, see [`crate::blocking`].

mod engines;
mod files;
mod folders;
mod machine;
#[cfg(test)]
mod tests;
mod volume;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bursar_storage::engine::{Direction, Engine, Engines, KeyRange, MemoryEngines, Space};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

pub use engines::HostEngines;
pub use files::HostFiles;
pub use folders::HostVolumes;

use crate::draws::Stream;
use crate::trace::Trace;
use machine::{Machine, Place, Strike, VolumeId, plain};
use volume::Volume;

/// What a disk can be asked to do, and fail at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskOperation {
    /// Tell what it holds.
    Read,
    /// Take something.
    Write,
    /// Make durable what it took. What it could not is lost, and a second attempt succeeds without it, as on Linux.
    Sync,
}

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskFault {
    /// An operation ends with an input/output error.
    Fails(DiskOperation),
    /// It takes nothing, and says that it is mounted for reading only.
    ReadOnly,
    /// It has no room left.
    Full,
}

/// The disks of one machine. Clones are the same disks.
#[derive(Clone)]
pub struct Disks {
    machine: Arc<Mutex<Machine>>,
    /// Called when the power goes off at a sync, before anybody can tell that it did.
    struck: Arc<dyn Fn() + Send + Sync>,
}

impl Disks {
    /// One empty disk of `capacity_bytes`, at `/`. `chance` decides what a power cut leaves; `struck` is called where the power
    /// goes off at a sync, to take it from the rest of the machine too.
    pub fn new(name: &str, capacity_bytes: u64, chance: Stream, trace: Trace, struck: impl Fn() + Send + Sync + 'static) -> Self {
        let machine = Machine {
            name: name.to_owned(),
            powered: true,
            boot: 0,
            volumes: BTreeMap::new(),
            mounts: BTreeMap::new(),
            mounted_first: BTreeMap::new(),
            swaps: BTreeMap::new(),
            next_swap: 0,
            next_fault: 0,
            engines: MemoryEngines::new(),
            locks: BTreeMap::new(),
            next_lock: 0,
            strikes: Vec::new(),
            chance,
            trace,
        };
        let disks = Self { machine: Arc::new(Mutex::new(machine)), struck: Arc::new(struck) };
        disks.mount(Path::new("/"), capacity_bytes);
        disks
    }

    /// The part for small files that a program is given now.
    pub fn files(&self, pid: u32) -> HostFiles {
        HostFiles::new(self.clone(), self.machine().boot, pid)
    }

    /// The part for stores that a program is given now. They are on the disks that hold their paths, and fail with these.
    pub fn engines(&self) -> HostEngines {
        let machine = self.machine();
        HostEngines::new(self.clone(), machine.boot, machine.engines.clone())
    }

    /// The part for disks that a program is given now.
    pub fn volumes(&self) -> HostVolumes {
        HostVolumes::new(self.clone(), self.machine().boot)
    }

    /// Mounts a new, empty disk at `path`; what was mounted there before is out of sight. The directory is made where it is
    /// missing.
    pub fn mount(&self, path: &Path, capacity_bytes: u64) {
        let mut machine = self.machine();
        machine.make_mount_point(path);
        let id = VolumeId(u32::try_from(machine.volumes.len()).expect("fewer than 2^32 disks"));
        machine.volumes.insert(id, Volume::new(capacity_bytes));
        machine.mounted_first.insert(path.to_owned(), id);
        machine.mount_again();
    }

    /// Pulls the disk that is mounted at `path`: the path shows the bare directory, and whoever holds the disk open gets errors.
    /// Returns what brings it back; nothing where nothing is mounted.
    pub fn pull(&self, path: &Path) -> Option<Pulled> {
        let mut machine = self.machine();
        let volume = machine.mounts.get(path).copied()?;
        machine.volume(volume).pulled = true;
        machine.mount_again();
        Some(Pulled(volume))
    }

    /// Puts a disk back that was pulled, to where it belongs by now.
    pub fn put_back(&self, Pulled(volume): &Pulled) {
        let mut machine = self.machine();
        machine.volume(*volume).pulled = false;
        machine.mount_again();
    }

    /// Swaps what is mounted at two paths. Returns what takes it back; nothing where nothing is mounted at one of them.
    pub fn swap(&self, one: &Path, other: &Path) -> Option<Swapped> {
        let mut machine = self.machine();
        if !machine.mounts.contains_key(one) || !machine.mounts.contains_key(other) {
            return None;
        }
        let number = machine.next_swap;
        machine.next_swap += 1;
        machine.swaps.insert(number, (one.to_owned(), other.to_owned()));
        machine.mount_again();
        Some(Swapped(number))
    }

    /// Takes a swap back, whatever else was swapped or pulled meanwhile and still is.
    pub fn swap_back(&self, Swapped(number): &Swapped) {
        let mut machine = self.machine();
        machine.swaps.remove(number);
        machine.mount_again();
    }

    /// Whether a disk is mounted just here; the machine's own is at `/`.
    pub fn is_mounted(&self, path: &Path) -> bool {
        path == Path::new("/") || self.machine().mounts.contains_key(path)
    }

    /// Lets the disk that holds `path` have a fault until [`mend`](Self::mend).
    pub fn break_with(&self, path: &Path, fault: DiskFault) -> Broken {
        let mut machine = self.machine();
        let volume = machine.volume_of(path);
        let number = machine.next_fault;
        machine.next_fault += 1;
        machine.volume(volume).faults.insert(number, fault);
        Broken { volume, number }
    }

    /// Ends a fault; one that has ended already stays so.
    pub fn mend(&self, broken: &Broken) {
        self.machine().volume(broken.volume).faults.remove(&broken.number);
    }

    /// Ends all faults of all disks, and puts each back to where it was mounted first.
    pub fn mend_all(&self) {
        let mut machine = self.machine();
        machine.strikes.clear();
        for volume in machine.volumes.values_mut() {
            volume.faults.clear();
            volume.pulled = false;
        }
        machine.swaps.clear();
        machine.mount_again();
    }

    /// Gives a file or directory other permission bits, as an operator would.
    pub fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        let mut machine = self.machine();
        let place = machine.resolve(path)?;
        machine.volume(place.volume).set_mode(place.inode, mode);
        Ok(())
    }

    /// Turns over one bit of a file at rest: the disk forgets, and does not know it.
    pub fn rot(&self, path: &Path, bit: u64) -> io::Result<()> {
        let mut machine = self.machine();
        let place = machine.resolve(path)?;
        machine.volume(place.volume).rot(place.inode, bit)
    }

    /// Takes away all that is in a directory of the machine's own disk, for good, whatever is wrong with the disk: somebody erases
    /// it, or it stood on another disk that is gone. Nobody may hold any of it.
    pub fn erase(&self, directory: &Path) {
        self.erase_stores(directory);
        let mut machine = self.machine();
        let (id, within) = machine.mounted(directory);
        machine.volume(id).erase(within);
    }

    /// The same with the stores alone.
    pub fn erase_stores(&self, directory: &Path) {
        let engines = self.machine().engines.clone();
        for path in stores_in(&engines, directory) {
            engines.remove(&path).expect("an engine in memory is removed");
        }
    }

    /// Turns over one bit of one of the values in the stores of a directory: the disk forgets, and does not know it. Tells which;
    /// none where there is no value.
    pub fn rot_stores(&self, directory: &Path, place: u64, bit: u64) -> Option<String> {
        let engines = self.machine().engines.clone();
        let stores = stores_in(&engines, directory).into_iter().filter_map(|path| engines.at(&path).map(|engine| (path, engine)));
        let stores: Vec<_> = stores.collect();
        let values: u64 = stores.iter().map(|(_, engine)| engine.values()).sum();
        let mut place = place.checked_rem(values)?;
        for (path, engine) in stores {
            if let Some((space, key)) = engine.rot(place, bit) {
                return Some(format!("{} {space:?} {key:?}", path.display()));
            }
            place -= engine.values();
        }
        None
    }

    /// Shows all that rests: the contents of each file, with its path, and each key and each value of each store, with the path of
    /// the store and the name of its key space.
    pub fn visit(&self, visit: &mut dyn FnMut(&Path, &[u8])) {
        let (mounts, engines) = {
            let machine = self.machine();
            let files = machine.mounts.iter().map(|(path, id)| (path.clone(), machine.volumes[id].files()));
            (files.collect::<Vec<_>>(), machine.engines.clone())
        };
        for (mount, files) in mounts {
            files.iter().for_each(|(path, contents)| visit(&mount.join(path), contents));
        }
        for (path, engine) in engines.paths().into_iter().filter_map(|path| engines.at(&path).map(|engine| (path, engine))) {
            for space in Space::ALL {
                let place = path.join(space.name());
                let scanned = engine.scan(space, KeyRange::ALL, Direction::Forward, &mut |key, value| {
                    visit(&place, key);
                    visit(&place, value);
                    Ok(ControlFlow::Continue(()))
                });
                scanned.expect("an engine in memory that nobody has let fail is read");
            }
        }
    }

    /// Takes the power, where there is any. What is durable stays; of what was not synced, the disks have taken any number of changes in the order in
    /// which they were made, and may have torn the one after these.
    pub fn power_off(&self) {
        self.machine().power_off();
    }

    /// Lets every store keep what was synced, and any number of the batches behind that, in their order: those that its process had
    /// handed on when it was killed.
    pub fn crash_stores(&self) {
        self.machine().crash_stores();
    }

    /// Gives the power back.
    pub fn power_on(&self) {
        let mut machine = self.machine();
        machine.powered = true;
        for volume in machine.volumes.values_mut() {
            volume.powered = true;
        }
    }

    /// Takes the power at the `nth` sync from now on (1 is the next), before it has made anything durable. Whoever waits is told
    /// then; an error says that it will not happen, for the power has gone before.
    pub fn power_off_at_sync(&self, nth: u64) -> oneshot::Receiver<()> {
        let (struck, strikes) = oneshot::channel();
        self.machine().strikes.push(Strike { left: nth, struck });
        strikes
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        // Nothing that changes it panics half-way but by a broken invariant, which fails the run.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something on behalf of a program of `boot`.
    fn act<T>(&self, boot: u32, act: impl FnOnce(&mut Machine) -> io::Result<T>) -> io::Result<T> {
        let mut machine = self.machine();
        if machine.boot != boot {
            return Err(input_output_error());
        }
        let done = act(&mut machine);
        if machine.boot == boot {
            return done;
        }
        drop(machine);
        (self.struck)();
        Err(input_output_error())
    }
}

/// A fault that a disk has.
#[derive(Clone, Debug)]
pub struct Broken {
    volume: VolumeId,
    number: u64,
}

/// A disk that lies on the table.
#[derive(Clone, Debug)]
pub struct Pulled(VolumeId);

/// Two disks that are in each other's place.
#[derive(Clone, Debug)]
pub struct Swapped(u64);

impl fmt::Debug for Disks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Disks").field("of", &self.machine().name).finish()
    }
}

fn stores_in(engines: &MemoryEngines, directory: &Path) -> Vec<PathBuf> {
    engines.paths().into_iter().filter(|path| path.starts_with(directory)).collect()
}

fn input_output_error() -> io::Error {
    io::Error::from_raw_os_error(libc::EIO)
}
