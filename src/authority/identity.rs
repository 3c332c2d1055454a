//! Who a data directory is: `identity.toml`.

use bursar_domain::{AuthorityNodeId, ClusterId, StoreId};
use bursar_net::{Entropy, LocalNode, Member};
use bursar_raft::net_store;
use serde::{Deserialize, Serialize};

/// Who a data directory is. Written once, when everything else in the directory is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// The cluster that it belongs to.
    pub cluster: ClusterId,
    /// The directory's own random identity, which its stores bear too.
    pub store: StoreId,
    /// The node that runs on it.
    pub node: AuthorityNodeId,
}

impl Identity {
    /// For a new directory.
    pub fn new(cluster: ClusterId, store: StoreId, node: AuthorityNodeId) -> Self {
        Self { cluster, store, node }
    }

    /// As the node says it in every handshake.
    pub fn local_node(&self) -> LocalNode {
        LocalNode { cluster: net_cluster(self.cluster), member: Member::authority(self.node.0), store: net_store(self.store) }
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
