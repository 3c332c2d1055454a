//! The state machine as openraft sees it: batches of committed entries in, records, a newer state and answers out.
//!
//! One batch is one write to the ledger, of all its records and the applied position. The write runs where it is called, on
//! the task that openraft gives to applying alone: it syncs nothing, so RocksDB takes it in microseconds (5 in the median, 13 at
//! the 99th percentile), less than handing it to another thread would cost; and the core, which has a task of its own, never
//! waits for it. Checkpoints and installs, which take long, run on the blocking part.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bursar_domain::{
    Level, State, evolve,
    mutants::{Mutant, planted},
};
use bursar_net::{Blocking, words_of};
use bursar_storage::ledger::{self, Checkpoint, InstallError, Installer, Ledger, Recovered};
use futures_util::{Stream, StreamExt, TryStreamExt};
use openraft::{
    OptionalSend,
    alias::SnapshotOf,
    storage::{EntryResponder, RaftStateMachine},
};

use crate::{
    batch::Batch,
    convert,
    counters::Meter,
    published::Published,
    snapshot::{SnapshotBuilder, SnapshotData, offered},
    stop::{StopReason, StopSignal},
    types::{LogId, SnapshotMeta, StoredMembership, TypeConfig},
};

/// How many bytes of records are copied at a time from one ledger to another.
const COPY_BYTES: usize = 1 << 20;

/// Applies what is committed.
pub struct StateMachine {
    /// The state behind everything that was applied.
    state: State,
    /// Where it stands.
    applied: ledger::Applied,
    /// The newest level that may be applied.
    supported: Level,
    ledger: Ledger,
    blocking: Arc<dyn Blocking>,
    published: Arc<Published>,
    meter: Arc<Meter>,
    stop: StopSignal,
}

impl StateMachine {
    /// Goes on from what `ledger` has recovered, and up to the level `supported`. A failure is told to `stop`.
    pub fn new(ledger: Ledger, recovered: Recovered, supported: Level, blocking: Arc<dyn Blocking>, stop: StopSignal) -> Self {
        let Recovered { state, applied } = recovered;
        let published = Arc::new(Published::new(state.clone(), applied.position.map(|position| position.index)));
        Self { state, applied, supported, ledger, blocking, published, meter: Arc::default(), stop }
    }

    /// What readers see.
    pub(crate) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    /// What is counted.
    pub(crate) fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    fn stopped(&self, reason: StopReason) -> io::Error {
        self.stop.stop(reason.clone());
        io::Error::other(reason)
    }

    /// Makes a batch rest, then shows it, then tells those who wait for it.
    fn commit(&mut self, batch: Batch<'_>) -> Result<(), StopReason> {
        catch_unwind(AssertUnwindSafe(|| self.ledger.commit(&batch.records, &batch.applied)))
            .map_err(|panic| batch.broken(words_of(panic.as_ref())))?
            .map_err(StopReason::Storage)?;
        bursar_net::point!("ledger.committed");
        self.state = batch.state.clone();
        self.applied = batch.applied.clone();
        self.publish();
        batch.answer();
        Ok(())
    }

    fn publish(&self) {
        self.published.publish(&self.state, self.applied.position.map(|position| position.index));
    }

    /// Shows a state that has all records of a batch but the last.
    fn show_in_part(&self, batch: &Batch<'_>) {
        let mut state = self.state.clone();
        for record in batch.records.split_last().map_or(&[][..], |(_, others)| others) {
            evolve(&mut state, record);
        }
        self.published.publish(&state, self.applied.position.map(|position| position.index));
    }

    /// The last step. openraft has counted on it from here on, so whatever fails stops the node; the next start finds the
    /// old state or the new one.
    async fn finish_install(&mut self, installer: Installer) -> io::Result<()> {
        let finished = self.blocking.run(move || installer.finish()).await.map_err(io::Error::other)?;
        let (state, applied) = finished.map_err(|error| self.stopped(StopReason::Install(error)))?;
        StopReason::check_level(state.level(), self.supported).map_err(|reason| self.stopped(reason))?;
        tracing::info!(revision = %applied.revision, "installed a snapshot");
        (self.state, self.applied) = (state, applied);
        self.meter.snapshots_installed.increment();
        self.publish();
        Ok(())
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let membership = convert::stored_membership(self.applied.membership.clone());
        Ok((self.applied.position.map(convert::log_id), membership))
    }

    async fn apply<S>(&mut self, entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        let (mut entries, meter) = (entries.fuse(), self.meter());
        loop {
            let mut batch = Batch::new(&self.state, &self.applied, &meter);
            while !batch.is_full()
                && let Some((entry, responder)) = entries.try_next().await?
            {
                batch.apply(entry, responder).map_err(|reason| self.stopped(reason))?;
                // Already the next entry may be one that is decided otherwise at the newer level.
                StopReason::check_level(batch.state.level(), self.supported).map_err(|reason| self.stopped(reason))?;
            }
            if batch.is_empty() {
                return Ok(());
            }
            if planted(Mutant::HalfADecision) {
                self.show_in_part(&batch);
                tokio::task::yield_now().await;
            }
            self.commit(batch).map_err(|reason| self.stopped(reason))?;
            tokio::task::yield_now().await;
        }
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<SnapshotBuilder> {
        let latest = self.ledger.latest_checkpoint();
        let nothing_new = latest.is_some_and(|latest| latest.manifest().applied == self.applied);
        if nothing_new && !force {
            return None;
        }
        Some(self.get_snapshot_builder().await)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            state: self.state.clone(),
            applied: self.applied.clone(),
            ledger: self.ledger.clone(),
            blocking: Arc::clone(&self.blocking),
            meter: self.meter(),
            stop: self.stop.clone(),
        }
    }

    async fn install_snapshot(&mut self, _meta: &SnapshotMeta, snapshot: SnapshotData) -> io::Result<()> {
        let installer = match snapshot {
            SnapshotData::Received(installer) => *installer,
            SnapshotData::Kept(checkpoint) => {
                let ledger = self.ledger.clone();
                let copied = self.blocking.run(move || copy(&checkpoint, &ledger)).await.map_err(io::Error::other)?;
                copied.map_err(|error| self.stopped(StopReason::Install(error)))?
            }
        };
        self.finish_install(installer).await
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<TypeConfig, SnapshotData>>> {
        Ok(self.ledger.latest_checkpoint().map(offered))
    }
}

/// Brings another ledger's checkpoint, and the records that lead to it, into this one, up to the last step.
fn copy(checkpoint: &Checkpoint, ledger: &Ledger) -> Result<Installer, InstallError> {
    let mut installer = ledger.installer(checkpoint.manifest().clone())?;
    for (number, chunk) in (0..).zip(checkpoint.chunks(0)) {
        installer.put_chunk(number, chunk?)?;
    }
    let (mut after, upto) = installer.missing_records();
    while after < upto {
        let records = checkpoint.records(after, COPY_BYTES)?;
        after = records.last().map_or(upto, |last| last.revision);
        let bytes: Vec<_> = records.into_iter().map(|record| record.bytes).collect();
        installer.put_records(&bytes)?;
    }
    Ok(installer)
}
