//! Why a node stops, told once.

use std::sync::Arc;

use bursar_domain::Level;
use bursar_net::Refusal;
use bursar_storage::{StorageError, ledger::InstallError};
use tokio::sync::watch;

/// Why a node can no longer serve. The process must end: what it holds in memory is no longer what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// The disk failed, or what rests on it is damaged or newer than this program.
    #[error("{0}")]
    Storage(StorageError),
    /// A snapshot of the leader contradicts what rests here, or broke off in its last step.
    #[error("a snapshot could not be installed: {0}")]
    Install(InstallError),
    /// A committed entry of the log that this program does not understand.
    #[error("entry {index} of the log cannot be applied: {detail}; run the program that the other nodes run")]
    UnreadableProposal {
        /// The entry's index.
        index: u64,
        /// What is wrong with it.
        detail: String,
    },
    /// The cluster has agreed on a level that this program does not know: it would decide otherwise than the others.
    #[error(
        "the cluster has agreed on {agreed}, this program supports up to {supported}; install the newer program that the other \
         nodes run, and start the node with it"
    )]
    Outdated {
        /// What the cluster has agreed on.
        agreed: Level,
        /// The newest that this program supports.
        supported: Level,
    },
    /// Folding an event into the state panicked.
    #[error("the state broke at entry {index} of the log: {detail}; report this, and do not remove the data directory")]
    BrokenState {
        /// The entry's index.
        index: u64,
        /// What the panic said.
        detail: String,
    },
    /// The cluster has removed this node.
    #[error(
        "this node was removed from the cluster; to take the machine in again, start it on a new data directory with a join token"
    )]
    Removed,
    /// Another node refuses this one for good.
    #[error("another node refuses this one: {0}")]
    Refused(Refusal),
    /// A part of the node panicked, so that it runs only by half.
    #[error("{task} panicked: {detail}; report this, and start the node again")]
    TaskPanicked {
        /// Which.
        task: &'static str,
        /// What the panic said.
        detail: String,
    },
    /// The consensus core died.
    #[error("the consensus core died: {detail}; start the node again")]
    CoreDied {
        /// What it said.
        detail: String,
    },
    /// It was asked to.
    #[error("the node was shut down")]
    Shutdown,
}

impl StopReason {
    /// Refuses to go on at a level that this program does not know.
    pub(crate) fn check_level(agreed: Level, supported: Level) -> Result<(), Self> {
        if agreed > supported { Err(Self::Outdated { agreed, supported }) } else { Ok(()) }
    }
}

/// Where the first reason to stop is left, and waited for. Clones share it.
#[derive(Clone, Debug)]
pub struct StopSignal {
    reason: Arc<watch::Sender<Option<StopReason>>>,
}

impl Default for StopSignal {
    fn default() -> Self {
        Self { reason: Arc::new(watch::Sender::new(None)) }
    }
}

impl StopSignal {
    /// Gives a reason; the first one counts.
    pub fn stop(&self, reason: StopReason) {
        self.reason.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                match &reason {
                    StopReason::Shutdown => tracing::info!("the node stops: {reason}"),
                    _ => tracing::error!("the node stops: {reason}"),
                }
                *current = Some(reason);
            }
            first
        });
    }

    /// The reason, once there is one.
    pub fn reason(&self) -> Option<StopReason> {
        self.reason.borrow().clone()
    }

    /// Waits for the reason.
    pub async fn stopped(&self) -> StopReason {
        let mut reason = self.reason.subscribe();
        let found = reason.wait_for(Option::is_some).await.expect("the sender lives in this handle");
        found.clone().expect("waited for")
    }
}
