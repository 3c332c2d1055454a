//! How a storage server introduces itself: all that the authority needs to find it, to know that it is the right one, and to
//! take it in, as one line that people can copy.
//!
//! ```text
//! bursar1.<base64url of MessagePack>.<base64url of a signature by the server's own key>
//! ```
//!
//! The number is the version of all of it. The signature covers everything before it as it stands, so a line that reads is the
//! line that the server made. What makes the server welcome is within: the proof that it was made with the fleet's master
//! license key, and a secret of 256 random bits, good once and for a day.

mod error;
#[cfg(test)]
mod tests;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bursar_domain::{ServerGuid, Timestamp, text::Name};
use bursar_net::{Address, Fingerprint, KeySignature, LicenseProof, NodeKey, PublicKey, frame};
use serde::{Deserialize, Serialize};

use crate::Secret;

pub use error::ConnectionStringError;

/// How long a connection string is good, in milliseconds: 24 hours.
pub const LIFETIME_MS: u64 = 24 * 3_600 * 1_000;
/// How far the server's clock may be ahead of the authority's before its string counts as issued in the future, in
/// milliseconds: 5 minutes.
pub const AHEAD_MS_MAX: u64 = 5 * 60 * 1_000;
/// The longest text that is looked at, in bytes.
pub const TEXT_BYTES_MAX: usize = 4 * 1024;

const NAME: &str = "bursar";
const VERSION: u32 = 1;
/// What the server's key signs here, and nowhere else.
const PURPOSE: &str = "bursar connection string";
/// 64 bytes in base64url without padding.
const SIGNATURE_CHARACTERS: usize = 86;
const WORD_BYTES_MAX: usize = 64;

/// What a storage server says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionString {
    /// Who it is.
    pub guid: ServerGuid,
    /// How it is to be called: a [`Name`] of the ledger.
    pub name: String,
    /// Where its control port is reached: customarily 4288.
    pub primary_address: Address,
    /// Where it is reached when the primary address does not answer.
    pub secondary_address: Option<Address>,
    /// The port that answers for reachability beside the authority nodes' own, at the same hosts: customarily 4283.
    pub peer_port: u16,
    /// The port for archives, at the same hosts: customarily 4286.
    pub transfer_port: u16,
    /// Processor and operating system, for instance `x86_64-linux`.
    pub platform: String,
    /// The version of its program.
    pub version: String,
    /// Its key: the one that signs the string, that its certificate is of, and that the cluster will certify.
    pub public_key: PublicKey,
    /// The SHA-256 of the certificate that it shows until the cluster has certified it.
    pub certificate: Fingerprint,
    /// Good once. The server keeps its hash alone, and so does the ledger.
    pub secret: Secret,
    /// When it was issued, by the server's clock.
    pub issued_at: Timestamp,
    /// When it stops being accepted: at most [`LIFETIME_MS`] later.
    pub expires_at: Timestamp,
    /// Attests [`license_subject`] of its guid and key.
    pub license: LicenseProof,
}

/// What the proof of the master license key attests: that this guid goes with this key.
pub fn license_subject(guid: ServerGuid, public_key: &PublicKey) -> Vec<u8> {
    [&guid.0, public_key.as_der()].concat()
}

impl ConnectionString {
    /// The line that people copy. `key` is the one whose public half stands in it.
    pub fn encode(&self, key: &NodeKey) -> Secret {
        let payload = frame::encode(self).expect("a connection string can be written as MessagePack");
        let said = format!("{NAME}{VERSION}.{}", URL_SAFE_NO_PAD.encode(payload));
        let signature = key.sign(PURPOSE, said.as_bytes());
        Secret::new(format!("{said}.{}", URL_SAFE_NO_PAD.encode(signature.0)))
    }

    /// Reads a line; blanks around it do not count. What it says of itself holds then: it is whole, it was signed by the key
    /// that it names, and every field is what it must be. Whether it is still good, and good for this cluster, tells
    /// [`check`](Self::check).
    ///
    /// # Errors
    /// [`TooLong`](ConnectionStringError::TooLong), [`Foreign`](ConnectionStringError::Foreign),
    /// [`UnknownVersion`](ConnectionStringError::UnknownVersion), [`Truncated`](ConnectionStringError::Truncated),
    /// [`Tampered`](ConnectionStringError::Tampered), [`Malformed`](ConnectionStringError::Malformed).
    pub fn decode(text: &str) -> Result<Self, ConnectionStringError> {
        use ConnectionStringError::{Malformed, Tampered, TooLong, Truncated};
        let text = text.trim();
        if text.len() > TEXT_BYTES_MAX {
            return Err(TooLong { bytes: text.len() });
        }
        let (payload, signature) = behind_the_version(text)?.split_once('.').ok_or(Truncated)?;
        if signature.len() < SIGNATURE_CHARACTERS {
            return Err(Truncated);
        }
        let said = &text[..text.len() - signature.len() - 1];
        let signature = URL_SAFE_NO_PAD.decode(signature).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(Tampered)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Tampered)?;
        let decoded: Self = frame::decode(&payload).map_err(|_| Tampered)?;
        if !decoded.public_key.verifies(PURPOSE, said.as_bytes(), &KeySignature(signature)) {
            return Err(Tampered);
        }
        // Its own signature speaks for the line, not for the program that made it.
        decoded.fault().map_or(Ok(()), |detail| Err(Malformed { detail }))?;
        Ok(decoded)
    }

    /// Whether it is good at `now`, in a cluster that keeps `license_key`, the public half of its master license key.
    ///
    /// # Errors
    /// [`ForeignLicense`](ConnectionStringError::ForeignLicense), [`Expired`](ConnectionStringError::Expired),
    /// [`Premature`](ConnectionStringError::Premature).
    pub fn check(&self, now: Timestamp, license_key: &[u8]) -> Result<(), ConnectionStringError> {
        use ConnectionStringError::{Expired, ForeignLicense, Premature};
        let (issued_at, expires_at) = (self.issued_at, self.expires_at);
        if self.license.public_key != license_key || !self.license.attests(&license_subject(self.guid, &self.public_key)) {
            return Err(ForeignLicense);
        }
        if now >= expires_at {
            return Err(Expired { expires_at, now });
        }
        // A string that is issued in the future would be good for longer than a day.
        if issued_at > now.plus_ms(AHEAD_MS_MAX) {
            return Err(Premature { issued_at, now });
        }
        Ok(())
    }

    /// The first field that no program of ours would have written so.
    fn fault(&self) -> Option<&'static str> {
        let is_word = |text: &str| (1..=WORD_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        let ports = self.secondary_address.iter().chain([&self.primary_address]).map(Address::port);
        if Name::parse("name", &self.name).is_err() {
            Some("the name is none of a server")
        } else if ports.chain([self.peer_port, self.transfer_port]).any(|port| port == 0) {
            Some("a port is 0")
        } else if !is_word(&self.platform) || !is_word(&self.version) {
            Some("platform or version is no word")
        } else if self.expires_at <= self.issued_at || self.expires_at.since_ms(self.issued_at) > LIFETIME_MS {
            Some("it is good for no time, or for more than a day")
        } else {
            None
        }
    }
}

/// What follows `bursar1.`
fn behind_the_version(text: &str) -> Result<&str, ConnectionStringError> {
    let numbered = text.strip_prefix(NAME).ok_or(ConnectionStringError::Foreign)?;
    let digits = numbered.bytes().take_while(u8::is_ascii_digit).count();
    let (version, rest) = numbered.split_at(digits);
    let payload = match rest.strip_prefix('.') {
        Some(payload) if digits > 0 => payload,
        None if rest.is_empty() => return Err(ConnectionStringError::Truncated),
        _ => return Err(ConnectionStringError::Foreign),
    };
    // One version, one spelling: the number is signed as it stands.
    if version == VERSION.to_string() {
        Ok(payload)
    } else {
        Err(ConnectionStringError::UnknownVersion { found: version.chars().take(8).collect() })
    }
}
