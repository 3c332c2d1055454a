//! Looking over a demo that does not run, before anything of it is made or started.

use std::{io::ErrorKind, net::TcpListener, path::Path, sync::Arc};

use bursar_agent as agent;
use bursar_domain::{ClusterId, ServerGuid};
use bursar_net::{Address, DiskFiles, FileError};
use bursar_wire::invitation::Invitation;

use super::{
    DemoError,
    invited::Invited,
    places::{self, Place},
    ports::NewPorts,
    role::Role,
};
use crate::{
    World,
    arguments::Ports,
    authority::{self, Checkpoints, Config, FleetTiming, RaftTiming},
};

/// What a demo consists of, made or to be made.
pub struct Survey {
    /// Its authority nodes, in the order of their numbers.
    pub nodes: Vec<Node>,
    /// Its storage servers, likewise.
    pub servers: Vec<Server>,
}

/// An authority node, or where one is to be.
pub struct Node {
    /// Where it lives.
    pub place: Place,
    /// Its settings: those that it was made with, or is to be made with.
    pub config: Config,
    /// The cluster that it belongs to, where it was made already.
    pub cluster: Option<ClusterId>,
    /// What an interrupted start has let it join with.
    pub invitation: Option<Invitation>,
}

/// A storage server, or where one is to be.
pub struct Server {
    /// Where it lives.
    pub place: Place,
    /// Its settings: those that it was made with, or is to be made with.
    pub settings: agent::Settings,
    /// Who it is, where it was made already.
    pub guid: Option<ServerGuid>,
    /// The cluster that it belongs to, where one has taken it in.
    pub cluster: Option<ClusterId>,
}

impl Node {
    /// The URL of its API.
    pub fn api(&self) -> String {
        format!("http://{}", self.config.advertised.api)
    }

    /// Whether its ports are its own for good: others may have been told of them.
    const fn has_ports(&self) -> bool {
        self.cluster.is_some() || self.invitation.is_some()
    }
}

/// Looks over a demo with at least so many storage servers. What is to be made gets ports as `ports` says.
///
/// # Errors
/// A part of it runs, belongs to another cluster, or cannot be used.
pub fn survey(folder: &Path, ports: Ports, storage_servers: u64) -> Result<Survey, DemoError> {
    let mut new_ports = NewPorts::new(folder, ports);
    let mut survey = Survey { nodes: Vec::new(), servers: Vec::new() };
    let (mut pids, mut runs) = (Vec::new(), false);
    for place in places::all(folder, storage_servers)? {
        let looked_over = match place.role {
            Role::Authority => node(place, &mut new_ports).map(|node| survey.nodes.push(node)),
            Role::StorageServer => server(place, &mut new_ports).map(|server| survey.servers.push(server)),
        };
        // A lock tells who runs what it is of; a demo does not start over the processes of another one.
        if let Err(error) = looked_over {
            pids.extend(running(error)?);
            runs = true;
        }
    }
    if runs {
        let (folder, stopped, removed) = (folder.to_owned(), places::stopped(folder)?, Vec::new());
        return Err(DemoError::Runs { folder, pids, stopped, removed });
    }
    survey.require_one_cluster()?;
    Ok(survey)
}

fn node(place: Place, new_ports: &mut NewPorts<'_>) -> Result<Node, DemoError> {
    if !place.is_made()? {
        let (invitation, config) = match Invited::read(&place)? {
            Some(Invited { invitation, config }) => (Some(invitation), config),
            None => (None, new_config(new_ports.of(&place)?)),
        };
        return Ok(Node { place, config, cluster: None, invitation });
    }
    let opened = authority::DataDirectory::open(&World::real(), &place.directory)?;
    let (config, cluster) = (opened.config()?, opened.identity()?.cluster);
    Ok(Node { place, config, cluster: Some(cluster), invitation: None })
}

fn server(place: Place, new_ports: &mut NewPorts<'_>) -> Result<Server, DemoError> {
    if !place.is_made()? {
        let settings = new_settings(&place, new_ports.of(&place)?);
        return Ok(Server { place, settings, guid: None, cluster: None });
    }
    let opened = agent::DataDirectory::open(Arc::new(DiskFiles), &place.directory)?;
    let _lock = opened.lock()?;
    let server = opened.server()?;
    let cluster = opened.membership(&server)?.map(|membership| membership.cluster);
    Ok(Server { place, settings: server.settings, guid: Some(server.identity.guid), cluster })
}

/// The process that holds a lock, as far as the lock tells, where that is what went wrong.
fn running(error: DemoError) -> Result<Option<u32>, DemoError> {
    match error {
        DemoError::Directory(authority::DirectoryError::File(FileError::Locked { pid, .. }))
        | DemoError::ServerDirectory(agent::DirectoryError::File(FileError::Locked { pid, .. })) => Ok(pid),
        other => Err(other),
    }
}

impl Survey {
    /// Refuses where another program listens on a port that a process needs.
    pub fn require_free_ports(&self) -> Result<(), DemoError> {
        for (are_recorded, refusal) in [(true, busy_own as fn(Vec<u16>) -> DemoError), (false, busy_new)] {
            let mut ports = Vec::new();
            for address in self.listens(are_recorded) {
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

    /// Whether nothing is left to be made.
    pub fn is_made(&self) -> bool {
        self.nodes.iter().all(|node| node.cluster.is_some()) && self.servers.iter().all(|server| server.guid.is_some())
    }

    /// Where processes listen whose ports are their own for good, or may still be others.
    fn listens(&self, are_recorded: bool) -> Vec<&Address> {
        let nodes = self.nodes.iter().filter(|node| node.has_ports() == are_recorded);
        let servers = self.servers.iter().filter(|server| server.guid.is_some() == are_recorded);
        let of_nodes = nodes.map(|node| &node.config.listen).flat_map(|listen| [&listen.peer, &listen.api, &listen.control]);
        let of_servers =
            servers.map(|server| &server.settings.listen).flat_map(|listen| [&listen.peer, &listen.transfer, &listen.control]);
        of_nodes.chain(of_servers).collect()
    }

    /// Refuses what belongs to another cluster than the first node: its folder was brought here from elsewhere.
    fn require_one_cluster(&self) -> Result<(), DemoError> {
        let own = self.nodes.first().and_then(|node| node.cluster);
        let nodes = self.nodes.iter().map(|node| (&node.place, node.cluster));
        let servers = self.servers.iter().map(|server| (&server.place, server.cluster));
        match nodes.chain(servers).find(|(_, cluster)| cluster.is_some() && *cluster != own) {
            Some((place, _)) => Err(DemoError::Stray { place: place.clone() }),
            None => Ok(()),
        }
    }
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

fn on_loopback(port: u16) -> Address {
    Address::new("127.0.0.1", port).expect("an address of numbers")
}

fn new_config(ports: [u16; 3]) -> Config {
    let [peer, api, control] = ports.map(on_loopback);
    Config {
        listen: authority::Listen { peer: peer.clone(), api: api.clone(), control: control.clone() },
        advertised: authority::Advertised { peer, api, control },
        plain_http_on_loopback: true,
        raft: RaftTiming::default(),
        checkpoints: Checkpoints::default(),
        fleet: FleetTiming::default(),
    }
}

fn new_settings(place: &Place, ports: [u16; 3]) -> agent::Settings {
    let [peer, transfer, control] = ports.map(on_loopback);
    agent::Settings {
        name: place.server_name(),
        advertised: agent::Advertised { primary: control.clone(), secondary: None },
        listen: agent::Listen { peer, transfer, control },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_another_cluster_is_no_part_of_the_demo() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut survey = survey(folder.path(), Ports::Customary, 2).expect("a new demo");
        survey.require_one_cluster().expect("nothing belongs to any cluster");
        survey.nodes[0].cluster = Some(ClusterId([1; 16]));
        survey.servers[1].cluster = Some(ClusterId([1; 16]));
        survey.require_one_cluster().expect("all belongs to one");
        survey.servers[1].cluster = Some(ClusterId([2; 16]));
        let refused = survey.require_one_cluster().expect_err("another cluster's server").to_string();
        assert!(refused.starts_with("storage server store-2 belongs to another cluster"), "{refused}");
    }
}
