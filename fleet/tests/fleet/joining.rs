//! Taking servers in.

use std::time::Duration;

use bursar_domain::{
    Hash, OperationId, Projection, ServerId, State,
    operation::{Status, Step, WaitCode},
    server::{self, Condition, JoinFailure},
};
use bursar_net::Lane;
use bursar_wire::control::NewcomerAnswer;
use tokio::time::Instant;

use crate::{
    machine::{Machine, findings},
    world::{DESTINATION, Running, World, operation, soon},
};

/// How soon a machine is online that is added while it waits.
const ONLINE_WITHIN: Duration = Duration::from_secs(10);

/// Waits until an operation has ended, and says how, and over which steps it came.
async fn ended(running: &Running, id: OperationId) -> (Status, Vec<Step>) {
    let end = |state: &State| {
        let operation = operation(state, id);
        let steps = operation.steps.iter().map(|reached| reached.step).collect();
        (operation.status != Status::Running).then_some((operation.status, steps))
    };
    running.until("the end of an operation", end).await
}

/// Waits until an operation waits for the server to answer, or waits no more.
async fn waits(running: &Running, id: OperationId, wanted: bool) {
    let waits = |state: &State| {
        let waits = operation(state, id).waiting_on.iter().any(|wait| wait.code == WaitCode::ServerUnreachable);
        (waits == wanted).then_some(())
    };
    running.until("what an operation waits on", waits).await;
}

/// Has a machine added that waits, as an administrator does: the node that is asked calls it first. How long it takes until it is
/// online, in a time that passes only where somebody waits.
async fn online_after(world: &World, running: &Running, machine: &Machine) -> Duration {
    let began = Instant::now();
    let called = running.fleet.contact(&machine.string(world), soon()).await;
    assert!(matches!(called, Ok(NewcomerAnswer::Introduced(_))), "{called:?}");
    let (server, operation) = machine.is_added(world, running, DESTINATION).await;
    let joined = machine.joins(world).await;
    joined.beats(1).await;
    assert_eq!(ended(running, operation).await.0, Status::Succeeded);
    running.until_server(server, Condition::Online).await;
    began.elapsed()
}

fn failure(running: &Running, server: ServerId) -> Condition {
    running.node.latest().servers().get(server).unwrap().condition
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_waits_is_contacted_certified_and_joins_when_it_is_heard() {
    let world = World::new();
    let first = world.found().await;
    let machine = Machine::new(&world, 1);
    let waiting = machine.waits_at(&world, &machine.primary()).await;
    let (server, operation) = machine.is_added(&world, &first, DESTINATION).await;
    let joined = machine.joins(&world).await;
    waiting.abort();
    assert_eq!((joined.server, joined.membership.server), (server, server));
    assert_eq!(joined.membership.authority, [(first.node.id(), crate::world::address_of(1, 4288))].into());
    // Its certificates alone do not make it one that answers.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(failure(&first, server), Condition::Joining { operation });

    joined.beats(1).await;
    assert_eq!(ended(&first, operation).await, (Status::Succeeded, vec![Step::Contacted, Step::Certified]));
    first.until_server(server, Condition::Online).await;
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_nobody_reaches_is_waited_for_and_found_at_its_second_address() {
    let world = World::new();
    let first = world.found().await;
    let machine = Machine::new(&world, 1);
    let (server, operation) = machine.is_added(&world, &first, DESTINATION).await;
    waits(&first, operation, true).await;
    let reported = first.node.latest().revision();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(first.node.latest().revision(), reported, "that it still waits is no news");

    let waiting = machine.waits_at(&world, &machine.secondary()).await;
    let joined = machine.joins(&world).await;
    waits(&first, operation, false).await;
    waiting.abort();
    joined.beats(1).await;
    assert_eq!(ended(&first, operation).await.0, Status::Succeeded);
    first.until_server(server, Condition::Online).await;
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_waits_is_online_in_time() {
    let world = World::new();
    let first = world.found().await;
    let machine = Machine::new(&world, 1);
    let _waiting = machine.waits_at(&world, &machine.primary()).await;
    let took = online_after(&world, &first, &machine).await;
    assert!(took < ONLINE_WITHIN, "online after {took:?}");
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_whose_first_address_is_dead_is_online_in_time_by_its_second() {
    let world = World::new();
    let first = world.found().await;
    let machine = Machine::new(&world, 1);
    world.network.silence(&machine.primary());
    let _waiting = machine.waits_at(&world, &machine.secondary()).await;
    let took = online_after(&world, &first, &machine).await;
    assert!(took < ONLINE_WITHIN, "online after {took:?}");
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_not_reached_within_a_day_is_given_up() {
    let world = World::new();
    let first = world.found().await;
    let machine = Machine::new(&world, 1);
    let (server, operation) = machine.is_added(&world, &first, DESTINATION).await;
    waits(&first, operation, true).await;
    world.clock.put_forward(Duration::from_secs(24 * 3_600 - 10));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(failure(&first, server), Condition::Joining { operation });
    world.clock.put_forward(Duration::from_secs(20));
    assert_eq!(ended(&first, operation).await, (Status::Failed { failure: JoinFailure::Unreachable }, vec![]));
    first.until_server(server, Condition::Excluded).await;
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_has_issued_another_string_comes_by_that_one() {
    let world = World::new();
    let first = world.found().await;
    let mut machine = Machine::new(&world, 1);
    machine.issue_another();
    let _waiting = machine.waits_at(&world, &machine.primary()).await;
    let (server, operation) = machine.is_added(&world, &first, DESTINATION).await;
    assert_eq!(ended(&first, operation).await, (Status::Failed { failure: JoinFailure::Superseded }, vec![]));
    assert!(first.node.latest().servers().get(server).is_none(), "nothing is left of it");

    machine.gives_out_its_newest();
    let (server, operation) = machine.is_added(&world, &first, DESTINATION).await;
    let joined = machine.joins(&world).await;
    joined.beats(1).await;
    assert_eq!(ended(&first, operation).await.0, Status::Succeeded);
    first.until_server(server, Condition::Online).await;
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn somebody_else_at_all_addresses_is_not_taken_in_and_at_one_of_them_is_waited_out() {
    let world = World::new();
    let first = world.found().await;
    let (machine, stranger) = (Machine::new(&world, 1), Machine::new(&world, 2));
    let _at_primary = stranger.waits_at(&world, &machine.primary()).await;
    let (_, operation) = machine.is_added(&world, &first, DESTINATION).await;
    waits(&first, operation, true).await;
    let _at_secondary = stranger.waits_at(&world, &machine.secondary()).await;
    assert_eq!(ended(&first, operation).await, (Status::Failed { failure: JoinFailure::AnotherIdentity }, vec![]));
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_machine_whose_answer_to_its_adoption_was_lost_is_recognised_as_a_member() {
    let world = World::new();
    let first = world.found().await;
    let machine = Machine::new(&world, 1);
    *machine.desk().loses_adoption.lock().unwrap() = true;
    let waiting = machine.waits_at(&world, &machine.primary()).await;
    let (server, operation) = machine.is_added(&world, &first, DESTINATION).await;
    let joined = machine.joins(&world).await;
    waiting.abort();
    let certified = |state: &State| {
        crate::world::operation(state, operation).steps.iter().any(|reached| reached.step == Step::Certified).then_some(())
    };
    first.until("that it has its certificate", certified).await;
    joined.beats(1).await;
    assert_eq!(ended(&first, operation).await.0, Status::Succeeded);
    first.until_server(server, Condition::Online).await;
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_leader_goes_on_with_a_join() {
    let world = World::new();
    let mut nodes = world.three().await;
    let machine = Machine::new(&world, 1);
    let (server, operation) = machine.is_added(&world, &nodes[0], DESTINATION).await;
    waits(&nodes[0], operation, true).await;
    nodes.remove(0).stop().await;
    let _waiting = machine.waits_at(&world, &machine.primary()).await;
    let joined = machine.joins(&world).await;
    joined.beats(2).await;
    assert_eq!(ended(&nodes[0], operation).await.0, Status::Succeeded);
    nodes[1].until_server(server, Condition::Online).await;
    for running in nodes {
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_whose_replacement_is_withdrawn_follows_on_and_works() {
    let world = World::new();
    let first = world.found().await;
    let machine = Machine::new(&world, 1);
    let waiting = machine.waits_at(&world, &machine.primary()).await;
    let (server, _) = machine.is_added(&world, &first, DESTINATION).await;
    let joined = machine.joins(&world).await;
    waiting.abort();
    joined.beats(1).await;
    first.until_server(server, Condition::Online).await;
    let mut following = joined.follows(1, None).await;
    following.head(first.node.latest().cursor()).await;
    let (known, since) = (following.known.clone(), following.cursor);
    drop(following);
    first.until_server(server, Condition::Offline).await;

    // Its place is offered to another machine, whose connection string is void by then.
    let successor = Machine::new(&world, 2);
    let replace = server::Command::Replace { server, introduction: successor.introduction(&world) };
    let reply = world.administer(&first, bursar_domain::Command::Server(replace)).await;
    let operation = OperationId(reply.object.number());
    waits(&first, operation, true).await;
    assert!(joined.dial(1, Lane::Follow).await.is_err(), "its place is being given away");
    successor.issue_another();
    let waiting = successor.waits_at(&world, &successor.primary()).await;
    assert_eq!(ended(&first, operation).await, (Status::Failed { failure: JoinFailure::Superseded }, vec![]));
    waiting.abort();
    let row = first.node.latest().servers().get(server).unwrap().clone();
    assert_eq!((row.facts.guid, &row.predecessor, row.condition), (machine.guid, &None, Condition::Offline));

    // It is heard again, goes on where it had stopped, and is asked for things.
    joined.beats(1).await;
    first.until_server(server, Condition::Online).await;
    let mut following = joined.follows(1, since).await;
    following.known = known;
    let end = first.node.latest().cursor();
    let digest = following.head(end).await;
    let expected = Projection::of(&first.node.latest(), server).expect("it is a member");
    assert_eq!((following.known.as_ref(), digest), (Some(&expected), Some(expected.digest())));
    let examined = first.fleet.examine(server, "/srv/archive", soon()).await.unwrap();
    assert_eq!(examined, findings("/srv/archive".into()));
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_place_of_a_dead_machine_goes_to_another_and_the_dead_one_is_heard_no_more() {
    let world = World::new();
    let first = world.found().await;
    let machine = Machine::new(&world, 1);
    let waiting = machine.waits_at(&world, &machine.primary()).await;
    let (server, _) = machine.is_added(&world, &first, DESTINATION).await;
    let former = machine.joins(&world).await;
    waiting.abort();
    former.beats(1).await;
    first.until_server(server, Condition::Online).await;
    first.until_server(server, Condition::Offline).await;

    let successor = Machine::new(&world, 2);
    let _waiting = successor.waits_at(&world, &successor.primary()).await;
    let replace = server::Command::Replace { server, introduction: successor.introduction(&world) };
    let reply = world.administer(&first, bursar_domain::Command::Server(replace)).await;
    let operation = OperationId(reply.object.number());
    let refused = async || former.caller(1).await.err().expect("its place is another's").to_string();
    // Until the other machine has come, it may have its place again: it is not to be made anew yet.
    let waits = refused().await;
    assert!(waits.contains("unavailable"), "{waits}");
    let joined = successor.joins(&world).await;
    joined.beats(1).await;
    assert_eq!(ended(&first, operation).await.0, Status::Succeeded);
    let gone = refused().await;
    assert!(gone.contains("removed_node"), "{gone}");
    let row = first.node.latest().servers().get(server).unwrap().clone();
    assert_eq!((row.facts.guid, row.facts.public_key == Hash::ZERO), (successor.guid, false));
    first.stop().await;
}
