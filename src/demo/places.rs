//! Where the demo's nodes live: a directory and three ports each, looked over before anything is made or started.

use std::{
    io::ErrorKind,
    net::TcpListener,
    path::{Path, PathBuf},
};

use bursar_domain::ClusterId;
use bursar_net::{Address, FileError};

use super::{DemoError, ports};
use crate::{
    World,
    arguments::Ports,
    authority::{Advertised, Checkpoints, Config, DataDirectory, DirectoryError, FleetTiming, Listen, RaftTiming},
};

/// How many authority nodes the demo has.
const NODES: u64 = 3;
/// One for the other nodes, one for people, one for storage servers.
const PORTS_PER_NODE: u16 = 3;

/// Where a node lives, or will.
pub struct Place {
    /// The node's number.
    pub node: u64,
    /// Its data directory.
    pub directory: PathBuf,
    /// Its settings: those that it was made with, or is to be made with.
    pub config: Config,
    /// The cluster that it belongs to, where it was made already.
    pub cluster: Option<ClusterId>,
}

impl Place {
    /// Whether there is a node in it.
    pub const fn is_made(&self) -> bool {
        self.cluster.is_some()
    }

    /// The URL of the node's API.
    pub fn api(&self) -> String {
        format!("http://{}", self.config.advertised.api)
    }

    fn listens(&self) -> [&Address; 3] {
        let Listen { peer, api, control } = &self.config.listen;
        [peer, api, control]
    }
}

/// The nodes' data directories, in the order of their numbers.
pub fn directories(folder: &Path) -> impl Iterator<Item = (u64, PathBuf)> + use<'_> {
    (1..=NODES).map(|node| (node, folder.join(format!("authority-{node}"))))
}

/// Looks at the places of a demo that does not run. Where nodes are to be made, `ports` says which ports they get.
pub fn survey(folder: &Path, ports: Ports) -> Result<Vec<Place>, DemoError> {
    let mut new_ports = NewPorts { folder, ports, block: None };
    let (mut places, mut pids, mut runs) = (Vec::new(), Vec::new(), false);
    for (node, directory) in directories(folder) {
        if !DataDirectory::exists(&World::real(), &directory)? {
            let config = config(new_ports.of(node)?);
            places.push(Place { node, directory, config, cluster: None });
            continue;
        }
        // A node's lock tells who runs it; a demo does not start over the nodes of another one.
        match DataDirectory::open(&World::real(), &directory) {
            Ok(opened) => {
                let (config, cluster) = (opened.config()?, opened.identity()?.cluster);
                places.push(Place { node, directory, config, cluster: Some(cluster) });
            }
            Err(DirectoryError::File(FileError::Locked { pid, .. })) => {
                runs = true;
                pids.extend(pid);
            }
            Err(other) => return Err(other.into()),
        }
    }
    if runs { Err(DemoError::Runs { folder: folder.to_owned(), pids }) } else { Ok(places) }
}

/// Refuses where another program listens on a port that a node needs.
pub fn require_free_ports(places: &[Place]) -> Result<(), DemoError> {
    for (are_recorded, refusal) in [(true, busy_own as fn(Vec<u16>) -> DemoError), (false, busy_new)] {
        let mut ports = Vec::new();
        for address in places.iter().filter(|place| place.is_made() == are_recorded).flat_map(Place::listens) {
            if !is_free(address)? {
                ports.push(address.port());
            }
        }
        if !ports.is_empty() {
            return Err(refusal(ports));
        }
    }
    Ok(())
}

fn busy_own(ports: Vec<u16>) -> DemoError {
    DemoError::OwnPortsBusy { ports }
}

fn busy_new(ports: Vec<u16>) -> DemoError {
    DemoError::PortsBusy { ports }
}

fn is_free(address: &Address) -> Result<bool, DemoError> {
    match TcpListener::bind((address.host(), address.port())) {
        Ok(_free) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(false),
        Err(source) => Err(DemoError::System { action: "listen on a port of the demo", source }),
    }
}

/// The ports of nodes that are yet to be made.
struct NewPorts<'f> {
    folder: &'f Path,
    ports: Ports,
    /// The first of those that this demo took.
    block: Option<u16>,
}

impl NewPorts<'_> {
    /// For the other nodes, for people, and for storage servers.
    fn of(&mut self, node: u64) -> Result<[u16; 3], DemoError> {
        let place = u16::try_from(node - 1).expect("a handful of nodes");
        match self.ports {
            Ports::Customary => Ok([4283, 4285, 4288].map(|port| port + place * 1_000)),
            Ports::Auto => {
                let first = self.first_of_block()? + place * PORTS_PER_NODE;
                Ok([first, first + 1, first + 2])
            }
        }
    }

    fn first_of_block(&mut self) -> Result<u16, DemoError> {
        if let Some(first) = self.block {
            return Ok(first);
        }
        let taken = ports::take_block(self.folder);
        let first = taken.map_err(|source| DemoError::System { action: "find free ports", source })?;
        self.block = Some(first);
        Ok(first)
    }
}

fn config(ports: [u16; 3]) -> Config {
    let [peer, api, control] = ports.map(|port| Address::new("127.0.0.1", port).expect("an address of numbers"));
    Config {
        listen: Listen { peer: peer.clone(), api: api.clone(), control: control.clone() },
        advertised: Advertised { peer, api, control },
        plain_http_on_loopback: true,
        raft: RaftTiming::default(),
        checkpoints: Checkpoints::default(),
        fleet: FleetTiming::default(),
    }
}
