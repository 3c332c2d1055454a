//! All that rests in the Raft log, as types of our own: a change in a library's types never changes what is on a disk.
//!
//! Everything encodes as MessagePack with named fields inside an [`envelope`](crate::envelope), on the disk as on the
//! wire. The bytes of a proposal are carried as they are: encoding copies them once, into the frame, and decoding not at
//! all.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bursar_domain::StoreId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::envelope::{self, Kind, OpenError};

/// The envelope version of every type of this module.
const VERSION: u8 = 1;

/// Where an entry stands: in which term it was put at which index. A term has one leader, so it needs no further name.
/// Ordered by term, then index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogPosition {
    /// The term of the leader.
    pub term: u64,
    /// The place in the log, from 0.
    pub index: u64,
}

impl fmt::Display for LogPosition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (term {})", self.index, self.term)
    }
}

/// Whom this node voted for, and whether a quorum did too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// The term of the vote.
    pub term: u64,
    /// The node that was voted for; 0, which no node is, before the first vote.
    pub leader: u64,
    /// Whether a quorum granted it.
    pub committed: bool,
}

impl Vote {
    /// The framed bytes.
    pub fn encode(&self) -> Bytes {
        envelope::pack(Kind::Vote, VERSION, self)
    }

    /// What [`encode`](Self::encode) made.
    ///
    /// # Errors
    /// A frame that is damaged, newer, or of something else.
    pub fn decode(frame: &[u8]) -> Result<Self, OpenError> {
        envelope::unpack(Kind::Vote, VERSION, frame)
    }
}

/// A node of the Raft group, as its peers know it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The identity of its data directory.
    pub store_id: StoreId,
    /// Where its peers reach it, host and port.
    pub peer_address: String,
    /// Where people and devices reach it, host and port.
    pub api_address: String,
}

impl Default for Member {
    /// Nobody that could be dialled, with the store id that no directory has.
    fn default() -> Self {
        Self { store_id: StoreId([0; 16]), peer_address: String::new(), api_address: String::new() }
    }
}

/// Who votes and who listens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Membership {
    /// The voters: one set, or two while the group moves from the first to the second.
    pub configs: Vec<BTreeSet<u64>>,
    /// All nodes by id, voters and learners.
    pub members: BTreeMap<u64, Member>,
}

impl Membership {
    /// The framed bytes.
    pub fn encode(&self) -> Bytes {
        envelope::pack(Kind::Membership, VERSION, self)
    }

    /// What [`encode`](Self::encode) made.
    ///
    /// # Errors
    /// A frame that is damaged, newer, or of something else.
    pub fn decode(frame: &[u8]) -> Result<Self, OpenError> {
        envelope::unpack(Kind::Membership, VERSION, frame)
    }
}

/// What an entry carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Nothing: a new leader's first entry.
    Blank,
    /// An encoded proposal, opaque to the log.
    Proposal(Bytes),
    /// A change of who votes.
    Membership(Membership),
}

/// One entry of the Raft log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// Where it stands.
    pub position: LogPosition,
    /// What it carries.
    pub payload: Payload,
}

impl LogEntry {
    /// About how many bytes the entry takes in memory and on a disk or wire; what limits count.
    pub fn weight(&self) -> u64 {
        const FRAME: u64 = 64;
        const MEMBER: u64 = 64;
        FRAME
            + match &self.payload {
                Payload::Blank => 0,
                Payload::Proposal(proposal) => proposal.len() as u64,
                Payload::Membership(membership) => membership
                    .members
                    .values()
                    .map(|member| MEMBER + (member.peer_address.len() + member.api_address.len()) as u64)
                    .sum(),
            }
    }

    /// The framed bytes.
    pub fn encode(&self) -> Bytes {
        let payload = match &self.payload {
            Payload::Blank => PayloadShape::Blank,
            Payload::Proposal(proposal) => PayloadShape::Proposal(proposal),
            Payload::Membership(membership) => PayloadShape::Membership(Cow::Borrowed(membership)),
        };
        let shape = EntryShape { position: self.position, payload };
        envelope::pack(Kind::LogEntry, VERSION, &shape)
    }

    /// What [`encode`](Self::encode) made. A proposal's bytes are a slice of `frame` and keep it alive.
    ///
    /// # Errors
    /// A frame that is damaged, newer, or of something else.
    pub fn decode(frame: &Bytes) -> Result<Self, OpenError> {
        let shape: EntryShape<'_> = envelope::unpack(Kind::LogEntry, VERSION, frame)?;
        let payload = match shape.payload {
            PayloadShape::Blank => Payload::Blank,
            PayloadShape::Proposal(proposal) => Payload::Proposal(frame.slice_ref(proposal)),
            PayloadShape::Membership(membership) => Payload::Membership(membership.into_owned()),
        };
        Ok(LogEntry { position: shape.position, payload })
    }
}

/// An entry as it is encoded, borrowing what need not be copied.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryShape<'a> {
    position: LogPosition,
    #[serde(borrow)]
    payload: PayloadShape<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PayloadShape<'a> {
    Blank,
    Proposal(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    Membership(Cow<'a, Membership>),
}

/// The position up to which the log is known to be committed; none before the first is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Committed {
    pub(crate) position: Option<LogPosition>,
}

impl Committed {
    pub(crate) fn encode(self) -> Bytes {
        envelope::pack(Kind::Committed, VERSION, &self)
    }

    pub(crate) fn decode(frame: &[u8]) -> Result<Self, OpenError> {
        envelope::unpack(Kind::Committed, VERSION, frame)
    }
}

/// The last position that was purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Purged {
    pub(crate) position: LogPosition,
}

impl Purged {
    pub(crate) fn encode(self) -> Bytes {
        envelope::pack(Kind::Purged, VERSION, &self)
    }

    pub(crate) fn decode(frame: &[u8]) -> Result<Self, OpenError> {
        envelope::unpack(Kind::Purged, VERSION, frame)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn position(term: u64, index: u64) -> LogPosition {
        LogPosition { term, index }
    }

    fn positions() -> impl Strategy<Value = LogPosition> {
        any::<(u64, u64)>().prop_map(|(term, index)| position(term, index))
    }

    fn memberships() -> impl Strategy<Value = Membership> {
        let member = any::<([u8; 16], String, String)>().prop_map(|(id, peer_address, api_address)| Member {
            store_id: StoreId(id),
            peer_address,
            api_address,
        });
        let configs = prop::collection::vec(prop::collection::btree_set(any::<u64>(), 0..4), 0..3);
        let members = prop::collection::btree_map(any::<u64>(), member, 0..4);
        (configs, members).prop_map(|(configs, members)| Membership { configs, members })
    }

    fn entries() -> impl Strategy<Value = LogEntry> {
        let payloads = prop_oneof![
            Just(Payload::Blank),
            prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| Payload::Proposal(bytes.into())),
            memberships().prop_map(Payload::Membership),
        ];
        (positions(), payloads).prop_map(|(position, payload)| LogEntry { position, payload })
    }

    proptest! {
        #[test]
        fn everything_decodes_to_what_was_encoded(
            entry in entries(),
            membership in memberships(),
            position in prop::option::of(positions()),
            vote in any::<(u64, u64, bool)>(),
        ) {
            let vote = Vote { term: vote.0, leader: vote.1, committed: vote.2 };
            prop_assert_eq!(Vote::decode(&vote.encode()), Ok(vote));
            prop_assert_eq!(LogEntry::decode(&entry.encode()), Ok(entry));
            prop_assert_eq!(Membership::decode(&membership.encode()), Ok(membership));
            let committed = Committed { position };
            prop_assert_eq!(Committed::decode(&committed.encode()), Ok(committed));
            let purged = Purged { position: position.unwrap_or_default() };
            prop_assert_eq!(Purged::decode(&purged.encode()), Ok(purged));
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let framed = envelope::seal(Kind::LogEntry, VERSION, &bytes);
            let _ = LogEntry::decode(&framed);
            prop_assert!(LogEntry::decode(&Bytes::from(bytes)).is_err());
        }
    }

    #[test]
    fn positions_are_ordered_by_term_then_index() {
        let ascending = [position(1, 9), position(2, 0), position(2, 1), position(3, 0)];
        assert!(ascending.is_sorted());
    }

    #[test]
    fn a_decoded_proposal_is_a_slice_of_its_frame() {
        let entry = LogEntry { position: position(1, 3), payload: Payload::Proposal(Bytes::from(vec![7; 1000])) };
        let frame = entry.encode();
        let Payload::Proposal(proposal) = LogEntry::decode(&frame).expect("it was just encoded").payload else {
            panic!("a proposal went in");
        };
        assert!(frame.as_ptr_range().contains(&proposal.as_ptr()));
    }

    #[test]
    fn an_entry_encodes_with_named_fields_and_raw_bytes() {
        let entry = LogEntry { position: position(1, 3), payload: Payload::Proposal(Bytes::from_static(b"\x00\xff")) };
        let expected =
            [b"\x82\xa8position\x82\xa4term\x01\xa5index\x03".as_slice(), b"\xa7payload\x81\xa8proposal\xc4\x02\x00\xff"]
                .concat();
        assert_eq!(envelope::open(Kind::LogEntry, VERSION, &entry.encode()), Ok((1, expected.as_slice())));
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let payload = b"\x84\xa4term\x01\xa6leader\x02\xa9committed\xc2\xa5other\x01";
        let error = Vote::decode(&envelope::seal(Kind::Vote, VERSION, payload)).expect_err("a field is unknown");
        assert!(error.to_string().contains("unknown field `other`"), "{error}");
    }
}
