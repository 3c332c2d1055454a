//! Which machines a server reaches, and which reach it, port by port.

use bursar_domain::{ObjectRef, State, destination, server::Server};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Observed, PortRole};
use crate::objects::{self, NamedObject};

/// Which ports pass between a server and its neighbours: the other servers of its destination, and the authority's nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reachability {
    /// Which server.
    pub server: NamedObject,
    /// Its neighbours, servers before authority nodes, in the order of their numbers.
    pub neighbours: Vec<Neighbour>,
    /// Why nothing is known of any port; null where the leader told what it observes.
    pub observed_absent: Option<String>,
}

/// Which ports pass between a server and one neighbour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Neighbour {
    /// Who it is.
    pub object: NamedObject,
    /// The neighbour's ports, tried by the server.
    pub outbound: Paths,
    /// The server's ports, tried by the neighbour. Authority nodes tell of none: that the server is heard of shows that they
    /// reach it.
    pub inbound: Paths,
}

/// The three ports of one machine, as another one finds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Paths {
    /// The port between authority nodes.
    pub peer: PortPath,
    /// The port of archives.
    pub transfer: PortPath,
    /// The port of joining, events, heartbeats and commands.
    pub control: PortPath,
}

impl Paths {
    /// How one of the ports is found.
    pub const fn of_role(&self, role: PortRole) -> &PortPath {
        match role {
            PortRole::Peer => &self.peer,
            PortRole::Transfer => &self.transfer,
            PortRole::Control => &self.control,
        }
    }
}

/// How a port is found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PortPath {
    /// Whether it passes.
    pub state: PathState,
    /// The port's number; null where it was not tried.
    pub port: Option<u16>,
    /// What was found, where it does not pass.
    pub detail: Option<String>,
}

/// Whether a port passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathState {
    /// It does.
    Open,
    /// It does not.
    Closed,
    /// Nobody has told yet.
    #[default]
    Unknown,
}

impl PathState {
    /// The state as it stands in the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Unknown => "unknown",
        }
    }
}

impl Reachability {
    /// Of a server of `state`, by what the leader observes, or with the reason why that is not known.
    pub fn of(state: &State, server: &Server, observed: Result<&Observed, String>) -> Self {
        let (observed, observed_absent) = match observed {
            Ok(observed) => (observed, None),
            Err(reason) => (&Observed::default(), Some(reason)),
        };
        let own = ObjectRef::from(server.id);
        let peers = destination::servers(state, server.destination).map(|peer| peer.id).filter(|peer| *peer != server.id);
        let nodes = state.authority_nodes().iter().filter(|node| node.intent.is_present()).map(|node| node.id);
        let objects = peers.map(ObjectRef::from).chain(nodes.map(ObjectRef::from));
        let neighbour = |object: ObjectRef| Neighbour {
            object: NamedObject::of(state, object),
            outbound: paths(observed, own, object),
            inbound: paths(observed, object, own),
        };
        Self { server: NamedObject::of(state, own), neighbours: objects.map(neighbour).collect(), observed_absent }
    }
}

fn paths(observed: &Observed, from: ObjectRef, to: ObjectRef) -> Paths {
    let by_server = |number| observed.by_server.get(number);
    let prober = if let ObjectRef::Server(server) = from { by_server(&server.0) } else { None };
    let to = objects::ObjectRef::from(to);
    let path = |role: PortRole| {
        let probes = prober.map(|prober| prober.probes.as_slice()).unwrap_or_default();
        let probe = probes.iter().find(|probe| probe.role == role && probe.to == to);
        probe.map_or_else(PortPath::default, |probe| PortPath {
            state: if probe.open { PathState::Open } else { PathState::Closed },
            port: Some(probe.port),
            detail: probe.detail.clone(),
        })
    };
    Paths { peer: path(PortRole::Peer), transfer: path(PortRole::Transfer), control: path(PortRole::Control) }
}
