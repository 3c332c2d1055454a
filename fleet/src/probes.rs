//! Looking at the servers' ports, from every authority node: what a server cannot say itself is whether others reach it.

use std::{convert::Infallible, time::Duration};

use bursar_domain::{
    AuthorityNodeId,
    server::{Condition, Server},
};
use bursar_net::Lane;
use bursar_wire::control::{Outcome, Port, Probed, SIGHTS_MAX, Seen, Sight};
use futures_util::{StreamExt, future::join_all, stream};
use tokio::time::{Instant, sleep};

use crate::{
    calls::{Calls, addresses},
    fleet::Shared,
    relayed::{self, Question},
};

/// How many servers are looked at at a time.
const SERVERS_MAX: usize = 16;
/// Of how many servers the leader is told at a time: each has three ports.
const TOLD_MAX: usize = SIGHTS_MAX / 3;
/// How long a node rests for each server that there is: the more there are, the more rarely each is looked at.
const REST_PER_SERVER: Duration = Duration::from_millis(30);
/// How long the leader may take to hear what this node sees.
const TELLING_TIMEOUT: Duration = Duration::from_secs(2);

/// A port that was looked at, and when.
struct Looked {
    port: Port,
    probed: Probed,
    at: Instant,
}

/// Looks again and again, and tells the leader each time.
pub(crate) async fn run(fleet: &Shared) -> Infallible {
    loop {
        let state = fleet.node.latest();
        let is_member = |server: &Server| matches!(server.condition, Condition::Online | Condition::Offline);
        let members: Vec<_> = state.servers().iter().filter(|server| is_member(server)).cloned().collect();
        let rest = REST_PER_SERVER.saturating_mul(u32::try_from(members.len()).unwrap_or(u32::MAX));
        let looks = stream::iter(members).map(|server| async move { (server.id, look(&fleet.calls, &server).await) });
        let together = looks.buffer_unordered(SERVERS_MAX).chunks(TOLD_MAX);
        together
            // Beside one another: while the leader is told, the next looks go on.
            .for_each_concurrent(2, |looked| async move {
                let sights = looked.into_iter().flat_map(|(server, ports)| ports.into_iter().map(move |port| (server, port)));
                let sights = sights.map(|(server, Looked { port, probed, at })| {
                    let ago_ms = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
                    Sight { of: Seen::Server(server), port, probed, ago_ms }
                });
                tell(fleet, sights.collect()).await;
            })
            .await;
        sleep(rest.max(fleet.config.probe_interval)).await;
    }
}

/// Tells the leader what this node sees. What is lost on the way it tells anew after its next look.
async fn tell(fleet: &Shared, sights: Vec<Sight>) {
    let question = Question::Sights { node: AuthorityNodeId(fleet.dialer.me.member.id), sights };
    if let Err(error) = fleet.node.relay(relayed::encode(&question), Instant::now() + TELLING_TIMEOUT).await {
        tracing::debug!(%error, "the leader was not told what this node sees of the servers' ports");
    }
}

/// Looks at the three ports of a server, each at its first address, else at its second.
async fn look(calls: &Calls, server: &Server) -> Vec<Looked> {
    let ports = Port::of_server(&addresses(server), server.facts.addresses.ports);
    let looks = ports.map(|(port, addresses)| async move {
        let mut last = None;
        for address in addresses {
            let begun = Instant::now();
            let outcome = Outcome::of_dialling(calls.dial_at(server, &address, Lane::Probe).await, begun.elapsed());
            let is_reached = outcome.is_reached();
            last = Some(Looked { port, probed: Probed { address, outcome }, at: Instant::now() });
            if is_reached {
                break;
            }
        }
        last
    });
    join_all(looks).await.into_iter().flatten().collect()
}
