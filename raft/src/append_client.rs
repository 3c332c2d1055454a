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
    /// There is a connection within `patience` of the first request, or an error.
    pub(crate) async fn stream<'s, S>(
        &'s mut self,
        requests: S,
        patience: Duration,
    ) -> Result<BoxStream<'s, Answered>, RPCError<TypeConfig>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        // openraft holds the first request back for as long as it wants to spare a node that is not reached. Who dialled
        // without waiting for it would be asked again at once, for ever.
        let mut requests = requests.peekable();
        if Pin::new(&mut requests).peek().await.is_none() {
            return Ok(Box::pin(stream::empty()));
        }
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let link = self.redial.link(Instant::now() + patience).await.map_err(|error| Unreachable::new(&error))?;
                Connection::new(link.reader, link.writer)
            }
        };
        Ok(connection.exchange(requests, self.timeout, &mut self.connection))
    }
}

impl Connection {
    fn new(reader: FrameReader, writer: FrameWriter) -> Self {
        Self { reader, writer, flow: Arc::default() }
    }

    /// Sends `requests` and gives their answers. The connection is put into `kept` if it is still good in the end.
    fn exchange<'s, S>(self, requests: S, timeout: Duration, kept: &'s mut Option<Self>) -> BoxStream<'s, Answered>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        let Self { reader, writer, flow } = self;
        let stale = flow.len();
        let sending = Sending::UnderWay(Box::pin(send_all(writer, requests, Arc::clone(&flow))));
        let exchange = Exchange { parts: Some(Parts { reader, sending, flow }), stale, timeout, kept };
        Box::pin(stream::unfold(exchange, |mut exchange| async {
            let answered = exchange.next().await?;
            Some((answered, exchange))
        }))
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

#[cfg(test)]
mod tests {
    use bursar_net::frame::frames;
    use bursar_storage::log::{LogPosition, Vote};
    use openraft::raft::StreamAppendError;
    use tokio::sync::mpsc;

    use super::*;
    use crate::{convert, types::LogId};

    const TIMEOUT: Duration = Duration::from_secs(60);

    /// A connection, and the other end of it.
    fn connection() -> (Connection, FrameReader, FrameWriter) {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (reader, writer) = frames(Box::new(ours), 1 << 20);
        let (their_reader, their_writer) = frames(Box::new(theirs), 1 << 20);
        (Connection::new(reader, writer), their_reader, their_writer)
    }

    fn position(index: u64) -> LogId {
        convert::log_id(LogPosition { term: 1, index })
    }

    /// A request that can be told from others by its index.
    fn request(index: u64) -> AppendEntriesRequest<TypeConfig> {
        AppendEntriesRequest {
            vote: convert::vote(Vote { term: 1, leader: 1, committed: true }),
            prev_log_id: Some(position(index)),
            entries: Vec::new(),
            leader_commit: None,
        }
    }

    async fn receive(reader: &mut FrameReader) -> u64 {
        let frame = reader.receive_raw().await.expect("a request comes");
        append::decode_request(&frame).expect("it is one").prev_log_id.expect("it has an index").index
    }

    async fn answer(writer: &mut FrameWriter, index: u64) {
        writer.send_raw(append::encode_answer(&Ok(Some(position(index))))).await.expect("it is awaited");
    }

    fn matched(answered: Option<Answered>) -> u64 {
        answered.expect("there is an answer").expect("it came").expect("it matches").expect("an entry").index
    }

    #[tokio::test]
    async fn requests_leave_before_earlier_ones_are_answered_and_answers_come_in_order() {
        let (connection, mut reader, mut writer) = connection();
        let (requests, taken) = mpsc::unbounded_channel();
        let taken = Box::pin(stream::unfold(taken, |mut taken| async { Some((taken.recv().await?, taken)) }));
        let mut kept = None;
        let mut answers = connection.exchange(taken, TIMEOUT, &mut kept);
        for index in [1, 2, 3] {
            requests.send(request(index)).expect("it is taken");
        }
        let other_side = async {
            for index in [1, 2, 3] {
                assert_eq!(receive(&mut reader).await, index);
            }
            answer(&mut writer, 1).await;
        };
        let (first, ()) = tokio::join!(answers.next(), other_side);
        assert_eq!(matched(first), 1);
        answer(&mut writer, 2).await;
        answer(&mut writer, 3).await;
        assert_eq!([matched(answers.next().await), matched(answers.next().await)], [2, 3]);
        drop(requests);
        assert!(answers.next().await.is_none(), "the stream ends with its requests");
        drop(answers);
        assert!(kept.is_some(), "the connection is good for another stream");
    }

    #[tokio::test]
    async fn an_answer_that_was_given_up_is_not_taken_for_the_next_one() {
        let (connection, mut reader, mut writer) = connection();
        let mut kept = None;
        let mut answers = connection.exchange(stream::iter([request(1)]), TIMEOUT, &mut kept);
        tokio::select! {
            _ = answers.next() => panic!("nobody has answered"),
            index = receive(&mut reader) => assert_eq!(index, 1),
        }
        // What was asked has left; now it is known to have.
        assert!(answers.next().now_or_never().is_none());
        drop(answers);
        let connection = kept.take().expect("one answer that is owed does not cost the connection");

        let mut answers = connection.exchange(stream::iter([request(2)]), TIMEOUT, &mut kept);
        let other_side = async {
            assert_eq!(receive(&mut reader).await, 2);
            answer(&mut writer, 1).await;
            answer(&mut writer, 2).await;
        };
        let (second, ()) = tokio::join!(answers.next(), other_side);
        assert_eq!(matched(second), 2);
    }

    #[tokio::test]
    async fn a_refusal_ends_the_stream_and_the_connection() {
        let (connection, mut reader, mut writer) = connection();
        let mut kept = None;
        let mut answers = connection.exchange(stream::iter([request(1), request(2)]), TIMEOUT, &mut kept);
        let other_side = async {
            assert_eq!(receive(&mut reader).await, 1);
            let conflict = append::encode_answer(&Err(StreamAppendError::Conflict(position(1))));
            writer.send_raw(conflict).await.expect("it is awaited");
        };
        let (refused, ()) = tokio::join!(answers.next(), other_side);
        assert!(matches!(refused, Some(Ok(Err(StreamAppendError::Conflict(at)))) if at == position(1)));
        assert!(answers.next().await.is_none());
        drop(answers);
        assert!(kept.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_stays_unanswered_ends_the_connection() {
        let (connection, _reader, _writer) = connection();
        let mut kept = None;
        let mut answers = connection.exchange(stream::iter([request(1)]), TIMEOUT, &mut kept);
        let began = Instant::now();
        assert!(matches!(answers.next().await, Some(Err(RPCError::Network(_)))));
        assert_eq!(began.elapsed(), TIMEOUT);
        drop(answers);
        assert!(kept.is_none());
    }
}
