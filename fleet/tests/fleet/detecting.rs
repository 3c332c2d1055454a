//! Telling servers that answer from those that do not, with the default window.

use std::time::Duration;

use bursar_domain::{
    AuthorityNodeId, Command, ServerId, State, alert,
    server::{self, Condition},
};
use bursar_net::Lane;
use bursar_wire::control::{Outcome, Port, Probed, Seen, Sight};
use tokio::time::{Instant, sleep};

use crate::{
    machine::{Joined, Machine},
    world::{DESTINATION, Running, World, address_of, soon},
};

/// Machines that are members and answer; they say so from now on.
async fn members<const N: usize>(world: &World, running: &Running) -> [(Joined, tokio::task::JoinHandle<()>); N] {
    let mut members = Vec::new();
    for number in 1..=u8::try_from(N).unwrap() {
        let machine = Machine::new(world, number);
        let waiting = machine.waits_at(world, &machine.primary()).await;
        let (server, _) = machine.is_added(world, running, DESTINATION).await;
        let joined = machine.joins(world).await;
        waiting.abort();
        let life = joined.lives();
        running.until_server(server, Condition::Online).await;
        members.push((joined, life));
    }
    members.try_into().unwrap_or_else(|_| unreachable!())
}

/// Whether a server ever was an alert's subject.
fn was_alarmed(state: &State, server: ServerId) -> bool {
    state.alerts().iter().any(|alert| alert.kind == alert::Kind::ServerOffline && alert.subject == server.into())
}

#[tokio::test(start_paused = true)]
async fn silence_is_found_within_the_window_and_a_look_and_a_word_ends_it() {
    let world = World::new();
    let first = world.found().await;
    let [(silent, life), (other, _other_life)] = members(&world, &first).await;
    sleep(Duration::from_secs(60)).await;
    assert!(first.node.latest().alerts().iter().next().is_none(), "who answers raises no alert");

    life.abort();
    let last_word = Instant::now();
    first.until_server(silent.server, Condition::Offline).await;
    let (window, beat, look) = (Duration::from_secs(15), Duration::from_secs(5), Duration::from_millis(1_500));
    let found_after = last_word.elapsed();
    assert!(found_after + beat >= window && found_after <= window + 2 * look, "{found_after:?}");
    assert!(was_alarmed(&first.node.latest(), silent.server) && !was_alarmed(&first.node.latest(), other.server));

    silent.beats(1).await;
    let heard = Instant::now();
    first.until_server(silent.server, Condition::Online).await;
    assert!(heard.elapsed() <= 2 * look, "{:?}", heard.elapsed());
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_of_leader_alarms_nobody_and_the_next_leader_finds_who_is_silent() {
    let world = World::new();
    let mut nodes = world.three().await;
    let [(member, life), (other, _other_life)] = members(&world, &nodes[0]).await;
    sleep(Duration::from_secs(20)).await;
    // Its servers have to find another node, and that one a leader.
    nodes.remove(0).stop().await;
    sleep(Duration::from_secs(120)).await;
    let state = nodes[0].node.latest();
    assert!(!was_alarmed(&state, member.server) && !was_alarmed(&state, other.server));
    assert_eq!(state.servers().get(member.server).unwrap().condition, Condition::Online);

    life.abort();
    nodes[0].until_server(member.server, Condition::Offline).await;
    assert!(!was_alarmed(&nodes[0].node.latest(), other.server));
    for running in nodes {
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_node_looks_at_the_ports_and_any_node_tells_what_the_leader_was_told() {
    let world = World::new();
    let nodes = world.three().await;
    let [(mut member, _life)] = members(&world, &nodes[0]).await;
    sleep(Duration::from_secs(11)).await;
    let (own, ports) = (Seen::Server(member.server), [Port::Peer, Port::Transfer, Port::Control]);
    let by_nodes = [1, 2, 3].map(|node| ports.map(|port| (Seen::AuthorityNode(AuthorityNodeId(node)), own, port)));
    for running in &nodes {
        let observed = running.fleet.observed(soon()).await.unwrap();
        let [observation] = &observed[..] else { panic!("{observed:?}") };
        assert_eq!(observation.server, member.server);
        assert!(world.clock.now().since_ms(observation.heard.at) <= 6_000, "{observation:?}");
        let looks = running.fleet.looks(member.server, soon()).await.unwrap();
        let seen: Vec<_> = looks.iter().map(|look| (look.by, look.of, look.port)).collect();
        assert_eq!(seen, by_nodes.concat());
        assert!(looks.iter().all(|look| look.outcome.is_reached() && look.age_ms <= 11_000), "{looks:?}");
    }
    let counters = nodes[0].fleet.counters();
    assert_eq!((counters.servers_heard, counters.ports_observed), (1, 9));
    let counters = nodes[1].fleet.counters();
    assert_eq!((counters.servers_heard, counters.ports_observed), (0, 0), "what is heard is the leader's alone");

    let sight = |port, outcome| {
        let probed = Probed { address: address_of(3, 4283), outcome };
        Sight { of: Seen::AuthorityNode(AuthorityNodeId(3)), port, probed, ago_ms: 4_000 }
    };
    let told = vec![sight(Port::Peer, Outcome::TimedOut), sight(Port::Control, Outcome::Reached { after_us: 1 })];
    member.sees(2, told).await;
    let looks = nodes[2].fleet.looks(member.server, soon()).await.unwrap();
    let own_looks: Vec<_> = looks.iter().filter(|look| look.by == own).map(|look| (look.port, &look.outcome)).collect();
    assert_eq!(own_looks, [(Port::Peer, &Outcome::TimedOut), (Port::Control, &Outcome::Reached { after_us: 1 })]);
    assert!(looks.iter().filter(|look| look.by == own).all(|look| look.age_ms >= 4_000), "{looks:?}");
    let observed = nodes[2].fleet.observed(soon()).await.unwrap();
    assert_eq!((observed[0].ports_tried, observed[0].ports_closed), (2, 1));

    member.closes_its_ports();
    sleep(Duration::from_secs(11)).await;
    let looks = nodes[1].fleet.looks(member.server, soon()).await.unwrap();
    assert!(looks.iter().filter(|look| look.of == own).all(|look| look.outcome == Outcome::Refused), "{looks:?}");
    // That its ports are closed is no silence.
    assert!(member.dial(1, Lane::Probe).await.is_ok());
    assert!(!was_alarmed(&nodes[0].node.latest(), member.server));

    // What was told of a server that is gone is forgotten.
    world.administer(&nodes[0], Command::Server(server::Command::Remove { server: member.server })).await;
    sleep(Duration::from_secs(11)).await;
    assert_eq!(nodes[0].fleet.counters().ports_observed, 0);
    for running in nodes {
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_of_a_machine_before_it_joined_is_forgotten() {
    let world = World::new();
    let first = world.found().await;
    let [(chest, _life)] = members(&world, &first).await;
    let machine = Machine::new(&world, 2);
    let (ark, _) = machine.is_added(&world, &first, DESTINATION).await;
    let tells = async |ago_ms: u64| {
        let probed = Probed { address: machine.primary(), outcome: Outcome::Refused };
        chest.sees(1, vec![Sight { of: Seen::Server(ark), port: Port::Control, probed, ago_ms }]).await;
    };
    let own_look = async || {
        let looks = first.fleet.looks(ark, soon()).await.unwrap();
        looks.into_iter().find(|look| look.by == Seen::Server(chest.server)).map(|look| look.age_ms)
    };
    tells(0).await;
    let waiting = machine.waits_at(&world, &machine.primary()).await;
    let joined = machine.joins(&world).await;
    waiting.abort();
    let _lives = joined.lives();
    first.until_server(ark, Condition::Online).await;
    // The leader looks within a tenth of the window.
    sleep(Duration::from_secs(3)).await;
    assert_eq!(own_look().await, None, "what was told before it joined");
    tells(60_000).await;
    assert_eq!(own_look().await, None, "what was seen before it joined, and told later");
    tells(1_000).await;
    assert_eq!(own_look().await, Some(1_000), "what was seen since");
    first.stop().await;
}
