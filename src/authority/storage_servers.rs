//! The storage servers as the API sees them: what the control port learns, in the words of the API.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bursar_api::{ContactError, ExamineError, ObservedError};
use bursar_domain::{AuthorityNodeId, ObjectRef, ServerId, store_point::Findings};
use bursar_fleet::{AddressInspected, CallFailure, Fleet, Heard, Observation, Unmet};
use bursar_net::WallClock;
use bursar_wire::{
    ConnectionString,
    control::{Introduced, NewcomerAnswer, Port, Seen, Sight},
    servers::{AddressFound, Inspection, Observed, Obstacle, PortFound, PortRole, Probe, ServerObserved, StorePointObserved},
};
use tokio::time::Instant;

/// The storage servers of a node's cluster.
pub(super) struct StorageServers {
    pub(super) node: AuthorityNodeId,
    pub(super) fleet: Fleet,
    pub(super) clock: Arc<dyn WallClock>,
}

#[async_trait]
impl bursar_api::Fleet for StorageServers {
    async fn inspect(&self, string: &ConnectionString, deadline: Instant) -> Inspection {
        let found = self.fleet.inspect(string, deadline).await;
        let now_ms = self.clock.now_unix_ms();
        let addresses: Vec<_> = found.addresses.iter().map(|found| address_found(found, now_ms)).collect();
        let is_another = |found: &AddressInspected| matches!(found.answer, Err(Unmet::AnotherIdentity { .. }));
        let another_answers = found.addresses.iter().any(is_another);
        let answer = found.addresses.into_iter().find_map(|found| found.answer.ok());
        let mut ports: Vec<_> = found.ports.iter().map(|found| port_found(self.node, string, found)).collect();
        if let Some(NewcomerAnswer::Introduced(introduced)) = &answer {
            ports.extend(seen_from_there(string, introduced));
        }
        let (stands, standing, obstacle) = standing(answer.as_ref(), another_answers);
        Inspection {
            guid: string.guid.to_string(),
            name: string.name.clone(),
            version: string.version.clone(),
            platform: string.platform.clone(),
            addresses,
            ports,
            stands,
            standing: standing.to_owned(),
            obstacles: obstacle.into_iter().collect(),
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
        let heard = observed.into_iter().filter_map(|Observation { server, heard, .. }| Some((server, heard?)));
        let by_server = heard.map(|(server, heard)| (server.0, server_observed(&heard, now_ms))).collect();
        Ok(Observed { by_server })
    }
}

/// What the machine itself found at the control ports of the authority's nodes.
fn seen_from_there(string: &ConnectionString, introduced: &Introduced) -> Vec<PortFound> {
    let seen = introduced.probed.iter().map(|probed| PortFound {
        from: string.name.clone(),
        to: probed.address.to_string(),
        port: probed.address.port(),
        role: PortRole::Control,
        open: probed.fault.is_none(),
        detail: probed.fault.clone(),
    });
    seen.collect()
}

fn address_found(found: &AddressInspected, now_ms: u64) -> AddressFound {
    let (reachable, fingerprint_matches, detail) = match &found.answer {
        Ok(_) => (true, Some(true), None),
        Err(unmet @ Unmet::AnotherIdentity { .. }) => (true, Some(false), Some(unmet.to_string())),
        Err(unmet @ Unmet::Unreachable { .. }) => (false, None, Some(unmet.to_string())),
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

fn port_found(from: AuthorityNodeId, string: &ConnectionString, found: &bursar_fleet::PortInspected) -> PortFound {
    PortFound {
        from: from.to_string(),
        to: string.name.clone(),
        port: found.probed.address.port(),
        role: role(found.port),
        open: found.probed.fault.is_none(),
        detail: found.probed.fault.clone(),
    }
}

/// Whether the string stands, how that is known, and what stands in the way where it does not.
fn standing(answer: Option<&NewcomerAnswer>, another_answers: bool) -> (Option<bool>, &'static str, Option<Obstacle>) {
    let obstacle =
        |refused: ContactError| Some(Obstacle { code: "connection_string_voided".to_owned(), detail: format!("{refused}.") });
    match answer {
        Some(NewcomerAnswer::Introduced(_)) => (Some(true), "the machine itself says so", None),
        Some(NewcomerAnswer::Voided) => (Some(false), "the machine has issued another one since", obstacle(ContactError::Voided)),
        Some(NewcomerAnswer::Expired) => (Some(false), "its time is over by the machine's own clock", None),
        Some(NewcomerAnswer::Adopted | NewcomerAnswer::Failed { .. }) => {
            (None, "the machine answers another question than it was asked", None)
        }
        None if another_answers => (None, "another machine answers there, or this one is a member already", None),
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

fn server_observed(heard: &Heard, now_ms: u64) -> ServerObserved {
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
        probes: heartbeat.probed.iter().map(probe).collect(),
    }
}

fn probe(sight: &Sight) -> Probe {
    let to: ObjectRef = match sight.of {
        Seen::AuthorityNode(node) => node.into(),
        Seen::Server(server) => server.into(),
    };
    Probe {
        to: to.into(),
        role: role(sight.port),
        port: sight.probed.address.port(),
        open: sight.probed.fault.is_none(),
        detail: sight.probed.fault.clone(),
    }
}

const fn role(port: Port) -> PortRole {
    match port {
        Port::Peer => PortRole::Peer,
        Port::Transfer => PortRole::Transfer,
        Port::Control => PortRole::Control,
    }
}
