//! The storage servers of a fleet: what each runs, and what operators do about one that loses what it keeps.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bursar::storage_server;
use bursar_agent::{Issued, Settings};
use bursar_net::MasterLicenseKey;
use bursar_wire::Secret;
use bursar_wire::client::{Change, Client};
use bursar_wire::query::ReadQuery;
use bursar_wire::servers::{ReplaceServer, Server, ServerCondition};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::sleep;

use super::{
    CONTROL_PORT, Fleet, PEER_PORT, Place, SECRET_BYTES_MAX, SetUpError, Settled, TRANSFER_PORT, lock, program, told, until,
};
use crate::host::Program;
use crate::nemesis::Due;
use crate::plan::FaultKind;
use crate::secrets::Secrets;
use crate::world::World;

/// How long a process is down before anybody touches what it keeps.
const DOWN_FOR: Duration = Duration::from_millis(100);

/// A storage server.
pub struct StorageServer {
    /// Where it runs.
    pub place: Place,
    /// Where its store points are, each on a disk of its own.
    pub(super) disks: Vec<String>,
    /// How it introduces itself, once it is made.
    introduction: Arc<Mutex<Option<Introduction>>>,
    /// Held while another machine takes its place.
    replacing: AsyncMutex<()>,
}

/// How a machine that was made introduces itself.
#[derive(Clone)]
pub(super) struct Introduction {
    pub connection_string: Secret,
    /// Of the machine, as no other has it.
    pub guid: String,
}

impl StorageServer {
    /// Installs a server at its place.
    pub(super) fn install(
        place: Place,
        disks: Vec<String>,
        settled: Settled,
        license_key: &Arc<MasterLicenseKey>,
        secrets: &Secrets,
    ) -> Self {
        let server = Self { place, disks, introduction: Arc::default(), replacing: AsyncMutex::default() };
        let program = server.program(settled.tls, license_key, secrets);
        server.place.host.install(&server.place.process, Some(settled.restart_after), program);
        server
    }

    /// What its process runs.
    fn program(&self, tls: bool, license_key: &Arc<MasterLicenseKey>, secrets: &Secrets) -> Program {
        let place = &self.place;
        let settings = Settings {
            name: place.process.clone(),
            listen: bursar_agent::Listen {
                peer: place.anywhere(PEER_PORT),
                transfer: place.anywhere(TRANSFER_PORT),
                control: place.anywhere(CONTROL_PORT),
            },
            advertised: bursar_agent::Advertised { primary: place.address(CONTROL_PORT), secondary: None },
        };
        let (license_key, introduction, root) = (Arc::clone(license_key), Arc::clone(&self.introduction), place.root());
        let (process, secrets, disks) = (place.process.clone(), secrets.clone(), place.host.disks().clone());
        program(tls, move |world| {
            let (settings, license_key) = (settings.clone(), Arc::clone(&license_key));
            let (process, secrets, disks) = (process.clone(), secrets.clone(), disks.clone());
            let (introduction, root) = (Arc::clone(&introduction), root.clone());
            async move {
                if lock(&introduction).is_none() {
                    // An attempt that was interrupted may have left something.
                    disks.erase(&root);
                    let Issued { line, says } = storage_server::make(&world, &root, settings, &license_key).map_err(told)?;
                    secrets.text(format_args!("the connection string of {process}"), line.expose(), &[]);
                    secrets.text(format_args!("the secret of {process}"), says.secret.expose(), &[]);
                    let kept = root.join("node.key");
                    let key = world.files.read_private(&kept, SECRET_BYTES_MAX).map_err(told)?;
                    let key = String::from_utf8_lossy(&key);
                    secrets.private_key(format_args!("the key of {process}"), &key, &[kept]);
                    *lock(&introduction) = Some(Introduction { connection_string: line, guid: says.guid.to_string() });
                }
                storage_server::run(&world, &root, pending()).await.map_err(told)
            }
        })
    }

    /// How it introduces itself, once it is made.
    pub(super) async fn introduced(&self) -> Result<Introduction, SetUpError> {
        until("a storage server is made", async || lock(&self.introduction).clone()).await
    }
}

impl Fleet {
    /// Takes all that a storage server keeps of the fleet, and `lasting` later puts a new machine in its place, with the disks that it
    /// had. Returns once that one is online.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn replace(
        &self,
        world: &World,
        client: &Client,
        process: &str,
        lasting: Duration,
        due: &mut Due<'_>,
    ) -> Result<(), SetUpError> {
        let (id, server) = self.server_of(process);
        let (host, root) = (&server.place.host, server.place.root());
        let _alone = server.replacing.lock().await;
        // Until another machine is there, the authority is right to miss it.
        let _going_on = world.befallen.begin(&FaultKind::LostServer { process: process.to_owned() });
        host.close(process);
        sleep(DOWN_FOR).await;
        host.disks().erase(&root);
        *lock(&server.introduction) = None;
        due.strikes();
        sleep(lasting).await;
        host.open(process);
        let Introduction { connection_string, guid } = server.introduced().await?;
        let replacing = ReplaceServer { connection_string };
        let path = format!("servers/{id}");
        until("another machine takes a server's place", async || {
            let now: Server = client.get(&path, &ReadQuery::default()).await.ok()?.json().ok()?;
            if now.guid == guid {
                return (now.condition == ServerCondition::Online).then_some(());
            }
            // It is refused until the authority has noticed that the old one is silent. What comes of it the next look tells.
            let _ = client.post(&format!("{path}/replace"), &replacing, Change::default()).await;
            None
        })
        .await
    }

    fn server_of(&self, process: &str) -> (u64, &StorageServer) {
        let numbered = (1..).zip(&self.storage_servers);
        let mut found = numbered.filter(|(_, server)| server.place.process == process);
        found.next().expect("a plan names storage servers that it has")
    }
}
