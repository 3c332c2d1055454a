//! Who gets to see what happened.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    authority_node,
    event::Event,
    ids::{DestinationId, ServerId},
};

/// Who gets to see a record; administrators see all. Stored in the record when it is decided, so that a stream is filtered
/// alike for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Administrators alone.
    Administrators,
    /// Every storage server.
    Servers,
    /// The storage servers of a destination.
    Destination(DestinationId),
    /// One storage server.
    Server(ServerId),
}

/// Who reads a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// An administrator.
    Administrator,
    /// A storage server.
    Server {
        /// Which.
        server: ServerId,
        /// The destination that it is part of.
        destination: DestinationId,
    },
}

impl Audience {
    /// Whether `reader` is in it.
    pub fn includes(self, reader: Reader) -> bool {
        let Reader::Server { server, destination } = reader else { return true };
        match self {
            Self::Administrators => false,
            Self::Servers => true,
            Self::Destination(addressed) => addressed == destination,
            Self::Server(addressed) => addressed == server,
        }
    }
}

impl Event {
    /// Who gets to see it. An event names whoever it is meant for, and what enters somebody's sight tells all of itself: a
    /// reader never needs what it could not see.
    pub const fn audience(&self) -> Audience {
        match self {
            Self::Server(event) => event.audience(),
            Self::StorePoint(event) => event.audience(),
            // Storage servers find another node by themselves.
            Self::AuthorityNode(
                authority_node::Event::Admitted { .. }
                | authority_node::Event::Announced { .. }
                | authority_node::Event::Removed { .. },
            ) => Audience::Servers,
            Self::AuthorityNode(
                authority_node::Event::Founded { .. }
                | authority_node::Event::Edited { .. }
                | authority_node::Event::Joined { .. }
                | authority_node::Event::RemovalStarted { .. },
            )
            | Self::Cluster(_)
            | Self::JoinToken(_)
            | Self::Site(_)
            | Self::Destination(_)
            | Self::Alert(_)
            | Self::Operation(_)
            | Self::Token(_) => Audience::Administrators,
        }
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Administrators => f.write_str("administrators"),
            Self::Servers => f.write_str("all servers"),
            Self::Destination(destination) => write!(f, "the servers of {destination}"),
            Self::Server(server) => server.fmt(f),
        }
    }
}
