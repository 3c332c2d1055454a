//! The invitation of an authority node: all that a new machine needs to find the cluster, to know that it is the right one,
//! and to be let in, as one line that people can copy.
//!
//! ```text
//! bursar-join1.<base64url of JSON>.<first 8 hexadecimal digits of the BLAKE3 hash of the middle part>
//! ```
//!
//! The last part tells a truncated or mistyped line from one that the cluster refuses; it is no protection. That is the
//! secret, 256 random bits of which the ledger holds only the hash, good for one machine and until it expires.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bursar_domain::Hash;
use bursar_net::{Address, Fingerprint};
use serde::{Deserialize, Serialize};

const PREFIX: &str = "bursar-join1";
const CHECK_DIGITS: usize = 8;
/// The longest invitation that is looked at, in bytes.
const INVITATION_BYTES_MAX: usize = 8 * 1024;

/// What a new machine needs to join the authority.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// The SHA-256 of the cluster's certificate authority: whoever answers must be certified by it.
    pub certificate_authority: Fingerprint,
    /// Where authority nodes answer on their peer ports.
    pub addresses: Vec<Address>,
    /// Good for one machine.
    pub secret: String,
}

/// Why a text is no invitation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvitationError {
    /// Something else altogether.
    #[error("a join token begins with {PREFIX}. and has three parts: copy the whole line that `bursar cluster invite` printed")]
    Shape,
    /// Cut off or mistyped.
    #[error("the join token is cut off or mistyped: copy the whole line that `bursar cluster invite` printed")]
    Damaged,
}

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(self).expect("an invitation can be written as JSON");
        let payload = URL_SAFE_NO_PAD.encode(json);
        write!(f, "{PREFIX}.{payload}.{}", check(&payload))
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl FromStr for Invitation {
    type Err = InvitationError;

    fn from_str(text: &str) -> Result<Self, InvitationError> {
        let text = text.trim();
        let mut parts = text.split('.');
        let (Some(PREFIX), Some(payload), Some(given), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(if text.starts_with(PREFIX) { InvitationError::Damaged } else { InvitationError::Shape });
        };
        if text.len() > INVITATION_BYTES_MAX || given != check(payload) {
            return Err(InvitationError::Damaged);
        }
        let json = URL_SAFE_NO_PAD.decode(payload).map_err(|_| InvitationError::Damaged)?;
        serde_json::from_slice(&json).map_err(|_| InvitationError::Damaged)
    }
}

fn check(payload: &str) -> String {
    let hash = Hash::of(payload.as_bytes()).to_string();
    hash[..CHECK_DIGITS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation() -> Invitation {
        Invitation {
            certificate_authority: Fingerprint::from([7; 32]),
            addresses: vec!["auth-1.example:4283".parse().expect("an address")],
            secret: "s3cret".into(),
        }
    }

    #[test]
    fn an_invitation_survives_being_copied() {
        let line = format!(" {}\n", invitation());
        assert_eq!(line.parse(), Ok(invitation()));
        assert!(!format!("{:?}", invitation()).contains("s3cret"));
    }

    #[test]
    fn every_truncation_and_every_changed_character_is_noticed() {
        let line = invitation().to_string();
        for end in 0..line.len() {
            assert!(line[..end].parse::<Invitation>().is_err(), "cut after {end}");
        }
        for at in 0..line.len() {
            let mut bytes = line.clone().into_bytes();
            bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(bytes).expect("ASCII");
            assert!(changed.parse::<Invitation>().is_err(), "changed at {at}");
        }
    }
}
