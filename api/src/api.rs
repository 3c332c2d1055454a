//! The service behind the routes: what they all share.

use std::{ops::Deref, sync::Arc, time::Duration};

use axum::http::HeaderMap;
use bursar_domain::{Cursor, State, Timestamp};
use bursar_net::{Entropy, Fingerprint, Shutdown, WallClock};
use bursar_wire::{
    header::PATIENCE,
    query::{self as wire, PresentQuery, ReadQuery, Version},
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

use crate::{
    authentication::{Caller, TokenRefresh},
    authority::{Authority, Consistency},
    config::Config,
    failure::Failure,
    fleet::{Fleet, ObservedError},
    metrics::Metrics,
    parameters,
    past::Past,
    resource::View,
};

/// The parts of the API.
pub struct Api {
    /// Where submissions are decided and states are read.
    pub authority: Arc<dyn Authority>,
    /// Where storage servers are asked.
    pub fleet: Arc<dyn Fleet>,
    /// The time of day, by which tokens expire.
    pub clock: Arc<dyn WallClock>,
    /// Where secrets and request ids come from.
    pub entropy: Arc<dyn Entropy>,
    /// Of the cluster's certificate authority, for the invitations of new nodes.
    pub authority_fingerprint: Fingerprint,
    /// Ends the event streams.
    pub shutdown: Shutdown,
    /// How much is taken on at a time.
    pub config: Config,
}

/// How long a reading waits for what is merely observed beside it.
pub(crate) const OBSERVATION_PATIENCE: Duration = Duration::from_secs(2);

/// [`Api`], shared by all requests.
#[derive(Clone)]
pub(crate) struct Service(Arc<Shared>);

pub(crate) struct Shared {
    api: Api,
    pub(crate) token_refresh: TokenRefresh,
    pub(crate) metrics: Metrics,
    /// A place for each request of a caller who is known.
    pub(crate) places: Semaphore,
    /// A place for each request of anybody else.
    pub(crate) stranger_places: Semaphore,
    /// A place for each event stream.
    pub(crate) stream_places: Arc<Semaphore>,
    past: Past,
}

impl Deref for Service {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Deref for Shared {
    type Target = Api;
    fn deref(&self) -> &Api {
        &self.api
    }
}

impl Service {
    pub(crate) fn new(api: Api) -> Self {
        Self(Arc::new(Shared {
            token_refresh: TokenRefresh::default(),
            metrics: Metrics::default(),
            places: Semaphore::new(api.config.requests_max),
            stranger_places: Semaphore::new(api.config.strangers_max),
            stream_places: Arc::new(Semaphore::new(api.config.streams_max)),
            past: Past::new(api.config.past_versions_max, api.shutdown.clone()),
            api,
        }))
    }

    /// A place for the request of a caller who is known.
    pub(crate) fn place(&self) -> Result<SemaphorePermit<'_>, Failure> {
        self.places.try_acquire().map_err(|_| Failure::overloaded("Too many requests are being answered by this node."))
    }

    /// A place for the request of somebody who is not known, or not yet.
    pub(crate) fn stranger_place(&self) -> Result<SemaphorePermit<'_>, Failure> {
        let place = self.stranger_places.try_acquire();
        place.map_err(|_| Failure::overloaded("Too many requests without a known token are being answered by this node."))
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.clock.now_unix_ms())
    }

    /// When a request that arrives now is given up.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.config.deadline
    }

    /// The same where the caller may not wait so long: who is gone by then would never hear why.
    pub(crate) fn deadline_of(&self, headers: &HeaderMap) -> Result<Instant, Failure> {
        let Some(patience) = headers.get(PATIENCE) else { return Ok(self.deadline()) };
        let patience_ms = patience.to_str().ok().and_then(|text| text.parse().ok()).filter(|patience_ms| *patience_ms > 0);
        let wrong = || Failure::malformed("X-Bursar-Patience-Ms must be a whole number of milliseconds from 1.");
        let patience = Duration::from_millis(patience_ms.ok_or_else(wrong)?);
        Ok(Instant::now() + patience.min(self.config.deadline))
    }

    /// The version of the state that is asked for.
    pub(crate) async fn read(&self, caller: Caller, query: &ReadQuery) -> Result<View, Failure> {
        match query.version().map_err(Failure::malformed_part)? {
            Version::Present(query) => Ok(View::of_the_present(self.read_present(caller, &query).await?, self)),
            Version::AsOf(revision) => Ok(View::of_the_past(self.read_past(caller, revision).await?)),
        }
    }

    /// A version of the state as fresh as asked for. The caller's token is judged by it once more: a revocation counts for
    /// every reading that comes behind it.
    pub(crate) async fn read_present(&self, caller: Caller, query: &PresentQuery) -> Result<Arc<State>, Failure> {
        let min_revision = query.min_revision.as_deref();
        let min_revision =
            min_revision.map(|text| parameters::cursor("?min_revision", text, &self.authority.latest())).transpose()?;
        let state = match query.consistency {
            wire::Consistency::Stale => {
                let at_least = min_revision.map(|cursor| cursor.revision);
                self.authority.read(Consistency::Stale, at_least, caller.deadline).await?
            }
            wire::Consistency::Linearizable => self.read_latest_by(min_revision, caller.deadline).await?,
        };
        caller.stands(&state, self.now())?;
        Ok(state)
    }

    /// The state as it was. Whatever this node has of the past stands, so nobody else is asked; the caller's token is judged by
    /// the present.
    async fn read_past(&self, caller: Caller, revision: &str) -> Result<Arc<State>, Failure> {
        let deadline = caller.deadline;
        let mut latest = self.authority.latest();
        let asked = parameters::revision("?as_of", revision, &latest)?;
        if asked.revision > latest.revision() {
            // This node may lag: whoever leads knows what has happened.
            latest = self.read_latest_by(Some(asked), deadline).await?;
        }
        // Before a place among the versions is taken; what a floor overtakes behind this is told as gone, too.
        let floor = Cursor { revision: self.authority.floor(), ..asked };
        if asked.revision < floor.revision {
            return Err(Failure::gone(asked, floor));
        }
        let state = if asked.revision == latest.revision() {
            latest
        } else {
            self.past.state_at(&self.authority, asked, deadline).await?
        };
        caller.stands(&self.authority.latest(), self.now())?;
        Ok(state)
    }

    /// What the leader observes at the time of a reading, or why that is not known. It is asked only where the reading wants to
    /// know what is so at present.
    pub(crate) async fn observed<T>(
        &self,
        query: &ReadQuery,
        asking: impl Future<Output = Result<T, ObservedError>>,
    ) -> Result<Result<T, String>, Failure> {
        let absent = match query.version().map_err(Failure::malformed_part)? {
            Version::AsOf(_) => "what was observed is not kept",
            Version::Present(PresentQuery { consistency: wire::Consistency::Stale, .. }) => {
                "only the leader observes storage servers, and a stale reading asks nobody else"
            }
            Version::Present(PresentQuery { consistency: wire::Consistency::Linearizable, .. }) => {
                return Ok(asking.await.map_err(|error| error.to_string()));
            }
        };
        Ok(Err(absent.to_owned()))
    }

    /// A version of the state with everything in it that was acknowledged so far, for a request that is given up at `deadline`,
    /// however often it reads. What `min_revision` names and the state does not have has not happened, and waiting for it would
    /// be vain.
    pub(crate) async fn read_latest_by(&self, min_revision: Option<Cursor>, deadline: Instant) -> Result<Arc<State>, Failure> {
        let state = self.authority.read(Consistency::Linearizable, None, deadline).await?;
        match min_revision {
            Some(cursor) if cursor.revision > state.revision() => Err(Failure::cursor_beyond_end(cursor, &state)),
            _ => Ok(state),
        }
    }

    /// A version of the state that a change is made of. Where there is none, nothing is changed, and that is what is told.
    pub(crate) async fn read_to_change(&self, deadline: Instant) -> Result<Arc<State>, Failure> {
        self.authority.read(Consistency::Linearizable, None, deadline).await.map_err(Failure::undecided)
    }
}
