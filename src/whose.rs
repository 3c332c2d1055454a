//! Whose data directory a directory is. Those of authority nodes and of storage servers look alike to whoever mistypes a path, and
//! a command for the one must not call the other damaged.

use std::path::{Path, PathBuf};

use crate::{World, advice::Advice, authority};

/// Who has a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// An authority node.
    AuthorityNode,
    /// A storage server.
    StorageServer,
}

/// A command was given the data directory of somebody else.
#[derive(Debug, thiserror::Error)]
#[error("{} is the data directory of {}, and this command is for {}: name another directory", directory.display(), found.one(), found.other().several())]
pub struct WrongDirectory {
    directory: PathBuf,
    found: Owner,
}

impl Owner {
    /// Refuses a directory that is certainly somebody else's. Whatever else is amiss with it, whoever opens it reports.
    pub fn require(self, world: &World, directory: &Path) -> Result<(), WrongDirectory> {
        let found = self.other();
        let is_others = match found {
            Self::AuthorityNode => authority::DataDirectory::is_certainly_at(world, directory),
            Self::StorageServer => bursar_agent::DataDirectory::is_at(&*world.files, directory),
        };
        if is_others { Err(WrongDirectory { directory: directory.to_owned(), found }) } else { Ok(()) }
    }

    const fn other(self) -> Self {
        match self {
            Self::AuthorityNode => Self::StorageServer,
            Self::StorageServer => Self::AuthorityNode,
        }
    }

    const fn one(self) -> &'static str {
        match self {
            Self::AuthorityNode => "an authority node",
            Self::StorageServer => "a storage server",
        }
    }

    const fn several(self) -> &'static str {
        match self {
            Self::AuthorityNode => "authority nodes",
            Self::StorageServer => "storage servers",
        }
    }
}

impl WrongDirectory {
    /// The command for which the directory is the right one.
    pub fn advice(&self) -> Advice {
        let command = match self.found {
            Owner::AuthorityNode => "authority",
            Owner::StorageServer => "storage-server",
        };
        Advice::next(format!("bursar {command} run --dir {}", self.directory.display()))
    }
}
