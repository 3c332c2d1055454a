//! Receiving a snapshot, the counterpart of [`crate::snapshot_sender`].

use std::{sync::Arc, time::Duration};

use bursar_net::{Blocking, FrameReader, FrameWriter};
use bursar_storage::ledger::{InstallError, Installer, Ledger, Manifest};
use bytes::Bytes;
use tokio::{
    sync::{Mutex, watch},
    time::timeout,
};

use crate::{
    convert,
    counters::Meter,
    lanes::expect_own,
    snapshot::SnapshotData,
    stop::{StopReason, StopSignal},
    types::{Raft, Vote},
    wire::{
        self,
        snapshot::{ReceiverMessage, RecordBytes, SenderMessage},
    },
};

/// How long the sender may take from one message to the next.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// Receives snapshots, one at a time: a newer install would make an older one void.
pub(crate) struct SnapshotReceiver {
    pub(crate) raft: Raft,
    pub(crate) ledger: Ledger,
    pub(crate) blocking: Arc<dyn Blocking>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) stop: StopSignal,
    pub(crate) turns: Turns,
}

/// Whose snapshot is received. A sender that died is noticed late, so whoever offers another one does not wait for that: the
/// newest offer takes the turn from the one before.
#[derive(Default)]
pub(crate) struct Turns {
    /// Held while a snapshot is received and installed.
    held: Mutex<()>,
    /// How many were offered.
    offers: watch::Sender<u64>,
}

/// One attempt at a turn.
struct Attempt {
    number: u64,
    offers: watch::Receiver<u64>,
}

/// Why receiving ended early.
enum Ended {
    /// The sender is gone, or what it says makes no sense; there is nobody to answer.
    Sender(String),
    /// The snapshot was not installed.
    Install(InstallError),
    /// This node follows another leader.
    Refused(Vote),
    /// The core has stopped.
    Stopped(String),
}

impl SnapshotReceiver {
    /// Serves one connection of the node `caller`: one snapshot.
    pub(crate) async fn serve(&self, caller: u64, mut reader: FrameReader, mut writer: FrameWriter) {
        let reply = match self.receive(caller, &mut reader, &mut writer).await {
            Ok(vote) => ReceiverMessage::Installed { vote: convert::vote_to_store(vote) },
            Err(Ended::Install(InstallError::Outdated { .. })) => {
                ReceiverMessage::Installed { vote: convert::vote_to_store(self.own_vote()) }
            }
            Err(Ended::Install(error)) => {
                tracing::warn!(%error, "a snapshot was not installed");
                if error.stops_the_node() {
                    self.stop.stop(StopReason::Install(error.clone()));
                }
                ReceiverMessage::Failed { detail: error.to_string() }
            }
            Err(Ended::Refused(vote)) => ReceiverMessage::Refused { vote: convert::vote_to_store(vote) },
            Err(Ended::Stopped(detail)) => ReceiverMessage::Failed { detail },
            Err(Ended::Sender(detail)) => {
                tracing::debug!(%detail, "a snapshot broke off");
                return;
            }
        };
        if let Err(error) = writer.send_raw(wire::encode(&reply)).await {
            tracing::debug!(%error, "the sender of a snapshot did not wait for the answer");
        }
    }

    async fn receive(&self, caller: u64, reader: &mut FrameReader, writer: &mut FrameWriter) -> Result<Vote, Ended> {
        let (vote, manifest) = self.offer(caller, &next(reader).await?)?;
        let mut attempt = self.turns.begin();
        let _turn = attempt.unless_overtaken(self.turns.held.lock()).await?;
        let meta = convert::snapshot_meta(&manifest.applied);
        let ledger = self.ledger.clone();
        let begun = self.blocking.run(move || ledger.installer(manifest)).await;
        let mut installer = begun.map_err(|lost| Ended::Stopped(lost.to_string()))?.map_err(Ended::Install)?;
        let (after, _) = installer.missing_records();
        let missing = wire::encode(&ReceiverMessage::Missing { after });
        writer.send_raw(missing).await.map_err(|error| Ended::Sender(error.to_string()))?;
        while let Some(part) = self.part(&attempt.unless_overtaken(next(reader)).await??)? {
            installer = self.put(installer, part).await?;
        }
        let snapshot = openraft::Snapshot { meta, snapshot: SnapshotData::Received(Box::new(installer)) };
        let installed = self.raft.install_full_snapshot(vote, snapshot).await;
        Ok(installed.map_err(|fatal| Ended::Stopped(fatal.to_string()))?.vote)
    }

    /// What the first message offers. Who follows another leader by now is told so at once, and takes nobody's turn.
    fn offer(&self, caller: u64, frame: &[u8]) -> Result<(Vote, Manifest), Ended> {
        let SenderMessage::Offer { vote, manifest } = understood(frame)? else {
            return Err(Ended::Sender("it began without an offer".into()));
        };
        expect_own(caller, vote).map_err(Ended::Sender)?;
        let vote = convert::vote(vote);
        let own = self.own_vote();
        if own > vote {
            return Err(Ended::Refused(own));
        }
        let manifest = Manifest::decode(&manifest).map_err(|error| Ended::Sender(error.to_string()))?;
        Ok((vote, manifest))
    }

    /// A message as a part to install; none at the end.
    fn part(&self, frame: &Bytes) -> Result<Option<Part>, Ended> {
        Ok(match understood(frame)? {
            SenderMessage::Chunk { number, bytes } => {
                self.meter.snapshot_chunks_received.increment();
                Some(Part::Chunk(number, frame.slice_ref(&bytes)))
            }
            SenderMessage::Records(records) => {
                self.meter.snapshot_records_received.add(records.len() as u64);
                let shared = |RecordBytes(bytes): &RecordBytes<'_>| frame.slice_ref(bytes);
                Some(Part::Records(records.iter().map(shared).collect()))
            }
            SenderMessage::Finish => None,
            SenderMessage::Offer { .. } => return Err(Ended::Sender("it offered a second snapshot".into())),
        })
    }

    async fn put(&self, mut installer: Installer, part: Part) -> Result<Installer, Ended> {
        let put = move || {
            match part {
                Part::Chunk(number, bytes) => installer.put_chunk(number, bytes)?,
                Part::Records(records) => installer.put_records(&records)?,
            }
            Ok(installer)
        };
        self.blocking.run(put).await.map_err(|lost| Ended::Stopped(lost.to_string()))?.map_err(Ended::Install)
    }

    fn own_vote(&self) -> Vote {
        use openraft::async_runtime::watch::WatchReceiver;
        self.raft.metrics().borrow_watched().vote
    }
}

impl Turns {
    /// An attempt that is newer than all others.
    fn begin(&self) -> Attempt {
        let mut number = 0;
        self.offers.send_modify(|offers| {
            *offers += 1;
            number = *offers;
        });
        Attempt { number, offers: self.offers.subscribe() }
    }
}

impl Attempt {
    /// What `step` gives, unless a newer attempt begins before.
    async fn unless_overtaken<T>(&mut self, step: impl Future<Output = T>) -> Result<T, Ended> {
        tokio::select! {
            done = step => Ok(done),
            Ok(_) = self.offers.wait_for(|offers| *offers > self.number) => Err(Ended::Sender("a newer offer took its turn".into())),
        }
    }
}

enum Part {
    Chunk(u32, Bytes),
    Records(Vec<Bytes>),
}

async fn next(reader: &mut FrameReader) -> Result<Bytes, Ended> {
    let slow = |_| Ended::Sender("it stands still".into());
    timeout(STEP_TIMEOUT, reader.receive_raw()).await.map_err(slow)?.map_err(|error| Ended::Sender(error.to_string()))
}

fn understood(frame: &[u8]) -> Result<SenderMessage<'_>, Ended> {
    wire::decode(frame).map_err(|error| Ended::Sender(error.to_string()))
}
