//! Who acts.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{AuthorityNodeId, ServerId, TokenId};

/// Who asked for a change. Recorded with every record of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// Whoever holds the cluster's founding secrets: the one who ran `init`, and who claims the setup secret.
    Founder,
    /// The bearer of a token.
    Token(TokenId),
    /// A machine that presents a join token.
    Joiner,
    /// An authority node, of itself.
    AuthorityNode(AuthorityNodeId),
    /// A storage server, of itself and its store points.
    Server(ServerId),
    /// A duty of the leader.
    Duty(Duty),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Founder => f.write_str("founder"),
            Self::Token(token) => token.fmt(f),
            Self::Joiner => f.write_str("joiner"),
            Self::AuthorityNode(node) => node.fmt(f),
            Self::Server(server) => server.fmt(f),
            Self::Duty(duty) => write!(f, "{duty} duty"),
        }
    }
}

/// A standing task of the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// Brings Raft's membership into line with the intents of the authority nodes.
    Membership,
    /// Takes servers in whose connection strings were pasted.
    Join,
    /// Tells servers that answer from those that do not.
    FailureDetection,
}

impl fmt::Display for Duty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Membership => "membership",
            Self::Join => "join",
            Self::FailureDetection => "failure detection",
        })
    }
}
