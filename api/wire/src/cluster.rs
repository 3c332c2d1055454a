//! The cluster: its members, the invitations of new ones, its leader and its level.

use bursar_domain::{
    AuthorityNodeId, Command, Hash, JoinTokenId, Level, SiteId, State, Timestamp,
    authority_node::{self, AuthorityNode, Intent},
    cluster, join_token,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    FieldError, Secret,
    objects::{Stamp, etag},
    times::rfc3339,
};

/// How long an invitation holds where nothing else is asked for, in seconds: a day.
pub const INVITATION_SECONDS: u64 = 86_400;
/// The shortest time that an invitation can hold, in seconds: a minute.
pub const INVITATION_SECONDS_MIN: u64 = 60;
/// The longest time that an invitation can hold, in seconds: thirty days.
pub const INVITATION_SECONDS_MAX: u64 = 30 * 86_400;

/// An authority node: a member of the cluster, or a former one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// Its number.
    pub id: u64,
    /// The identity of its data directory, 32 hexadecimal digits.
    pub store: String,
    /// The number of its site, if that was said.
    pub site: Option<u64>,
    /// Where the other nodes reach it, `host:port`.
    pub peer_address: String,
    /// Where people reach its API, `host:port`.
    pub api_address: String,
    /// Where storage servers reach it, `host:port`.
    pub control_address: String,
    /// The version of its program.
    pub version: String,
    /// The highest level that its program can carry out.
    pub supported_level: u16,
    /// What is wanted of it.
    pub intent: MemberIntent,
    /// The number of the operation that carries its joining or leaving.
    pub operation: Option<u64>,
    /// What it is to the others, as the answering node sees it; null where it takes no part yet, or no more.
    pub role: Option<MemberRole>,
    /// When and by whom it was admitted.
    pub created: Stamp,
    /// When and by whom it was last changed.
    pub changed: Stamp,
    /// Its entity tag, to be sent as `If-Match: "<etag>"` with a change that rests on this reading.
    pub etag: String,
}

/// What is wanted of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberIntent {
    /// To become a voter.
    Joining,
    /// To vote.
    Voting,
    /// To leave.
    Leaving,
    /// It has left; its number and its data directory are never accepted again.
    Removed,
}

/// What a member is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// It leads.
    Leader,
    /// It votes.
    Voter,
    /// It receives the log and does not vote.
    Learner,
}

impl Member {
    /// A member of `state`, in the role that the answering node sees.
    pub fn of(state: &State, node: &AuthorityNode, role: Option<MemberRole>) -> Self {
        let (intent, operation) = intent(node.intent);
        Self {
            id: node.id.0,
            store: node.store.to_string(),
            site: node.site.map(|site| site.0),
            peer_address: node.peer_address.to_string(),
            api_address: node.api_address.to_string(),
            control_address: node.control_address.to_string(),
            version: node.version.to_string(),
            supported_level: node.supported.0,
            intent,
            operation,
            role,
            created: Stamp::of(state, node.created),
            changed: Stamp::of(state, node.changed),
            etag: etag(state, node.changed),
        }
    }
}

/// What is wanted of a node, and the number of the operation that carries it.
pub(crate) const fn intent(intent: Intent) -> (MemberIntent, Option<u64>) {
    match intent {
        Intent::Joining { operation } => (MemberIntent::Joining, Some(operation.0)),
        Intent::Voting => (MemberIntent::Voting, None),
        Intent::Leaving { operation } => (MemberIntent::Leaving, Some(operation.0)),
        Intent::Removed => (MemberIntent::Removed, None),
    }
}

impl MemberIntent {
    /// The intent as it stands in the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Voting => "voting",
            Self::Leaving => "leaving",
            Self::Removed => "removed",
        }
    }
}

impl MemberRole {
    /// The role as it stands in the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Voter => "voter",
            Self::Learner => "learner",
        }
    }
}

/// A change of a member, as a JSON merge patch: what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EditMember {
    /// The number of the site where it is; null where that is not to be said.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub site: Option<Option<u64>>,
}

impl EditMember {
    /// What it asks for, given how the member stands.
    pub fn command(self, current: &AuthorityNode) -> Command {
        let site = self.site.map_or(current.site, |site| site.map(SiteId));
        Command::AuthorityNode(authority_node::Command::Edit { node: current.id, site })
    }
}

/// The removal of a member.
pub fn remove(node: AuthorityNodeId) -> Command {
    Command::AuthorityNode(authority_node::Command::Remove { node })
}

/// An invitation to be issued.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InviteMember {
    /// How long it holds, in seconds: 60 to 2,592,000 (thirty days), by default 86,400 (a day).
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub expires_in_seconds: Option<u64>,
}

impl InviteMember {
    /// What it asks for; `secret` is the hash of the secret that was made for it.
    pub fn command(self, secret: Hash, now: Timestamp) -> Result<Command, FieldError> {
        let seconds = self.expires_in_seconds.unwrap_or(INVITATION_SECONDS);
        if !(INVITATION_SECONDS_MIN..=INVITATION_SECONDS_MAX).contains(&seconds) {
            let range = format!("must be from {INVITATION_SECONDS_MIN} to {INVITATION_SECONDS_MAX} seconds");
            return Err(FieldError::new("/expires_in_seconds", range));
        }
        let expires_at = now.plus_ms(seconds * 1_000);
        Ok(Command::JoinToken(join_token::Command::Issue { secret, expires_at }))
    }
}

/// An invitation that was just issued: the only answer that ever shows its join token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssuedInvitation {
    /// Its number.
    pub id: u64,
    /// What the new machine presents, once. It is shown this once.
    pub join_token: Secret,
    /// When it stops being accepted, RFC 3339 in UTC.
    pub expires_at: String,
}

impl IssuedInvitation {
    /// An invitation of the state, with what the new machine presents.
    pub fn of(token: &join_token::JoinToken, join_token: Secret) -> Self {
        Self { id: token.id.0, join_token, expires_at: rfc3339(token.expires_at) }
    }
}

/// An invitation of an authority node, without its join token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Invitation {
    /// Its number.
    pub id: u64,
    /// When it stops being accepted, RFC 3339 in UTC.
    pub expires_at: String,
    /// The number of the authority node that used it.
    pub used_by: Option<u64>,
    /// When and by whom it was issued.
    pub created: Stamp,
    /// When and by whom it was last changed.
    pub changed: Stamp,
}

impl Invitation {
    /// An invitation of `state`.
    pub fn of(state: &State, token: &join_token::JoinToken) -> Self {
        Self {
            id: token.id.0,
            expires_at: rfc3339(token.expires_at),
            used_by: token.used_by.map(|node| node.0),
            created: Stamp::of(state, token.created),
            changed: Stamp::of(state, token.changed),
        }
    }
}

/// The end of an invitation that was not used.
pub fn revoke(token: JoinTokenId) -> Command {
    Command::JoinToken(join_token::Command::Revoke { token })
}

/// A hand-over of the leadership.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferLeadership {
    /// The number of the member that is to lead; by default the one that has most of the log.
    #[serde(default, deserialize_with = "crate::given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub to: Option<u64>,
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Leadership {
    /// The leader's number.
    pub leader: u64,
}

/// A higher level to be agreed on. A level cannot be lowered again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RaiseLevel {
    /// The level that follows the current one.
    pub level: u16,
}

impl RaiseLevel {
    /// What it asks for.
    pub fn command(self) -> Command {
        Command::Cluster(cluster::Command::RaiseLevel { level: Level(self.level) })
    }
}

/// What the members have agreed to be able to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgreedLevel {
    /// The level.
    pub level: u16,
}
