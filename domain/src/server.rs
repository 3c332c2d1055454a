//! A storage server: a machine of a destination that keeps archives on its store points.
//!
//! What is wanted of it (the intent) stands apart from how it is (the condition). A removed server leaves its row as a
//! tombstone: neither its number nor its identity is ever accepted again. Where dead hardware is replaced, another identity
//! takes the server's place, under its number, and the former identity is as dead as a removed one.
//!
//! A machine that was never taken in because its connection string no longer stood is another matter: it is not spent. It leaves
//! no row behind, or the row of whoever it was to replace as that was, and comes again by its newest string.

mod rules;
mod words;

use std::mem;

use serde::{Deserialize, Serialize};

use crate::{
    encoding::{Encoded, Kind},
    hash::Hash,
    ids::{DestinationId, OperationId, ServerGuid, ServerId},
    level::Level,
    projection::{Peer, Projection},
    rejection::Blocker,
    state::{Stamp, State, given},
    store_point,
    table::Row,
    text::{Address, Name, Text},
    time::Timestamp,
};

pub(crate) use rules::{cancel_join, decide, online};

/// A storage server, or a former one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Its number.
    pub id: ServerId,
    /// Unique among the servers that are not removed.
    pub name: Name,
    /// The destination that it is part of, for as long as it is.
    pub destination: DestinationId,
    /// Who it is, and how it runs.
    pub facts: CheckedFacts,
    /// The identities that had its place before, the oldest first.
    pub former: Vec<ServerGuid>,
    /// The hash of the one-time secret of the connection string by which it came.
    pub secret: Hash,
    /// The machine whose place it is to take, for as long as it is being taken in.
    pub predecessor: Option<Box<Predecessor>>,
    /// What is wanted of it.
    pub intent: Intent,
    /// How it is.
    pub condition: Condition,
    /// Whether it holds the state that it should.
    pub projection: ProjectionState,
    /// When and by whom it was added.
    pub created: Stamp,
    /// When and by whom it was last changed.
    pub changed: Stamp,
}

/// A machine whose place another one is to take. Where that one never comes, it has its place again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predecessor {
    /// See [`Server::facts`].
    pub facts: CheckedFacts,
    /// See [`Server::secret`].
    pub secret: Hash,
}

/// How long a server is to be worked upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Lasting {
    /// Up to a point in time.
    Until(Timestamp),
    /// For a span from when it is decided, in milliseconds. Whoever asks for it may have a clock that is behind.
    For(u64),
}

/// What is wanted of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Intent {
    /// To keep archives.
    Active,
    /// To be worked upon: that it does not answer is expected until then.
    Maintenance {
        /// Until when.
        until: Timestamp,
        /// Why.
        reason: Text,
    },
    /// To give its archives away.
    Draining,
    /// To be gone.
    Removed,
}

/// How a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// It is being taken in.
    Joining {
        /// The operation that carries it.
        operation: OperationId,
    },
    /// It answers.
    Online,
    /// It does not answer.
    Offline,
    /// Nothing that it says is accepted: it never joined, or was removed.
    Excluded,
}

/// Whether a server holds the state that it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectionState {
    /// As far as is known.
    Matching,
    /// It found another digest than the authority's.
    Mismatched,
}

/// Where a server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addresses {
    /// The address that is tried first.
    pub primary: Address,
    /// The address that is tried next.
    pub secondary: Option<Address>,
    /// The ports beside the one that both addresses name, which is the control port's.
    pub ports: Ports,
}

/// On which ports of its hosts a server listens, beside its control port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    /// Customarily 4283.
    pub peer: u16,
    /// For archives, customarily 4286.
    pub transfer: u16,
}

/// The program that a server runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Its version.
    pub version: Name,
    /// What it was built for, for instance `linux-x86_64`.
    pub platform: Name,
    /// The highest level that it can carry out.
    pub supported: Level,
}

/// Who a server is and how it runs, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The identity of its data directory.
    pub guid: ServerGuid,
    /// The address that is tried first.
    pub primary_address: String,
    /// The address that is tried next.
    pub secondary_address: Option<String>,
    /// See [`Addresses::ports`].
    pub ports: Ports,
    /// The hash of its public key.
    pub public_key: Hash,
    /// The hash of the TLS certificate under which it waits to be taken in.
    pub tls_fingerprint: Hash,
    /// The program that it runs.
    pub program: ProgramFacts,
}

/// The program that a server runs, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramFacts {
    /// See [`Program::version`].
    pub version: String,
    /// See [`Program::platform`].
    pub platform: String,
    /// See [`Program::supported`].
    pub supported: Level,
}

/// Who a server is and how it runs, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckedFacts {
    /// See [`Facts::guid`].
    pub guid: ServerGuid,
    /// Where it is reached.
    pub addresses: Addresses,
    /// See [`Facts::public_key`].
    pub public_key: Hash,
    /// See [`Facts::tls_fingerprint`].
    pub tls_fingerprint: Hash,
    /// See [`Facts::program`].
    pub program: Program,
}

/// What a connection string says, its signature and its proof of the license key verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Introduction {
    /// Who introduces itself.
    pub facts: Facts,
    /// The hash of the string's one-time secret.
    pub secret: Hash,
    /// When the string stops being accepted.
    pub expires_at: Timestamp,
    /// The public key with which the proof of the master license key was verified.
    #[serde(with = "serde_bytes")]
    pub license_key: Vec<u8>,
}

/// Why a server could not be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinFailure {
    /// Nobody answered at its addresses.
    Unreachable,
    /// Somebody else answered there.
    AnotherIdentity,
    /// It has issued another connection string since: that one stands.
    Superseded,
    /// It answered when the time of its connection string was over.
    Expired,
}

impl Encoded for Server {
    const KIND: Kind = Kind::Server;
}

impl Row for Server {
    type Id = ServerId;
    type Key = ServerGuid;
    fn id(&self) -> ServerId {
        self.id
    }
    fn key(&self) -> Option<ServerGuid> {
        Some(self.facts.guid)
    }
}

impl Server {
    /// Whether it is part of the fleet, or is to become so.
    pub fn is_present(&self) -> bool {
        self.intent != Intent::Removed
    }

    /// Whether an identity has, or once had, its place.
    pub fn was_ever(&self, guid: ServerGuid) -> bool {
        self.facts.guid == guid || self.former.contains(&guid)
    }

    /// Whether an identity is that of the machine whose place another one is to take: it has its place again where that one never comes.
    pub fn gives_way(&self, guid: ServerGuid) -> bool {
        self.predecessor.as_ref().is_some_and(|predecessor| predecessor.facts.guid == guid)
    }

    /// Whether it is being taken in to replace another machine.
    pub fn replaces(&self) -> bool {
        self.predecessor.is_some()
    }

    /// The highest level that it can carry out, and so can the machine that may have the place again.
    pub fn supported(&self) -> Level {
        let own = self.facts.program.supported;
        self.predecessor.as_ref().map_or(own, |predecessor| own.min(predecessor.facts.program.supported))
    }

    /// It as something that stands in the way.
    pub(crate) fn as_blocker(&self) -> Blocker {
        Blocker { object: self.id.into(), name: self.name.to_string() }
    }

    /// What the other servers of its destination know of it.
    pub fn as_peer(&self) -> Peer {
        Peer { name: self.name.clone(), addresses: self.facts.addresses.clone(), guid: self.facts.guid }
    }
}

/// What can be asked of servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(clippy::large_enum_variant, reason = "a command lives in one place at a time, and is never kept in numbers")]
pub enum Command {
    /// Take a machine in.
    Add {
        /// The destination that it becomes part of.
        destination: DestinationId,
        /// Its name, unchecked.
        name: String,
        /// What its connection string says.
        introduction: Introduction,
    },
    /// Give the place of a dead machine to another one.
    Replace {
        /// Whose place.
        server: ServerId,
        /// What the newcomer's connection string says.
        introduction: Introduction,
    },
    /// Change what is given.
    Edit {
        /// Which.
        server: ServerId,
        /// What to change.
        change: Change,
    },
    /// Work upon it for a while.
    Maintain {
        /// Which.
        server: ServerId,
        /// How long.
        lasting: Lasting,
        /// Why, unchecked.
        reason: String,
    },
    /// The duty found that the time of its maintenance is over.
    EndMaintenance {
        /// Which.
        server: ServerId,
    },
    /// Have it give its archives away.
    Drain {
        /// Which.
        server: ServerId,
    },
    /// Have it keep archives again.
    Activate {
        /// Which.
        server: ServerId,
    },
    /// Remove one that has no store points.
    Remove {
        /// Which.
        server: ServerId,
    },
    /// The duty has taken it in.
    JoinSucceeded {
        /// Which.
        server: ServerId,
    },
    /// The duty cannot take it in.
    JoinFailed {
        /// Which.
        server: ServerId,
        /// Why.
        failure: JoinFailure,
    },
    /// The duty found that it no longer answers.
    WentOffline {
        /// Which.
        server: ServerId,
    },
    /// The duty found that it answers again.
    CameOnline {
        /// Which.
        server: ServerId,
    },
    /// It says what it runs now.
    Announce {
        /// Which.
        server: ServerId,
        /// The program.
        program: ProgramFacts,
    },
    /// It says whether it holds the state that it should.
    ReportProjection {
        /// Which.
        server: ServerId,
        /// Whether it does.
        projection: ProjectionState,
    },
}

/// New values, unchecked; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// See [`Server::name`].
    pub name: Option<String>,
    /// See [`Addresses::primary`].
    pub primary_address: Option<String>,
    /// See [`Addresses::secondary`]; an empty one takes it away.
    pub secondary_address: Option<String>,
}

/// What can have happened to servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(clippy::large_enum_variant, reason = "events are handled one at a time")]
pub enum Event {
    /// It was added, to be taken in.
    Added {
        /// Which.
        server: ServerId,
        /// The destination that it becomes part of.
        destination: DestinationId,
        /// Its name.
        name: Name,
        /// Who it is, and how it runs.
        facts: CheckedFacts,
        /// See [`Server::secret`].
        secret: Hash,
        /// The operation that carries it.
        operation: OperationId,
    },
    /// Another identity got its place, to be taken in.
    Replaced {
        /// Which.
        server: ServerId,
        /// Who has its place now.
        facts: CheckedFacts,
        /// See [`Server::secret`].
        secret: Hash,
        /// The operation that carries it.
        operation: OperationId,
    },
    /// For the other servers of its destination: this is how they know it.
    Introduced {
        /// Which.
        server: ServerId,
        /// Its destination.
        destination: DestinationId,
        /// What they know of it.
        peer: Peer,
    },
    /// For the server itself, which enters its audience here: all that it is to know so far.
    Welcomed {
        /// Which.
        server: ServerId,
        /// What it is to know.
        projection: Projection,
    },
    /// It was taken in.
    Joined {
        /// Which.
        server: ServerId,
    },
    /// It could not be taken in. Where its machine is free to come again, whoever it was to replace has the place again.
    JoinFailed {
        /// Which.
        server: ServerId,
        /// Why.
        failure: JoinFailure,
    },
    /// It no longer answers, and nothing is known of its store points.
    WentOffline {
        /// Which.
        server: ServerId,
    },
    /// It answers again.
    CameOnline {
        /// Which.
        server: ServerId,
    },
    /// It said what it runs now.
    Announced {
        /// Which.
        server: ServerId,
        /// The program.
        program: Program,
    },
    /// It said whether it holds the state that it should.
    ProjectionReported {
        /// Which.
        server: ServerId,
        /// Whether it does.
        projection: ProjectionState,
    },
    /// Its name or its addresses were changed.
    Edited {
        /// Which.
        server: ServerId,
        /// Its destination.
        destination: DestinationId,
        /// The new name.
        name: Option<Name>,
        /// The new addresses, both of them.
        addresses: Option<Addresses>,
    },
    /// Something else is wanted of it.
    Intended {
        /// Which.
        server: ServerId,
        /// What.
        intent: Intent,
    },
    /// It was removed.
    Removed {
        /// Which.
        server: ServerId,
        /// Its destination.
        destination: DestinationId,
    },
    /// It was never taken in, and its machine is free to come again: nothing is left of it.
    Withdrawn {
        /// Which.
        server: ServerId,
        /// The destination that it was to be part of.
        destination: DestinationId,
    },
}

/// Carries an event into the state.
pub(crate) fn evolve(state: &mut State, event: &Event, stamp: Stamp) {
    let server = event.server();
    match event {
        Event::Added { destination, name, facts, secret, operation, .. } => {
            given(&mut state.header.next.server, server.0);
            state.servers.put(Server {
                id: server,
                name: name.clone(),
                destination: *destination,
                facts: facts.clone(),
                former: Vec::new(),
                secret: *secret,
                predecessor: None,
                intent: Intent::Active,
                condition: Condition::Joining { operation: *operation },
                projection: ProjectionState::Matching,
                created: stamp,
                changed: stamp,
            });
        }
        Event::Replaced { facts, secret, operation, .. } => change(state, server, stamp, |row| {
            row.former.push(row.facts.guid);
            row.predecessor = Some(Box::new(Predecessor {
                facts: mem::replace(&mut row.facts, facts.clone()),
                secret: mem::replace(&mut row.secret, *secret),
            }));
            row.condition = Condition::Joining { operation: *operation };
            row.projection = ProjectionState::Matching;
        }),
        // They tell others, or the server itself, what the state knows already.
        Event::Introduced { .. } | Event::Welcomed { .. } => {}
        Event::JoinFailed { failure, .. } => change(state, server, stamp, |row| {
            if let Some(predecessor) = row.predecessor.take_if(|_| failure.leaves_the_machine_free()) {
                let Predecessor { facts, secret } = *predecessor;
                (row.facts, row.secret) = (facts, secret);
                row.former.pop();
            }
        }),
        Event::Joined { .. } | Event::CameOnline { .. } => change(state, server, stamp, |row| {
            row.predecessor = None;
            row.condition = Condition::Online;
        }),
        Event::WentOffline { .. } => {
            change(state, server, stamp, |row| {
                row.predecessor = None;
                row.condition = Condition::Offline;
            });
            store_point::lose_sight(state, server, stamp);
        }
        Event::Announced { program, .. } => change(state, server, stamp, |row| row.facts.program = program.clone()),
        Event::ProjectionReported { projection, .. } => change(state, server, stamp, |row| row.projection = *projection),
        Event::Edited { name, addresses, .. } => change(state, server, stamp, |row| {
            if let Some(name) = name {
                row.name = name.clone();
            }
            if let Some(addresses) = addresses {
                row.facts.addresses = addresses.clone();
            }
        }),
        Event::Intended { intent, .. } => change(state, server, stamp, |row| row.intent = intent.clone()),
        Event::Removed { .. } => change(state, server, stamp, |row| {
            row.predecessor = None;
            row.intent = Intent::Removed;
            row.condition = Condition::Excluded;
        }),
        Event::Withdrawn { .. } => state.servers.remove(server),
    }
}

fn change(state: &mut State, server: ServerId, stamp: Stamp, change: impl FnOnce(&mut Server)) {
    state.servers.change(server, |row| {
        change(row);
        row.changed = stamp;
    });
}
