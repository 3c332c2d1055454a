//! A token: an administrator's bearer credential.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    actor::Actor,
    cluster::{self, founded},
    decision::{Outcome, Reply},
    draft::Draft,
    encoding::{Encoded, Kind},
    hash::Hash,
    ids::{ObjectRef, TokenId},
    rejection::{FieldFault, Rejection},
    state::{Stamp, State, given},
    table::Row,
    text::Name,
    time::Timestamp,
};

/// An administrator's bearer credential. Its secret is shown once and rests only as a hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// Its number.
    pub id: TokenId,
    /// For people: whose it is, or what for.
    pub name: Name,
    /// The secret's hash. Secrets have 256 random bits, so a plain hash hides them.
    pub secret: Hash,
    /// When it stops being accepted; never, where there is none.
    pub expires_at: Option<Timestamp>,
    /// When and by whom it was issued.
    pub created: Stamp,
    /// When and by whom it was last changed.
    pub changed: Stamp,
}

impl Token {
    /// Whether its time is over.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| now >= expires_at)
    }
}

impl Encoded for Token {
    const KIND: Kind = Kind::Token;
}

impl Row for Token {
    type Id = TokenId;
    type Key = Hash;
    fn id(&self) -> TokenId {
        self.id
    }
    fn key(&self) -> Option<Hash> {
        Some(self.secret)
    }
}

/// What can be asked of tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Issue one. Whoever shows the setup secret issues the first.
    Issue {
        /// For people, unchecked.
        name: String,
        /// The new secret's hash.
        secret: Hash,
        /// When it stops being accepted.
        expires_at: Option<Timestamp>,
        /// The hash of the setup secret, where it stands in for a credential.
        setup_secret: Option<Hash>,
    },
    /// Take one back.
    Revoke {
        /// Which.
        token: TokenId,
    },
}

/// What can have happened to tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// It was issued.
    Issued {
        /// Which.
        token: TokenId,
        /// For people.
        name: Name,
        /// The secret's hash.
        secret: Hash,
        /// When it stops being accepted.
        expires_at: Option<Timestamp>,
    },
    /// It was taken back.
    Revoked {
        /// Which.
        token: TokenId,
    },
}

/// The rules of tokens.
pub(crate) fn decide(draft: &mut Draft<'_>, command: &Command) -> Outcome {
    let setup_secret = founded(draft.state())?.setup_secret;
    match command {
        Command::Issue { name, secret, expires_at, setup_secret: shown } => {
            let claims_setup = draft.actor() == Actor::Founder;
            if claims_setup && (shown.is_none() || *shown != setup_secret) {
                return Err(Rejection::SetupRefused);
            }
            if let Some(known) = draft.state().tokens().find(secret) {
                return Err(Rejection::AlreadyIssued { object: known.id.into() });
            }
            let name = Name::parse("name", name)?;
            if expires_at.is_some_and(|expires_at| expires_at <= draft.now()) {
                return Err(Rejection::InvalidField { field: "expires_at".into(), fault: FieldFault::InThePast });
            }
            if claims_setup {
                draft.emit(cluster::Event::SetupClaimed.into());
            }
            let token = TokenId(draft.state().next().token);
            draft.emit(Event::Issued { token, name, secret: *secret, expires_at: *expires_at }.into());
            Ok(Reply::created(token))
        }
        Command::Revoke { token } => {
            let now = draft.now();
            let tokens = draft.state().tokens();
            let object = ObjectRef::from(*token);
            let current = tokens.get(*token).ok_or(Rejection::NotFound { object })?;
            let others_stand = tokens.iter().any(|other| other.id != *token && other.expires_at.is_none());
            if !others_stand && !current.has_expired(now) {
                return Err(Rejection::LastCredential);
            }
            draft.emit(Event::Revoked { token: *token }.into());
            Ok(Reply::removed(*token))
        }
    }
}

/// Carries an event into the state.
pub(crate) fn evolve(state: &mut State, event: &Event, stamp: Stamp) {
    match event {
        Event::Issued { token, name, secret, expires_at } => {
            given(&mut state.header.next.token, token.0);
            state.tokens.put(Token {
                id: *token,
                name: name.clone(),
                secret: *secret,
                expires_at: *expires_at,
                created: stamp,
                changed: stamp,
            });
        }
        Event::Revoked { token } => state.tokens.remove(*token),
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
            Self::Issued { .. } => "token.issued",
            Self::Revoked { .. } => "token.revoked",
        }
    }

    pub(crate) const fn token(&self) -> TokenId {
        match self {
            Self::Issued { token, .. } | Self::Revoked { token } => *token,
        }
    }
}

impl From<Event> for crate::Event {
    fn from(event: Event) -> Self {
        Self::Token(event)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issue { name, .. } => write!(f, "issue token “{name}”"),
            Self::Revoke { token } => write!(f, "revoke {token}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issued { token, name, expires_at: Some(at), .. } => write!(f, "{token} “{name}” issued until {at}"),
            Self::Issued { token, name, expires_at: None, .. } => write!(f, "{token} “{name}” issued"),
            Self::Revoked { token } => write!(f, "{token} revoked"),
        }
    }
}
