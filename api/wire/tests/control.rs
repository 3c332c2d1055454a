//! What authority nodes and storage servers say to each other, held to bytes that were written down once.
//!
//! `corpus/control.txt` has one line for each message: its name, and its bytes in hexadecimal. Nothing writes the file: a line is
//! added with a new variant, and never changed once it was released.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::{collections::BTreeMap, fmt::Debug};

use bursar_domain::{
    AuthorityNodeId, ClusterId, Cursor, DestinationId, Epoch, Hash, Level, Projection, Revision, ServerGuid, ServerId,
    StorePointId, Timestamp,
    hash::hex,
    projection::Listens,
    server::{Addresses, Intent, Ports, ProgramFacts, ProjectionState},
    store_point::{Findings, Found, OfflineReason, Report},
    text::{Address as DomainAddress, Name},
};
use bursar_net::{Address, CertificateRequest, frame};
use bursar_wire::control::{
    AuthorityAnswer, AuthorityQuestion, Capacity, FeedItem, Follow, Heartbeat, Introduced, Membership, NewcomerAnswer,
    NewcomerQuestion, Notice, Outcome, Port, Probed, Seen, ServerAnswer, ServerQuestion, Sight,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;

const CORPUS: &str = include_str!("corpus/control.txt");

/// A message's bytes, and what decoding and encoding them again gives.
struct Sample {
    bytes: Vec<u8>,
    again: Vec<u8>,
}

fn sample<T: Serialize + DeserializeOwned + PartialEq + Debug>(message: &T) -> Sample {
    let bytes = frame::encode(message).unwrap().to_vec();
    let read: T = frame::decode(&bytes).unwrap();
    assert_eq!(read, *message);
    Sample { again: frame::encode(&read).unwrap().to_vec(), bytes }
}

/// Samples of all variants of an enum, under their names. They make up one `match` without a wildcard, so one that is missing
/// does not compile.
macro_rules! every {
    ($samples:ident, $enum:ident: $($name:literal: $pattern:pat => $value:expr,)*) => {
        let _: fn($enum) = |value| match value { $($pattern => {})* };
        $({
            let value: $enum = $value;
            assert!($samples.insert($name, sample(&value)).is_none(), "{} is there twice", $name);
        })*
    };
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn cursor(revision: u64) -> Cursor {
    Cursor { epoch: Epoch(1), revision: Revision(revision) }
}

fn program() -> ProgramFacts {
    ProgramFacts { version: "0.1.0".into(), platform: "x86_64-linux".into(), supported: Level(1) }
}

fn probed(outcome: Outcome) -> Probed {
    Probed { address: address("auth-1.example:4288"), outcome }
}

fn introduced() -> Introduced {
    Introduced {
        guid: ServerGuid([1; 16]),
        program: program(),
        now: Timestamp(1_900_000_000_000),
        certificate_request: CertificateRequest::from_der(vec![0x30, 0x00]).unwrap(),
        probed: vec![probed(Outcome::Reached { after_us: 350 }), probed(Outcome::Refused)],
    }
}

fn membership() -> Membership {
    Membership {
        cluster: ClusterId([9; 16]),
        server: ServerId(7),
        ca_certificate: "an authority".into(),
        certificate: "a certificate".into(),
        authority: [(AuthorityNodeId(1), address("auth-1.example:4288"))].into(),
    }
}

fn projection() -> Projection {
    let address = |text| DomainAddress::parse("address", text).unwrap();
    Projection {
        server: ServerId(7),
        name: Name::parse("name", "ark").unwrap(),
        addresses: Addresses {
            primary: address("ark.example:4288"),
            secondary: None,
            ports: Ports { peer: 4283, transfer: 4286 },
        },
        destination: DestinationId(3),
        intent: Intent::Active,
        authority: [(
            AuthorityNodeId(1),
            Listens { control: address("auth-1.example:4288"), peer: address("auth-1.example:4283") },
        )]
        .into(),
        peers: BTreeMap::new(),
        store_points: BTreeMap::new(),
    }
}

fn heartbeat() -> Heartbeat {
    let sight = |of, port, outcome| Sight { of, port, probed: probed(outcome), ago_ms: 4_000 };
    Heartbeat {
        version: "0.1.0".into(),
        now: Timestamp(1_900_000_000_000),
        position: Some(cursor(70_000)),
        store_points: [(StorePointId(5), Capacity { total: 1 << 42, free: 1 << 40, used: 1 << 41 })].into(),
        sights: vec![
            sight(Seen::AuthorityNode(AuthorityNodeId(1)), Port::Control, Outcome::Refused),
            sight(Seen::Server(ServerId(8)), Port::Peer, Outcome::TimedOut),
            sight(Seen::Server(ServerId(8)), Port::Transfer, Outcome::Failed { detail: "no route to host".into() }),
        ],
    }
}

fn findings() -> Findings {
    Findings {
        found: Found::Directory,
        canonical_path: "/srv/first".into(),
        writable: true,
        within: None,
        foreign_identity: false,
        free_bytes: 1 << 40,
    }
}

fn samples() -> BTreeMap<&'static str, Sample> {
    let mut samples = BTreeMap::new();
    let secret = Hash([6; 32]);
    every! { samples, NewcomerQuestion:
        "newcomer_question.introduce": NewcomerQuestion::Introduce { .. } =>
            NewcomerQuestion::Introduce { secret, probe: vec![address("auth-1.example:4288")] },
        "newcomer_question.adopt": NewcomerQuestion::Adopt { .. } =>
            NewcomerQuestion::Adopt { secret, membership: Box::new(membership()) },
    }
    every! { samples, NewcomerAnswer:
        "newcomer_answer.introduced": NewcomerAnswer::Introduced(_) => NewcomerAnswer::Introduced(Box::new(introduced())),
        "newcomer_answer.adopted": NewcomerAnswer::Adopted => NewcomerAnswer::Adopted,
        "newcomer_answer.voided": NewcomerAnswer::Voided => NewcomerAnswer::Voided,
        "newcomer_answer.expired": NewcomerAnswer::Expired => NewcomerAnswer::Expired,
        "newcomer_answer.failed": NewcomerAnswer::Failed { .. } => NewcomerAnswer::Failed { detail: "no space".into() },
    }
    samples.insert("follow", sample(&Follow { since: Some(cursor(70_000)), schema: 1 }));
    every! { samples, FeedItem:
        "feed.anew": FeedItem::Anew { .. } => FeedItem::Anew { cursor: cursor(12), projection: Box::new(projection()) },
        "feed.records": FeedItem::Records { .. } =>
            FeedItem::Records { records: vec![ByteBuf::from(b"\x00record\xff".to_vec())], upto: cursor(13) },
        "feed.head": FeedItem::Head { .. } => FeedItem::Head { cursor: cursor(13), digest: Some(Hash([5; 32])) },
        "feed.excluded": FeedItem::Excluded => FeedItem::Excluded,
        "feed.ended": FeedItem::Ended { .. } => FeedItem::Ended { detail: "it lags".into() },
    }
    every! { samples, ServerQuestion:
        "server_question.heartbeat": ServerQuestion::Heartbeat { .. } =>
            ServerQuestion::Heartbeat { heartbeat: Box::new(heartbeat()), said: vec![Notice::Program(program())] },
        "server_question.notice": ServerQuestion::Notice { .. } =>
            ServerQuestion::Notice { request: "request-1".into(), notice: Notice::Program(program()) },
    }
    every! { samples, Notice:
        "notice.store_point": Notice::StorePoint { .. } =>
            Notice::StorePoint { store_point: StorePointId(5), report: Report::Offline(OfflineReason::ReadOnly) },
        "notice.program": Notice::Program(_) => Notice::Program(program()),
        "notice.projection": Notice::Projection { .. } =>
            Notice::Projection { state: ProjectionState::Mismatched, at: Revision(13) },
    }
    every! { samples, ServerAnswer:
        "server_answer.heard": ServerAnswer::Heard { .. } => ServerAnswer::Heard { again_ms: 5_000, level: Level(1), otherwise: true },
        "server_answer.noted": ServerAnswer::Noted { .. } => ServerAnswer::Noted { revision: Revision(13) },
        "server_answer.refused": ServerAnswer::Refused { .. } =>
            ServerAnswer::Refused { code: "not_found".into(), detail: "store point 5 does not exist".into() },
        "server_answer.unavailable": ServerAnswer::Unavailable { .. } =>
            ServerAnswer::Unavailable { detail: "no node led".into() },
    }
    every! { samples, AuthorityQuestion:
        "authority_question.examine": AuthorityQuestion::Examine { .. } =>
            AuthorityQuestion::Examine { path: "/srv/first".into() },
        "authority_question.probe": AuthorityQuestion::Probe { .. } =>
            AuthorityQuestion::Probe { addresses: vec![address("10.0.0.7:4283")] },
    }
    every! { samples, AuthorityAnswer:
        "authority_answer.found": AuthorityAnswer::Found(_) => AuthorityAnswer::Found(findings()),
        "authority_answer.probed": AuthorityAnswer::Probed(_) => AuthorityAnswer::Probed(vec![probed(Outcome::Reached { after_us: 350 })]),
        "authority_answer.failed": AuthorityAnswer::Failed { .. } => AuthorityAnswer::Failed { detail: "no".into() },
    }
    samples
}

#[test]
fn every_message_of_the_control_port_has_the_bytes_that_were_written_down() {
    let written: BTreeMap<&str, &str> = CORPUS.lines().filter_map(|line| line.split_once(' ')).collect();
    let samples = samples();
    let lines: Vec<String> = samples.iter().map(|(name, sample)| format!("{name} {}", hex::encode(&sample.bytes))).collect();
    assert!(written.keys().eq(samples.keys()), "as they are now:\n{}", lines.join("\n"));
    for (name, Sample { bytes, again }) in samples {
        assert_eq!(hex::encode(&bytes), written[name], "{name} is encoded otherwise than it was");
        assert_eq!(again, bytes, "{name} does not come back as it went");
    }
}
