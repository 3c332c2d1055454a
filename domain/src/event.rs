//! Everything that can have happened.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    alert, authority_node, cluster, destination, ids::ObjectRef, join_token, operation, server, site, store_point, token,
};

/// What happened to one of the nouns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// To the cluster.
    Cluster(cluster::Event),
    /// To an authority node.
    AuthorityNode(authority_node::Event),
    /// To an invitation of an authority node.
    JoinToken(join_token::Event),
    /// To a site.
    Site(site::Event),
    /// To a destination.
    Destination(destination::Event),
    /// To a storage server.
    Server(server::Event),
    /// To a store point.
    StorePoint(store_point::Event),
    /// To alerts.
    Alert(alert::Event),
    /// To an operation.
    Operation(operation::Event),
    /// To an administrator's token.
    Token(token::Event),
}

impl Event {
    /// The stable names of all events, noun by noun.
    pub const KINDS: &'static [&'static str] = &[
        "cluster.founded",
        "cluster.setup_claimed",
        "cluster.level_raised",
        "authority_node.founded",
        "authority_node.admitted",
        "authority_node.announced",
        "authority_node.edited",
        "authority_node.joined",
        "authority_node.removal_started",
        "authority_node.removed",
        "join_token.issued",
        "join_token.used",
        "join_token.revoked",
        "site.created",
        "site.edited",
        "site.removed",
        "destination.created",
        "destination.edited",
        "destination.removed",
        "server.added",
        "server.replaced",
        "server.introduced",
        "server.welcomed",
        "server.joined",
        "server.join_failed",
        "server.went_offline",
        "server.came_online",
        "server.announced",
        "server.projection_reported",
        "server.edited",
        "server.intended",
        "server.removed",
        "server.withdrawn",
        "store_point.created",
        "store_point.annotated",
        "store_point.edited",
        "store_point.intended",
        "store_point.reported",
        "alert.raised",
        "alert.resolved",
        "alert.covered",
        "alert.worsened",
        "alert.explained",
        "alert.acknowledged",
        "operation.started",
        "operation.advanced",
        "operation.waiting",
        "operation.ended",
        "token.issued",
        "token.revoked",
    ];

    /// The stable name, for instance `destination.edited`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Cluster(event) => event.kind(),
            Self::AuthorityNode(event) => event.kind(),
            Self::JoinToken(event) => event.kind(),
            Self::Site(event) => event.kind(),
            Self::Destination(event) => event.kind(),
            Self::Server(event) => event.kind(),
            Self::StorePoint(event) => event.kind(),
            Self::Alert(event) => event.kind(),
            Self::Operation(event) => event.kind(),
            Self::Token(event) => event.kind(),
        }
    }

    /// The object that it happened to.
    pub fn subject(&self) -> ObjectRef {
        match self {
            Self::Cluster(_) => ObjectRef::Cluster,
            Self::AuthorityNode(event) => event.node().into(),
            Self::JoinToken(event) => event.token().into(),
            Self::Site(event) => event.site().into(),
            Self::Destination(event) => event.destination().into(),
            Self::Server(event) => event.server().into(),
            Self::StorePoint(event) => event.store_point().into(),
            Self::Alert(event) => event.first().into(),
            Self::Operation(event) => event.operation().into(),
            Self::Token(event) => event.token().into(),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(event) => event.fmt(f),
            Self::AuthorityNode(event) => event.fmt(f),
            Self::JoinToken(event) => event.fmt(f),
            Self::Site(event) => event.fmt(f),
            Self::Destination(event) => event.fmt(f),
            Self::Server(event) => event.fmt(f),
            Self::StorePoint(event) => event.fmt(f),
            Self::Alert(event) => event.fmt(f),
            Self::Operation(event) => event.fmt(f),
            Self::Token(event) => event.fmt(f),
        }
    }
}
