//! Running an authority node: `bursar authority run`.

use std::{convert::Infallible, io, path::Path, sync::Arc, time::Duration};

use bursar_api::{Api, ServeLimits};
use bursar_domain::{Rejection, Submission};
use bursar_fleet::{Fleet, FleetConfig, FleetParts, Issuer, Observations};
use bursar_net::{
    Acceptor, Address, Blocking, CertificateError, ClusterKey, ConnectionLimits, ConnectionMeter, Credentials, Dialer, Entropy,
    Listener, Network, PeerPort, Shutdown, SystemClock, SystemEntropy, TcpNetwork, ThreadBlocking, TlsAcceptor, TlsConnector,
    TlsPinnedConnector, WallClock, serve_peers, shutdown_channel,
};
use bursar_raft::{Node, NodeConfig, Parts, Relayed, StartError, StopReason};
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep},
};
use tracing::{debug, error, info, warn};

use super::{
    FRAME_BYTES_MAX, NODE_LIFETIME, SEALED_CA_KEY,
    admission::{AdmissionDesk, Lanes},
    config::{Advertised, Config},
    directory::{DataDirectory, DirectoryError},
    found::facts,
    identity::Identity,
    storage_servers::StorageServers,
    stores::{StoreError, Stores},
};
use crate::signals::{Signals, leave_session};

/// How much of the Raft log's tail is kept in memory for followers, in bytes.
const LOG_CACHE_BYTES: u64 = 64 << 20;
/// How many connections the control port holds: each storage server has two, and many may come from behind one address.
const CONTROL_CONNECTIONS_MAX: usize = 8_192;
const CONTROL_CONNECTIONS_PER_ADDRESS_MAX: usize = 2_048;
/// How long the node may take to end once it is asked to.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one attempt at committing the founding command may take.
const FOUNDING_TIMEOUT: Duration = Duration::from_secs(10);
const FOUNDING_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Why a node does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its data directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Its stores.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its certificates.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Its ports.
    #[error("cannot listen on {address}: {source}. {} in {config}", what_to_choose(source.kind()))]
    Listen {
        /// Where.
        address: Address,
        /// What the operating system says.
        source: io::Error,
        /// Where it is configured.
        config: String,
    },
    /// Raft does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// One of its ports is served no more.
    #[error("the port for {port} is served no more: {detail}. Report this, and start the node again")]
    PortAbandoned {
        /// For whom it was.
        port: &'static str,
        /// What ended it.
        detail: String,
    },
    /// It stopped while it ran.
    #[error("the node stopped: {0}")]
    Stopped(StopReason),
    /// The cluster's founding command was refused.
    #[error("the cluster could not be founded: {0}")]
    Founding(Rejection),
    /// The operating system.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What it said.
        source: io::Error,
    },
}

/// What to do about an address on which a node cannot listen, up to the file in which that is done.
fn what_to_choose(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => "Stop what uses the port, or choose another one",
        io::ErrorKind::AddrNotAvailable => "It is no address of this machine: choose one that is, or 0.0.0.0,",
        io::ErrorKind::PermissionDenied => "Give this user the right to listen on a port below 1024, or choose a higher one",
        _ => "Choose another address",
    }
}

/// Runs the node of a data directory until it is asked to end, or cannot go on. Every way in which it cannot go on is an
/// error with a remedy: a node never runs half.
pub async fn run(root: &Path, own_session: bool) -> Result<(), RunError> {
    if own_session {
        leave_session().map_err(|source| RunError::System { action: "leave the session", source })?;
    }
    let mut signals = Signals::new().map_err(|source| RunError::System { action: "listen for signals", source })?;
    let directory = DataDirectory::open(root)?;
    let identity = directory.identity()?;
    // An interruption may have left it behind, and with it a second copy of the key.
    directory.forget_joining()?;
    let config = directory.config()?;
    let credentials = directory.credentials()?;
    let cluster_key = directory.cluster_key()?;
    let founding = directory.founding()?;
    let world = World::real();

    // The ports first: a node that cannot serve takes part in nothing.
    let peer_listener = world.listen(&config.listen.peer, &directory).await?;
    let api_listener = world.listen(&config.listen.api, &directory).await?;
    let control_listener = world.listen(&config.listen.control, &directory).await?;

    info!(node = %identity.node, store = %identity.store, "opening the ledger");
    let dialer = world.dialer(&identity, &credentials)?;
    let observations = Arc::new(Observations::new(fleet_config(&config), Arc::clone(&world.clock)));
    let parts = world.open(&directory, &identity, &dialer, &observations)?;
    directory.check_against(&parts.recovered.state)?;
    if let Err(error) = directory.check_kept_for_people(&parts.recovered.state, founding.as_ref()) {
        warn!(%error, "the node runs without it");
    }
    let introduced = directory.members(&parts.recovered.state)?.into_peers();
    let node = Node::start(NodeConfig { introduced, ..node_config(&identity, &config) }, parts).await?;
    let fleet = Fleet::new(node.clone(), fleet_config(&config), world.fleet_parts(dialer, observations, cluster_key.clone()));

    let (trigger, shutdown) = shutdown_channel();
    let mut ports = JoinSet::new();
    let peer_port = PeerPort {
        me: identity.local_node(),
        admission: node.admission(),
        lanes: Arc::new(Lanes {
            raft: node.lanes(),
            desk: AdmissionDesk {
                node: node.clone(),
                cluster_key,
                clock: Arc::clone(&world.clock),
                entropy: Arc::clone(&world.entropy),
            },
        }),
        frame_bytes_max: FRAME_BYTES_MAX,
    };
    let control_port = PeerPort {
        me: identity.local_node(),
        admission: fleet.admission(),
        lanes: fleet.lanes(),
        frame_bytes_max: FRAME_BYTES_MAX,
    };
    let control_limits = ConnectionLimits {
        max_connections: CONTROL_CONNECTIONS_MAX,
        max_per_address: CONTROL_CONNECTIONS_PER_ADDRESS_MAX,
        ..ConnectionLimits::default()
    };
    let peers = world.serve_members(peer_listener, &credentials, ConnectionLimits::default(), peer_port, shutdown.clone())?;
    let members = world.serve_members(control_listener, &credentials, control_limits, control_port, shutdown.clone())?;
    let servers = StorageServers { fleet: fleet.clone(), clock: Arc::clone(&world.clock) };
    ports.spawn(named("other nodes", peers));
    ports.spawn(named("storage servers", members));
    ports.spawn(named("people", world.serve_people(api_listener, &config, &credentials, node.clone(), servers, shutdown)?));
    let Advertised { peer, api, control } = &config.advertised;
    info!(node = %identity.node, %peer, %api, %control, "the node runs");

    let ended = tokio::select! {
        signal = signals.received() => {
            info!(signal, "asked to end");
            Ok(())
        }
        reason = node.stopped() => Err(RunError::Stopped(noted(&directory, reason))),
        Err(refused) = settle_in(&directory, founding, &node) => Err(refused),
        never = fleet.look_after() => match never {},
        abandoned = abandoned(&mut ports) => Err(abandoned),
    };
    trigger.request();
    if tokio::time::timeout(DRAIN_TIMEOUT, async { while ports.join_next().await.is_some() {} }).await.is_err() {
        warn!("connections were still open at the end");
    }
    node.shutdown().await;
    if let Err(reason) = &ended {
        error!(%reason, "the node ends");
    }
    ended
}

/// Writes down what the doctor of a stopped node could not know otherwise.
fn noted(directory: &DataDirectory, reason: StopReason) -> StopReason {
    if reason == StopReason::Removed
        && let Err(error) = directory.note_removed()
    {
        warn!(%error, "it could not be written down that the cluster has removed this node");
    }
    reason
}

/// Serves a port, and says in the end for whom it was and how it ended.
async fn named(port: &'static str, serving: impl Future<Output = ()> + Send + 'static) -> (&'static str, Result<(), JoinError>) {
    (port, tokio::spawn(serving).await)
}

/// Returns when the first of the ports is served no more, although nobody has asked for it.
async fn abandoned(ports: &mut JoinSet<(&'static str, Result<(), JoinError>)>) -> RunError {
    let ended = ports.join_next().await.expect("ports are served from the start");
    let (port, ended) = ended.expect("whoever waits for a port neither panics nor is aborted");
    RunError::PortAbandoned { port, detail: ended.map_or_else(|error| error.to_string(), |()| "it ended by itself".to_owned()) }
}

/// The parts of the real world that a node is made of.
struct World {
    clock: Arc<dyn WallClock>,
    entropy: Arc<dyn Entropy>,
    network: Arc<dyn Network>,
    blocking: Arc<dyn Blocking>,
}

impl World {
    fn real() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy::new()),
            network: Arc::new(TcpNetwork),
            blocking: Arc::new(ThreadBlocking),
        }
    }

    async fn listen(&self, address: &Address, directory: &DataDirectory) -> Result<Box<dyn Listener>, RunError> {
        let refused =
            |source| RunError::Listen { address: address.clone(), source, config: directory.config_path().display().to_string() };
        self.network.bind(address).await.map_err(refused)
    }

    /// Calls the other members of the cluster, whatever they are.
    fn dialer(&self, identity: &Identity, credentials: &Credentials) -> Result<Arc<Dialer>, RunError> {
        Ok(Arc::new(Dialer {
            network: Arc::clone(&self.network),
            connector: Arc::new(TlsConnector::new(credentials, Arc::clone(&self.clock))?),
            me: identity.local_node(),
            frame_bytes_max: FRAME_BYTES_MAX,
        }))
    }

    /// What the storage servers are looked after with.
    fn fleet_parts(&self, dialer: Arc<Dialer>, observations: Arc<Observations>, cluster_key: ClusterKey) -> FleetParts {
        FleetParts {
            clock: Arc::clone(&self.clock),
            dialer,
            pinned: Arc::new(TlsPinnedConnector::new(Arc::clone(&self.clock))),
            issuer: Issuer {
                cluster_key,
                sealed_for: SEALED_CA_KEY,
                lifetime: NODE_LIFETIME,
                clock: Arc::clone(&self.clock),
                entropy: Arc::clone(&self.entropy),
            },
            observations,
        }
    }

    /// Opens the stores, and puts them together with the rest of the world.
    fn open(
        &self,
        directory: &DataDirectory,
        identity: &Identity,
        dialer: &Arc<Dialer>,
        observations: &Arc<Observations>,
    ) -> Result<Parts, RunError> {
        let worker = self.blocking.worker("raft-log");
        let Stores { log, ledger, recovered } = Stores::open(directory, identity, worker, LOG_CACHE_BYTES)?;
        Ok(Parts {
            wall_clock: Arc::clone(&self.clock),
            blocking: Arc::clone(&self.blocking),
            log,
            ledger,
            recovered,
            dialer: Arc::clone(dialer),
            relayed: Arc::clone(observations) as Arc<dyn Relayed>,
        })
    }

    /// Serves a port on which members of the cluster call.
    fn serve_members(
        &self,
        listener: Box<dyn Listener>,
        credentials: &Credentials,
        limits: ConnectionLimits,
        port: PeerPort,
        shutdown: Shutdown,
    ) -> Result<impl Future<Output = ()> + Send + use<>, RunError> {
        let acceptor = Arc::new(TlsAcceptor::for_peers(credentials, Arc::clone(&self.clock))?);
        Ok(serve_peers(listener, acceptor, limits, ConnectionMeter::new(), port, shutdown))
    }

    fn serve_people(
        &self,
        listener: Box<dyn Listener>,
        config: &Config,
        credentials: &Credentials,
        node: Node,
        servers: StorageServers,
        shutdown: Shutdown,
    ) -> Result<impl Future<Output = ()> + Send + use<>, RunError> {
        let tls: Option<Arc<dyn Acceptor>> = if config.plain_http_on_loopback {
            None
        } else {
            Some(Arc::new(TlsAcceptor::for_https(credentials, Arc::clone(&self.clock))?))
        };
        let api = Api {
            authority: Arc::new(node),
            fleet: Arc::new(servers),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            authority_fingerprint: credentials.authority_fingerprint(),
            shutdown: shutdown.clone(),
            config: bursar_api::Config::default(),
        };
        let router = bursar_api::router(api);
        Ok(bursar_api::serve(listener, tls, ServeLimits::default(), ConnectionMeter::new(), router, shutdown))
    }
}

fn node_config(identity: &Identity, config: &Config) -> NodeConfig {
    let (timing, checkpoints) = (config.raft, config.checkpoints);
    NodeConfig {
        heartbeat: Duration::from_millis(timing.heartbeat_ms),
        election_timeout: Duration::from_millis(timing.election_ms_min)..Duration::from_millis(timing.election_ms_max),
        checkpoint_every: checkpoints.every,
        log_kept: checkpoints.log_kept,
        ..NodeConfig::new(identity.node, facts(identity.store, config))
    }
}

fn fleet_config(config: &Config) -> FleetConfig {
    let detection_window = Duration::from_millis(config.fleet.detection_window_ms);
    FleetConfig { detection_window, ..FleetConfig::default() }
}

/// What the first node has to do once. Returns only where the cluster cannot be founded.
async fn settle_in(directory: &DataDirectory, founding: Option<Submission>, node: &Node) -> Result<Infallible, RunError> {
    if let Some(founding) = founding {
        found(directory, founding, node).await?;
    }
    forget_setup_secret(directory, node).await;
    std::future::pending().await
}

/// Commits the command that founds the cluster, which is not known to be done.
async fn found(directory: &DataDirectory, submission: Submission, node: &Node) -> Result<(), RunError> {
    match node.found().await {
        // An earlier start came so far, and no further.
        Ok(()) | Err(StartError::NotEmpty) => {}
        Err(error) => return Err(error.into()),
    }
    loop {
        match node.submit(submission.clone(), Instant::now() + FOUNDING_TIMEOUT).await {
            Ok(decided) => match decided.outcome {
                Ok(_) | Err(Rejection::AlreadyFounded) => break,
                Err(rejection) => return Err(RunError::Founding(rejection)),
            },
            // Whatever it is, it passes, or the node stops and says why.
            Err(error) => {
                debug!(%error, "the cluster is not founded yet");
                sleep(FOUNDING_RETRY_DELAY).await;
            }
        }
    }
    directory.forget_founding()?;
    info!("the cluster is founded");
    Ok(())
}

/// Removes the setup secret once there is a first administrator, whichever node made it and whenever: it is of no use any more,
/// and need not lie about.
async fn forget_setup_secret(directory: &DataDirectory, node: &Node) {
    let was_claimed = || node.latest().cluster().is_some_and(|cluster| cluster.setup_secret.is_none());
    let mut revisions = node.revisions();
    if revisions.wait_for(|_| was_claimed()).await.is_err() {
        // The node has stopped; the next start looks again.
        return;
    }
    match directory.forget_setup_secret() {
        Ok(true) => info!("the setup secret was used, and its file is removed"),
        Ok(false) => {}
        Err(error) => warn!(%error, "the setup secret was used, and its file could not be removed; remove it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_served_no_more_ends_the_node() {
        let mut ports = JoinSet::new();
        ports.spawn(named("other nodes", std::future::pending()));
        ports.spawn(named("people", async { panic!("out of luck") }));
        let reason = abandoned(&mut ports).await.to_string();
        assert!(reason.starts_with("the port for people is served no more: "), "{reason}");
        assert!(reason.contains("out of luck"), "{reason}");
        ports.spawn(named("people", async {}));
        let reason = abandoned(&mut ports).await.to_string();
        assert!(reason.starts_with("the port for people is served no more: it ended by itself."), "{reason}");
    }
}
