//! A member that was away for long.

use bursar_domain::{
    Command, Projection, Revision, SiteId,
    server::{self, Change, Condition},
    site,
};
use bursar_wire::control::FeedItem;
use futures_util::future::join_all;

use crate::{
    machine::{Joined, Machine},
    world::{DESTINATION, Running, World},
};

/// How much has happened meanwhile.
const REVISIONS: u64 = 100_000;
/// How much of it is decided together.
const AT_A_TIME: u64 = 1_000;

/// A machine that is a member of the destination, and was heard once.
async fn member(world: &World, running: &Running, number: u8) -> Joined {
    let machine = Machine::new(world, number);
    let waiting = machine.waits_at(world, &machine.primary()).await;
    let (server, _) = machine.is_added(world, running, DESTINATION).await;
    let joined = machine.joins(world).await;
    waiting.abort();
    joined.beats(1).await;
    running.until_server(server, Condition::Online).await;
    joined
}

#[tokio::test(start_paused = true)]
async fn whoever_is_a_hundred_thousand_revisions_behind_reads_them_from_the_journal() {
    let world = World::new();
    let first = world.found().await;
    let (own, peer) = (member(&world, &first, 1).await, member(&world, &first, 2).await);
    let mut following = own.follows(1, None).await;
    following.head(first.node.latest().cursor()).await;
    let (begin, known) = (following.cursor.unwrap(), following.known.clone());
    drop(following);

    // Most of it concerns no server.
    for part in 0..REVISIONS / AT_A_TIME {
        let of_a_site = |number| {
            let name = Some(format!("Lyon {part}-{number}"));
            Command::Site(site::Command::Edit { site: SiteId(1), name, expected_latency_ms: None })
        };
        join_all((1..AT_A_TIME).map(|number| world.administer(&first, of_a_site(number)))).await;
        let change = Change { name: Some(format!("chest {part}")), ..Change::default() };
        world.administer(&first, Command::Server(server::Command::Edit { server: peer.server, change })).await;
    }
    let end = first.node.latest().cursor();
    assert_eq!(end.revision, Revision(begin.revision.0 + REVISIONS));

    let mut resumed = own.follows(1, Some(begin)).await;
    resumed.known = known;
    let mut told = 0;
    while resumed.cursor != Some(end) {
        match resumed.next().await {
            FeedItem::Records { records, .. } => told += records.len() as u64,
            FeedItem::Head { .. } => {}
            item => panic!("it is told what followed: {item:?}"),
        }
    }
    assert_eq!(told, REVISIONS / AT_A_TIME, "what concerns it, and nothing else");
    let expected = Projection::of(&first.node.latest(), own.server).unwrap();
    assert_eq!(resumed.head(end).await, Some(expected.digest()));
    assert_eq!(resumed.known, Some(expected), "the fold is what the authority says");
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_is_below_the_floor_is_told_all_anew_and_goes_on_like_everybody() {
    let world = World::new();
    let first = world.found().await;
    let (own, peer) = (member(&world, &first, 1).await, member(&world, &first, 2).await);
    let rename = async |name: &str| {
        let change = Change { name: Some(name.into()), ..Change::default() };
        world.administer(&first, Command::Server(server::Command::Edit { server: peer.server, change })).await;
    };
    let mut following = own.follows(1, None).await;
    following.head(first.node.latest().cursor()).await;
    let (below, known) = (following.cursor.unwrap(), following.known.clone());
    drop(following);
    rename("chest").await;

    let floor = first.node.latest().cursor();
    let journal = first.node.journal();
    let checkpoint = journal.write_checkpoint(&first.node.latest(), &journal.applied()).unwrap();
    journal.raise_floor(checkpoint).unwrap();
    assert!(journal.floor() == floor.revision && below.revision < floor.revision);
    rename("trunk").await;

    let mut anew = own.follows(1, Some(below)).await;
    let item = anew.next().await;
    assert!(matches!(item, FeedItem::Anew { cursor, .. } if cursor == first.node.latest().cursor()), "{item:?}");
    // Who has read up to the floor goes on from there.
    let mut at_the_floor = own.follows(1, Some(floor)).await;
    let mut told = known.unwrap();
    told.peers.get_mut(&peer.server).unwrap().name = bursar_domain::text::Name::parse("name", "chest").unwrap();
    at_the_floor.known = Some(told);
    let item = at_the_floor.next().await;
    assert!(matches!(&item, FeedItem::Records { records, .. } if records.len() == 1), "{item:?}");

    rename("coffer").await;
    let end = first.node.latest().cursor();
    let expected = Projection::of(&first.node.latest(), own.server).unwrap();
    for following in [&mut anew, &mut at_the_floor] {
        assert_eq!(following.head(end).await, Some(expected.digest()));
        assert_eq!(following.known.as_ref(), Some(&expected), "the fold is what the authority says");
    }
    first.stop().await;
}
