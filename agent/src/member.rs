//! A server that is a member: it follows the authority's events, keeps its store points, and says how they are.
//!
//! ```text
//! follow ── what the server is to know ──> store points ── how they are ──> notices ──┐
//!   ^                                      probes ─────── what it sees ──> heartbeats ┴──> an authority node
//!   └── an authority node
//! ```
//!
//! What it knows rests on its own disk: it starts and works on while no authority node answers. It speaks with one node at a
//! time, on two connections, and finds another by itself.

mod answers;
mod conversation;
mod examine;
mod follow;
mod fullness;
mod heartbeat;
mod known;
mod notices;
mod probes;
mod search;
mod sights;

use std::{convert::Infallible, sync::Arc};

use bursar_domain::encoding::DecodeError;
use bursar_net::{
    Acceptor, ConnectionLimits, ConnectionMeter, Connector, Dialer, FRAME_BYTES_MAX, Listener, PeerPort, serve_peers,
    shutdown_channel,
};
use bursar_wire::control::Notice;
use tokio::sync::watch;

use crate::{
    directory::{DataDirectory, Server},
    membership::Membership,
    program,
    projection_file::{PROJECTION_BYTES_MAX, ProjectionFileError},
    store_points::{Owner, StorePoints},
    world::{Abandoned, Ports, Tasks, World},
};

use self::{
    answers::{Answers, Entrance, Lanes},
    conversation::Conversation,
    follow::Follower,
    heartbeat::Pulse,
    search::Search,
    sights::Sights,
};
pub(crate) use self::{fullness::Fullness, known::Known, notices::Outbox};

/// A frame holds a whole projection, and a little more.
const FOLLOW_FRAME_BYTES_MAX: usize = PROJECTION_BYTES_MAX + 64 * 1024;
/// The largest question that others ask, in bytes.
const QUESTION_BYTES_MAX: usize = 1024 * 1024;

/// A server of a cluster.
pub struct Member {
    /// Its data directory, which the caller holds locked.
    pub directory: Arc<DataDirectory>,
    /// Who it is.
    pub server: Arc<Server>,
    /// What makes it a member.
    pub membership: Membership,
    /// The world.
    pub world: World,
    /// How it is secured what others say to it.
    pub acceptor: Arc<dyn Acceptor>,
    /// How it is secured what it says to others.
    pub connector: Arc<dyn Connector>,
}

/// Why a member runs no longer.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    /// It is no member any more.
    #[error(
        "the authority has removed this server, or given its place to another machine: nothing that it says is heard any more. \
         The archives stay on its disks. Stop this service; to use the machine again make a new server with \
         `bursar storage-server init` in an empty directory"
    )]
    Excluded,
    /// What it knew cannot be used.
    #[error(transparent)]
    Projection(#[from] ProjectionFileError),
    /// Something happened that this program does not know.
    #[error("the authority tells of something that this program does not understand: {0}")]
    Newer(DecodeError),
    /// Something that it does all the time ended.
    #[error(transparent)]
    Abandoned(#[from] Abandoned),
}

impl Member {
    /// Does all that a member does, until it cannot go on. Dropping the future ends it, whenever: what rests on the disk is whole.
    pub async fn run(self, ports: Ports) -> MemberError {
        let Self { directory, server, membership, world, .. } = &self;
        let file = Arc::new(directory.projection_file(server));
        let begun = match Known::load(&world.blocking, &file, membership.server).await {
            Ok(known) => known,
            Err(refused) => return refused,
        };
        let known = watch::Sender::new(begun);
        let outbox = Arc::new(Outbox::new(Arc::clone(&world.entropy)));
        let fullness = Arc::new(Fullness::default());
        let sights = Arc::new(Sights::default());
        outbox.say(Notice::Program(program::facts()));

        let mut tasks = Tasks::new();
        // The trigger lives as long as the ports are served; they end with the tasks.
        let (_trigger, shutdown) = shutdown_channel();
        let answers = Arc::new(Answers::new(world, self.owner(), known.subscribe()));
        for (what, listener, lanes) in [
            ("serves its control port", ports.control, Lanes::OfControl(answers)),
            ("serves its peer port", ports.peer, Lanes::OfProbes),
            ("serves its transfer port", ports.transfer, Lanes::OfProbes),
        ] {
            let serving = self.serve(listener, lanes, shutdown.clone());
            tasks.begin(what, async move {
                serving.await;
                MemberError::from(Abandoned { what, detail: "it ended by itself".to_owned() })
            });
        }
        let store_points = StorePoints {
            owner: self.owner(),
            world: world.clone(),
            known: known.subscribe(),
            made: Arc::new(directory.made(server, known.subscribe())),
            outbox: Arc::clone(&outbox),
            fullness: Arc::clone(&fullness),
        };
        tasks.begin("keeps its store points", async move { never(store_points.keep().await) });
        let probes =
            probes::Probes { dialer: self.dialer(QUESTION_BYTES_MAX), known: known.subscribe(), sights: Arc::clone(&sights) };
        tasks.begin("looks at the others' ports", async move { never(probes.look().await) });
        let finds = watch::Sender::new(0);
        let conversation = Conversation {
            search: self.search(FRAME_BYTES_MAX, known.subscribe(), finds.clone()),
            outbox: Arc::clone(&outbox),
            pulse: Pulse::new(Arc::clone(&world.clock), known.subscribe(), fullness, sights),
        };
        tasks.begin("speaks with the authority", conversation.hold());
        let follower = Follower {
            me: membership.server,
            search: self.search(FOLLOW_FRAME_BYTES_MAX, known.subscribe(), finds),
            file,
            blocking: Arc::clone(&world.blocking),
            known,
            outbox,
            trusting: true,
            said: None,
        };
        tasks.begin("follows the authority", follower.follow());

        let (_, ended) = tasks.first().await;
        ended.unwrap_or_else(MemberError::from)
    }

    fn owner(&self) -> Owner {
        Owner { cluster: self.membership.cluster, server: self.membership.server }
    }

    fn serve(
        &self,
        listener: Box<dyn Listener>,
        lanes: Lanes,
        shutdown: bursar_net::Shutdown,
    ) -> impl Future<Output = ()> + Send + use<> {
        let port = PeerPort {
            me: self.membership.me.clone(),
            admission: Arc::new(Entrance::of(&lanes)),
            lanes: Arc::new(lanes),
            frame_bytes_max: QUESTION_BYTES_MAX,
        };
        let acceptor = Arc::clone(&self.acceptor);
        serve_peers(listener, acceptor, ConnectionLimits::default(), ConnectionMeter::new(), port, shutdown)
    }

    fn dialer(&self, frame_bytes_max: usize) -> Dialer {
        Dialer {
            network: Arc::clone(&self.world.network),
            connector: Arc::clone(&self.connector),
            me: self.membership.me.clone(),
            frame_bytes_max,
        }
    }

    fn search(&self, frame_bytes_max: usize, known: watch::Receiver<Known>, finds: watch::Sender<u64>) -> Search {
        let dialer = self.dialer(frame_bytes_max);
        Search::new(dialer, self.membership.authority.clone(), known, Arc::clone(&self.world.entropy), finds)
    }
}

fn never(ended: Infallible) -> MemberError {
    match ended {}
}
