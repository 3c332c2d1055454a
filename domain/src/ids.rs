//! Typed identifiers. Ids are integers per kind, drawn from counters in the state inside decide, and never used twice.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hash::hex;

macro_rules! ids {
    ($($(#[$doc:meta])* $id:ident, $noun:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $id(pub u64);

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($noun, " {}"), self.0)
            }
        }

        impl From<u64> for $id {
            fn from(number: u64) -> Self {
                Self(number)
            }
        }
    )*};
}

ids! {
    /// A place with its own failure domain.
    SiteId, "site";
    /// A set of storage servers at one site, as users choose it.
    DestinationId, "destination";
    /// A member of the authority: a Raft node.
    AuthorityNodeId, "authority node";
    /// A long piece of work, carried as a logged state machine.
    OperationId, "operation";
    /// An administrator's bearer token.
    TokenId, "token";
    /// A single-use invitation of an authority node.
    JoinTokenId, "join token";
    /// A machine that keeps archives.
    ServerId, "server";
    /// A place on a server's disks that takes archives.
    StorePointId, "store point";
    /// Something that an operator should know of.
    AlertId, "alert";
}

macro_rules! sixteen_bytes {
    ($($(#[$doc:meta])* $id:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $id(pub [u8; 16]);

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(&self.0))
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($id), "({})"), self)
            }
        }

        impl std::str::FromStr for $id {
            type Err = hex::HexError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                hex::decode(text).map(Self)
            }
        }

        impl Serialize for $id {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                hex::serialize(&self.0, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                hex::deserialize(deserializer).map(Self)
            }
        }
    )*};
}

sixteen_bytes! {
    /// A cluster's random identity, made once when it is founded.
    ClusterId;
    /// The random identity of one data directory: a wiped directory is another store.
    StoreId;
    /// The random identity of a storage server, made with its data directory: a wiped server is another one.
    ServerGuid;
}

/// Any object of the ledger, by kind and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectRef {
    /// The cluster itself.
    Cluster,
    /// A site.
    Site(SiteId),
    /// A destination.
    Destination(DestinationId),
    /// An authority node.
    AuthorityNode(AuthorityNodeId),
    /// An operation.
    Operation(OperationId),
    /// A token.
    Token(TokenId),
    /// A join token.
    JoinToken(JoinTokenId),
    /// A storage server.
    Server(ServerId),
    /// A store point.
    StorePoint(StorePointId),
    /// An alert.
    Alert(AlertId),
}

impl ObjectRef {
    /// The kind's name as it stands in paths, filters and events, for instance `destination`.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Site(_) => "site",
            Self::Destination(_) => "destination",
            Self::AuthorityNode(_) => "authority_node",
            Self::Operation(_) => "operation",
            Self::Token(_) => "token",
            Self::JoinToken(_) => "join_token",
            Self::Server(_) => "server",
            Self::StorePoint(_) => "store_point",
            Self::Alert(_) => "alert",
        }
    }

    /// The number within its kind; the cluster is number 0.
    pub const fn number(self) -> u64 {
        match self {
            Self::Cluster => 0,
            Self::Site(SiteId(number))
            | Self::Destination(DestinationId(number))
            | Self::AuthorityNode(AuthorityNodeId(number))
            | Self::Operation(OperationId(number))
            | Self::Token(TokenId(number))
            | Self::JoinToken(JoinTokenId(number))
            | Self::Server(ServerId(number))
            | Self::StorePoint(StorePointId(number))
            | Self::Alert(AlertId(number)) => number,
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("the cluster"),
            Self::Site(id) => id.fmt(f),
            Self::Destination(id) => id.fmt(f),
            Self::AuthorityNode(id) => id.fmt(f),
            Self::Operation(id) => id.fmt(f),
            Self::Token(id) => id.fmt(f),
            Self::JoinToken(id) => id.fmt(f),
            Self::Server(id) => id.fmt(f),
            Self::StorePoint(id) => id.fmt(f),
            Self::Alert(id) => id.fmt(f),
        }
    }
}

macro_rules! object_refs {
    ($($id:ident => $kind:ident;)*) => {$(
        impl From<$id> for ObjectRef {
            fn from(id: $id) -> Self {
                Self::$kind(id)
            }
        }
    )*};
}

object_refs! {
    SiteId => Site;
    DestinationId => Destination;
    AuthorityNodeId => AuthorityNode;
    OperationId => Operation;
    TokenId => Token;
    JoinTokenId => JoinToken;
    ServerId => Server;
    StorePointId => StorePoint;
    AlertId => Alert;
}
