//! The secrets that the API makes: each is shown once, and rests as a hash.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bursar_net::{Entropy, Fingerprint};
use bursar_wire::Secret;
use serde::{Deserialize, Serialize};

const SECRET_BYTES: usize = 32;
const TOKEN_PREFIX: &str = "bursar_";
const INVITATION_PREFIX: &str = "bursar-join1.";

/// A fresh bearer token: 256 random bits behind a prefix by which scanners for leaked secrets know it.
pub fn mint_token(entropy: &dyn Entropy) -> Secret {
    Secret::new(format!("{TOKEN_PREFIX}{}", random(entropy)))
}

/// Everything that a new node has to know of the cluster before it can ask to join: whom to trust, where to ask, and the secret
/// that lets it in.
///
/// Written `bursar-join1.<base64url of JSON>`. The ledger keeps the hash of the whole text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// Of the certificate of the cluster's own authority: a node with another one is an impostor.
    pub authority: Fingerprint,
    /// Where authority nodes listen for other nodes, `host:port`.
    pub peer_addresses: Vec<String>,
    /// 256 random bits.
    pub secret: Secret,
}

impl Invitation {
    /// An invitation with a fresh secret.
    pub fn mint(entropy: &dyn Entropy, authority: Fingerprint, peer_addresses: Vec<String>) -> Self {
        Self { authority, peer_addresses, secret: Secret::new(random(entropy)) }
    }

    /// The text to hand over.
    pub fn text(&self) -> Secret {
        let json = serde_json::to_vec(self).expect("an invitation is plain data");
        Secret::new(format!("{INVITATION_PREFIX}{}", URL_SAFE_NO_PAD.encode(json)))
    }
}

/// Why a text is no invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct InvitationError;

impl fmt::Display for InvitationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an invitation begins with {INVITATION_PREFIX} and is pasted as a whole; issue another with `bursar cluster invite`")
    }
}

impl FromStr for Invitation {
    type Err = InvitationError;

    fn from_str(text: &str) -> Result<Self, InvitationError> {
        let payload = text.strip_prefix(INVITATION_PREFIX).ok_or(InvitationError)?;
        let json = URL_SAFE_NO_PAD.decode(payload).map_err(|_| InvitationError)?;
        serde_json::from_slice(&json).map_err(|_| InvitationError)
    }
}

fn random(entropy: &dyn Entropy) -> String {
    URL_SAFE_NO_PAD.encode(entropy.array::<SECRET_BYTES>())
}

#[cfg(test)]
mod tests {
    use bursar_net::SystemEntropy;

    use super::*;

    #[test]
    fn an_invitation_reads_back_as_written() {
        let invitation = Invitation::mint(&SystemEntropy::new(), Fingerprint::from([7; 32]), vec!["10.0.0.1:4283".into()]);
        assert_eq!(invitation.text().expose().parse(), Ok(invitation));
    }

    #[test]
    fn a_cut_or_foreign_text_is_no_invitation() {
        let invitation = Invitation::mint(&SystemEntropy::new(), Fingerprint::from([7; 32]), Vec::new());
        let text = invitation.text().expose().to_owned();
        for wrong in ["", "bursar-join1.", &text[1..], &text[..text.len() - 4], "bursar-join2.e30"] {
            assert_eq!(wrong.parse::<Invitation>(), Err(InvitationError), "{wrong}");
        }
    }
}
