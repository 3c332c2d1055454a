//! What members tell, and what they are asked.

use std::time::Duration;

use bursar_domain::{
    Command, Level, Revision, ServerId, StorePointId,
    server::{self, Condition, ProgramFacts, ProjectionState},
    store_point::{self, Quota, Report},
};
use bursar_fleet::{CallFailure, Far, Unmet};
use bursar_wire::control::{NewcomerAnswer, Notice, Outcome, Port, ServerAnswer, ServerQuestion};

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
        assert_eq!(joined.beats(node).await, ServerAnswer::Heard { again_ms: 5_000, level: Level::FIRST, otherwise: false });
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
async fn what_was_told_before_and_comes_behind_what_was_told_since_is_found_out_by_a_heartbeat() {
    let world = World::new();
    let running = world.found().await;
    let (_, joined) = member(&world, &running).await;
    let [was, is] =
        [ProjectionState::Mismatched, ProjectionState::Matching].map(|state| Notice::Projection { state, at: Revision(9) });
    assert!(!joined.is_known_otherwise(1, vec![is.clone(), Notice::Program(program())]).await);
    // It was on its way for so long that the server told through another node, and was told to be noted, how things are since.
    joined.notice(1, "since", is.clone()).await;
    joined.notice(1, "before", was).await;
    assert!(joined.is_known_otherwise(1, vec![is.clone()]).await);
    joined.notice(1, "again", is.clone()).await;
    assert!(!joined.is_known_otherwise(1, vec![is]).await);

    // What the ledger refuses to hear is not told for ever.
    let refused = Notice::StorePoint { store_point: StorePointId(99), report: Report::Online };
    assert!(!joined.is_known_otherwise(1, vec![refused]).await);
    running.stop().await;
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
    let question = ServerQuestion::Heartbeat { heartbeat: Box::new(heartbeat()), said: Vec::new() };
    let refused: ServerAnswer = caller.call(&question, soon()).await.unwrap();
    assert!(matches!(&refused, ServerAnswer::Refused { code, .. } if code == "credential_revoked"), "{refused:?}");
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_member_is_asked_by_any_node() {
    let world = World::new();
    let nodes = world.three().await;
    let (_, mut joined) = member(&world, &nodes[0]).await;
    for running in &nodes {
        let found = running.fleet.examine(joined.server, "/srv/new", soon()).await;
        assert_eq!(found, Ok(findings("/srv/new".into())));
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
    let inspected = first.fleet.inspect(&string, None, soon()).await;
    let [primary, secondary] = &inspected.addresses[..] else { panic!("{inspected:?}") };
    assert!(matches!(primary.answer, Err(Unmet::AnotherIdentity { .. })) && primary.latency.is_none(), "{primary:?}");
    assert!(matches!(secondary.answer, Ok(NewcomerAnswer::Introduced(_))) && secondary.latency.is_some(), "{secondary:?}");
    let found = |by: &str| {
        let ports = inspected.ports.iter().filter(move |found| found.by == by);
        ports.map(|found| (found.port, found.outcome.as_ref().map(Outcome::is_reached))).collect::<Vec<_>>()
    };
    let open = [(Port::Peer, Ok(false)), (Port::Transfer, Ok(false)), (Port::Control, Ok(true))];
    assert_eq!(found("authority node 1"), open, "the control port alone is open");
    let untold = "it did not tell".to_owned();
    assert_eq!(found("ark"), [(Port::Peer, Err(&untold)), (Port::Control, Err(&untold))]);
    assert!(matches!(first.fleet.contact(&string, soon()).await, Ok(NewcomerAnswer::Introduced(_))));

    machine.issue_another();
    assert_eq!(first.fleet.contact(&string, soon()).await, Ok(NewcomerAnswer::Voided));
    // To be looked at has added nobody.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(first.node.latest().servers().iter().count(), 0);
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_ports_between_a_machine_and_all_its_neighbours_are_looked_at_in_both_directions() {
    let world = World::new();
    let nodes = world.three().await;
    let (_, joined) = member(&world, &nodes[0]).await;
    let neighbour = nodes[0].node.latest().servers().get(joined.server).unwrap().name.to_string();
    let machine = Machine::new(&world, 2);
    let string = machine.string(&world);
    let _waits = machine.waits_at(&world, &machine.primary()).await;
    nodes[1].until_server(joined.server, Condition::Online).await;
    *machine.desk().sees.lock().unwrap() = Some(Outcome::Reached { after_us: 40_000 });
    let inspected = nodes[1].fleet.inspect(&string, Some(DESTINATION), soon()).await;
    let found: Vec<_> = inspected.ports.iter().map(|found| (&*found.by, &*found.of, found.port, found.outcome.clone())).collect();
    let (mut expected, three) = (Vec::new(), [Port::Peer, Port::Transfer, Port::Control]);
    let (open, far) = (Outcome::Reached { after_us: 0 }, Outcome::Reached { after_us: 40_000 });
    let refused = Outcome::Refused;
    for (port, outcome) in three.into_iter().zip([refused.clone(), refused, open]) {
        expected.push(("authority node 2", "ark", port, Ok(outcome)));
    }
    let why = "before the machine is a member, only the node that answers you looks at it, which is authority node 2";
    for (node, port) in ["authority node 1", "authority node 3"].into_iter().flat_map(|node| three.map(|port| (node, port))) {
        expected.push((node, "ark", port, Err(why.to_owned())));
    }
    expected.extend(three.map(|port| (&*neighbour, "ark", port, Ok(Outcome::TimedOut))));
    for node in ["authority node 1", "authority node 2", "authority node 3"] {
        expected.extend([Port::Peer, Port::Control].map(|port| ("ark", node, port, Ok(far.clone()))));
    }
    expected.extend(three.map(|port| ("ark", &*neighbour, port, Ok(far.clone()))));
    assert_eq!(found, expected);
    assert_eq!(inspected.far, Some(Far::Measured { between_us: 40_000 }));

    // Where the machine cannot be asked, what it sees is not known, and its distance is judged from here.
    machine.issue_another();
    let inspected = nodes[1].fleet.inspect(&string, Some(DESTINATION), soon()).await;
    let by_machine = inspected.ports.iter().filter(|found| found.by == "ark").map(|found| found.outcome.clone());
    assert_eq!(by_machine.collect::<Vec<_>>(), vec![Err("the machine could not be asked".to_owned()); 9]);
    assert_eq!(inspected.far, None);
    for running in nodes {
        running.stop().await;
    }
}
