//! What travels before anything else does, and what rests sealed, held to bytes that were written down once.
//!
//! `corpus.txt` has one line for each variant: its name, and its bytes in hexadecimal. Nothing writes the file: a line is added
//! with a new variant, and never changed.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::frame::{decode, encode};
use crate::{ClusterId, ClusterKey, Entropy, Hello, HelloReply, Lane, Member, Refusal, RefusalCode, Role, StoreId};

const CORPUS: &str = include_str!("corpus.txt");

const PURPOSE: &str = "certificate authority key";

/// A value's bytes, and what decoding and encoding them again gives.
struct Sample {
    bytes: Bytes,
    again: fn(&Bytes) -> Bytes,
}

/// All variants of an enum, under their names. They make up one `match` without a wildcard, so one that is missing does not
/// compile.
macro_rules! every {
    ($enum:ident: $($variant:ident => $name:literal,)*) => {{
        let _: fn($enum) = |value| match value { $($enum::$variant => {})* };
        [$(($enum::$variant, $name)),*]
    }};
}

/// Gives the same bytes each time.
struct Sevens;

impl Entropy for Sevens {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn hello(lane: Lane) -> Sample {
    let member = |id| Member { role: Role::Authority, id };
    let (from, to_store) = match lane {
        Lane::Join => (None, None),
        Lane::Append | Lane::Vote | Lane::Snapshot | Lane::Forward | Lane::Follow | Lane::Control | Lane::Probe => {
            (Some(member(2)), Some(StoreId([1; 16])))
        }
    };
    let cluster = ClusterId::new("c-0a1b").unwrap();
    let hello = Hello { protocol: 1, cluster, from, from_store: StoreId([2; 16]), to: member(1), to_store, lane };
    Sample { bytes: encode(&hello).unwrap(), again: |bytes| encode(&decode::<Hello>(bytes).unwrap()).unwrap() }
}

fn reply(reply: &HelloReply) -> Sample {
    let again = |bytes: &Bytes| encode(&decode::<HelloReply>(bytes).unwrap()).unwrap();
    let _: fn(HelloReply) = |reply| match reply {
        HelloReply::Welcome { .. } | HelloReply::Refused(_) => {}
    };
    Sample { bytes: encode(reply).unwrap(), again }
}

fn refused(code: RefusalCode) -> Sample {
    reply(&HelloReply::Refused(Refusal { code, reason: "it does not fit".into(), remedy: "make it fit".into() }))
}

fn sealed() -> Sample {
    fn key() -> ClusterKey {
        ClusterKey::from_bytes(&[9; 32]).unwrap()
    }
    let again = |bytes: &Bytes| key().seal(PURPOSE, &key().open(PURPOSE, bytes).unwrap(), &Sevens).into();
    Sample { bytes: key().seal(PURPOSE, b"a secret", &Sevens).into(), again }
}

fn samples() -> BTreeMap<String, Sample> {
    let lanes = every! { Lane: Append => "append", Vote => "vote", Snapshot => "snapshot", Forward => "forward", Join => "join",
    Follow => "follow", Control => "control", Probe => "probe", };
    let codes = every! { RefusalCode:
        MalformedHello => "malformed_hello", UnsupportedProtocol => "unsupported_protocol", ForeignCluster => "foreign_cluster",
        CertificateRequired => "certificate_required", IdentityMismatch => "identity_mismatch", WrongNode => "wrong_node",
        WrongStore => "wrong_store", ForeignStore => "foreign_store", UnknownNode => "unknown_node",
        RemovedNode => "removed_node", Unavailable => "unavailable",
    };
    let roles = every! { Role: Authority => "authority", Server => "server", };
    let role = |role: Role| Sample {
        bytes: encode(&Member { role, id: 3 }).unwrap(),
        again: |bytes| encode(&decode::<Member>(bytes).unwrap()).unwrap(),
    };
    let mut samples = BTreeMap::new();
    samples.extend(lanes.map(|(lane, name)| (format!("hello.{name}"), hello(lane))));
    samples.extend(codes.map(|(code, name)| (format!("refused.{name}"), refused(code))));
    samples.extend(roles.map(|(of, name)| (format!("member.{name}"), role(of))));
    samples.insert("welcome".into(), reply(&HelloReply::Welcome { store: StoreId([1; 16]) }));
    samples.insert("sealed".into(), sealed());
    samples
}

#[test]
fn everything_has_the_bytes_that_were_written_down() {
    let hex = |bytes: &Bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let written: BTreeMap<&str, &str> = CORPUS.lines().filter_map(|line| line.split_once(' ')).collect();
    let samples = samples();
    let lines: Vec<String> = samples.iter().map(|(name, sample)| format!("{name} {}", hex(&sample.bytes))).collect();
    assert!(written.keys().eq(samples.keys()), "as they are now:\n{}", lines.join("\n"));
    for (name, Sample { bytes, again }) in samples {
        assert_eq!(hex(&bytes), written[name.as_str()], "{name} is encoded otherwise than it was");
        assert_eq!(again(&bytes), bytes, "{name} does not come back as it went");
    }
}
