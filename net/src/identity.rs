//! Who a node is: cluster, role, id, and the store that holds its data.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The top of every name in our certificates. It is no public domain, so no public authority ever
/// vouches for such a name.
pub(crate) const IDENTITY_SUFFIX: &str = ".bursar";

/// The longest label of a DNS name.
const LABEL_LENGTH_MAX: usize = 63;

/// Names a cluster. It stands in certificates as a DNS label: 1–63 lower-case letters, digits and
/// inner hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ClusterId(String);

/// What kind of node this is; it limits what the node may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Holds the ledger and votes on it.
    Authority,
    /// Keeps archives.
    Server,
}

/// A node within its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its kind.
    pub role: Role,
    /// Its number among its kind, never used twice.
    pub id: u64,
}

/// What a certificate attests: a node of a cluster. Its text form is the DNS name in the
/// certificate, `authority-3.<cluster>.bursar`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerIdentity {
    /// Which node.
    pub member: Member,
    /// Of which cluster.
    pub cluster: ClusterId,
}

/// A random number made with a data directory: a node whose directory was wiped is another node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub [u8; 16]);

/// Why a text names no cluster, node or store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No DNS label.
    #[error("a cluster id has 1–63 lower-case letters, digits and inner hyphens, {text:?} does not")]
    Cluster {
        /// The offending text, cut to a readable length.
        text: String,
    },
    /// No name of the form `<role>-<id>.<cluster>.bursar`.
    #[error("a node is named <role>-<id>.<cluster>.bursar, {text:?} is not")]
    Peer {
        /// The offending text, cut to a readable length.
        text: String,
    },
}

impl ClusterId {
    /// Takes `text` as a cluster's id.
    pub fn new(text: &str) -> Result<Self, IdentityError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let is_label = bytes.len() <= LABEL_LENGTH_MAX
            && bytes.first().copied().is_some_and(plain)
            && bytes.last().copied().is_some_and(plain)
            && bytes.iter().all(|byte| plain(*byte) || *byte == b'-');
        if is_label { Ok(Self(text.to_owned())) } else { Err(IdentityError::Cluster { text: shortened(text) }) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for ClusterId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for ClusterId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

impl Role {
    /// The role's name, as certificates carry it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Authority => "authority",
            Role::Server => "server",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        match name {
            "authority" => Some(Role::Authority),
            "server" => Some(Role::Server),
            _ => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Member {
    /// The authority node with this id.
    pub fn authority(id: u64) -> Self {
        Self { role: Role::Authority, id }
    }

    /// The storage server with this id.
    pub fn server(id: u64) -> Self {
        Self { role: Role::Server, id }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.role, self.id)
    }
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}{IDENTITY_SUFFIX}", self.member, self.cluster)
    }
}

impl FromStr for PeerIdentity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        parse_peer(text)
            // One name, one spelling: `authority-03` would compare equal to nothing else.
            .filter(|identity| identity.to_string() == text)
            .ok_or_else(|| IdentityError::Peer { text: shortened(text) })
    }
}

fn parse_peer(text: &str) -> Option<PeerIdentity> {
    let (node, cluster) = text.strip_suffix(IDENTITY_SUFFIX)?.split_once('.')?;
    let (role, id) = node.split_once('-')?;
    let member = Member { role: Role::from_name(role)?, id: id.parse().ok()? };
    Some(PeerIdentity { member, cluster: ClusterId::new(cluster).ok()? })
}

impl fmt::Display for StoreId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StoreId({self})")
    }
}

impl Serialize for StoreId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_bytes::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for StoreId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_bytes::deserialize(deserializer).map(Self)
    }
}

/// Foreign text, cut so that an error message stays readable.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_reads_back_from_its_name() {
        let identity = PeerIdentity { member: Member::authority(3), cluster: ClusterId::new("c-0a1b").unwrap() };
        assert_eq!(identity.to_string(), "authority-3.c-0a1b.bursar");
        assert_eq!(identity.to_string().parse(), Ok(identity.clone()));
        let identity = PeerIdentity { member: Member::server(3), ..identity };
        assert_eq!(identity.to_string(), "server-3.c-0a1b.bursar");
        assert_eq!(identity.to_string().parse(), Ok(identity));
    }

    #[test]
    fn a_node_has_one_spelling() {
        for text in [
            "authority-03.c1.bursar",
            "authority-+3.c1.bursar",
            "Authority-3.c1.bursar",
            "authority-3.C1.bursar",
            "authority-3.c1.bursar.",
            "authority-3.x.c1.bursar",
            "authority-.c1.bursar",
            "authority-99999999999999999999.c1.bursar",
            "operator-3.c1.bursar",
            "authority-3.bursar",
            "authority-3.c1.example.org",
        ] {
            assert!(text.parse::<PeerIdentity>().is_err(), "{text} names no node");
        }
    }

    #[test]
    fn a_cluster_id_is_a_dns_label() {
        for text in ["", "-a", "a-", "a.b", "A", "ä", &"a".repeat(64)] {
            assert!(ClusterId::new(text).is_err(), "{text:?} is no label");
        }
        assert!(ClusterId::new(&"a".repeat(63)).is_ok());
    }

    #[test]
    fn a_store_id_shows_as_hexadecimal() {
        let store = StoreId(*b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\xff");
        assert_eq!(store.to_string(), "000102030405060708090a0b0c0d0eff");
    }
}
