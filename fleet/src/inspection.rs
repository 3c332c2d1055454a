//! Looking at a machine before it is added: who answers at its addresses, and which ports pass between it and the neighbours that
//! it would have, in both directions.
//!
//! | direction | who looks |
//! |---|---|
//! | this node to the machine | this node |
//! | the machine to everybody | the machine, where it answers and knows the connection string |
//! | a server of the destination to the machine | that server, where it is online and answers |
//! | another authority node to the machine | nobody: nodes look at members alone |
//!
//! What nobody looked at is told as such, with the reason.

use std::time::Duration;

use bursar_domain::{
    AuthorityNodeId, DestinationId, Hash, State, destination,
    server::{Condition, Ports, Server},
};
use bursar_net::Address;
use bursar_wire::{
    ConnectionString,
    control::{Introduced, NewcomerAnswer, NewcomerQuestion, Outcome, PROBED_MAX, Port, Probed},
};
use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use crate::{
    calls::{addresses, dialled},
    fleet::Shared,
    latency::{Far, Latencies},
    newcomer::Unmet,
};

/// How many servers of the destination are looked at.
const SERVERS_MAX: usize = 16;
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a server of the destination may take to look.
const NEIGHBOUR_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a port may take to be connected to: TCP says the first word again after a second, should it be lost.
const PORT_TIMEOUT: Duration = Duration::from_secs(2);

/// What was found at the machine that a connection string is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// At its addresses, the first first.
    pub addresses: Vec<AddressInspected>,
    /// At the ports between it and its neighbours to be.
    pub ports: Vec<PortInspected>,
    /// How many servers of the destination were left out: it has more than are looked at for one machine.
    pub left_out: usize,
    /// Whether it is too far away from the servers of the destination.
    pub far: Option<Far>,
}

/// What was found at one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressInspected {
    /// Which.
    pub address: Address,
    /// How long it took until the machine had proved who it is; nothing where it did not.
    pub latency: Option<Duration>,
    /// What it answered: who it is and what it sees, or that the string does not stand.
    pub answer: Result<NewcomerAnswer, Unmet>,
}

/// Whether a port is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInspected {
    /// Who looks: a server or machine by its name, or an authority node.
    pub by: String,
    /// Whose port it is.
    pub of: String,
    /// Which.
    pub port: Port,
    /// Its number.
    pub number: u16,
    /// What came of it, or why nobody looked.
    pub outcome: Result<Outcome, String>,
}

/// A port, and where it may be: the first address that is reached will do.
struct Door {
    of: String,
    port: Port,
    addresses: Vec<Address>,
}

/// Why the ports of a server were not tried, or those that it would have tried.
const NOT_ONLINE: &str = "the server is not online";

/// Looks at the machine that a connection string is of, and around it.
pub(crate) async fn inspect(
    fleet: &Shared,
    string: &ConnectionString,
    destination: Option<DestinationId>,
    deadline: Instant,
) -> Inspection {
    let deadline = deadline.min(Instant::now() + PATIENCE);
    let state = fleet.node.latest();
    let mut servers: Vec<_> = destination.into_iter().flat_map(|id| destination::servers(&state, id)).collect();
    let left_out = servers.len().saturating_sub(SERVERS_MAX);
    servers.truncate(SERVERS_MAX);
    let own = doors_of_machine(string);
    let (online, silent): (Vec<_>, Vec<_>) = servers.iter().copied().partition(|server| server.condition == Condition::Online);
    let neighbours = doors_of_nodes(&state).chain(doors_of_servers(&online)).collect();
    let (asked, unasked) = within_one_question(neighbours);
    let probe: Vec<_> = asked.iter().flat_map(|door| &door.addresses).cloned().collect();

    let known = addresses_of(string);
    let looks = join_all(known.iter().map(|address| look_at(fleet, string, address, probe.clone(), deadline)));
    let from_nodes = look_from_nodes(fleet, &state, &own, deadline);
    let from_servers = join_all(servers.iter().map(|server| look_from(fleet, server, &own, deadline)));
    let at_servers = join_all(servers.iter().map(|server| knock(fleet, addresses(server), deadline)));
    let (addresses, from_nodes, from_servers, at_servers) = tokio::join!(looks, from_nodes, from_servers, at_servers);

    let mut from_machine = seen_by_machine(string, &addresses, &asked, &unasked);
    // That nobody reaches those says nothing of the machine.
    from_machine.extend(doors_of_servers(&silent).map(|door| door.seen(&string.name, Err(NOT_ONLINE.to_owned()))));
    let from_servers: Vec<_> = from_servers.into_iter().flatten().collect();
    let is_of_server = |seen: &&PortInspected| servers.iter().any(|server| server.name.as_str() == seen.of);
    let latencies = Latencies {
        between: times(from_servers.iter().chain(from_machine.iter().filter(is_of_server))),
        to_machine: times(&from_nodes),
        to_servers: at_servers.iter().flatten().filter_map(time).collect(),
    };
    let ports = from_nodes.into_iter().chain(from_servers).chain(from_machine).collect();
    Inspection { addresses, ports, left_out, far: latencies.unlike_one_network() }
}

/// Calls the machine at one of its addresses, and has it look at `probe`.
pub(crate) async fn look_at(
    fleet: &Shared,
    string: &ConnectionString,
    address: &Address,
    probe: Vec<Address>,
    deadline: Instant,
) -> AddressInspected {
    let began = Instant::now();
    let met = fleet.newcomers.meet(address, Hash(*string.certificate.as_bytes()), deadline).await;
    let latency = met.is_ok().then(|| began.elapsed());
    let answer = match met {
        Ok(met) => {
            let introduce = NewcomerQuestion::Introduce { secret: string.secret.hash(), probe };
            met.ask(&introduce, deadline).await.and_then(|answer| checked(string, address, answer))
        }
        Err(unmet) => Err(unmet),
    };
    AddressInspected { address: address.clone(), latency, answer }
}

/// Where the machine says that it is, the first address first.
pub(crate) fn addresses_of(string: &ConnectionString) -> Vec<Address> {
    [Some(&string.primary_address), string.secondary_address.as_ref()].into_iter().flatten().cloned().collect()
}

/// The machine has the certificate; that it is the one of the string it must say too.
fn checked(string: &ConnectionString, address: &Address, answer: NewcomerAnswer) -> Result<NewcomerAnswer, Unmet> {
    match answer {
        NewcomerAnswer::Introduced(introduced) if !is_of(string, &introduced) => {
            let detail = format!("it says that it is {}", introduced.guid);
            Err(Unmet::AnotherIdentity { address: address.clone(), detail })
        }
        answer => Ok(answer),
    }
}

fn is_of(string: &ConnectionString, introduced: &Introduced) -> bool {
    let key = introduced.certificate_request.public_key();
    introduced.guid == string.guid && key.is_ok_and(|key| key == string.public_key.as_der())
}

fn doors_of_machine(string: &ConnectionString) -> Vec<Door> {
    let ports = Ports { peer: string.peer_port, transfer: string.transfer_port };
    let doors = Port::of_server(&addresses_of(string), ports);
    doors.map(|(port, addresses)| Door { of: string.name.clone(), port, addresses }).into()
}

fn doors_of_nodes(state: &State) -> impl Iterator<Item = Door> {
    let nodes = state.authority_nodes().iter().filter(|node| node.intent.is_present());
    nodes.flat_map(|node| {
        [(Port::Peer, &node.peer_address), (Port::Control, &node.control_address)].map(|(port, address)| Door {
            of: node.id.to_string(),
            port,
            addresses: dialled(address).into_iter().collect(),
        })
    })
}

fn doors_of_servers(servers: &[&Server]) -> impl Iterator<Item = Door> {
    servers.iter().flat_map(|server| {
        let doors = Port::of_server(&addresses(server), server.facts.addresses.ports);
        doors.map(|(port, addresses)| Door { of: server.name.to_string(), port, addresses })
    })
}

/// As many doors as fit into one question, and the others.
fn within_one_question(mut doors: Vec<Door>) -> (Vec<Door>, Vec<Door>) {
    let mut addresses = 0;
    let fits = |door: &Door| {
        addresses += door.addresses.len();
        addresses <= PROBED_MAX
    };
    let fitting = doors.iter().map(fits).take_while(|fits| *fits).count();
    let others = doors.split_off(fitting);
    (doors, others)
}

/// What this node finds at the machine's ports, and the others cannot tell.
async fn look_from_nodes(fleet: &Shared, state: &State, own: &[Door], deadline: Instant) -> Vec<PortInspected> {
    let here = AuthorityNodeId(fleet.dialer.me.member.id);
    let knocks = own.iter().map(|door| knock(fleet, door.addresses.clone(), deadline));
    let found = join_all(knocks).await;
    let from_here = own.iter().zip(found).map(|(door, found)| {
        let outcome = found.ok_or_else(|| "it has no address, or whoever asks does not wait for it".to_owned());
        door.seen(&here.to_string(), outcome)
    });
    let others = state.authority_nodes().iter().filter(|node| node.intent.is_present() && node.id != here);
    let from_others = others.flat_map(|node| {
        let why = format!("before the machine is a member, only the node that answers you looks at it, which is {here}");
        own.iter().map(move |door| door.seen(&node.id.to_string(), Err(why.clone())))
    });
    from_here.chain(from_others).collect()
}

/// What a server of the destination finds at the machine's ports.
async fn look_from(fleet: &Shared, server: &Server, own: &[Door], deadline: Instant) -> Vec<PortInspected> {
    let probe = own.iter().flat_map(|door| &door.addresses).cloned().collect();
    let deadline = deadline.min(Instant::now() + NEIGHBOUR_TIMEOUT);
    let probed = match server.condition {
        Condition::Online => fleet.calls.probe(server, probe, deadline).await.map_err(|failure| failure.to_string()),
        Condition::Joining { .. } | Condition::Offline | Condition::Excluded => Err(NOT_ONLINE.to_owned()),
    };
    seen_by(&server.name.to_string(), own, probed.as_deref())
}

/// What the machine finds at its neighbours' ports.
fn seen_by_machine(
    string: &ConnectionString,
    addresses: &[AddressInspected],
    asked: &[Door],
    unasked: &[Door],
) -> Vec<PortInspected> {
    let introduced = addresses.iter().find_map(|found| match &found.answer {
        Ok(NewcomerAnswer::Introduced(introduced)) => Some(&**introduced),
        _ => None,
    });
    let probed = introduced.map(|introduced| introduced.probed.as_slice());
    let mut seen = seen_by(&string.name, asked, probed.ok_or(&"the machine could not be asked".to_owned()));
    let too_many = || Err("there are more ports than a machine is asked about at a time".to_owned());
    seen.extend(unasked.iter().map(|door| door.seen(&string.name, too_many())));
    seen
}

/// What somebody found who was asked about all addresses of `doors`, in their order.
fn seen_by(by: &str, doors: &[Door], probed: Result<&[Probed], &String>) -> Vec<PortInspected> {
    let mut answers = probed.unwrap_or_default().iter();
    let seen = doors.iter().map(|door| {
        let tried = answers.by_ref().take(door.addresses.len());
        let came_of_it = best(tried.map(|probed| probed.outcome.clone().bounded()));
        let untold = || probed.err().map_or_else(|| "it did not tell".to_owned(), Clone::clone);
        door.seen(by, came_of_it.ok_or_else(untold))
    });
    seen.collect()
}

/// Connects to the addresses of a port: what came of it at one that is reached, else at the last. Nothing where whoever asks does
/// not wait long enough to tell.
async fn knock(fleet: &Shared, addresses: Vec<Address>, deadline: Instant) -> Option<Outcome> {
    let patience = Instant::now() + PORT_TIMEOUT;
    let attempts = addresses.iter().map(async |address| {
        let begun = Instant::now();
        match timeout_at(deadline.min(patience), fleet.dialer.network.connect(address)).await {
            Ok(attempt) => Some(Outcome::of_connecting(attempt, begun.elapsed())),
            Err(_elapsed) => (patience <= deadline).then_some(Outcome::TimedOut),
        }
    });
    best(join_all(attempts).await.into_iter().flatten())
}

/// Of several attempts at one port the first that reached it, else the last.
fn best(outcomes: impl IntoIterator<Item = Outcome>) -> Option<Outcome> {
    outcomes.into_iter().reduce(|best, next| if best.is_reached() { best } else { next })
}

fn times<'p>(ports: impl IntoIterator<Item = &'p PortInspected>) -> Vec<u64> {
    ports.into_iter().filter_map(|seen| time(seen.outcome.as_ref().ok()?)).collect()
}

fn time(outcome: &Outcome) -> Option<u64> {
    match outcome {
        Outcome::Reached { after_us } => Some(*after_us),
        _ => None,
    }
}

impl Door {
    fn seen(&self, by: &str, outcome: Result<Outcome, String>) -> PortInspected {
        let number = self.addresses.first().map_or(0, Address::port);
        PortInspected { by: by.to_owned(), of: self.of.clone(), port: self.port, number, outcome }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(of: &str, addresses: usize) -> Door {
        let addresses = (0..addresses).map(|number| format!("10.0.0.{number}:4288").parse().expect("an address")).collect();
        Door { of: of.into(), port: Port::Control, addresses }
    }

    fn probed(outcome: Outcome) -> Probed {
        Probed { address: "10.0.0.1:4288".parse().expect("an address"), outcome }
    }

    #[test]
    fn a_port_is_reached_where_one_of_its_addresses_is_and_what_is_not_told_is_not_known() {
        let doors = [door("ark", 2), door("chest", 1), door("boat", 2), door("raft", 1)];
        let open = || Outcome::Reached { after_us: 7 };
        let told = [Outcome::TimedOut, open(), Outcome::Refused, Outcome::TimedOut, Outcome::Refused].map(probed);
        let seen = seen_by("newcomer", &doors, Ok(&told));
        let outcomes: Vec<_> = seen.into_iter().map(|seen| (seen.of, seen.outcome)).collect();
        let untold = Err("it did not tell".to_owned());
        let expected = [("ark", Ok(open())), ("chest", Ok(Outcome::Refused)), ("boat", Ok(Outcome::Refused)), ("raft", untold)];
        assert_eq!(outcomes, expected.map(|(of, outcome)| (of.to_owned(), outcome)));
        let silent = seen_by("newcomer", &doors, Err(&"it is away".to_owned()));
        assert!(silent.iter().all(|seen| seen.outcome == Err("it is away".to_owned())));
    }

    #[test]
    fn a_machine_is_asked_about_as_many_ports_as_one_question_takes() {
        let doors = |count| (0..count).map(|number| door(&format!("store-{number}"), 2)).collect::<Vec<_>>();
        let (asked, others) = within_one_question(doors(PROBED_MAX / 2));
        assert_eq!((asked.len(), others.len()), (PROBED_MAX / 2, 0));
        let (asked, others) = within_one_question(doors(PROBED_MAX));
        assert_eq!((asked.len(), others.len()), (PROBED_MAX / 2, PROBED_MAX / 2));
    }
}
