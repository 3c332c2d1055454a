//! Everything that rests in a store, held to bytes that were written down once.
//!
//! `corpus.txt` has one line for each kind of value and each variant: its name, and its bytes in hexadecimal. Nothing writes the
//! file: a line is added with a new kind or variant, and never changed.

use std::collections::BTreeMap;

use bursar_domain::{Digest, Hash, Revision, StoreId, hash::hex};
use bytes::Bytes;

use crate::engine::stamp::Stamp;
use crate::envelope::{self, Kind};
use crate::ledger::corpus as ledger;
use crate::ledger::{Applied, BaseManifest, Manifest, StoredMembership};
use crate::log::types::{Committed, Purged};
use crate::log::{LogEntry, LogPosition, Member, Membership, Payload, Vote};

const CORPUS: &str = include_str!("corpus.txt");

/// A value's bytes, and what decoding and encoding them again gives.
struct Sample {
    bytes: Bytes,
    again: fn(&Bytes) -> Bytes,
}

/// A table of samples: a name, a pattern, a sample each. The patterns make up one `match` without a wildcard, so what is
/// missing from the table does not compile.
macro_rules! table {
    ($of:ty: $($name:literal: $pattern:pat => $value:expr, $sample:expr;)*) => {{
        let _: fn($of) = |value| match value { $($pattern => {})* };
        [$(($name, {
            assert!(matches!($value, $pattern), "{} stands in another's place", $name);
            $sample
        })),*]
    }};
}

fn position(index: u64) -> LogPosition {
    LogPosition { term: 3, index }
}

fn membership() -> Membership {
    let member = |id: u8| Member {
        store_id: StoreId([id; 16]),
        peer_address: format!("node-{id}:4283"),
        api_address: format!("node-{id}:4285"),
    };
    Membership { configs: vec![[1].into(), [1, 2].into()], members: [(1, member(1)), (2, member(2)), (3, member(3))].into() }
}

fn applied() -> Applied {
    Applied {
        position: Some(position(9)),
        membership: StoredMembership { position: Some(position(2)), membership: membership() },
        revision: Revision(7),
        head: Hash([0xab; 32]),
    }
}

fn manifest() -> Manifest {
    Manifest { applied: applied(), digest: Digest::EMPTY, chunks: 2, items: 300, floor: Revision::ZERO, base: None }
}

/// The state at a floor is sent to nobody, so no manifest that is in use has a base; its form is fixed all the same.
fn with_base() -> Manifest {
    let base = BaseManifest { head: Hash([1; 32]), digest: Digest::EMPTY, chunks: 1, items: 2 };
    Manifest { floor: Revision(4), base: Some(base), ..manifest() }
}

fn sample(bytes: Bytes, again: fn(&Bytes) -> Bytes) -> Sample {
    Sample { bytes, again }
}

fn entry(payload: Payload) -> Sample {
    sample(LogEntry { position: position(8), payload }.encode(), |bytes| LogEntry::decode(bytes).expect("an entry").encode())
}

fn kinds() -> impl Iterator<Item = (&'static str, Sample)> {
    table! { Kind:
        "stamp": Kind::Stamp => Kind::Stamp, sample(Stamp { format: 1, store: StoreId([7; 16]) }.encode(), |bytes| {
            Stamp::decode(bytes).expect("a stamp").encode()
        });
        "vote": Kind::Vote => Kind::Vote, sample(Vote { term: 3, leader: 2, committed: true }.encode(), |bytes| {
            Vote::decode(bytes).expect("a vote").encode()
        });
        "committed": Kind::Committed => Kind::Committed, sample(Committed { position: Some(position(8)) }.encode(), |bytes| {
            Committed::decode(bytes).expect("a position").encode()
        });
        "purged": Kind::Purged => Kind::Purged, sample(Purged { position: position(8) }.encode(), |bytes| {
            Purged::decode(bytes).expect("a position").encode()
        });
        "log_entry": Kind::LogEntry => Kind::LogEntry, entry(Payload::Proposal(Bytes::from_static(b"\x00proposal\xff")));
        "membership": Kind::Membership => Kind::Membership, sample(membership().encode(), |bytes| {
            Membership::decode(bytes).expect("a membership").encode()
        });
        "record": Kind::Record => Kind::Record, sample(ledger::record(Revision(7), b"\x02\x01record"), ledger::record_again);
        "applied": Kind::Applied => Kind::Applied, sample(applied().encode(), |bytes| {
            Applied::decode(bytes).expect("a position").encode()
        });
        "manifest": Kind::CheckpointManifest => Kind::CheckpointManifest, sample(manifest().encode(), |bytes| {
            Manifest::decode(bytes).expect("a manifest").encode()
        });
        "chunk": Kind::CheckpointChunk => Kind::CheckpointChunk, sample(ledger::chunk(&[b"an item", b"another"]), ledger::chunk_again);
        "pointer": Kind::CheckpointPointer => Kind::CheckpointPointer, sample(ledger::pointer(5), ledger::pointer_again);
    }
    .into_iter()
}

fn payloads() -> impl Iterator<Item = (&'static str, Sample)> {
    table! { Payload:
        "log_entry.blank": Payload::Blank => Payload::Blank, entry(Payload::Blank);
        "log_entry.proposal": Payload::Proposal(_) => Payload::Proposal(Bytes::new()), entry(Payload::Proposal(Bytes::new()));
        "log_entry.membership": Payload::Membership(_) => Payload::Membership(membership()), entry(Payload::Membership(membership()));
    }
    .into_iter()
}

/// Values without what they may lack.
fn without() -> impl Iterator<Item = (&'static str, Sample)> {
    let committed =
        sample(Committed { position: None }.encode(), |bytes| Committed::decode(bytes).expect("no position").encode());
    let applied = sample(Applied::default().encode(), |bytes| Applied::decode(bytes).expect("no position").encode());
    let with_base = sample(with_base().encode(), |bytes| {
        envelope::unpack::<Manifest>(Kind::CheckpointManifest, 1, bytes).expect("a manifest").encode()
    });
    [("committed.nothing", committed), ("applied.nothing", applied), ("manifest.with_base", with_base)].into_iter()
}

#[test]
fn everything_has_the_bytes_that_were_written_down() {
    let written: BTreeMap<&str, &str> = CORPUS.lines().filter_map(|line| line.split_once(' ')).collect();
    let samples: BTreeMap<_, _> = kinds().chain(payloads()).chain(without()).collect();
    let lines: Vec<String> = samples.iter().map(|(name, sample)| format!("{name} {}", hex::encode(&sample.bytes))).collect();
    assert!(written.keys().eq(samples.keys()), "as they are now:\n{}", lines.join("\n"));
    for (name, Sample { bytes, again }) in samples {
        assert_eq!(hex::encode(&bytes), written[name], "{name} is encoded otherwise than it was");
        assert_eq!(again(&bytes), bytes, "{name} does not come back as it went");
    }
}
