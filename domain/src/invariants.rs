//! What must hold of every state. Checked by tests, by the simulator after every step, and by `bursar doctor`.

use std::fmt::Debug;

use crate::{
    authority_node::Intent,
    digest::Digest,
    ids::ObjectRef,
    level::Level,
    operation::{Status, Task},
    state::State,
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
    /// A node's intent and the operation that carries it disagree.
    #[error("{node} and {operation} disagree about what is under way")]
    Operation {
        /// The node.
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
    let last: [(Option<ObjectRef>, u64); 6] = [
        (state.authority_nodes().iter().next_back().map(|row| row.id.into()), next.authority_node),
        (state.join_tokens().iter().next_back().map(|row| row.id.into()), next.join_token),
        (state.sites().iter().next_back().map(|row| row.id.into()), next.site),
        (state.destinations().iter().next_back().map(|row| row.id.into()), next.destination),
        (state.operations().iter().next_back().map(|row| row.id.into()), next.operation),
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
    for token in state.join_tokens().iter() {
        if let Some(node) = token.used_by {
            dangling(token.id.into(), node.into());
        }
    }
}

/// A node joins or leaves exactly while an operation for it runs.
fn operations(state: &State, found: &mut Vec<Violation>) {
    for operation in state.operations().iter().filter(|operation| operation.status == Status::Running) {
        let (Task::AddAuthorityNode { node } | Task::RemoveAuthorityNode { node }) = operation.task;
        let intent = state.authority_nodes().get(node).map(|node| node.intent);
        let wanted = match operation.task {
            Task::AddAuthorityNode { .. } => Intent::Joining { operation: operation.id },
            Task::RemoveAuthorityNode { .. } => Intent::Leaving { operation: operation.id },
        };
        if intent != Some(wanted) {
            found.push(Violation::Operation { node: node.into(), operation: operation.id.into() });
        }
    }
    for node in state.authority_nodes().iter() {
        let (operation, task) = match node.intent {
            Intent::Joining { operation } => (operation, Task::AddAuthorityNode { node: node.id }),
            Intent::Leaving { operation } => (operation, Task::RemoveAuthorityNode { node: node.id }),
            Intent::Voting | Intent::Removed => continue,
        };
        let carried =
            state.operations().get(operation).is_some_and(|known| known.status == Status::Running && known.task == task);
        if !carried {
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
