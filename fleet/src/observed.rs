//! What the leader has heard of storage servers, and seen of them: in memory alone, dropped whole with the leadership.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bursar_domain::{AuthorityNodeId, Command, ServerGuid, ServerId, State, Timestamp, plan::failure_detection, server::Server};
use bursar_net::WallClock;
use bursar_raft::Relayed;
use bursar_wire::control::{Heartbeat, Seen, Sight};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    config::FleetConfig,
    relayed::{self, Answer, Question},
    sights::{Place, Sights},
};

/// How much a page of observations holds, in bytes, and one observation more.
const PAGE_BYTES: usize = 1 << 20;
/// How many store points a heartbeat tells of at most; what is beyond is not kept.
const STORE_POINTS_MAX: usize = 1_024;
/// How many looks a page holds.
const PAGE_LOOKS: usize = 8_192;

/// What the leader has observed of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// Which.
    pub server: ServerId,
    /// What it said last.
    pub heard: Heard,
    /// How many ports of others it has told of.
    pub ports_tried: u64,
    /// How many of them it did not reach.
    pub ports_closed: u64,
}

/// What a server said last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heard {
    /// The machine that said it.
    pub guid: ServerGuid,
    /// When, by the leader's clock.
    pub at: Timestamp,
    /// By how much its clock is ahead of the leader's, in milliseconds; behind where negative. What it said took its time to
    /// come here, and counts as behind.
    pub clock_ahead_ms: i64,
    /// What it said; what it sees is kept apart.
    pub heartbeat: Heartbeat,
}

/// What this node observes while it leads. Made before the node, which answers with it what is relayed.
pub struct Observations {
    config: FleetConfig,
    clock: Arc<dyn WallClock>,
    /// What spans are counted from.
    beginning: Instant,
    /// Nothing where this node does not lead.
    listening: Mutex<Option<Listening>>,
}

struct Listening {
    observed: failure_detection::Observed,
    servers: BTreeMap<ServerId, Heard>,
    sights: Sights,
}

impl Observations {
    /// Nothing was observed yet, and nobody listens.
    pub fn new(config: FleetConfig, clock: Arc<dyn WallClock>) -> Self {
        Self { config, clock, beginning: Instant::now(), listening: Mutex::default() }
    }

    /// This node leads, and listens until what this gives is dropped.
    pub(crate) fn listen(self: &Arc<Self>) -> Listener {
        let window_ms = u64::try_from(self.config.detection_window.as_millis()).unwrap_or(u64::MAX);
        let observed = failure_detection::Observed::new(window_ms, self.now_ms());
        *self.listening() = Some(Listening { observed, servers: BTreeMap::new(), sights: Sights::default() });
        Listener(Arc::clone(self))
    }

    /// How many servers were heard, and how many ports observed.
    pub(crate) fn tally(&self) -> (u64, u64) {
        let listening = self.listening();
        listening.as_ref().map_or((0, 0), |listening| (listening.servers.len() as u64, listening.sights.count()))
    }

    fn hear(&self, server: ServerId, guid: ServerGuid, mut heartbeat: Heartbeat) -> Option<Answer> {
        let (now_ms, at) = (self.now_ms(), Timestamp(self.clock.now_unix_ms()));
        let clock_ahead_ms = i64::try_from(i128::from(heartbeat.now.0) - i128::from(at.0)).unwrap_or(i64::MAX);
        while heartbeat.store_points.len() > STORE_POINTS_MAX {
            heartbeat.store_points.pop_last();
        }
        let told = mem::take(&mut heartbeat.sights);
        let mut listening = self.listening();
        let Listening { observed, servers, sights } = listening.as_mut()?;
        observed.hear(server, guid, now_ms);
        let before = servers.insert(server, Heard { guid, at, clock_ahead_ms, heartbeat });
        if before.is_some_and(|before| before.guid != guid) {
            // Another machine has its place: what its predecessor saw says nothing of it.
            sights.forget(Seen::Server(server));
        }
        sights.see(Seen::Server(server), told, now_ms);
        let again_ms = u64::try_from(self.config.beat().as_millis()).unwrap_or(u64::MAX);
        Some(Answer::Heard { again_ms })
    }

    fn see(&self, node: AuthorityNodeId, told: Vec<Sight>) -> Option<Answer> {
        let now_ms = self.now_ms();
        self.listening().as_mut()?.sights.see(Seen::AuthorityNode(node), told, now_ms);
        Some(Answer::Seen)
    }

    fn looks(&self, server: ServerId, behind: Option<Place>) -> Option<Answer> {
        let now_ms = self.now_ms();
        let (looks, more) = self.listening().as_ref()?.sights.between(server, behind, PAGE_LOOKS, now_ms);
        Some(Answer::Looks { looks, more })
    }

    fn page(&self, behind: Option<ServerId>) -> Option<Answer> {
        let listening = self.listening();
        let Listening { servers, sights, .. } = listening.as_ref()?;
        let mut following = servers.range(behind.map_or(ServerId(0), |behind| ServerId(behind.0.saturating_add(1)))..);
        let (mut observations, mut bytes) = (Vec::new(), 0);
        for (server, heard) in following.by_ref() {
            let (ports_tried, ports_closed) = sights.tally(Seen::Server(*server));
            let observation = Observation { server: *server, heard: heard.clone(), ports_tried, ports_closed };
            bytes += relayed::encode(&observation).len();
            observations.push(observation);
            if bytes >= PAGE_BYTES {
                break;
            }
        }
        Some(Answer::Observations { observations, more: following.next().is_some() })
    }

    /// Milliseconds since this was made.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.beginning.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn listening(&self) -> MutexGuard<'_, Option<Listening>> {
        // What is in it is whole after every operation on it.
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Relayed for Observations {
    async fn answer(&self, message: Bytes) -> Option<Bytes> {
        let answer = match relayed::decode(&message) {
            Ok(Question::Heartbeat { server, guid, heartbeat }) => self.hear(server, guid, *heartbeat)?,
            Ok(Question::Sights { node, sights }) => self.see(node, sights)?,
            Ok(Question::Observations { behind }) => self.page(behind)?,
            Ok(Question::Looks { server, behind }) => self.looks(server, behind)?,
            Err(error) => {
                tracing::warn!(%error, "what another node relays cannot be understood: run the same program on all nodes");
                return None;
            }
        };
        Some(relayed::encode(&answer))
    }
}

/// Listens for as long as it lives.
pub(crate) struct Listener(Arc<Observations>);

impl Listener {
    /// The leader, whom a majority has not confirmed for so long, or not at all yet, looks who is silent; what to put into the ledger.
    /// Servers that `state` does not have are forgotten.
    pub(crate) fn look(&self, state: &State, unconfirmed_ms: Option<u64>) -> Vec<Command> {
        let (now_ms, now) = (self.0.now_ms(), Timestamp(self.0.clock.now_unix_ms()));
        let mut listening = self.0.listening();
        let Some(Listening { observed, servers, sights }) = listening.as_mut() else { return Vec::new() };
        servers.retain(|server, _| state.servers().get(*server).is_some_and(|row| row.is_present()));
        let joined_ms = |server: &Server| now_ms.saturating_sub(now.0.saturating_sub(server.changed.at.0));
        sights.forget_strangers(state, joined_ms);
        observed.forget_strangers(state);
        observed.look(now_ms, unconfirmed_ms);
        failure_detection::plan(state, observed, now)
    }

    /// Whether the machine that has this place now was heard within the window.
    pub(crate) fn hears(&self, server: &Server) -> bool {
        self.0.listening().as_ref().is_some_and(|listening| listening.observed.hears(server))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        *self.0.listening() = None;
    }
}
