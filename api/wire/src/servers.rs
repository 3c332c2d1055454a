//! Storage servers: machines of a destination that keep archives on their store points.

mod inspection;
mod observed;
mod reachability;
mod stopping;

use bursar_domain::{
    Command, DestinationId, Hash, Level, ServerId, State,
    server::{self, Change, Facts, Introduction, Lasting, Ports, ProgramFacts},
    store_point,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ConnectionString, FieldError, Secret,
    objects::{Stamp, etag},
    store_points::OfflineStorePoint,
    times::{rfc3339, timestamp},
};

pub use inspection::{AddressFound, InspectServer, Inspection, Obstacle, PortFound};
pub use observed::{Observed, PortRole, ServerObserved, StorePointObserved};
pub use reachability::{Look, Looks, Neighbour, PathState, Paths, PortPath, Reachability};
pub use stopping::{ExpectedAlert, OkToStop};

/// The longest that a server is worked upon at a time, in seconds: 30 days.
pub const MAINTENANCE_SECONDS_MAX: u64 = 30 * 24 * 3_600;

/// A storage server, or a former one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Server {
    /// Its number.
    pub id: u64,
    /// Its name, unique among the servers that are not removed.
    pub name: String,
    /// The number of the destination that it is part of, for as long as it is.
    pub destination: u64,
    /// The name of the destination; null where that is gone.
    pub destination_name: Option<String>,
    /// What is wanted of it.
    pub intent: ServerIntent,
    /// How it is.
    pub condition: ServerCondition,
    /// Whether it holds the state that it should.
    pub projection: ProjectionState,
    /// How many store points it has.
    pub store_points: u64,
    /// The address of its control port that is tried first, `host:port`.
    pub primary_address: String,
    /// The address that is tried next.
    pub secondary_address: Option<String>,
    /// The version of its program.
    pub version: String,
    /// What its program was built for, for instance `x86_64-linux`.
    pub platform: String,
    /// The highest level that its program can carry out.
    pub supported_level: u16,
    /// The identity of its data directory, 32 hexadecimal digits.
    pub guid: String,
    /// The identities that had its place before, the oldest first.
    pub former_guids: Vec<String>,
    /// The BLAKE3 hash of its public key, 64 hexadecimal digits.
    pub public_key_hash: String,
    /// When and by whom it was added.
    pub created: Stamp,
    /// When and by whom it was last changed.
    pub changed: Stamp,
    /// Its entity tag, to be sent as `If-Match: "<etag>"` with a change that rests on this reading.
    pub etag: String,
}

/// A storage server, with what the leader observes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerDetails {
    /// The server itself.
    #[serde(flatten)]
    pub server: Server,
    /// Those of its store points that are offline or could not be made, and why.
    pub offline_store_points: Vec<OfflineStorePoint>,
    /// What the leader observes of it; null where it observes nothing, and why stands in `observed_absent`. The entity tag does
    /// not cover it.
    pub observed: Option<ServerObserved>,
    /// Why `observed` is null; null where it is not.
    pub observed_absent: Option<String>,
}

/// What is wanted of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ServerIntent {
    /// To keep archives.
    Active,
    /// To be worked upon: that it does not answer is expected until then.
    Maintenance {
        /// Until when, RFC 3339 in UTC.
        until: String,
        /// Why.
        reason: String,
    },
    /// To give its archives away.
    Draining,
    /// To be gone.
    Removed,
}

impl ServerIntent {
    /// The intent's `state` as it stands in the JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Maintenance { .. } => "maintenance",
            Self::Draining => "draining",
            Self::Removed => "removed",
        }
    }
}

impl From<&server::Intent> for ServerIntent {
    fn from(intent: &server::Intent) -> Self {
        match intent {
            server::Intent::Active => Self::Active,
            server::Intent::Maintenance { until, reason } => {
                Self::Maintenance { until: rfc3339(*until), reason: reason.to_string() }
            }
            server::Intent::Draining => Self::Draining,
            server::Intent::Removed => Self::Removed,
        }
    }
}

/// How a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ServerCondition {
    /// It is being taken in.
    Joining {
        /// The number of the operation that carries it.
        operation: u64,
    },
    /// It answers.
    Online,
    /// It does not answer.
    Offline,
    /// Nothing that it says is accepted: it never joined, or was removed.
    Excluded,
}

impl ServerCondition {
    /// The condition's `state` as it stands in the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joining { .. } => "joining",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Excluded => "excluded",
        }
    }
}

impl From<server::Condition> for ServerCondition {
    fn from(condition: server::Condition) -> Self {
        match condition {
            server::Condition::Joining { operation } => Self::Joining { operation: operation.0 },
            server::Condition::Online => Self::Online,
            server::Condition::Offline => Self::Offline,
            server::Condition::Excluded => Self::Excluded,
        }
    }
}

/// Whether a server holds the state that it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProjectionState {
    /// As far as is known.
    Matching,
    /// It found another digest than the authority's.
    Mismatched,
}

impl ProjectionState {
    /// The state as it stands in the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Matching => "matching",
            Self::Mismatched => "mismatched",
        }
    }
}

impl Server {
    /// A server of `state`.
    pub fn of(state: &State, server: &server::Server) -> Self {
        let facts = &server.facts;
        let destination = state.destinations().get(server.destination);
        Self {
            id: server.id.0,
            name: server.name.to_string(),
            destination: server.destination.0,
            destination_name: destination.map(|destination| destination.name.to_string()),
            intent: (&server.intent).into(),
            condition: server.condition.into(),
            projection: match server.projection {
                server::ProjectionState::Matching => ProjectionState::Matching,
                server::ProjectionState::Mismatched => ProjectionState::Mismatched,
            },
            store_points: store_point::of_server(state, server.id).count() as u64,
            primary_address: facts.addresses.primary.to_string(),
            secondary_address: facts.addresses.secondary.as_ref().map(ToString::to_string),
            version: facts.program.version.to_string(),
            platform: facts.program.platform.to_string(),
            supported_level: facts.program.supported.0,
            guid: facts.guid.to_string(),
            former_guids: server.former.iter().map(ToString::to_string).collect(),
            public_key_hash: facts.public_key.to_string(),
            created: Stamp::of(state, server.created),
            changed: Stamp::of(state, server.changed),
            etag: etag(state, server.changed),
        }
    }
}

/// A machine to be taken into a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddServer {
    /// The line that `bursar storage-server init` or `connection-string` printed there.
    pub connection_string: Secret,
    /// 1 to 128 characters, no control characters, no blanks around it; unique among the servers, ASCII letters folded. By default
    /// the name that the connection string tells.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
}

impl AddServer {
    /// What it asks for, given what the connection string says.
    pub fn command(self, destination: DestinationId, says: &ConnectionString) -> Command {
        let name = self.name.unwrap_or_else(|| says.name.clone());
        Command::Server(server::Command::Add { destination, name, introduction: introduction(says) })
    }
}

/// A machine that gets the place of a dead one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceServer {
    /// The line that `bursar storage-server init` or `connection-string` printed on the new machine.
    pub connection_string: Secret,
}

/// What it asks for, given what the connection string says.
pub fn replace(server: ServerId, says: &ConnectionString) -> Command {
    Command::Server(server::Command::Replace { server, introduction: introduction(says) })
}

/// What a connection string says, as the ledger takes it.
fn introduction(says: &ConnectionString) -> Introduction {
    Introduction {
        facts: Facts {
            guid: says.guid,
            primary_address: says.primary_address.to_string(),
            secondary_address: says.secondary_address.as_ref().map(ToString::to_string),
            ports: Ports { peer: says.peer_port, transfer: says.transfer_port },
            public_key: Hash::of(says.public_key.as_der()),
            tls_fingerprint: Hash(*says.certificate.as_bytes()),
            program: ProgramFacts {
                version: says.version.clone(),
                platform: says.platform.clone(),
                // A newcomer runs the authority's own version, or is refused for it.
                supported: Level::SUPPORTED,
            },
        },
        secret: says.secret.hash(),
        expires_at: says.expires_at,
        license_key: says.license.public_key.to_vec(),
    }
}

/// A change of a server, as a JSON merge patch: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditServer {
    /// A new name.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// A new address to try first, `host:port`.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub primary_address: Option<String>,
    /// A new address to try next, `host:port`; null takes it away.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub secondary_address: Option<Option<String>>,
}

impl EditServer {
    /// What it asks for.
    pub fn command(self, server: ServerId) -> Result<Command, FieldError> {
        // To the ledger, an empty address is none; whoever writes one here has forgotten it.
        if self.secondary_address.as_ref().is_some_and(|given| given.as_deref() == Some("")) {
            return Err(FieldError::new("/secondary_address", "must look like host:port, or be null"));
        }
        let change = Change {
            name: self.name,
            primary_address: self.primary_address,
            secondary_address: self.secondary_address.map(Option::unwrap_or_default),
        };
        Ok(Command::Server(server::Command::Edit { server, change }))
    }
}

/// How long a server is to be worked upon: either until a point in time, or for a span.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintainServer {
    /// Until when, RFC 3339.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub until: Option<String>,
    /// For how many seconds from now: 1 to 2,592,000, which is 30 days.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub for_seconds: Option<u64>,
    /// Why: at most 4,096 characters; by default nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl MaintainServer {
    /// What it asks for.
    pub fn command(self, server: ServerId) -> Result<Command, FieldError> {
        let lasting = match (self.until, self.for_seconds) {
            (Some(until), None) => Lasting::Until(timestamp("/until", &until)?),
            (None, Some(seconds)) if (1..=MAINTENANCE_SECONDS_MAX).contains(&seconds) => Lasting::For(seconds * 1_000),
            (None, Some(_)) => {
                return Err(FieldError::new("/for_seconds", format!("must be from 1 to {MAINTENANCE_SECONDS_MAX} seconds")));
            }
            (None, None) => return Err(FieldError::new("/until", "must be given, or else for_seconds")),
            (Some(_), Some(_)) => return Err(FieldError::new("/for_seconds", "goes without until")),
        };
        Ok(Command::Server(server::Command::Maintain { server, lasting, reason: self.reason }))
    }
}

/// That a server gives its archives away.
pub fn drain(server: ServerId) -> Command {
    Command::Server(server::Command::Drain { server })
}

/// That a server keeps archives again.
pub fn activate(server: ServerId) -> Command {
    Command::Server(server::Command::Activate { server })
}

/// The removal of a server.
pub fn remove(server: ServerId) -> Command {
    Command::Server(server::Command::Remove { server })
}
