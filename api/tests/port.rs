//! The port, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bursar_api::{Config, ServeLimits, serve};
use bursar_net::{ConnectionMeter, Shutdown, ShutdownTrigger, shutdown_channel};
use support::World;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

struct Port {
    address: SocketAddr,
    served: JoinHandle<()>,
    shutdown: ShutdownTrigger,
}

impl Port {
    async fn open(world: &World, limits: ServeLimits) -> Self {
        let (shutdown, requested): (ShutdownTrigger, Shutdown) = shutdown_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let meter: Arc<ConnectionMeter> = ConnectionMeter::new();
        let served = tokio::spawn(serve(Box::new(listener), None, limits, meter, world.router.clone(), requested));
        Self { address, served, shutdown }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// The status of the answer to one request on a connection of its own. `headers` end with a line's end, if there are any.
    async fn get(&self, path: &str, headers: &str) -> u16 {
        let mut stream = self.connect().await;
        let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = until_end(&mut stream).await;
        answer.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
    }

    /// Asks until the answer has this status.
    async fn get_until(&self, path: &str, headers: &str, status: u16) {
        let asking = async { while self.get(path, headers).await != status {} };
        tokio::time::timeout(Duration::from_secs(20), asking).await.unwrap_or_else(|_| panic!("{path} never answers {status}"));
    }

    /// Changes that are announced and whose bodies never come: each keeps its place for as long as it is held.
    async fn unfinished(&self, path: &str, headers: &str, count: usize) -> Vec<TcpStream> {
        let mut held = Vec::new();
        for _ in 0..count {
            let mut stream = self.connect().await;
            let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n{headers}\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            held.push(stream);
        }
        held
    }
}

async fn until_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn until(stream: &mut TcpStream, needle: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    while !text.contains(needle) {
        let count = stream.read(&mut buffer).await.unwrap();
        assert_ne!(count, 0, "the end came before {needle}: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    text
}

#[tokio::test]
async fn requests_are_answered_one_after_the_other_on_a_kept_connection() {
    let world = World::new().await;
    let port = Port::open(&world, ServeLimits::default()).await;
    let mut stream = port.connect().await;
    for _ in 0..3 {
        stream.write_all(b"GET /api/v1/version HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let answer = until(&mut stream, "\"supported_level\":1}").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("x-bursar-revision: 1-4\r\n"), "{answer}");
    }
    // The port tells the routes where a request comes from: the machine itself reads the metrics without a token.
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let metrics = until_end(&mut stream).await;
    assert!(metrics.contains("bursar_http_requests_total{method=\"GET\",status=\"2xx\"} 3"), "{metrics}");
}

#[tokio::test]
async fn a_stream_follows_what_happens_and_the_shutdown_ends_it() {
    let world = World::new().await;
    let port = Port::open(&world, ServeLimits::default()).await;
    let mut stream = port.connect().await;
    let request = format!("GET /api/v1/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\r\n", world.token);
    stream.write_all(request.as_bytes()).await.unwrap();
    until(&mut stream, "event: bookmark").await;
    world.site("Lyon").await;
    until(&mut stream, "site.created").await;
    world.shutdown.request();
    port.shutdown.request();
    until_end(&mut stream).await;
    port.served.await.unwrap();
}

#[tokio::test]
async fn whoever_does_not_say_what_it_wants_is_let_go() {
    let world = World::new().await;
    let mut limits = ServeLimits { head_timeout: Duration::from_millis(200), ..ServeLimits::default() };
    limits.connections.handshake_timeout = Duration::from_millis(200);
    let port = Port::open(&world, limits).await;
    for beginning in ["", "P", "PRI * HTTP/2.0\r\n", "GET /livez HTTP/1.1\r\nhost: a\r\nx-slow:"] {
        let mut stream = port.connect().await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(5), until_end(&mut stream)).await;
        let answer = ended.unwrap_or_else(|_| panic!("still open after {beginning:?}"));
        assert!(!answer.contains("200 OK"), "{answer}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let world = World::new().await;
    let limits = ServeLimits { head_bytes_max: 16 << 10, ..ServeLimits::default() };
    let port = Port::open(&world, limits).await;
    let mut stream = port.connect().await;
    let head = format!("GET /livez HTTP/1.1\r\nhost: a\r\nx-large: {}\r\n\r\n", "x".repeat(64 << 10));
    // It may be refused while it is still being sent.
    let _ = stream.write_all(head.as_bytes()).await;
    let answer = until_end(&mut stream).await;
    assert!(!answer.contains("200 OK"), "{answer}");
}

#[tokio::test]
async fn a_reader_whose_socket_is_full_is_let_go() {
    let config = Config { stream_write_timeout: Duration::from_millis(300), ..Config::default() };
    let world = World::with(config).await;
    world.authority.append_sites((0..30_000).map(|number| format!("site {number}")));
    let limits = ServeLimits { write_timeout: Duration::from_millis(300), ..ServeLimits::default() };
    let port = Port::open(&world, limits).await;
    let mut stream = port.connect().await;
    let request = format!("GET /api/v1/events?since=1-0 HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\r\n", world.token);
    stream.write_all(request.as_bytes()).await.unwrap();
    // It reads nothing, so the buffers of the sockets fill, and the node ends the connection by itself.
    let mut streams_open = String::new();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !streams_open.contains("bursar_streams_open 0\n") {
        assert!(tokio::time::Instant::now() < deadline, "the stream is still open");
        tokio::task::yield_now().await;
        streams_open = String::from_utf8(world.get("/metrics").send().await.body.to_vec()).unwrap();
    }
    let text = until_end(&mut stream).await;
    assert!(!text.contains("site 29999"), "it was cut off before the end");
}

#[tokio::test]
async fn neither_a_flood_of_strangers_nor_a_full_api_keeps_the_node_from_telling_how_it_fares() {
    let world = World::with(Config { strangers_max: 2, requests_max: 2, ..Config::default() }).await;
    let port = Port::open(&world, ServeLimits::default()).await;
    let known = format!("authorization: Bearer {}\r\n", world.token);
    let health = async || {
        for path in ["/livez", "/readyz", "/metrics"] {
            assert_eq!(port.get(path, "").await, 200, "{path}");
        }
    };
    let strangers = port.unfinished("/api/v1/tokens", "", 2).await;
    port.get_until("/api/v1/version", "", 503).await;
    health().await;
    // Callers who are known do not notice, on open routes either.
    for path in ["/api/v1/sites", "/api/v1/version"] {
        assert_eq!(port.get(path, &known).await, 200, "{path}");
    }
    // Whose token is not known yet is a stranger.
    assert_eq!(port.get("/api/v1/sites", "authorization: Bearer unknown\r\n").await, 503);

    let callers = port.unfinished("/api/v1/sites", &known, 2).await;
    port.get_until("/api/v1/sites", &known, 503).await;
    health().await;
    drop(strangers);
    port.get_until("/api/v1/version", "", 200).await;
    assert_eq!(port.get("/api/v1/sites", &known).await, 503);
    drop(callers);
    port.get_until("/api/v1/sites", &known, 200).await;
}

#[tokio::test]
async fn http_2_is_spoken_too() {
    use http_body_util::{BodyExt, Empty};
    let world = World::new().await;
    let port = Port::open(&world, ServeLimits::default()).await;
    let io = hyper_util::rt::TokioIo::new(port.connect().await);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = hyper::Request::get(format!("http://{}/livez", port.address)).body(Empty::<bytes::Bytes>::new()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok\n");
}
