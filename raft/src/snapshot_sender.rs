//! Sending a snapshot: what there is, then the chunks of the state, then only the records that the receiver lacks.

use std::{borrow::Cow, sync::Arc, time::Duration};

use bursar_domain::Revision;
use bursar_net::{Blocking, FrameError, FrameReader, FrameWriter, Lane};
use bursar_storage::{StorageError, ledger::Checkpoint};
use bytes::Bytes;
use openraft::{
    ErrorSubject, ErrorVerb,
    error::{NetworkError, StreamingError, Unreachable},
    raft::SnapshotResponse,
};
use tokio::time::{Instant, timeout};

use crate::{
    convert,
    counters::Meter,
    peers::{Peers, Redial},
    stop::{StopReason, StopSignal},
    types::{TypeConfig, Vote},
    wire::{
        self,
        snapshot::{ReceiverMessage, RecordBytes, SenderMessage},
    },
};

/// How long the receiver may take for one step; installing a large state is the longest.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);
/// How long making the connection may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// How many bytes of records are read, and sent as one message.
const RECORDS_BYTES: usize = 1 << 20;

type Failure = StreamingError<TypeConfig>;

/// Sends snapshots to one node, each on a connection of its own.
pub(crate) struct SnapshotSender<'p> {
    pub(crate) peers: &'p Arc<Peers>,
    pub(crate) id: u64,
    pub(crate) blocking: &'p Arc<dyn Blocking>,
    pub(crate) meter: &'p Meter,
    pub(crate) stop: &'p StopSignal,
}

impl SnapshotSender<'_> {
    /// Sends `checkpoint` as the leader of `vote`, and returns once the receiver has installed it or needs it no longer.
    pub(crate) async fn send(&self, vote: Vote, checkpoint: Checkpoint) -> Result<SnapshotResponse<TypeConfig>, Failure> {
        let mut redial = Redial::new(self.peers, self.id, Lane::Snapshot);
        let link = redial.link(Instant::now() + DIAL_TIMEOUT).await.map_err(|error| Unreachable::new(&error))?;
        let mut line = Line { reader: link.reader, writer: link.writer };
        let offered = convert::vote_to_store(vote);
        let manifest = checkpoint.manifest().encode();
        line.say(&SenderMessage::Offer { vote: offered, manifest: Cow::Borrowed(&manifest) }).await?;
        match line.reply().await? {
            ReceiverMessage::Missing { after } => {
                // Reading what is gone would look like damage, and stop this node.
                checkpoint.reaches(after).map_err(|gone| NetworkError::new(&gone))?;
                self.send_chunks(&mut line, &checkpoint).await?;
                self.send_records(&mut line, &checkpoint, after).await?;
                line.say(&SenderMessage::Finish).await?;
            }
            reply => return answered(reply),
        }
        let answer = answered(line.reply().await?)?;
        self.meter.snapshots_sent.increment();
        Ok(answer)
    }

    async fn send_chunks(&self, line: &mut Line, checkpoint: &Checkpoint) -> Result<(), Failure> {
        for number in 0..checkpoint.manifest().chunks {
            let source = checkpoint.clone();
            let read = move || source.chunks(number).next().expect("the manifest counts the chunks");
            let bytes = self.read(read).await?;
            line.say(&SenderMessage::Chunk { number, bytes: Cow::Borrowed(&bytes) }).await?;
            self.meter.snapshot_chunks_sent.increment();
        }
        Ok(())
    }

    async fn send_records(&self, line: &mut Line, checkpoint: &Checkpoint, after: Revision) -> Result<(), Failure> {
        let (mut after, upto) = (after, checkpoint.manifest().applied.revision);
        while after < upto {
            let source = checkpoint.clone();
            let records = self.read(move || source.records(after, RECORDS_BYTES)).await?;
            after = records.last().map_or(upto, |last| last.revision);
            let bytes = records.iter().map(|record| RecordBytes(Cow::Borrowed(&record.bytes))).collect();
            line.say(&SenderMessage::Records(bytes)).await?;
            self.meter.snapshot_records_sent.add(records.len() as u64);
        }
        Ok(())
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, Failure> {
        let outcome = self.blocking.run(read).await.map_err(|lost| NetworkError::new(&lost))?;
        outcome.map_err(|error| {
            self.stop.stop(StopReason::Storage(error.clone()));
            let error = std::io::Error::other(error);
            openraft::StorageError::from_io_error(ErrorSubject::Snapshot(None), ErrorVerb::Read, error).into()
        })
    }
}

/// A connection on which a step that takes too long is an error.
struct Line {
    reader: FrameReader,
    writer: FrameWriter,
}

impl Line {
    async fn say(&mut self, message: &SenderMessage<'_>) -> Result<(), Failure> {
        let sent = self.writer.send_raw(wire::encode(message));
        in_time(sent).await
    }

    async fn reply(&mut self) -> Result<ReceiverMessage, Failure> {
        let frame: Bytes = in_time(self.reader.receive_raw()).await?;
        Ok(wire::decode(&frame).map_err(|error| NetworkError::new(&error))?)
    }
}

async fn in_time<T>(step: impl Future<Output = Result<T, FrameError>>) -> Result<T, Failure> {
    let slow = |_| NetworkError::from_string("the receiver of a snapshot stands still");
    let done = timeout(STEP_TIMEOUT, step).await.map_err(slow)?;
    Ok(done.map_err(NetworkError::from_string)?)
}

fn answered(reply: ReceiverMessage) -> Result<SnapshotResponse<TypeConfig>, Failure> {
    match reply {
        ReceiverMessage::Installed { vote } | ReceiverMessage::Refused { vote } => Ok(SnapshotResponse::new(convert::vote(vote))),
        ReceiverMessage::Failed { detail } => Err(Unreachable::from_string(detail).into()),
        ReceiverMessage::Missing { .. } => Err(NetworkError::from_string("the receiver of a snapshot asked for it twice").into()),
    }
}
