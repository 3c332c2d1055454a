//! Joining a cluster: `bursar authority join`.

use std::{path::Path, sync::Arc, time::Duration};

use bursar_domain::AuthorityNodeId;
use bursar_net::{Address, CertificateError, ClusterKey, DialError, FrameError, JoinDialer, SealError};
use bursar_raft::net_store;
use bursar_wire::invitation::Invitation;
use tokio::time::{Instant, sleep, timeout};

use super::{
    FRAME_BYTES_MAX,
    admission::{JoinAnswer, JoinQuestion, Welcome},
    config::Config,
    directory::{DataDirectory, DirectoryError, NewNode},
    found::facts,
    identity::Identity,
    joiner::Joiner,
};
use crate::World;

/// How long one node may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long to rest after all nodes were asked in vain.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// What a node joins with.
pub struct Joining<'j> {
    /// The world.
    pub world: &'j World,
    /// Where the new node keeps its data.
    pub directory: &'j Path,
    /// Its settings.
    pub config: Config,
    /// The invitation.
    pub invitation: Invitation,
    /// How long to keep trying.
    pub patience: Duration,
}

/// Why a node could not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The data directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The certificates.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The cluster key that came back.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The authority refused.
    #[error("{reason} ({code}). {remedy}")]
    Refused {
        /// The stable code.
        code: String,
        /// Why.
        reason: String,
        /// What to do next.
        remedy: String,
    },
    /// Nobody answered in time.
    #[error(
        "no authority node let this machine in within {} s: {}. Check that one of them runs, and that this machine reaches it \
         there, then join again with the same token", waited.as_secs(), attempts.join("; ")
    )]
    Unreachable {
        /// How long it was tried.
        waited: Duration,
        /// Each address with what went wrong the last time.
        attempts: Vec<String>,
    },
}

/// Makes a machine a member of the authority: asks the nodes that the invitation names, one after the other, until one lets
/// it in. Interrupted, it can be run again with the same invitation.
pub async fn join(joining: Joining<'_>) -> Result<AuthorityNodeId, JoinError> {
    let directory = DataDirectory::create(joining.world, joining.directory)?;
    let joiner = directory.prepare_joining(&*joining.world.entropy)?;
    let deadline = Instant::now() + joining.patience;
    loop {
        let mut attempts = Vec::new();
        for address in &joining.invitation.addresses {
            match ask(&joining, address, &joiner).await? {
                Ok(JoinAnswer::Welcome(welcome)) => {
                    return settle(&directory, joining.config.clone(), &joiner, *welcome);
                }
                Ok(JoinAnswer::Refused { code, reason, remedy, passing: false }) => {
                    return Err(JoinError::Refused { code, reason, remedy });
                }
                Ok(JoinAnswer::Refused { reason, .. }) => attempts.push(format!("{address}: {reason}")),
                Err(attempt) => attempts.push(attempt.to_string()),
            }
        }
        if Instant::now() + RETRY_DELAY >= deadline {
            return Err(JoinError::Unreachable { waited: joining.patience, attempts });
        }
        sleep(RETRY_DELAY).await;
    }
}

/// Why one node did not answer.
#[derive(Debug, thiserror::Error)]
enum Attempt {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{0}: {1}")]
    Lost(Address, FrameError),
    #[error("{0} took too long to answer")]
    Slow(Address),
}

async fn ask(joining: &Joining<'_>, address: &Address, joiner: &Joiner) -> Result<Result<JoinAnswer, Attempt>, CertificateError> {
    let question = JoinQuestion {
        secret: joining.invitation.secret.clone(),
        facts: facts(joiner.store, &joining.config),
        certificate_request: joiner.key.request()?,
    };
    let dialer = JoinDialer {
        network: Arc::clone(&joining.world.network),
        connector: joining.world.transport.connect_to_pinned(),
        store: net_store(joiner.store),
        frame_bytes_max: FRAME_BYTES_MAX,
    };
    let exchange = async {
        let mut link = dialer.dial_pinned(address, joining.invitation.certificate_authority, ANSWER_TIMEOUT).await?;
        let lost = |error| Attempt::Lost(address.clone(), error);
        link.writer.send(&question).await.map_err(lost)?;
        link.reader.receive::<JoinAnswer>().await.map_err(lost)
    };
    Ok(timeout(ANSWER_TIMEOUT, exchange).await.unwrap_or_else(|_elapsed| Err(Attempt::Slow(address.clone()))))
}

fn settle(directory: &DataDirectory, config: Config, joiner: &Joiner, welcome: Welcome) -> Result<AuthorityNodeId, JoinError> {
    let Welcome { cluster, node, certificate, ca_certificate, cluster_key, members } = welcome;
    directory.abandon_founding()?;
    directory.write_members(&members)?;
    bursar_net::point!("join.welcomed");
    directory.write(&NewNode {
        identity: Identity::new(cluster, joiner.store, node),
        config,
        ca_certificate: &ca_certificate,
        certificate: &certificate,
        key: &joiner.key,
        cluster_key: &ClusterKey::from_bytes(&cluster_key)?,
    })?;
    directory.forget_joining()?;
    Ok(node)
}
