//! Bursar: the cluster that `bursar demo` starts, and its REST API as far as the benchmark needs it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1::{self, SendRequest},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, LOCATION},
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;

use crate::{
    processes::{RunDirectory, Server, log_tail},
    system::{Door, NODES, OBJECTS, PATIENCE, System, WriteError, Writer, dial, until_ok},
    values::Values,
};

/// A running demo with its destinations.
pub struct Product {
    servers: Vec<Server>,
    program: PathBuf,
    nodes: Vec<DemoProcess>,
    door: ProductDoor,
    /// Last, so that the data goes after the processes.
    _directory: RunDirectory,
}

/// The line that `bursar demo --json` prints.
#[derive(Deserialize)]
struct Demo {
    token: String,
    processes: Vec<DemoProcess>,
}

/// A process of the demo.
#[derive(Clone, Deserialize)]
struct DemoProcess {
    role: String,
    id: u64,
    pid: u32,
    dir: PathBuf,
    api: String,
    log: PathBuf,
}

impl Product {
    /// Starts a demo with its data below `data`, and makes the destinations.
    pub async fn start(program: &Path, data: &Path) -> Result<Self> {
        let directory = RunDirectory::new(data, "bursar")?;
        let mut demo = start_demo(program, &directory.path().join("demo"), directory.path()).await?;
        demo.processes.retain(|process| process.role == "authority");
        ensure!(demo.processes.len() == NODES, "the demo has {} authority nodes, not {NODES}", demo.processes.len());
        let servers = demo.processes.iter().map(|process| Server::adopt(process.pid)).collect::<Result<_>>()?;
        let addresses: Vec<_> =
            demo.processes.iter().map(|process| address(&process.api).map(str::to_owned)).collect::<Result<_>>()?;
        let door = ProductDoor::open(addresses, &demo.token).await.with_context(|| log_tail(&demo.processes[0].log))?;
        Ok(Self { servers, program: program.to_owned(), nodes: demo.processes, door, _directory: directory })
    }

    /// The leader, as the first running node sees it.
    async fn told_leader(&self) -> Result<usize> {
        let leader = self.door.told_leader().await?;
        self.nodes.iter().position(|node| node.id == leader).with_context(|| format!("no node of the demo has the id {leader}"))
    }
}

impl System for Product {
    type Door = ProductDoor;

    const NAME: &'static str = "Bursar";

    fn door(&self) -> ProductDoor {
        self.door.clone()
    }

    fn servers(&self) -> &[Server] {
        &self.servers
    }

    async fn leader(&self) -> Result<usize> {
        until_ok("Bursar has a leader", PATIENCE, async || self.told_leader().await).await
    }

    fn kill(&mut self, node: usize) -> Result<()> {
        self.servers[node].kill()
    }

    fn restart(&mut self, node: usize) -> Result<()> {
        let DemoProcess { dir, log, .. } = &self.nodes[node];
        self.servers[node] = Server::spawn(Command::new(&self.program).args(["authority", "run", "--dir"]).arg(dir), log)?;
        Ok(())
    }
}

/// Runs `bursar demo --json` to its end; the authority nodes go on.
async fn start_demo(program: &Path, demo_directory: &Path, output_directory: &Path) -> Result<Demo> {
    const PATIENCE: Duration = Duration::from_secs(120);
    let output = output_directory.join("demo-output");
    let mut command = Command::new(program);
    command.arg("demo").arg("--dir").arg(demo_directory).args(["--json", "--ports", "auto", "--storage-servers", "0"]);
    let mut process = Server::spawn(&mut command, &output)?;
    until_ok("the demo is ready", PATIENCE, async || {
        // How it ended is for the outer result: waiting longer would not change it.
        match process.succeeded() {
            Ok(false) => Err(anyhow::anyhow!("it is still starting")),
            ended => Ok(ended),
        }
    })
    .await
    .flatten()
    .with_context(|| format!("`{} demo` did not start: {}", program.display(), log_tail(&output)))?;

    let text = fs::read_to_string(&output).with_context(|| format!("cannot read {}", output.display()))?;
    let line = text.lines().find(|line| line.starts_with('{')).with_context(|| format!("the demo printed no JSON: {text}"))?;
    serde_json::from_str(line).context("the demo printed JSON of another shape")
}

/// `host:port` of a URL without a path.
fn address(url: &str) -> Result<&str> {
    let address = url.strip_prefix("http://").with_context(|| format!("{url} is not plain HTTP"))?;
    Ok(address.trim_end_matches('/'))
}

/// How clients reach Bursar.
#[derive(Clone)]
pub struct ProductDoor {
    shared: Arc<Shared>,
}

struct Shared {
    /// `host:port` of each node's API.
    addresses: Vec<String>,
    /// The value of the Authorization header.
    authorization: String,
    /// The path of each destination.
    destinations: Vec<String>,
}

impl ProductDoor {
    /// Makes the destinations at the first site that there is.
    async fn open(addresses: Vec<String>, token: &str) -> Result<Self> {
        let authorization = format!("Bearer {token}");
        let mut client = Client::connect(&addresses[0], &authorization).await?;
        let sites: Page<Site> = client.get("/api/v1/sites").await.context("cannot list the sites")?;
        let site = sites.items.first().context("the demo has no site")?.id;
        let mut values = Values::new();
        let mut destinations = Vec::with_capacity(OBJECTS);
        for number in 0..OBJECTS {
            let body = json!({ "name": format!("Benchmark {number:04}"), "site": site, "description": values.value() });
            let path = client.create("/api/v1/destinations", &body).await;
            destinations.push(path.with_context(|| format!("cannot create destination {number}"))?);
        }
        Ok(Self { shared: Arc::new(Shared { addresses, authorization, destinations }) })
    }

    /// The id of the leader, as the first node sees it that answers and knows.
    async fn told_leader(&self) -> Result<u64> {
        for node in 0..self.shared.addresses.len() {
            let Ok(mut client) = self.connect(node).await else { continue };
            let status: Result<ClusterStatus, _> = client.client.get("/api/v1/status").await;
            match status {
                Ok(ClusterStatus { leader: Some(leader) }) => return Ok(leader),
                Ok(ClusterStatus { leader: None }) | Err(WriteError::Refused(_) | WriteError::Disconnected(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        anyhow::bail!("no node knows a leader")
    }
}

impl Door for ProductDoor {
    type Writer = ProductWriter;

    async fn connect(&self, node: usize) -> Result<ProductWriter, WriteError> {
        let client = Client::connect(&self.shared.addresses[node], &self.shared.authorization).await?;
        Ok(ProductWriter { client, shared: self.shared.clone() })
    }
}

/// A client's connection.
pub struct ProductWriter {
    client: Client,
    shared: Arc<Shared>,
}

impl Writer for ProductWriter {
    async fn write(&mut self, object: usize, value: String) -> Result<(), WriteError> {
        // The value needs no escaping: it is made of letters, digits, dashes and underscores.
        let body = format!(r#"{{"description":"{value}"}}"#);
        let answer = self.client.send(Method::PATCH, &self.shared.destinations[object], body.into()).await?;
        answer.expect(StatusCode::OK).map(drop)
    }
}

#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
}

#[derive(Deserialize)]
struct Site {
    id: u64,
}

#[derive(Deserialize)]
struct ClusterStatus {
    leader: Option<u64>,
}

/// One keep-alive HTTP/1.1 connection: hyper on a socket, no pool, no retries.
struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    authorization: String,
}

/// An answer, read to its end.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Client {
    async fn connect(address: &str, authorization: &str) -> Result<Self, WriteError> {
        let stream = TokioIo::new(dial(address).await?);
        let (sender, connection) = http1::handshake(stream).await.map_err(WriteError::disconnected)?;
        // Whoever sends learns of the connection's end by his next request.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, host: address.to_owned(), authorization: authorization.to_owned() })
    }

    async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, WriteError> {
        let answer = self.send(Method::GET, path, Bytes::new()).await?.expect(StatusCode::OK)?;
        serde_json::from_slice(&answer.body).map_err(|error| WriteError::Unexpected(format!("{path}: {error}")))
    }

    /// Creates an object and returns its path.
    async fn create(&mut self, path: &str, body: &serde_json::Value) -> Result<String, WriteError> {
        let answer = self.send(Method::POST, path, body.to_string().into()).await?.expect(StatusCode::CREATED)?;
        let location = answer.headers.get(LOCATION).and_then(|location| location.to_str().ok());
        location.map(str::to_owned).ok_or_else(|| WriteError::Unexpected("201 without a Location".into()))
    }

    async fn send(&mut self, method: Method, path: &str, body: Bytes) -> Result<Answer, WriteError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
            .header(AUTHORIZATION, &self.authorization)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| WriteError::Unexpected(error.to_string()))?;
        self.sender.ready().await.map_err(WriteError::disconnected)?;
        let response = self.sender.send_request(request).await.map_err(WriteError::disconnected)?;
        let (head, mut incoming) = response.into_parts();
        let mut body = BytesMut::new();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(WriteError::disconnected)?;
            body.extend_from_slice(frame.data_ref().map_or(&[], Bytes::as_ref));
        }
        Ok(Answer { status: head.status, headers: head.headers, body: body.freeze() })
    }
}

impl Answer {
    /// The answer, if it has the status that belongs to success.
    fn expect(self, success: StatusCode) -> Result<Self, WriteError> {
        if self.status == success {
            return Ok(self);
        }
        let reason = format!("{}: {}", self.status, String::from_utf8_lossy(&self.body));
        match self.status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Err(WriteError::Refused(reason)),
            _ => Err(WriteError::Unexpected(reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        convert::Infallible,
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use hyper::{Response, body::Incoming, server::conn::http1 as server, service::service_fn};
    use tokio::net::TcpListener;

    use super::*;

    /// As much of the API as the benchmark uses, and what it was asked.
    #[derive(Default)]
    struct MockApi {
        connections: AtomicUsize,
        descriptions: Mutex<BTreeMap<String, String>>,
        /// What a PATCH answers instead of 200.
        patch_status: Mutex<Option<StatusCode>>,
    }

    impl MockApi {
        async fn listen() -> (Arc<Self>, String) {
            let api = Arc::new(Self::default());
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let served = api.clone();
            tokio::spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    served.connections.fetch_add(1, Ordering::Relaxed);
                    let api = served.clone();
                    let service = service_fn(move |request| api.clone().answer(request));
                    tokio::spawn(server::Builder::new().serve_connection(TokioIo::new(stream), service));
                }
            });
            (api, address)
        }

        async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
            let (head, body) = request.into_parts();
            assert_eq!(head.headers[AUTHORIZATION], "Bearer secret");
            let body = body.collect().await.unwrap().to_bytes();
            let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            let path = head.uri.path().to_owned();
            let response = Response::builder();
            let (response, text) = match (head.method.as_str(), path.as_str()) {
                ("GET", "/api/v1/sites") => (response, json!({ "items": [{ "id": 7, "name": "Berlin" }] }).to_string()),
                ("GET", "/api/v1/status") => (response, json!({ "leader": 2, "epoch": 1 }).to_string()),
                ("POST", "/api/v1/destinations") => {
                    assert_eq!((json["site"].as_u64(), json["name"].is_string()), (Some(7), true));
                    let mut descriptions = self.descriptions.lock().unwrap();
                    let path = format!("/api/v1/destinations/{}", descriptions.len() + 1);
                    descriptions.insert(path.clone(), json["description"].as_str().unwrap().into());
                    (response.status(201).header(LOCATION, path), "{}".into())
                }
                ("PATCH", path) => match *self.patch_status.lock().unwrap() {
                    Some(status) => (response.status(status), json!({ "code": "mocked" }).to_string()),
                    None => {
                        let new = json["description"].as_str().unwrap().to_owned();
                        let old = self.descriptions.lock().unwrap().insert(path.to_owned(), new.clone());
                        assert_ne!(old.expect("the destination was made before"), new);
                        (response, "{}".into())
                    }
                },
                other => panic!("nobody asked for {other:?}"),
            };
            Ok(response.body(Full::new(text.into())).unwrap())
        }
    }

    #[tokio::test]
    async fn destinations_are_made_and_changed_over_one_connection_a_client() {
        let (api, address) = MockApi::listen().await;
        let door = ProductDoor::open(vec![address], "secret").await.unwrap();
        assert_eq!(api.descriptions.lock().unwrap().len(), OBJECTS);

        let mut writer = door.connect(0).await.unwrap();
        let mut values = Values::new();
        for object in 0..10 {
            let value = values.value();
            writer.write(object, value.clone()).await.unwrap();
            assert!(api.descriptions.lock().unwrap().values().any(|description| *description == value));
        }
        assert_eq!(api.connections.load(Ordering::Relaxed), 2, "one made the destinations, one wrote");
        assert_eq!(door.told_leader().await.unwrap(), 2);
    }

    #[tokio::test]
    async fn only_backpressure_and_a_missing_quorum_are_refusals() {
        let (api, address) = MockApi::listen().await;
        let door = ProductDoor::open(vec![address], "secret").await.unwrap();
        let mut writer = door.connect(0).await.unwrap();
        for (status, refusal) in [(429, true), (503, true), (500, false), (404, false), (202, false)] {
            *api.patch_status.lock().unwrap() = Some(StatusCode::from_u16(status).unwrap());
            let error = writer.write(0, Values::new().value()).await.unwrap_err();
            assert!(error.to_string().contains("mocked"));
            assert_eq!(matches!(error, WriteError::Refused(_)), refusal, "{status}: {error}");
            assert_eq!(matches!(error, WriteError::Unexpected(_)), !refusal, "{status}: {error}");
        }
    }

    #[tokio::test]
    async fn a_server_that_is_gone_is_a_lost_connection() {
        let (_, address) = MockApi::listen().await;
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        let error = Client::connect(&gone, "Bearer secret").await.err().unwrap();
        assert!(error.ends_connection(), "{error}");
        assert!(Client::connect(&address, "Bearer secret").await.is_ok());
    }

    #[test]
    fn the_demos_line_is_read() {
        let line = r#"{"url":"http://127.0.0.1:1","token":"t","processes":[{"role":"authority","id":1,"pid":42,"dir":"/d/1",
            "api":"http://127.0.0.1:1","peer":"127.0.0.1:2","log":"/d/1/log"}]}"#;
        let demo: Demo = serde_json::from_str(line).unwrap();
        assert_eq!(address(&demo.processes[0].api).unwrap(), "127.0.0.1:1");
        assert!(address("https://127.0.0.1:1").is_err());
    }
}
