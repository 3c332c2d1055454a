//! The authority nodes of a fleet: what each runs, and what is known of it.

use std::future::pending;
use std::sync::{Arc, Mutex};

use bursar::authority::{self, Config, DataDirectory, Founding, Joining, Listen, Members};
use bursar_domain::State;
use bursar_net::MasterLicenseKey;
use bursar_raft::Node;
use bursar_wire::invitation::Invitation;
use tokio::sync::watch;

use super::backup::Backup;
use super::{API_PORT, CONTROL_PORT, PATIENCE, PEER_PORT, Place, Settled, lock, program, told};
use crate::host::Program;
use crate::plan::{FaultKind, Loss};
use crate::secrets::Secrets;

/// An authority node. Where it loses what it keeps it goes on as another member of the cluster.
pub struct AuthorityNode {
    /// Where it runs.
    pub place: Place,
    /// What it is invited with; the first is not.
    pub(super) invitation: Arc<watch::Sender<Option<Invitation>>>,
    /// What ran there last, and how often anything did.
    pub(super) started: Arc<Mutex<Started>>,
}

/// What runs, and how often anything did.
pub(super) struct Started {
    /// The member that it was last.
    pub id: Option<u64>,
    /// What it does where it finds no directory.
    pub making: Making,
    /// It has lost what it keeps, and means nothing any more.
    pub lost: Option<Loss>,
    pub starts: u32,
    pub node: Option<Node>,
    /// As of the last start.
    pub backup: Option<Arc<Backup>>,
}

/// How a directory is made.
#[derive(Clone)]
pub(super) enum Making {
    /// The cluster is founded with it.
    Founds,
    /// With an invitation.
    Joins,
    /// From a backup, for somebody who is told whom else there is.
    Restores(Arc<Backup>, Members),
}

impl AuthorityNode {
    /// The number of the member that it is, or was last; 0 where it never was one.
    pub fn id(&self) -> u64 {
        lock(&self.started).id.unwrap_or(0)
    }

    /// The node, while its process runs and has not lost what it keeps, and the number of its start.
    pub fn running(&self) -> Option<(u32, Node)> {
        self.running_after(|lost| lost.is_none())
    }

    /// The node, while its process runs under its old number although its stores are others than it was admitted on, and the number
    /// of its start.
    pub fn second_life(&self) -> Option<(u32, Node)> {
        self.running_after(|lost| lost == Some(Loss::AllButKeys))
    }

    /// The node, while its process runs on although a bit of what it keeps has turned over, and the number of its start.
    pub fn rotten(&self) -> Option<(u32, Node)> {
        self.running_after(|lost| matches!(lost, Some(Loss::Bit { .. })))
    }

    fn running_after(&self, is_asked_for: impl Fn(Option<Loss>) -> bool) -> Option<(u32, Node)> {
        if !self.place.host.is_running(&self.place.process) {
            return None;
        }
        let Started { starts, node, lost, .. } = &*lock(&self.started);
        node.clone().filter(|_| is_asked_for(*lost)).map(|node| (*starts, node))
    }

    /// Whether it has lost what it keeps, and is not another member yet.
    pub fn has_lost_what_it_keeps(&self) -> bool {
        lock(&self.started).lost.is_some()
    }

    /// What a plan says to have it join late.
    pub(super) fn joining_late(&self) -> FaultKind {
        FaultKind::LateNode { process: self.place.process.clone() }
    }

    /// The key of its cluster's certificate authority, in PEM; none before it knows its cluster.
    pub(super) fn authority_key(&self, state: &State) -> Option<String> {
        lock(&self.started).backup.as_ref()?.authority_key(state)
    }

    /// Installs a node at its place, which founds the cluster or joins it.
    pub(super) fn install(
        place: Place,
        founds: bool,
        settled: Settled,
        license_key: &Arc<MasterLicenseKey>,
        secrets: &Secrets,
    ) -> Self {
        let making = if founds { Making::Founds } else { Making::Joins };
        let started = Started { id: None, making, lost: None, starts: 0, node: None, backup: None };
        let node = Self { place, invitation: Arc::default(), started: Arc::new(Mutex::new(started)) };
        let program = node.program(settled, license_key, secrets);
        node.place.host.install(&node.place.process, Some(settled.restart_after), program);
        node
    }

    /// What its process runs.
    fn program(&self, settled: Settled, license_key: &Arc<MasterLicenseKey>, secrets: &Secrets) -> Program {
        let place = &self.place;
        let config = Config {
            listen: Listen {
                peer: place.anywhere(PEER_PORT),
                api: place.anywhere(API_PORT),
                control: place.anywhere(CONTROL_PORT),
            },
            advertised: authority::Advertised {
                peer: place.address(PEER_PORT),
                api: place.address(API_PORT),
                control: place.address(CONTROL_PORT),
            },
            plain_http_on_loopback: false,
            raft: settled.raft,
            checkpoints: settled.checkpoints,
            fleet: settled.fleet,
        };
        let (tls, license_key, root) = (settled.tls, Arc::clone(license_key), place.root());
        let (process, secrets, disks) = (place.process.clone(), secrets.clone(), place.host.disks().clone());
        let (invitation, started) = (Arc::clone(&self.invitation), Arc::clone(&self.started));
        program(tls, move |world| {
            let (config, license_key, root) = (config.clone(), Arc::clone(&license_key), root.clone());
            let (process, secrets, disks) = (process.clone(), secrets.clone(), disks.clone());
            let (invitation, started) = (Arc::clone(&invitation), Arc::clone(&started));
            async move {
                // Whoever holds a node holds its stores, too.
                lock(&started).node = None;
                if !DataDirectory::exists(&world, &root).map_err(told)? {
                    let making = lock(&started).making.clone();
                    match making {
                        Making::Founds => {
                            let license_key = MasterLicenseKey::parse(license_key.as_str()).expect("it was one before");
                            let license_key = Some(license_key);
                            let founding = Founding { world: &world, directory: &root, config, license_key };
                            authority::found(founding).map_err(told)?;
                        }
                        Making::Joins => {
                            let mut invitation = invitation.subscribe();
                            let invitation = invitation.wait_for(Option::is_some).await.map_err(told)?.clone();
                            let invitation = invitation.expect("it was waited for");
                            let joining = Joining { world: &world, directory: &root, config, invitation, patience: PATIENCE };
                            authority::join(joining).await.map_err(told)?;
                        }
                        Making::Restores(backup, members) => {
                            // An attempt that was interrupted may have left something.
                            disks.erase(&root);
                            backup.restore(&world, &root, config, &members)?;
                        }
                    }
                }
                let backup = Arc::new(Backup::of(&world, &root)?);
                backup.confess(&secrets, &process, &root);
                let watch = |node: &Node| {
                    let mut started = lock(&started);
                    started.starts += 1;
                    (started.id, started.node, started.backup) = (Some(node.id().0), Some(node.clone()), Some(backup));
                    if matches!(started.making, Making::Founds) {
                        started.making = Making::Joins;
                    }
                };
                authority::run_watched(&world, &root, pending(), watch).await.map_err(told)
            }
        })
    }
}
