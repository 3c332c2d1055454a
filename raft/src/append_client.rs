//! Appending to another node: many requests in flight on one connection, answered in order, written in batches.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bursar_net::{FrameError, FrameReader, FrameWriter, Lane};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use openraft::{
    base::BoxStream,
    error::{NetworkError, RPCError, Unreachable},
    raft::{AppendEntriesRequest, StreamAppendResult},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::{
    peers::{Peers, Redial},
    types::TypeConfig,
    wire::append,
};

/// How many requests may be unanswered.
const REQUESTS_MAX: usize = 128;
/// How many bytes of unanswered requests there may be before no further one leaves. One request may be larger.
const BYTES_MAX: usize = 8 << 20;
/// How many bytes gather before they are written although more is at hand.
const WRITE_BYTES: usize = 256 << 10;
/// How many answers that nobody waits for any more a connection may still owe and be used again.
const GIVEN_UP_MAX: usize = 16;

type Answered = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

/// One connection to append on, kept from stream to stream.
pub(crate) struct AppendClient {
    redial: Redial,
    connection: Option<Connection>,
    timeout: Duration,
}

/// A connection between two streams. Answers come in order, so one that nobody waited for can still be told apart from the
/// next: a heartbeat that was given up does not cost the connection.
struct Connection {
    reader: FrameReader,
    writer: FrameWriter,
    flow: Arc<Flow>,
}

impl AppendClient {
    /// Appends to node `id`. A request that stays unanswered for `timeout` ends its connection.
    pub(crate) fn new(peers: &Arc<Peers>, id: u64, timeout: Duration) -> Self {
        Self { redial: Redial::new(peers, id, Lane::Append), connection: None, timeout }
    }

    /// Sends the requests as they come and gives their answers in order. Ends with the requests, or with the first error.
    /// There is a connection by `deadline`, or an error.
    pub(crate) async fn stream<'s, S>(
        &'s mut self,
        requests: S,
        deadline: Instant,
    ) -> Result<BoxStream<'s, Answered>, RPCError<TypeConfig>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        let Connection { reader, writer, flow } = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let link = self.redial.link(deadline).await.map_err(|error| Unreachable::new(&error))?;
                Connection { reader: link.reader, writer: link.writer, flow: Arc::default() }
            }
        };
        let stale = flow.len();
        let sending = Sending::UnderWay(Box::pin(send_all(writer, requests, Arc::clone(&flow))));
        let parts = Some(Parts { reader, sending, flow });
        let exchange = Exchange { parts, stale, timeout: self.timeout, kept: &mut self.connection };
        Ok(Box::pin(stream::unfold(exchange, |mut exchange| async {
            let answered = exchange.next().await?;
            Some((answered, exchange))
        })))
    }
}

/// A stream under way. What is asked and what is answered move together whenever an answer is wanted.
struct Exchange<'s> {
    /// None once the connection is of no more use.
    parts: Option<Parts>,
    /// How many answers are still to come to what former streams asked.
    stale: usize,
    timeout: Duration,
    kept: &'s mut Option<Connection>,
}

struct Parts {
    reader: FrameReader,
    sending: Sending,
    flow: Arc<Flow>,
}

enum Sending {
    UnderWay(Pin<Box<dyn Future<Output = Result<FrameWriter, FrameError>> + Send>>),
    Done(FrameWriter),
}

impl Exchange<'_> {
    async fn next(&mut self) -> Option<Answered> {
        let parts = self.parts.as_mut()?;
        let answered = loop {
            if matches!(parts.sending, Sending::Done(_)) && parts.flow.len() == self.stale {
                return None;
            }
            tokio::select! {
                sent = parts.sending.ended() => match sent {
                    Ok(writer) => parts.sending = Sending::Done(writer),
                    Err(error) => break Err(NetworkError::from_string(error).into()),
                },
                frame = parts.reader.receive_raw() => match frame {
                    Ok(_) if !parts.flow.leave() => {
                        break Err(NetworkError::from_string("an append was answered that was not sent").into());
                    }
                    Ok(_) if self.stale > 0 => self.stale -= 1,
                    Ok(frame) => break append::decode_answer(&frame).map_err(|error| NetworkError::new(&error).into()),
                    Err(error) => break Err(NetworkError::from_string(error).into()),
                },
                () = parts.flow.overdue(self.timeout) => {
                    break Err(NetworkError::from_string("an append was not answered in time").into());
                }
            }
        };
        // The other side ends its stream where it refuses.
        if !matches!(answered, Ok(Ok(_))) {
            self.parts = None;
        }
        Some(answered)
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if let Some(Parts { reader, sending: Sending::Done(writer), flow }) = self.parts.take()
            && flow.len() <= GIVEN_UP_MAX
        {
            *self.kept = Some(Connection { reader, writer, flow });
        }
    }
}

impl Sending {
    async fn ended(&mut self) -> Result<FrameWriter, FrameError> {
        match self {
            Self::UnderWay(sending) => sending.await,
            Self::Done(_) => std::future::pending().await,
        }
    }
}

/// Sends all requests; those that are at hand at the same time share a write.
async fn send_all<S>(mut writer: FrameWriter, requests: S, flow: Arc<Flow>) -> Result<FrameWriter, FrameError>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin,
{
    let mut requests = requests.fuse();
    while let Some(first) = requests.next().await {
        let mut next = Some(first);
        while let Some(request) = next {
            let frame = append::encode_request(&request);
            if !flow.has_room() {
                writer.flush().await?;
                flow.room().await;
            }
            flow.enter(frame.len());
            writer.feed_raw(frame)?;
            let full = writer.queued_bytes() >= WRITE_BYTES;
            next = if full { None } else { requests.next().now_or_never().flatten() };
        }
        writer.flush().await?;
    }
    Ok(writer)
}

/// What was sent and is not answered yet.
#[derive(Default)]
struct Flow {
    unanswered: Mutex<Unanswered>,
    answered: Notify,
    sent: Notify,
}

#[derive(Default)]
struct Unanswered {
    sizes: VecDeque<usize>,
    bytes: usize,
    /// When the last answer came, or the first request left where none was waiting.
    since: Option<Instant>,
}

impl Flow {
    fn len(&self) -> usize {
        self.unanswered().sizes.len()
    }

    fn has_room(&self) -> bool {
        let unanswered = self.unanswered();
        unanswered.sizes.len() < REQUESTS_MAX && unanswered.bytes < BYTES_MAX
    }

    async fn room(&self) {
        while !self.has_room() {
            self.answered.notified().await;
        }
    }

    fn enter(&self, size: usize) {
        let mut unanswered = self.unanswered();
        unanswered.sizes.push_back(size);
        unanswered.bytes += size;
        unanswered.since.get_or_insert_with(Instant::now);
        drop(unanswered);
        self.sent.notify_one();
    }

    /// Takes the oldest request as answered; `false` where there is none.
    fn leave(&self) -> bool {
        let mut unanswered = self.unanswered();
        let Some(size) = unanswered.sizes.pop_front() else { return false };
        unanswered.bytes -= size;
        unanswered.since = (!unanswered.sizes.is_empty()).then(Instant::now);
        drop(unanswered);
        self.answered.notify_one();
        true
    }

    /// Returns when a request has waited for `timeout`, and no other was answered meanwhile.
    async fn overdue(&self, timeout: Duration) {
        loop {
            let since = self.unanswered().since;
            match since.map(|since| since + timeout) {
                None => self.sent.notified().await,
                Some(due) if due <= Instant::now() => return,
                Some(due) => sleep_until(due).await,
            }
        }
    }

    fn unanswered(&self) -> MutexGuard<'_, Unanswered> {
        // Nothing panics between two changes of it that belong together.
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
