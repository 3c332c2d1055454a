//! A cluster of one, in memory, and requests to it through the router.
#![allow(dead_code, reason = "each test file uses the part that it needs")]

pub mod authority;
pub mod fleet;
pub mod stream;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use bursar_api::{Api, Config, router};
use bursar_net::{Fingerprint, ShutdownTrigger, SystemEntropy, WallClock, shutdown_channel};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use authority::MemoryAuthority;
use fleet::{LICENSE, MemoryFleet};

/// A clock that stands until it is moved.
pub struct TestClock(AtomicU64);

impl TestClock {
    pub fn advance_ms(&self, milliseconds: u64) {
        self.0.fetch_add(milliseconds, Ordering::SeqCst);
    }
}

impl WallClock for TestClock {
    fn now_unix_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// 2026-01-01T00:00:00Z, in milliseconds since 1970.
pub const START_MS: u64 = 1_767_225_600_000;

/// A founded cluster with one administrator.
pub struct World {
    pub authority: Arc<MemoryAuthority>,
    pub fleet: Arc<MemoryFleet>,
    pub clock: Arc<TestClock>,
    pub router: Router,
    pub shutdown: ShutdownTrigger,
    /// The administrator's.
    pub token: String,
}

impl World {
    pub async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub async fn with(config: Config) -> Self {
        Self::unclaimed(config).claimed().await
    }

    /// One that machines with the license key of the tests are welcome to.
    pub async fn licensed() -> Self {
        Self::founded(Config::default(), LICENSE.public_key()).claimed().await
    }

    async fn claimed(self) -> Self {
        let mut world = self;
        let claim = json!({ "name": "admin", "setup_secret": authority::SETUP_SECRET });
        let issued = world.request(Method::POST, "/api/v1/tokens").body(&claim).send().await;
        assert_eq!(issued.status, StatusCode::CREATED, "{issued:?}");
        world.token = issued.json()["secret"].as_str().unwrap().to_owned();
        world
    }

    /// Where nobody has shown the setup secret yet: there is no administrator.
    pub fn unclaimed(config: Config) -> Self {
        Self::founded(config, vec![2; 32])
    }

    fn founded(config: Config, license_key: Vec<u8>) -> Self {
        let clock = Arc::new(TestClock(AtomicU64::new(START_MS)));
        let authority = MemoryAuthority::founded(clock.clone(), license_key);
        let fleet = MemoryFleet::new();
        let (trigger, shutdown) = shutdown_channel();
        let router = router(Api {
            authority: authority.clone(),
            fleet: fleet.clone(),
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy::new()),
            authority_fingerprint: Fingerprint::from([7; 32]),
            shutdown,
            config,
        });
        Self { authority, fleet, clock, router, shutdown: trigger, token: String::new() }
    }

    /// A request without a token.
    pub fn request(&self, method: Method, path: &str) -> Asking {
        let builder = Request::builder().method(method).uri(path);
        Asking { router: self.router.clone(), builder, body: Body::empty() }
    }

    pub fn get(&self, path: &str) -> Asking {
        self.request(Method::GET, path).bearer(&self.token)
    }

    pub fn post(&self, path: &str, body: &Value) -> Asking {
        self.request(Method::POST, path).bearer(&self.token).body(body)
    }

    /// A request for something to be done that takes no body.
    pub fn act(&self, path: &str) -> Asking {
        self.request(Method::POST, path).bearer(&self.token)
    }

    pub fn patch(&self, path: &str, body: &Value) -> Asking {
        self.request(Method::PATCH, path).bearer(&self.token).body(body)
    }

    pub fn delete(&self, path: &str) -> Asking {
        self.request(Method::DELETE, path).bearer(&self.token)
    }

    /// A site, by its id.
    pub async fn site(&self, name: &str) -> u64 {
        let body = json!({ "name": name, "expected_latency_ms": 5 });
        let made = self.post("/api/v1/sites", &body).send().await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        made.json()["id"].as_u64().unwrap()
    }

    /// A destination, by its id.
    pub async fn destination(&self, name: &str, site: u64) -> u64 {
        let made = self.post("/api/v1/destinations", &json!({ "name": name, "site": site })).send().await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        made.json()["id"].as_u64().unwrap()
    }

    /// Another administrator's token: its number and secret.
    pub async fn another_token(&self, extra: Value) -> (u64, String) {
        let mut body = json!({ "name": "another" });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let issued = self.post("/api/v1/tokens", &body).send().await;
        assert_eq!(issued.status, StatusCode::CREATED, "{issued:?}");
        (issued.json()["id"].as_u64().unwrap(), issued.json()["secret"].as_str().unwrap().to_owned())
    }

    /// What a refused request must leave alone.
    pub fn digest(&self) -> String {
        format!("{:?}", self.authority.state())
    }
}

/// A request in the making.
pub struct Asking {
    router: Router,
    builder: axum::http::request::Builder,
    body: Body,
}

impl Asking {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn body(self, body: &Value) -> Self {
        self.raw("application/json", body.to_string())
    }

    pub fn raw(self, content_type: &str, body: impl Into<Body>) -> Self {
        Self { body: body.into(), ..self.header("content-type", content_type) }
    }

    pub async fn send(self) -> Answer {
        let response = self.open().await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// The response with its body unread.
    pub async fn open(self) -> axum::response::Response {
        let request = self.builder.body(self.body).unwrap();
        self.router.oneshot(request).await.unwrap()
    }
}

/// A whole answer.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }

    /// Asserts a problem document of this status and code.
    #[track_caller]
    pub fn refuses(&self, status: u16, code: &str) -> &Self {
        assert_eq!((self.status.as_u16(), self.json()["code"].as_str().unwrap_or_default()), (status, code), "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], format!("urn:bursar:problem:{code}"));
        assert!(!problem["detail"].as_str().unwrap().is_empty() && problem["hint"].is_string(), "{self:?}");
        if matches!(status, 429 | 503 | 504) {
            assert!(self.headers.contains_key(header::RETRY_AFTER), "{self:?}");
            assert!(problem["fate"].is_string(), "whoever may try again knows what became of it: {self:?}");
        }
        self
    }

    /// Asserts what the problem points at.
    #[track_caller]
    pub fn pointing_at(&self, pointer: &str) -> &Self {
        assert_eq!(self.json()["errors"][0]["pointer"], pointer, "{self:?}");
        self
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}
