//! The members that a machine was told of when it joined: `members`, until its ledger knows them.
//!
//! A node that joins knows nobody before somebody calls it. Were it removed before its first start, nobody ever would: so it
//! calls those that it was told of, and hears from them that it does not belong any more.

use std::collections::BTreeMap;

use bursar_domain::{AuthorityNodeId, State, StoreId, authority_node::AuthorityNode};
use bursar_storage::log::Member;
use serde::{Deserialize, Serialize};

/// The members, as the one says who lets a machine in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Members {
    pub(super) members: Vec<KnownMember>,
}

/// Who a member is, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KnownMember {
    pub node: AuthorityNodeId,
    /// The identity of its data directory.
    pub store: StoreId,
    /// Where the others reach it, host and port.
    pub peer_address: String,
    /// Where people reach it, host and port.
    pub api_address: String,
}

impl Members {
    /// All who are there, but for `newcomer`.
    pub fn beside(newcomer: AuthorityNodeId, state: &State) -> Self {
        let others = state.authority_nodes().iter().filter(|node| node.intent.is_present() && node.id != newcomer);
        Self { members: others.map(|node| KnownMember::of(node)).collect() }
    }

    /// As the consensus takes them.
    pub(super) fn into_peers(self) -> BTreeMap<AuthorityNodeId, Member> {
        let peer = |KnownMember { node, store, peer_address, api_address }| {
            (node, Member { store_id: store, peer_address, api_address })
        };
        self.members.into_iter().map(peer).collect()
    }
}

impl KnownMember {
    fn of(node: &AuthorityNode) -> Self {
        Self {
            node: node.id,
            store: node.store,
            peer_address: node.peer_address.as_str().to_owned(),
            api_address: node.api_address.as_str().to_owned(),
        }
    }
}
