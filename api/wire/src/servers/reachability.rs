//! Which machines a server reaches, and which reach it, port by port.

use std::collections::BTreeSet;

use bursar_domain::{
    ObjectRef, ServerId, State, destination,
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
    /// Why what it found last says nothing of the present; null where it does, or nothing was found.
    pub outdated: Option<String>,
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
    /// Nobody has tried it, or has told the present leader.
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

/// What the leader was told of ports, and by whom it could have been.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looks {
    /// What was found last.
    pub found: Vec<Look>,
    /// The servers that were heard since the leader leads.
    pub heard: BTreeSet<ServerId>,
}

impl Reachability {
    /// Of a server of `state`, by what the leader was told, or with the reason why that is not known.
    pub fn of(state: &State, server: &Server, looks: Result<&Looks, String>) -> Self {
        let own = ObjectRef::from(server.id);
        let peers = destination::servers(state, server.destination).map(|peer| peer.id).filter(|peer| *peer != server.id);
        let nodes = state.authority_nodes().iter().filter(|node| node.intent.is_present()).map(|node| node.id);
        let objects = peers.map(ObjectRef::from).chain(nodes.map(ObjectRef::from));
        let matrix = Matrix { state, looks: looks.as_ref().copied() };
        let neighbour = |object: ObjectRef| Neighbour {
            object: NamedObject::of(state, object),
            outbound: matrix.paths(own, object),
            inbound: matrix.paths(object, own),
        };
        Self { server: NamedObject::of(state, own), neighbours: objects.map(neighbour).collect(), observed_absent: looks.err() }
    }
}

/// What was told, and of whom.
struct Matrix<'m> {
    state: &'m State,
    looks: Result<&'m Looks, &'m String>,
}

impl Matrix<'_> {
    /// What one found at the ports of another.
    fn paths(&self, by: ObjectRef, of: ObjectRef) -> Paths {
        let [peer, transfer, control] = PortRole::ALL.map(|role| self.path(by, of, role));
        let is_of_before = [&peer, &transfer, &control].iter().any(|path| path.age_ms.is_some());
        let outdated = self.is_silent(by).then(|| format!("{} is offline, and what it found is from before", self.named(by)));
        Paths { tried_by: self.named(by), outdated: outdated.filter(|_| is_of_before), peer, transfer, control }
    }

    fn path(&self, by: ObjectRef, of: ObjectRef, role: PortRole) -> PortPath {
        if let (ObjectRef::AuthorityNode(_), PortRole::Transfer) = (of, role) {
            return nothing(PathState::NoSuchPort, "authority nodes take no archives");
        }
        let looks = match self.looks {
            Ok(looks) => looks,
            Err(why) => return nothing(PathState::NotTried, why),
        };
        // What was found at a machine before it was a member says nothing of the member.
        if let Some(newcomer) = [by, of].into_iter().find(|object| self.is_joining(*object)) {
            return nothing(PathState::NotTried, &format!("{} has not joined yet", self.named(newcomer)));
        }
        let look = looks.found.iter().find(|look| look.by == by && look.of == of && look.role == role);
        // A server that is not heard cannot say itself that it does not reach the authority.
        if let (true, ObjectRef::AuthorityNode(_), PortRole::Control) = (self.is_silent(by), of, role) {
            let port = look.and_then(|look| look.found.port);
            return PortPath { port, ..nothing(PathState::Unheard, &format!("nothing is heard of {}", self.named(by))) };
        }
        look.map_or_else(|| nothing(PathState::NotTried, &self.untold(by, &looks.heard)), |look| look.found.clone())
    }

    /// Why the leader does not know what somebody found.
    fn untold(&self, by: ObjectRef, heard: &BTreeSet<ServerId>) -> String {
        let by_name = self.named(by);
        match by {
            ObjectRef::Server(server) if heard.contains(&server) => format!("{by_name} has not told of it yet"),
            ObjectRef::Server(_) if self.is_silent(by) => {
                format!("{by_name} is offline, and was not heard since the present leader leads")
            }
            ObjectRef::Server(_) => format!("{by_name} was not heard since the present leader leads"),
            _ => format!("{by_name} has not told of it since the present leader leads"),
        }
    }

    fn named(&self, object: ObjectRef) -> NamedObject {
        NamedObject::of(self.state, object)
    }

    /// Whether it is a server that is not heard.
    fn is_silent(&self, object: ObjectRef) -> bool {
        self.condition(object) == Some(Condition::Offline)
    }

    fn is_joining(&self, object: ObjectRef) -> bool {
        matches!(self.condition(object), Some(Condition::Joining { .. }))
    }

    fn condition(&self, object: ObjectRef) -> Option<Condition> {
        let ObjectRef::Server(server) = object else { return None };
        self.state.servers().get(server).map(|server| server.condition)
    }
}

fn nothing(state: PathState, detail: &str) -> PortPath {
    PortPath { state, port: None, age_ms: None, detail: Some(detail.to_owned()) }
}
