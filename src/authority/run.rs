//! Running an authority node: `bursar authority run`.

use std::{io, path::Path, sync::Arc, time::Duration};

use bursar_api::{Api, ServeLimits};
use bursar_domain::Rejection;
use bursar_fleet::{Fleet, FleetConfig, FleetParts, Issuer, Observations};
use bursar_net::{
    Acceptor, Address, CertificateError, ClusterKey, ConnectionLimits, ConnectionMeter, Credentials, Dialer, Listener, PeerPort,
    Shutdown, TaskSet, serve_peers, shutdown_channel,
};
use bursar_raft::{Node, NodeConfig, Parts, Relayed, StartError, StopReason};
use tokio::task::JoinError;
use tracing::{error, info, warn};

use super::{
    FRAME_BYTES_MAX, NODE_LIFETIME, SEALED_CA_KEY,
    admission::{AdmissionDesk, Lanes},
    config::{Advertised, Config},
    directory::{DataDirectory, DirectoryError},
    found::facts,
    identity::Identity,
    settling::settle_in,
    storage_servers::StorageServers,
    stores::{StoreError, Stores},
};
use crate::World;

/// How much of the Raft log's tail is kept in memory for followers, in bytes.
const LOG_CACHE_BYTES: u64 = 64 << 20;
/// How many connections the control port holds: each storage server has two, and many may come from behind one address.
const CONTROL_CONNECTIONS_MAX: usize = 8_192;
const CONTROL_CONNECTIONS_PER_ADDRESS_MAX: usize = 2_048;
/// How long the node may take to end once it is asked to.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

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

/// Runs the node of a data directory until `asked_to_end`, which says by what, or until it cannot go on. Every way in which it
/// cannot go on is an error with a remedy: a node never runs half.
///
/// Dropping the future ends all that the node does, as the end of its process would: what was acknowledged rests.
pub async fn run(world: &World, root: &Path, asked_to_end: impl Future<Output = &'static str>) -> Result<(), RunError> {
    run_watched(world, root, asked_to_end, |_node| ()).await
}

/// Like [`run`], and shows the node to `watch` once it has started: for whoever compares what nodes hold, as a simulation does.
pub async fn run_watched(
    world: &World,
    root: &Path,
    asked_to_end: impl Future<Output = &'static str>,
    watch: impl FnOnce(&Node),
) -> Result<(), RunError> {
    let directory = DataDirectory::open(world, root)?;
    let identity = directory.identity()?;
    // An interruption may have left it behind, and with it a second copy of the key.
    directory.forget_joining()?;
    let config = directory.config()?;
    let credentials = directory.credentials()?;
    let cluster_key = directory.cluster_key()?;
    let founding = directory.founding()?;

    // The ports first: a node that cannot serve takes part in nothing.
    let peer_listener = listen(world, &config.listen.peer, &directory).await?;
    let api_listener = listen(world, &config.listen.api, &directory).await?;
    let control_listener = listen(world, &config.listen.control, &directory).await?;

    info!(node = %identity.node, store = %identity.store, "opening the ledger");
    let dialer = dialer(world, &identity, &credentials)?;
    let observations = Arc::new(Observations::new(fleet_config(&config), Arc::clone(&world.clock)));
    let parts = open(world, &directory, &identity, &dialer, &observations)?;
    directory.check_against(&parts.recovered.state)?;
    if let Err(error) = directory.check_kept_for_people(&parts.recovered.state, founding.as_ref()) {
        warn!(%error, "the node runs without it");
    }
    let introduced = directory.members(&parts.recovered.state)?.into_peers();
    let node = Node::start(NodeConfig { introduced, ..node_config(&identity, &config) }, parts).await?;
    let _given_up_with_the_future = GivenUpOnDrop(node.clone());
    watch(&node);
    let fleet_parts = fleet_parts(world, dialer, observations, cluster_key.clone());
    let fleet = Fleet::new(node.clone(), fleet_config(&config), fleet_parts);

    let (trigger, shutdown) = shutdown_channel();
    let mut ports = TaskSet::new();
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
    let peers = serve_members(world, peer_listener, &credentials, ConnectionLimits::default(), peer_port, shutdown.clone())?;
    let members = serve_members(world, control_listener, &credentials, control_limits, control_port, shutdown.clone())?;
    let servers = StorageServers { node: identity.node, fleet: fleet.clone(), clock: Arc::clone(&world.clock) };
    ports.spawn(named("other nodes", peers));
    ports.spawn(named("storage servers", members));
    let people = serve_people(world, api_listener, &config, &credentials, node.clone(), servers, shutdown)?;
    ports.spawn(named("people", people));
    let Advertised { peer, api, control } = &config.advertised;
    info!(node = %identity.node, %peer, %api, %control, "the node runs");

    let ended = tokio::select! {
        by = asked_to_end => {
            info!(by, "asked to end");
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

/// Gives the node up with the future that runs it, wherever that stands.
struct GivenUpOnDrop(Node);

impl Drop for GivenUpOnDrop {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// Serves a port, and says in the end for whom it was and how it ended.
async fn named(port: &'static str, serving: impl Future<Output = ()> + Send + 'static) -> (&'static str, Result<(), JoinError>) {
    // The task inside is aborted with the one around it, which alone can tell its name when it panics.
    let mut inner = TaskSet::new();
    inner.spawn(serving);
    (port, inner.join_next().await.expect("it was spawned"))
}

/// Returns when the first of the ports is served no more, although nobody has asked for it.
async fn abandoned(ports: &mut TaskSet<(&'static str, Result<(), JoinError>)>) -> RunError {
    let ended = ports.join_next().await.expect("ports are served from the start");
    let (port, ended) = ended.expect("whoever waits for a port neither panics nor is aborted");
    RunError::PortAbandoned { port, detail: ended.map_or_else(|error| error.to_string(), |()| "it ended by itself".to_owned()) }
}

async fn listen(world: &World, address: &Address, directory: &DataDirectory) -> Result<Box<dyn Listener>, RunError> {
    let refused =
        |source| RunError::Listen { address: address.clone(), source, config: directory.config_path().display().to_string() };
    world.network.bind(address).await.map_err(refused)
}

/// Calls the other members of the cluster, whatever they are.
fn dialer(world: &World, identity: &Identity, credentials: &Credentials) -> Result<Arc<Dialer>, RunError> {
    Ok(Arc::new(Dialer {
        network: Arc::clone(&world.network),
        connector: world.transport.connect_to_members(credentials)?,
        me: identity.local_node(),
        frame_bytes_max: FRAME_BYTES_MAX,
    }))
}

/// What the storage servers are looked after with.
fn fleet_parts(world: &World, dialer: Arc<Dialer>, observations: Arc<Observations>, cluster_key: ClusterKey) -> FleetParts {
    FleetParts {
        clock: Arc::clone(&world.clock),
        dialer,
        pinned: world.transport.connect_to_pinned(),
        issuer: Issuer {
            cluster_key,
            sealed_for: SEALED_CA_KEY,
            lifetime: NODE_LIFETIME,
            clock: Arc::clone(&world.clock),
            entropy: Arc::clone(&world.entropy),
        },
        observations,
    }
}

/// Opens the stores, and puts them together with the rest of the world.
fn open(
    world: &World,
    directory: &DataDirectory,
    identity: &Identity,
    dialer: &Arc<Dialer>,
    observations: &Arc<Observations>,
) -> Result<Parts, RunError> {
    let worker = world.blocking.worker("raft-log");
    let Stores { log, ledger, recovered } = Stores::open(directory, identity, worker, LOG_CACHE_BYTES)?;
    Ok(Parts {
        wall_clock: Arc::clone(&world.clock),
        blocking: Arc::clone(&world.blocking),
        log,
        ledger,
        recovered,
        dialer: Arc::clone(dialer),
        relayed: Arc::clone(observations) as Arc<dyn Relayed>,
    })
}

/// Serves a port on which members of the cluster call.
fn serve_members(
    world: &World,
    listener: Box<dyn Listener>,
    credentials: &Credentials,
    limits: ConnectionLimits,
    port: PeerPort,
    shutdown: Shutdown,
) -> Result<impl Future<Output = ()> + Send + use<>, RunError> {
    let acceptor = world.transport.accept_members(credentials)?;
    Ok(serve_peers(listener, acceptor, limits, ConnectionMeter::new(), port, shutdown))
}

fn serve_people(
    world: &World,
    listener: Box<dyn Listener>,
    config: &Config,
    credentials: &Credentials,
    node: Node,
    servers: StorageServers,
    shutdown: Shutdown,
) -> Result<impl Future<Output = ()> + Send + use<>, RunError> {
    let acceptor: Option<Arc<dyn Acceptor>> =
        if config.plain_http_on_loopback { None } else { Some(world.transport.accept_people(credentials)?) };
    let api = Api {
        authority: Arc::new(node),
        fleet: Arc::new(servers),
        clock: Arc::clone(&world.clock),
        entropy: Arc::clone(&world.entropy),
        authority_fingerprint: credentials.authority_fingerprint(),
        shutdown: shutdown.clone(),
        config: bursar_api::Config::default(),
    };
    let router = bursar_api::router(api);
    Ok(bursar_api::serve(listener, acceptor, ServeLimits::default(), ConnectionMeter::new(), router, shutdown))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_served_no_more_ends_the_node() {
        let mut ports = TaskSet::new();
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
