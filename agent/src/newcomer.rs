//! A server that no cluster has adopted yet: it waits for an authority node that knows its connection string.
//!
//! Whoever reaches the port may ask: the machine shows the certificate that it signed itself, and takes anybody. Each question
//! shows the hash of the secret of the connection string; which string stands is read anew for each, so that issuing another
//! voids the former at once. A refused question uses nothing up.
//!
//! An adoption that was begun goes on, whether or not whoever brought it still waits, and every other question waits for it. So
//! nobody is told that a string has expired by which the server became, or may have become, a member. Nor that it is void: while
//! the server becomes a member no other string is issued, and where one was issued just before, it does not become one.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bursar_domain::{Hash, Timestamp};
use bursar_net::{
    Acceptor, Connection, ConnectionHandler, ConnectionLimits, ConnectionMeter, answer, frame, frame::frames, serve,
    shutdown_channel,
};
use bursar_wire::control::{Introduced, Membership, NewcomerAnswer, NewcomerQuestion, PROBED_MAX};
use bytes::Bytes;
use tokio::{
    sync::{Mutex, OwnedMutexGuard, watch},
    time::timeout,
};
use tracing::{debug, info};

use crate::{
    directory::{AdoptionError, DataDirectory, DirectoryError, Server},
    program,
    reach::reach,
    standing::StringRefusal,
    world::{Abandoned, Ports, Tasks, World},
};

/// The largest question or answer, in bytes: whoever reaches the port may ask.
const FRAME_BYTES_MAX: usize = 64 * 1024;
/// How many questions of one connection are under way at a time.
const QUESTIONS_MAX: usize = 4;
/// How long a connection may stay.
const STAY: Duration = Duration::from_secs(30);
/// Few at a time: an authority node needs one, and everybody else has no business here. Who brought the membership may take the
/// drain's time to read the answer.
const LIMITS: ConnectionLimits = ConnectionLimits {
    max_connections: 64,
    max_per_address: 16,
    handshake_timeout: Duration::from_secs(5),
    drain_timeout: Duration::from_secs(3),
};

/// A server that waits to be adopted.
pub struct Newcomer {
    /// Its data directory, which the caller holds locked.
    pub directory: Arc<DataDirectory>,
    /// Who it is.
    pub server: Arc<Server>,
    /// The world.
    pub world: World,
}

impl Newcomer {
    /// Serves the ports until the server is a member: what makes it one rests on its disk then, and whoever brought it was
    /// answered or left. `acceptor` shows the certificate that the server signed itself.
    ///
    /// # Errors
    /// A port that is served no more. Dropping the future ends all connections.
    pub async fn wait(self, ports: Ports, acceptor: Arc<dyn Acceptor>) -> Result<(), Abandoned> {
        let (trigger, shutdown) = shutdown_channel();
        let desk = Arc::new(Desk { newcomer: self, adopted: Arc::default(), is_member: watch::Sender::new(false) });
        let mut is_member = desk.is_member.subscribe();
        let mut serving = Tasks::new();
        for (what, listener, handler) in [
            ("serves its control port", ports.control, Arc::new(Door(desk)) as Arc<dyn ConnectionHandler>),
            ("serves its peer port", ports.peer, Arc::new(Facade) as _),
            ("serves its transfer port", ports.transfer, Arc::new(Facade) as _),
        ] {
            let acceptor = Some(Arc::clone(&acceptor));
            serving.begin(what, serve(listener, acceptor, LIMITS, ConnectionMeter::new(), handler, shutdown.clone()));
        }
        tokio::select! {
            (what, ended) = serving.first() => {
                let detail = "it ended by itself".to_owned();
                return Err(ended.err().unwrap_or(Abandoned { what, detail }));
            }
            // An error says that the desk is gone, which the port would have told.
            _ = is_member.wait_for(|is_member| *is_member) => {}
        }
        trigger.request();
        serving.all().await;
        Ok(())
    }
}

/// A port on which nothing is said: that it is reached is seen from the connection.
struct Facade;

#[async_trait]
impl ConnectionHandler for Facade {
    async fn serve(&self, _connection: Connection) {}
}

struct Door(Arc<Desk>);

#[async_trait]
impl ConnectionHandler for Door {
    /// Answers until the caller leaves or has stayed too long. The end of the port is no reason to leave: it comes when the
    /// server was adopted, and whoever brought that waits for the answer.
    async fn serve(&self, connection: Connection) {
        let (reader, writer) = frames(connection.stream, FRAME_BYTES_MAX);
        let answering = answer(reader, writer, QUESTIONS_MAX, |question| {
            let desk = Arc::clone(&self.0);
            async move { frame::encode(&desk.answer(&question).await).expect("an answer can be encoded") }
        });
        match timeout(STAY, answering).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(remote = %connection.remote, %error, "a connection ended"),
            Err(_elapsed) => debug!(remote = %connection.remote, "a connection stayed too long"),
        }
    }
}

/// Where questions are answered.
struct Desk {
    newcomer: Newcomer,
    /// The membership that was taken; whoever holds the lock takes one.
    adopted: Arc<Mutex<Option<Membership>>>,
    is_member: watch::Sender<bool>,
}

impl Desk {
    async fn answer(self: &Arc<Self>, question: &Bytes) -> NewcomerAnswer {
        let answered = match frame::decode(question) {
            Ok(NewcomerQuestion::Introduce { probe, .. }) if probe.len() > PROBED_MAX => {
                Err(failed(format!("at most {PROBED_MAX} addresses are looked at, not {}", probe.len())))
            }
            Ok(NewcomerQuestion::Introduce { secret, probe }) => self.introduce(secret, probe).await,
            Ok(NewcomerQuestion::Adopt { secret, membership }) => self.adopt(secret, *membership).await,
            Err(error) => Err(failed(error)),
        };
        let (Ok(answer) | Err(answer)) = answered;
        answer
    }

    async fn introduce(&self, secret: Hash, probe: Vec<bursar_net::Address>) -> Result<NewcomerAnswer, NewcomerAnswer> {
        let adopted = self.adopted.lock().await;
        self.require(secret, adopted.as_ref()).await?;
        drop(adopted);
        let Newcomer { server, world, .. } = &self.newcomer;
        let probed = reach(&world.network, probe).await;
        Ok(NewcomerAnswer::Introduced(Box::new(Introduced {
            guid: server.identity.guid,
            program: program::facts(),
            now: self.now(),
            certificate_request: server.key.request().map_err(failed)?,
            probed,
        })))
    }

    async fn adopt(self: &Arc<Self>, secret: Hash, membership: Membership) -> Result<NewcomerAnswer, NewcomerAnswer> {
        let adopted = Arc::clone(&self.adopted).lock_owned().await;
        // The first answer was lost.
        if adopted.as_ref() == Some(&membership) {
            return Ok(NewcomerAnswer::Adopted);
        }
        self.require(secret, adopted.as_ref()).await?;
        // The lock goes where the work is done: the caller may leave meanwhile.
        let desk = Arc::clone(self);
        let taking = self.newcomer.world.blocking.run(move || desk.take(secret, membership, adopted));
        match taking.await.map_err(failed)? {
            Ok(()) => Ok(NewcomerAnswer::Adopted),
            Err(AdoptionError::Refused(refusal)) => Err(refused(&refusal)),
            Err(error) => Err(failed(error)),
        }
    }

    /// Becomes a member, durably.
    fn take(
        &self,
        secret: Hash,
        membership: Membership,
        mut adopted: OwnedMutexGuard<Option<Membership>>,
    ) -> Result<(), AdoptionError> {
        self.newcomer.directory.adopt(&self.newcomer.server, secret, &membership)?;
        bursar_net::point!("server.adopted");
        info!(cluster = %membership.cluster, server = %membership.server, "the server was adopted");
        *adopted = Some(membership);
        self.is_member.send_replace(true);
        Ok(())
    }

    /// Refuses whoever does not know the connection string that stands now, and everybody once the server was `adopted`. Where a
    /// membership could not be kept for certain, it may rest all the same: then the string's time matters no more.
    async fn require(&self, secret: Hash, adopted: Option<&Membership>) -> Result<(), NewcomerAnswer> {
        let directory = Arc::clone(&self.newcomer.directory);
        let look = move || Ok::<_, DirectoryError>((directory.standing()?, directory.is_members()?));
        let (standing, is_members) = self.newcomer.world.blocking.run(look).await.map_err(failed)?.map_err(failed)?;
        let refusal = match standing.map_or(Err(StringRefusal::Voided), |standing| standing.takes(secret, self.now())) {
            Ok(()) | Err(StringRefusal::Expired(_)) if let Some(taken) = adopted => {
                return Err(failed(format!("the server is {} of cluster {} already", taken.server, taken.cluster)));
            }
            Ok(()) => return Ok(()),
            Err(StringRefusal::Expired(_)) if is_members => return Ok(()),
            Err(refusal) => refusal,
        };
        Err(refused(&refusal))
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.newcomer.world.clock.now_unix_ms())
    }
}

fn refused(refusal: &StringRefusal) -> NewcomerAnswer {
    info!(%refusal, "an authority node was refused");
    match refusal {
        StringRefusal::Voided => NewcomerAnswer::Voided,
        StringRefusal::Expired(_) => NewcomerAnswer::Expired,
    }
}

fn failed(why: impl ToString) -> NewcomerAnswer {
    NewcomerAnswer::Failed { detail: why.to_string() }
}
