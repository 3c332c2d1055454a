//! Why a request has no answer.

use std::{fmt, io};

use super::NodeUrl;
use crate::{Fate, Problem};

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No node answered.
    #[error("no authority node answers: {}", joined(.failures))]
    Unreachable {
        /// What became of asking each.
        failures: Vec<NodeFailure>,
    },
    /// A node answered that it cannot be.
    #[error("{problem}")]
    Problem {
        /// Which node.
        node: NodeUrl,
        /// What it said.
        problem: Box<Problem>,
        /// The `Idempotency-Key` under which it was asked, if it was asked for a change.
        request: Option<String>,
    },
    /// A change was asked for, and no answer says whether it was made.
    #[error("it is not known whether request {request} was carried out: {}", joined(.failures))]
    OutcomeUnknown {
        /// The request's `Idempotency-Key`: repeated under it within an hour, the change is made once; but not what was asked for
        /// with [`Client::post_once`](super::Client::post_once).
        request: String,
        /// What became of asking each node.
        failures: Vec<NodeFailure>,
    },
    /// A node answered what this program does not understand.
    #[error("{node} answered {status} in a way that this program does not understand: {detail}")]
    Malformed {
        /// Which node.
        node: NodeUrl,
        /// The HTTP status.
        status: u16,
        /// What is wrong with the answer.
        detail: String,
    },
    /// There is nobody to ask.
    #[error("no authority node is known")]
    NoNodes,
    /// An `https` URL, and nobody is trusted.
    #[error("{node} is https, and no certificate authority is trusted")]
    NoTrust {
        /// Which node.
        node: NodeUrl,
    },
}

/// What became of asking one node.
#[derive(Debug)]
pub struct NodeFailure {
    /// Which node.
    pub node: NodeUrl,
    /// Why it gave no answer.
    pub failure: Failure,
}

/// Why a node gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// No TLS session: another cluster's certificate, one that has expired, or no TLS at all.
    #[error("cannot agree on TLS: {0}")]
    Secure(io::Error),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    /// The stream of events ended, although it was to go on.
    #[error("the stream of events ended")]
    Cut,
    /// No connection came to be in time.
    #[error("no connection within {waited_ms} ms")]
    NotConnected {
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    },
    /// The request was sent, and nothing came in time.
    #[error("connected, but no answer within {waited_ms} ms")]
    Silent {
        /// How long was waited, in milliseconds.
        waited_ms: u64,
    },
    /// The answer is larger than any answer is.
    #[error("the answer is larger than {bytes_max} bytes")]
    TooLarge {
        /// The bound, in bytes.
        bytes_max: usize,
    },
    /// The answer is an error, and not one of the API's.
    #[error("answered {status} without saying why: something else than an authority node may listen there")]
    NoProblem {
        /// The HTTP status.
        status: u16,
    },
    /// The node refused for now.
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The request cannot be put into HTTP.
    #[error("the request cannot be sent: {detail}")]
    Unsendable {
        /// What is wrong with it.
        detail: String,
    },
}

impl Failure {
    /// Whether a request that was sent may have been carried out all the same. What is told of a further connection says
    /// nothing of the one on which the request went, and a problem without a fate is none of an authority node.
    pub(super) fn leaves_open(&self) -> bool {
        match self {
            Self::Refused(problem) => problem.fate != Some(Fate::NotDone),
            Self::Unsendable { .. } => false,
            _ => true,
        }
    }
}

impl fmt::Display for NodeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.node, self.failure)
    }
}

fn joined(failures: &[NodeFailure]) -> String {
    let failures: Vec<_> = failures.iter().map(NodeFailure::to_string).collect();
    failures.join("; ")
}
