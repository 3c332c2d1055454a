//! What all nouns have in common: who they are, who made them, and what became of a request.

use std::fmt;

use bursar_domain::{self as domain, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{FieldError, times::rfc3339};

/// An object of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct ObjectRef {
    /// Its kind: `cluster`, `site`, `destination`, `server`, `store_point`, `alert`, `authority_node`, `operation`, `token` or
    /// `join_token`.
    pub kind: String,
    /// Its number within its kind; the cluster's is 0.
    pub id: u64,
}

impl From<domain::ObjectRef> for ObjectRef {
    fn from(object: domain::ObjectRef) -> Self {
        Self { kind: object.kind().into(), id: object.number() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind.as_str() {
            "cluster" => f.write_str("the cluster"),
            kind => write!(f, "{} {}", kind.replace('_', " "), self.id),
        }
    }
}

/// An object of the ledger, as people know it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct NamedObject {
    /// Its kind, as in every reference to an object.
    pub kind: String,
    /// Its number within its kind.
    pub id: u64,
    /// Its name as it is now; null where it has none, or is gone.
    pub name: Option<String>,
}

impl NamedObject {
    /// An object of `state`.
    pub fn of(state: &State, object: domain::ObjectRef) -> Self {
        Self { kind: object.kind().into(), id: object.number(), name: name_of(state, object) }
    }
}

impl fmt::Display for NamedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ObjectRef { kind: self.kind.clone(), id: self.id }.fmt(f)?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, " “{name}”"))
    }
}

/// What people call an object: its name, or where it is reached.
fn name_of(state: &State, object: domain::ObjectRef) -> Option<String> {
    match object {
        domain::ObjectRef::Site(id) => state.sites().get(id).map(|row| row.name.to_string()),
        domain::ObjectRef::Destination(id) => state.destinations().get(id).map(|row| row.name.to_string()),
        domain::ObjectRef::Server(id) => state.servers().get(id).map(|row| row.name.to_string()),
        domain::ObjectRef::StorePoint(id) => state.store_points().get(id).map(|row| row.name.to_string()),
        domain::ObjectRef::Token(id) => state.tokens().get(id).map(|row| row.name.to_string()),
        domain::ObjectRef::AuthorityNode(id) => state.authority_nodes().get(id).map(|row| row.peer_address.to_string()),
        domain::ObjectRef::Alert(id) => state.alerts().get(id).map(|row| row.text.clone()),
        domain::ObjectRef::Cluster | domain::ObjectRef::Operation(_) | domain::ObjectRef::JoinToken(_) => None,
    }
}

/// Who asked for a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Actor {
    /// `founder`, `token`, `joiner`, `authority_node`, `server` or `duty`.
    pub kind: String,
    /// The number of the token, of the authority node or of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The name of the duty; of the others as it is now, where an object that they have changed tells of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Actor {
    /// Who changed an object of `state`.
    pub fn of(state: &State, actor: domain::Actor) -> Self {
        let object = match actor {
            domain::Actor::Token(token) => Some(token.into()),
            domain::Actor::AuthorityNode(node) => Some(node.into()),
            domain::Actor::Server(server) => Some(server.into()),
            domain::Actor::Founder | domain::Actor::Joiner | domain::Actor::Duty(_) => None,
        };
        let anonymous = Self::from(actor);
        Self { name: object.and_then(|object| name_of(state, object)).or(anonymous.name), ..anonymous }
    }
}

impl From<domain::Actor> for Actor {
    fn from(actor: domain::Actor) -> Self {
        let (kind, id, name) = match actor {
            domain::Actor::Founder => ("founder", None, None),
            domain::Actor::Token(token) => ("token", Some(token.0), None),
            domain::Actor::Joiner => ("joiner", None, None),
            domain::Actor::AuthorityNode(node) => ("authority_node", Some(node.0), None),
            domain::Actor::Server(server) => ("server", Some(server.0), None),
            domain::Actor::Duty(duty) => ("duty", None, Some(duty.to_string())),
        };
        Self { kind: kind.into(), id, name }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.replace('_', " ");
        match (&self.id, &self.name) {
            (Some(id), None) => write!(f, "{kind} {id}"),
            (Some(id), Some(name)) => write!(f, "{kind} {id} “{name}”"),
            (None, Some(name)) => write!(f, "{name} {kind}"),
            (None, None) => f.write_str(&kind),
        }
    }
}

/// When, by whom and at which point of the history something happened to an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stamp {
    /// When, RFC 3339 in UTC with milliseconds.
    pub at: String,
    /// By whom.
    pub by: Actor,
    /// The cursor of the event, `<epoch>-<revision>`.
    pub revision: String,
}

impl Stamp {
    /// A stamp of an object of `state`.
    pub fn of(state: &State, stamp: domain::Stamp) -> Self {
        Self { at: rfc3339(stamp.at), by: Actor::of(state, stamp.by), revision: cursor_at(state, stamp.revision) }
    }
}

/// The entity tag of an object that last changed with `changed`: the cursor of that event. In the `ETag` and `If-Match` headers it
/// stands in double quotes.
pub fn etag(state: &State, changed: domain::Stamp) -> String {
    cursor_at(state, changed.revision)
}

/// A revision of the state's epoch as a cursor.
pub fn cursor_at(state: &State, revision: domain::Revision) -> String {
    domain::Cursor { epoch: state.epoch(), revision }.to_string()
}

/// Reads a cursor. `pointer` names the field or parameter in the error.
pub fn parse_cursor(pointer: &str, text: &str) -> Result<domain::Cursor, FieldError> {
    text.parse().map_err(|error: domain::cursor::CursorError| FieldError::new(pointer, format!("is {error}")))
}

/// What became of a request that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// What was done.
    pub effect: Effect,
    /// To which object; for long work, the operation that carries it.
    pub object: ObjectRef,
}

/// What a request did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The object was made.
    Created,
    /// The object was changed.
    Changed,
    /// The object was already as asked for.
    Unchanged,
    /// The object was removed.
    Removed,
    /// An operation was started.
    Accepted,
}

impl From<domain::Reply> for Done {
    fn from(reply: domain::Reply) -> Self {
        let effect = match reply.effect {
            domain::Effect::Created => Effect::Created,
            domain::Effect::Changed => Effect::Changed,
            domain::Effect::Unchanged => Effect::Unchanged,
            domain::Effect::Removed => Effect::Removed,
            domain::Effect::Accepted => Effect::Accepted,
        };
        Self { effect, object: reply.object.into() }
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = match self.effect {
            Effect::Created => "created",
            Effect::Changed => "changed",
            Effect::Unchanged => "unchanged",
            Effect::Removed => "removed",
            Effect::Accepted => "accepted",
        };
        write!(f, "{effect} {}", self.object)
    }
}
