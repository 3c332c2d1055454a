//! The side that answers.

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinError;

use super::{BATCH_BYTES, split_number};
use crate::TaskSet;
use crate::frame::{FrameError, FrameReader, FrameWriter};

/// Why answering ended other than by the peer closing the connection.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The connection failed, the peer sent something that is no question, or an answer was too
    /// large to send.
    #[error(transparent)]
    Frame(FrameError),
    /// The handler panicked, so a question has no answer; closing the connection tells the peer so.
    #[error("answering a question panicked")]
    HandlerPanicked,
}

/// Answers questions, each in a task of its own and in whatever order they get done, until the peer
/// closes the connection. While `in_flight_max` are being answered no further one is read. Dropping
/// the future, or its end, stops the tasks that are under way.
pub async fn answer<R, W, H, F>(
    mut reader: FrameReader<R>,
    mut writer: FrameWriter<W>,
    in_flight_max: usize,
    handler: H,
) -> Result<(), AnswerError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    H: Fn(Bytes) -> F,
    F: Future<Output = Bytes> + Send + 'static,
{
    let mut under_way = TaskSet::new();
    loop {
        tokio::select! {
            question = reader.receive_raw(), if under_way.len() < in_flight_max => {
                let (number, body) = match question.and_then(split_number) {
                    Ok(question) => question,
                    Err(FrameError::Closed) => return Ok(()),
                    Err(error) => return Err(AnswerError::Frame(error)),
                };
                let answer = handler(body);
                under_way.spawn(async move { (number, answer.await) });
            }
            Some(done) = under_way.join_next() => {
                let mut next = Some(done);
                while let Some(done) = next {
                    feed_answer(&mut writer, done)?;
                    let has_room = writer.queued_bytes() < BATCH_BYTES;
                    next = if has_room { under_way.try_join_next() } else { None };
                }
                match writer.flush().await {
                    Ok(()) => {}
                    Err(FrameError::Closed) => return Ok(()),
                    Err(error) => return Err(AnswerError::Frame(error)),
                }
            }
        }
    }
}

fn feed_answer<W: AsyncWrite + Unpin>(
    writer: &mut FrameWriter<W>,
    done: Result<(u64, Bytes), JoinError>,
) -> Result<(), AnswerError> {
    let (number, body) = done.map_err(|_| AnswerError::HandlerPanicked)?;
    writer.feed_prefixed(&number.to_be_bytes(), body).map_err(AnswerError::Frame)
}
