//! Looking whether the others' ports are reached from here: those of the authority's nodes, and of the servers of the own
//! destination. Each is asked for its welcome, so that it is known to be the one who is meant.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bursar_domain::{Projection, projection::Listens};
use bursar_net::{Address, Dialer, Lane, Member, StoreId};
use bursar_wire::control::{Outcome, Port, Probed, Seen};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

use super::{
    Known,
    known::dialled,
    sights::{Place, Sights},
};
use crate::{
    membership::store_of,
    reach::{REACHED_WITHIN, all},
};

/// From the end of one round to the next, at least.
const INTERVAL_MIN: Duration = Duration::from_secs(10);
/// The same for each port that there is: the more there are, the more rarely each is looked at, and looks at this server.
pub(super) const INTERVAL_PER_PORT: Duration = Duration::from_millis(200);
/// How long the server rests even where somebody new comes.
const REST: Duration = Duration::from_secs(1);

/// Looks at the others' ports.
pub(super) struct Probes {
    pub dialer: Dialer,
    pub known: watch::Receiver<Known>,
    /// What was seen.
    pub sights: Arc<Sights>,
}

/// A port to look at.
struct Target {
    place: Place,
    to: Member,
    store: Option<StoreId>,
    /// Where it is: the first that is reached will do.
    addresses: Vec<Address>,
}

impl Probes {
    /// Looks once it is known who there is, and again and again; at once at those who are new.
    pub(super) async fn look(mut self) -> Infallible {
        let mut next_round = Instant::now();
        loop {
            let known = self.known.wait_for(|known| known.projection.is_some()).await;
            let Some(fleet) = known.ok().and_then(|known| known.fleet().cloned()) else {
                // Whoever learns of the fleet is gone, and the server ends.
                return std::future::pending().await;
            };
            let targets = targets(&fleet);
            let (ports, is_round) = (targets.len(), Instant::now() >= next_round);
            self.sights.keep(&targets.iter().map(|target| target.place).collect());
            let due = targets.into_iter().filter(|target| is_round || !self.sights.has(target.place));
            all(due.map(|target| target.look(self.dialer.clone(), Arc::clone(&self.sights)))).await;
            if is_round {
                next_round = Instant::now() + interval(ports);
            }
            sleep(REST).await;
            let others = |known: &Known| known.fleet().is_some_and(|now| !have_same_others(now, &fleet));
            // Either will do: the time has come, somebody new has, or nobody learns of the fleet any more, as is seen above.
            let _ = timeout_at(next_round, self.known.wait_for(others)).await;
        }
    }
}

impl Target {
    async fn look(self, dialer: Dialer, sights: Arc<Sights>) {
        let Self { place, to, store, addresses } = self;
        let mut seen = None;
        for address in addresses {
            let begun = Instant::now();
            let attempt = dialer.dial(&address, to, store, Lane::Probe, REACHED_WITHIN).await;
            let outcome = Outcome::of_dialling(attempt, begun.elapsed());
            let is_reached = outcome.is_reached();
            seen = Some(Probed { address, outcome });
            if is_reached {
                break;
            }
        }
        if let Some(seen) = seen {
            sights.saw(place, seen, Instant::now());
        }
    }
}

fn interval(ports: usize) -> Duration {
    INTERVAL_PER_PORT.saturating_mul(u32::try_from(ports).unwrap_or(u32::MAX)).max(INTERVAL_MIN)
}

fn have_same_others(one: &Projection, other: &Projection) -> bool {
    one.authority == other.authority && one.peers == other.peers
}

/// Everything that there is to look at: all ports of all.
fn targets(fleet: &Projection) -> Vec<Target> {
    let nodes = fleet.authority.iter().flat_map(|(node, Listens { control, peer })| {
        let (of, to) = (Seen::AuthorityNode(*node), Member::authority(node.0));
        let at = move |port, address| Target { place: (of, port), to, store: None, addresses: vec![address] };
        [(Port::Peer, peer), (Port::Control, control)].map(|(port, address)| Some(at(port, dialled(address)?)))
    });
    let peers = fleet.peers.iter().flat_map(|(server, peer)| {
        let (of, to, store) = (Seen::Server(*server), Member::server(server.0), Some(store_of(peer.guid)));
        let known = &peer.addresses;
        let control: Vec<_> =
            [Some(&known.primary), known.secondary.as_ref()].into_iter().flatten().filter_map(dialled).collect();
        let ports = Port::of_server(&control, known.ports);
        ports.map(|(port, addresses)| Some(Target { place: (of, port), to, store, addresses }))
    });
    nodes.chain(peers).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_ports_there_are_the_more_rarely_each_is_looked_at() {
        assert_eq!([0, 9, 50, 300, 30_000].map(|ports| interval(ports).as_secs()), [10, 10, 10, 60, 6_000]);
    }
}
