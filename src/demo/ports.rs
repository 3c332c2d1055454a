//! The ports of a demo's processes, three each: the customary ones, or free ones out of blocks that no other demo on this machine
//! has, not even one whose processes are down just now.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    net::TcpListener,
    ops::Range,
    path::Path,
};

use bursar_net::{Entropy, SystemEntropy};

use super::{
    DemoError,
    places::{NODES, Place},
    role::Role,
};
use crate::arguments::Ports;

/// Below the ports that the kernel gives to outgoing connections: one of those could take a port while its process is down.
const FIRST: u16 = 10_000;
const LAST: u16 = 32_000;
/// Each block is a file here that names the demo's folder; it is free again when that folder is gone.
const REGISTER: &str = "bursar-demo-ports";
/// Held in the register by whoever looks at it, so that no two take over a block whose folder is gone.
const LOCK: &str = "lock";
const ATTEMPTS: usize = 200;
/// How many ports a block has.
pub const BLOCK: u16 = 10;
/// How many ports a process needs.
const PORTS: u16 = 3;
/// How far the customary ports of one process are from those of the next.
const STRIDE: u16 = 1_000;

/// The ports of processes that are yet to be made.
pub(super) struct NewPorts<'f> {
    folder: &'f Path,
    ports: Ports,
    /// Those that this demo took and has not given away.
    left: Range<u16>,
}

impl<'f> NewPorts<'f> {
    /// Those of the demo of a folder.
    pub fn new(folder: &'f Path, ports: Ports) -> Self {
        Self { folder, ports, left: 0..0 }
    }

    /// For a process that is to live there: of an authority node, for the other nodes, for people and for storage servers; of a
    /// storage server, for reachability, for archives and for the authority.
    pub fn of(&mut self, place: &Place) -> Result<[u16; 3], DemoError> {
        match self.ports {
            Ports::Customary => Ok(customary(place)),
            Ports::Auto => {
                if self.left.len() < usize::from(PORTS) {
                    let taken = take_block(self.folder);
                    let first = taken.map_err(|source| DemoError::System { action: "find free ports", source })?;
                    self.left = first..first + BLOCK;
                }
                let first = self.left.start;
                self.left.start += PORTS;
                Ok([first, first + 1, first + 2])
            }
        }
    }
}

fn customary(place: &Place) -> [u16; 3] {
    let (of_first, before) = match place.role {
        Role::Authority => ([4283, 4285, 4288], place.number - 1),
        Role::StorageServer => ([4283, 4286, 4288], NODES + place.number - 1),
    };
    let before = u16::try_from(before).expect("a handful of processes");
    of_first.map(|port| port + before * STRIDE)
}

/// Takes [`BLOCK`] ports in a row for whoever keeps its data in `folder`, until that folder is gone; returns the first.
pub fn take_block(folder: &Path) -> io::Result<u16> {
    let register = std::env::temp_dir().join(REGISTER);
    fs::create_dir_all(&register)?;
    let entropy: &dyn Entropy = &SystemEntropy::new();
    let blocks = (LAST - FIRST) / BLOCK;
    let mut refused = io::Error::from(ErrorKind::AddrInUse);
    for _ in 0..ATTEMPTS {
        let first = FIRST + u16::from_be_bytes(entropy.array()) % blocks * BLOCK;
        match claim(&register, first, folder).and_then(|()| all_free(first)) {
            Ok(()) => return Ok(first),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn claim(register: &Path, first: u16, folder: &Path) -> io::Result<()> {
    let lock = File::create(register.join(LOCK))?;
    lock.lock()?;
    let entry = register.join(first.to_string());
    let holder = fs::read_to_string(&entry);
    if holder.is_ok_and(|holder| !Path::new(&holder).exists()) {
        fs::remove_file(&entry)?;
    }
    // Linked under its name when it is whole, so that nobody reads an empty name of a folder.
    let aside = entry.with_extension(std::process::id().to_string());
    fs::write(&aside, folder.to_string_lossy().as_bytes())?;
    let linked = fs::hard_link(&aside, &entry);
    fs::remove_file(&aside)?;
    linked
}

fn all_free(first: u16) -> io::Result<()> {
    (first..first + BLOCK).try_for_each(|port| TcpListener::bind(("127.0.0.1", port)).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_processes_share_a_port() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let places = super::super::places::all(folder.path(), crate::arguments::STORAGE_SERVERS_MAX).expect("places");
        for ports in [Ports::Customary, Ports::Auto] {
            let mut new_ports = NewPorts::new(folder.path(), ports);
            let given: Vec<_> = places.iter().flat_map(|place| new_ports.of(place).expect("free ports")).collect();
            let distinct = std::collections::BTreeSet::from_iter(&given);
            assert_eq!((given.len(), distinct.len()), (places.len() * 3, places.len() * 3), "{ports:?}: {given:?}");
        }
    }

    #[test]
    fn a_block_belongs_to_one_demo_for_as_long_as_its_folder_is_there() {
        let [one, other, register] = [(); 3].map(|()| tempfile::tempdir().expect("a temporary folder"));
        let claim = |folder: &Path| claim(register.path(), FIRST, folder);
        claim(one.path()).expect("a free block");
        assert_eq!(claim(other.path()).expect_err("a block that is taken").kind(), ErrorKind::AlreadyExists);
        drop(one);
        claim(other.path()).expect("a block whose demo is gone");
    }

    #[test]
    fn of_many_who_want_a_block_whose_demo_is_gone_one_gets_it() {
        let [register, folder] = [(); 2].map(|()| tempfile::tempdir().expect("a temporary folder"));
        for first in FIRST..FIRST + 100 {
            claim(register.path(), first, Path::new("/nowhere/any more")).expect("a free block");
            let together = std::sync::Barrier::new(4);
            let claims = || {
                together.wait();
                claim(register.path(), first, folder.path()).is_ok()
            };
            let taken = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(claims)).collect();
                threads.into_iter().map(|thread| thread.join().expect("nobody panics")).filter(|taken| *taken).count()
            });
            assert_eq!(taken, 1, "block {first}");
        }
    }
}
