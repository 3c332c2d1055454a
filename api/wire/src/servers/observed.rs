//! What the leader observes of storage servers: soft state, which is worth nothing after a failover.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the leader observes of all storage servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// By the servers' numbers; a server that has not been heard of since this leader leads is absent.
    pub by_server: BTreeMap<u64, ServerObserved>,
}

/// What the leader observes of a storage server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerObserved {
    /// How long ago it was last heard of, in milliseconds.
    pub heard_ms_ago: u64,
    /// The version that it says to run.
    pub version: String,
    /// The cursor up to which it has carried out the events; null where it has told none yet.
    pub position: Option<String>,
    /// How its store points are filled, by their numbers.
    pub store_points: BTreeMap<u64, StorePointObserved>,
    /// How many ports of its peers and of the authority's nodes it has tried, as far as it has told.
    pub ports_tried: u64,
    /// How many of them it did not reach; its reachability says which.
    pub ports_closed: u64,
}

/// How a store point is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StorePointObserved {
    /// The bytes that are free on its disk.
    pub free_bytes: u64,
    /// The bytes that its disk has.
    pub total_bytes: u64,
    /// The bytes that its archives take.
    pub used_bytes: u64,
}

/// What a port between servers is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PortRole {
    /// Between authority nodes; storage servers answer it for reachability. Customarily 4283.
    Peer,
    /// Archives. Customarily 4286.
    Transfer,
    /// Joining, events, heartbeats and commands. Customarily 4288.
    Control,
}

impl PortRole {
    /// All of them, in the order of their customary numbers.
    pub const ALL: [Self; 3] = [Self::Peer, Self::Transfer, Self::Control];

    /// The role as it stands in the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Transfer => "transfer",
            Self::Control => "control",
        }
    }
}
