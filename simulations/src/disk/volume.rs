//! A file system: what programs see of it, and what a power cut leaves of it.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{DiskFault, DiskOperation, input_output_error};
use crate::draws::Stream;

/// Read and write, for the owner alone.
const FILE_MODE: u32 = 0o600;
/// Read, write and search, for the owner alone.
const DIRECTORY_MODE: u32 = 0o700;
/// What room is given out in. A directory takes one of these.
const BLOCK_BYTES: u64 = 4_096;

/// The number of a file or directory within its volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Inode(u64);

/// A file system.
pub struct Volume {
    capacity_bytes: u64,
    /// What programs see.
    seen: Tree,
    /// What a power cut leaves for certain.
    durable: Tree,
    /// What lies between the two, in the order in which it was done.
    unsynced: VecDeque<Change>,
    next_inode: u64,
    /// What is wrong with it, each with a number of its own.
    pub faults: BTreeMap<u64, DiskFault>,
    /// It is not in the machine any more.
    pub pulled: bool,
    /// The machine has power.
    pub powered: bool,
}

type Tree = BTreeMap<Inode, Node>;

#[derive(Clone, Debug)]
struct Node {
    mode: u32,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    File(Bytes),
    Directory(BTreeMap<OsString, Inode>),
}

/// What was done to one file or directory.
#[derive(Clone, Debug)]
struct Change {
    to: Inode,
    kind: ChangeKind,
}

#[derive(Clone, Debug)]
enum ChangeKind {
    /// It holds this.
    Contents(Bytes),
    /// It has an entry.
    Entry { name: OsString, inode: Inode },
    /// It has an entry no more.
    NoEntry { name: OsString },
    /// An entry has another name; what had that name before is gone.
    Renamed { from: OsString, to: OsString },
}

impl Volume {
    /// The directory that holds everything.
    pub const ROOT: Inode = Inode(0);

    /// An empty one.
    pub fn new(capacity_bytes: u64) -> Self {
        let root = Node { mode: DIRECTORY_MODE, kind: Kind::Directory(BTreeMap::new()) };
        let tree = Tree::from([(Self::ROOT, root)]);
        Self {
            capacity_bytes,
            seen: tree.clone(),
            durable: tree,
            unsynced: VecDeque::new(),
            next_inode: 1,
            faults: BTreeMap::new(),
            pulled: false,
            powered: true,
        }
    }

    pub fn lookup(&self, directory: Inode, name: &OsStr) -> io::Result<Inode> {
        self.check(DiskOperation::Read)?;
        self.entries(directory)?.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub fn names(&self, directory: Inode) -> io::Result<Vec<OsString>> {
        self.check(DiskOperation::Read)?;
        Ok(self.entries(directory)?.keys().cloned().collect())
    }

    pub fn is_directory(&self, inode: Inode) -> bool {
        self.entries(inode).is_ok()
    }

    pub fn mode(&self, inode: Inode) -> io::Result<u32> {
        self.check(DiskOperation::Read)?;
        Ok(self.node(inode)?.mode)
    }

    /// All of a file. Copies share one memory.
    pub fn read(&self, file: Inode) -> io::Result<Bytes> {
        self.check(DiskOperation::Read)?;
        match &self.node(file)?.kind {
            Kind::File(contents) => Ok(contents.clone()),
            Kind::Directory(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    /// Makes an empty file, where nothing of that name is.
    pub fn create_file(&mut self, directory: Inode, name: &OsStr) -> io::Result<Inode> {
        self.create(directory, name, Node { mode: FILE_MODE, kind: Kind::File(Bytes::new()) })
    }

    /// Makes an empty directory, where nothing of that name is.
    pub fn create_directory(&mut self, directory: Inode, name: &OsStr) -> io::Result<Inode> {
        self.create(directory, name, Node { mode: DIRECTORY_MODE, kind: Kind::Directory(BTreeMap::new()) })
    }

    /// Replaces all of a file.
    pub fn write(&mut self, file: Inode, contents: Bytes) -> io::Result<()> {
        self.check(DiskOperation::Write)?;
        let had = self.read(file)?.len() as u64;
        self.check_room(blocks(contents.len() as u64).saturating_sub(blocks(had)))?;
        self.change(file, ChangeKind::Contents(contents));
        Ok(())
    }

    /// Takes a file out of a directory.
    pub fn remove_file(&mut self, directory: Inode, name: &OsStr) -> io::Result<()> {
        self.check(DiskOperation::Write)?;
        let found = self.lookup(directory, name)?;
        if self.is_directory(found) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.change(directory, ChangeKind::NoEntry { name: name.to_owned() });
        Ok(())
    }

    /// Takes a directory that is empty out of another.
    pub fn remove_directory(&mut self, directory: Inode, name: &OsStr) -> io::Result<()> {
        self.check(DiskOperation::Write)?;
        let found = self.lookup(directory, name)?;
        if !self.entries(found)?.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.change(directory, ChangeKind::NoEntry { name: name.to_owned() });
        Ok(())
    }

    /// Gives an entry another name within its directory, in place of a file that had it.
    pub fn rename(&mut self, directory: Inode, from: &OsStr, to: &OsStr) -> io::Result<()> {
        self.check(DiskOperation::Write)?;
        let moved = self.lookup(directory, from)?;
        match self.lookup(directory, to) {
            Ok(replaced) if self.is_directory(replaced) && !self.is_directory(moved) => {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            Ok(replaced) if self.is_directory(replaced) => return Err(io::ErrorKind::DirectoryNotEmpty.into()),
            _ => {}
        }
        self.change(directory, ChangeKind::Renamed { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    pub fn set_mode(&mut self, inode: Inode, mode: u32) {
        for tree in [&mut self.seen, &mut self.durable] {
            if let Some(node) = tree.get_mut(&inode) {
                node.mode = mode;
            }
        }
    }

    /// Makes durable what was done to one file or directory.
    pub fn sync(&mut self, inode: Inode) -> io::Result<()> {
        let possible = self.check(DiskOperation::Sync);
        let (synced, rest): (VecDeque<_>, VecDeque<_>) = self.unsynced.drain(..).partition(|change| change.to == inode);
        self.unsynced = rest;
        // What a failed sync should have made durable is dropped: the kernel takes it for clean from now on.
        possible?;
        for change in synced {
            apply(&mut self.durable, change);
        }
        Ok(())
    }

    /// How many bytes there are, and how many are free.
    pub fn room(&self) -> io::Result<(u64, u64)> {
        self.check(DiskOperation::Read)?;
        let free = match self.has(DiskFault::Full) {
            true => 0,
            false => self.capacity_bytes.saturating_sub(self.used_by(Self::ROOT)),
        };
        Ok((self.capacity_bytes, free))
    }

    /// How many bytes everything in a directory takes.
    pub fn used_within(&self, directory: Inode) -> io::Result<u64> {
        self.check(DiskOperation::Read)?;
        Ok(self.entries(directory)?.values().map(|entry| self.used_by(*entry)).sum())
    }

    /// All files in sight, each with its path within the volume, whatever is wrong with the disk.
    pub fn files(&self) -> Vec<(PathBuf, Bytes)> {
        let (mut files, mut waiting) = (Vec::new(), vec![(PathBuf::new(), Self::ROOT)]);
        while let Some((path, inode)) = waiting.pop() {
            match self.seen.get(&inode).map(|node| &node.kind) {
                None => {}
                Some(Kind::File(contents)) => files.push((path, contents.clone())),
                Some(Kind::Directory(entries)) => waiting.extend(entries.iter().map(|(name, inode)| (path.join(name), *inode))),
            }
        }
        files
    }

    /// Turns over one bit of a file, at rest and in sight.
    pub fn rot(&mut self, file: Inode, bit: u64) -> io::Result<()> {
        let mut contents = self.read(file)?.to_vec();
        if contents.is_empty() {
            return Ok(());
        }
        let place = usize::try_from(bit / 8 % contents.len() as u64).expect("it is below a length");
        contents[place] ^= 1 << (bit % 8);
        for tree in [&mut self.seen, &mut self.durable] {
            if let Some(node) = tree.get_mut(&file) {
                node.kind = Kind::File(contents.clone().into());
            }
        }
        Ok(())
    }

    /// Takes an entry and all that is in it away for good, whatever is wrong with the disk; nothing where there is none.
    pub fn erase(&mut self, path: &Path) {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
        let directory = parent.iter().try_fold(Self::ROOT, |inode, name| self.entries(inode).ok()?.get(name).copied());
        let Some(directory) = directory else { return };
        for tree in [&mut self.seen, &mut self.durable] {
            if let Some(Node { kind: Kind::Directory(entries), .. }) = tree.get_mut(&directory) {
                entries.remove(name);
            }
        }
        self.seen = reachable(&self.seen);
        let concerns = |kind: &ChangeKind| match kind {
            ChangeKind::Entry { name: changed, .. } | ChangeKind::NoEntry { name: changed } => changed == name,
            ChangeKind::Renamed { from, to } => from == name || to == name,
            ChangeKind::Contents(_) => false,
        };
        let Self { unsynced, seen, .. } = self;
        unsynced.retain(|change| seen.contains_key(&change.to) && !(change.to == directory && concerns(&change.kind)));
    }

    /// Leaves what is durable, a drawn number of the changes that were not, and perhaps a piece of the one after these. Tells how
    /// many of how many.
    pub fn power_off(&mut self, chance: &mut Stream) -> String {
        self.powered = false;
        let unsynced = std::mem::take(&mut self.unsynced);
        let kept = chance.index(unsynced.len() + 1);
        let told = format!("{kept} of {}", unsynced.len());
        for (place, change) in unsynced.into_iter().enumerate() {
            match change.kind {
                _ if place < kept => apply(&mut self.durable, change),
                ChangeKind::Contents(contents) if place == kept => {
                    let torn = contents.slice(..chance.index(contents.len() + 1));
                    apply(&mut self.durable, Change { to: change.to, kind: ChangeKind::Contents(torn) });
                }
                _ => break,
            }
        }
        self.seen = reachable(&self.durable);
        self.durable = self.seen.clone();
        told
    }

    fn node(&self, inode: Inode) -> io::Result<&Node> {
        self.seen.get(&inode).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn entries(&self, directory: Inode) -> io::Result<&BTreeMap<OsString, Inode>> {
        match &self.node(directory)?.kind {
            Kind::Directory(entries) => Ok(entries),
            Kind::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn create(&mut self, directory: Inode, name: &OsStr, node: Node) -> io::Result<Inode> {
        self.check(DiskOperation::Write)?;
        if self.entries(directory)?.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.check_room(BLOCK_BYTES)?;
        let inode = Inode(self.next_inode);
        self.next_inode += 1;
        // What is made is there on the disk from now on; a power cut forgets it unless an entry that leads to it is durable.
        self.durable.insert(inode, node.clone());
        self.seen.insert(inode, node);
        self.change(directory, ChangeKind::Entry { name: name.to_owned(), inode });
        Ok(inode)
    }

    fn change(&mut self, to: Inode, kind: ChangeKind) {
        let change = Change { to, kind };
        self.unsynced.push_back(change.clone());
        apply(&mut self.seen, change);
    }

    /// Whether it takes anything of any size.
    pub fn check_write(&self) -> io::Result<()> {
        self.check(DiskOperation::Write)?;
        if self.has(DiskFault::Full) { Err(io::Error::from_raw_os_error(libc::ENOSPC)) } else { Ok(()) }
    }

    /// Whether it does what it is asked to.
    pub fn check(&self, operation: DiskOperation) -> io::Result<()> {
        if self.pulled || !self.powered || self.has(DiskFault::Fails(operation)) {
            return Err(input_output_error());
        }
        if operation == DiskOperation::Write && self.has(DiskFault::ReadOnly) {
            return Err(io::Error::from_raw_os_error(libc::EROFS));
        }
        Ok(())
    }

    fn has(&self, fault: DiskFault) -> bool {
        self.faults.values().any(|found| *found == fault)
    }

    fn check_room(&self, more: u64) -> io::Result<()> {
        let (_, free) = self.room()?;
        if more > free { Err(io::Error::from_raw_os_error(libc::ENOSPC)) } else { Ok(()) }
    }

    fn used_by(&self, inode: Inode) -> u64 {
        match self.seen.get(&inode).map(|node| &node.kind) {
            None => 0,
            Some(Kind::File(contents)) => blocks(contents.len() as u64),
            Some(Kind::Directory(entries)) => BLOCK_BYTES + entries.values().map(|entry| self.used_by(*entry)).sum::<u64>(),
        }
    }
}

/// What whole blocks a length takes.
fn blocks(length: u64) -> u64 {
    length.next_multiple_of(BLOCK_BYTES)
}

/// Does to `tree` what was done. What the tree has no more stays so.
fn apply(tree: &mut Tree, Change { to, kind }: Change) {
    let Some(node) = tree.get_mut(&to) else { return };
    let gone = match (kind, &mut node.kind) {
        (ChangeKind::Contents(contents), Kind::File(held)) => {
            *held = contents;
            None
        }
        (ChangeKind::Entry { name, inode }, Kind::Directory(entries)) => entries.insert(name, inode),
        (ChangeKind::NoEntry { name }, Kind::Directory(entries)) => entries.remove(&name),
        (ChangeKind::Renamed { from, to }, Kind::Directory(entries)) => {
            entries.remove(&from).and_then(|moved| entries.insert(to, moved))
        }
        (kind, node) => unreachable!("{kind:?} was done to {node:?}"),
    };
    if let Some(gone) = gone {
        tree.remove(&gone);
    }
}

/// What of a tree can be found from its root.
fn reachable(tree: &Tree) -> Tree {
    let mut found = Tree::new();
    let mut waiting = vec![Volume::ROOT];
    while let Some(inode) = waiting.pop() {
        let node = tree[&inode].clone();
        if let Kind::Directory(entries) = &node.kind {
            waiting.extend(entries.values());
        }
        found.insert(inode, node);
    }
    found
}
