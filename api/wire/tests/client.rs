//! The client against scripted nodes, on connections in memory and a clock that only moves when everybody waits.

#![allow(clippy::unwrap_used, reason = "a test fails where it meets what it does not expect")]

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bursar_net::{Address, BoxedStream, Listener, Network, SystemClock, SystemEntropy};
use bursar_wire::{
    Client, ClientError, Fate, Problem, Secret,
    client::{Change, ClientConfig, ClientParts, Failure, NodeUrl, Trust},
    events::StreamItem,
    query::{EventsQuery, ListQuery},
    sites::{CreateSite, Site},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    HeaderMap, Method, Request, Response,
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

type Body = StreamBody<stream::BoxStream<'static, io::Result<Frame<Bytes>>>>;

/// What a scripted node does with a request.
#[derive(Clone, Debug)]
enum Act {
    /// Answers this.
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// Streams these chunks, then goes on as told.
    Stream { chunks: Vec<String>, then: Then },
    /// Never answers.
    Hang,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    /// Breaks the connection.
    Break,
    /// Ends the body.
    End,
    /// Says nothing more.
    Wait,
}

/// What a node was asked.
#[derive(Clone, Debug)]
struct Asked {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Default)]
struct Node {
    script: VecDeque<Act>,
    asked: Vec<Asked>,
    connections: u32,
}

/// Nodes by host; hosts that are not there refuse connections, and one lets all packets fall.
#[derive(Clone, Default)]
struct World {
    nodes: Arc<Mutex<BTreeMap<String, Node>>>,
    tls: Option<tokio_rustls::TlsAcceptor>,
}

#[async_trait]
impl Network for World {
    async fn connect(&self, address: &Address) -> io::Result<BoxedStream> {
        let host = address.host().to_owned();
        if host == "void" {
            return std::future::pending().await;
        }
        self.nodes.lock().unwrap().get_mut(&host).ok_or(io::ErrorKind::ConnectionRefused)?.connections += 1;
        let (near, far) = tokio::io::duplex(1 << 16);
        let world = self.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| world.answer(&host, request));
            // A connection that a script breaks ends with an error, as it should.
            let _ = match &world.tls {
                None => http1::Builder::new().serve_connection(TokioIo::new(far), service).await,
                Some(tls) => {
                    let Ok(secure) = tls.accept(far).await else { return };
                    http1::Builder::new().serve_connection(TokioIo::new(secure), service).await
                }
            };
        });
        Ok(Box::new(near))
    }

    async fn bind(&self, _: &Address) -> io::Result<Box<dyn Listener>> {
        unreachable!("a client does not listen")
    }
}

impl World {
    fn with(hosts: &[&str]) -> Self {
        let world = Self::default();
        world.nodes.lock().unwrap().extend(hosts.iter().map(|host| (host.to_string(), Node::default())));
        world
    }

    fn script(&self, host: &str, acts: impl IntoIterator<Item = Act>) {
        self.nodes.lock().unwrap().get_mut(host).unwrap().script.extend(acts);
    }

    fn asked(&self, host: &str) -> Vec<Asked> {
        self.nodes.lock().unwrap()[host].asked.clone()
    }

    fn connections(&self, host: &str) -> u32 {
        self.nodes.lock().unwrap()[host].connections
    }

    async fn answer(&self, host: &str, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let asked = Asked { method: head.method, target: head.uri.to_string(), headers: head.headers, body };
        let act = {
            let mut nodes = self.nodes.lock().unwrap();
            let node = nodes.get_mut(host).unwrap();
            node.asked.push(asked);
            node.script.pop_front().expect("the node is asked no more often than its script says")
        };
        let (response, chunks, then) = match act {
            Act::Hang => std::future::pending().await,
            Act::Answer { status, headers, body } => {
                let head =
                    headers.iter().fold(Response::builder().status(status), |head, (name, value)| head.header(*name, value));
                (head, vec![body], Then::End)
            }
            Act::Stream { chunks, then } => (Response::builder().header("x-bursar-revision", "1-9"), chunks, then),
        };
        let chunks = stream::iter(chunks).map(|chunk| Ok(Frame::data(Bytes::from(chunk))));
        let last = match then {
            Then::End => stream::empty().boxed(),
            Then::Wait => stream::pending().boxed(),
            Then::Break => stream::once(async {
                // The clock moves once everything that was sent has arrived.
                sleep(Duration::from_millis(1)).await;
                Err(io::ErrorKind::ConnectionReset.into())
            })
            .boxed(),
        };
        Ok(response.body(StreamBody::new(chunks.chain(last).boxed())).unwrap())
    }

    fn client(&self, urls: &[&str]) -> Client {
        self.client_trusting(urls, None).unwrap()
    }

    fn impatient_client(&self, urls: &[&str], timeout: Duration) -> Client {
        let nodes = urls.iter().map(|url| url.parse::<NodeUrl>().unwrap()).collect();
        let parts = ClientParts { network: Arc::new(self.clone()), entropy: Arc::new(SystemEntropy::new()), trust: None };
        Client::new(ClientConfig { timeout, ..ClientConfig::new(nodes, None) }, parts).unwrap()
    }

    fn client_trusting(&self, urls: &[&str], trust: Option<Trust>) -> Result<Client, ClientError> {
        let nodes = urls.iter().map(|url| url.parse::<NodeUrl>().unwrap()).collect();
        let parts = ClientParts { network: Arc::new(self.clone()), entropy: Arc::new(SystemEntropy::new()), trust };
        Client::new(ClientConfig::new(nodes, Some(Secret::new("bearer"))), parts)
    }
}

fn ok(body: Value) -> Act {
    Act::Answer { status: 200, headers: vec![("x-bursar-revision", "1-7".into())], body: body.to_string() }
}

fn problem(status: u16, code: &str, retry_after: Option<u64>) -> Act {
    refusal(Problem::new(status, code, "title", "It cannot be.").with_fate(Fate::NotDone), retry_after)
}

/// A refusal of what may have been done all the same.
fn unknown(status: u16, code: &str) -> Act {
    refusal(Problem::new(status, code, "title", "It cannot be told.").with_fate(Fate::Unknown), None)
}

fn refusal(problem: Problem, retry_after: Option<u64>) -> Act {
    let (status, body) = (problem.status, serde_json::to_string(&problem).unwrap());
    Act::Answer { status, headers: retry_after.map(|seconds| ("retry-after", seconds.to_string())).into_iter().collect(), body }
}

fn event(revision: u64) -> String {
    let event = json!({
        "item": "event", "cursor": format!("1-{revision}"), "revision": revision, "time": "1970-01-01T00:00:00.000Z",
        "actor": { "kind": "founder" }, "request": "r", "kind": "site.created", "subject": { "kind": "site", "id": revision },
        "decision": { "first_revision": revision, "count": 1 }, "summary": "", "data": {},
    });
    format!("{event}\n")
}

fn bookmark(revision: u64) -> String {
    format!("{}\n", json!({ "item": "bookmark", "cursor": format!("1-{revision}") }))
}

const A: &str = "http://a:1";
const B: &str = "http://b:1";

#[tokio::test(start_paused = true)]
async fn a_read_goes_on_to_the_next_node_and_stays_with_the_one_that_answered() {
    let world = World::with(&["b"]);
    world.script("b", [ok(json!({ "answer": 1 })), ok(json!({ "answer": 2 }))]);
    let client = world.client(&[A, B]);
    for expected in [1, 2] {
        let answer = client.get("status", &()).await.unwrap();
        assert_eq!(answer.json::<Value>().unwrap(), json!({ "answer": expected }));
        assert_eq!(answer.node.to_string(), B);
    }
    let asked = world.asked("b");
    assert_eq!((asked[0].target.as_str(), asked[0].header("host")), ("/api/v1/status", "b:1"));
    assert_eq!(asked[0].header("authorization"), "Bearer bearer");
    assert_eq!(world.connections("b"), 1, "the connection is kept");
    assert_eq!(client.seen().as_deref(), Some("1-7"));
}

#[tokio::test(start_paused = true)]
async fn a_change_is_repeated_elsewhere_as_the_same_request() {
    let world = World::with(&["a", "b"]);
    world.script("a", [problem(503, "leader_unreachable", None)]);
    world.script("b", [ok(json!({}))]);
    let site = CreateSite { name: "West".into(), expected_latency_ms: 3 };
    world.client(&[A, B]).post("sites", &site, Change::default()).await.unwrap();
    let (first, second) = (&world.asked("a")[0], &world.asked("b")[0]);
    assert_eq!(first.header("idempotency-key").len(), 32);
    assert_eq!(first.header("idempotency-key"), second.header("idempotency-key"));
    assert_eq!(serde_json::from_slice::<CreateSite>(&second.body).unwrap(), site);
    assert_eq!((first.body.clone(), first.method.clone()), (second.body.clone(), Method::POST));
}

#[tokio::test(start_paused = true)]
async fn each_change_is_a_request_of_its_own_and_says_what_it_rests_on() {
    let world = World::with(&["a"]);
    world.script("a", [ok(json!({})), ok(json!({}))]);
    let client = world.client(&[A]);
    let change = Change { if_match: Some("1-5".into()), dry_run: true, request_id: None };
    client.patch("sites/1", &json!({ "name": "East" }), change).await.unwrap();
    let change = Change { request_id: Some("mine".into()), ..Change::default() };
    client.delete("sites/1", change).await.unwrap();
    let asked = world.asked("a");
    assert_eq!((asked[0].target.as_str(), asked[0].header("if-match")), ("/api/v1/sites/1?dry_run=true", "\"1-5\""));
    assert_eq!((asked[1].target.as_str(), asked[1].header("idempotency-key")), ("/api/v1/sites/1", "mine"));
    assert_ne!(asked[0].header("idempotency-key"), "mine");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_good_is_told_at_once() {
    let world = World::with(&["a", "b"]);
    world.script("a", [problem(409, "name_taken", None)]);
    let error = world.client(&[A, B]).post("sites", &json!({}), Change::default()).await.unwrap_err();
    assert!(matches!(&error, ClientError::Problem { problem, .. } if problem.code == "name_taken"), "{error}");
    assert!(world.asked("b").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_time_to_wait_is_heeded() {
    let world = World::with(&["a"]);
    world.script("a", [problem(503, "no_leader", Some(2)), ok(json!({}))]);
    let started = Instant::now();
    world.client(&[A]).get("sites", &ListQuery::default()).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_time_to_wait_is_heeded_a_bounded_number_of_times_and_no_longer_than_is_sensible() {
    let world = World::with(&["a"]);
    world.script("a", (0..4).map(|_| problem(429, "overloaded", Some(1))));
    let error = world.client(&[A]).get("sites", &()).await.unwrap_err();
    assert!(matches!(&error, ClientError::Problem { problem, .. } if problem.code == "overloaded"), "{error}");
    assert_eq!(world.asked("a").len(), 4);

    let world = World::with(&["a"]);
    world.script("a", [problem(429, "overloaded", Some(3600))]);
    world.client(&[A]).get("sites", &()).await.unwrap_err();
    assert_eq!(world.asked("a").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_each_node_is_asked_once() {
    let world = World::with(&["a", "b"]);
    world.script("a", [problem(503, "no_quorum", Some(1))]);
    world.script("b", [problem(503, "no_quorum", Some(1))]);
    let error = world.client(&[A, B]).post("sites", &json!({}), Change::default()).await.unwrap_err();
    assert!(matches!(&error, ClientError::Problem { problem, .. } if problem.code == "no_quorum"), "{error}");
    assert_eq!((world.asked("a").len(), world.asked("b").len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_costs_one_attempts_time() {
    let world = World::with(&["a", "b"]);
    world.script("a", [Act::Hang]);
    world.script("b", [ok(json!({}))]);
    let started = Instant::now();
    let answer = world.client(&[A, B]).get("status", &()).await.unwrap();
    assert_eq!(answer.node.to_string(), B);
    assert_eq!(started.elapsed().as_secs(), 12);
    // Each is told how long it has, with something to spare for its answer's way.
    for node in ["a", "b"] {
        assert_eq!(world.asked(node)[0].header("x-bursar-patience-ms"), "10800");
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_time_is_shared_by_the_nodes_that_have_not_had_their_turn() {
    let world = World::with(&["a", "b"]);
    world.script("a", [Act::Hang]);
    world.script("b", [ok(json!({})), ok(json!({}))]);
    let six_seconds = Duration::from_secs(6);
    let client = world.impatient_client(&["http://void:1", A, B], six_seconds);
    let started = Instant::now();
    assert_eq!(client.get("status", &()).await.unwrap().node.to_string(), B);
    assert_eq!(
        started.elapsed().as_secs(),
        4,
        "a third of it went to one that drops packets, and a half of the rest to a silent one"
    );
    assert_eq!(world.asked("a")[0].header("x-bursar-patience-ms"), "1800");
    let started = Instant::now();
    client.get("status", &()).await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 0, "the one that answered has the first turn");

    let world = World::with(&["a"]);
    world.script("a", [Act::Stream { chunks: vec![event(10)], then: Then::Wait }]);
    let client = world.impatient_client(&["http://void:1", A], six_seconds);
    let started = Instant::now();
    assert!(client.events(EventsQuery::default()).next().await.unwrap().is_some());
    assert_eq!(started.elapsed().as_secs(), 3, "and so it is with a stream");
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_once_is_waited_for_where_it_was_asked_for() {
    let world = World::with(&["a", "b"]);
    world.script("a", [Act::Hang]);
    let client = world.impatient_client(&["http://void:1", A, B], Duration::from_secs(6));
    let started = Instant::now();
    let error = client.post_once("cluster/transfer-leadership", &json!({}), Change::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::OutcomeUnknown { .. }), "{error}");
    assert_eq!(started.elapsed().as_secs(), 6, "a connection has its turn alone, and then the request has all that is left");
    assert!(world.asked("b").is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_answer_lists_every_node_with_its_cause() {
    let world = World::with(&["b"]);
    world.script("b", (0..4).map(|_| Act::Hang));
    let started = Instant::now();
    let error = world.client(&[A, B]).get("status", &()).await.unwrap_err();
    assert_eq!(started.elapsed().as_secs(), 40, "patience is bounded");
    let ClientError::Unreachable { mut failures } = error else { panic!("{error}") };
    failures.sort_by_key(|failed| failed.node.to_string());
    let told: Vec<_> = failures.iter().map(ToString::to_string).collect();
    assert_eq!(told[0], "http://a:1: cannot connect: connection refused");
    assert!(matches!(failures[1].failure, Failure::Silent { .. }), "{}", told[1]);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_nobody_answers_may_have_been_made_and_is_named() {
    let world = World::with(&["a"]);
    world.script("a", (0..4).map(|_| Act::Hang));
    let change = Change { request_id: Some("mine".into()), ..Change::default() };
    let error = world.client(&[A, B]).delete("sites/1", change).await.unwrap_err();
    let ClientError::OutcomeUnknown { request, failures } = error else { panic!("{error}") };
    assert_eq!((request.as_str(), failures.len()), ("mine", 2));
    // One that was only rehearsed was not made, and neither was one that never left.
    world.script("a", (0..4).map(|_| Act::Hang));
    let rehearsed = Change { dry_run: true, ..Change::default() };
    let error = world.client(&[A]).delete("sites/1", rehearsed).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    let error = world.client(&[B]).delete("sites/1", Change::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_one_node_may_have_made_is_not_refused_by_another_that_cannot_tell() {
    let world = World::with(&["a", "b"]);
    world.script("a", [Act::Hang]);
    world.script("b", [problem(503, "no_quorum", None)]);
    let error = world.client(&[A, B]).delete("sites/1", Change::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::OutcomeUnknown { .. }), "{error}");
    world.script("b", (0..4).map(|_| unknown(504, "outcome_unknown")));
    let error = world.client(&[B]).delete("sites/1", Change::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::OutcomeUnknown { .. }), "{error}");
    // The fate tells, not the code.
    world.script("b", [unknown(503, "no_quorum")]);
    let error = world.client(&[B]).delete("sites/1", Change::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::OutcomeUnknown { .. }), "{error}");
    world.script("b", [unknown(503, "no_quorum")]);
    let error = world.client(&[B]).get("sites/1", &()).await.unwrap_err();
    assert!(matches!(error, ClientError::Problem { .. }), "a reading has no fate: {error}");
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_once_is_asked_of_nobody_behind_one_who_may_have_done_it() {
    let world = World::with(&["a", "b"]);
    let ask = async || {
        let change = Change { request_id: Some("mine".into()), ..Change::default() };
        world.client(&[A, B]).post_once("cluster/transfer-leadership", &json!({}), change).await
    };
    for lost in [unknown(503, "no_quorum"), Act::Hang] {
        world.script("a", [lost]);
        let error = ask().await.unwrap_err();
        assert!(matches!(error, ClientError::OutcomeUnknown { ref failures, .. } if failures.len() == 1), "{error}");
    }
    assert!(world.asked("b").is_empty());
    // One that has certainly done nothing keeps nobody from it.
    world.script("a", [problem(503, "leader_unreachable", None)]);
    world.script("b", [ok(json!({ "leader": 2 }))]);
    assert_eq!(ask().await.unwrap().node.to_string(), B);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_answer_of_the_api_is_told_as_such() {
    let world = World::with(&["a"]);
    let page = |status| Act::Answer { status, headers: Vec::new(), body: "<html>".into() };
    world.script("a", [page(404), page(200)]);
    let client = world.client(&[A]);
    let error = client.get("sites/1", &()).await.unwrap_err();
    assert!(matches!(error, ClientError::Malformed { status: 404, .. }), "{error}");
    let error = client.get("sites/1", &()).await.unwrap().json::<Site>().unwrap_err();
    assert!(matches!(error, ClientError::Malformed { status: 200, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_not_ready_says_what_it_lacks() {
    let world = World::with(&["a"]);
    let check = json!({ "code": "leader_known", "passed": false, "detail": "The node knows no leader." });
    let unready = json!({ "ready": false, "cluster": "00", "checks": [check] }).to_string();
    let answer = |body| Act::Answer { status: 503, headers: Vec::new(), body };
    world.script("a", [answer(unready), answer("<html>".into())]);
    let client = world.client(&[A]);
    let readiness = client.readiness().await.unwrap();
    assert_eq!((readiness.ready, readiness.cluster.as_deref()), (false, Some("00")));
    assert_eq!(readiness.checks[0].detail, "The node knows no leader.");
    let error = client.readiness().await.unwrap_err();
    assert!(matches!(error, ClientError::Malformed { status: 503, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_closed_meanwhile_is_made_anew() {
    let world = World::with(&["a"]);
    let closing = Act::Answer { status: 200, headers: vec![("connection", "close".into())], body: "{}".into() };
    world.script("a", [closing, ok(json!({}))]);
    let client = world.client(&[A]);
    client.get("status", &()).await.unwrap();
    client.get("status", &()).await.unwrap();
    assert_eq!(world.connections("a"), 2);
}

#[tokio::test(start_paused = true)]
async fn events_go_on_behind_the_last_one_on_another_node() {
    let world = World::with(&["a", "b"]);
    let cut = event(12)[..20].to_owned();
    world.script("a", [Act::Stream { chunks: vec![event(10) + &event(11) + &cut], then: Then::Break }]);
    world.script("b", [Act::Stream { chunks: vec![bookmark(11), event(12), "\n".into(), bookmark(20)], then: Then::Wait }]);
    let query = EventsQuery { since: Some("1-9".into()), ..EventsQuery::default() };
    let mut events = world.client(&[A, B]).events(query);
    let mut seen = Vec::new();
    for _ in 0..5 {
        let item = events.next().await.unwrap().unwrap();
        seen.push(format!("{} {}", item.name(), item.cursor().unwrap()));
    }
    assert_eq!(seen, ["event 1-10", "event 1-11", "bookmark 1-11", "event 1-12", "bookmark 1-20"]);
    assert_eq!(world.asked("a")[0].target, "/api/v1/events?since=1-9");
    assert_eq!(world.asked("a")[0].header("accept"), "application/x-ndjson");
    assert_eq!(world.asked("b")[0].target, "/api/v1/events?since=1-11");
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_the_head_that_is_cut_off_at_once_resumes_where_the_head_was() {
    let world = World::with(&["a"]);
    world.script(
        "a",
        [Act::Stream { chunks: Vec::new(), then: Then::End }, Act::Stream { chunks: vec![event(10)], then: Then::Wait }],
    );
    let mut events = world.client(&[A]).events(EventsQuery::default());
    assert_eq!(events.next().await.unwrap().unwrap().cursor(), Some("1-10"));
    let targets: Vec<_> = world.asked("a").into_iter().map(|asked| asked.target).collect();
    assert_eq!(targets, ["/api/v1/events", "/api/v1/events?since=1-9"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_falls_silent_is_given_up_soon_and_goes_on_elsewhere() {
    let world = World::with(&["a", "b"]);
    world.script("a", [Act::Stream { chunks: vec![event(10)], then: Then::Wait }]);
    world.script("b", [Act::Stream { chunks: vec![event(11)], then: Then::Wait }]);
    let mut events = world.client(&[A, B]).events(EventsQuery::default());
    assert_eq!(events.next().await.unwrap().unwrap().cursor(), Some("1-10"));
    let fell_silent = Instant::now();
    assert_eq!(events.next().await.unwrap().unwrap().cursor(), Some("1-11"));
    assert_eq!(fell_silent.elapsed().as_secs(), 15);
    assert_eq!(world.asked("b")[0].target, "/api/v1/events?since=1-10");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_goes_back_is_no_stream() {
    let world = World::with(&["a"]);
    world.script("a", [Act::Stream { chunks: vec![event(10), event(10)], then: Then::Wait }]);
    let mut events = world.client(&[A]).events(EventsQuery::default());
    events.next().await.unwrap();
    let error = events.next().await.unwrap_err();
    assert!(error.to_string().ends_with("the stream went back from 1-10 to 1-10"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_behind_gone_and_where_it_does_not_follow() {
    let world = World::with(&["a"]);
    let gone = json!({ "item": "gone", "floor": "1-100", "hint": "Read the objects." }).to_string() + "\n";
    world.script(
        "a",
        [
            Act::Stream { chunks: vec![gone], then: Then::End },
            Act::Stream { chunks: vec![event(10), bookmark(10)], then: Then::End },
        ],
    );
    let client = world.client(&[A]);
    let mut events = client.events(EventsQuery { since: Some("1-1".into()), ..EventsQuery::default() });
    assert!(matches!(events.next().await.unwrap(), Some(StreamItem::Gone(_))));
    assert_eq!(events.next().await.unwrap(), None);

    let query = EventsQuery { since: Some("1-9".into()), follow: Some(false), ..EventsQuery::default() };
    let mut events = client.events(query);
    assert_eq!(events.next().await.unwrap().unwrap().name(), "event");
    assert_eq!(events.next().await.unwrap().unwrap().name(), "bookmark");
    assert_eq!(events.next().await.unwrap(), None);
    assert_eq!(world.asked("a")[1].target, "/api/v1/events?follow=false&since=1-9");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_only_ever_drops_streams_ends_the_reading_with_a_reason() {
    let world = World::with(&["a"]);
    world.script("a", (0..200).map(|_| Act::Stream { chunks: Vec::new(), then: Then::Break }));
    let error = world.client(&[A]).events(EventsQuery::default()).next().await.unwrap_err();
    assert!(matches!(&error, ClientError::Unreachable { failures } if failures.len() == 1), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_a_node_gives_up_goes_on_elsewhere_and_one_that_is_refused_ends() {
    let world = World::with(&["a", "b"]);
    let said = |status, code| {
        let mut problem = serde_json::to_value(Problem::new(status, code, "title", "It cannot be.")).unwrap();
        problem["item"] = "problem".into();
        format!("{problem}\n")
    };
    world.script("a", [Act::Stream { chunks: vec![event(10), said(503, "stopping")], then: Then::End }]);
    world.script("b", [Act::Stream { chunks: vec![event(11), said(401, "credential_revoked")], then: Then::End }]);
    let mut events = world.client(&[A, B]).events(EventsQuery::default());
    assert_eq!(events.next().await.unwrap().unwrap().cursor(), Some("1-10"));
    assert_eq!(events.next().await.unwrap().unwrap().cursor(), Some("1-11"));
    let error = events.next().await.unwrap_err();
    assert!(matches!(&error, ClientError::Problem { problem, .. } if problem.code == "credential_revoked"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_stream_is_a_problem() {
    let world = World::with(&["a"]);
    world.script("a", [problem(409, "cursor_beyond_end", None)]);
    let error = world.client(&[A]).events(EventsQuery::default()).next().await.unwrap_err();
    assert!(matches!(&error, ClientError::Problem { problem, .. } if problem.code == "cursor_beyond_end"), "{error}");
}

/// A certificate for host `a`, and a node that shows it.
fn secure_world() -> (World, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap().self_signed(&key).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    (World { tls: Some(Arc::new(config).into()), ..World::with(&["a"]) }, certificate.pem())
}

#[tokio::test]
async fn https_takes_the_authority_that_is_trusted_and_no_other() {
    let (world, pem) = secure_world();
    world.script("a", [ok(json!({}))]);
    let trust = |pem: &str| Some(Trust::in_authorities(pem.as_bytes(), Arc::new(SystemClock)).unwrap());
    let client = world.client_trusting(&["https://a:1"], trust(&pem)).unwrap();
    client.get("status", &()).await.unwrap();

    let (_, foreign) = secure_world();
    let client = world.client_trusting(&["https://a:1"], trust(&foreign)).unwrap();
    let ClientError::Unreachable { failures } = client.get("status", &()).await.unwrap_err() else { panic!() };
    assert!(matches!(failures[0].failure, Failure::Secure(_)), "{}", failures[0]);
    assert_eq!(world.asked("a").len(), 1, "nothing is said to whom is not trusted");
}

#[test]
fn https_without_anybody_to_trust_is_refused() {
    let world = World::with(&["a"]);
    assert!(matches!(world.client_trusting(&["https://a:1"], None), Err(ClientError::NoTrust { .. })));
    assert!(matches!(world.client_trusting(&[], None), Err(ClientError::NoNodes)));
}
