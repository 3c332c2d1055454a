//! Who may come in at the control port.

use bursar_domain::{Command, ServerId, server};
use bursar_net::{Credentials, Lane, Member, NodeKey, StoreId};

use crate::{
    machine::Machine,
    world::{DESTINATION, PATIENCE, Running, World, address_of},
};

/// What a caller is told, with these credentials.
async fn told(world: &World, member: Member, store: [u8; 16], credentials: &Credentials, lane: Lane) -> Result<(), String> {
    let dialer = world.dialer(credentials, member, StoreId(store));
    let dialled = dialer.dial(&address_of(1, 4288), Member::authority(1), None, lane, PATIENCE).await;
    dialled.map(drop).map_err(|error| error.to_string())
}

/// A server that has joined, and its machine.
async fn added(world: &World, running: &Running) -> (Machine, crate::machine::Joined) {
    let machine = Machine::new(world, 1);
    let waiting = machine.waits_at(world, &machine.primary()).await;
    machine.is_added(world, running, DESTINATION).await;
    let joined = machine.joins(world).await;
    waiting.abort();
    (machine, joined)
}

#[tokio::test(start_paused = true)]
async fn servers_of_the_ledger_come_in_and_nobody_else() {
    let world = World::new();
    let first = world.found().await;
    let (machine, joined) = added(&world, &first).await;
    for lane in [Lane::Control, Lane::Follow, Lane::Probe] {
        assert!(joined.dial(1, lane).await.is_ok(), "{lane:?}");
    }
    let refused = joined.dial(1, Lane::Append).await.err().unwrap().to_string();
    assert!(refused.contains("unavailable"), "{refused}");

    let other_key = NodeKey::generate().unwrap();
    let known = Member::server(joined.server.0);
    let imitation = world.certify(known, &other_key);
    // Certified by the cluster for the same place: it may be a successor of whom this node has not heard yet.
    let refused = told(&world, known, [0xcc; 16], &imitation, Lane::Control).await.unwrap_err();
    assert!(refused.contains("unavailable"), "{refused}");
    let refused = told(&world, known, machine.guid.0, &imitation, Lane::Control).await.unwrap_err();
    assert!(refused.contains("unavailable"), "{refused}");

    let newer = Member::server(joined.server.0 + 1);
    let refused = told(&world, newer, [0xcc; 16], &world.certify(newer, &other_key), Lane::Follow).await.unwrap_err();
    assert!(refused.contains("unavailable") && refused.contains("has not heard"), "{refused}");
    let never = Member::server(0);
    let refused = told(&world, never, [0xcc; 16], &world.certify(never, &other_key), Lane::Follow).await.unwrap_err();
    assert!(refused.contains("unknown_node"), "{refused}");

    // Authority nodes have a port of their own, but may see that the way is open.
    let node = Member::authority(2);
    let credentials = world.certify(node, &other_key);
    assert_eq!(told(&world, node, [2; 16], &credentials, Lane::Probe).await, Ok(()));
    let refused = told(&world, node, [2; 16], &credentials, Lane::Control).await.unwrap_err();
    assert!(refused.contains("unknown_node"), "{refused}");
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_removed_is_told_so() {
    let world = World::new();
    let first = world.found().await;
    let (_, joined) = added(&world, &first).await;
    world.administer(&first, Command::Server(server::Command::Remove { server: joined.server })).await;
    let refused = joined.dial(1, Lane::Control).await.err().unwrap().to_string();
    assert!(refused.contains("removed_node"), "{refused}");
    assert_eq!(joined.server, ServerId(1));
    first.stop().await;
}
