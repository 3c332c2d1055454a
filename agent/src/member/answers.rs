//! What the server answers on its ports, and to whom.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bursar_domain::{AbsolutePath, store_point::Findings};
use bursar_net::{
    Admission, Attested, Blocking, FrameReader, FrameWriter, Hello, Lane, LaneHandler, Network, Refusal, RefusalCode, Role,
    Volumes, answer, frame,
};
use bursar_wire::control::{AuthorityAnswer, AuthorityQuestion, CALLS_MAX, PROBED_MAX};
use bytes::Bytes;
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};
use tracing::debug;

use super::{Known, examine::examine};
use crate::{reach::reach, store_points::Owner, world::World};

/// How long a path may take to be looked at.
const EXAMINED_WITHIN: Duration = Duration::from_secs(10);
/// How many paths are looked at at a time; those on a disk that hangs count until it comes back.
const EXAMINED_AT_ONCE: usize = 4;

/// What is served on a port.
pub(super) enum Lanes {
    /// That it is reached is seen from the welcome.
    OfProbes,
    /// The authority's questions beside that.
    OfControl(Arc<Answers>),
}

#[async_trait]
impl LaneHandler for Lanes {
    async fn serve(&self, hello: Hello, reader: FrameReader, writer: FrameWriter) {
        let (Self::OfControl(answers), Lane::Control) = (self, hello.lane) else { return };
        let answering = answer(reader, writer, CALLS_MAX, |question| {
            let answers = Arc::clone(answers);
            async move { frame::encode(&answers.answer(&question).await).expect("an answer can be encoded") }
        });
        if let Err(error) = answering.await {
            debug!(from = ?hello.from, %error, "a connection ended");
        }
    }
}

/// Who may come in on a port: members of the cluster, to look at it; authority nodes, to ask, where questions are answered.
pub(super) struct Entrance {
    answers_questions: bool,
}

impl Entrance {
    pub(super) fn of(lanes: &Lanes) -> Self {
        Self { answers_questions: matches!(lanes, Lanes::OfControl(_)) }
    }
}

impl Admission for Entrance {
    fn admit(&self, hello: &Hello, _certificate: Option<&Attested>) -> Result<(), Refusal> {
        let is_authority = hello.from.is_some_and(|from| from.role == Role::Authority);
        let is_welcome = match hello.lane {
            // The handshake has seen a certificate of the cluster.
            Lane::Probe => true,
            Lane::Control => self.answers_questions && is_authority,
            Lane::Append | Lane::Vote | Lane::Snapshot | Lane::Forward | Lane::Join | Lane::Follow => false,
        };
        if is_welcome {
            return Ok(());
        }
        Err(Refusal {
            code: RefusalCode::UnknownNode,
            reason: format!("this port of {} does not serve {:?} to the caller", hello.to, hello.lane),
            remedy: "check the addresses and ports that are recorded for the storage server".to_owned(),
        })
    }
}

/// Answers the authority.
pub(super) struct Answers {
    owner: Owner,
    network: Arc<dyn Network>,
    volumes: Arc<dyn Volumes>,
    loose: Arc<dyn Blocking>,
    known: watch::Receiver<Known>,
    places: Arc<Semaphore>,
}

impl Answers {
    pub(super) fn new(world: &World, owner: Owner, known: watch::Receiver<Known>) -> Self {
        Self {
            owner,
            network: Arc::clone(&world.network),
            volumes: Arc::clone(&world.volumes),
            loose: Arc::clone(&world.loose),
            known,
            places: Arc::new(Semaphore::new(EXAMINED_AT_ONCE)),
        }
    }

    async fn answer(&self, question: &Bytes) -> AuthorityAnswer {
        let answered = match frame::decode(question) {
            Ok(AuthorityQuestion::Examine { path }) => match timeout(EXAMINED_WITHIN, self.examine(&path)).await {
                Ok(found) => found.map(AuthorityAnswer::Found),
                Err(_elapsed) => Err(format!("the disk of {path} does not answer within {} s", EXAMINED_WITHIN.as_secs())),
            },
            Ok(AuthorityQuestion::Probe { addresses }) if addresses.len() > PROBED_MAX => {
                Err(format!("at most {PROBED_MAX} addresses are looked at, not {}", addresses.len()))
            }
            Ok(AuthorityQuestion::Probe { addresses }) => Ok(AuthorityAnswer::Probed(reach(&self.network, addresses).await)),
            Err(error) => Err(error.to_string()),
        };
        answered.unwrap_or_else(|detail| AuthorityAnswer::Failed { detail })
    }

    async fn examine(&self, path: &str) -> Result<Findings, String> {
        let path = AbsolutePath::parse("path", path).map_err(|refused| refused.to_string())?;
        let place = Arc::clone(&self.places).acquire_owned().await.expect("nobody closes it");
        let known = self.known.borrow().fleet().map(|fleet| fleet.store_points.keys().copied().collect()).unwrap_or_default();
        let (volumes, owner, examined) = (Arc::clone(&self.volumes), self.owner, path.clone());
        let looking = self.loose.run(move || {
            let found = examine(&*volumes, &examined, owner, &known);
            drop(place);
            found
        });
        let found = looking.await.map_err(|lost| lost.to_string())?;
        found.map_err(|error| format!("{path} cannot be looked at: {error}"))
    }
}
