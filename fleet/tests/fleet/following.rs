//! What members follow.

use bursar_domain::{
    Command, Cursor, DestinationId, Epoch, Projection, Revision, destination,
    projection::SCHEMA,
    server::{self, Change, Condition},
    site,
};
use bursar_wire::control::FeedItem;

use crate::{
    machine::{Joined, Machine},
    world::{DESTINATION, Running, World},
};

const ELSEWHERE: DestinationId = DestinationId(2);

/// A machine that is a member of a destination, and was heard once.
async fn member(world: &World, running: &Running, number: u8, destination: DestinationId) -> Joined {
    let machine = Machine::new(world, number);
    let waiting = machine.waits_at(world, &machine.primary()).await;
    let (server, _) = machine.is_added(world, running, destination).await;
    let joined = machine.joins(world).await;
    waiting.abort();
    joined.beats(1).await;
    running.until_server(server, Condition::Online).await;
    joined
}

async fn rename(world: &World, running: &Running, server: &Joined, name: &str) {
    let change = Change { name: Some(name.into()), ..Change::default() };
    world.administer(running, Command::Server(server::Command::Edit { server: server.server, change })).await;
}

/// Something that concerns no server.
async fn make_site(world: &World, running: &Running, name: &str) {
    let create = site::Command::Create { name: name.into(), expected_latency_ms: 5 };
    world.administer(running, Command::Site(create)).await;
}

#[tokio::test(start_paused = true)]
async fn who_knows_nothing_is_told_all_and_then_what_happens_and_both_sides_agree() {
    let world = World::new();
    let nodes = world.three().await;
    let (own, peer, other) = (
        member(&world, &nodes[0], 1, DESTINATION).await,
        member(&world, &nodes[0], 2, DESTINATION).await,
        member(&world, &nodes[0], 3, ELSEWHERE).await,
    );
    // At a node that does not lead, from its own journal.
    let mut following = own.follows(2, None).await;
    assert!(matches!(following.next().await, FeedItem::Anew { .. }));
    let known = following.known.clone().unwrap();
    assert!(known.peers.contains_key(&peer.server) && !known.peers.contains_key(&other.server));
    assert_eq!(following.head(following.cursor.unwrap()).await, Some(known.digest()));

    rename(&world, &nodes[0], &peer, "chest").await;
    rename(&world, &nodes[0], &other, "trunk").await;
    make_site(&world, &nodes[0], "Lyon").await;
    let drain = server::Command::Drain { server: own.server };
    world.administer(&nodes[0], Command::Server(drain)).await;
    let state = nodes[0].node.latest();
    let digest = following.head(state.cursor()).await;
    let expected = Projection::of(&nodes[0].node.latest(), own.server).unwrap();
    assert_eq!(following.known, Some(expected.clone()), "the fold is what the authority says");
    assert_eq!(digest, Some(expected.digest()));
    assert_eq!(expected.peers[&peer.server].name.as_str(), "chest");
    assert_eq!(nodes[1].fleet.counters().feeds_open, 1);

    // Who keeps another shape is given no digest to compare with.
    let mut older = own.follows_in(3, following.cursor, SCHEMA + 1).await;
    assert_eq!(older.head(state.cursor()).await, None);
    drop(following);
    for running in nodes {
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_read_up_to_somewhere_is_told_what_followed_and_nothing_twice() {
    let world = World::new();
    let nodes = world.three().await;
    let (own, peer) = (member(&world, &nodes[0], 1, DESTINATION).await, member(&world, &nodes[0], 2, DESTINATION).await);
    let mut following = own.follows(2, None).await;
    following.head(nodes[0].node.latest().cursor()).await;
    let (cursor, known) = (following.cursor, following.known.clone());
    drop(following);

    rename(&world, &nodes[0], &peer, "chest").await;
    let end = nodes[0].node.latest().cursor();
    let mut resumed = own.follows(3, cursor).await;
    resumed.known = known;
    let item = resumed.next().await;
    let FeedItem::Records { records, .. } = &item else { panic!("{item:?}") };
    assert_eq!(records.len(), 1);
    resumed.head(end).await;
    assert_eq!(resumed.known, Projection::of(&nodes[0].node.latest(), own.server));
    for running in nodes {
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cursor_of_another_history_begins_anew() {
    let world = World::new();
    let first = world.found().await;
    let own = member(&world, &first, 1, DESTINATION).await;
    let head = first.node.latest().cursor();
    let elsewhere = [
        Cursor { epoch: Epoch(2), revision: Revision(1) },
        // The leader says that it never was.
        Cursor { revision: head.revision.plus(1_000), ..head },
    ];
    for since in elsewhere {
        let mut following = own.follows(1, Some(since)).await;
        let item = following.next().await;
        assert!(matches!(item, FeedItem::Anew { cursor, .. } if cursor == first.node.latest().cursor()), "{since}: {item:?}");
    }
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_tell_whether_a_cursor_ever_was_sends_the_server_elsewhere() {
    let world = World::new();
    let nodes = world.three().await;
    let own = member(&world, &nodes[0], 1, DESTINATION).await;
    let head = nodes[0].node.latest().cursor();
    let [first, second, third] = nodes.try_into().unwrap_or_else(|_| unreachable!());
    first.stop().await;
    second.stop().await;
    let beyond = Cursor { revision: third.node.latest().revision().plus(1), ..head };
    let item = own.follows(3, Some(beyond)).await.next().await;
    assert!(matches!(item, FeedItem::Ended { .. }), "{item:?}");
    third.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_position_advances_over_what_concerns_nobody() {
    let world = World::new();
    let first = world.found().await;
    let own = member(&world, &first, 1, DESTINATION).await;
    let mut following = own.follows(1, None).await;
    following.head(first.node.latest().cursor()).await;
    let begun = tokio::time::Instant::now();
    for number in 0..50 {
        make_site(&world, &first, &format!("site {number}")).await;
    }
    let end = first.node.latest().cursor();
    while following.cursor != Some(end) {
        let item = following.next().await;
        assert!(!matches!(&item, FeedItem::Records { records, .. } if !records.is_empty()), "{item:?}");
    }
    assert!(begun.elapsed() <= std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn more_than_a_page_comes_in_whole_decisions() {
    let world = World::new();
    let first = world.found().await;
    let (own, peer) = (member(&world, &first, 1, DESTINATION).await, member(&world, &first, 2, DESTINATION).await);
    let mut following = own.follows(1, None).await;
    following.next().await;
    let (begin, known) = (following.cursor, following.known.clone());
    drop(following);
    for number in 0..400 {
        rename(&world, &first, &peer, &format!("{} {number}", "x".repeat(100))).await;
    }
    let end = first.node.latest().cursor();
    let mut resumed = own.follows(1, begin).await;
    resumed.known = known;
    let mut pages = 0;
    while resumed.cursor != Some(end) {
        resumed.next().await;
        pages += 1;
    }
    assert!(pages > 1, "they are more than a page");
    assert_eq!(resumed.known, Projection::of(&first.node.latest(), own.server));
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_removed_is_told_so_and_nothing_else() {
    let world = World::new();
    let first = world.found().await;
    let own = member(&world, &first, 1, DESTINATION).await;
    let mut following = own.follows(1, None).await;
    following.head(first.node.latest().cursor()).await;
    world.administer(&first, Command::Server(server::Command::Remove { server: own.server })).await;
    assert_eq!(following.next().await, FeedItem::Excluded);
    let change = destination::Change { name: Some("cellar".into()), ..destination::Change::default() };
    world.administer(&first, Command::Destination(destination::Command::Edit { destination: DESTINATION, change })).await;
    first.stop().await;
}
