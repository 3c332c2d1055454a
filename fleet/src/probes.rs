//! Looking at the servers' ports: what a server cannot say itself is whether others reach it.

use std::convert::Infallible;

use bursar_domain::server::{Condition, Server};
use bursar_net::{Address, Lane};
use bursar_wire::control::{Port, Probed, Seen, Sight};
use futures_util::{StreamExt, stream};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    calls::{Calls, addresses, at_port},
    duties::Duties,
};

/// How many servers are looked at at a time.
const SERVERS_MAX: usize = 16;

/// Looks again and again.
pub(crate) async fn run(duties: &Duties<'_>) -> Infallible {
    let mut tick = interval(duties.fleet.config.probe_interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let state = duties.fleet.node.latest();
        let is_member = |server: &Server| matches!(server.condition, Condition::Online | Condition::Offline);
        let members: Vec<_> = state.servers().iter().filter(|server| is_member(server)).cloned().collect();
        let looks = stream::iter(members).map(|server| async move {
            let sights = look(&duties.fleet.calls, &server).await;
            duties.listener.saw(server.id, sights);
        });
        looks.buffer_unordered(SERVERS_MAX).collect::<()>().await;
    }
}

/// Looks at the three ports of a server, each at its first address, else at its second.
async fn look(calls: &Calls, server: &Server) -> Vec<Sight> {
    let ports = server.facts.addresses.ports;
    let looks = [(Port::Control, None), (Port::Peer, Some(ports.peer)), (Port::Transfer, Some(ports.transfer))];
    let looks = looks.map(|(port, number)| async move {
        let mut last = None;
        for address in addresses(server) {
            let address = number.map_or_else(|| address.clone(), |number| at_port(&address, number));
            let fault = probe(calls, server, &address).await;
            let reached = fault.is_none();
            last = Some(Sight { of: Seen::Server(server.id), port, probed: Probed { address, fault } });
            if reached {
                break;
            }
        }
        last
    });
    futures_util::future::join_all(looks).await.into_iter().flatten().collect()
}

async fn probe(calls: &Calls, server: &Server, address: &Address) -> Option<String> {
    calls.dial_at(server, address, Lane::Probe).await.err().map(|error| error.to_string())
}
