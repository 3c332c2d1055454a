//! What a storage server is to know of the fleet.
//!
//! The server folds the events of its audience and keeps the result on its own disk, to work while no authority node is
//! reachable. The authority computes the same from its state: where the digests differ at the same revision, the server reads
//! anew. Both sides must be of one [`SCHEMA`] for that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    authority_node::{self, CheckedFacts},
    encoding::{Encoded, Kind, encode},
    event::Event,
    hash::Hash,
    ids::{AuthorityNodeId, DestinationId, ServerGuid, ServerId, StorePointId},
    path::AbsolutePath,
    server::{self, Addresses, Intent},
    state::State,
    store_point::{self, Condition, Flags, Quota, Report},
    text::{Address, Name},
};

/// The number of the shape that a projection has. Digests of different shapes say nothing about each other.
pub const SCHEMA: u8 = Projection::VERSION;

/// What one storage server is to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Projection {
    /// Itself.
    pub server: ServerId,
    /// Its name.
    pub name: Name,
    /// Where the others reach it.
    pub addresses: Addresses,
    /// The destination that it is part of.
    pub destination: DestinationId,
    /// What is wanted of it.
    pub intent: Intent,
    /// The authority's nodes, and where they listen.
    pub authority: BTreeMap<AuthorityNodeId, Listens>,
    /// The other servers of its destination.
    pub peers: BTreeMap<ServerId, Peer>,
    /// Its store points.
    pub store_points: BTreeMap<StorePointId, StorePoint>,
}

/// Where an authority node listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listens {
    /// To storage servers.
    pub control: Address,
    /// To the other authority nodes.
    pub peer: Address,
}

/// What the servers of a destination know of each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its name.
    pub name: Name,
    /// Where it is reached.
    pub addresses: Addresses,
    /// The identity that it must prove to have.
    pub guid: ServerGuid,
}

/// What a server knows of one of its store points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorePoint {
    /// Its name.
    pub name: Name,
    /// The path that an administrator gave.
    pub path: AbsolutePath,
    /// The name of its directory, right under the path.
    pub directory: String,
    /// What it takes.
    pub flags: Flags,
    /// How much it may hold.
    pub quota: Quota,
    /// What is wanted of it.
    pub intent: store_point::Intent,
    /// How far its directory is.
    pub making: Making,
}

/// How far the directory of a store point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Making {
    /// It is to be made.
    Wanted,
    /// It was made, and is never made again.
    Done,
    /// It could not be made.
    Failed,
}

impl Encoded for Projection {
    const KIND: Kind = Kind::Projection;
}

impl Projection {
    /// What `server` is to know in `state`; nothing where it is not part of the fleet.
    pub fn of(state: &State, server: ServerId) -> Option<Self> {
        let own = state.servers().get(server).filter(|server| server.is_present())?;
        let nodes = state.authority_nodes().iter().filter(|node| node.intent.is_present());
        let others = state.servers().iter().filter(|other| other.id != server && other.destination == own.destination);
        Some(Self {
            server,
            name: own.name.clone(),
            addresses: own.facts.addresses.clone(),
            destination: own.destination,
            intent: own.intent.clone(),
            authority: nodes.map(|node| (node.id, node.listens())).collect(),
            peers: others.filter(|other| other.is_present()).map(|other| (other.id, other.as_peer())).collect(),
            store_points: store_point::of_server(state, server).map(|row| (row.id, row.into())).collect(),
        })
    }

    /// What `server` knows after an event of its audience, of what it knew before. It knows nothing until it is welcomed, and
    /// nothing once it is removed.
    #[must_use]
    pub fn behind(before: Option<Self>, server: ServerId, event: &Event) -> Option<Self> {
        match event {
            Event::Server(server::Event::Welcomed { server: welcomed, projection }) if *welcomed == server => {
                Some(projection.clone())
            }
            Event::Server(server::Event::Removed { server: removed, .. } | server::Event::Withdrawn { server: removed, .. })
                if *removed == server =>
            {
                None
            }
            _ => before.map(|mut projection| {
                projection.take(event);
                projection
            }),
        }
    }

    /// Equal on both sides at the same revision, if their [`SCHEMA`] is.
    pub fn digest(&self) -> Hash {
        Hash::of(&encode(self))
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::AuthorityNode(event) => self.take_authority_node(event),
            Event::Server(event) => self.take_server(event),
            Event::StorePoint(event) => self.take_store_point(event),
            Event::Cluster(_)
            | Event::JoinToken(_)
            | Event::Site(_)
            | Event::Destination(_)
            | Event::Alert(_)
            | Event::Operation(_)
            | Event::Token(_) => {}
        }
    }

    fn take_authority_node(&mut self, event: &authority_node::Event) {
        use authority_node::Event::{Admitted, Announced, Edited, Founded, Joined, RemovalStarted, Removed};
        match event {
            Admitted { node, facts, .. } | Announced { node, facts } => {
                let CheckedFacts { control_address, peer_address, .. } = facts;
                let listens = Listens { control: control_address.clone(), peer: peer_address.clone() };
                self.authority.insert(*node, listens);
            }
            Removed { node } => {
                self.authority.remove(node);
            }
            Founded { .. } | Edited { .. } | Joined { .. } | RemovalStarted { .. } => {}
        }
    }

    fn take_server(&mut self, event: &server::Event) {
        match event {
            server::Event::Introduced { server, peer, .. } if *server != self.server => {
                self.peers.insert(*server, peer.clone());
            }
            server::Event::Edited { server, name, addresses, .. } => {
                let known = match self.peers.get_mut(server) {
                    Some(peer) => Some((&mut peer.name, &mut peer.addresses)),
                    None => (*server == self.server).then_some((&mut self.name, &mut self.addresses)),
                };
                if let Some((known_name, known_addresses)) = known {
                    if let Some(name) = name {
                        known_name.clone_from(name);
                    }
                    if let Some(addresses) = addresses {
                        known_addresses.clone_from(addresses);
                    }
                }
            }
            server::Event::Intended { server, intent } if *server == self.server => self.intent = intent.clone(),
            server::Event::Removed { server, .. } | server::Event::Withdrawn { server, .. } => {
                self.peers.remove(server);
            }
            _ => {}
        }
    }

    fn take_store_point(&mut self, event: &store_point::Event) {
        use store_point::Event::{Annotated, Created, Edited, Intended, Reported};
        let id = event.store_point();
        if let Created { name, path, directory, flags, quota, .. } = event {
            let created = StorePoint {
                name: name.clone(),
                path: path.clone(),
                directory: directory.clone(),
                flags: *flags,
                quota: *quota,
                intent: store_point::Intent::Active,
                making: Making::Wanted,
            };
            self.store_points.insert(id, created);
            return;
        }
        let Some(known) = self.store_points.get_mut(&id) else { return };
        match event {
            Edited { name, flags, quota, .. } => {
                if let Some(name) = name {
                    known.name = name.clone();
                }
                known.flags = flags.unwrap_or(known.flags);
                known.quota = quota.unwrap_or(known.quota);
            }
            Intended { intent: store_point::Intent::Retired, .. } => {
                self.store_points.remove(&id);
            }
            Intended { intent, .. } => known.intent = *intent,
            Reported { report, .. } => known.making = (*report).into(),
            Created { .. } | Annotated { .. } => {}
        }
    }
}

impl From<&store_point::StorePoint> for StorePoint {
    fn from(row: &store_point::StorePoint) -> Self {
        Self {
            name: row.name.clone(),
            path: row.path.clone(),
            directory: row.directory.clone(),
            flags: row.flags,
            quota: row.quota,
            intent: row.intent,
            making: row.condition.into(),
        }
    }
}

impl From<Condition> for Making {
    fn from(condition: Condition) -> Self {
        match condition {
            Condition::Creating => Self::Wanted,
            Condition::Failed(_) => Self::Failed,
            Condition::Online | Condition::Offline(_) | Condition::Unknown => Self::Done,
        }
    }
}

impl From<Report> for Making {
    fn from(report: Report) -> Self {
        Condition::from(report).into()
    }
}
