//! What a machine has of disks: which are mounted where, what they hold, and how they lose their power.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use bursar_storage::engine::MemoryEngines;
use tokio::sync::oneshot;

use super::input_output_error;
use super::volume::{Inode, Volume};
use crate::draws::Stream;
use crate::trace::Trace;

pub(super) struct Machine {
    pub(super) name: String,
    pub(super) powered: bool,
    /// How often it lost its power.
    pub(super) boot: u32,
    /// All that were ever there, mounted or not.
    pub(super) volumes: BTreeMap<VolumeId, Volume>,
    /// What is mounted now: what was first, with the swaps that are in effect, in their order, and without what is pulled.
    pub(super) mounts: BTreeMap<PathBuf, VolumeId>,
    /// As they were before anybody pulled or swapped any.
    pub(super) mounted_first: BTreeMap<PathBuf, VolumeId>,
    pub(super) swaps: BTreeMap<u64, (PathBuf, PathBuf)>,
    pub(super) next_swap: u64,
    pub(super) next_fault: u64,
    /// The stores of the machine, on its own disk.
    pub(super) engines: MemoryEngines,
    /// Which files are locked, each with the number of its lock.
    pub(super) locks: BTreeMap<Place, u64>,
    pub(super) next_lock: u64,
    /// At which syncs from now on the power goes off, and who is to be told.
    pub(super) strikes: Vec<Strike>,
    pub(super) chance: Stream,
    pub(super) trace: Trace,
}

/// The power goes off at a sync.
pub(super) struct Strike {
    /// How many syncs are left, the one included.
    pub(super) left: u64,
    pub(super) struck: oneshot::Sender<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct VolumeId(pub(super) u32);

/// A file or directory, wherever it is moved to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) volume: VolumeId,
    pub(super) inode: Inode,
}

impl Machine {
    pub(super) fn volume(&mut self, id: VolumeId) -> &mut Volume {
        self.volumes.get_mut(&id).expect("disks are never thrown away")
    }

    pub(super) fn power_off(&mut self) {
        if !std::mem::replace(&mut self.powered, false) {
            return;
        }
        self.boot += 1;
        self.locks.clear();
        self.strikes.clear();
        self.crash_stores();
        for (id, volume) in &mut self.volumes {
            let left = volume.power_off(&mut self.chance);
            self.trace.record("disk", format_args!("{} volume {} kept {left}", self.name, id.0));
        }
    }

    pub(super) fn crash_stores(&mut self) {
        let Self { engines, chance, trace, name, .. } = self;
        engines.crash(|path, unsynced| {
            let kept = chance.index(unsynced + 1);
            trace.record("disk", format_args!("{name} store {} kept {kept} of {unsynced}", path.display()));
            kept
        });
    }

    /// Makes durable what concerns a place, unless the power goes off on the way.
    pub(super) fn sync(&mut self, place: Place) -> io::Result<()> {
        self.count_sync()?;
        self.volume(place.volume).sync(place.inode)
    }

    /// Takes the power where this is the sync at which it is to go off.
    pub(super) fn count_sync(&mut self) -> io::Result<()> {
        for strike in &mut self.strikes {
            strike.left -= 1;
        }
        let Some(place) = self.strikes.iter().position(|strike| strike.left == 0) else { return Ok(()) };
        let Strike { struck, .. } = self.strikes.remove(place);
        self.power_off();
        // The plan may be over, and nobody wait any more.
        let _ = struck.send(());
        Err(input_output_error())
    }

    /// The mounted disk that holds `path`, and the path within it.
    pub(super) fn mounted<'a>(&self, path: &'a Path) -> (VolumeId, &'a Path) {
        let found = path.ancestors().find_map(|above| {
            let volume = *self.mounts.get(above)?;
            Some((volume, path.strip_prefix(above).expect("it is above")))
        });
        found.expect("there is a disk at /")
    }

    pub(super) fn volume_of(&self, path: &Path) -> VolumeId {
        self.mounted(&plain(path)).0
    }

    /// What is at `path`.
    pub(super) fn resolve(&mut self, path: &Path) -> io::Result<Place> {
        let path = plain(path);
        let (volume, within) = self.mounted(&path);
        let mut inode = Volume::ROOT;
        for name in within.iter() {
            inode = self.volume(volume).lookup(inode, name)?;
        }
        Ok(Place { volume, inode })
    }

    /// The directory that holds `path`, and its name in there.
    pub(super) fn parent(&mut self, path: &Path) -> io::Result<(Place, OsString)> {
        let path = plain(path);
        let name = path.file_name().ok_or_else(|| io::Error::from_raw_os_error(libc::EISDIR))?;
        let parent = path.parent().expect("what has a name has a parent");
        Ok((self.resolve(parent)?, name.to_owned()))
    }

    /// Mounts each disk where it belongs by now.
    pub(super) fn mount_again(&mut self) {
        let mut mounts = self.mounted_first.clone();
        for (one, other) in self.swaps.values() {
            let (at_one, at_other) = (mounts[one], mounts[other]);
            mounts.extend([(one.clone(), at_other), (other.clone(), at_one)]);
        }
        mounts.retain(|_, volume| !self.volumes[volume].pulled);
        self.mounts = mounts;
    }

    pub(super) fn make_mount_point(&mut self, path: &Path) {
        for directory in path.ancestors().collect::<Vec<_>>().into_iter().rev().filter(|path| *path != Path::new("/")) {
            if self.resolve(directory).is_err() {
                let (parent, name) = self.parent(directory).expect("it was made just now");
                let volume = self.volume(parent.volume);
                volume.create_directory(parent.inode, &name).expect("an operator makes it on a disk that works");
                volume.sync(parent.inode).expect("an operator makes it on a disk that works");
            }
        }
    }
}

/// A path from `/`, without `.` and `..`. There are no links.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => {
                plain.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    plain
}
