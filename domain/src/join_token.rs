//! A join token: the single-use invitation of an authority node.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    cluster::founded,
    decision::{Outcome, Reply},
    draft::Draft,
    encoding::{Encoded, Kind},
    hash::Hash,
    ids::{AuthorityNodeId, JoinTokenId, ObjectRef},
    rejection::{Blocker, FieldFault, Rejection},
    state::{Stamp, State, given},
    table::Row,
    time::Timestamp,
};

/// The single-use invitation of an authority node. Its secret is shown once and rests only as a hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinToken {
    /// Its number.
    pub id: JoinTokenId,
    /// The secret's hash.
    pub secret: Hash,
    /// When it stops being accepted.
    pub expires_at: Timestamp,
    /// Who used it.
    pub used_by: Option<AuthorityNodeId>,
    /// When and by whom it was issued.
    pub created: Stamp,
    /// When and by whom it was last changed.
    pub changed: Stamp,
}

impl JoinToken {
    /// Whether its time is over.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }
}

impl Encoded for JoinToken {
    const KIND: Kind = Kind::JoinToken;
}

impl Row for JoinToken {
    type Id = JoinTokenId;
    type Key = Hash;
    fn id(&self) -> JoinTokenId {
        self.id
    }
    fn key(&self) -> Option<Hash> {
        Some(self.secret)
    }
}

/// What can be asked of join tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Issue one.
    Issue {
        /// The secret's hash.
        secret: Hash,
        /// When it stops being accepted.
        expires_at: Timestamp,
    },
    /// Take one back that was not used.
    Revoke {
        /// Which.
        token: JoinTokenId,
    },
}

/// What can have happened to join tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// It was issued.
    Issued {
        /// Which.
        token: JoinTokenId,
        /// The secret's hash.
        secret: Hash,
        /// When it stops being accepted.
        expires_at: Timestamp,
    },
    /// A machine used it.
    Used {
        /// Which.
        token: JoinTokenId,
        /// The machine.
        by: AuthorityNodeId,
    },
    /// It was taken back.
    Revoked {
        /// Which.
        token: JoinTokenId,
    },
}

/// The rules of join tokens.
pub(crate) fn decide(draft: &mut Draft<'_>, command: &Command) -> Outcome {
    founded(draft.state())?;
    match command {
        Command::Issue { secret, expires_at } => {
            if let Some(known) = draft.state().join_tokens().find(secret) {
                return Err(Rejection::AlreadyIssued { object: known.id.into() });
            }
            if *expires_at <= draft.now() {
                return Err(Rejection::InvalidField { field: "expires_at".into(), fault: FieldFault::InThePast });
            }
            let token = JoinTokenId(draft.state().next().join_token);
            draft.emit(Event::Issued { token, secret: *secret, expires_at: *expires_at }.into());
            Ok(Reply::created(token))
        }
        Command::Revoke { token } => {
            let object = ObjectRef::from(*token);
            let current = draft.state().join_tokens().get(*token).ok_or(Rejection::NotFound { object })?;
            if let Some(by) = current.used_by {
                let blocker = Blocker { object: by.into(), name: "joined by it".into() };
                return Err(Rejection::InUse { object, blockers: [blocker].into_iter().collect() });
            }
            draft.emit(Event::Revoked { token: *token }.into());
            Ok(Reply::removed(*token))
        }
    }
}

/// Carries an event into the state.
pub(crate) fn evolve(state: &mut State, event: &Event, stamp: Stamp) {
    match event {
        Event::Issued { token, secret, expires_at } => {
            given(&mut state.header.next.join_token, token.0);
            state.join_tokens.put(JoinToken {
                id: *token,
                secret: *secret,
                expires_at: *expires_at,
                used_by: None,
                created: stamp,
                changed: stamp,
            });
        }
        Event::Used { token, by } => state.join_tokens.change(*token, |token| {
            token.used_by = Some(*by);
            token.changed = stamp;
        }),
        Event::Revoked { token } => state.join_tokens.remove(*token),
    }
}

impl Command {
    pub(crate) fn subject(&self) -> Option<ObjectRef> {
        match self {
            Self::Issue { .. } => None,
            Self::Revoke { token } => Some((*token).into()),
        }
    }
}

impl Event {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Issued { .. } => "join_token.issued",
            Self::Used { .. } => "join_token.used",
            Self::Revoked { .. } => "join_token.revoked",
        }
    }

    pub(crate) const fn token(&self) -> JoinTokenId {
        match self {
            Self::Issued { token, .. } | Self::Used { token, .. } | Self::Revoked { token } => *token,
        }
    }
}

impl From<Event> for crate::Event {
    fn from(event: Event) -> Self {
        Self::JoinToken(event)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issue { .. } => f.write_str("issue a join token"),
            Self::Revoke { token } => write!(f, "revoke {token}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issued { token, expires_at, .. } => write!(f, "{token} issued until {expires_at}"),
            Self::Used { token, by } => write!(f, "{token} used by {by}"),
            Self::Revoked { token } => write!(f, "{token} revoked"),
        }
    }
}
