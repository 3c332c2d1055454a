//! Directories on simulated disks, held open: what store points are made of.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use bursar_net::{Folder, Space, Volumes};
use bytes::Bytes;

use super::volume::Volume;
use super::{Disks, Place, plain};

/// [`Volumes`] of a machine, until it loses its power.
#[derive(Clone, Debug)]
pub struct HostVolumes {
    disks: Disks,
    boot: u32,
}

impl HostVolumes {
    pub(super) fn new(disks: Disks, boot: u32) -> Self {
        Self { disks, boot }
    }
}

impl Volumes for HostVolumes {
    fn open(&self, path: &Path) -> io::Result<Box<dyn Folder>> {
        let place = self.disks.act(self.boot, |machine| {
            let place = machine.resolve(path)?;
            match machine.volume(place.volume).is_directory(place.inode) {
                true => Ok(place),
                false => Err(io::ErrorKind::NotADirectory.into()),
            }
        })?;
        Ok(Box::new(HeldFolder { disks: self.disks.clone(), boot: self.boot, place }))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.disks.act(self.boot, |machine| machine.resolve(path))?;
        Ok(plain(path))
    }
}

/// A directory of a disk, wherever that is mounted by now.
struct HeldFolder {
    disks: Disks,
    boot: u32,
    place: Place,
}

impl HeldFolder {
    fn act<T>(&self, act: impl FnOnce(&mut Volume) -> io::Result<T>) -> io::Result<T> {
        self.disks.act(self.boot, |machine| act(machine.volume(self.place.volume)))
    }
}

impl Folder for HeldFolder {
    fn open(&self, name: &str) -> io::Result<Box<dyn Folder>> {
        let inode = self.act(|volume| {
            let found = volume.lookup(self.place.inode, entry(name)?)?;
            if volume.is_directory(found) { Ok(found) } else { Err(io::ErrorKind::NotADirectory.into()) }
        })?;
        Ok(Box::new(Self { disks: self.disks.clone(), boot: self.boot, place: Place { inode, ..self.place } }))
    }

    fn create(&self, name: &str) -> io::Result<()> {
        self.act(|volume| volume.create_directory(self.place.inode, entry(name)?)).map(|_| ())
    }

    fn read(&self, name: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        let contents = self.act(|volume| volume.read(volume.lookup(self.place.inode, entry(name)?)?))?;
        if contents.len() > bytes_max { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(contents.into()) }
    }

    fn write_new(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        let inode = self.act(|volume| {
            let inode = volume.create_file(self.place.inode, entry(name)?)?;
            volume.write(inode, Bytes::copy_from_slice(contents))?;
            Ok(inode)
        })?;
        self.disks.act(self.boot, |machine| machine.sync(Place { inode, ..self.place }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.act(|volume| volume.remove_file(self.place.inode, entry(name)?))
    }

    fn remove_empty(&self, name: &str) -> io::Result<()> {
        self.act(|volume| volume.remove_directory(self.place.inode, entry(name)?))
    }

    fn rename_new(&self, from: &str, to: &str) -> io::Result<()> {
        self.act(|volume| {
            let (from, to) = (entry(from)?, entry(to)?);
            match volume.lookup(self.place.inode, to) {
                Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => volume.rename(self.place.inode, from, to),
                Err(error) => Err(error),
            }
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.disks.act(self.boot, |machine| machine.sync(self.place))
    }

    fn names(&self, prefix: &str) -> io::Result<Vec<String>> {
        let names = self.act(|volume| volume.names(self.place.inode))?;
        let names = names.into_iter().map(|name| name.to_string_lossy().into_owned());
        Ok(names.filter(|name| name.starts_with(prefix)).collect())
    }

    fn space(&self) -> io::Result<Space> {
        let (total, free) = self.act(|volume| volume.room())?;
        Ok(Space { total, free })
    }

    fn used_bytes(&self) -> io::Result<u64> {
        self.act(|volume| volume.used_within(self.place.inode))
    }
}

/// A name that leads nowhere else.
fn entry(name: &str) -> io::Result<&OsStr> {
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is no name of an entry")));
    }
    Ok(OsStr::new(name))
}
