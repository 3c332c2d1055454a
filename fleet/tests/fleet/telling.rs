//! What members tell, and what they are asked.

use std::time::Duration;

use bursar_domain::{
    Command, Level, Revision, ServerId, StorePointId,
    server::{self, Condition, ProgramFacts, ProjectionState},
    store_point::{self, Quota, Report},
};
use bursar_fleet::{CallFailure, Unmet};
use bursar_wire::control::{NewcomerAnswer, Notice, ServerAnswer, ServerQuestion};

use crate::{
    machine::{Joined, Machine, findings, heartbeat, program},
    world::{DESTINATION, Running, World, soon},
};

/// A machine that is a member and was heard once.
async fn member(world: &World, running: &Running) -> (Machine, Joined) {
    let machine = Machine::new(world, 1);
    let waiting = machine.waits_at(world, &machine.primary()).await;
    let (server, _) = machine.is_added(world, running, DESTINATION).await;
    let joined = machine.joins(world).await;
    waiting.abort();
    joined.beats(1).await;
    running.until_server(server, Condition::Online).await;
    (machine, joined)
}

#[tokio::test(start_paused = true)]
async fn a_follower_relays_heartbeats_and_says_when_to_come_again() {
    let world = World::new();
    let nodes = world.three().await;
    let (_, joined) = member(&world, &nodes[0]).await;
    for node in [2, 3] {
        assert_eq!(joined.beats(node).await, ServerAnswer::Heard { again_ms: 5_000, level: Level::FIRST });
    }
    let relayed = nodes.iter().map(|running| running.fleet.counters().heartbeats_relayed).collect::<Vec<_>>();
    assert_eq!(relayed, [1, 1, 1]);

    // A node that reaches nobody who leads says so, for the server to try elsewhere.
    let [first, second, third] = nodes.try_into().unwrap_or_else(|_| unreachable!());
    first.stop().await;
    second.stop().await;
    let unheard = joined.beats(3).await;
    assert!(matches!(unheard, ServerAnswer::Unavailable { .. }), "{unheard:?}");
    assert_eq!(third.fleet.counters().heartbeats_unanswered, 1);
    third.stop().await;
}

#[tokio::test(start_paused = true)]
async fn notices_are_noted_once_and_refused_for_good_where_the_ledger_refuses_them() {
    let world = World::new();
    let nodes = world.three().await;
    let (_, joined) = member(&world, &nodes[0]).await;
    let newer = ProgramFacts { version: "0.2.0".into(), ..program() };
    let noted = joined.notice(2, "one", Notice::Program(newer.clone())).await;
    let ServerAnswer::Noted { revision } = noted else { panic!("{noted:?}") };
    // Said again, elsewhere: it is the same notice.
    assert_eq!(joined.notice(3, "one", Notice::Program(newer)).await, ServerAnswer::Noted { revision });

    let mismatch = Notice::Projection { state: ProjectionState::Mismatched, at: Revision(9) };
    assert!(matches!(joined.notice(1, "two", mismatch).await, ServerAnswer::Noted { .. }));
    let row = nodes[0].node.latest().servers().get(joined.server).unwrap().clone();
    assert_eq!((row.facts.program.version.as_str(), row.projection), ("0.2.0", ProjectionState::Mismatched));

    let report = |id| Notice::StorePoint { store_point: StorePointId(id), report: Report::Online };
    let refused = joined.notice(1, "three", report(99)).await;
    assert!(matches!(&refused, ServerAnswer::Refused { code, .. } if code == "not_found"), "{refused:?}");
    let refused = joined.notice(1, "", report(99)).await;
    assert!(matches!(&refused, ServerAnswer::Refused { code, .. } if code == "invalid_field"), "{refused:?}");
    for running in nodes {
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_that_comes_before_the_server_is_known_to_answer_is_to_be_said_again() {
    let world = World::new();
    let first = world.found().await;
    let (_, joined) = member(&world, &first).await;
    let create = store_point::Command::Create {
        server: joined.server,
        name: "shelf".into(),
        path: "/srv/shelf".into(),
        notes: String::new(),
        quota: Quota::Unlimited,
        findings: findings("/srv/shelf".into()),
    };
    let store_point = StorePointId(world.administer(&first, Command::StorePoint(create)).await.object.number());
    first.until_server(joined.server, Condition::Offline).await;
    let report = || Notice::StorePoint { store_point, report: Report::Online };
    let unheard = joined.notice(1, "one", report()).await;
    assert!(matches!(unheard, ServerAnswer::Unavailable { .. }), "{unheard:?}");
    joined.beats(1).await;
    first.until_server(joined.server, Condition::Online).await;
    assert!(matches!(joined.notice(1, "one", report()).await, ServerAnswer::Noted { .. }));
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_removed_is_heard_no_more_on_the_connection_that_it_has() {
    let world = World::new();
    let first = world.found().await;
    let (_, joined) = member(&world, &first).await;
    let caller = joined.caller(1).await.unwrap();
    world.administer(&first, Command::Server(server::Command::Remove { server: joined.server })).await;
    let question = ServerQuestion::Heartbeat(Box::new(heartbeat()));
    let refused: ServerAnswer = caller.call(&question, soon()).await.unwrap();
    assert!(matches!(&refused, ServerAnswer::Refused { code, .. } if code == "credential_revoked"), "{refused:?}");
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_member_is_asked_by_any_node() {
    let world = World::new();
    let nodes = world.three().await;
    let (machine, mut joined) = member(&world, &nodes[0]).await;
    for running in &nodes {
        let found = running.fleet.examine(joined.server, "/srv/new", soon()).await;
        assert_eq!(found, Ok(findings("/srv/new".into())));
        let probed = running.fleet.probe(joined.server, vec![machine.secondary()], soon()).await.unwrap();
        assert_eq!(probed[0].address, machine.secondary());
    }
    let unknown = ServerId(99);
    let refused = nodes[0].fleet.examine(unknown, "/srv/new", soon()).await;
    assert_eq!(refused, Err(CallFailure::Unknown { server: unknown }));
    joined.closes_its_ports();
    let refused = nodes[1].fleet.examine(joined.server, "/srv/new", soon()).await;
    assert!(matches!(&refused, Err(CallFailure::Unreachable { server, .. }) if *server == joined.server), "{refused:?}");
    for running in nodes {
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_is_looked_at_before_it_is_added() {
    let world = World::new();
    let first = world.found().await;
    let (machine, stranger) = (Machine::new(&world, 1), Machine::new(&world, 2));
    let string = machine.string(&world);
    let unmet = first.fleet.contact(&string, soon()).await.unwrap_err();
    assert!(matches!(unmet[..], [Unmet::Unreachable { .. }, Unmet::Unreachable { .. }]), "{unmet:?}");

    let _at_primary = stranger.waits_at(&world, &machine.primary()).await;
    let _at_secondary = machine.waits_at(&world, &machine.secondary()).await;
    let inspected = first.fleet.inspect(&string, soon()).await;
    let [primary, secondary] = &inspected.addresses[..] else { panic!("{inspected:?}") };
    assert!(matches!(primary.answer, Err(Unmet::AnotherIdentity { .. })) && primary.latency.is_none(), "{primary:?}");
    assert!(matches!(secondary.answer, Ok(NewcomerAnswer::Introduced(_))) && secondary.latency.is_some(), "{secondary:?}");
    let reached: Vec<_> = inspected.ports.iter().map(|found| found.probed.fault.is_none()).collect();
    assert_eq!(reached, [true, false, false], "the control port alone is open: {inspected:?}");
    assert!(matches!(first.fleet.contact(&string, soon()).await, Ok(NewcomerAnswer::Introduced(_))));

    machine.issue_another();
    assert_eq!(first.fleet.contact(&string, soon()).await, Ok(NewcomerAnswer::Voided));
    // To be looked at has added nobody.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(first.node.latest().servers().iter().count(), 0);
    first.stop().await;
}
