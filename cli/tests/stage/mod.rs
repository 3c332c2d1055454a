//! A scripted node, and commands that are run against it.
#![allow(dead_code, reason = "each test file uses the part that it needs")]

use std::{
    collections::VecDeque,
    convert::Infallible,
    fs,
    io::{self, Cursor, Write},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use bursar_cli::{Command, Console, Reader, Surroundings, run_in};
use bursar_wire::Problem;
use bytes::Bytes;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Parser, Debug)]
#[command(name = "bursar")]
pub struct Program {
    #[command(subcommand)]
    pub command: Command,
}

pub fn parse(words: &[&str]) -> (Program, ArgMatches) {
    let matches = Program::command().try_get_matches_from([&["bursar"], words].concat()).unwrap();
    (Program::from_arg_matches(&matches).unwrap(), matches)
}

/// An answer that a node gives once, when it is asked for just this.
struct Expected {
    request: String,
    status: u16,
    body: String,
}

/// A node that answers what it is expected to be asked, in order, and a person at a terminal or a program beside it.
pub struct Stage {
    folder: tempfile::TempDir,
    expected: Arc<Mutex<VecDeque<Expected>>>,
    asked: Arc<Mutex<Vec<Value>>>,
    pub url: String,
    variables: Vec<(String, String)>,
    typed: Option<&'static str>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: u8,
    pub out: String,
    pub err: String,
}

impl Stage {
    pub async fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stage = Self {
            folder: tempfile::tempdir().unwrap(),
            expected: Arc::default(),
            asked: Arc::default(),
            url,
            variables: Vec::new(),
            typed: None,
        };
        let (expected, asked) = (Arc::clone(&stage.expected), Arc::clone(&stage.asked));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (expected, asked) = (Arc::clone(&expected), Arc::clone(&asked));
                let service = service_fn(move |request| answer(Arc::clone(&expected), Arc::clone(&asked), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        stage
    }

    /// The node will be asked for `request`, and answers.
    pub fn expect(self, request: &str, status: u16, body: Value) -> Self {
        self.expect_text(request, status, body.to_string())
    }

    pub fn expect_text(self, request: &str, status: u16, body: String) -> Self {
        self.expected.lock().unwrap().push_back(Expected { request: request.into(), status, body });
        self
    }

    pub fn refuse(self, request: &str, problem: Problem) -> Self {
        let status = problem.status;
        self.expect(request, status, serde_json::to_value(problem).unwrap())
    }

    pub fn typing(self, typed: &'static str) -> Self {
        Self { typed: Some(typed), ..self }
    }

    pub fn with(mut self, variable: &str, value: impl Into<String>) -> Self {
        self.variables.push((variable.into(), value.into()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn secret_file(&self, name: &str, secret: &str) -> String {
        let path = self.path(name);
        fs::write(&path, secret).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    }

    /// Runs `bursar` with these words.
    pub async fn run(&self, words: &str) -> Ended {
        self.run_words(&words.split_whitespace().collect::<Vec<_>>()).await
    }

    pub async fn run_words(&self, words: &[&str]) -> Ended {
        let (program, invoked) = parse(words);
        let (out, err) = (Page::default(), Page::default());
        let own = [("BURSAR_URL", self.url.clone()), ("BURSAR_CONFIG", self.path("config.toml").display().to_string())];
        let own = own.map(|(name, value)| (name.to_owned(), value));
        let mut surroundings = Surroundings {
            environment: own.into_iter().chain(self.variables.clone()).collect(),
            console: Console {
                out: Box::new(out.clone()),
                reader: if self.typed.is_some() { Reader::Person } else { Reader::Program },
                err: Box::new(err.clone()),
                input: Box::new(Cursor::new(self.typed.unwrap_or_default())),
                interactive: self.typed.is_some(),
                colored: false,
            },
        };
        let code = run_in(program.command, Program::command(), &invoked, &mut surroundings).await;
        assert!(self.expected.lock().unwrap().is_empty(), "everything that was expected was asked: {}", err.text());
        Ended { code, out: out.text(), err: err.text() }
    }

    pub fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(
    expected: Arc<Mutex<VecDeque<Expected>>>,
    asked: Arc<Mutex<Vec<Value>>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let line = format!("{} {}", request.method(), request.uri());
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (authorization, if_match) = (header("authorization"), header("if-match"));
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    asked.lock().unwrap().push(json!({ "authorization": authorization, "if-match": if_match, "body": body }));
    let next = expected.lock().unwrap().pop_front();
    let next = next.filter(|next| next.request == line);
    let (status, body) = next.map_or((500, format!("“{line}” was not expected")), |next| (next.status, next.body));
    let etag = serde_json::from_str::<Value>(&body).ok().and_then(|body| Some(format!("\"{}\"", body["etag"].as_str()?)));
    let response = Response::builder().status(status).header("x-bursar-revision", "1-9");
    let response = etag.into_iter().fold(response, |response, etag| response.header("etag", etag));
    Ok(response.body(Full::from(body)).unwrap())
}

/// What was written, to be read while it is written.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub fn stamp(revision: u64) -> Value {
    json!({ "at": "2031-05-17T08:30:00.000Z", "by": { "kind": "token", "id": 1 }, "revision": format!("1-{revision}") })
}

pub fn site(id: u64, name: &str) -> Value {
    json!({ "id": id, "name": name, "expected_latency_ms": 4, "created": stamp(5), "changed": stamp(7), "etag": "1-7" })
}

pub fn page(items: Vec<Value>) -> Value {
    json!({ "items": items, "next_page_token": null, "revision": "1-9" })
}

pub fn operation(status: &str, revision: u64) -> Value {
    json!({
        "id": 4,
        "task": { "kind": "remove_authority_node", "object": { "kind": "authority_node", "id": 3 } },
        "status": status, "failure": null, "steps": [], "waiting_on": [], "created": stamp(20), "changed": stamp(revision),
    })
}

/// What a rehearsal tells that would be carried out.
pub fn rehearsed(effect: &str, kind: &str, id: u64) -> Value {
    json!({ "events": [], "outcome": { "effect": effect, "object": { "kind": kind, "id": id } } })
}

pub fn problem(status: u16, code: &str) -> Problem {
    Problem::new(status, code, "title", "It cannot be.")
}

pub fn status(health: &str, checks: Value) -> Value {
    json!({
        "cluster": "00", "epoch": 1, "level": 1, "revision": "1-9", "stale": null,
        "time": "2031-05-17T08:30:00.000Z", "leader": 1,
        "health": health, "checks": checks,
        "fault_tolerance": { "voters": 1, "quorum": 1, "failures_tolerated": 0, "voters_reachable": 1 },
        "members": [], "unobserved_reason": null,
        "counts": {
            "authority_nodes": 1, "sites": 0, "destinations": 0, "servers": 0, "servers_offline": 0,
            "servers_in_maintenance": 0, "store_points": 0,
            "store_points_offline": 0, "alerts_open": 0, "alerts_critical": 0, "alerts_warning": 0,
            "alerts_acknowledged": 0, "alerts_covered": 0, "alerts_expected": 0, "alerts_over": 0, "operations_running": 0,
            "operations_ended": 0, "tokens": 1, "invitations": 0,
        },
        "node": {
            "id": 1, "role": "leader", "term": 1, "last_log_index": 1, "committed_index": 1, "applied_index": 1,
            "purged_index": null, "checkpoint_index": null, "voters": [1], "learners": [], "quorum_last_answer_ms": 0,
            "recovered": true,
        },
    })
}

pub fn status_with_members(addresses: &[&str]) -> Value {
    let member = |(number, address): (u64, &&str)| {
        json!({
            "id": number, "site": null, "api_address": address, "peer_address": address, "version": "0.1.0", "intent": "voting",
            "role": "voter", "observed": null,
        })
    };
    let mut status = status("OK", json!([]));
    status["members"] = (1..).zip(addresses).map(member).collect();
    status
}

pub fn event(revision: u64) -> Value {
    json!({
        "item": "event", "cursor": format!("1-{revision}"), "revision": revision, "time": "2031-05-17T08:30:00.000Z",
        "actor": { "kind": "duty", "name": "membership" }, "request": "r", "kind": "site.created",
        "subject": { "kind": "site", "id": 1 }, "decision": { "first_revision": revision, "count": 1 },
        "summary": "site 1 “West” created", "data": {},
    })
}
