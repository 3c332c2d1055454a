//! What nodes relay to each other of storage servers, held to bytes that were written down once.
//!
//! `corpus.txt` has one line for each message: its name, and its bytes in hexadecimal. Nothing writes the file: a line is added
//! with a new variant, and never changed.

use std::collections::BTreeMap;

use bursar_domain::{AuthorityNodeId, ServerGuid, ServerId, Timestamp, hash::hex};
use bursar_wire::control::{Heartbeat, Outcome, Port, Probed, Seen, Sight};
use bytes::Bytes;

use crate::{
    observed::{Heard, Observation},
    relayed::{Answer, Question, decode, encode},
    sights::Look,
};

const CORPUS: &str = include_str!("corpus.txt");

fn heartbeat() -> Heartbeat {
    let now = Timestamp(1_900_000_000_000);
    Heartbeat { version: "0.1.0".into(), now, position: None, store_points: BTreeMap::new(), sights: Vec::new() }
}

fn observation() -> Observation {
    let at = Timestamp(1_900_000_000_250);
    let heard = Heard { guid: ServerGuid([1; 16]), at, clock_ahead_ms: -250, heartbeat: heartbeat() };
    Observation { server: ServerId(7), heard, ports_tried: 6, ports_closed: 1 }
}

fn sight() -> Sight {
    let probed = Probed { address: "10.0.0.7:4283".parse().expect("an address"), outcome: Outcome::Refused };
    Sight { of: Seen::Server(ServerId(7)), port: Port::Peer, probed, ago_ms: 1_500 }
}

fn look() -> Look {
    let (by, of) = (Seen::AuthorityNode(AuthorityNodeId(2)), Seen::Server(ServerId(7)));
    Look { by, of, port: Port::Peer, number: 4283, outcome: Outcome::TimedOut, age_ms: 2_500 }
}

/// A message's bytes, and what decoding and encoding them again gives.
fn question(question: &Question) -> (Bytes, Bytes) {
    let bytes = encode(question);
    let read: Question = decode(&bytes).expect("a question");
    (encode(&read), bytes)
}

fn answer(answer: &Answer) -> (Bytes, Bytes) {
    let bytes = encode(answer);
    let read: Answer = decode(&bytes).expect("an answer");
    (encode(&read), bytes)
}

fn samples() -> BTreeMap<&'static str, (Bytes, Bytes)> {
    let _: fn(Question) = |question| match question {
        Question::Heartbeat { .. } | Question::Sights { .. } | Question::Observations { .. } | Question::Looks { .. } => {}
    };
    let _: fn(Answer) = |answer| match answer {
        Answer::Heard { .. } | Answer::Seen | Answer::Observations { .. } | Answer::Looks { .. } => {}
    };
    let (server, guid, node) = (ServerId(7), ServerGuid([1; 16]), AuthorityNodeId(2));
    let Look { by, of, port, .. } = look();
    [
        ("question.heartbeat", question(&Question::Heartbeat { server, guid, heartbeat: Box::new(heartbeat()) })),
        ("question.sights", question(&Question::Sights { node, sights: vec![sight()] })),
        ("question.looks", question(&Question::Looks { server, behind: Some((by, of, port)) })),
        ("question.observations", question(&Question::Observations { behind: Some(server) })),
        ("answer.heard", answer(&Answer::Heard { again_ms: 5_000 })),
        ("answer.seen", answer(&Answer::Seen)),
        ("answer.looks", answer(&Answer::Looks { looks: vec![look()], more: false })),
        ("answer.observations", answer(&Answer::Observations { observations: vec![observation()], more: true })),
    ]
    .into()
}

#[test]
fn every_message_has_the_bytes_that_were_written_down() {
    let written: BTreeMap<&str, &str> = CORPUS.lines().filter_map(|line| line.split_once(' ')).collect();
    let samples = samples();
    let lines: Vec<String> = samples.iter().map(|(name, (_, bytes))| format!("{name} {}", hex::encode(bytes))).collect();
    assert!(written.keys().eq(samples.keys()), "as they are now:\n{}", lines.join("\n"));
    for (name, (again, bytes)) in samples {
        assert_eq!(hex::encode(&bytes), written[name], "{name} is encoded otherwise than it was");
        assert_eq!(again, bytes, "{name} does not come back as it went");
    }
}
