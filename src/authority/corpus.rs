//! What machines that join say and are told, and what a data directory says of itself, held to bytes that were written down
//! once.
//!
//! `corpus/lane.txt` has one line for each message: its name, and its bytes in hexadecimal; `corpus/identity.toml`,
//! `corpus/members.toml` and `corpus/joining` are what rests in files, the latter two behind its hash. Nothing writes any of
//! them: what is new is added, and what is there never changed.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::{collections::BTreeMap, path::Path};

use bursar_domain::{AuthorityNodeId, ClusterId, Level, StoreId, authority_node::Facts, hash::hex};
use bursar_net::{CertificateRequest, frame, kept_from_toml, kept_to_toml};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    admission::{JoinAnswer, JoinQuestion, Welcome},
    identity::Identity,
    joiner::Joiner,
    members::{KnownMember, Members},
};

const LANE: &str = include_str!("corpus/lane.txt");
const IDENTITY: &str = include_str!("corpus/identity.toml");
const JOINING: &str = include_str!("corpus/joining");
const MEMBERS: &str = include_str!("corpus/members.toml");

/// A message's bytes, and what decoding and encoding them again gives.
struct Sample {
    bytes: Vec<u8>,
    again: fn(&[u8]) -> Vec<u8>,
}

fn question() -> Sample {
    let facts = Facts {
        store: StoreId([7; 16]),
        peer_address: "node-2:4283".into(),
        api_address: "node-2:4285".into(),
        control_address: "node-2:4288".into(),
        version: "0.1.0".into(),
        supported: Level::FIRST,
    };
    let certificate_request = CertificateRequest::from_der(vec![0x30, 0x00]).unwrap();
    let question = JoinQuestion { secret: "s3cret".into(), facts, certificate_request };
    let again = |bytes: &[u8]| frame::encode(&frame::decode::<JoinQuestion>(bytes).unwrap()).unwrap().to_vec();
    Sample { bytes: frame::encode(&question).unwrap().to_vec(), again }
}

fn answer(answer: &JoinAnswer) -> Sample {
    let again = |bytes: &[u8]| frame::encode(&frame::decode::<JoinAnswer>(bytes).unwrap()).unwrap().to_vec();
    Sample { bytes: frame::encode(answer).unwrap().to_vec(), again }
}

fn members() -> Members {
    let first = KnownMember {
        node: AuthorityNodeId(1),
        store: StoreId([6; 16]),
        peer_address: "node-1:4283".into(),
        api_address: "node-1:4285".into(),
    };
    Members { members: vec![first] }
}

/// Every answer: one that is missing does not compile.
fn answers() -> [(&'static str, JoinAnswer); 2] {
    let _: fn(JoinAnswer) = |answer| match answer {
        JoinAnswer::Welcome(_) | JoinAnswer::Refused { .. } => {}
    };
    let welcome = Welcome {
        cluster: ClusterId([9; 16]),
        node: AuthorityNodeId(2),
        certificate: "a certificate".into(),
        ca_certificate: "an authority".into(),
        cluster_key: vec![0xfe; 32],
        members: members(),
    };
    let refused = JoinAnswer::Refused {
        code: "join_token_used".into(),
        reason: "the join token was used".into(),
        remedy: "Ask for another.".into(),
        passing: false,
    };
    [("answer.welcome", JoinAnswer::Welcome(Box::new(welcome))), ("answer.refused", refused)]
}

#[test]
fn every_message_of_the_join_lane_has_the_bytes_that_were_written_down() {
    let written: BTreeMap<&str, &str> = LANE.lines().filter_map(|line| line.split_once(' ')).collect();
    let mut samples = BTreeMap::from([("question", question())]);
    samples.extend(answers().iter().map(|(name, message)| (*name, answer(message))));
    let lines: Vec<String> = samples.iter().map(|(name, sample)| format!("{name} {}", hex::encode(&sample.bytes))).collect();
    assert!(written.keys().eq(samples.keys()), "as they are now:\n{}", lines.join("\n"));
    for (name, Sample { bytes, again }) in samples {
        assert_eq!(hex::encode(&bytes), written[name], "{name} is encoded otherwise than it was");
        assert_eq!(again(&bytes), bytes, "{name} does not come back as it went");
    }
}

/// Asserts that a file holds this, and that it is read alike.
fn held<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(written: &str, value: &T) {
    assert_eq!(kept_to_toml(value), written);
    assert_eq!(&kept_from_toml::<T>(Path::new("corpus"), written.as_bytes(), "").unwrap(), value);
}

#[test]
fn the_members_that_a_machine_is_told_of_are_the_file_that_was_written_down() {
    held(MEMBERS, &members());
}

#[test]
fn an_identity_is_the_file_that_was_written_down() {
    let identity = Identity::new(ClusterId([9; 16]), StoreId([7; 16]), AuthorityNodeId(2));
    held(IDENTITY, &identity);
}

#[test]
fn what_a_joining_machine_keeps_is_the_file_that_was_written_down() {
    let joiner = Joiner::from_text(JOINING).unwrap();
    assert_eq!(joiner.store, StoreId([7; 16]));
    assert_eq!(*joiner.to_text(), JOINING);
}
