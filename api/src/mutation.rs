//! A request for a change, read from HTTP: everything about it that is alike for all nouns.

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, Method, Uri, header},
};
use bursar_domain::{Actor, Command, Cursor, ExpectedRevision, Hash, RequestId, Submission, hash::hex};
use bursar_wire::{header::IDEMPOTENCY_KEY, query::MutationQuery};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use crate::{api::Service, authentication::Caller, config::Config, etag, failure::Failure, fault, parameters::Parameters};

/// Who asks, under which request id, on which reading, until when.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) actor: Actor,
    pub(crate) request: RequestId,
    pub(crate) fingerprint: Hash,
    pub(crate) if_match: Option<Cursor>,
    /// Whether only the consequences are to be shown.
    pub(crate) dry_run: bool,
    pub(crate) deadline: Instant,
}

impl Call {
    /// The submission of a command, bound to the reading that the caller says it rests on.
    pub(crate) fn submission(&self, command: Command) -> Result<Submission, Failure> {
        let expected = match (self.if_match, command.subject()) {
            (None, _) => None,
            (Some(at), Some(object)) => Some(ExpectedRevision { object, at }),
            (Some(_), None) => return Err(Failure::malformed("If-Match does not apply: nothing that exists is changed.")),
        };
        let Self { actor, request, fingerprint, .. } = self.clone();
        Ok(Submission { actor, request, fingerprint, expected, planned_on: None, command })
    }
}

/// A call with a JSON body.
pub(crate) struct Mutation<T> {
    pub(crate) call: Call,
    pub(crate) body: T,
}

/// A call without a body.
pub(crate) struct Bodiless(pub(crate) Call);

impl<T: DeserializeOwned> FromRequest<Service> for Mutation<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, service: &Service) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, service).await?;
        Self::receive(Request::from_parts(parts, body), service, caller.actor()).await
    }
}

impl<T: DeserializeOwned> Mutation<T> {
    /// Reads the request as one of `actor`.
    pub(crate) async fn receive(request: Request, service: &Service, actor: Actor) -> Result<Self, Failure> {
        let is_json = is_json(request.headers());
        let (call, bytes) = receive(request, service, actor).await?;
        if !is_json {
            return Err(Failure::unsupported_media_type());
        }
        Ok(Self { call, body: fault::parse(&bytes)? })
    }
}

impl FromRequest<Service> for Bodiless {
    type Rejection = Failure;

    async fn from_request(request: Request, service: &Service) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, service).await?;
        let (call, bytes) = receive(Request::from_parts(parts, body), service, caller.actor()).await?;
        if bytes.is_empty() {
            return Ok(Self(call));
        }
        Err(Failure::malformed("This request takes no body.").hint("Send it without one."))
    }
}

async fn receive(request: Request, service: &Service, actor: Actor) -> Result<(Call, Bytes), Failure> {
    let (mut parts, body) = request.into_parts();
    let deadline = service.deadline_of(&parts.headers)?;
    let Parameters(MutationQuery { dry_run }) = Parameters::from_request_parts(&mut parts, service).await?;
    let if_match = etag::if_match(&parts.headers)?;
    let request = request_id(&parts.headers, service)?;
    // Who founds shows no token.
    let Config { body_bytes_max, stranger_body_bytes_max, .. } = service.config;
    let bytes_max = if actor == Actor::Founder { stranger_body_bytes_max } else { body_bytes_max };
    let bytes = collect(body, bytes_max, service).await?;
    let fingerprint = fingerprint(&parts.method, &parts.uri, &parts.headers, &bytes);
    Ok((Call { actor, request, fingerprint, if_match, dry_run, deadline }, bytes))
}

/// The `Idempotency-Key`; without one nobody can repeat the request, and it gets an id of its own.
fn request_id(headers: &HeaderMap, service: &Service) -> Result<RequestId, Failure> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else {
        let minted: [u8; 16] = service.entropy.array();
        return Ok(RequestId::minted(&hex::encode(&minted)).expect("hexadecimal digits are visible ASCII"));
    };
    let parsed = key.to_str().ok().and_then(|key| RequestId::parse(key).ok()).filter(|_| keys.next().is_none());
    parsed.ok_or_else(|| Failure::malformed("Idempotency-Key must be given once, as 1 to 128 visible ASCII characters."))
}

/// Tells a repetition from another request under the same id. Each part goes in with its length, so that none runs into the next.
fn fingerprint(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Hash {
    let if_match = headers.get(header::IF_MATCH).map_or(&[][..], |value| value.as_bytes());
    let mut hasher = blake3::Hasher::new();
    for part in [method.as_str().as_bytes(), uri.path().as_bytes(), if_match, body] {
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
    }
    Hash(*hasher.finalize().as_bytes())
}

async fn collect(body: Body, bytes_max: usize, service: &Service) -> Result<Bytes, Failure> {
    let too_large = || Failure::too_large(bytes_max as u64);
    // What announces its size is refused before it is read.
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_large());
    }
    match timeout(service.config.body_timeout, Limited::new(body, bytes_max).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Failure::malformed(format!("The body could not be read: {error}."))),
        Err(_) => Err(Failure::too_slow()),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}
