//! The other nodes: where they are, and connections to them.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bursar_domain::AuthorityNodeId;
use bursar_net::{Address, CallError, Caller, DialError, Dialer, Lane, Link, RefusalCode, StoreId};
use bursar_storage::log;
use bytes::Bytes;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use crate::{
    convert::net_store,
    counters::Meter,
    published::Published,
    stop::{StopReason, StopSignal},
};

/// How many calls may be under way on one connection.
const CALLS_MAX: usize = 4_096;
/// How long a dial may take, TLS included.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the first failure of a dial keeps from dialling again; doubled with each further one, up to the maximum.
const REDIAL_AFTER: Duration = Duration::from_millis(20);
const REDIAL_AFTER_MAX: Duration = Duration::from_millis(500);

/// Knows the other nodes, and holds the connections on which they are asked.
pub(crate) struct Peers {
    dialer: Arc<Dialer>,
    published: Arc<Published>,
    meter: Arc<Meter>,
    pub(crate) stop: StopSignal,
    /// What openraft says of nodes, for those that the state does not know yet.
    members: Mutex<BTreeMap<u64, log::Member>>,
    lanes: Mutex<BTreeMap<(u64, Lane), Arc<CallLane>>>,
}

/// Why a node was not reached. It has seen nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Unreachable {
    /// It is not known where it is.
    #[error("nothing is known of authority node {0}")]
    Unknown(u64),
    /// What is recorded as its address is none.
    #[error("authority node {id} has no usable address: {detail}")]
    Address {
        /// Which.
        id: u64,
        /// What is wrong with the address.
        detail: String,
    },
    /// It could not be dialled, lately or just now.
    #[error("{0}")]
    Dial(Arc<DialError>),
    /// Dialling was not done by the deadline; it goes on.
    #[error("authority node {0} was not reached in time")]
    Slow(u64),
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// The node has not seen the question.
    #[error("{0}")]
    NotAsked(String),
    /// Whether it acted is unknown.
    #[error("{0}")]
    Unknown(String),
}

impl Peers {
    pub(crate) fn new(dialer: Arc<Dialer>, published: Arc<Published>, meter: Arc<Meter>, stop: StopSignal) -> Arc<Self> {
        let (members, lanes) = Default::default();
        Arc::new(Self { dialer, published, meter, stop, members, lanes })
    }

    /// Remembers what Raft's membership says of a node.
    pub(crate) fn learn(&self, id: u64, member: &log::Member) {
        lock(&self.members).insert(id, member.clone());
    }

    /// Asks a node on a lane of questions and answers.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        id: u64,
        lane: Lane,
        question: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, AskError> {
        let lane = Arc::clone(lock(&self.lanes).entry((id, lane)).or_insert_with(|| Arc::new(CallLane::new(self, id, lane))));
        lane.ask(question, deadline).await
    }

    /// Where a node is, and on which store: as it has announced itself, else as Raft's membership says.
    fn whereabouts(&self, id: u64) -> Result<(Address, StoreId), Unreachable> {
        let state = self.published.state();
        let announced = state.authority_nodes().get(AuthorityNodeId(id));
        let known = match announced {
            Some(node) => Some((node.peer_address.as_str().to_owned(), node.store)),
            None => lock(&self.members).get(&id).map(|member| (member.peer_address.clone(), member.store_id)),
        };
        let (address, store) = known.ok_or(Unreachable::Unknown(id))?;
        let address =
            address.parse().map_err(|error: bursar_net::AddressError| Unreachable::Address { id, detail: error.to_string() })?;
        Ok((address, net_store(store)))
    }

    /// A refusal that will not change ends this node: it is no longer who it says it is.
    fn heed(&self, error: &DialError) {
        let DialError::Refused { refusal, .. } = error else { return };
        match refusal.code {
            RefusalCode::RemovedNode => self.stop.stop(StopReason::Removed),
            RefusalCode::ForeignStore => self.stop.stop(StopReason::Refused(refusal.clone())),
            _ => {}
        }
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("me", &self.dialer.me).finish_non_exhaustive()
    }
}

/// Dials one node for one lane, again and again as it is asked to, and not too often.
///
/// A dial goes on in a task of its own when the one who wanted it gives up: heartbeats are impatient, and a handshake that
/// is always begun anew never ends.
pub(crate) struct Redial {
    peers: Arc<Peers>,
    id: u64,
    lane: Lane,
    dialling: Option<Dialling>,
    failure: Option<Failure>,
}

struct Dialling(JoinHandle<Result<Link, DialError>>);

impl Drop for Dialling {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Failure {
    error: Unreachable,
    count: u32,
    again_at: Instant,
}

impl Redial {
    pub(crate) fn new(peers: &Arc<Peers>, id: u64, lane: Lane) -> Self {
        Self { peers: Arc::clone(peers), id, lane, dialling: None, failure: None }
    }

    /// A new connection, or why there is none by `deadline`. Dropping the future loses nothing.
    pub(crate) async fn link(&mut self, deadline: Instant) -> Result<Link, Unreachable> {
        if self.dialling.is_none() {
            if let Some(failure) = &self.failure
                && Instant::now() < failure.again_at
            {
                return Err(failure.error.clone());
            }
            let (address, store) = self.peers.whereabouts(self.id)?;
            let (dialer, id, lane) = (Arc::clone(&self.peers.dialer), self.id, self.lane);
            self.dialling = Some(Dialling(bursar_net::tasks::spawn(async move {
                dialer.dial(&address, bursar_net::Member::authority(id), Some(store), lane, DIAL_TIMEOUT).await
            })));
        }
        let dialling = self.dialling.as_mut().expect("it was just begun");
        let ended = timeout_at(deadline, &mut dialling.0).await.map_err(|_| Unreachable::Slow(self.id))?;
        self.dialling = None;
        match ended.expect("a dial neither panics nor is aborted while it is waited for") {
            Ok(link) => {
                if self.failure.take().is_some() {
                    tracing::info!(node = self.id, lane = ?self.lane, "a node is reached again");
                }
                self.peers.meter.connections_made.increment();
                Ok(link)
            }
            Err(error) => {
                self.peers.heed(&error);
                match self.failure {
                    None => tracing::warn!(node = self.id, lane = ?self.lane, %error, "a node is not reached"),
                    Some(_) => tracing::debug!(node = self.id, lane = ?self.lane, %error, "a node is still not reached"),
                }
                Err(self.failed(Unreachable::Dial(Arc::new(error))))
            }
        }
    }

    fn failed(&mut self, error: Unreachable) -> Unreachable {
        let count = self.failure.as_ref().map_or(0, |failure| failure.count + 1);
        let wait = REDIAL_AFTER.saturating_mul(1 << count.min(5)).min(REDIAL_AFTER_MAX);
        self.failure = Some(Failure { error: error.clone(), count, again_at: Instant::now() + wait });
        error
    }
}

/// A lane of questions and answers to one node; all who ask share its connection, which is made when somebody asks.
struct CallLane {
    line: tokio::sync::Mutex<Line>,
}

struct Line {
    redial: Redial,
    caller: Option<Caller>,
}

impl CallLane {
    fn new(peers: &Arc<Peers>, id: u64, lane: Lane) -> Self {
        Self { line: tokio::sync::Mutex::new(Line { redial: Redial::new(peers, id, lane), caller: None }) }
    }

    async fn ask(&self, question: Bytes, deadline: Instant) -> Result<Bytes, AskError> {
        loop {
            let (caller, is_new) = self.caller(deadline).await?;
            match caller.call_raw(question.clone(), deadline).await {
                Ok(answer) => return Ok(answer),
                // The connection had ended unnoticed; the question never left it.
                Err(CallError::Closed) if !is_new => {}
                Err(error) if error.may_have_acted() => return Err(AskError::Unknown(error.to_string())),
                Err(error) => return Err(AskError::NotAsked(error.to_string())),
            }
        }
    }

    async fn caller(&self, deadline: Instant) -> Result<(Caller, bool), AskError> {
        let slow = |_| AskError::NotAsked("the node was not reached in time".into());
        let mut line = timeout_at(deadline, self.line.lock()).await.map_err(slow)?;
        if let Some(caller) = line.caller.as_ref().filter(|caller| !caller.is_closed()) {
            return Ok((caller.clone(), false));
        }
        line.caller = None;
        let link = line.redial.link(deadline).await.map_err(|error| AskError::NotAsked(error.to_string()))?;
        let caller = Caller::new(link.reader, link.writer, CALLS_MAX);
        line.caller = Some(caller.clone());
        Ok((caller, true))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The maps are whole after every operation on them, so a panic elsewhere cannot have spoiled them.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
