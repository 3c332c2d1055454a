//! What a connection string is of, looked at before anything is committed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{PathState, PortRole};
use crate::{Secret, page::Warning};

/// A connection string to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InspectServer {
    /// The line that `bursar storage-server init` or `connection-string` printed there.
    pub connection_string: Secret,
    /// The number of the destination that it is meant for; where it is absent, what stands in the way there is not told, and the
    /// ports between the machine and the servers there are not tried.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub destination: Option<u64>,
    /// The name that it is to have; by default the one that the connection string tells.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
}

/// What a connection string says, and what was found at its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Inspection {
    /// The identity of its data directory, 32 hexadecimal digits.
    pub guid: String,
    /// How it is to be called.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// What its program was built for, for instance `x86_64-linux`.
    pub platform: String,
    /// What was found at each of its addresses, in the order in which they are tried.
    pub addresses: Vec<AddressFound>,
    /// Which ports pass between it and the authority's nodes, and the servers of the destination, in both directions.
    pub ports: Vec<PortFound>,
    /// Whether the string still stands, as the machine itself says; null where it did not answer.
    pub stands: Option<bool>,
    /// How that is known, or why it is not.
    pub standing: String,
    /// What stands in the way of adding it, the first thing first; empty where nothing does.
    pub obstacles: Vec<Obstacle>,
    /// What to know before it is added, though it does not stand in the way.
    pub warnings: Vec<Warning>,
}

/// What was found at an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AddressFound {
    /// The address, `host:port`.
    pub address: String,
    /// Whether somebody answers there.
    pub reachable: bool,
    /// What was found, where nobody does.
    pub detail: Option<String>,
    /// Whether it is the machine whose fingerprint the string tells; null where nobody answers.
    pub fingerprint_matches: Option<bool>,
    /// How long its answer took, in milliseconds; null where nobody answers.
    pub latency_ms: Option<u64>,
    /// How far its clock is ahead of the authority's, in milliseconds; null where nobody answers.
    pub clock_skew_ms: Option<i64>,
}

/// Whether a port passes, in one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PortFound {
    /// Who tried it.
    pub from: String,
    /// Whose port it is.
    pub to: String,
    /// Its number.
    pub port: u16,
    /// What it is for.
    pub role: PortRole,
    /// Whether it passes.
    pub state: PathState,
    /// What was found, where neither of the states says it; why nobody tried, where nobody did.
    pub detail: Option<String>,
}

/// Something that stands in the way of adding a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Obstacle {
    /// The stable code of the problem that adding it would meet; where it could be added all the same, `server_unreachable` where
    /// nobody reaches the machine, and `port_blocked` where it would not be reached in all ways, or would not reach others.
    pub code: String,
    /// The problem in a sentence.
    pub detail: String,
    /// What to do about it; null where there is nothing to say.
    pub remedy: Option<String>,
}
