//! What each noun looks like on the wire, made from a state that the domain itself has decided.

#![allow(clippy::unwrap_used, reason = "a test fails where it meets what it does not expect")]

use bursar_domain::{
    Actor, ClusterId, Command, Hash, Level, OperationId, Proposal, Record, RequestId, State, StoreId, Submission, Timestamp,
    authority_node, cluster, decide, evolve, seal,
};
use bursar_wire::{
    Secret,
    cluster::{EditMember, Invitation, InviteMember, Member, MemberRole},
    destinations::{CreateDestination, Destination, EditDestination},
    events::{Bookmark, EventLine, StreamItem},
    operations::Operation,
    sites::{CreateSite, EditSite, Site},
    status::Counts,
    tokens::{IssueToken, IssuedToken, Token},
};
use serde_json::{Value, from_str, from_value, json, to_value};

/// A founded cluster with an administrator, and all records so far.
struct Ledger {
    state: State,
    records: Vec<Record>,
    requests: u32,
}

impl Ledger {
    fn founded() -> Self {
        let mut ledger = Self { state: State::default(), records: Vec::new(), requests: 0 };
        let found = cluster::Command::Found {
            cluster: ClusterId([7; 16]),
            license_key: vec![1; 32],
            ca_certificate: "certificate".into(),
            sealed_ca_key: vec![2; 48],
            setup_secret: Secret::new("setup").hash(),
            node: facts(1),
        };
        ledger.carry_out(Actor::Founder, Command::Cluster(found));
        let first: IssueToken = from_value(json!({ "name": "first", "setup_secret": "setup" })).unwrap();
        ledger.carry_out(Actor::Founder, first.command(Hash::of(b"first")).unwrap());
        ledger
    }

    fn carry_out(&mut self, actor: Actor, command: Command) {
        self.requests += 1;
        let submission = Submission {
            actor,
            request: RequestId::parse(&format!("request-{}", self.requests)).unwrap(),
            fingerprint: Hash::of(b"request"),
            expected: None,
            planned_on: None,
            command,
        };
        let proposal = Proposal { time: Timestamp(1_700_000_000_000), submission };
        let decision = decide(&self.state, &proposal);
        decision.outcome.as_ref().expect("the command is carried out");
        for sealed in seal(&self.state, &proposal, &decision) {
            evolve(&mut self.state, &sealed);
            self.records.push(sealed.record);
        }
    }

    fn administrator(&mut self, command: Command) {
        self.carry_out(Actor::Token(1.into()), command);
    }
}

fn facts(number: u8) -> authority_node::Facts {
    authority_node::Facts {
        store: StoreId([number; 16]),
        peer_address: format!("10.0.0.{number}:4283"),
        api_address: format!("10.0.0.{number}:4285"),
        control_address: format!("10.0.0.{number}:4288"),
        version: "0.1.0".into(),
        supported: Level::SUPPORTED,
    }
}

fn with_destination() -> Ledger {
    let mut ledger = Ledger::founded();
    ledger.administrator(from_value::<CreateSite>(json!({ "name": "West" })).unwrap().command());
    let destination = json!({
        "name": "Vault",
        "site": 1,
        "balancing": { "window": { "from": "22:00", "to": "06:30" }, "rate_bytes_per_second": 1_000_000 },
    });
    ledger.administrator(from_value::<CreateDestination>(destination).unwrap().command().unwrap());
    ledger
}

#[test]
fn a_site() {
    let ledger = with_destination();
    let site = Site::of(&ledger.state, ledger.state.sites().get(1.into()).unwrap());
    let stamp =
        json!({ "at": "2023-11-14T22:13:20.000Z", "by": { "kind": "token", "id": 1, "name": "first" }, "revision": "1-5" });
    let expected = json!({
        "id": 1, "name": "West", "expected_latency_ms": 0, "created": stamp, "changed": stamp, "etag": "1-5",
    });
    assert_eq!(to_value(&site).unwrap(), expected);
    assert_eq!(from_value::<Site>(expected).unwrap(), site);
}

#[test]
fn a_destination_takes_the_defaults_of_the_domain() {
    let ledger = with_destination();
    let destination = Destination::of(&ledger.state, ledger.state.destinations().get(1.into()).unwrap());
    let wire = to_value(&destination).unwrap();
    let expected = json!({
        "enabled": true,
        "allowed_variance_percent": 20,
        "window": { "from": "22:00", "to": "06:30" },
        "rate_bytes_per_second": 1_000_000,
        "concurrency": 2,
    });
    assert_eq!(wire["balancing"], expected);
    assert_eq!(wire["free_space"], json!({ "warning_percent": 10, "critical_percent": 5 }));
    assert_eq!(wire["offered"], true);
    assert_eq!(wire["description"], "");
}

#[test]
fn a_merge_patch_tells_absent_from_null() {
    let mut ledger = with_destination();
    let patch = |ledger: &mut Ledger, patch: Value| {
        let edit: EditDestination = from_value(patch).unwrap();
        let command = edit.command(ledger.state.destinations().get(1.into()).unwrap()).unwrap();
        ledger.administrator(command);
        to_value(Destination::of(&ledger.state, ledger.state.destinations().get(1.into()).unwrap())).unwrap()
    };
    let edited = patch(&mut ledger, json!({ "balancing": { "concurrency": 5, "window": null } }));
    assert_eq!(edited["balancing"]["concurrency"], 5);
    assert_eq!(edited["balancing"]["window"], Value::Null);
    assert_eq!(edited["balancing"]["rate_bytes_per_second"], 1_000_000);
    let edited = patch(&mut ledger, json!({ "description": "cold" }));
    assert_eq!(edited["balancing"]["concurrency"], 5);
    assert_eq!(edited["description"], "cold");
}

#[test]
fn an_edit_that_gives_part_of_a_whole_rests_on_what_is() {
    let rests = |patch: Value| from_value::<EditDestination>(patch).unwrap().rests_on_current();
    assert!(rests(json!({ "balancing": { "enabled": false } })));
    assert!(rests(json!({ "free_space": { "warning_percent": 12 } })));
    assert!(!rests(json!({ "name": "Vault 2", "balancing": {} })));
}

#[test]
fn requests_refuse_what_they_do_not_know_and_null_where_nothing_can_be_cleared() {
    for wrong in [r#"{"name":"a","colour":"red"}"#, r#"{"name":null}"#, r#"{"name":7}"#] {
        assert!(from_str::<EditSite>(wrong).is_err(), "{wrong}");
        assert!(from_str::<EditDestination>(wrong).is_err(), "{wrong}");
    }
    assert!(from_str::<CreateDestination>(r#"{"name":"a","site":1,"balancing":{"speed":1}}"#).is_err());
    assert!(from_str::<InviteMember>(r#"{"expires_in_seconds":null}"#).is_err());
    assert_eq!(from_str::<EditMember>(r#"{"site":null}"#).unwrap().site, Some(None));
}

#[test]
fn an_invitation_is_bounded_and_a_member_joins_by_an_operation() {
    let invite = |seconds| InviteMember { expires_in_seconds: Some(seconds) }.command(Hash::of(b"join"), Timestamp(0));
    assert_eq!(invite(59).unwrap_err().pointer, "/expires_in_seconds");
    assert!(invite(2_592_001).is_err());

    let mut ledger = Ledger::founded();
    let invitation = InviteMember::default().command(Secret::new("join").hash(), ledger.state.time()).unwrap();
    ledger.administrator(invitation);
    let admit = authority_node::Command::Admit {
        secret: Secret::new("join").hash(),
        facts: facts(2),
        public_key: Hash::of(b"the key of machine 2"),
    };
    ledger.carry_out(Actor::Joiner, Command::AuthorityNode(admit));

    let invitation = Invitation::of(&ledger.state, ledger.state.join_tokens().get(1.into()).unwrap());
    assert_eq!((invitation.used_by, invitation.expires_at.as_str()), (Some(2), "2023-11-15T22:13:20.000Z"));
    let member = Member::of(&ledger.state, ledger.state.authority_nodes().get(2.into()).unwrap(), Some(MemberRole::Learner));
    let member = to_value(member).unwrap();
    assert_eq!((&member["intent"], &member["operation"], &member["role"]), (&json!("joining"), &json!(1), &json!("learner")));
    let operation = Operation::of(&ledger.state, ledger.state.operations().get(OperationId(1)).unwrap());
    let operation = to_value(operation).unwrap();
    let task = json!({ "kind": "add_authority_node", "object": { "kind": "authority_node", "id": 2 } });
    assert_eq!((&operation["task"], &operation["status"]), (&task, &json!("running")));
    let counts = Counts::of(&ledger.state);
    assert_eq!((counts.authority_nodes, counts.operations_running, counts.invitations), (2, 1, 0));
}

#[test]
fn a_token_shows_its_secret_only_where_it_was_just_issued() {
    let ledger = Ledger::founded();
    let token = ledger.state.tokens().get(1.into()).unwrap();
    let plain = to_value(Token::of(&ledger.state, token)).unwrap().to_string();
    assert!(!plain.contains("secret"), "{plain}");
    let issued = IssuedToken::of(&ledger.state, token, Secret::new("bearer"));
    assert_eq!(to_value(&issued).unwrap()["secret"], "bearer");
    assert!(!format!("{issued:?}").contains("bearer"));
}

#[test]
fn an_event_tells_its_fields_and_no_secret() {
    let ledger = with_destination();
    let lines: Vec<_> = ledger.records.iter().map(|record| to_value(EventLine::of(&ledger.state, record)).unwrap()).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    let expected = ["cluster.founded", "authority_node.founded", "cluster.setup_claimed", "token.issued", "site.created"];
    assert_eq!(kinds[..5], expected);
    assert_eq!(kinds[5], "destination.created");
    for line in &lines {
        let data = line["data"].as_object().expect("an event's data is an object");
        assert!(data.keys().all(|name| !name.contains("secret") && !name.contains("sealed")), "{line}");
    }
    let site = json!({
        "cursor": "1-5",
        "revision": 5,
        "time": "2023-11-14T22:13:20.000Z",
        "actor": { "kind": "token", "id": 1 },
        "request": "request-3",
        "kind": "site.created",
        "subject": { "kind": "site", "id": 1 },
        "decision": { "first_revision": 5, "count": 1 },
        "summary": ledger.records[4].event.to_string(),
        "data": { "site": 1, "name": "West", "expected_latency_ms": 0 },
    });
    assert_eq!(lines[4], site);
}

#[test]
fn the_items_of_a_stream_are_told_apart_by_name() {
    let ledger = Ledger::founded();
    let item = StreamItem::Event(EventLine::of(&ledger.state, &ledger.records[0]));
    let line = to_value(&item).unwrap();
    assert_eq!((&line["item"], &line["kind"]), (&json!("event"), &json!("cluster.founded")));
    assert_eq!(from_value::<StreamItem>(line).unwrap(), item);
    let bookmark = StreamItem::Bookmark(Bookmark { cursor: "1-9".into() });
    assert_eq!(to_value(&bookmark).unwrap(), json!({ "item": "bookmark", "cursor": "1-9" }));
}
