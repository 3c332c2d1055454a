//! Which machines a server reaches, and which reach it, port by port.

use bursar_domain::{
    ObjectRef, State, destination,
    server::{Condition, Server},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::PortRole;
use crate::objects::NamedObject;

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
    /// The server's ports, tried by the neighbour.
    pub inbound: Paths,
}

/// The three ports of one machine, as another one finds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Paths {
    /// Who tries them.
    pub tried_by: NamedObject,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PortPath {
    /// Whether it passes.
    pub state: PathState,
    /// The port's number; null where it was not tried.
    pub port: Option<u16>,
    /// How long ago it was tried, in milliseconds; null where it was not.
    pub age_ms: Option<u64>,
    /// What was found, where the state does not say it; why nobody tried, where nobody did.
    pub detail: Option<String>,
}

/// Whether a port passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathState {
    /// It does.
    Reached,
    /// The connection was refused: nothing listens there, or a firewall answers in its place.
    Refused,
    /// Nothing came back in time: the machine is off, or a firewall drops what is sent there.
    TimedOut,
    /// It went wrong otherwise; somebody else may have answered.
    Failed,
    /// Nothing that the server says comes to the authority, which it would through this port: the server is off, or does not
    /// reach it. Where the authority reaches the server, its own way out is blocked.
    Unheard,
    /// Nobody has tried it, or has told yet.
    NotTried,
    /// There is none: authority nodes take no archives.
    NoSuchPort,
}

impl PathState {
    /// The state as it stands in the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
            Self::Unheard => "unheard",
            Self::NotTried => "not_tried",
            Self::NoSuchPort => "no_such_port",
        }
    }

    /// Whether it is known not to pass.
    pub const fn is_blocked(self) -> bool {
        matches!(self, Self::Refused | Self::TimedOut | Self::Failed | Self::Unheard)
    }
}

/// What somebody found last at a port of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Who tried it.
    pub by: ObjectRef,
    /// Whose it is.
    pub of: ObjectRef,
    /// What it is for.
    pub role: PortRole,
    /// What was found there.
    pub found: PortPath,
}

impl Reachability {
    /// Of a server of `state`, by what the leader was told, or with the reason why that is not known.
    pub fn of(state: &State, server: &Server, looks: Result<&[Look], String>) -> Self {
        let (looks, observed_absent) = match looks {
            Ok(looks) => (looks, None),
            Err(reason) => (&[][..], Some(reason)),
        };
        let own = ObjectRef::from(server.id);
        let peers = destination::servers(state, server.destination).map(|peer| peer.id).filter(|peer| *peer != server.id);
        let nodes = state.authority_nodes().iter().filter(|node| node.intent.is_present()).map(|node| node.id);
        let objects = peers.map(ObjectRef::from).chain(nodes.map(ObjectRef::from));
        let why = |by| observed_absent.clone().unwrap_or_else(|| untold(state, by));
        let neighbour = |object: ObjectRef| Neighbour {
            object: NamedObject::of(state, object),
            outbound: paths(state, looks, own, object, &why(own)),
            inbound: paths(state, looks, object, own, &why(object)),
        };
        Self { server: NamedObject::of(state, own), neighbours: objects.map(neighbour).collect(), observed_absent }
    }
}

/// What one found at the ports of another; `untold` says why it did not try, or tell, where it did not.
fn paths(state: &State, looks: &[Look], by: ObjectRef, of: ObjectRef, untold: &str) -> Paths {
    let path = |role: PortRole| {
        if let (ObjectRef::AuthorityNode(_), PortRole::Transfer) = (of, role) {
            return nothing(PathState::NoSuchPort, "authority nodes take no archives");
        }
        let look = looks.iter().find(|look| look.by == by && look.of == of && look.role == role);
        if let (Some(silent), ObjectRef::AuthorityNode(_), PortRole::Control) = (silent(state, by), of, role) {
            let port = look.and_then(|look| look.found.port);
            return PortPath { port, ..nothing(PathState::Unheard, &silent) };
        }
        look.map_or_else(|| nothing(PathState::NotTried, untold), |look| look.found.clone())
    };
    let tried_by = NamedObject::of(state, by);
    Paths { tried_by, peer: path(PortRole::Peer), transfer: path(PortRole::Transfer), control: path(PortRole::Control) }
}

fn nothing(state: PathState, detail: &str) -> PortPath {
    PortPath { state, port: None, age_ms: None, detail: Some(detail.to_owned()) }
}

/// That a server is not heard, where it is not: it cannot say itself that it does not reach the authority.
fn silent(state: &State, by: ObjectRef) -> Option<String> {
    let ObjectRef::Server(server) = by else { return None };
    let is_offline = state.servers().get(server)?.condition == Condition::Offline;
    is_offline.then(|| format!("nothing is heard of {}", NamedObject::of(state, by)))
}

/// Why nobody is known to have tried a port.
fn untold(state: &State, by: ObjectRef) -> String {
    let condition = match by {
        ObjectRef::Server(server) => state.servers().get(server).map(|server| server.condition),
        _ => None,
    };
    let why = match condition {
        Some(Condition::Joining { .. }) => "has not joined yet",
        Some(Condition::Offline | Condition::Excluded) => "is not online",
        Some(Condition::Online) | None => "has not told yet, since the present leader leads",
    };
    format!("{} {why}", NamedObject::of(state, by))
}
