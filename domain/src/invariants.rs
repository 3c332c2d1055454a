//! What must hold of every state. Checked by tests, by the simulator after every step, and by `bursar doctor`.

use std::{collections::BTreeMap, fmt::Debug};

use crate::{
    alert::{Alert, Kind as AlertKind, Standing, standing},
    authority_node::Intent,
    digest::Digest,
    ids::ObjectRef,
    level::Level,
    operation::{Status, Task},
    server,
    state::State,
    store_point,
    table::{Row, Table},
};

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The digest that was carried along differs from the one computed anew.
    #[error("the digest is {carried}, recomputed it is {recomputed}")]
    Digest {
        /// As carried along.
        carried: Digest,
        /// As computed anew.
        recomputed: Digest,
    },
    /// The index of a table's unique keys does not match its rows.
    #[error("the index of the {table} does not match its rows")]
    Index {
        /// Which table.
        table: &'static str,
    },
    /// An id was given that its counter still holds for later.
    #[error("{object} exists, but the next id of its kind is {next}")]
    Counter {
        /// The object.
        object: ObjectRef,
        /// What the counter says.
        next: u64,
    },
    /// An object names another one that does not exist.
    #[error("{from} names {to}, which does not exist")]
    Dangling {
        /// Who names.
        from: ObjectRef,
        /// Whom.
        to: ObjectRef,
    },
    /// A node or server and the operation that carries it disagree.
    #[error("{node} and {operation} disagree about what is under way")]
    Operation {
        /// The node or server.
        node: ObjectRef,
        /// The operation.
        operation: ObjectRef,
    },
    /// A node cannot carry out what the cluster has agreed on.
    #[error("{node} supports up to {supported}, the cluster is at {agreed}")]
    Level {
        /// The node.
        node: ObjectRef,
        /// What it supports.
        supported: Level,
        /// What was agreed on.
        agreed: Level,
    },
    /// Two servers have one name or one identity.
    #[error("{one} and {other} have a name or an identity in common")]
    Ambiguous {
        /// The one.
        one: ObjectRef,
        /// The other.
        other: ObjectRef,
    },
    /// What is wanted of an object, or what its server is, does not go with how it is.
    #[error("{object} cannot be as it is said to be")]
    Condition {
        /// The object.
        object: ObjectRef,
    },
    /// An alert fires that should not, should and does not, for another reason, or is covered by something else than it should.
    #[error("the {} alert of {subject} does not tell how things are", kind.code())]
    Alert {
        /// What sort of alert.
        kind: AlertKind,
        /// Its subject.
        subject: ObjectRef,
    },
    /// There is a cluster, but nobody votes.
    #[error("no authority node votes")]
    NoVoter,
}

/// Everything that does not hold; empty in a sound state. Takes time in proportion to the state's size.
pub fn violations(state: &State) -> Vec<Violation> {
    let mut found = Vec::new();
    recompute(state, &mut found);
    counters(state, &mut found);
    references(state, &mut found);
    operations(state, &mut found);
    members(state, &mut found);
    servers(state, &mut found);
    store_points(state, &mut found);
    alerts(state, &mut found);
    found
}

fn recompute(state: &State, found: &mut Vec<Violation>) {
    fn part<R: Row<Key: PartialEq + Debug, Id: PartialEq>>(
        name: &'static str,
        table: &Table<R>,
        found: &mut Vec<Violation>,
    ) -> Digest {
        let (digest, index) = table.recomputed();
        if !table.index_holds(&index) {
            found.push(Violation::Index { table: name });
        }
        digest
    }
    let recomputed = [
        part("authority nodes", state.authority_nodes(), found),
        part("join tokens", state.join_tokens(), found),
        part("sites", state.sites(), found),
        part("destinations", state.destinations(), found),
        part("servers", state.servers(), found),
        part("store points", state.store_points(), found),
        part("alerts", state.alerts(), found),
        part("operations", state.operations(), found),
        part("tokens", state.tokens(), found),
        part("requests under a key", state.requests().given(), found),
        part("requests under a minted id", state.requests().minted(), found),
    ]
    .into_iter()
    .fold(state.digest_of_scalars(), Digest::plus);
    if !state.requests().indexes_hold() {
        found.push(Violation::Index { table: "requests by actor" });
    }
    if recomputed != state.digest() {
        found.push(Violation::Digest { carried: state.digest(), recomputed });
    }
}

fn counters(state: &State, found: &mut Vec<Violation>) {
    let next = state.next();
    let last: [(Option<ObjectRef>, u64); 9] = [
        (state.authority_nodes().iter().next_back().map(|row| row.id.into()), next.authority_node),
        (state.join_tokens().iter().next_back().map(|row| row.id.into()), next.join_token),
        (state.sites().iter().next_back().map(|row| row.id.into()), next.site),
        (state.destinations().iter().next_back().map(|row| row.id.into()), next.destination),
        (state.operations().iter().next_back().map(|row| row.id.into()), next.operation),
        (state.servers().iter().next_back().map(|row| row.id.into()), next.server),
        (state.store_points().iter().next_back().map(|row| row.id.into()), next.store_point),
        (state.alerts().iter().next_back().map(|row| row.id.into()), next.alert),
        (state.tokens().iter().next_back().map(|row| row.id.into()), next.token),
    ];
    for (object, next) in last {
        if let Some(object) = object.filter(|object| object.number() >= next) {
            found.push(Violation::Counter { object, next });
        }
    }
}

fn references(state: &State, found: &mut Vec<Violation>) {
    let mut dangling = |from: ObjectRef, to: ObjectRef| {
        if state.changed_at(to).is_none() {
            found.push(Violation::Dangling { from, to });
        }
    };
    for destination in state.destinations().iter() {
        dangling(destination.id.into(), destination.site.into());
    }
    for node in state.authority_nodes().iter().filter(|node| node.intent.is_present()) {
        if let Some(site) = node.site {
            dangling(node.id.into(), site.into());
        }
    }
    for server in state.servers().iter().filter(|server| server.is_present()) {
        dangling(server.id.into(), server.destination.into());
    }
    for store_point in state.store_points().iter() {
        dangling(store_point.id.into(), store_point.server.into());
    }
    for alert in state.alerts().iter() {
        if let Some(by) = alert.inhibited_by {
            dangling(alert.id.into(), by);
        }
    }
    for token in state.join_tokens().iter() {
        if let Some(node) = token.used_by {
            dangling(token.id.into(), node.into());
        }
    }
}

/// A node joins or leaves, and a server joins, exactly while an operation for it runs.
fn operations(state: &State, found: &mut Vec<Violation>) {
    let intent = |node| state.authority_nodes().get(node).map(|node| node.intent);
    let condition = |server| state.servers().get(server).map(|server| server.condition);
    for operation in state.operations().iter().filter(|operation| operation.status == Status::Running) {
        let id = operation.id;
        let (node, carries) = match operation.task {
            Task::AddAuthorityNode { node } => (node.into(), intent(node) == Some(Intent::Joining { operation: id })),
            Task::RemoveAuthorityNode { node } => (node.into(), intent(node) == Some(Intent::Leaving { operation: id })),
            Task::JoinServer { server } => {
                (server.into(), condition(server) == Some(server::Condition::Joining { operation: id }))
            }
        };
        if !carries {
            found.push(Violation::Operation { node, operation: id.into() });
        }
    }
    let carried =
        |id, task| state.operations().get(id).is_some_and(|known| known.status == Status::Running && known.task == task);
    for server in state.servers().iter() {
        if let server::Condition::Joining { operation } = server.condition
            && !carried(operation, Task::JoinServer { server: server.id })
        {
            found.push(Violation::Operation { node: server.id.into(), operation: operation.into() });
        }
    }
    for node in state.authority_nodes().iter() {
        let (operation, task) = match node.intent {
            Intent::Joining { operation } => (operation, Task::AddAuthorityNode { node: node.id }),
            Intent::Leaving { operation } => (operation, Task::RemoveAuthorityNode { node: node.id }),
            Intent::Voting | Intent::Removed => continue,
        };
        if !carried(operation, task) {
            found.push(Violation::Operation { node: node.id.into(), operation: operation.into() });
        }
    }
}

/// Somebody votes, and every member can carry out what was agreed on.
fn members(state: &State, found: &mut Vec<Violation>) {
    let present = || state.authority_nodes().iter().filter(|node| node.intent.is_present());
    if state.cluster().is_some() && !present().any(|node| node.intent == Intent::Voting) {
        found.push(Violation::NoVoter);
    }
    let agreed = state.level();
    found.extend(present().filter(|node| node.supported < agreed).map(|node| Violation::Level {
        node: node.id.into(),
        supported: node.supported,
        agreed,
    }));
}

/// No two servers are mistaken for each other; what was removed is excluded, and nothing else is; one that takes another's place
/// is being taken in; each can carry out what was agreed on.
fn servers(state: &State, found: &mut Vec<Violation>) {
    let mut names = BTreeMap::new();
    let mut identities = BTreeMap::new();
    for server in state.servers().iter() {
        let name = server.is_present().then(|| names.insert(server.name.folded(), server.id)).flatten();
        let identity =
            server.former.iter().copied().chain([server.facts.guid]).find_map(|guid| identities.insert(guid, server.id));
        if let Some(other) = name.or(identity) {
            found.push(Violation::Ambiguous { one: server.id.into(), other: other.into() });
        }
        let joins = matches!(server.condition, server::Condition::Joining { .. });
        if server.is_present() == (server.condition == server::Condition::Excluded) || (server.replaces() && !joins) {
            found.push(Violation::Condition { object: server.id.into() });
        }
        let supported = server.supported();
        if server.is_present() && supported < state.level() {
            found.push(Violation::Level { node: server.id.into(), supported, agreed: state.level() });
        }
    }
}

/// A store point is on a server of the fleet, in the directory that is named for both; of one whose server does not answer,
/// nothing is known.
fn store_points(state: &State, found: &mut Vec<Violation>) {
    for store_point in state.store_points().iter() {
        let server = state.servers().get(store_point.server);
        let seen = matches!(store_point.condition, store_point::Condition::Online | store_point::Condition::Offline(_));
        let sound = match server {
            None => false,
            Some(_) if !store_point.is_present() => true,
            Some(server) => server.is_present() && (!seen || server.condition == server::Condition::Online),
        };
        if !sound || store_point.directory != store_point::directory_name(store_point.server, store_point.id) {
            found.push(Violation::Condition { object: store_point.id.into() });
        }
    }
}

/// Alerts fire where they should, and nowhere else.
fn alerts(state: &State, found: &mut Vec<Violation>) {
    let servers = || state.servers().iter().map(|row| ObjectRef::from(row.id));
    let store_points = state.store_points().iter().map(|row| ObjectRef::from(row.id));
    let destinations = state.destinations().iter().map(|row| ObjectRef::from(row.id));
    let subjects = store_points.map(|subject| (AlertKind::StorePointOffline, subject));
    let subjects = subjects.chain(destinations.map(|subject| (AlertKind::DestinationOffline, subject)));
    let subjects = subjects.chain(servers().map(|subject| (AlertKind::ServerOffline, subject)));
    let subjects = subjects.chain(servers().map(|subject| (AlertKind::VersionConflict, subject)));
    let subjects = subjects.chain(servers().map(|subject| (AlertKind::ProjectionMismatch, subject)));
    // One whose subject is gone is over, too.
    let subjects = subjects.chain(state.alerts().iter().map(|alert| (alert.kind, alert.subject)));
    for (kind, subject) in subjects {
        let firing = state.alerts().find(&(kind, subject)).filter(|alert| alert.is_firing());
        if !tells(standing(state, kind, subject), firing.map(|alert| &**alert)) {
            found.push(Violation::Alert { kind, subject });
        }
    }
}

fn tells(standing: Standing, firing: Option<&Alert>) -> bool {
    match (standing, firing) {
        (Standing::Unsettled, _) | (Standing::Quiet, None) => true,
        (Standing::Fires { reason, extent, inhibited_by }, Some(alert)) => {
            let told = alert.reason == reason && alert.inhibited_by == inhibited_by;
            told && (inhibited_by.is_some() || alert.extent >= extent)
        }
        (Standing::Quiet, Some(_)) | (Standing::Fires { .. }, None) => false,
    }
}
