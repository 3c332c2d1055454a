//! Who a data directory is: `identity.toml`.

use bursar_domain::{AuthorityNodeId, ClusterId, StoreId};
use bursar_net::{Entropy, LocalNode, Member};
use bursar_raft::net_store;
use serde::{Deserialize, Serialize};

/// The layout of the directory that this program writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;

/// Who a data directory is. Written once, when everything else in the directory is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The layout of the directory.
    pub format: u32,
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// The directory's own random identity, which its stores bear too.
    pub store: StoreId,
    /// The node that runs on it.
    pub node: AuthorityNodeId,
}

/// Why a text is no identity.
#[derive(Debug, thiserror::Error)]
pub(super) enum IdentityError {
    /// Not what the format promises.
    #[error(transparent)]
    Malformed(#[from] toml::de::Error),
    /// A format that no program ever wrote.
    #[error("format 0 never was")]
    NoFormat,
    /// A format of a newer program.
    #[error("format {0} is newer than {FORMAT}")]
    Newer(u32),
}

impl Identity {
    /// For a new directory.
    pub fn new(cluster: ClusterId, store: StoreId, node: AuthorityNodeId) -> Self {
        Self { format: FORMAT, cluster, store, node }
    }

    /// As the node says it in every handshake.
    pub fn local_node(&self) -> LocalNode {
        LocalNode { cluster: net_cluster(self.cluster), member: Member::authority(self.node.0), store: net_store(self.store) }
    }

    /// As it rests.
    pub(super) fn to_toml(&self) -> String {
        toml::to_string(self).expect("an identity can be written as TOML")
    }

    /// What [`to_toml`](Self::to_toml) made.
    pub(super) fn from_toml(text: &str) -> Result<Self, IdentityError> {
        // The format alone first: a newer layout may have fields that this program does not know.
        match toml::from_str::<FormatOnly>(text)?.format {
            FORMAT => Ok(toml::from_str(text)?),
            0 => Err(IdentityError::NoFormat),
            newer => Err(IdentityError::Newer(newer)),
        }
    }
}

/// The cluster's id as it stands in certificates.
pub fn net_cluster(cluster: ClusterId) -> bursar_net::ClusterId {
    bursar_net::ClusterId::new(&cluster.to_string()).expect("32 hexadecimal digits are a DNS label")
}

/// A new random store id.
pub(super) fn new_store(entropy: &dyn Entropy) -> StoreId {
    StoreId(entropy.array())
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}
