//! Length-prefixed frames over any byte stream.
//!
//! A frame is a big-endian `u32` length, one version byte, and the payload; the length counts the
//! version byte and the payload. The payload is MessagePack with named fields, unless the two ends
//! have agreed on something else to put before or around it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::BoxedStream;

/// The largest payload that a connection takes unless it is told otherwise.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The one version of frames that there is.
const FRAME_VERSION: u8 = 1;

const LENGTH_BYTES: usize = 4;
const HEADER_BYTES: usize = LENGTH_BYTES + 1;

/// Payloads below this are copied together, larger ones are handed to the stream as they are.
const COPY_BELOW_BYTES: usize = 4 * 1024;

/// How large a block of memory to read into is at least, and at most: a peer that announces much and sends little shall not
/// make us allocate much.
const READ_BYTES_MIN: usize = 32 * 1024;
const READ_BYTES_MAX: usize = 256 * 1024;

/// How much room a read is given at least: with less, what one read could take would come in many.
const ROOM_BYTES_MIN: usize = 4 * 1024;

/// How many pieces one write may gather.
const SLICES_MAX: usize = 64;

/// How deep a payload may nest.
const DEPTH_MAX: usize = 128;

/// Why a frame could not be sent or received. After any of them but [`FrameError::TooLarge`] from a
/// writer the connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The peer is gone.
    #[error("the peer closed the connection")]
    Closed,
    /// A payload over the connection's bound.
    #[error("a frame of {bytes} bytes is over the limit of {bytes_max}")]
    TooLarge {
        /// Size of the payload, in bytes.
        bytes: usize,
        /// The connection's bound, in bytes.
        bytes_max: usize,
    },
    /// A peer that speaks something else, or something newer.
    #[error("a frame has version {version}, this node speaks {FRAME_VERSION}: upgrade the older of the two")]
    UnknownVersion {
        /// The version that came.
        version: u8,
    },
    /// Bytes that are not what was expected here.
    #[error("a frame cannot be understood: {reason}")]
    Malformed {
        /// What was wrong with it.
        reason: String,
    },
    /// The stream failed.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => FrameError::Closed,
            _ => FrameError::Io(error),
        }
    }
}

/// Encodes `message` as MessagePack with named fields.
pub fn encode<T: Serialize + ?Sized>(message: &T) -> Result<Bytes, FrameError> {
    rmp_serde::to_vec_named(message).map(Bytes::from).map_err(|error| FrameError::Malformed { reason: error.to_string() })
}

/// Decodes one MessagePack value that is the whole of `payload`.
pub fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, FrameError> {
    let mut decoder = rmp_serde::Deserializer::new(io::Cursor::new(payload));
    decoder.set_max_depth(DEPTH_MAX);
    let message = T::deserialize(&mut decoder).map_err(|error| FrameError::Malformed { reason: error.to_string() })?;
    let left_over = payload.len() as u64 - decoder.position();
    if left_over > 0 {
        return Err(FrameError::Malformed { reason: format!("{left_over} bytes follow the message") });
    }
    Ok(message)
}

/// Makes frames of a stream's both directions.
pub fn frames(stream: BoxedStream, bytes_max: usize) -> (FrameReader, FrameWriter) {
    let (read, write) = tokio::io::split(stream);
    (FrameReader::new(read, bytes_max), FrameWriter::new(write, bytes_max))
}

/// Receives frames.
pub struct FrameReader<R = ReadHalf<BoxedStream>> {
    stream: R,
    received: BytesMut,
    bytes_max: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from `stream`, refusing payloads above `bytes_max`.
    pub fn new(stream: R, bytes_max: usize) -> Self {
        Self { stream, received: BytesMut::new(), bytes_max }
    }

    /// Sets the bound anew, for the frames not yet received.
    pub fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// The next frame's payload; it shares the block of memory that it was read into. Dropping the
    /// future loses nothing: the next call goes on where it stopped.
    pub async fn receive_raw(&mut self) -> Result<Bytes, FrameError> {
        loop {
            let missing = match self.next_frame()? {
                Progress::Complete(payload) => return Ok(payload),
                Progress::Missing(bytes) => bytes,
            };
            self.make_room(missing);
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(FrameError::Closed);
            }
        }
    }

    /// The next frame, decoded; as safe to drop as [`FrameReader::receive_raw`].
    pub async fn receive<T: DeserializeOwned>(&mut self) -> Result<T, FrameError> {
        decode(&self.receive_raw().await?)
    }

    /// Makes room for a read. Payloads that were handed out may hold the block of memory for long, so what is left of it is
    /// used up as far as it goes before there is a new one.
    fn make_room(&mut self, missing: usize) {
        let room = self.received.capacity() - self.received.len();
        if room < missing.clamp(ROOM_BYTES_MIN, READ_BYTES_MAX) {
            self.received.reserve(missing.clamp(READ_BYTES_MIN, READ_BYTES_MAX));
        }
    }

    fn next_frame(&mut self) -> Result<Progress, FrameError> {
        if self.received.len() < HEADER_BYTES {
            return Ok(Progress::Missing(HEADER_BYTES - self.received.len()));
        }
        let mut header = &self.received[..HEADER_BYTES];
        let length = header.get_u32() as usize;
        let version = header.get_u8();
        if version != FRAME_VERSION {
            return Err(FrameError::UnknownVersion { version });
        }
        let Some(payload_bytes) = length.checked_sub(1) else {
            return Err(FrameError::Malformed { reason: "its length is zero".to_owned() });
        };
        if payload_bytes > self.bytes_max {
            return Err(FrameError::TooLarge { bytes: payload_bytes, bytes_max: self.bytes_max });
        }
        let frame_bytes = HEADER_BYTES + payload_bytes;
        if self.received.len() < frame_bytes {
            return Ok(Progress::Missing(frame_bytes - self.received.len()));
        }
        self.received.advance(HEADER_BYTES);
        let payload = self.received.split_to(payload_bytes).freeze();
        if payload_bytes > READ_BYTES_MAX {
            // The rest moves to a block of its own, so that one large frame does not keep its
            // memory for as long as the connection lasts.
            self.received = BytesMut::from(&self.received[..]);
        }
        Ok(Progress::Complete(payload))
    }
}

enum Progress {
    Complete(Bytes),
    Missing(usize),
}

/// Sends frames. `feed` queues them, `flush` puts all that are queued on the stream in as few
/// writes as it takes.
pub struct FrameWriter<W = WriteHalf<BoxedStream>> {
    stream: W,
    bytes_max: usize,
    /// What goes out first, in order, then `tail`.
    queued: VecDeque<Bytes>,
    /// Headers and small payloads, copied together.
    tail: BytesMut,
    queued_bytes: usize,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes to `stream`, refusing payloads above `bytes_max`.
    pub fn new(stream: W, bytes_max: usize) -> Self {
        Self { stream, bytes_max, queued: VecDeque::new(), tail: BytesMut::new(), queued_bytes: 0 }
    }

    /// The largest payload that this sends.
    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Sets the bound anew, for the frames not yet fed.
    pub fn set_bytes_max(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// How many bytes wait for [`FrameWriter::flush`].
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Queues one frame whose payload is `payload`.
    pub fn feed_raw(&mut self, payload: Bytes) -> Result<(), FrameError> {
        self.feed_prefixed(&[], payload)
    }

    /// Queues one frame whose payload is `prefix` followed by `payload`, without copying a large
    /// one.
    pub fn feed_prefixed(&mut self, prefix: &[u8], payload: Bytes) -> Result<(), FrameError> {
        let bytes = prefix.len() + payload.len();
        let length = u32::try_from(bytes + 1).ok().filter(|_| bytes <= self.bytes_max);
        let Some(length) = length else {
            return Err(FrameError::TooLarge { bytes, bytes_max: self.bytes_max });
        };
        self.tail.put_u32(length);
        self.tail.put_u8(FRAME_VERSION);
        self.tail.put_slice(prefix);
        if payload.len() < COPY_BELOW_BYTES {
            self.tail.put_slice(&payload);
        } else {
            self.queued.push_back(self.tail.split().freeze());
            self.queued.push_back(payload);
        }
        self.queued_bytes += HEADER_BYTES + bytes;
        Ok(())
    }

    /// Queues one message.
    pub fn feed<T: Serialize + ?Sized>(&mut self, message: &T) -> Result<(), FrameError> {
        self.feed_raw(encode(message)?)
    }

    /// Sends all that is queued. Dropping the future loses nothing: the next call goes on where it
    /// stopped.
    pub async fn flush(&mut self) -> Result<(), FrameError> {
        if !self.tail.is_empty() {
            self.queued.push_back(self.tail.split().freeze());
        }
        while !self.queued.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let used = self.queued.len().min(SLICES_MAX);
            for (slice, bytes) in slices.iter_mut().zip(&self.queued) {
                *slice = IoSlice::new(bytes);
            }
            let written = self.stream.write_vectored(&slices[..used]).await?;
            if written == 0 {
                return Err(FrameError::Closed);
            }
            self.forget_written(written);
        }
        Ok(self.stream.flush().await?)
    }

    /// Sends one payload, behind all that is queued.
    pub async fn send_raw(&mut self, payload: Bytes) -> Result<(), FrameError> {
        self.feed_raw(payload)?;
        self.flush().await
    }

    /// Sends one message, behind all that is queued.
    pub async fn send<T: Serialize + ?Sized>(&mut self, message: &T) -> Result<(), FrameError> {
        self.feed(message)?;
        self.flush().await
    }

    /// Sends all that is queued and tells the peer that no more will come.
    pub async fn close(&mut self) -> Result<(), FrameError> {
        self.flush().await?;
        Ok(self.stream.shutdown().await?)
    }

    fn forget_written(&mut self, mut written: usize) {
        self.queued_bytes -= written;
        while let Some(first) = self.queued.front_mut() {
            if written < first.len() {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.queued.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
