//! What authority nodes relay to the one that leads, of storage servers: types of our own, in MessagePack.

use bursar_domain::{AuthorityNodeId, ServerGuid, ServerId};
use bursar_net::{FrameError, frame};
use bursar_wire::control::{Heartbeat, Port, Seen, Sight};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{observed::Observation, sights::Look};

/// What is asked of the leader.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Question {
    /// Hear this. Whoever relays it has seen the server's certificate.
    Heartbeat {
        /// Whose it is.
        server: ServerId,
        /// The machine that says it.
        guid: ServerGuid,
        /// What it says.
        heartbeat: Box<Heartbeat>,
    },
    /// This is what a node sees of the servers' ports.
    Sights {
        /// Which node.
        node: AuthorityNodeId,
        /// What it sees.
        sights: Vec<Sight>,
    },
    /// What have you observed? A page, in the order of the servers' numbers.
    Observations {
        /// Behind which server.
        behind: Option<ServerId>,
    },
    /// What was seen of the ports between a server and others? A page, in order.
    Looks {
        /// Which server.
        server: ServerId,
        /// Behind which look: by whom, at whose port.
        behind: Option<(Seen, Seen, Port)>,
    },
}

/// What the leader answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Answer {
    /// The heartbeat was heard.
    Heard {
        /// After how long the leader wants to hear the next, in milliseconds.
        again_ms: u64,
    },
    /// What a node sees is kept.
    Seen,
    /// A page.
    Observations {
        /// What was observed.
        observations: Vec<Observation>,
        /// Whether there is more behind them.
        more: bool,
    },
    /// A page.
    Looks {
        /// What was seen.
        looks: Vec<Look>,
        /// Whether there is more behind them.
        more: bool,
    },
}

/// Encodes a message. Ours ask for nothing that MessagePack lacks.
pub(crate) fn encode<T: Serialize>(message: &T) -> Bytes {
    frame::encode(message).expect("our messages encode into memory")
}

pub(crate) fn decode<T: DeserializeOwned>(message: &[u8]) -> Result<T, FrameError> {
    frame::decode(message)
}
