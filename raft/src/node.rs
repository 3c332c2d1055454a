//! The handle on a node of the authority: start it, watch it, and let other nodes ask of it. What is asked of the cluster
//! through it is in [`requests`].

mod requests;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bursar_domain::{AuthorityNodeId, Revision, State};
use bursar_net::{Admission, Blocking, LaneHandler, TaskSet};
use bursar_storage::{
    StorageError,
    ledger::{Ledger, PastError, StoredRecord},
    log::{Member, RaftLog},
};
use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use openraft::error::{InitializeError, RaftError};
use tokio::{sync::watch, time::Instant};

use crate::{
    admission::MemberAdmission,
    bounds::Bounds,
    clock_duty::ClockDuty,
    config::{NodeConfig, Parts},
    counters::{Counters, Meter},
    duty,
    error::StartError,
    forward::{ForwardServer, Forwarder},
    gatherer::Gatherer,
    lanes::Lanes,
    leadership::{Leader, Leadership},
    log_store::LogStore,
    membership::MembershipDuty,
    network::Network,
    peers::Peers,
    proposer::Proposer,
    published::Published,
    read_index::ReadIndex,
    readiness::{Found, ReadinessCheck, Timing},
    resting, retention,
    snapshot_receiver::{SnapshotReceiver, Turns},
    state_machine::StateMachine,
    status::{NodeStatus, node_status},
    stop::{StopReason, StopSignal},
    tasks,
    transfer::HandOver,
    types::Raft,
};

pub use requests::Consistency;

/// A running node. Clones are handles on the same one; it runs until [`Node::shutdown`] or [`Node::give_up`], whether or not any
/// are left.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    config: NodeConfig,
    raft: Raft,
    leadership: Leadership,
    published: Arc<Published>,
    log: RaftLog,
    ledger: Ledger,
    blocking: Arc<dyn Blocking>,
    /// What came in here and waits, here or at the leader, to be decided.
    door: Bounds,
    proposer: Arc<Proposer>,
    forwarder: Forwarder,
    /// What others pass on to this node; its own messages too, while it leads.
    forward: Arc<ForwardServer>,
    reads: Arc<ReadIndex>,
    hand_over: Arc<HandOver>,
    lanes: Arc<Lanes>,
    meter: Arc<Meter>,
    stop: StopSignal,
    readiness: watch::Receiver<Found>,
    tasks: Mutex<TaskSet<()>>,
}

impl Node {
    /// Starts the consensus core on what rests. Committed entries that were not applied yet are, before this returns.
    ///
    /// # Errors
    /// A configuration that cannot work; storage that fails or is damaged; a level that this program does not know.
    pub async fn start(config: NodeConfig, parts: Parts) -> Result<Node, StartError> {
        let Parts { wall_clock, blocking, log, ledger, recovered, dialer, relayed } = parts;
        let (id, stop) = (config.id.0, StopSignal::default());
        StopReason::check_level(recovered.state.level(), config.supported).map_err(StartError::Outdated)?;
        let core_config = Arc::new(config.openraft(dialer.me.cluster.to_string(), dialer.frame_bytes_max)?);
        let vote = log.vote().unwrap_or_default();
        bursar_net::point!("vote.found", vote.term, vote.leader, u64::from(vote.committed));
        resting::cover_what_the_log_lost(&log, &ledger, &recovered, &blocking).await?;
        let state_machine = StateMachine::new(ledger.clone(), recovered, config.supported, Arc::clone(&blocking), stop.clone());
        let (published, meter) = (state_machine.published(), state_machine.meter());
        let peers = Peers::new(dialer, Arc::clone(&published), Arc::clone(&meter), stop.clone());
        for (member, described) in &config.introduced {
            peers.learn(member.0, described);
        }
        let network = Network {
            peers: Arc::clone(&peers),
            blocking: Arc::clone(&blocking),
            meter: Arc::clone(&meter),
            stop: stop.clone(),
            append_timeout: config.append_timeout(),
        };
        #[cfg(feature = "simulation")]
        let network = crate::fated::FatedNetwork(network);
        let log_store = LogStore::new(id, log.clone(), stop.clone());
        let started = Raft::new(id, core_config, network, log_store, state_machine).await;
        let raft = started.map_err(|fatal| match stop.reason() {
            Some(reason @ StopReason::Outdated { .. }) => StartError::Outdated(reason),
            Some(reason) => StartError::Core(reason.to_string()),
            None => StartError::Core(fatal.to_string()),
        })?;

        let leadership = Leadership::new(id, &raft, config.silence_max());
        let (proposer, gatherer) =
            Proposer::new(raft.clone(), Arc::clone(&wall_clock), Arc::clone(&published), Arc::clone(&meter), config.limits);
        let proposer = Arc::new(proposer);
        let reads = Arc::new(ReadIndex::new(&config, &raft, &leadership, &peers, &meter));
        let hand_over =
            Arc::new(HandOver { id, raft: raft.clone(), leadership: leadership.clone(), silence: config.silence_max() });
        let forward = Arc::new(ForwardServer {
            proposer: Arc::clone(&proposer),
            reads: Arc::clone(&reads),
            hand_over: Arc::clone(&hand_over),
            leadership: leadership.clone(),
            wall_clock: Arc::clone(&wall_clock),
            relayed,
            meter: Arc::clone(&meter),
        });
        let lanes = Arc::new(Lanes {
            raft: raft.clone(),
            forward: Arc::clone(&forward),
            snapshots: SnapshotReceiver {
                raft: raft.clone(),
                ledger: ledger.clone(),
                blocking: Arc::clone(&blocking),
                meter: Arc::clone(&meter),
                stop: stop.clone(),
                turns: Turns::default(),
            },
            published: Arc::clone(&published),
            leadership: leadership.clone(),
            meter: Arc::clone(&meter),
        });
        let (found, readiness) = watch::channel(Found::nothing());
        let forwarder = Forwarder { peers, meter: Arc::clone(&meter) };
        let clock = ClockDuty {
            id,
            leadership: leadership.clone(),
            forwarder: forwarder.clone(),
            hand_over: Arc::clone(&hand_over),
            wall_clock,
            heartbeat: config.heartbeat,
            far: Mutex::default(),
        };
        let node = Node(Arc::new(Inner {
            door: Bounds::new(config.limits, Arc::clone(&meter)),
            forwarder,
            forward,
            config,
            raft,
            leadership,
            published,
            log,
            ledger,
            blocking,
            proposer,
            reads,
            hand_over,
            lanes,
            meter,
            stop,
            readiness,
            tasks: Mutex::default(),
        }));
        node.start_tasks(found, gatherer, clock);
        Ok(node)
    }

    fn start_tasks(&self, found: watch::Sender<Found>, gatherer: Gatherer, clock: ClockDuty) {
        let inner = &*self.0;
        let Inner { config, raft, leadership, published, log, ledger, meter, stop, .. } = inner;
        let membership = MembershipDuty {
            raft: raft.clone(),
            leadership: leadership.clone(),
            proposer: Arc::clone(&inner.proposer),
            hand_over: Arc::clone(&inner.hand_over),
            reads: Arc::clone(&inner.reads),
            published: Arc::clone(published),
            silence: config.silence_max(),
        };
        let readiness = ReadinessCheck {
            reads: Arc::clone(&inner.reads),
            published: Arc::clone(published),
            timing: Timing::of(config),
            found,
        };
        let mut tasks = inner.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut spawn = |task, work: BoxFuture<'static, ()>| {
            tasks.spawn(tasks::watched(task, stop.clone(), work));
        };
        spawn("finding out whether this node can serve", Box::pin(readiness.run()));
        spawn("gathering proposals", Box::pin(gatherer.run()));
        spawn("watching the consensus core", Box::pin(tasks::watch_core(leadership.clone(), stop.clone())));
        spawn("watching the log", Box::pin(tasks::watch_log(log.clone(), stop.clone())));
        spawn("counting elections", Box::pin(tasks::count_elections(leadership.clone(), Arc::clone(meter))));
        let distance = tasks::CheckpointDistance { revisions: config.checkpoint_every, bytes: config.checkpoint_bytes };
        let checkpoints = tasks::write_checkpoints(raft.clone(), ledger.clone(), Arc::clone(published), distance);
        spawn("writing checkpoints", Box::pin(checkpoints));
        let purging = retention::purge(raft.clone(), config.log_kept);
        spawn("purging the log", Box::pin(purging));
        spawn("noticing a removal", Box::pin(tasks::notice_removal(config.id, Arc::clone(published), stop.clone())));
        spawn("announcing this node", Box::pin(tasks::announce(self.clone(), Arc::clone(published), config.facts.clone())));
        spawn("asking whether this node belongs", Box::pin(tasks::ask_whether_member(self.clone())));
        spawn("the duties", Box::pin(duty::run(membership, clock, leadership.clone(), Arc::clone(published))));
    }

    /// Makes a cluster of this node alone. Its first entry to follow is for the caller to submit: the one that founds the
    /// cluster in the ledger.
    ///
    /// # Errors
    /// A log that is not empty: a cluster is founded once.
    pub async fn found(&self) -> Result<(), StartError> {
        let Inner { config, raft, .. } = &*self.0;
        let facts = &config.facts;
        let member =
            Member { store_id: facts.store, peer_address: facts.peer_address.clone(), api_address: facts.api_address.clone() };
        let members = std::collections::BTreeMap::from([(config.id.0, member)]);
        raft.initialize(members).await.map_err(|error| match error {
            RaftError::APIError(InitializeError::NotAllowed(_)) => StartError::NotEmpty,
            error => StartError::Core(error.to_string()),
        })
    }

    /// Asks all other nodes something of no consequence: one that refuses this node for good stops it.
    pub(crate) async fn greet_others(&self, deadline: Instant) {
        // All at once: one that does not answer must not keep the others from it.
        join_all(self.others().into_iter().map(|id| self.0.forwarder.greet(id, deadline))).await;
    }

    /// The newest state of this node, at once, however old: also while it still recovers.
    pub fn latest(&self) -> Arc<State> {
        self.0.published.state()
    }

    /// Tells of each new revision of this node's state; it never goes back.
    pub fn revisions(&self) -> watch::Receiver<Revision> {
        self.0.published.revisions()
    }

    /// Records of the journal behind `after` up to `upto`, in order, about `bytes_max` bytes of them and at least one where
    /// there is one. Read where blocking is allowed.
    ///
    /// # Errors
    /// Storage that fails or is damaged; it stops the node.
    pub async fn records(&self, after: Revision, upto: Revision, bytes_max: usize) -> Result<Vec<StoredRecord>, StorageError> {
        let Inner { blocking, ledger, stop, .. } = &*self.0;
        let ledger = ledger.clone();
        match blocking.run(move || ledger.records(after, upto, bytes_max)).await {
            Ok(read) => read.inspect_err(|error| stop.stop(StopReason::Storage(error.clone()))),
            Err(lost) => Err(StorageError::io("read the journal", lost)),
        }
    }

    /// The state as it was at a revision. Made where blocking is allowed; see [`Ledger::state_at`].
    ///
    /// # Errors
    /// A revision below the floor of this node's journal, or beyond its head; storage that fails or is damaged, which stops the
    /// node.
    pub async fn state_at(&self, revision: Revision) -> Result<State, PastError> {
        let Inner { blocking, ledger, stop, .. } = &*self.0;
        let ledger = ledger.clone();
        let made = blocking.run(move || ledger.state_at(revision)).await;
        let made = made.map_err(|lost| StorageError::io("make a version of the past", lost))?;
        made.inspect_err(|error| {
            if let PastError::Storage(error) = error {
                stop.stop(StopReason::Storage(error.clone()));
            }
        })
    }

    /// Who leads, as far as this node knows.
    pub fn leader(&self) -> Option<AuthorityNodeId> {
        match self.0.leadership.leader() {
            Leader::Own => Some(self.id()),
            Leader::Other(leader) => Some(AuthorityNodeId(leader)),
            Leader::Unknown => None,
        }
    }

    /// Returns once this node leads, with the number of its term; never, where the core has stopped.
    pub async fn begins_to_lead(&self) -> u64 {
        self.0.leadership.begins().await
    }

    /// Returns once this node does not lead, or leads in another term than `term`; never, where the core has stopped.
    pub async fn ceases_to_lead(&self, term: u64) {
        self.0.leadership.ends(term).await;
    }

    /// The journal, to read from.
    pub fn journal(&self) -> &Ledger {
        &self.0.ledger
    }

    /// Its number.
    pub fn id(&self) -> AuthorityNodeId {
        self.0.config.id
    }

    /// What this node says of itself and, as the leader, of the others.
    pub fn status(&self) -> NodeStatus {
        let Inner { leadership, published, readiness, log, .. } = &*self.0;
        node_status(&leadership.metrics(), leadership, published, *readiness.borrow(), log.counters())
    }

    /// The status, once `wanted` takes it; `None` where that is not by `deadline`, or the core has stopped.
    pub async fn status_when(&self, deadline: Instant, mut wanted: impl FnMut(&NodeStatus) -> bool) -> Option<NodeStatus> {
        let Inner { leadership, published, readiness, log, .. } = &*self.0;
        let mut changes = readiness.clone();
        loop {
            let found = *changes.borrow_and_update();
            let taken = leadership.until(deadline, |metrics| {
                let status = node_status(metrics, leadership, published, found, log.counters());
                wanted(&status).then_some(status)
            });
            tokio::select! {
                taken = taken => return taken,
                Ok(()) = changes.changed() => {}
            }
        }
    }

    /// What this node has counted since it was started.
    pub fn counters(&self) -> Counters {
        self.0.meter.read()
    }

    /// Returns when this node can serve no more, and why. The process must then end: what it holds in memory is no longer
    /// what it should be.
    pub async fn stopped(&self) -> StopReason {
        self.0.stop.stopped().await
    }

    /// Ends the node. What was acknowledged rests; what is under way has an unknown fate.
    pub async fn shutdown(&self) {
        self.0.stop.stop(StopReason::Shutdown);
        let mut tasks = std::mem::take(&mut *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
        if let Err(error) = self.0.raft.shutdown().await {
            tracing::warn!(%error, "the consensus core did not end in order");
        }
    }

    /// Ends the node without waiting, for whoever runs it and is dropped: its tasks are called off on return, and its core ends as
    /// soon as it is its turn.
    pub fn give_up(&self) {
        self.0.stop.stop(StopReason::Shutdown);
        drop(std::mem::take(&mut *self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner)));
        // The first step asks the core to end; what follows would wait for it.
        let _ = self.0.raft.shutdown().now_or_never();
    }

    /// What other nodes may ask, for the peer port.
    pub fn lanes(&self) -> Arc<dyn LaneHandler> {
        Arc::clone(&self.0.lanes) as Arc<dyn LaneHandler>
    }

    /// Who may ask it, for the peer port.
    pub fn admission(&self) -> Arc<dyn Admission> {
        Arc::new(MemberAdmission { published: Arc::clone(&self.0.published) })
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", &self.id()).finish_non_exhaustive()
    }
}
