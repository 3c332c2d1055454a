//! The state: what the fold of the journal says now.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    actor::Actor,
    alert::{self, Alert},
    authority_node::{self, AuthorityNode},
    cluster::{self, Cluster},
    cursor::{Cursor, Epoch, Revision},
    destination::{self, Destination},
    digest::Digest,
    encoding::{Encoded, Kind, encode},
    event::Event,
    hash::Hash,
    ids::ObjectRef,
    join_token::{self, JoinToken},
    level::Level,
    operation::{self, Operation},
    record::Record,
    requests::Requests,
    server::{self, Server},
    site::{self, Site},
    store_point::{self, StorePoint},
    table::Table,
    time::Timestamp,
    token::{self, Token},
};

/// When, by whom and at which revision something happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stamp {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Actor,
    /// At which revision.
    pub revision: Revision,
}

/// The scalar part of the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Counts the restores.
    pub epoch: Epoch,
    /// What the members have agreed to be able to do.
    pub level: Level,
    /// The last record's revision.
    pub revision: Revision,
    /// The last record's hash.
    pub head: Hash,
    /// The last record's time.
    pub time: Timestamp,
    /// The oldest revision at which the journal may begin is the one behind this.
    pub floor: Revision,
    /// The ids to give next.
    pub next: Counters,
}

impl Encoded for Header {
    const KIND: Kind = Kind::Header;
}

impl Default for Header {
    fn default() -> Self {
        Self {
            epoch: Epoch::FIRST,
            level: Level::FIRST,
            revision: Revision::ZERO,
            head: Hash::ZERO,
            time: Timestamp::default(),
            floor: Revision::ZERO,
            next: Counters::default(),
        }
    }
}

/// The id that the next object of each kind gets. An id is never given twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counters {
    /// Of the authority nodes.
    pub authority_node: u64,
    /// Of the join tokens.
    pub join_token: u64,
    /// Of the sites.
    pub site: u64,
    /// Of the destinations.
    pub destination: u64,
    /// Of the operations.
    pub operation: u64,
    /// Of the tokens.
    pub token: u64,
    /// Of the servers.
    pub server: u64,
    /// Of the store points.
    pub store_point: u64,
    /// Of the alerts.
    pub alert: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            authority_node: 1,
            join_token: 1,
            site: 1,
            destination: 1,
            operation: 1,
            token: 1,
            server: 1,
            store_point: 1,
            alert: 1,
        }
    }
}

/// Everything that the ledger knows. Persistent: a clone is a version that costs nothing to keep, so readers, planners, dry
/// runs and snapshots each hold one while the next records are folded in.
#[derive(Clone, Default)]
pub struct State {
    pub(crate) header: Header,
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) authority_nodes: Table<AuthorityNode>,
    pub(crate) join_tokens: Table<JoinToken>,
    pub(crate) sites: Table<Site>,
    pub(crate) destinations: Table<Destination>,
    pub(crate) servers: Table<Server>,
    pub(crate) store_points: Table<StorePoint>,
    pub(crate) alerts: Table<Alert>,
    pub(crate) operations: Table<Operation>,
    pub(crate) tokens: Table<Token>,
    pub(crate) requests: Requests,
}

impl State {
    /// Counts the restores.
    pub const fn epoch(&self) -> Epoch {
        self.header.epoch
    }
    /// What the members have agreed to be able to do.
    pub const fn level(&self) -> Level {
        self.header.level
    }
    /// The last record's revision.
    pub const fn revision(&self) -> Revision {
        self.header.revision
    }
    /// The last record's place, as readers quote it.
    pub const fn cursor(&self) -> Cursor {
        Cursor { epoch: self.header.epoch, revision: self.header.revision }
    }
    /// The last record's hash.
    pub const fn head(&self) -> Hash {
        self.header.head
    }
    /// The last record's time.
    pub const fn time(&self) -> Timestamp {
        self.header.time
    }
    /// The journal is kept behind this revision.
    pub const fn floor(&self) -> Revision {
        self.header.floor
    }
    /// The ids to give next.
    pub const fn next(&self) -> &Counters {
        &self.header.next
    }
    /// The cluster, once it is founded.
    pub const fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.as_ref()
    }
    /// The members of the authority, former ones included.
    pub const fn authority_nodes(&self) -> &Table<AuthorityNode> {
        &self.authority_nodes
    }
    /// The invitations of authority nodes.
    pub const fn join_tokens(&self) -> &Table<JoinToken> {
        &self.join_tokens
    }
    /// The sites.
    pub const fn sites(&self) -> &Table<Site> {
        &self.sites
    }
    /// The destinations.
    pub const fn destinations(&self) -> &Table<Destination> {
        &self.destinations
    }
    /// The storage servers, former ones included.
    pub const fn servers(&self) -> &Table<Server> {
        &self.servers
    }
    /// The store points, retired ones included.
    pub const fn store_points(&self) -> &Table<StorePoint> {
        &self.store_points
    }
    /// The alerts, those that are over included.
    pub const fn alerts(&self) -> &Table<Alert> {
        &self.alerts
    }
    /// The operations.
    pub const fn operations(&self) -> &Table<Operation> {
        &self.operations
    }
    /// The administrators' tokens.
    pub const fn tokens(&self) -> &Table<Token> {
        &self.tokens
    }
    /// Forgets the remembered requests.
    #[cfg(feature = "mutants")]
    pub fn forget_requests(&mut self) {
        self.requests.forget();
    }

    /// The remembered requests.
    pub const fn requests(&self) -> &Requests {
        &self.requests
    }

    /// The revision at which an object last changed; none where it does not exist.
    pub fn changed_at(&self, object: ObjectRef) -> Option<Revision> {
        let changed = match object {
            ObjectRef::Cluster => self.cluster.as_ref().map(|cluster| cluster.changed),
            ObjectRef::AuthorityNode(id) => self.authority_nodes.get(id).map(|node| node.changed),
            ObjectRef::JoinToken(id) => self.join_tokens.get(id).map(|token| token.changed),
            ObjectRef::Site(id) => self.sites.get(id).map(|site| site.changed),
            ObjectRef::Destination(id) => self.destinations.get(id).map(|destination| destination.changed),
            ObjectRef::Server(id) => self.servers.get(id).map(|server| server.changed),
            ObjectRef::StorePoint(id) => self.store_points.get(id).map(|store_point| store_point.changed),
            ObjectRef::Alert(id) => self.alerts.get(id).map(|alert| alert.changed),
            ObjectRef::Operation(id) => self.operations.get(id).map(|operation| operation.changed),
            ObjectRef::Token(id) => self.tokens.get(id).map(|token| token.changed),
        };
        changed.map(|stamp| stamp.revision)
    }

    /// The digest of everything: equal on all replicas at the same revision.
    pub fn digest(&self) -> Digest {
        let mut digest = self.digest_of_scalars();
        for part in [
            self.authority_nodes.digest(),
            self.join_tokens.digest(),
            self.sites.digest(),
            self.destinations.digest(),
            self.servers.digest(),
            self.store_points.digest(),
            self.alerts.digest(),
            self.operations.digest(),
            self.tokens.digest(),
            self.requests.digest(),
        ] {
            digest = digest.plus(part);
        }
        digest
    }

    pub(crate) fn digest_of_scalars(&self) -> Digest {
        let mut digest = Digest::EMPTY;
        digest.add(Hash::of(&encode(&self.header)));
        if let Some(cluster) = &self.cluster {
            digest.add(Hash::of(&encode(&**cluster)));
        }
        digest
    }

    /// Takes a record: its event, its end of a decision, its place in the chain.
    pub(crate) fn take(&mut self, record: &Record, hash: Hash) {
        self.carry(&record.event, Stamp { at: record.time, by: record.actor, revision: record.revision });
        self.requests.close(record);
        self.header.revision = record.revision;
        self.header.head = hash;
        self.header.time = record.time;
    }

    /// Carries an event into the nouns.
    pub(crate) fn carry(&mut self, event: &Event, stamp: Stamp) {
        match event {
            Event::Cluster(event) => cluster::evolve(self, event, stamp),
            Event::AuthorityNode(event) => authority_node::evolve(self, event, stamp),
            Event::JoinToken(event) => join_token::evolve(self, event, stamp),
            Event::Site(event) => site::evolve(self, event, stamp),
            Event::Destination(event) => destination::evolve(self, event, stamp),
            Event::Server(event) => server::evolve(self, event, stamp),
            Event::StorePoint(event) => store_point::evolve(self, event, stamp),
            Event::Alert(event) => alert::evolve(self, event, stamp),
            Event::Operation(event) => operation::evolve(self, event, stamp),
            Event::Token(event) => token::evolve(self, event, stamp),
        }
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("header", &self.header).field("digest", &self.digest()).finish_non_exhaustive()
    }
}

/// Moves a counter behind an id that was given.
pub(crate) fn given(counter: &mut u64, id: u64) {
    *counter = (*counter).max(id + 1);
}
