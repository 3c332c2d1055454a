//! Looking whether the others' ports are reached from here: those of the authority's nodes, and of the servers of the own
//! destination. Each is asked for its welcome, so that it is known to be the one who is meant.

use std::{convert::Infallible, time::Duration};

use bursar_domain::{Projection, projection::Listens, server::Addresses};
use bursar_net::{Address, Dialer, Lane, Member, StoreId};
use bursar_wire::control::{Port, Probed, Seen, Sight};
use tokio::{sync::watch, time::sleep};

use super::{Known, known::dialled};
use crate::{
    membership::store_of,
    reach::{REACHED_WITHIN, all},
};

/// From the end of one round to the next.
const INTERVAL: Duration = Duration::from_secs(30);

/// Looks at the others' ports.
pub(super) struct Probes {
    pub dialer: Dialer,
    pub known: watch::Receiver<Known>,
    /// What was seen in the last round.
    pub sights: watch::Sender<Vec<Sight>>,
}

/// A port to look at.
struct Target {
    of: Seen,
    port: Port,
    to: Member,
    store: Option<StoreId>,
    address: Address,
}

impl Probes {
    /// Looks once it is known who there is, and again and again.
    pub(super) async fn look(mut self) -> Infallible {
        loop {
            let known = self.known.wait_for(|known| known.projection.is_some()).await;
            let Some(fleet) = known.ok().and_then(|known| known.fleet().cloned()) else {
                // Whoever learns of the fleet is gone, and the server ends.
                return std::future::pending().await;
            };
            let dialer = &self.dialer;
            let attempts = targets(&fleet).into_iter().map(|target| target.look(dialer.clone()));
            self.sights.send_replace(all(attempts).await);
            sleep(INTERVAL).await;
        }
    }
}

impl Target {
    async fn look(self, dialer: Dialer) -> Sight {
        let Self { of, port, to, store, address } = self;
        let came_of_it = dialer.dial(&address, to, store, Lane::Probe, REACHED_WITHIN).await;
        Sight { of, port, probed: Probed { address, fault: came_of_it.err().map(|error| error.to_string()) } }
    }
}

/// Everything that there is to look at: all ports of all, at every address.
fn targets(fleet: &Projection) -> Vec<Target> {
    let nodes = fleet.authority.iter().flat_map(|(node, Listens { control, peer })| {
        let (of, to) = (Seen::AuthorityNode(*node), Member::authority(node.0));
        let at = move |port, address| Target { of, port, to, store: None, address };
        [(Port::Control, control), (Port::Peer, peer)].map(|(port, address)| Some(at(port, dialled(address)?)))
    });
    let peers = fleet.peers.iter().flat_map(|(server, peer)| {
        let (of, to, store) = (Seen::Server(*server), Member::server(server.0), Some(store_of(peer.guid)));
        let Addresses { primary, secondary, ports } = &peer.addresses;
        [Some(primary), secondary.as_ref()].into_iter().flatten().filter_map(dialled).flat_map(move |control| {
            let ports = [(Port::Control, control.port()), (Port::Peer, ports.peer), (Port::Transfer, ports.transfer)];
            ports.map(|(port, number)| {
                let address = Address::new(control.host(), number).ok()?;
                Some(Target { of, port, to, store, address })
            })
        })
    });
    nodes.chain(peers).flatten().collect()
}
