//! Real processes, each in a network of its own: the authority, its servers and a newcomer, between which three ports alone are open.
//! All works; and where one of them is closed, in one direction, the product names it.

mod support;

use bursar_wire::{
    query::ReadQuery,
    servers::{Inspection, PathState, PortFound, PortRole, Reachability, ServerCondition, ServerDetails},
};
use support::{
    Fleet,
    namespaces::{Blocked, Machine, PORTS, matrix_of, server},
    network::Network,
    until,
};

/// Who lives in which network.
const AUTHORITY: u64 = 1;
const ARK: u64 = 2;
const CHEST: u64 = 3;
const NEWCOMER: u64 = 4;
/// The port of archives, which authority nodes do not have.
const TRANSFER: u16 = 4286;

/// Both servers, at work.
async fn servers(network: &Network, fleet: &Fleet) -> [(Machine, u64); 2] {
    let mut servers = Vec::new();
    for node in [ARK, CHEST] {
        let machine = Machine::waits(network, node, fleet);
        is_found(fleet, &machine).await;
        let number = machine.joins(fleet).await;
        servers.push((machine, number));
    }
    servers.try_into().unwrap_or_else(|_| unreachable!("there are two"))
}

/// What an inspection found last, shown where a test fails that waits for something else.
struct Last(Option<Inspection>);

impl Drop for Last {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- what the last inspection found\n{:#?}", self.0);
        }
    }
}

/// Waits until an inspection of a machine finds what is wanted. To one amid which a machine stands still, more ways look closed than are.
async fn until_found(what: &str, fleet: &Fleet, machine: &Machine, is_wanted: impl Fn(&Inspection) -> bool) {
    let mut last = Last(None);
    until(what, async || {
        let found = last.0.insert(machine.inspected(fleet).await);
        is_wanted(found).then_some(())
    })
    .await;
}

/// Waits until nothing stands in the way of adding a machine.
async fn is_found(fleet: &Fleet, machine: &Machine) {
    let is_free = |found: &Inspection| found.obstacles.is_empty() && found.stands == Some(true);
    until_found(&format!("nothing stands in the way of {}", machine.name), fleet, machine, is_free).await;
}

/// Whether an inspection names this way, from whom to whose port, as the one that is closed, and nothing else. That it is open no
/// inspection may say.
fn names_alone(found: &Inspection, (from, to, port): (&str, &str, u16)) -> bool {
    let is_it = |found: &PortFound| (found.from.as_str(), found.to.as_str(), found.port) == (from, to, port);
    let is_open = found.ports.iter().any(|found| is_it(found) && found.state == PathState::Reached);
    assert!(!is_open, "nothing comes through from {from} to port {port} of {to}");
    let closed: Vec<_> = found.ports.iter().filter(|found| found.state.is_blocked()).collect();
    let told = found.obstacles.iter().map(|obstacle| obstacle.code.as_str());
    matches!(closed[..], [found] if is_it(found)) && told.eq(["port_blocked"])
}

/// All ways between two machines: those of the authority's node are two, as it takes no archives.
fn ways(one: u64, other: u64) -> Vec<Blocked> {
    let both = [(one, other), (other, one)];
    let all = both.into_iter().flat_map(|(from, to)| PORTS.map(|port| Blocked { from, to, port }));
    all.filter(|way| (way.to, way.port) != (AUTHORITY, TRANSFER)).collect()
}

/// The ways that a matrix says do not pass; nothing where it does not know all of them.
fn closed(matrix: &Reachability) -> Option<Vec<Blocked>> {
    // The servers' numbers go by the order in which they were added.
    let node = |kind: &str, id: u64| if kind == "server" { id + 1 } else { id };
    let own = node("server", matrix.server.id);
    let mut closed = Vec::new();
    for neighbour in &matrix.neighbours {
        let object = node(&neighbour.object.kind, neighbour.object.id);
        for (paths, from, to) in [(&neighbour.outbound, own, object), (&neighbour.inbound, object, own)] {
            for (role, port) in PortRole::ALL.into_iter().zip(PORTS) {
                match paths.of_role(role).state {
                    PathState::Reached => {}
                    PathState::NoSuchPort => assert_eq!((to, port), (AUTHORITY, TRANSFER)),
                    PathState::NotTried => return None,
                    state => {
                        assert!(state.is_blocked());
                        closed.push(Blocked { from, to, port });
                    }
                }
            }
        }
    }
    Some(closed)
}

/// The revision of a cursor.
fn revision(cursor: &str) -> u64 {
    let (_, revision) = cursor.split_once('-').expect("a cursor has an epoch before its revision");
    revision.parse().expect("a revision")
}

/// Waits until the matrix of a server names just these ways.
async fn until_named(fleet: &Fleet, server: u64, ways: &[Blocked]) {
    let client = fleet.client();
    until(&format!("the matrix of server {server} names {ways:?}"), async || {
        (closed(&matrix_of(&client, server).await?)? == ways).then_some(())
    })
    .await;
}

#[test]
fn three_ports_are_enough() {
    let Some(network) = Network::of(3) else { return };
    network.run(async || {
        let fleet = Fleet::behind_a_firewall(&network).await;
        let [(ark, number), (_chest, other)] = servers(&network, &fleet).await;
        assert!(!network.connects(ARK, AUTHORITY, 4285), "what is not for servers is closed to them");
        assert!(!network.connects(ARK, CHEST, 22), "and so is any other port");
        until("the three are open", async || network.connects(ARK, CHEST, TRANSFER).then_some(())).await;
        ark.has_a_store_point(&fleet, number).await;
        let client = fleet.client();
        until("the server has told that it has read what happened", async || {
            let shown = client.get(&format!("servers/{number}"), &ReadQuery::default()).await.ok()?;
            let details: ServerDetails = shown.json().ok()?;
            (revision(&details.observed?.position?) >= revision(&shown.revision?)).then_some(())
        })
        .await;
        for server in [number, other] {
            until_named(&fleet, server, &[]).await;
        }
        assert_eq!(server(&client, number).await.map(|row| row.condition), Some(ServerCondition::Online));
    });
}

#[test]
fn the_matrix_names_the_one_port_that_is_closed_in_one_direction() {
    let Some(network) = Network::of(3) else { return };
    network.run(async || {
        let fleet = Fleet::behind_a_firewall(&network).await;
        let [(_ark, number), (_chest, _)] = servers(&network, &fleet).await;
        until_named(&fleet, number, &[]).await;
        // A server that cannot speak is silent on all other ways too, so this is the first: nothing else is to be told by then.
        let speech = Blocked { from: ARK, to: AUTHORITY, port: 4288 };
        let others = ways(ARK, AUTHORITY).into_iter().chain(ways(ARK, CHEST)).filter(|way| *way != speech);
        for way in [speech].into_iter().chain(others) {
            network.block(way);
            until_named(&fleet, number, &[way]).await;
            network.unblock(way);
        }
        until_named(&fleet, number, &[]).await;
    });
}

#[test]
fn an_inspection_names_the_one_port_that_is_closed_in_one_direction() {
    let Some(network) = Network::of(4) else { return };
    network.run(async || {
        let fleet = Fleet::behind_a_firewall(&network).await;
        let [(ark, _), (chest, _)] = servers(&network, &fleet).await;
        let newcomer = Machine::waits(&network, NEWCOMER, &fleet);
        is_found(&fleet, &newcomer).await;
        let names = |node: u64| match node {
            AUTHORITY => "authority node 1",
            ARK => &*ark.name,
            CHEST => &*chest.name,
            _ => &*newcomer.name,
        };
        for way in ways(NEWCOMER, AUTHORITY).into_iter().chain(ways(NEWCOMER, ARK)) {
            network.block(way);
            let closed = (names(way.from), names(way.to), way.port);
            // What the machine sees is not known where the authority does not reach it.
            let is_asked = way != Blocked { from: AUTHORITY, to: NEWCOMER, port: 4288 };
            let is_wanted = |found: &Inspection| {
                let mut by_machine = found.ports.iter().filter(|port| port.from == newcomer.name);
                names_alone(found, closed) && by_machine.all(|port| (port.state != PathState::NotTried) == is_asked)
            };
            until_found(&format!("an inspection names {way:?} alone"), &fleet, &newcomer, is_wanted).await;
            network.unblock(way);
        }
        is_found(&fleet, &newcomer).await;
    });
}
