//! What is said in the tests, put shortly.

use std::collections::BTreeMap;

use bursar_domain::{
    AbsolutePath, Actor, AuthorityNodeId, Cursor, DestinationId, Epoch, Event, Hash, Name, Projection, Record, RequestId,
    Revision, ServerGuid, ServerId, StorePointId, Timestamp,
    encoding::encode,
    projection::{Listens, Making, Peer, StorePoint},
    record::DecisionSpan,
    server::{self, Addresses, Ports},
    store_point::{self, Flags, Intent, Quota, Report},
};
use bursar_net::Address;
use bursar_wire::control::{FeedItem, Notice};
use serde_bytes::ByteBuf;

/// The server of the tests.
pub const ME: ServerId = ServerId(7);
/// Another one of its destination.
pub const OTHER: ServerId = ServerId(8);
/// The identity of the other one.
pub const OTHERS_GUID: ServerGuid = ServerGuid([8; 16]);
/// Its destination.
pub const HERE: DestinationId = DestinationId(1);

pub fn address(text: &str) -> Address {
    text.parse().unwrap()
}

/// Where an authority node listens for storage servers.
pub fn control_of(node: u64) -> Address {
    address(&format!("authority-{node}.example:4288"))
}

pub fn nodes(numbers: &[u64]) -> BTreeMap<AuthorityNodeId, Address> {
    numbers.iter().map(|node| (AuthorityNodeId(*node), control_of(*node))).collect()
}

pub fn at(revision: u64) -> Cursor {
    Cursor { epoch: Epoch(1), revision: Revision(revision) }
}

/// What the server is to know: itself, and these authority nodes.
pub fn fleet(numbers: &[u64]) -> Projection {
    let listens = |node: u64| Listens {
        control: ledger_address(&control_of(node).to_string()),
        peer: ledger_address(&format!("authority-{node}.example:4283")),
    };
    Projection {
        server: ME,
        name: name("store-7"),
        addresses: addresses("store-7.example:4288"),
        destination: HERE,
        intent: server::Intent::Active,
        authority: numbers.iter().map(|node| (AuthorityNodeId(*node), listens(*node))).collect(),
        peers: BTreeMap::new(),
        store_points: BTreeMap::new(),
    }
}

/// The other server, as the tests' server knows it.
pub fn other() -> Peer {
    Peer { name: name("store-8"), addresses: addresses("store-8.example:4288"), guid: OTHERS_GUID }
}

pub fn store_point(id: u64, path: &std::path::Path, making: Making) -> (StorePointId, StorePoint) {
    let point = StorePoint {
        name: name(&format!("disk-{id}")),
        path: AbsolutePath::parse("path", path.to_str().unwrap()).unwrap(),
        directory: store_point::directory_name(ME, StorePointId(id)),
        flags: Flags::default(),
        quota: Quota::Unlimited,
        intent: Intent::Active,
        making,
    };
    (StorePointId(id), point)
}

pub fn renamed(to: &str) -> Event {
    server::Event::Edited { server: ME, destination: HERE, name: Some(name(to)), addresses: None }.into()
}

pub fn removed() -> Event {
    server::Event::Removed { server: ME, destination: HERE }.into()
}

pub fn reported(store_point: u64, report: Report) -> Event {
    store_point::Event::Reported { store_point: StorePointId(store_point), server: ME, report }.into()
}

pub fn anew(revision: u64, projection: &Projection) -> FeedItem {
    FeedItem::Anew { cursor: at(revision), projection: Box::new(projection.clone()) }
}

/// What happened, one decision each, the last at `upto`.
pub fn happened(upto: u64, events: &[Event]) -> FeedItem {
    let first = upto + 1 - events.len() as u64;
    let records = (first..).zip(events).map(|(revision, event)| ByteBuf::from(encode(&record(revision, event)))).collect();
    FeedItem::Records { records, upto: at(upto) }
}

pub fn head(revision: u64, projection: &Projection) -> FeedItem {
    FeedItem::Head { cursor: at(revision), digest: Some(projection.digest()) }
}

/// The projection behind an event.
pub fn behind(projection: &Projection, event: &Event) -> Projection {
    Projection::behind(Some(projection.clone()), ME, event).unwrap()
}

pub fn told(store_point: u64, report: Report) -> Notice {
    Notice::StorePoint { store_point: StorePointId(store_point), report }
}

fn record(revision: u64, event: &Event) -> Record {
    Record {
        revision: Revision(revision),
        decision: DecisionSpan { first: Revision(revision), count: 1 },
        time: Timestamp(1_900_000_000_000),
        actor: Actor::Founder,
        request: RequestId::minted("a-request").unwrap(),
        audience: event.audience(),
        previous: Hash::ZERO,
        event: event.clone(),
        closing: None,
    }
}

fn name(text: &str) -> Name {
    Name::parse("name", text).unwrap()
}

fn ledger_address(text: &str) -> bursar_domain::text::Address {
    bursar_domain::text::Address::parse("address", text).unwrap()
}

fn addresses(primary: &str) -> Addresses {
    Addresses { primary: ledger_address(primary), secondary: None, ports: Ports { peer: 4283, transfer: 4286 } }
}
