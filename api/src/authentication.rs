//! Who asks: bearer tokens, which rest in the ledger as hashes.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::{
    extract::{FromRequestParts, Request, State as Shared},
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
    response::Response,
};
use bursar_domain::{Actor, Hash, Rejection, State, Timestamp, TokenId};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until, timeout_at},
};

use crate::{
    api::Service,
    authority::{Consistency, ReadError},
    failure::Failure,
};

/// The bearer of a token that stood when the request arrived. Decisions and readings judge it again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) token: TokenId,
    /// When the request is given up.
    pub(crate) deadline: Instant,
}

impl Caller {
    pub(crate) const fn actor(self) -> Actor {
        Actor::Token(self.token)
    }

    /// Judges the token by a version of the state and by the clock.
    pub(crate) fn stands(self, state: &State, now: Timestamp) -> Result<(), Failure> {
        let actor = self.actor();
        match state.tokens().get(self.token) {
            None => Err(Failure::refused(&Rejection::CredentialRevoked { actor }, state)),
            Some(token) if token.has_expired(now) => Err(Failure::refused(&Rejection::CredentialExpired { actor }, state)),
            Some(_) => Ok(()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        // Absent only where the guard does not stand in front: refuse, whatever was intended.
        parts.extensions.get::<Self>().copied().ok_or_else(missing)
    }
}

/// Stands in front of every route that is not explicitly open.
pub(crate) async fn guard(Shared(service): Shared<Service>, mut request: Request, next: Next) -> Result<Response, Failure> {
    let caller = service.authenticate(request.headers()).await?;
    let _place = service.place()?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Stands in front of the open routes. Whoever shows no token that is known here has one of a few places.
pub(crate) async fn receive_strangers(
    Shared(service): Shared<Service>,
    request: Request,
    next: Next,
) -> Result<Response, Failure> {
    let known = bearer(request.headers()).and_then(|secret| service.bearer_of(secret, service.deadline()));
    let _place = if matches!(known, Ok(Some(_))) { service.place()? } else { service.stranger_place()? };
    Ok(next.run(request).await)
}

impl Service {
    /// Who shows the token in `Authorization`.
    pub(crate) async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Failure> {
        let (secret, deadline) = (bearer(headers)?, self.deadline_of(headers)?);
        if let Some(caller) = self.bearer_of(secret, deadline)? {
            return Ok(caller);
        }
        // It may have been issued a moment ago, on another node.
        let _place = self.stranger_place()?;
        self.token_refresh.refresh(self, deadline).await?;
        self.bearer_of(secret, deadline)?.ok_or_else(|| Failure::unauthenticated("No token has this secret."))
    }

    fn bearer_of(&self, secret: Hash, deadline: Instant) -> Result<Option<Caller>, Failure> {
        let state = self.authority.latest();
        let Some(token) = state.tokens().find(&secret) else { return Ok(None) };
        let caller = Caller { token: token.id, deadline };
        caller.stands(&state, self.now())?;
        Ok(Some(caller))
    }
}

fn bearer(headers: &HeaderMap) -> Result<Hash, Failure> {
    let value = headers.get(header::AUTHORIZATION).ok_or_else(missing)?;
    let text = value.to_str().ok().and_then(|text| text.split_once(' '));
    match text {
        Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Hash::of(secret.trim().as_bytes())),
        _ => Err(Failure::unauthenticated("The Authorization header does not read Bearer <token>.")),
    }
}

fn missing() -> Failure {
    Failure::unauthenticated("The request shows no token.")
}

/// Brings this node's state up to date for the sake of unknown tokens. One reading serves all who wait for one, and readings
/// keep a distance, so that guessing tokens costs the cluster next to nothing.
#[derive(Default)]
pub(crate) struct TokenRefresh {
    /// How many readings have begun.
    begun: AtomicU64,
    last: Mutex<Option<Refreshed>>,
}

struct Refreshed {
    /// Which reading it was: the first is number 1.
    number: u64,
    started: Instant,
    /// Until when it was waited for.
    deadline: Instant,
    /// What came of it; nothing where whoever asked for it left.
    outcome: Option<Result<(), ReadError>>,
}

impl Refreshed {
    /// What it is to a request that is given up at `deadline`: one that has more patience may see a reading succeed that was
    /// given up here.
    fn outcome_for(&self, deadline: Instant) -> Option<Result<(), ReadError>> {
        self.outcome.clone().filter(|outcome| outcome.is_ok() || self.deadline >= deadline)
    }
}

impl TokenRefresh {
    async fn refresh(&self, service: &Service, deadline: Instant) -> Result<(), Failure> {
        let begun_before = self.begun.load(Ordering::SeqCst);
        let no_turn = |_elapsed| Failure::overloaded(NO_TURN);
        let mut last = timeout_at(deadline, self.last.lock()).await.map_err(no_turn)?;
        if let Some(refreshed) = &*last {
            // It began behind this request, so it has seen everything that the request can rely on.
            let is_new = refreshed.number > begun_before;
            if let Some(outcome) = refreshed.outcome_for(deadline).filter(|_| is_new) {
                return outcome.map_err(Failure::from);
            }
            let next = refreshed.started + service.config.token_refresh_interval;
            timeout_at(deadline, sleep_until(next)).await.map_err(no_turn)?;
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let begun = last.insert(Refreshed { number, started: Instant::now(), deadline, outcome: None });
        let outcome = service.authority.read(Consistency::Linearizable, None, deadline).await.map(drop);
        begun.outcome = Some(outcome.clone());
        outcome.map_err(Failure::from)
    }
}

const NO_TURN: &str = "This node does not know the token. It asks the leader for news of tokens one time after another, and the turn \
                       of this request did not come in time.";
