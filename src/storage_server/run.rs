//! Running a storage server: `bursar storage-server run`.

use std::{convert::Infallible, path::Path, sync::Arc};

use bursar_agent::{Abandoned, DataDirectory, DirectoryError, ListenError, Member, MemberError, Newcomer, Ports, Server};
use bursar_net::{CertificateError, SETTINGS_FILE, SettingsError};
use tracing::{error, info, warn};

use crate::World;

/// Why a storage server does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Its data directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Its certificates.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Its ports.
    #[error("{source}. Stop what uses the port, or choose another one in {settings}")]
    Listen {
        /// Where, and what the operating system says.
        source: ListenError,
        /// Where it is configured.
        settings: String,
    },
    /// A port of a server that waited for the authority.
    #[error(transparent)]
    Abandoned(#[from] Abandoned),
    /// It cannot go on as a member.
    #[error(transparent)]
    Member(#[from] MemberError),
}

impl RunError {
    /// How the program ends: 2 where the settings are wrong, 4 where the server is none any more and need not be started again,
    /// else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Directory(DirectoryError::Settings(SettingsError::Unusable { .. })) => 2,
            Self::Member(MemberError::Excluded) => 4,
            Self::Directory(_) | Self::Certificate(_) | Self::Listen { .. } | Self::Abandoned(_) | Self::Member(_) => 1,
        }
    }
}

/// `bursar storage-server run`: what the doctor of a stopped server could not know otherwise is written down behind it.
pub async fn run_command(world: &World, root: &Path, asked_to_end: impl Future<Output = &'static str>) -> Result<(), RunError> {
    let ended = run(world, root, asked_to_end).await;
    if let Err(RunError::Member(MemberError::Excluded)) = &ended
        && let Err(error) = DataDirectory::open(Arc::clone(&world.files), root).and_then(|directory| directory.note_excluded())
    {
        warn!(%error, "it could not be written down that the authority has removed this server");
    }
    ended
}

/// Runs the server of a data directory until `asked_to_end`, which says by what, or until it cannot go on. It waits for the
/// authority as long as it is no member; it works on with what it knows as long as no authority node answers.
///
/// Dropping the future ends all that the server does, whenever: what rests on its disks is whole.
pub async fn run(world: &World, root: &Path, asked_to_end: impl Future<Output = &'static str>) -> Result<(), RunError> {
    let directory = Arc::new(DataDirectory::open(Arc::clone(&world.files), root)?);
    let _lock = directory.lock()?;
    let server = Arc::new(directory.server()?);
    tokio::select! {
        by = asked_to_end => {
            info!(by, "asked to end");
            Ok(())
        }
        Err(reason) = serve(world, &directory, &server) => {
            error!(%reason, "the server ends");
            Err(reason)
        }
    }
}

/// Runs the server as whatever it is. Dropping the future ends it.
async fn serve(world: &World, directory: &Arc<DataDirectory>, server: &Arc<Server>) -> Result<Infallible, RunError> {
    let transport = &world.transport;
    loop {
        let (directory, server, world) = (Arc::clone(directory), Arc::clone(server), world.of_storage_server());
        let membership = directory.membership(&server)?;
        // The ports first: a server that cannot be reached takes part in nothing.
        let listened = Ports::bind(&*world.network, &server.settings.listen).await;
        let ports = listened.map_err(|source| RunError::Listen {
            source,
            settings: directory.root().join(SETTINGS_FILE).display().to_string(),
        })?;
        let control = &server.settings.advertised.primary;
        match membership {
            None => {
                info!(server = %server.identity.guid, %control, "the server waits for the authority: paste its connection string there");
                let acceptor = transport.accept_as_newcomer(&server.certificate, &server.key)?;
                Newcomer { directory, server, world }.wait(ports, acceptor).await?;
            }
            Some(membership) => {
                info!(server = %membership.server, cluster = %membership.cluster, %control, "the server runs");
                let acceptor = transport.accept_members(&membership.credentials)?;
                let connector = transport.connect_to_members(&membership.credentials)?;
                return Err(Member { directory, server, membership, world, acceptor, connector }.run(ports).await.into());
            }
        }
    }
}
