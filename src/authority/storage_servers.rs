//! The storage servers as the API sees them: what the control port learns, in the words of the API.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bursar_api::{ContactError, ExamineError, FleetCounters, ObservedError};
use bursar_domain::{DestinationId, ObjectRef, ServerId, store_point::Findings};
use bursar_fleet::{AddressInspected, CallFailure, Fleet, Observation, PortInspected, Unmet};
use bursar_net::WallClock;
use bursar_wire::{
    ConnectionString,
    control::{NewcomerAnswer, Outcome, Port, Seen},
    page::Warning,
    problem::code,
    servers::{
        AddressFound, Inspection, Look, Looks, Observed, Obstacle, PathState, PortFound, PortPath, PortRole, ServerObserved,
        StorePointObserved,
    },
};
use tokio::time::Instant;

/// The storage servers of a node's cluster.
pub(super) struct StorageServers {
    pub(super) fleet: Fleet,
    pub(super) clock: Arc<dyn WallClock>,
}

#[async_trait]
impl bursar_api::Fleet for StorageServers {
    async fn inspect(&self, string: &ConnectionString, destination: Option<DestinationId>, deadline: Instant) -> Inspection {
        let found = self.fleet.inspect(string, destination, deadline).await;
        let now_ms = self.clock.now_unix_ms();
        let addresses: Vec<_> = found.addresses.iter().map(|found| address_found(found, now_ms)).collect();
        let is_another = |found: &AddressInspected| matches!(found.answer, Err(Unmet::AnotherIdentity { .. }));
        let another_answers = found.addresses.iter().any(is_another);
        let answer = found.addresses.into_iter().find_map(|found| found.answer.ok());
        let (stands, standing, obstacle) = standing(answer.as_ref(), another_answers);
        let ports: Vec<_> = found.ports.into_iter().map(port_found).collect();
        let obstacles = if is_out_of_reach(&string.name, &addresses, &ports) {
            vec![out_of_reach(&string.name)]
        } else {
            obstacle.into_iter().chain(ports.iter().filter_map(blocked)).collect()
        };
        let far = found.far.map(|far| warning("latency_unlike_one_network", format!("The machine is not near: {far}.")));
        let left_out = (found.left_out > 0).then(|| {
            let detail = format!("{} further servers of the destination were not looked at.", found.left_out);
            warning("servers_left_out", detail)
        });
        Inspection {
            guid: string.guid.to_string(),
            name: string.name.clone(),
            version: string.version.clone(),
            platform: string.platform.clone(),
            addresses,
            ports,
            stands,
            standing: standing.to_owned(),
            obstacles,
            warnings: far.into_iter().chain(left_out).collect(),
        }
    }

    async fn contact(&self, string: &ConnectionString, deadline: Instant) -> Result<(), ContactError> {
        match self.fleet.contact(string, deadline).await {
            // Whether a string has expired the ledger says, by the authority's clock.
            Ok(NewcomerAnswer::Introduced(_) | NewcomerAnswer::Expired) => Ok(()),
            Ok(NewcomerAnswer::Voided) => Err(ContactError::Voided),
            Ok(NewcomerAnswer::Adopted | NewcomerAnswer::Failed { .. }) => {
                Err(ContactError::Unreachable { detail: "it answers another question than it was asked".to_owned() })
            }
            Err(unmet) => Err(not_met(&unmet)),
        }
    }

    async fn examine(&self, server: ServerId, path: &str, deadline: Instant) -> Result<Findings, ExamineError> {
        let found = self.fleet.examine(server, path, deadline).await;
        found.map_err(|failure| match failure {
            CallFailure::Unreachable { server, detail } => ExamineError::Unreachable { server, detail },
            failure @ (CallFailure::Unknown { .. } | CallFailure::Failed { .. }) => {
                ExamineError::Unreachable { server, detail: failure.to_string() }
            }
        })
    }

    async fn observed(&self, deadline: Instant) -> Result<Observed, ObservedError> {
        let observed = self.fleet.observed(deadline).await.map_err(|error| ObservedError(error.to_string()))?;
        let now_ms = self.clock.now_unix_ms();
        let by_server = observed.iter().map(|observation| (observation.server.0, server_observed(observation, now_ms)));
        Ok(Observed { by_server: by_server.collect() })
    }

    async fn looks(&self, server: ServerId, deadline: Instant) -> Result<Looks, ObservedError> {
        let asked = tokio::try_join!(self.fleet.looks(server, deadline), self.fleet.observed(deadline));
        let (looks, observed) = asked.map_err(|error| ObservedError(error.to_string()))?;
        let heard = observed.iter().map(|observation| observation.server).collect();
        Ok(Looks { found: looks.into_iter().map(look).collect(), heard })
    }

    fn counters(&self) -> FleetCounters {
        let counters = self.fleet.counters();
        FleetCounters {
            servers_heard: counters.servers_heard,
            ports_observed: counters.ports_observed,
            heartbeats_relayed: counters.heartbeats_relayed,
            heartbeats_unanswered: counters.heartbeats_unanswered,
            notices_noted: counters.notices_noted,
            feeds_open: counters.feeds_open,
            feeds_opened: counters.feeds_opened,
            feed_records: counters.feed_records,
            feed_readers_too_slow: counters.feed_readers_too_slow,
        }
    }
}

fn address_found(found: &AddressInspected, now_ms: u64) -> AddressFound {
    let (reachable, fingerprint_matches, detail) = match &found.answer {
        Ok(_) => (true, Some(true), None),
        Err(unmet @ Unmet::AnotherIdentity { .. }) => (true, Some(false), Some(unmet.to_string())),
        Err(Unmet::Unreachable { detail, .. }) => (false, None, Some(detail.clone())),
    };
    let its_clock = match &found.answer {
        Ok(NewcomerAnswer::Introduced(introduced)) => Some(introduced.now.0),
        _ => None,
    };
    AddressFound {
        address: found.address.to_string(),
        reachable,
        detail,
        fingerprint_matches,
        latency_ms: found.latency.map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)),
        clock_skew_ms: its_clock.and_then(|its| i64::try_from(i128::from(its) - i128::from(now_ms)).ok()),
    }
}

fn port_found(found: PortInspected) -> PortFound {
    let PortInspected { by, of, port, number, outcome } = found;
    let (state, detail) = match outcome {
        Ok(outcome) => path(outcome),
        Err(why) => (PathState::NotTried, Some(why)),
    };
    PortFound { from: by, to: of, port: number, role: role(port), state, detail }
}

/// Whether nobody reaches anything of the machine, which is one trouble and not one for each port.
fn is_out_of_reach(machine: &str, addresses: &[AddressFound], ports: &[PortFound]) -> bool {
    let is_reached = |port: &PortFound| port.to == machine && port.state == PathState::Reached;
    !addresses.iter().any(|found| found.reachable) && !ports.iter().any(is_reached)
}

fn out_of_reach(machine: &str) -> Obstacle {
    let remedy = "Start `bursar storage-server run` there. Where it runs, check its addresses, and let the ports 4283, 4286 and 4288, \
                  or those that it was given, through in both directions. It can be added at once all the same: that waits for it.";
    Obstacle {
        code: code::SERVER_UNREACHABLE.to_owned(),
        detail: format!("{machine} answers at none of its addresses, and nobody reaches any of its ports."),
        remedy: Some(remedy.to_owned()),
    }
}

/// A port that was tried and not reached stands in the way, whoever tried it.
fn blocked(found: &PortFound) -> Option<Obstacle> {
    let PortFound { from, to, port, role, state, detail } = found;
    let how = match state {
        PathState::Refused => "the connection is refused",
        PathState::TimedOut => "nothing comes back in time",
        PathState::Failed => detail.as_deref().unwrap_or("it fails"),
        PathState::Unheard | PathState::Reached | PathState::NotTried | PathState::NoSuchPort => return None,
    };
    let detail = format!("{from} does not reach port {port} ({}) of {to}: {how}.", role.as_str());
    let remedy = "Open what is closed: a firewall in between, or a program that does not listen there.".to_owned();
    Some(Obstacle { code: "port_blocked".to_owned(), detail, remedy: Some(remedy) })
}

fn warning(code: &str, detail: String) -> Warning {
    Warning { code: code.to_owned(), detail }
}

/// Whether the string stands, how that is known, and what stands in the way where it does not.
fn standing(answer: Option<&NewcomerAnswer>, another_answers: bool) -> (Option<bool>, &'static str, Option<Obstacle>) {
    let obstacle = |code: &str, refused: ContactError, remedy: &str| {
        Some(Obstacle { code: code.to_owned(), detail: format!("{refused}."), remedy: Some(remedy.to_owned()) })
    };
    let voided = || obstacle(code::CONNECTION_STRING_VOIDED, ContactError::Voided, "Use the newest connection string.");
    match answer {
        Some(NewcomerAnswer::Introduced(_)) => (Some(true), "the machine itself says so", None),
        Some(NewcomerAnswer::Voided) => (Some(false), "the machine has issued another one since", voided()),
        Some(NewcomerAnswer::Expired) => (Some(false), "its time is over by the machine's own clock", None),
        Some(NewcomerAnswer::Adopted | NewcomerAnswer::Failed { .. }) => {
            (None, "the machine answers another question than it was asked", None)
        }
        None if another_answers => {
            let remedy = "Check the addresses, and whether the machine was added already.";
            let another = obstacle(code::ANOTHER_IDENTITY, ContactError::AnotherIdentity, remedy);
            (None, "another machine answers there, or this one is a member already", another)
        }
        None => (None, "the machine does not answer", None),
    }
}

/// Somebody else answers only where nobody could still be the machine itself.
fn not_met(unmet: &[Unmet]) -> ContactError {
    let somebody_else = |unmet: &Unmet| matches!(unmet, Unmet::AnotherIdentity { .. });
    if !unmet.is_empty() && unmet.iter().all(somebody_else) {
        return ContactError::AnotherIdentity;
    }
    let faults: Vec<_> = unmet.iter().map(ToString::to_string).collect();
    ContactError::Unreachable { detail: faults.join("; ") }
}

fn server_observed(observation: &Observation, now_ms: u64) -> ServerObserved {
    let Observation { server: _, heard, ports_tried, ports_closed } = observation;
    let heartbeat = &heard.heartbeat;
    let store_points = heartbeat.store_points.iter().map(|(id, capacity)| {
        let observed = StorePointObserved { free_bytes: capacity.free, total_bytes: capacity.total, used_bytes: capacity.used };
        (id.0, observed)
    });
    ServerObserved {
        heard_ms_ago: now_ms.saturating_sub(heard.at.0),
        version: heartbeat.version.clone(),
        position: heartbeat.position.map(|position| position.to_string()),
        store_points: store_points.collect::<BTreeMap<_, _>>(),
        ports_tried: *ports_tried,
        ports_closed: *ports_closed,
    }
}

fn look(look: bursar_fleet::Look) -> Look {
    let bursar_fleet::Look { by, of, port, number, outcome, age_ms } = look;
    let (state, detail) = path(outcome);
    let found = PortPath { state, port: Some(number), age_ms: Some(age_ms), detail };
    Look { by: object(by), of: object(of), role: role(port), found }
}

fn path(outcome: Outcome) -> (PathState, Option<String>) {
    match outcome {
        Outcome::Reached { .. } => (PathState::Reached, None),
        Outcome::Refused => (PathState::Refused, None),
        Outcome::TimedOut => (PathState::TimedOut, None),
        Outcome::Failed { detail } => (PathState::Failed, Some(detail)),
    }
}

fn object(seen: Seen) -> ObjectRef {
    match seen {
        Seen::AuthorityNode(node) => node.into(),
        Seen::Server(server) => server.into(),
    }
}

const fn role(port: Port) -> PortRole {
    match port {
        Port::Peer => PortRole::Peer,
        Port::Transfer => PortRole::Transfer,
        Port::Control => PortRole::Control,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(from: &str, to: &str, state: PathState) -> PortFound {
        PortFound { from: from.into(), to: to.into(), port: 4286, role: PortRole::Transfer, state, detail: None }
    }

    fn found_at(reachable: bool) -> AddressFound {
        AddressFound {
            address: "ark:4288".into(),
            reachable,
            detail: None,
            fingerprint_matches: None,
            latency_ms: None,
            clock_skew_ms: None,
        }
    }

    #[test]
    fn a_machine_of_which_nobody_reaches_anything_is_one_trouble_and_one_closed_port_another() {
        let closed = [port("authority node 1", "ark", PathState::Refused), port("chest", "ark", PathState::TimedOut)];
        let untold = port("ark", "chest", PathState::NotTried);
        let all: Vec<_> = closed.iter().cloned().chain([untold]).collect();
        assert!(is_out_of_reach("ark", &[found_at(false), found_at(false)], &all));
        assert!(!is_out_of_reach("ark", &[found_at(false), found_at(true)], &all), "somebody answers");
        let open = [&all[..], &[port("chest", "ark", PathState::Reached)]].concat();
        assert!(!is_out_of_reach("ark", &[found_at(false)], &open), "it is there, and a port of it is closed");
        let elsewhere = [&all[..], &[port("ark", "chest", PathState::Reached)]].concat();
        assert!(is_out_of_reach("ark", &[found_at(false)], &elsewhere), "what it reaches itself is none of its ports");
    }
}
