//! Running a storage server: `bursar storage-server run`.

use std::{convert::Infallible, io, path::Path, sync::Arc};

use bursar_agent::{Abandoned, DataDirectory, DirectoryError, ListenError, Member, MemberError, Newcomer, Ports, Server, World};
use bursar_net::{
    CertificateError, DiskFiles, DiskVolumes, LooseThreads, SETTINGS_FILE, SettingsError, SystemClock, SystemEntropy, TcpNetwork,
    ThreadBlocking, TlsAcceptor, TlsConnector,
};
use tracing::{error, info};

use crate::signals::{Signals, leave_session};

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
    /// The operating system.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What it said.
        source: io::Error,
    },
}

impl RunError {
    /// How the program ends: 2 where the settings are wrong, 4 where the server is none any more and need not be started again,
    /// else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Directory(DirectoryError::Settings(SettingsError::Unusable { .. })) => 2,
            Self::Member(MemberError::Excluded) => 4,
            Self::Directory(_)
            | Self::Certificate(_)
            | Self::Listen { .. }
            | Self::Abandoned(_)
            | Self::Member(_)
            | Self::System { .. } => 1,
        }
    }
}

/// Runs the server of a data directory until it is asked to end, or cannot go on. It waits for the authority as long as it is no
/// member; it works on with what it knows as long as no authority node answers.
pub async fn run(root: &Path, own_session: bool) -> Result<(), RunError> {
    if own_session {
        leave_session().map_err(|source| RunError::System { action: "leave the session", source })?;
    }
    let mut signals = Signals::new().map_err(|source| RunError::System { action: "listen for signals", source })?;
    let directory = Arc::new(DataDirectory::open(Arc::new(DiskFiles), root)?);
    let _lock = directory.lock()?;
    let server = Arc::new(directory.server()?);
    tokio::select! {
        signal = signals.received() => {
            info!(signal, "asked to end");
            Ok(())
        }
        Err(reason) = serve(&directory, &server) => {
            error!(%reason, "the server ends");
            Err(reason)
        }
    }
}

/// Runs the server as whatever it is. Dropping the future ends it.
async fn serve(directory: &Arc<DataDirectory>, server: &Arc<Server>) -> Result<Infallible, RunError> {
    let clock = Arc::new(SystemClock);
    let world = World {
        clock: clock.clone(),
        entropy: Arc::new(SystemEntropy::new()),
        network: Arc::new(TcpNetwork),
        blocking: Arc::new(ThreadBlocking),
        volumes: Arc::new(DiskVolumes),
        loose: Arc::new(LooseThreads),
    };
    loop {
        let (directory, server, world) = (Arc::clone(directory), Arc::clone(server), world.clone());
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
                let acceptor = Arc::new(TlsAcceptor::for_newcomer(&server.certificate, &server.key, clock.clone())?);
                Newcomer { directory, server, world }.wait(ports, acceptor).await?;
            }
            Some(membership) => {
                info!(server = %membership.server, cluster = %membership.cluster, %control, "the server runs");
                let acceptor = Arc::new(TlsAcceptor::for_peers(&membership.credentials, clock.clone())?);
                let connector = Arc::new(TlsConnector::new(&membership.credentials, clock.clone())?);
                return Err(Member { directory, server, membership, world, acceptor, connector }.run(ports).await.into());
            }
        }
    }
}
