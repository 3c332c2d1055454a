//! What authority nodes and storage servers say to each other on the control port, customarily 4288.
//!
//! | who asks whom | where | what |
//! |---|---|---|
//! | an authority node a machine that is no member yet | its port, pinned to the certificate that it signed itself | [`NewcomerQuestion`] |
//! | a storage server an authority node | [`Lane::Follow`](bursar_net::Lane::Follow) | [`Follow`], then [`FeedItem`]s without end |
//! | a storage server an authority node | [`Lane::Control`](bursar_net::Lane::Control) | [`ServerQuestion`] |
//! | an authority node a storage server | [`Lane::Control`](bursar_net::Lane::Control) | [`AuthorityQuestion`] |
//!
//! Questions are asked by [`bursar_net::Caller`] and answered by [`bursar_net::answer`]. Whoever asks sets the bound of its
//! patience; no side waits for the other without one.

mod sights;

use std::collections::BTreeMap;

use bursar_domain::{
    AuthorityNodeId, ClusterId, Cursor, Hash, Level, Revision, ServerGuid, ServerId, StorePointId, Timestamp,
    projection::Projection,
    server::{ProgramFacts, ProjectionState},
    store_point::{Findings, Report},
};
use bursar_net::{Address, CertificateRequest};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

pub use sights::{Outcome, PROBED_MAX, Port, Probed, SIGHTS_MAX, Seen, Sight};

/// How many calls of one connection are under way at most.
pub const CALLS_MAX: usize = 32;

/// What an authority node asks a machine that is no member yet. Each question shows that the connection string is known: the
/// hash of its secret is what the machine has kept of it, and the ledger too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NewcomerQuestion {
    /// Who are you, and what do you see from there?
    Introduce {
        /// The hash of the connection string's secret.
        secret: Hash,
        /// What it shall try to connect to, and then leave; at most [`PROBED_MAX`].
        probe: Vec<Address>,
    },
    /// Be a member.
    Adopt {
        /// The hash of the connection string's secret.
        secret: Hash,
        /// What makes it one.
        membership: Box<Membership>,
    },
}

/// What a machine that is no member yet answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NewcomerAnswer {
    /// To [`NewcomerQuestion::Introduce`].
    Introduced(Box<Introduced>),
    /// To [`NewcomerQuestion::Adopt`]: it rests on its disk. The machine takes its ports up anew, as a member.
    Adopted,
    /// Another connection string was issued since, or the secret was never one of its own. Nothing was done.
    Voided,
    /// The connection string's time is over, by the machine's clock. Nothing was done.
    Expired,
    /// It cannot keep what it was given. Nothing was done.
    Failed {
        /// Why, for people.
        detail: String,
    },
}

/// Who a machine is, as it says itself, and what it sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Introduced {
    /// The identity of its data directory.
    pub guid: ServerGuid,
    /// The program that it runs.
    pub program: ProgramFacts,
    /// What its clock says.
    pub now: Timestamp,
    /// The key that wants to be certified.
    pub certificate_request: CertificateRequest,
    /// What it found at the addresses that it was to look at, in their order.
    pub probed: Vec<Probed>,
}

/// What makes a machine a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// Of which cluster.
    pub cluster: ClusterId,
    /// Its number there.
    pub server: ServerId,
    /// The certificate of the cluster's authority, PEM.
    pub ca_certificate: String,
    /// Its own, PEM.
    pub certificate: String,
    /// Where authority nodes listen for storage servers.
    pub authority: BTreeMap<AuthorityNodeId, Address>,
}

/// How a storage server begins to follow the events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Follow {
    /// Up to where it has read; nothing where it knows nothing, or does not trust what it knows.
    pub since: Option<Cursor>,
    /// The shape of the projection that it keeps, [`bursar_domain::projection::SCHEMA`].
    pub schema: u8,
}

/// What a storage server that follows is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FeedItem {
    /// All that it is to know, instead of how it came about: it knew nothing, or the history behind its cursor is not kept.
    Anew {
        /// As of when.
        cursor: Cursor,
        /// What it is to know.
        projection: Box<Projection>,
    },
    /// What happened: the records of one or several decisions, whole, that concern it. What does not is passed over.
    Records {
        /// Encoded [`bursar_domain::Record`]s, in order.
        records: Vec<ByteBuf>,
        /// Everything up to here was told.
        upto: Cursor,
    },
    /// Nothing more has happened.
    Head {
        /// Up to here.
        cursor: Cursor,
        /// The digest of what it should know there; nothing where it keeps another shape than the authority.
        digest: Option<Hash>,
    },
    /// It is no member any more, and is told nothing.
    Excluded,
    /// The node cannot go on; another may.
    Ended {
        /// Why, for people.
        detail: String,
    },
}

/// What a storage server asks, or tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ServerQuestion {
    /// It is there.
    Heartbeat {
        /// What it sees: passed on to the leader, and kept by it alone.
        heartbeat: Box<Heartbeat>,
        /// What it has told for good, of each thing the last, for the node to compare with the ledger; nothing while it has something to
        /// tell.
        said: Vec<Notice>,
    },
    /// Something has changed that everybody is to know for good.
    Notice {
        /// Equal where it is said again: the authority then recognises it.
        request: String,
        /// What has changed.
        notice: Notice,
    },
}

/// That a storage server is there, and what it sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// The version of its program.
    pub version: String,
    /// What its clock says.
    pub now: Timestamp,
    /// Up to where its projection is.
    pub position: Option<Cursor>,
    /// How full its store points are, of those that it can look at.
    pub store_points: BTreeMap<StorePointId, Capacity>,
    /// What it found at the other servers of its destination and at the authority's nodes, whenever it last looked; at most
    /// [`SIGHTS_MAX`]: what has changed first, then the others in turn.
    pub sights: Vec<Sight>,
}

/// How full a store point is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// The file system's size.
    pub total: u64,
    /// What is free there for the server.
    pub free: u64,
    /// What the store point itself takes.
    pub used: u64,
}

/// What a storage server tells for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Notice {
    /// How one of its store points is.
    StorePoint {
        /// Which.
        store_point: StorePointId,
        /// How it is.
        report: Report,
    },
    /// What it runs.
    Program(ProgramFacts),
    /// Whether it holds what it should.
    Projection {
        /// Whether it does.
        state: ProjectionState,
        /// As of when.
        at: Revision,
    },
}

/// What a storage server is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ServerAnswer {
    /// The leader has heard it.
    Heard {
        /// After how long it wants to hear from it again, in milliseconds.
        again_ms: u64,
        /// The level that the cluster has agreed on.
        level: Level,
        /// Whether the ledger has something otherwise than the server has said: it lost sight of it while it was silent, or what the server
        /// told earlier came late, behind what it told later. The server is to tell all again.
        otherwise: bool,
    },
    /// It is in the ledger.
    Noted {
        /// After which revision.
        revision: Revision,
    },
    /// The ledger refuses it; to say the same again is of no use.
    Refused {
        /// The stable code.
        code: String,
        /// Why, for people.
        detail: String,
    },
    /// It was not heard, or nobody knows: say it again, here or to another node.
    Unavailable {
        /// Why, for people.
        detail: String,
    },
}

/// What an authority node asks a storage server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AuthorityQuestion {
    /// What is at this path, where a store point is to be?
    Examine {
        /// The path, absolute.
        path: String,
    },
    /// What do you see from there?
    Probe {
        /// What it shall try to connect to, and then leave; at most [`PROBED_MAX`].
        addresses: Vec<Address>,
    },
}

/// What a storage server answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AuthorityAnswer {
    /// To [`AuthorityQuestion::Examine`].
    Found(Findings),
    /// To [`AuthorityQuestion::Probe`], in their order.
    Probed(Vec<Probed>),
    /// It cannot tell.
    Failed {
        /// Why, for people.
        detail: String,
    },
}
