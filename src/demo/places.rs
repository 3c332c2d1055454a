//! Where the processes of the demo live: a data directory each.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bursar_agent as agent;
use bursar_net::{DiskFiles, Files};

use super::{DemoError, holder::Holder, program, role::Role};
use crate::{World, authority};

/// How many authority nodes the demo has.
pub const NODES: u64 = 3;

/// Where a process of a role lives, or will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What the process is.
    pub role: Role,
    /// Which of its role it is, from 1.
    pub number: u64,
    /// Its data directory.
    pub directory: PathBuf,
}

/// All places of a demo: those of its authority nodes, and those of its storage servers, of which there are at least
/// `storage_servers`. What was made stays.
pub fn all(folder: &Path, storage_servers: u64) -> Result<Vec<Place>, DemoError> {
    let nodes = (1..=NODES).map(|number| Place::of(folder, Role::Authority, number));
    let mut servers: Vec<_> = (1..=storage_servers).map(|number| Place::of(folder, Role::StorageServer, number)).collect();
    for place in storage_servers_in(folder)? {
        if !servers.contains(&place) && place.is_made()? {
            servers.push(place);
        }
    }
    servers.sort_by_key(|place| place.number);
    Ok(nodes.chain(servers).collect())
}

/// The places in which something was made.
pub fn made(folder: &Path) -> Result<Vec<Place>, DemoError> {
    let mut made = Vec::new();
    for place in all(folder, 0)? {
        if place.is_made()? {
            made.push(place);
        }
    }
    Ok(made)
}

/// The places in which something was made that does not run.
pub fn stopped(folder: &Path) -> Result<Vec<Place>, DemoError> {
    let mut stopped = Vec::new();
    for place in made(folder)? {
        if place.holder()?.is_none() {
            stopped.push(place);
        }
    }
    Ok(stopped)
}

/// The places of storage servers, made or only begun, in no order.
fn storage_servers_in(folder: &Path) -> Result<Vec<Place>, DemoError> {
    let names = if DiskFiles.exists(folder)? { DiskFiles.list(folder)? } else { Vec::new() };
    let number = |name: &str| name.strip_prefix(Role::StorageServer.directory_prefix())?.parse().ok();
    let numbers = names.iter().filter_map(|name| number(name.to_str()?));
    Ok(numbers.map(|number| Place::of(folder, Role::StorageServer, number)).collect())
}

impl Place {
    fn of(folder: &Path, role: Role, number: u64) -> Self {
        Self { role, number, directory: folder.join(format!("{}{number}", role.directory_prefix())) }
    }

    /// Whether there is a node or a server in it.
    pub fn is_made(&self) -> Result<bool, DemoError> {
        match self.role {
            Role::Authority => Ok(authority::DataDirectory::exists(&World::real(), &self.directory)?),
            Role::StorageServer => {
                let opened = agent::DataDirectory::open(Arc::new(DiskFiles), &self.directory);
                // Whatever else is the matter with it, something is there.
                Ok(!matches!(opened, Err(agent::DirectoryError::Empty(_))))
            }
        }
    }

    /// The file that names the process which runs it.
    pub fn lock(&self) -> PathBuf {
        self.directory.join(match self.role {
            Role::Authority => authority::LOCK_FILE,
            Role::StorageServer => agent::LOCK_FILE,
        })
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.directory.join(self.role.log_file())
    }

    /// The process that runs it, whoever started that.
    pub fn holder(&self) -> Result<Option<Holder>, DemoError> {
        Holder::of(&self.lock(), &self.role.run_words())
    }

    /// The command that runs it.
    pub fn command(&self) -> String {
        format!("{} {} --dir {}", program(), self.role.run_words().join(" "), self.directory.display())
    }

    /// What a storage server is called in the fleet, and its directory in the demo's folder.
    pub fn server_name(&self) -> String {
        format!("{}{}", Role::StorageServer.directory_prefix(), self.number)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.role {
            Role::Authority => write!(f, "authority node {}", self.number),
            Role::StorageServer => write!(f, "storage server {}", self.server_name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_has_as_many_storage_servers_as_are_asked_for_and_those_that_were_made() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let told = |storage_servers| {
            let places = all(folder.path(), storage_servers).expect("the places");
            places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        let nodes = "authority node 1, authority node 2, authority node 3";
        assert_eq!(told(0), nodes);
        assert_eq!(told(2), format!("{nodes}, storage server store-1, storage server store-2"));
        for directory in ["store-3", "store-begun", "disk-1"] {
            std::fs::create_dir(folder.path().join(directory)).expect("a directory");
        }
        assert_eq!(told(1), format!("{nodes}, storage server store-1"), "what was only begun is not there");
        std::fs::write(folder.path().join("store-3/identity.toml"), "").expect("a file");
        std::fs::set_permissions(folder.path().join("store-3"), std::os::unix::fs::PermissionsExt::from_mode(0o700))
            .expect("a directory of its owner");
        assert_eq!(told(1), format!("{nodes}, storage server store-1, storage server store-3"));
        assert_eq!(made(folder.path()).expect("the places").len(), 1);
        assert_eq!(all(&folder.path().join("nowhere"), 1).expect("the places of a new demo").len(), 4);
    }
}
