//! A node of a cluster as the API's authority.

use std::sync::Arc;

use async_trait::async_trait;
use bursar_domain::{AuthorityNodeId, Revision, State, Submission};
use bursar_raft::Node;
use bytes::Bytes;
use tokio::{sync::watch, time::Instant};

use crate::authority::{
    Applied, Authority, Consistency, Counters, JournalError, NodeStatus, PastError, ReadError, SubmitError, TransferError,
};

#[async_trait]
impl Authority for Node {
    async fn submit(&self, submission: Submission, deadline: Instant) -> Result<Applied, SubmitError> {
        Self::submit(self, submission, deadline).await
    }

    async fn read(
        &self,
        consistency: Consistency,
        at_least: Option<Revision>,
        deadline: Instant,
    ) -> Result<Arc<State>, ReadError> {
        Self::read(self, consistency, at_least, deadline).await
    }

    fn latest(&self) -> Arc<State> {
        Self::latest(self)
    }

    fn revisions(&self) -> watch::Receiver<Revision> {
        Self::revisions(self)
    }

    fn floor(&self) -> Revision {
        self.journal().floor()
    }

    async fn records(&self, after: Revision, upto: Revision, bytes_max: usize) -> Result<Vec<Bytes>, JournalError> {
        let records = Self::records(self, after, upto, bytes_max).await.map_err(|error| JournalError(error.to_string()))?;
        Ok(records.into_iter().map(|record| record.bytes).collect())
    }

    async fn state_at(&self, revision: Revision) -> Result<Arc<State>, PastError> {
        Self::state_at(self, revision).await.map(Arc::new)
    }

    fn leader(&self) -> Option<AuthorityNodeId> {
        Self::leader(self)
    }

    fn status(&self) -> NodeStatus {
        Self::status(self)
    }

    fn counters(&self) -> Counters {
        Self::counters(self)
    }

    async fn transfer_leadership(
        &self,
        to: Option<AuthorityNodeId>,
        deadline: Instant,
    ) -> Result<AuthorityNodeId, TransferError> {
        Self::transfer_leadership(self, to, deadline).await
    }
}
