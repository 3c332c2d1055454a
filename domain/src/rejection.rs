//! Refusals, which are data: a stable code, the object, the reason and the remedy.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    actor::Actor,
    cursor::{Cursor, Revision},
    excerpt::Excerpt,
    ids::{AlertId, AuthorityNodeId, JoinTokenId, ObjectRef, OperationId, ServerGuid, ServerId, StoreId, StorePointId},
    level::Level,
    path::AbsolutePath,
    text::Name,
    time::Timestamp,
};

/// Why a proposal was refused. [`fmt::Display`] tells the reason in one line, [`Rejection::remedy`] what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rejection {
    /// A field of the command is not what it must be.
    InvalidField {
        /// The field's path within the request, for instance `balancing/allowed_variance_percent`.
        field: String,
        /// What is wrong with it.
        fault: FieldFault,
    },
    /// The name is in use by another object of the kind.
    NameTaken {
        /// The name, as given.
        name: String,
        /// Who has it.
        holder: ObjectRef,
    },
    /// No such object.
    NotFound {
        /// What was looked for.
        object: ObjectRef,
    },
    /// The object is still used by others.
    InUse {
        /// What was to be removed.
        object: ObjectRef,
        /// What uses it, by kind and then in the order of the ids.
        blockers: Excerpt<Blocker>,
    },
    /// The object changed since it was read (If-Match).
    RevisionMismatch {
        /// The object.
        object: ObjectRef,
        /// What the caller had read.
        expected: Cursor,
        /// What stands.
        actual: Cursor,
    },
    /// The same request key came with another request.
    RequestKeyReused {
        /// The revision at which the first request was carried out.
        revision: Revision,
    },
    /// What the duty planned on has changed meanwhile.
    PlanStale {
        /// The object that changed.
        object: ObjectRef,
        /// The revision that was planned on.
        planned_on: Revision,
    },
    /// The credential was revoked between the request's arrival and its turn.
    CredentialRevoked {
        /// Whose it was.
        actor: Actor,
    },
    /// The credential has expired.
    CredentialExpired {
        /// Whose it was.
        actor: Actor,
    },
    /// This actor may not do this.
    NotPermitted {
        /// Who asked.
        actor: Actor,
    },
    /// The cluster was founded before.
    AlreadyFounded,
    /// There is no cluster yet.
    NotFounded,
    /// The setup secret is wrong, or was used.
    SetupRefused,
    /// No join token has this secret.
    JoinTokenUnknown,
    /// The join token was used by another machine.
    JoinTokenUsed {
        /// The token.
        token: JoinTokenId,
        /// Who used it.
        by: AuthorityNodeId,
    },
    /// The join token's time is over.
    JoinTokenExpired {
        /// The token.
        token: JoinTokenId,
    },
    /// The data directory belongs, or belonged, to an authority node.
    StoreKnown {
        /// The directory's identity.
        store: StoreId,
        /// Whose it is.
        node: AuthorityNodeId,
    },
    /// The machine cannot carry out what the cluster has agreed on.
    LevelTooLow {
        /// The cluster's level.
        needed: Level,
        /// What the machine supports.
        supported: Level,
    },
    /// A level can be raised by one step only.
    LevelNotNext {
        /// What was asked for.
        asked: Level,
        /// Where the cluster stands.
        current: Level,
    },
    /// Some authority nodes or servers do not support the level.
    LevelUnsupported {
        /// What was asked for.
        asked: Level,
        /// Who cannot, by kind and then in the order of the ids.
        by: Excerpt<ObjectRef>,
    },
    /// The last authority node cannot be removed.
    LastAuthorityNode {
        /// The node.
        node: AuthorityNodeId,
    },
    /// The last token that never expires cannot be revoked: in the end nobody could sign in.
    LastCredential,
    /// The secret was issued before. It was shown then, and is never shown again.
    AlreadyIssued {
        /// The token that has it.
        object: ObjectRef,
    },
    /// The operation has ended.
    OperationEnded {
        /// The operation.
        operation: OperationId,
    },
    /// The operation is past the point where it can be cancelled.
    NotCancellable {
        /// The operation.
        operation: OperationId,
    },
    /// The connection string proves another master license key than the cluster's.
    LicenseForeign,
    /// The connection string was used before.
    ConnectionStringUsed {
        /// By whom.
        server: ServerId,
    },
    /// The connection string's time is over.
    ConnectionStringExpired,
    /// The identity belongs, or belonged, to a server.
    ServerKnown {
        /// The identity.
        guid: ServerGuid,
        /// Whose it is.
        server: ServerId,
    },
    /// The machine is being taken in, by a connection string that was given before.
    ServerJoining {
        /// As which server.
        server: ServerId,
        /// What takes it in.
        operation: OperationId,
    },
    /// The server runs another version than the authority.
    VersionDiffers {
        /// What the server runs.
        version: Name,
        /// A node that runs another one.
        node: AuthorityNodeId,
        /// What that node runs.
        node_version: Name,
    },
    /// The server does not answer, or has not joined yet.
    ServerNotOnline {
        /// The server.
        server: ServerId,
    },
    /// The server is not offline: nobody else can take its place.
    ServerNotOffline {
        /// The server.
        server: ServerId,
    },
    /// Somebody has taken note of the alert, and said something else of it.
    AlreadyAcknowledged {
        /// The alert.
        alert: AlertId,
        /// Who has.
        by: Actor,
        /// When.
        at: Timestamp,
    },
    /// A report that does not fit what is known of a store point.
    UnexpectedReport {
        /// The store point.
        store_point: StorePointId,
    },
    /// The consequences do not fit one decision.
    DecisionTooLarge {
        /// How many events it would have.
        events: u64,
        /// How many bytes they would take.
        bytes: u64,
    },
    /// A defect: deciding panicked. The draft was dropped; nothing changed.
    Internal,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FieldFault {
    /// Nothing there.
    Empty,
    /// More characters than allowed.
    TooLong {
        /// The most that are.
        characters_max: u32,
    },
    /// More entries than allowed.
    TooMany {
        /// The most that are.
        entries_max: u32,
    },
    /// A control character.
    ControlCharacter,
    /// Blanks at the start or the end.
    SurroundingBlank,
    /// Not `host:port`.
    NoAddress,
    /// A number outside its range.
    OutOfRange {
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
    },
    /// The critical threshold is not below the warning threshold.
    ThresholdsCrossed,
    /// A point in time that is over.
    InThePast,
    /// An object that does not exist.
    Unknown {
        /// What it names.
        object: ObjectRef,
    },
    /// Not an absolute path in its plain spelling.
    NoPath,
    /// A path at which there is nothing.
    PathMissing,
    /// A path at which there is something else than a directory.
    NotADirectory,
    /// A path that leads elsewhere.
    SymbolicLink {
        /// Where it leads.
        leads_to: AbsolutePath,
    },
    /// A path that another store point has.
    WithinStorePoint {
        /// Which.
        store_point: StorePointId,
    },
    /// A path at which something of another identity is.
    ForeignIdentity,
    /// A path that cannot be written to.
    NotWritable,
    /// A path on a disk that is full.
    NoSpace,
}

impl fmt::Display for FieldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("must not be empty"),
            Self::TooLong { characters_max } => write!(f, "must have at most {characters_max} characters"),
            Self::TooMany { entries_max } => write!(f, "must have at most {entries_max} entries"),
            Self::ControlCharacter => f.write_str("must not contain control characters"),
            Self::SurroundingBlank => f.write_str("must not start or end with a blank"),
            Self::NoAddress => f.write_str("must look like host:port"),
            Self::OutOfRange { min, max } => write!(f, "must be from {min} to {max}"),
            Self::ThresholdsCrossed => f.write_str("must be below the warning threshold"),
            Self::InThePast => f.write_str("must be in the future"),
            Self::Unknown { object } => write!(f, "names {object}, which does not exist"),
            Self::NoPath => f.write_str("must be an absolute path, without . or .. or a closing slash"),
            Self::PathMissing => f.write_str("does not exist on the server"),
            Self::NotADirectory => f.write_str("is no directory"),
            Self::SymbolicLink { leads_to } => write!(f, "leads by a symbolic link to {leads_to}, which is the path to give"),
            Self::WithinStorePoint { store_point } => write!(f, "belongs to {store_point}"),
            Self::ForeignIdentity => f.write_str("holds what belongs to an unknown store point"),
            Self::NotWritable => f.write_str("cannot be written to by the server"),
            Self::NoSpace => f.write_str("is on a disk without free space"),
        }
    }
}

/// One of the objects that stand in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blocker {
    /// The object.
    pub object: ObjectRef,
    /// How people know it.
    pub name: String,
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} “{}”", self.object, self.name)
    }
}

/// What sort of refusal it is: how a caller should treat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The request itself is wrong.
    Invalid,
    /// The credential does not stand.
    Unauthenticated,
    /// The actor may not.
    Forbidden,
    /// The object does not exist.
    NotFound,
    /// The request does not fit what is.
    Conflict,
    /// The caller's reading is out of date.
    PreconditionFailed,
    /// A defect of the program.
    Internal,
}

impl Rejection {
    /// The stable codes of all refusals.
    pub const CODES: &'static [&'static str] = &[
        "invalid_field",
        "name_taken",
        "not_found",
        "in_use",
        "revision_mismatch",
        "request_key_reused",
        "plan_stale",
        "credential_revoked",
        "credential_expired",
        "not_permitted",
        "already_acknowledged",
        "already_founded",
        "not_founded",
        "setup_refused",
        "join_token_unknown",
        "join_token_used",
        "join_token_expired",
        "store_known",
        "level_too_low",
        "level_not_next",
        "level_unsupported",
        "last_authority_node",
        "last_credential",
        "already_issued",
        "operation_ended",
        "not_cancellable",
        "license_foreign",
        "connection_string_used",
        "connection_string_expired",
        "server_known",
        "server_joining",
        "version_differs",
        "server_not_online",
        "server_not_offline",
        "unexpected_report",
        "decision_too_large",
        "internal_error",
    ];

    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidField { .. } => "invalid_field",
            Self::NameTaken { .. } => "name_taken",
            Self::NotFound { .. } => "not_found",
            Self::InUse { .. } => "in_use",
            Self::RevisionMismatch { .. } => "revision_mismatch",
            Self::RequestKeyReused { .. } => "request_key_reused",
            Self::PlanStale { .. } => "plan_stale",
            Self::CredentialRevoked { .. } => "credential_revoked",
            Self::CredentialExpired { .. } => "credential_expired",
            Self::NotPermitted { .. } => "not_permitted",
            Self::AlreadyFounded => "already_founded",
            Self::NotFounded => "not_founded",
            Self::SetupRefused => "setup_refused",
            Self::JoinTokenUnknown => "join_token_unknown",
            Self::JoinTokenUsed { .. } => "join_token_used",
            Self::JoinTokenExpired { .. } => "join_token_expired",
            Self::StoreKnown { .. } => "store_known",
            Self::LevelTooLow { .. } => "level_too_low",
            Self::LevelNotNext { .. } => "level_not_next",
            Self::LevelUnsupported { .. } => "level_unsupported",
            Self::LastAuthorityNode { .. } => "last_authority_node",
            Self::LastCredential => "last_credential",
            Self::AlreadyIssued { .. } => "already_issued",
            Self::OperationEnded { .. } => "operation_ended",
            Self::NotCancellable { .. } => "not_cancellable",
            Self::LicenseForeign => "license_foreign",
            Self::ConnectionStringUsed { .. } => "connection_string_used",
            Self::ConnectionStringExpired => "connection_string_expired",
            Self::ServerKnown { .. } => "server_known",
            Self::ServerJoining { .. } => "server_joining",
            Self::VersionDiffers { .. } => "version_differs",
            Self::ServerNotOnline { .. } => "server_not_online",
            Self::ServerNotOffline { .. } => "server_not_offline",
            Self::AlreadyAcknowledged { .. } => "already_acknowledged",
            Self::UnexpectedReport { .. } => "unexpected_report",
            Self::DecisionTooLarge { .. } => "decision_too_large",
            Self::Internal => "internal_error",
        }
    }

    /// What sort of refusal it is.
    pub const fn class(&self) -> Class {
        match self {
            Self::InvalidField { .. } | Self::DecisionTooLarge { .. } => Class::Invalid,
            Self::CredentialRevoked { .. } | Self::CredentialExpired { .. } | Self::SetupRefused => Class::Unauthenticated,
            Self::NotPermitted { .. } | Self::JoinTokenUnknown | Self::JoinTokenUsed { .. } | Self::JoinTokenExpired { .. } => {
                Class::Forbidden
            }
            Self::NotFound { .. } => Class::NotFound,
            Self::RevisionMismatch { .. } => Class::PreconditionFailed,
            Self::NameTaken { .. }
            | Self::InUse { .. }
            | Self::RequestKeyReused { .. }
            | Self::PlanStale { .. }
            | Self::AlreadyFounded
            | Self::NotFounded
            | Self::StoreKnown { .. }
            | Self::LevelTooLow { .. }
            | Self::LevelNotNext { .. }
            | Self::LevelUnsupported { .. }
            | Self::LastAuthorityNode { .. }
            | Self::LastCredential
            | Self::AlreadyIssued { .. }
            | Self::OperationEnded { .. }
            | Self::NotCancellable { .. }
            | Self::LicenseForeign
            | Self::ConnectionStringUsed { .. }
            | Self::ConnectionStringExpired
            | Self::ServerKnown { .. }
            | Self::ServerJoining { .. }
            | Self::VersionDiffers { .. }
            | Self::ServerNotOnline { .. }
            | Self::ServerNotOffline { .. }
            | Self::AlreadyAcknowledged { .. }
            | Self::UnexpectedReport { .. } => Class::Conflict,
            Self::Internal => Class::Internal,
        }
    }

    /// The object that the refusal is about, where there is one.
    pub fn object(&self) -> Option<ObjectRef> {
        match self {
            Self::NameTaken { holder, .. } => Some(*holder),
            Self::NotFound { object }
            | Self::InUse { object, .. }
            | Self::AlreadyIssued { object }
            | Self::RevisionMismatch { object, .. }
            | Self::PlanStale { object, .. } => Some(*object),
            Self::CredentialRevoked { actor: Actor::Token(token) } | Self::CredentialExpired { actor: Actor::Token(token) } => {
                Some((*token).into())
            }
            Self::JoinTokenUsed { token, .. } | Self::JoinTokenExpired { token } => Some((*token).into()),
            Self::StoreKnown { node, .. } | Self::LastAuthorityNode { node } => Some((*node).into()),
            Self::OperationEnded { operation } | Self::NotCancellable { operation } => Some((*operation).into()),
            Self::ConnectionStringUsed { server }
            | Self::ServerKnown { server, .. }
            | Self::ServerJoining { server, .. }
            | Self::ServerNotOnline { server }
            | Self::ServerNotOffline { server } => Some((*server).into()),
            Self::VersionDiffers { node, .. } => Some((*node).into()),
            Self::AlreadyAcknowledged { alert, .. } => Some((*alert).into()),
            Self::UnexpectedReport { store_point } => Some((*store_point).into()),
            Self::AlreadyFounded | Self::LevelNotNext { .. } | Self::LevelUnsupported { .. } => Some(ObjectRef::Cluster),
            Self::InvalidField { .. }
            | Self::RequestKeyReused { .. }
            | Self::CredentialRevoked { .. }
            | Self::CredentialExpired { .. }
            | Self::NotPermitted { .. }
            | Self::NotFounded
            | Self::SetupRefused
            | Self::JoinTokenUnknown
            | Self::LevelTooLow { .. }
            | Self::LastCredential
            | Self::LicenseForeign
            | Self::ConnectionStringExpired
            | Self::DecisionTooLarge { .. }
            | Self::Internal => None,
        }
    }

    /// What stands in the way of a removal.
    pub const fn blockers(&self) -> Option<&Excerpt<Blocker>> {
        match self {
            Self::InUse { blockers, .. } => Some(blockers),
            _ => None,
        }
    }

    /// What to do next.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::InvalidField { .. } => "Correct the field and send the request again.",
            Self::NameTaken { .. } => "Choose another name, or rename the object that has it.",
            Self::NotFound { .. } => "List the objects of this kind; it may have been removed.",
            Self::InUse { .. } => "Move or remove everything that uses it, then remove it again.",
            Self::RevisionMismatch { .. } => "Read the object again, decide anew, and send its new ETag.",
            Self::RequestKeyReused { .. } => "Use a new Idempotency-Key for a new request.",
            Self::PlanStale { .. } => "Plan again on the current state.",
            Self::CredentialRevoked { .. } | Self::CredentialExpired { .. } => "Sign in with a valid token.",
            Self::NotPermitted { .. } => "Ask an administrator.",
            Self::AlreadyFounded => "Join further nodes with a join token, or use an empty data directory.",
            Self::NotFounded => "Found the cluster with `bursar authority init`.",
            Self::SetupRefused => {
                "Use the setup secret that `bursar authority init` wrote; once used, issue tokens with an administrator's."
            }
            Self::JoinTokenUnknown | Self::JoinTokenUsed { .. } | Self::JoinTokenExpired { .. } => {
                "Issue a new join token with `bursar cluster invite`."
            }
            Self::StoreKnown { .. } => "Start with an empty data directory: it gets an identity of its own.",
            Self::LevelTooLow { .. } => "Install the release that the authority nodes run.",
            Self::LevelNotNext { .. } => "Raise the level one step at a time.",
            Self::LevelUnsupported { .. } => "Upgrade the authority nodes and servers that are listed, then raise the level.",
            Self::LastAuthorityNode { .. } => "Add another authority node first.",
            Self::LastCredential => "Issue a token that never expires first.",
            Self::AlreadyIssued { .. } => "Issue another one, and revoke this one if its secret was lost.",
            Self::OperationEnded { .. } => "Nothing is left to do: look at the operation's outcome.",
            Self::NotCancellable { .. } => "Let it end, then undo what it did.",
            Self::LicenseForeign => "Initialise the server with the cluster's master license key.",
            Self::ConnectionStringUsed { .. } => "Look at the server that it added; to add another machine, use its own string.",
            Self::ConnectionStringExpired => "Issue another one with `bursar storage-server connection-string` on the server.",
            Self::ServerKnown { .. } => "Initialise the machine with an empty data directory: it gets an identity of its own.",
            Self::ServerJoining { .. } => {
                "Wait for the operation: where the machine has issued another string since, it ends as soon as the machine answers. \
                 Then use the newest string."
            }
            Self::VersionDiffers { .. } => {
                "Let the authority's nodes and the server run one version, then issue another connection string."
            }
            Self::ServerNotOnline { .. } => "Bring the server online first.",
            Self::ServerNotOffline { .. } => "Stop the former machine first, and wait until the server is offline.",
            Self::AlreadyAcknowledged { .. } => {
                "What was said of it stays: repeat the request without this alert, or without a note."
            }
            Self::UnexpectedReport { .. } => "Remove the store point and create another one.",
            Self::DecisionTooLarge { .. } => "Split the request into smaller ones.",
            Self::Internal => "Report this with a support bundle: nothing was changed.",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidField { field, fault } => write!(f, "{field} {fault}"),
            Self::NameTaken { name, holder } => write!(f, "the name “{name}” is taken by {holder}"),
            Self::NotFound { object } => write!(f, "{object} does not exist"),
            Self::InUse { object, blockers } => write!(f, "{object} is in use by {blockers}"),
            Self::RevisionMismatch { object, expected, actual } => {
                write!(f, "{object} has changed: expected {expected}, it is at {actual}")
            }
            Self::RequestKeyReused { revision } => {
                write!(f, "this request key was used for another request, carried out at revision {revision}")
            }
            Self::PlanStale { object, planned_on } => write!(f, "{object} has changed since revision {planned_on}"),
            Self::CredentialRevoked { actor } => write!(f, "the credential of {actor} was revoked"),
            Self::CredentialExpired { actor } => write!(f, "the credential of {actor} has expired"),
            Self::NotPermitted { actor } => write!(f, "{actor} may not do this"),
            Self::AlreadyFounded => f.write_str("the cluster was founded before"),
            Self::NotFounded => f.write_str("there is no cluster yet"),
            Self::SetupRefused => f.write_str("the setup secret is wrong or was used before"),
            Self::JoinTokenUnknown => f.write_str("no join token has this secret"),
            Self::JoinTokenUsed { token, by } => write!(f, "{token} was used by {by}"),
            Self::JoinTokenExpired { token } => write!(f, "{token} has expired"),
            Self::StoreKnown { store, node } => write!(f, "the data directory {store} belongs to {node}"),
            Self::LevelTooLow { needed, supported } => {
                write!(f, "the cluster is at {needed}, the machine supports up to {supported}")
            }
            Self::LevelNotNext { asked, current } => write!(f, "{asked} does not follow {current}"),
            Self::LevelUnsupported { asked, by } => write!(f, "{asked} is not supported by {by}"),
            Self::LastAuthorityNode { node } => write!(f, "{node} is the last one"),
            Self::LastCredential => f.write_str("no token would be left that never expires"),
            Self::AlreadyIssued { object } => write!(f, "this secret was issued before, as {object}"),
            Self::OperationEnded { operation } => write!(f, "{operation} has ended"),
            Self::NotCancellable { operation } => write!(f, "{operation} can no longer be cancelled"),
            Self::LicenseForeign => f.write_str("the connection string proves another master license key than the cluster's"),
            Self::ConnectionStringUsed { server } => write!(f, "the connection string was used for {server}"),
            Self::ConnectionStringExpired => f.write_str("the connection string has expired"),
            Self::ServerKnown { guid, server } => write!(f, "the identity {guid} belongs, or belonged, to {server}"),
            Self::ServerJoining { server, operation } => write!(f, "the machine is being taken in as {server} by {operation}"),
            Self::VersionDiffers { version, node, node_version } => {
                write!(f, "the server runs version {version}, {node} runs {node_version}")
            }
            Self::ServerNotOnline { server } => write!(f, "{server} is not online"),
            Self::ServerNotOffline { server } => write!(f, "{server} is not offline"),
            Self::AlreadyAcknowledged { alert, by, at } => {
                write!(f, "{alert} was acknowledged at {at} by {by}, with another note")
            }
            Self::UnexpectedReport { store_point } => write!(f, "the report does not fit what is known of {store_point}"),
            Self::DecisionTooLarge { events, bytes } => {
                write!(f, "its consequences are too many: {events} events, {bytes} bytes")
            }
            Self::Internal => f.write_str("deciding failed because of a defect"),
        }
    }
}
