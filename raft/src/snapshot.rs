//! Snapshots: a checkpoint of the state on the sender's side, an install in the making on the receiver's.

use std::{io, sync::Arc};

use bursar_domain::State;
use bursar_net::Blocking;
use bursar_storage::ledger::{self, Checkpoint, Installer, Ledger};
use openraft::{RaftSnapshotBuilder, alias::SnapshotOf};

use crate::{
    convert,
    counters::Meter,
    stop::{StopReason, StopSignal},
    types::TypeConfig,
};

/// What openraft passes on as a snapshot, without looking inside.
pub enum SnapshotData {
    /// A checkpoint that rests here, pinned, with the journal that leads to it: what a receiver is sent.
    Kept(Checkpoint),
    /// All that was received, before the one step that makes it ours.
    Received(Box<Installer>),
}

/// Writes a checkpoint of one version of the state, while the next entries are applied.
pub struct SnapshotBuilder {
    pub(crate) state: State,
    pub(crate) applied: ledger::Applied,
    pub(crate) ledger: Ledger,
    pub(crate) blocking: Arc<dyn Blocking>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) stop: StopSignal,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<TypeConfig, SnapshotData>> {
        let (ledger, state, applied) = (self.ledger.clone(), self.state.clone(), self.applied.clone());
        let written = self.blocking.run(move || ledger.write_checkpoint(&state, &applied)).await;
        let checkpoint = written.map_err(io::Error::other)?.map_err(|error| {
            self.stop.stop(StopReason::Storage(error.clone()));
            io::Error::other(error)
        })?;
        bursar_net::point!("checkpoint.made");
        self.meter.checkpoints_written.increment();
        tracing::debug!(revision = %self.applied.revision, "wrote a checkpoint");
        Ok(offered(checkpoint))
    }
}

/// A checkpoint as openraft hands it to whoever lacks it.
pub(crate) fn offered(checkpoint: Checkpoint) -> SnapshotOf<TypeConfig, SnapshotData> {
    let meta = convert::snapshot_meta(&checkpoint.manifest().applied);
    SnapshotOf::<TypeConfig, SnapshotData> { meta, snapshot: SnapshotData::Kept(checkpoint) }
}
