//! Problems: what an answer says when it cannot say yes (RFC 9457).

use std::fmt;

use bursar_domain::{Class, Cursor, Excerpt, Rejection};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::objects::ObjectRef;

/// Why a request was not carried out. Sent as `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Identifies the kind of problem: `urn:bursar:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This problem in a sentence.
    pub detail: String,
    /// The stable code that programs go by.
    pub code: String,
    /// The object that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectRef>,
    /// What is wrong with which part of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// What stands in the way: at most 100 objects, by kind and number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blockers: Vec<Blocker>,
    /// How many more objects stand in the way; `hint` tells where to list them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlisted_blockers: Option<u64>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What became of the change that was asked for, if one was. Every problem that passes tells it: those of the statuses 429,
    /// 503 and 504; and every one that refuses to repeat what was done before. Where it is not told nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fate: Option<Fate>,
    /// After how many seconds the same request may fare better. The `Retry-After` header says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// The cursor of the state that the refusal rests on; where the refusal tells the object's own, that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

/// What became of a change whose outcome is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It was certainly not made.
    NotDone,
    /// It may have been made, or still be. The same request under the same `Idempotency-Key` tells, and is carried out once; but
    /// for a hand-over of the leadership, which a repetition does again: of that only who leads tells.
    Unknown,
    /// It was made, when the request came first. What was told then cannot be told again.
    Done,
}

/// What is wrong with one part of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Which part: a JSON pointer into the body (RFC 6901), or the name of a query parameter behind a `?`.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

/// One of the objects that stand in the way of a removal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Blocker {
    /// Its kind.
    pub kind: String,
    /// Its number.
    pub id: u64,
    /// How people know it.
    pub name: String,
}

/// The codes of the problems that arise in front of the ledger. Those of the ledger are [`Rejection::code`].
pub mod code {
    /// The body or the query is not what the operation takes. Status 400.
    pub const MALFORMED: &str = "malformed_request";
    /// The body is larger than the operation takes. Status 413.
    pub const TOO_LARGE: &str = "too_large";
    /// The body has another media type than `application/json`. Status 415.
    pub const UNSUPPORTED_MEDIA_TYPE: &str = "unsupported_media_type";
    /// A field has the right shape and a wrong value. Status 422; the ledger uses the same code.
    pub const INVALID_FIELD: &str = "invalid_field";
    /// No credential, or none that is known. Status 401.
    pub const UNAUTHENTICATED: &str = "unauthenticated";
    /// No such path, or no such object. Status 404; the ledger uses the same code.
    pub const NOT_FOUND: &str = "not_found";
    /// The path does not know the method. Status 405.
    pub const METHOD_NOT_ALLOWED: &str = "method_not_allowed";
    /// A cursor, page token or entity tag of another epoch: the cluster was restored meanwhile. Status 409.
    pub const FOREIGN_EPOCH: &str = "foreign_epoch";
    /// A cursor beyond the end of the history. Status 409.
    pub const CURSOR_BEYOND_END: &str = "cursor_beyond_end";
    /// A repetition of a request whose answer showed a secret, which is shown once. Status 409.
    pub const ALREADY_ISSUED: &str = "already_issued";
    /// History below the floor. Status 410.
    pub const GONE: &str = "gone";
    /// The leadership could not be handed over. Status 409.
    pub const TRANSFER_FAILED: &str = "transfer_failed";
    /// Too much at once. Status 429 or 503, with `Retry-After`.
    pub const OVERLOADED: &str = "overloaded";
    /// Too few members answer: nothing can be decided or read for certain. Status 503.
    pub const NO_QUORUM: &str = "no_quorum";
    /// The members are choosing a leader. Status 503.
    pub const NO_LEADER: &str = "no_leader";
    /// This node does not reach the leader; another may. Status 503.
    pub const LEADER_UNREACHABLE: &str = "leader_unreachable";
    /// This node and the leader run versions that do not understand each other; another node may fare better. Status 503.
    pub const VERSION_MISMATCH: &str = "version_mismatch";
    /// This node lacks what the leader has committed, and did not catch up in time. Status 503.
    pub const RECOVERING: &str = "recovering";
    /// This node has not yet seen the revision that was asked for. Status 503.
    pub const BEHIND: &str = "behind";
    /// It was not learnt in time whether the request was carried out; repeating it under its key is safe. Status 504.
    pub const OUTCOME_UNKNOWN: &str = "outcome_unknown";
    /// A text that is no connection string, or not all of one. Status 400.
    pub const CONNECTION_STRING_INVALID: &str = "connection_string_invalid";
    /// A connection string from the future: a clock is wrong. Status 409.
    pub const CONNECTION_STRING_PREMATURE: &str = "connection_string_premature";
    /// A connection string by which a server was added already. Status 409.
    pub const CONNECTION_STRING_USED: &str = "connection_string_used";
    /// The storage server has issued another connection string since. Status 409.
    pub const CONNECTION_STRING_VOIDED: &str = "connection_string_voided";
    /// Somebody else answers at the addresses of the connection string. Status 409.
    pub const ANOTHER_IDENTITY: &str = "another_identity";
    /// The storage server does not answer. Status 503.
    pub const SERVER_UNREACHABLE: &str = "server_unreachable";
    /// This node is going down. Status 503.
    pub const STOPPING: &str = "stopping";
    /// A defect. Status 500; the ledger uses the same code.
    pub const INTERNAL: &str = "internal_error";
}

impl Problem {
    /// A problem with its `detail`, a sentence for people.
    pub fn new(status: u16, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:bursar:problem:{code}"),
            title: title.into(),
            status,
            detail: detail.into(),
            code: code.into(),
            object: None,
            errors: Vec::new(),
            blockers: Vec::new(),
            unlisted_blockers: None,
            hint: None,
            fate: None,
            retry_after_seconds: None,
            revision: None,
        }
    }

    /// The refusal of the ledger, decided on a state at `cursor`.
    pub fn of(rejection: &Rejection, cursor: Cursor) -> Self {
        let (status, title) = match rejection.class() {
            Class::Invalid => (422, "The request is not valid"),
            Class::Unauthenticated => (401, "The credential does not stand"),
            Class::Forbidden => (403, "Not permitted"),
            Class::NotFound => (404, "No such object"),
            Class::Conflict => (409, "Conflict with the current state"),
            Class::PreconditionFailed => (412, "The object has changed"),
            Class::Internal => (500, "A defect of the program"),
        };
        let revision = match rejection {
            Rejection::RevisionMismatch { actual, .. } => *actual,
            _ => cursor,
        };
        let errors = match rejection {
            Rejection::InvalidField { field, fault } => vec![FieldError::new(pointer_to(field), fault.to_string())],
            _ => Vec::new(),
        };
        let blockers = rejection.blockers().map(Excerpt::listed).unwrap_or_default().iter().map(Blocker::from);
        let unlisted_blockers = rejection.blockers().map(Excerpt::unlisted).filter(|unlisted| *unlisted > 0);
        let object = rejection.object().map(ObjectRef::from);
        let hint = match (unlisted_blockers, &object) {
            (Some(_), Some(object)) => format!("{} {}", rejection.remedy(), where_to_list_users(object)),
            _ => rejection.remedy().into(),
        };
        Self {
            object,
            errors,
            blockers: blockers.collect(),
            unlisted_blockers,
            hint: Some(hint),
            revision: Some(revision.to_string()),
            ..Self::new(status, rejection.code(), title, sentence(&rejection.to_string()))
        }
    }

    /// The same with what to do next.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same with what became of the change that was asked for.
    #[must_use]
    pub fn with_fate(self, fate: Fate) -> Self {
        Self { fate: Some(fate), ..self }
    }

    /// The same with a time to wait, in seconds.
    #[must_use]
    pub fn with_retry_after(self, seconds: u64) -> Self {
        Self { retry_after_seconds: Some(seconds), ..self }
    }
}

/// A field with a wrong value, found in front of the ledger: it reads like the ledger's own refusal.
impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        let detail = sentence(&error.to_string());
        let mut problem = Self::new(422, code::INVALID_FIELD, "The request is not valid", detail)
            .with_hint("Correct the field and send the request again.");
        problem.errors.push(error);
        problem
    }
}

impl From<&bursar_domain::Blocker> for Blocker {
    fn from(blocker: &bursar_domain::Blocker) -> Self {
        Self { kind: blocker.object.kind().into(), id: blocker.object.number(), name: blocker.name.clone() }
    }
}

impl FieldError {
    /// What is wrong with the part that `pointer` names.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

impl std::error::Error for FieldError {}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pointer.trim_start_matches(['/', '?']), self.detail)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.code)
    }
}

/// The JSON pointer to a field that the domain names by its own path. They differ where the wire writes a minute as `HH:MM`, says
/// the unit of a quota, or calls alerts by their numbers.
fn pointer_to(field: &str) -> String {
    match field {
        "quota" => "/quota_bytes".into(),
        "alerts" => "/ids".into(),
        _ => format!("/{}", field.trim_end_matches("_minute")),
    }
}

/// Where everything is listed that uses an object. What has many users is a filter of their lists, by its kind.
fn where_to_list_users(object: &ObjectRef) -> String {
    let ObjectRef { kind, id } = object;
    format!("The lists of the kinds that `blockers` names have all of it, with ?filter={kind}={id}.")
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), characters.as_str()),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use bursar_domain::{DestinationId, Epoch, FieldFault, Revision, SiteId};
    use serde_json::json;

    use super::*;

    const CURSOR: Cursor = Cursor { epoch: Epoch(1), revision: Revision(42) };

    fn in_use(names: impl IntoIterator<Item = String>) -> Rejection {
        let blocker = |(number, name)| bursar_domain::Blocker { object: DestinationId(number).into(), name };
        Rejection::InUse { object: SiteId(7).into(), blockers: (1..).zip(names).map(blocker).collect() }
    }

    #[test]
    fn of_very_many_blockers_the_first_are_listed_and_the_others_counted() {
        let problem = Problem::of(&in_use((1..=100_000).map(|number| format!("vault {number}"))), CURSOR);
        assert_eq!(problem.blockers.len(), 100);
        assert_eq!(problem.unlisted_blockers, Some(99_900));
        assert!(problem.detail.ends_with("destination 10 “vault 10” and 99990 more."), "{}", problem.detail);
        assert!(problem.hint.is_some_and(|hint| hint.ends_with("with ?filter=site=7.")));
    }

    #[test]
    fn a_refusal_lists_the_blockers() {
        let problem = Problem::of(&in_use(["east"].map(String::from)), CURSOR);
        let expected = json!({
            "type": "urn:bursar:problem:in_use",
            "title": "Conflict with the current state",
            "status": 409,
            "detail": "Site 7 is in use by destination 1 “east”.",
            "code": "in_use",
            "object": { "kind": "site", "id": 7 },
            "blockers": [{ "kind": "destination", "id": 1, "name": "east" }],
            "hint": "Move or remove everything that uses it, then remove it again.",
            "revision": "1-42",
        });
        assert_eq!(serde_json::to_value(&problem).unwrap(), expected);
        assert_eq!(serde_json::from_value::<Problem>(expected).unwrap(), problem);
    }

    #[test]
    fn a_wrong_field_is_pointed_at_by_the_name_that_the_wire_gives_it() {
        let fault = FieldFault::OutOfRange { min: 0, max: 1439 };
        let rejection = Rejection::InvalidField { field: "balancing/window/from_minute".into(), fault };
        let problem = Problem::of(&rejection, CURSOR);
        assert_eq!(problem.errors, [FieldError::new("/balancing/window/from", "must be from 0 to 1439")]);
        assert_eq!(problem.status, 422);
    }
}
