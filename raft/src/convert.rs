//! Between openraft's types and those that rest and travel, which are our own: openraft's may change with any version.
//!
//! Both directions are total. What the network says of a node is translated here, too: net has a store id of its own, because
//! it depends on no other crate of ours.

use std::collections::BTreeSet;

use bursar_domain::StoreId;
use bursar_storage::{
    ledger,
    log::{self, LogEntry, LogPosition, Member, Payload},
};
use openraft::{EntryPayload, impls::leader_id_std::LeaderId, vote::leader_id_std::CommittedLeaderId};

use crate::types::{Entry, LogId, Membership, ProposalBytes, SnapshotMeta, StoredMembership, Vote};

pub(crate) fn log_id(position: LogPosition) -> LogId {
    LogId::new(CommittedLeaderId::new(position.term), position.index)
}

pub(crate) fn position(log_id: LogId) -> LogPosition {
    LogPosition { term: log_id.leader_id.term, index: log_id.index }
}

pub(crate) fn vote(vote: log::Vote) -> Vote {
    let leader_id = LeaderId { term: vote.term, voted_for: vote.leader };
    Vote { leader_id, committed: vote.committed }
}

pub(crate) fn vote_to_store(vote: Vote) -> log::Vote {
    log::Vote { term: vote.leader_id.term, leader: vote.leader_id.voted_for, committed: vote.committed }
}

/// A data directory's id, as the network names it.
pub fn net_store(store: StoreId) -> bursar_net::StoreId {
    bursar_net::StoreId(store.0)
}

/// A voter without a description gets an empty one, which nobody can dial; an empty set of voters decides nothing and is
/// left out. Neither is ever written.
pub(crate) fn membership(membership: log::Membership) -> Membership {
    let log::Membership { configs, mut members } = membership;
    let configs: Vec<BTreeSet<u64>> = configs.into_iter().filter(|voters| !voters.is_empty()).collect();
    for voter in configs.iter().flatten() {
        members.entry(*voter).or_insert_with(Member::default);
    }
    Membership::new(configs, members).expect("every set has voters, and every voter a description")
}

pub(crate) fn membership_to_store(membership: &Membership) -> log::Membership {
    log::Membership {
        configs: membership.get_joint_config().clone(),
        members: membership.nodes().map(|(id, member)| (*id, member.clone())).collect(),
    }
}

pub(crate) fn stored_membership(stored: ledger::StoredMembership) -> StoredMembership {
    StoredMembership::new(stored.position.map(log_id), membership(stored.membership))
}

pub(crate) fn entry(entry: LogEntry) -> Entry {
    let payload = match entry.payload {
        Payload::Blank => EntryPayload::Blank,
        Payload::Proposal(bytes) => EntryPayload::Normal(ProposalBytes(bytes)),
        Payload::Membership(described) => EntryPayload::Membership(membership(described)),
    };
    Entry { log_id: log_id(entry.position), payload }
}

pub(crate) fn entry_to_store(entry: Entry) -> LogEntry {
    let payload = match entry.payload {
        EntryPayload::Blank => Payload::Blank,
        EntryPayload::Normal(ProposalBytes(bytes)) => Payload::Proposal(bytes),
        EntryPayload::Membership(membership) => Payload::Membership(membership_to_store(&membership)),
    };
    LogEntry { position: position(entry.log_id), payload }
}

pub(crate) fn snapshot_meta(applied: &ledger::Applied) -> SnapshotMeta {
    SnapshotMeta { last_log_id: applied.position.map(log_id), last_membership: stored_membership(applied.membership.clone()) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn described() -> log::Membership {
        let member =
            |address: &str| Member { store_id: StoreId([7; 16]), peer_address: address.into(), api_address: "api:4285".into() };
        log::Membership {
            configs: vec![BTreeSet::from([1, 2]), BTreeSet::from([2, 3])],
            members: [(1, member("a:1")), (2, member("b:1")), (3, member("c:1")), (4, member("d:1"))].into(),
        }
    }

    #[test]
    fn entries_come_back_as_they_went() {
        let payloads = [Payload::Blank, Payload::Proposal(Bytes::from_static(b"\0proposal")), Payload::Membership(described())];
        for payload in payloads {
            let there = LogEntry { position: LogPosition { term: 3, index: 9 }, payload };
            assert_eq!(entry_to_store(entry(there.clone())), there);
        }
    }

    #[test]
    fn votes_come_back_as_they_went() {
        for committed in [false, true] {
            let there = log::Vote { term: 4, leader: 2, committed };
            assert_eq!(vote_to_store(vote(there)), there);
        }
    }

    #[test]
    fn any_membership_is_taken() {
        assert_eq!(membership(log::Membership::default()), Membership::default());
        let odd = log::Membership { configs: vec![BTreeSet::new(), BTreeSet::from([5])], members: Default::default() };
        assert_eq!(membership(odd).voter_ids().collect::<Vec<_>>(), [5]);
    }
}
