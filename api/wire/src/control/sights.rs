//! What machines see of each other's ports: whether an address was reached, and what is told of it.

use std::{io, time::Duration};

use bursar_domain::{AuthorityNodeId, ServerId, server::Ports};
use bursar_net::{Address, DialError};
use serde::{Deserialize, Serialize};

/// How many addresses one question may have looked at.
pub const PROBED_MAX: usize = 64;
/// How many sights one heartbeat carries. Whoever has more tells them by and by.
pub const SIGHTS_MAX: usize = 128;
/// How much is told of what went wrong at a port, in bytes.
const DETAIL_BYTES_MAX: usize = 256;

/// What somebody sees of a port of somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sight {
    /// Whose.
    pub of: Seen,
    /// Which of their ports.
    pub port: Port,
    /// What came of it: at the first of its addresses that was reached, else at the last.
    pub probed: Probed,
    /// How long ago that was, in milliseconds.
    pub ago_ms: u64,
}

/// Whom somebody looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// An authority node.
    AuthorityNode(AuthorityNodeId),
    /// A storage server.
    Server(ServerId),
}

/// A port between servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Port {
    /// Customarily 4283.
    Peer,
    /// Customarily 4286.
    Transfer,
    /// Customarily 4288.
    Control,
}

impl Port {
    /// Where each port of a storage server is: at every host of its control port, the first first.
    pub fn of_server(control: &[Address], ports: Ports) -> [(Self, Vec<Address>); 3] {
        let at = |number: u16| control.iter().filter_map(move |address| Address::new(address.host(), number).ok()).collect();
        [(Self::Peer, at(ports.peer)), (Self::Transfer, at(ports.transfer)), (Self::Control, control.to_vec())]
    }
}

/// What came of an attempt to reach an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probed {
    /// Where.
    pub address: Address,
    /// What came of it.
    pub outcome: Outcome,
}

/// Whether an address was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// It was.
    Reached {
        /// After how long, in microseconds.
        after_us: u64,
    },
    /// The connection was refused: nothing listens there, or a firewall answers in its place.
    Refused,
    /// Nothing came back in time: the machine is off, or a firewall drops what is sent there.
    TimedOut,
    /// It went wrong otherwise; somebody else may have answered.
    Failed {
        /// How, for people.
        detail: String,
    },
}

impl Outcome {
    /// Of an attempt to connect that took so long.
    pub fn of_connecting<T>(attempt: Result<T, io::Error>, took: Duration) -> Self {
        match attempt {
            Ok(_connection) => Self::reached(took),
            Err(error) => Self::of_error(&error),
        }
    }

    /// Of an attempt to be welcomed that took so long.
    pub fn of_dialling<T>(attempt: Result<T, DialError>, took: Duration) -> Self {
        match attempt {
            Ok(_link) => Self::reached(took),
            Err(DialError::Unreachable { source, .. }) => Self::of_error(&source),
            Err(DialError::Timeout { .. }) => Self::TimedOut,
            Err(error) => Self::failed(error.to_string()),
        }
    }

    /// Whether it was reached.
    pub const fn is_reached(&self) -> bool {
        matches!(self, Self::Reached { .. })
    }

    /// The same, with no more words than a message should carry.
    #[must_use]
    pub fn bounded(self) -> Self {
        match self {
            Self::Failed { detail } => Self::failed(detail),
            brief => brief,
        }
    }

    fn reached(took: Duration) -> Self {
        Self::Reached { after_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX) }
    }

    fn of_error(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::failed(error.to_string()),
        }
    }

    fn failed(mut detail: String) -> Self {
        detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
        Self::Failed { detail }
    }
}
