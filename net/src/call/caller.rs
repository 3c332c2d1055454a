//! The side that asks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::{BATCH_BYTES, NUMBER_BYTES, split_number};
use crate::frame::{self, FrameError, FrameReader, FrameWriter};
use crate::tasks;

/// Asks the peer of one connection. Clones share the connection, which closes when the last of them
/// is dropped.
#[derive(Clone)]
pub struct Caller {
    connection: Arc<Connection>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The connection was gone before the question left. The peer has not seen it.
    #[error("the connection is closed, the question was not sent")]
    Closed,
    /// So many calls were in flight until the deadline that the question never left. The peer has
    /// not seen it.
    #[error("{in_flight_max} calls are in flight already, the question was not sent")]
    Busy {
        /// The bound.
        in_flight_max: usize,
    },
    /// The question cannot be sent. The peer has not seen it.
    #[error("the question cannot be sent: {0}")]
    Unsendable(#[source] FrameError),
    /// The connection went away while the question was on its way: whether the peer acted on it is
    /// unknown.
    #[error("the connection was lost, whether the peer acted is unknown")]
    Lost,
    /// No answer came by the deadline: whether the peer acted, or still will, is unknown.
    #[error("no answer came in time, whether the peer acted is unknown")]
    Deadline,
    /// The peer acted and answered, but the answer makes no sense to us.
    #[error("the answer cannot be understood: {0}")]
    Unreadable(#[source] FrameError),
}

impl CallError {
    /// Whether the peer may have acted on the question.
    pub fn may_have_acted(&self) -> bool {
        match self {
            CallError::Closed | CallError::Busy { .. } | CallError::Unsendable(_) => false,
            CallError::Lost | CallError::Deadline | CallError::Unreadable(_) => true,
        }
    }
}

impl Caller {
    /// Takes the connection over. At most `in_flight_max` calls are under way at a time, further
    /// ones wait for their turn.
    pub fn new<R, W>(reader: FrameReader<R>, writer: FrameWriter<W>, in_flight_max: usize) -> Self
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let (outgoing, questions) = mpsc::channel(in_flight_max);
        let shared = Arc::new(Shared {
            in_flight: InFlight { waiting: Mutex::new(Some(BTreeMap::new())), next_number: AtomicU64::new(0) },
            places: Semaphore::new(in_flight_max),
            in_flight_max,
            body_bytes_max: writer.bytes_max().saturating_sub(NUMBER_BYTES),
            closed: watch::Sender::new(false),
        });
        let task = tasks::spawn(drive(reader, writer, questions, Arc::clone(&shared))).abort_handle();
        Self { connection: Arc::new(Connection { shared, outgoing, task }) }
    }

    /// Asks `question` and waits for its answer until `deadline`.
    pub async fn call<Q, A>(&self, question: &Q, deadline: Instant) -> Result<A, CallError>
    where
        Q: Serialize + ?Sized,
        A: DeserializeOwned,
    {
        let body = frame::encode(question).map_err(CallError::Unsendable)?;
        let answer = self.call_raw(body, deadline).await?;
        frame::decode(&answer).map_err(CallError::Unreadable)
    }

    /// Like [`Caller::call`], with bodies that are encoded already. Dropping the future gives the
    /// call's place to another.
    pub async fn call_raw(&self, body: Bytes, deadline: Instant) -> Result<Bytes, CallError> {
        #[cfg(feature = "simulation")]
        return super::fated::call(self, body, deadline).await;
        #[cfg(not(feature = "simulation"))]
        self.carry(body, deadline).await
    }

    /// Asks, whatever a simulation makes of it.
    pub(super) async fn carry(&self, body: Bytes, deadline: Instant) -> Result<Bytes, CallError> {
        let Shared { in_flight, places, in_flight_max, body_bytes_max, .. } = self.connection.shared.as_ref();
        if body.len() > *body_bytes_max {
            let error = FrameError::TooLarge { bytes: body.len(), bytes_max: *body_bytes_max };
            return Err(CallError::Unsendable(error));
        }
        let busy = |_elapsed| CallError::Busy { in_flight_max: *in_flight_max };
        let _place = timeout_at(deadline, places.acquire()).await.map_err(busy)?.map_err(|_| CallError::Closed)?;
        let mut ticket = in_flight.enter().ok_or(CallError::Closed)?;
        // Calls that were given up may still wait to leave, so a place in flight is not yet room in
        // the queue.
        let question = Question { number: ticket.number, body };
        timeout_at(deadline, self.connection.outgoing.send(question)).await.map_err(busy)?.map_err(|_| CallError::Closed)?;
        match timeout_at(deadline, &mut ticket.answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_connection_ended)) => Err(CallError::Lost),
            Err(_elapsed) => Err(CallError::Deadline),
        }
    }

    /// Whether the connection is gone: every call fails from now on.
    pub fn is_closed(&self) -> bool {
        *self.connection.shared.closed.borrow()
    }

    /// Returns once the connection is gone.
    pub async fn closed(&self) {
        // The sender lives in what we hold, so waiting cannot fail.
        let _ = self.connection.shared.closed.subscribe().wait_for(|closed| *closed).await;
    }
}

/// What the clones of a caller share; the connection ends with it, even while a write is stuck.
struct Connection {
    shared: Arc<Shared>,
    outgoing: mpsc::Sender<Question>,
    task: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Question {
    number: u64,
    body: Bytes,
}

/// What callers and the task that moves their frames both see.
struct Shared {
    in_flight: InFlight,
    places: Semaphore,
    in_flight_max: usize,
    body_bytes_max: usize,
    closed: watch::Sender<bool>,
}

/// Who waits for which answer; nobody can once the connection has ended.
struct InFlight {
    waiting: Mutex<Option<BTreeMap<u64, oneshot::Sender<Bytes>>>>,
    next_number: AtomicU64,
}

impl InFlight {
    /// Registers a call, unless the connection has ended.
    fn enter(&self) -> Option<Ticket<'_>> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.with_waiting(|waiting| waiting.as_mut().map(|waiting| waiting.insert(number, sender)))?;
        Some(Ticket { in_flight: self, number, answer })
    }

    fn is_awaited(&self, number: u64) -> bool {
        self.with_waiting(|waiting| waiting.as_ref().is_some_and(|waiting| waiting.contains_key(&number)))
    }

    fn take(&self, number: u64) -> Option<oneshot::Sender<Bytes>> {
        self.with_waiting(|waiting| waiting.as_mut()?.remove(&number))
    }

    /// Wakes all that wait, without an answer.
    fn close(&self) {
        drop(self.with_waiting(Option::take));
    }

    fn with_waiting<T>(&self, work: impl FnOnce(&mut Option<BTreeMap<u64, oneshot::Sender<Bytes>>>) -> T) -> T {
        // The map is whole after every operation on it, so a panic elsewhere cannot have spoiled
        // it.
        work(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A call under way; dropping it forgets the call.
struct Ticket<'a> {
    in_flight: &'a InFlight,
    number: u64,
    answer: oneshot::Receiver<Bytes>,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.in_flight.take(self.number);
    }
}

/// Moves questions out and answers in until the connection ends.
async fn drive<R, W>(
    mut reader: FrameReader<R>,
    mut writer: FrameWriter<W>,
    questions: mpsc::Receiver<Question>,
    shared: Arc<Shared>,
) where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let ended = tokio::select! {
        ended = send_questions(&mut writer, questions, &shared.in_flight) => ended,
        ended = receive_answers(&mut reader, &shared.in_flight) => ended,
    };
    match ended {
        Ok(()) | Err(FrameError::Closed) => {}
        Err(error) => debug!(%error, "a connection for calls ended"),
    }
    shared.places.close();
    shared.in_flight.close();
    shared.closed.send_replace(true);
}

/// Sends whatever is waiting in one go, so that many calls share a write.
async fn send_questions<W: AsyncWrite + Unpin>(
    writer: &mut FrameWriter<W>,
    mut questions: mpsc::Receiver<Question>,
    in_flight: &InFlight,
) -> Result<(), FrameError> {
    while let Some(first) = questions.recv().await {
        let mut next = Some(first);
        while let Some(Question { number, body }) = next {
            if in_flight.is_awaited(number) {
                writer.feed_prefixed(&number.to_be_bytes(), body)?;
            }
            next = if writer.queued_bytes() < BATCH_BYTES { questions.try_recv().ok() } else { None };
        }
        writer.flush().await?;
    }
    Ok(())
}

async fn receive_answers<R: AsyncRead + Unpin>(reader: &mut FrameReader<R>, in_flight: &InFlight) -> Result<(), FrameError> {
    loop {
        let (number, body) = split_number(reader.receive_raw().await?)?;
        // An answer that nobody waits for any more was given up, or came after its deadline.
        if let Some(waiting) = in_flight.take(number) {
            let _ = waiting.send(body);
        }
    }
}
