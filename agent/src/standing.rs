//! Which connection string stands: `connection-string.toml`. Of its secret the server keeps the hash alone.

use bursar_domain::{Hash, Timestamp};
use bursar_wire::ConnectionString;
use serde::{Deserialize, Serialize};

/// The connection string that was issued last; every earlier one is void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// The hash of its secret.
    pub secret: Hash,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it stops being accepted.
    pub expires_at: Timestamp,
}

/// Why a secret is not taken. Nothing is used up by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StringRefusal {
    /// A later string was issued, or it was never one of this server.
    #[error("the connection string is void, another was issued since: use the last one that the server printed")]
    Voided,
    /// Its time is over.
    #[error("the connection string expired at {0}: `bursar storage-server connection-string` issues another")]
    Expired(Timestamp),
}

impl Standing {
    /// Of a string that is issued now.
    pub(crate) fn of(says: &ConnectionString) -> Self {
        Self { secret: says.secret.hash(), issued_at: says.issued_at, expires_at: says.expires_at }
    }

    /// Whether whoever shows the hash of this secret has the string that stands, and it is still good at `now`.
    pub fn takes(&self, secret: Hash, now: Timestamp) -> Result<(), StringRefusal> {
        if secret != self.secret {
            Err(StringRefusal::Voided)
        } else if now >= self.expires_at {
            Err(StringRefusal::Expired(self.expires_at))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use bursar_wire::Secret;

    use super::*;

    #[test]
    fn the_last_secret_is_taken_until_it_expires() {
        let secret = Secret::new("s3cret");
        let standing = Standing { secret: secret.hash(), issued_at: Timestamp(1_000), expires_at: Timestamp(2_000) };
        assert_eq!(standing.takes(secret.hash(), Timestamp(1_999)), Ok(()));
        assert_eq!(standing.takes(secret.hash(), Timestamp(2_000)), Err(StringRefusal::Expired(Timestamp(2_000))));
        assert_eq!(standing.takes(Secret::new("another").hash(), Timestamp(1_000)), Err(StringRefusal::Voided));
    }
}
