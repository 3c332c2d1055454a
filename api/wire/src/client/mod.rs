//! A client of the API that knows several nodes of one cluster.
//!
//! Any node takes any request, so where one does not answer, or answers that another may fare better, the client goes on to the
//! next. That is safe for reads, and for changes because each carries an `Idempotency-Key`: the cluster carries a request out
//! once, however often it arrives. What it would do again is asked for with [`Client::post_once`].

mod connection;
mod error;
mod events;
mod node_url;
mod query;

use std::{
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bursar_domain::hash::hex;
use bursar_net::{Entropy, Network, SystemClock, SystemEntropy, TcpNetwork};
pub use bursar_net::{Trust, TrustError};
use bytes::Bytes;
use hyper::{
    Method, Request, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, HOST, HeaderValue, IF_MATCH, LOCATION, RETRY_AFTER},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{API, Problem, Secret, header, page::Page, problem::code, query::ListQuery, status::Readiness};
use connection::{Connections, Reply};
pub use error::{ClientError, Failure, NodeFailure};
pub use events::EventReader;
pub use node_url::{NodeUrl, NodeUrlError};

/// What a client is to know.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The nodes, in the order in which they are asked.
    pub nodes: Vec<NodeUrl>,
    /// The bearer token, if there is one yet.
    pub token: Option<Secret>,
    /// How long a request may take, with all its attempts.
    pub timeout: Duration,
    /// How long one attempt may take at most before the next node is asked. Where less is left for each node, it is that.
    pub attempt_timeout: Duration,
}

impl ClientConfig {
    /// The customary patience: 40 s for a request, 12 s for an attempt. A node itself waits 10 s for a quorum before it says that
    /// there is none, and an attempt must hear that.
    pub fn new(nodes: Vec<NodeUrl>, token: Option<Secret>) -> Self {
        Self { nodes, token, timeout: Duration::from_secs(40), attempt_timeout: Duration::from_secs(12) }
    }
}

/// What a client is built on.
#[derive(Clone)]
pub struct ClientParts {
    /// Makes the connections.
    pub network: Arc<dyn Network>,
    /// Makes the request ids.
    pub entropy: Arc<dyn Entropy>,
    /// Whom to trust where a URL says `https`.
    pub trust: Option<Trust>,
}

impl ClientParts {
    /// The operating system's network and randomness.
    pub fn real(trust: Option<Trust>) -> Self {
        Self { network: Arc::new(TcpNetwork), entropy: Arc::new(SystemEntropy::new()), trust }
    }

    /// The same, trusting the authorities whose certificates stand in `pem`, by the operating system's clock.
    pub fn real_trusting(pem: &[u8]) -> Result<Self, TrustError> {
        Ok(Self::real(Some(Trust::in_authorities(pem, Arc::new(SystemClock))?)))
    }
}

/// How often the nodes are asked in turn, at most, while they say that a repetition may fare better.
const ROUNDS_MAX: u32 = 4;
/// How long to wait between two rounds where no node says how long.
const ROUND_PAUSE: Duration = Duration::from_millis(250);
/// The longest that a node's `Retry-After` is heeded; beyond it the caller is told.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// A client of the API. Clones share connections.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    config: ClientConfig,
    parts: ClientParts,
    /// One pool a node, in the order of `config.nodes`.
    connections: Vec<Connections>,
    /// The node that answered last: the next request begins with it.
    preferred: AtomicUsize,
    /// The newest cursor that any answer told.
    seen: Mutex<Option<bursar_domain::Cursor>>,
}

/// A change to be made.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// The entity tag of the reading that the change rests on.
    pub if_match: Option<String>,
    /// Whether to change nothing and to tell the events that it would append.
    pub dry_run: bool,
    /// The `Idempotency-Key`; where there is none the client makes one.
    pub request_id: Option<String>,
}

/// What a node answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Which node.
    pub node: NodeUrl,
    /// The HTTP status, from 200 to 299.
    pub status: u16,
    /// The cursor as of which it holds.
    pub revision: Option<String>,
    /// The number of the leading node, as the answering one knows it.
    pub leader: Option<u64>,
    /// The entity tag of the object, without its quotes.
    pub etag: Option<String>,
    /// The path of the object that was made.
    pub location: Option<String>,
    /// The body; empty where there is none.
    pub body: Bytes,
}

impl Answer {
    /// The body's JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| ClientError::Malformed {
            node: self.node.clone(),
            status: self.status,
            detail: error.to_string(),
        })
    }
}

impl Client {
    /// A client that asks the nodes of `config`.
    ///
    /// # Errors
    /// [`ClientError::NoNodes`] where there are none; [`ClientError::NoTrust`] where one is `https` and `parts` trusts nobody.
    pub fn new(config: ClientConfig, parts: ClientParts) -> Result<Self, ClientError> {
        if config.nodes.is_empty() {
            return Err(ClientError::NoNodes);
        }
        if let Some(node) = config.nodes.iter().find(|node| node.is_secure() && parts.trust.is_none()) {
            return Err(ClientError::NoTrust { node: node.clone() });
        }
        let connections = config.nodes.iter().map(|node| Connections::new(node.clone(), parts.clone())).collect();
        let shared = Shared { config, parts, connections, preferred: AtomicUsize::new(0), seen: Mutex::new(None) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The same client for one node alone, with a patience of its own.
    pub fn narrowed_to(&self, node: NodeUrl, timeout: Duration) -> Result<Self, ClientError> {
        Self::new(ClientConfig { nodes: vec![node], timeout, ..self.shared.config.clone() }, self.shared.parts.clone())
    }

    /// The nodes that it asks.
    pub fn nodes(&self) -> &[NodeUrl] {
        &self.shared.config.nodes
    }

    /// The node that answered last; before any did, the first that is asked.
    pub fn answered_last(&self) -> &NodeUrl {
        &self.shared.config.nodes[self.shared.preferred.load(Ordering::Relaxed)]
    }

    /// The newest cursor that any answer told: shown as `min_revision`, it makes whichever node is asked next read what was
    /// written here.
    pub fn seen(&self) -> Option<String> {
        let seen = self.shared.seen.lock().expect("nothing panics while it holds the lock");
        seen.map(|cursor| cursor.to_string())
    }

    /// Reads `path`, which follows `/api/v1/`.
    pub async fn get(&self, path: &str, query: &impl Serialize) -> Result<Answer, ClientError> {
        self.carry_out(&Call::read(target(path, query))).await
    }

    /// Asks one of the health probes, which lie outside the API's folder: `/livez`, `/readyz`.
    pub async fn probe(&self, path: &str) -> Result<Answer, ClientError> {
        self.carry_out(&Call::read(path.to_owned())).await
    }

    /// What a node says of its readiness, check by check: also one that is not ready.
    pub async fn readiness(&self) -> Result<Readiness, ClientError> {
        let call = Call { answer_too: Some(StatusCode::SERVICE_UNAVAILABLE), ..Call::read("/readyz?verbose".to_owned()) };
        self.carry_out(&call).await?.json()
    }

    /// One page of a list.
    pub async fn page<T: DeserializeOwned>(&self, path: &str, query: &ListQuery) -> Result<Page<T>, ClientError> {
        self.get(path, query).await?.json()
    }

    /// Makes something, or has something done.
    pub async fn post(&self, path: &str, body: &impl Serialize, change: Change) -> Result<Answer, ClientError> {
        self.change(Method::POST, path, json(body), change).await
    }

    /// Has something done that takes no further words.
    pub async fn act(&self, path: &str, change: Change) -> Result<Answer, ClientError> {
        self.change(Method::POST, path, Bytes::new(), change).await
    }

    /// Has something done that the cluster does again when it is asked again, whatever the `Idempotency-Key`. No further node is
    /// asked once one may have done it.
    pub async fn post_once(&self, path: &str, body: &impl Serialize, change: Change) -> Result<Answer, ClientError> {
        let call = self.call(Method::POST, path, json(body), change);
        self.carry_out(&Call { once: call.changes.is_some(), ..call }).await
    }

    /// Sets something.
    pub async fn put(&self, path: &str, body: &impl Serialize, change: Change) -> Result<Answer, ClientError> {
        self.change(Method::PUT, path, json(body), change).await
    }

    /// Changes something.
    pub async fn patch(&self, path: &str, body: &impl Serialize, change: Change) -> Result<Answer, ClientError> {
        self.change(Method::PATCH, path, json(body), change).await
    }

    /// Removes something.
    pub async fn delete(&self, path: &str, change: Change) -> Result<Answer, ClientError> {
        self.change(Method::DELETE, path, Bytes::new(), change).await
    }

    /// Reads the events behind `query.since`, from whichever node answers.
    pub fn events(&self, query: crate::query::EventsQuery) -> EventReader {
        EventReader::new(self.clone(), query)
    }

    async fn change(&self, method: Method, path: &str, body: Bytes, change: Change) -> Result<Answer, ClientError> {
        self.carry_out(&self.call(method, path, body, change)).await
    }

    fn call(&self, method: Method, path: &str, body: Bytes, change: Change) -> Call {
        let request_id = change.request_id.unwrap_or_else(|| self.mint_request_id());
        let mut headers = vec![(header::IDEMPOTENCY_KEY, request_id.clone())];
        if let Some(etag) = change.if_match {
            headers.push((IF_MATCH.as_str(), format!("\"{etag}\"")));
        }
        let query = crate::query::MutationQuery { dry_run: change.dry_run };
        let target = if change.dry_run { target(path, &query) } else { target(path, &()) };
        let changes = (!change.dry_run).then_some(request_id);
        Call { method, target, headers, body, changes, once: false, answer_too: None }
    }

    fn mint_request_id(&self) -> String {
        hex::encode(&self.shared.parts.entropy.array::<16>())
    }

    /// Asks the nodes in turn until one answers for good, or patience ends.
    async fn carry_out(&self, call: &Call) -> Result<Answer, ClientError> {
        let deadline = Instant::now() + self.shared.config.timeout;
        let mut failures = Failures::default();
        for _ in 0..ROUNDS_MAX {
            let mut round = Round::default();
            for (turn, index) in self.in_turn().enumerate() {
                if Instant::now() >= deadline {
                    return Err(failures.into_error(call));
                }
                let failure = match self.attempt(index, call, self.end_of_turn(turn, deadline), deadline).await {
                    Ok(answer) => return Ok(answer),
                    Err(Attempt::Final(error)) => return Err(error),
                    Err(Attempt::Passing { failure, retry_after, sent }) => {
                        round.note(&failure, retry_after);
                        failures.perhaps_done |= sent && failure.leaves_open();
                        failure
                    }
                };
                failures.note(self.shared.config.nodes[index].clone(), failure);
                if call.once && failures.perhaps_done {
                    return Err(failures.into_error(call));
                }
            }
            let Some(pause) = round.pause().filter(|pause| Instant::now() + *pause < deadline) else { break };
            sleep(pause).await;
        }
        Err(failures.into_error(call))
    }

    fn in_turn(&self) -> impl Iterator<Item = usize> + use<> {
        let count = self.shared.connections.len();
        let first = self.shared.preferred.load(Ordering::Relaxed);
        (0..count).map(move |step| (first + step) % count)
    }

    /// When the next node has its turn: what is left of the time is shared by those that have not had theirs, so that one that is
    /// silent does not use all of it up.
    fn end_of_turn(&self, turn: usize, deadline: Instant) -> Instant {
        let now = Instant::now();
        let waiting = self.shared.connections.len().saturating_sub(turn).max(1);
        let share = deadline.saturating_duration_since(now) / u32::try_from(waiting).unwrap_or(u32::MAX);
        now + share.min(self.shared.config.attempt_timeout)
    }

    /// Asks one node, until its turn ends. What must not be asked for twice is waited for where it was asked for.
    async fn attempt(&self, index: usize, call: &Call, end_of_turn: Instant, deadline: Instant) -> Result<Answer, Attempt> {
        let started = Instant::now();
        let until = if call.once { deadline.min(started + self.shared.config.attempt_timeout) } else { end_of_turn };
        let node = &self.shared.config.nodes[index];
        // A request is asked for once there is a connection to send it on.
        let sent = AtomicBool::new(false);
        let mut exchange = pin!(self.shared.connections[index].exchange(|| {
            sent.store(true, Ordering::Relaxed);
            self.request(node, call, until)
        }));
        let outcome = match timeout_at(end_of_turn, &mut exchange).await {
            Err(_) if sent.load(Ordering::Relaxed) => timeout_at(until, exchange).await,
            outcome => outcome,
        };
        let sent = sent.load(Ordering::Relaxed);
        let waited_ms = millis(started.elapsed());
        let failure = match outcome {
            Ok(Ok(reply)) => {
                let answer = self.judge(node, reply, call)?;
                self.prefer(index);
                return Ok(answer);
            }
            Ok(Err(failure)) => failure,
            Err(_) if sent => Failure::Silent { waited_ms },
            Err(_) => Failure::NotConnected { waited_ms },
        };
        Err(Attempt::Passing { failure, retry_after: None, sent })
    }

    fn prefer(&self, index: usize) {
        self.shared.preferred.store(index, Ordering::Relaxed);
    }

    fn request(&self, node: &NodeUrl, call: &Call, until: Instant) -> Result<Request<connection::Body>, Failure> {
        // A tenth is for the way: a node that is told too long a time could say why it cannot answer only to nobody.
        let patience = until.saturating_duration_since(Instant::now()) * 9 / 10;
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(&call.target)
            .header(HOST, node.authority())
            .header(ACCEPT, "application/json")
            .header(header::PATIENCE, millis(patience).max(1));
        if !call.body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if let Some(authorization) = self.authorization()? {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(connection::Body::new(call.body.clone())).map_err(|error| Failure::Unsendable { detail: error.to_string() })
    }

    fn authorization(&self) -> Result<Option<HeaderValue>, Failure> {
        let Some(token) = &self.shared.config.token else { return Ok(None) };
        // The error of the header's parser is not shown: nothing that holds the token is.
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| Failure::Unsendable { detail: "the token has characters that no token has".into() })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Tells an answer from a refusal, and a refusal for good from one that another node, or a later time, may lift.
    fn judge(&self, node: &NodeUrl, reply: Reply, call: &Call) -> Result<Answer, Attempt> {
        let text = |name: &str| Some(reply.headers.get(name)?.to_str().ok()?.to_owned());
        let answer = Answer {
            node: node.clone(),
            status: reply.status.as_u16(),
            revision: text(header::REVISION),
            leader: text(header::LEADER).and_then(|leader| leader.parse().ok()),
            etag: text(ETAG.as_str()).map(|etag| etag.trim_matches('"').to_owned()),
            location: text(LOCATION.as_str()),
            body: reply.body.clone(),
        };
        if reply.status.is_success() || call.answer_too == Some(reply.status) {
            self.note_revision(answer.revision.as_deref());
            return Ok(answer);
        }
        let Ok(problem) = serde_json::from_slice::<Problem>(&answer.body) else {
            // A proxy in between, or another program altogether.
            let failure = Failure::NoProblem { status: answer.status };
            return Err(if reply.status.is_server_error() {
                Attempt::Passing { failure, retry_after: None, sent: true }
            } else {
                Attempt::Final(ClientError::Malformed { node: answer.node, status: answer.status, detail: failure.to_string() })
            });
        };
        if !is_passing(answer.status) {
            let (node, problem, request) = (answer.node, Box::new(problem), call.changes.clone());
            return Err(Attempt::Final(ClientError::Problem { node, problem, request }));
        }
        let told = text(RETRY_AFTER.as_str()).and_then(|seconds| seconds.parse().ok()).or(problem.retry_after_seconds);
        let (failure, retry_after) = (Failure::Refused(Box::new(problem)), told.map(Duration::from_secs));
        Err(Attempt::Passing { failure, retry_after, sent: true })
    }

    fn note_revision(&self, revision: Option<&str>) {
        let Some(revision) = revision.and_then(|text| text.parse().ok()) else { return };
        let mut seen = self.shared.seen.lock().expect("nothing panics while it holds the lock");
        *seen = (*seen).max(Some(revision));
    }
}

/// A request, ready to be sent to any node, and but for `once` any number of times.
struct Call {
    method: Method,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    /// The id of a request that changes something: where no answer comes, it may have been carried out all the same.
    changes: Option<String>,
    /// Whether a repetition would do it again: then nobody is asked after one who may have done it.
    once: bool,
    /// A status that is an answer for this request, although it is no success.
    answer_too: Option<StatusCode>,
}

impl Call {
    fn read(target: String) -> Self {
        let (headers, body) = (Vec::new(), Bytes::new());
        Self { method: Method::GET, target, headers, body, changes: None, once: false, answer_too: None }
    }
}

/// Why an attempt did not give an answer.
enum Attempt {
    /// It would not fare better elsewhere or later.
    Final(ClientError),
    /// It may. `sent` is whether the request has left at all.
    Passing { failure: Failure, retry_after: Option<Duration>, sent: bool },
}

/// What became of asking every node once.
#[derive(Default)]
struct Round {
    in_vain: bool,
    retry_after: Duration,
}

impl Round {
    fn note(&mut self, failure: &Failure, retry_after: Option<Duration>) {
        self.retry_after = self.retry_after.max(retry_after.unwrap_or_default());
        // A node that says so has waited for the others, or for the server, already: asking again would only make the caller wait
        // longer.
        let has_waited = |problem: &Problem| matches!(problem.code.as_str(), code::NO_QUORUM | code::SERVER_UNREACHABLE);
        self.in_vain |= matches!(failure, Failure::Refused(problem) if has_waited(problem));
    }

    /// How long to wait before the next round; none where it would be in vain.
    fn pause(&self) -> Option<Duration> {
        let worthwhile = !self.in_vain && self.retry_after <= RETRY_AFTER_MAX;
        worthwhile.then(|| self.retry_after.max(ROUND_PAUSE))
    }
}

/// The last failure of each node.
#[derive(Default)]
struct Failures {
    last: Vec<NodeFailure>,
    /// Whether a node may have carried the request out, in this attempt or in an earlier one.
    perhaps_done: bool,
}

impl Failures {
    fn note(&mut self, node: NodeUrl, failure: Failure) {
        self.last.retain(|former| former.node != node);
        self.last.push(NodeFailure { node, failure });
    }

    /// Whoever asked for a change that may have been made has to know that first. Else a node that answered knows more than
    /// those that did not: its problem is the error, if any told one.
    fn into_error(mut self, call: &Call) -> ClientError {
        if let Some(request) = call.changes.clone().filter(|_| self.perhaps_done) {
            return ClientError::OutcomeUnknown { request, failures: self.last };
        }
        match self.last.iter().rposition(|failed| matches!(failed.failure, Failure::Refused(_))) {
            Some(told) => match self.last.swap_remove(told) {
                NodeFailure { node, failure: Failure::Refused(problem) } => {
                    ClientError::Problem { node, problem, request: call.changes.clone() }
                }
                other => ClientError::Unreachable { failures: vec![other] },
            },
            None => ClientError::Unreachable { failures: self.last },
        }
    }
}

/// Whether a refusal with this status may not be one elsewhere, or later.
const fn is_passing(status: u16) -> bool {
    matches!(status, 429 | 502 | 503 | 504)
}

fn target(path: &str, query: &impl Serialize) -> String {
    let path = format!("{API}/{path}");
    match query::encode(query) {
        query if query.is_empty() => path,
        query => format!("{path}?{query}"),
    }
}

fn json(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body).expect("requests have text keys and finite numbers").into()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
