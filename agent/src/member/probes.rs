//! Looking whether the others' ports are reached from here: those of the authority's nodes, and of the servers of the own
//! destination. Each is asked for its welcome, so that it is known to be the one who is meant.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bursar_domain::Projection;
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

/// Everything that there is to look at.
fn targets(fleet: &Arc<Projection>) -> Vec<Target> {
    let mut targets = Vec::new();
    for (node, address) in &fleet.authority {
        let (of, to) = (Seen::AuthorityNode(*node), Member::authority(node.0));
        targets.extend(dialled(address).map(|address| Target { of, port: Port::Peer, to, store: None, address }));
    }
    for (server, peer) in &fleet.peers {
        let (of, to, store) = (Seen::Server(*server), Member::server(server.0), Some(store_of(peer.guid)));
        targets.extend(dialled(&peer.addresses.primary).map(|address| Target { of, port: Port::Control, to, store, address }));
    }
    targets
}
