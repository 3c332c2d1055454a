//! Tokens: the credentials of administrators.

use bursar_domain::{Command, Hash, State, TokenId, token};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    FieldError, Secret,
    objects::{Actor, Stamp},
    times::{rfc3339, timestamp},
};

/// An administrator's bearer credential, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its number.
    pub id: u64,
    /// For people: whose it is, or what for.
    pub name: String,
    /// When it stops being accepted, RFC 3339 in UTC; never, where it is null.
    pub expires_at: Option<String>,
    /// When and by whom it was issued.
    pub created: Stamp,
    /// When and by whom it was last changed.
    pub changed: Stamp,
}

impl Token {
    /// A token of `state`.
    pub fn of(state: &State, token: &token::Token) -> Self {
        Self {
            id: token.id.0,
            name: token.name.to_string(),
            expires_at: token.expires_at.map(rfc3339),
            created: Stamp::of(state, token.created),
            changed: Stamp::of(state, token.changed),
        }
    }
}

/// A token to be issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssueToken {
    /// For people: 1 to 128 characters, no control characters, no blanks around it.
    pub name: String,
    /// When it stops being accepted, RFC 3339; never, where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The secret that founding the cluster printed: it stands in for a credential once, for the first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup_secret: Option<Secret>,
}

impl IssueToken {
    /// What it asks for; `secret` is the hash of the secret that was made for it.
    pub fn command(self, secret: Hash) -> Result<Command, FieldError> {
        let expires_at = self.expires_at.map(|text| timestamp("/expires_at", &text)).transpose()?;
        let setup_secret = self.setup_secret.map(|secret| secret.hash());
        Ok(Command::Token(token::Command::Issue { name: self.name, secret, expires_at, setup_secret }))
    }
}

/// A token that was just issued: the only answer that ever shows its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssuedToken {
    /// Its number.
    pub id: u64,
    /// For people.
    pub name: String,
    /// When it stops being accepted, RFC 3339 in UTC; never, where it is null.
    pub expires_at: Option<String>,
    /// When and by whom it was issued.
    pub created: Stamp,
    /// The secret, to be sent as `Authorization: Bearer <secret>`. It is shown this once.
    pub secret: Secret,
}

impl IssuedToken {
    /// A token of `state`, with its secret.
    pub fn of(state: &State, token: &token::Token, secret: Secret) -> Self {
        let Token { id, name, expires_at, created, .. } = Token::of(state, token);
        Self { id, name, expires_at, created, secret }
    }
}

/// Whose credential a request carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// As whom the request would be recorded.
    pub actor: Actor,
    /// The token that it carries.
    pub token: Token,
}

/// The end of a token.
pub fn revoke(token: TokenId) -> Command {
    Command::Token(token::Command::Revoke { token })
}
