//! Reading the event stream, over broken connections and from whichever node answers.

use std::time::Duration;

use bursar_domain::Cursor;
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::{
    Request, StatusCode,
    body::Incoming,
    client::conn::http1::SendRequest,
    header::{ACCEPT, AUTHORIZATION, HOST},
};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{
    Attempt, Call, Client, ClientError, Failure, Failures, NodeUrl, ROUND_PAUSE,
    connection::{self, Body},
    is_passing, millis, target,
};
use crate::{
    Problem,
    events::{BOOKMARK_INTERVAL, StreamItem},
    header, media,
    query::EventsQuery,
};

/// The longest line, in bytes: a decision's events take at most 1 MiB encoded, and JSON is a few times longer.
const LINE_BYTES_MAX: usize = 16 << 20;
/// How long a stream may be silent before it is taken for dead: two bookmarks may be late, a third is not waited for.
const SILENCE_MAX: Duration = Duration::from_secs(3 * BOOKMARK_INTERVAL.as_secs());

/// Reads events one after the other. Where a connection breaks, it goes on with the next node behind the last item that it
/// handed out, so that none is missed and none comes twice.
pub struct EventReader {
    client: Client,
    query: EventsQuery,
    /// Behind which to go on.
    position: Option<Cursor>,
    stream: Option<Stream>,
    ended: bool,
}

struct Stream {
    node: NodeUrl,
    /// The node's place among the client's.
    index: usize,
    opened: Instant,
    /// Keeps the connection open.
    _sender: SendRequest<Body>,
    body: Incoming,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line's end.
    searched: usize,
}

impl EventReader {
    pub(super) fn new(client: Client, query: EventsQuery) -> Self {
        let position = query.since.as_deref().and_then(|since| since.parse().ok());
        Self { client, query, position, stream: None, ended: false }
    }

    /// Behind which the next item comes.
    pub fn position(&self) -> Option<Cursor> {
        self.position
    }

    /// The next item; none at the end of a stream that does not follow, and behind [`StreamItem::Gone`]. Dropping the future
    /// loses nothing.
    ///
    /// # Errors
    /// Those of any request, once no node has answered within the client's timeout; and [`ClientError::Malformed`] where a
    /// node sends what does not come behind what it sent before.
    pub async fn next(&mut self) -> Result<Option<StreamItem>, ClientError> {
        if self.ended {
            return Ok(None);
        }
        let mut failures = Failures::default();
        let mut until = Instant::now() + self.client.shared.config.timeout;
        loop {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                None => {
                    let stream = self.connect(until, &mut failures).await?;
                    self.stream.insert(stream)
                }
            };
            let failure = match timeout(SILENCE_MAX, stream.line()).await {
                Ok(Ok(Some(line))) => match self.take(&line)? {
                    StreamItem::Problem(problem) => self.refused(problem)?,
                    item => return Ok(Some(item)),
                },
                Ok(Ok(None)) if self.query.follow == Some(false) => {
                    self.ended = true;
                    return Ok(None);
                }
                Ok(Ok(None)) => Failure::Cut,
                Ok(Err(failure)) => failure,
                Err(_) => Failure::Silent { waited_ms: millis(SILENCE_MAX) },
            };
            let stream = self.stream.take().expect("a failure is a stream's");
            failures.note(stream.node.clone(), failure);
            // The next node may hold its streams better. Patience starts anew where this one held for long.
            self.client.prefer((stream.index + 1) % self.client.nodes().len());
            if stream.opened.elapsed() > ROUND_PAUSE {
                until = Instant::now() + self.client.shared.config.timeout;
            }
            sleep(ROUND_PAUSE).await;
        }
    }

    /// Tells a refusal for good from one that another node may lift.
    fn refused(&self, problem: Problem) -> Result<Failure, ClientError> {
        if is_passing(problem.status) {
            return Ok(Failure::Refused(Box::new(problem)));
        }
        let node = self.stream.as_ref().expect("a refusal comes from a stream").node.clone();
        Err(ClientError::Problem { node, problem: Box::new(problem), request: None })
    }

    fn take(&mut self, line: &[u8]) -> Result<StreamItem, ClientError> {
        let item = serde_json::from_slice(line).map_err(|error| error.to_string()).and_then(|item| self.follow(item));
        item.map_err(|detail| {
            let node = self.stream.take().expect("a line comes from a stream").node;
            ClientError::Malformed { node, status: StatusCode::OK.as_u16(), detail }
        })
    }

    /// Checks that an item comes behind what was handed out, and moves there.
    fn follow(&mut self, item: StreamItem) -> Result<StreamItem, String> {
        let Some(cursor) = item.cursor() else {
            self.ended = matches!(item, StreamItem::Gone(_));
            return Ok(item);
        };
        let cursor: Cursor = cursor.parse().map_err(|error| format!("{error}, not like {cursor}"))?;
        let behind = match item {
            StreamItem::Event(_) => self.position.is_none_or(|position| cursor > position),
            _ => self.position.is_none_or(|position| cursor >= position),
        };
        if !behind {
            let position = self.position.map(|position| position.to_string()).unwrap_or_default();
            return Err(format!("the stream went back from {position} to {cursor}"));
        }
        self.position = Some(cursor);
        Ok(item)
    }

    async fn connect(&mut self, until: Instant, failures: &mut Failures) -> Result<Stream, ClientError> {
        let since = self.position.map(|position| position.to_string()).or_else(|| self.query.since.clone());
        let query = EventsQuery { since, ..self.query.clone() };
        let call = Call::read(target("events", &query));
        loop {
            for (turn, index) in self.client.in_turn().enumerate() {
                let started = Instant::now();
                if started >= until {
                    return Err(std::mem::take(failures).into_error(&call));
                }
                let node = self.client.nodes()[index].clone();
                match timeout_at(self.client.end_of_turn(turn, until), self.open(index, &call)).await {
                    Ok(Ok(stream)) => return Ok(stream),
                    Ok(Err(Attempt::Final(error))) => return Err(error),
                    Ok(Err(Attempt::Passing { failure, .. })) => failures.note(node, failure),
                    Err(_) => {
                        failures.note(node, Failure::Silent { waited_ms: millis(started.elapsed()) });
                    }
                }
            }
            sleep(ROUND_PAUSE).await;
        }
    }

    async fn open(&mut self, index: usize, call: &Call) -> Result<Stream, Attempt> {
        let passing = |failure| Attempt::Passing { failure, retry_after: None, sent: true };
        let node = self.client.nodes()[index].clone();
        let request = || self.request(&node, call);
        let (sender, response) = self.client.shared.connections[index].send(request).await.map_err(passing)?;
        if !response.status().is_success() {
            let reply = connection::read(response).await.map_err(passing)?;
            return Err(self.client.judge(&node, reply, call).expect_err("the status is no success"));
        }
        let (head, body) = response.into_parts();
        if self.position.is_none() {
            // Asked for the head, the node says where that was: a reader that is cut off before the first item resumes there.
            let head = head.headers.get(header::REVISION).and_then(|head| head.to_str().ok());
            self.position = head.and_then(|head| head.parse().ok());
        }
        self.client.prefer(index);
        Ok(Stream { node, index, opened: Instant::now(), _sender: sender, body, buffer: BytesMut::new(), searched: 0 })
    }

    fn request(&self, node: &NodeUrl, call: &Call) -> Result<Request<Body>, Failure> {
        let mut request = Request::get(&call.target).header(HOST, node.authority()).header(ACCEPT, media::NDJSON);
        if let Some(authorization) = self.client.authorization()? {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(Body::default()).map_err(|error| Failure::Unsendable { detail: error.to_string() })
    }
}

impl Stream {
    /// The next line that is not empty; none at the end of the body. Whatever was received stays in the buffer when the future
    /// is dropped.
    async fn line(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            while let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.searched + end).freeze();
                self.buffer.advance(1);
                self.searched = 0;
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(line));
                }
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(Failure::TooLarge { bytes_max: LINE_BYTES_MAX });
            }
            match self.body.frame().await {
                // A line without its end was cut off, and comes again.
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}
