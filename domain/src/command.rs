//! Everything that can be asked for.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    alert, authority_node, cluster, destination, ids::ObjectRef, join_token, operation, server, site, store_point, token,
};

/// A command to one of the nouns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// To the cluster.
    Cluster(cluster::Command),
    /// To the authority's nodes.
    AuthorityNode(authority_node::Command),
    /// To the invitations of authority nodes.
    JoinToken(join_token::Command),
    /// To the sites.
    Site(site::Command),
    /// To the destinations.
    Destination(destination::Command),
    /// To the storage servers.
    Server(server::Command),
    /// To the store points.
    StorePoint(store_point::Command),
    /// To the alerts.
    Alert(alert::Command),
    /// To the operations.
    Operation(operation::Command),
    /// To the administrators' tokens.
    Token(token::Command),
}

impl Command {
    /// The object that the command changes, where it exists before.
    pub fn subject(&self) -> Option<ObjectRef> {
        match self {
            Self::Cluster(command) => command.subject(),
            Self::AuthorityNode(command) => command.subject(),
            Self::JoinToken(command) => command.subject(),
            Self::Site(command) => command.subject(),
            Self::Destination(command) => command.subject(),
            Self::Server(command) => command.subject(),
            Self::StorePoint(command) => command.subject(),
            Self::Alert(command) => command.subject(),
            Self::Operation(command) => command.subject(),
            Self::Token(command) => command.subject(),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(command) => command.fmt(f),
            Self::AuthorityNode(command) => command.fmt(f),
            Self::JoinToken(command) => command.fmt(f),
            Self::Site(command) => command.fmt(f),
            Self::Destination(command) => command.fmt(f),
            Self::Server(command) => command.fmt(f),
            Self::StorePoint(command) => command.fmt(f),
            Self::Alert(command) => command.fmt(f),
            Self::Operation(command) => command.fmt(f),
            Self::Token(command) => command.fmt(f),
        }
    }
}
