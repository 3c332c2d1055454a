//! What the first node of a cluster has to do once: it founds the cluster, and forgets the setup secret when it was used.

use std::{convert::Infallible, time::Duration};

use bursar_domain::{Rejection, Submission};
use bursar_raft::{Node, StartError};
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::{directory::DataDirectory, run::RunError};

/// How long one attempt at committing the founding command may take.
const FOUNDING_TIMEOUT: Duration = Duration::from_secs(10);
const FOUNDING_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Does what is left to do. Returns only where the cluster cannot be founded.
pub(super) async fn settle_in(
    directory: &DataDirectory,
    founding: Option<Submission>,
    node: &Node,
) -> Result<Infallible, RunError> {
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
