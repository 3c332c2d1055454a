//! Frames, over streams in memory.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use tokio::io::{DuplexStream, duplex};

use super::*;

const LIMIT: usize = 1024;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    number: u32,
    text: String,
}

fn note(number: u32) -> Note {
    Note { number, text: "hello".to_owned() }
}

/// A writer of bytes and a reader of frames at the two ends of a stream.
fn raw_to_frames() -> (DuplexStream, FrameReader<DuplexStream>) {
    let (left, right) = duplex(64 * 1024);
    (left, FrameReader::new(right, LIMIT))
}

async fn receive_bytes(bytes: &[u8]) -> Result<Bytes, FrameError> {
    let (mut sender, mut reader) = raw_to_frames();
    sender.write_all(bytes).await.unwrap();
    drop(sender);
    reader.receive_raw().await
}

#[tokio::test]
async fn messages_arrive_in_order_and_the_end_is_noticed() {
    let (left, right) = duplex(64);
    let (mut writer, mut reader) = (FrameWriter::new(left, LIMIT), FrameReader::new(right, LIMIT));
    tokio::spawn(async move {
        for number in 0..100 {
            writer.send(&note(number)).await.unwrap();
        }
        writer.close().await.unwrap();
    });
    for number in 0..100 {
        assert_eq!(reader.receive::<Note>().await.unwrap(), note(number));
    }
    assert!(matches!(reader.receive::<Note>().await, Err(FrameError::Closed)));
}

#[tokio::test]
async fn the_bytes_of_a_frame_are_these() {
    let mut writer = FrameWriter::new(Vec::new(), LIMIT);
    writer.send(&note(7)).await.unwrap();
    let expected = b"\x00\x00\x00\x15\x01\x82\xa6number\x07\xa4text\xa5hello";
    assert_eq!(writer.stream, expected);
}

#[tokio::test]
async fn dropping_the_future_loses_no_byte() {
    let (mut sender, mut reader) = raw_to_frames();
    let frame = b"\x00\x00\x00\x06\x01hello";
    for byte in &frame[..frame.len() - 1] {
        sender.write_all(&[*byte]).await.unwrap();
        assert!(reader.receive_raw().now_or_never().is_none());
    }
    sender.write_all(&frame[frame.len() - 1..]).await.unwrap();
    assert_eq!(reader.receive_raw().await.unwrap(), "hello");
}

#[tokio::test]
async fn a_frame_at_the_limit_passes_and_one_byte_more_is_refused_before_it_is_read() {
    let whole = [&[0, 0, 4, 1, 1][..], &[7; LIMIT]].concat();
    assert_eq!(receive_bytes(&whole).await.unwrap(), vec![7; LIMIT]);
    let refused = receive_bytes(&[0, 0, 4, 2, 1]).await;
    assert!(matches!(refused, Err(FrameError::TooLarge { bytes: 1025, bytes_max: LIMIT })));
    let refused = receive_bytes(&[0xff, 0xff, 0xff, 0xff, 1]).await;
    assert!(matches!(refused, Err(FrameError::TooLarge { bytes: 0xffff_fffe, bytes_max: LIMIT })));
}

#[tokio::test]
async fn a_writer_refuses_what_its_peer_would_and_goes_on() {
    let mut writer = FrameWriter::new(Vec::new(), LIMIT);
    let refused = writer.send_raw(vec![0; LIMIT + 1].into()).await;
    assert!(matches!(refused, Err(FrameError::TooLarge { bytes: 1025, bytes_max: LIMIT })));
    writer.send_raw(Bytes::from_static(b"ok")).await.unwrap();
    assert_eq!(writer.stream, b"\x00\x00\x00\x03\x01ok");
}

#[tokio::test]
async fn what_is_no_frame_is_told_apart() {
    let refused = receive_bytes(b"GET / HTTP/1.1\r\n").await;
    assert!(matches!(refused, Err(FrameError::UnknownVersion { version: b'/' })));
    let refused = receive_bytes(b"\x00\x00\x00\x02\x02x").await;
    assert!(matches!(refused, Err(FrameError::UnknownVersion { version: 2 })));
    let refused = receive_bytes(b"\x00\x00\x00\x00\x01").await;
    assert!(matches!(refused, Err(FrameError::Malformed { .. })));
    let cut_short = receive_bytes(b"\x00\x00\x00\x06\x01hel").await;
    assert!(matches!(cut_short, Err(FrameError::Closed)));
}

#[test]
fn a_payload_is_one_message_and_nothing_else() {
    let whole = encode(&note(1)).unwrap();
    assert_eq!(decode::<Note>(&whole).unwrap(), note(1));

    let with_a_tail = [&whole[..], &[0xc0]].concat();
    let cut_short = &whole[..whole.len() - 1];
    let unknown_field = encode(&serde_bytes::ByteBuf::from(vec![1])).unwrap();
    for payload in [&with_a_tail[..], cut_short, &unknown_field, &[]] {
        assert!(matches!(decode::<Note>(payload), Err(FrameError::Malformed { .. })), "{payload:?}");
    }

    #[derive(Serialize)]
    struct NewerNote {
        number: u32,
        text: &'static str,
        colour: &'static str,
    }
    let newer = encode(&NewerNote { number: 1, text: "hello", colour: "red" }).unwrap();
    let refused = decode::<Note>(&newer).unwrap_err();
    assert!(refused.to_string().contains("colour"), "{refused}");
}

#[test]
fn a_deeply_nested_payload_is_refused() {
    #[derive(Debug, Deserialize)]
    struct Nest(#[expect(dead_code, reason = "only its depth matters")] Vec<Nest>);
    // Arrays of one element, each inside the one before.
    let nested = [&vec![0x91; 100_000][..], &[0x90]].concat();
    assert!(matches!(decode::<Nest>(&nested), Err(FrameError::Malformed { .. })));
}

/// Takes a bounded number of bytes a write and counts the writes.
struct CountingStream {
    bytes_a_write: usize,
    writes: usize,
    written: Vec<u8>,
}

impl AsyncWrite for CountingStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes += 1;
        let mut taken = 0;
        for slice in slices {
            let room = self.bytes_a_write - taken;
            let part = &slice[..slice.len().min(room)];
            self.written.extend_from_slice(part);
            taken += part.len();
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Small and large payloads in turn.
fn mixed_payloads() -> Vec<Bytes> {
    (0..20u8).map(|number| vec![number; if number % 3 == 0 { 10_000 } else { 10 }].into()).collect()
}

async fn write_mixed(bytes_a_write: usize) -> CountingStream {
    let stream = CountingStream { bytes_a_write, writes: 0, written: Vec::new() };
    let mut writer = FrameWriter::new(stream, 1 << 20);
    for payload in mixed_payloads() {
        writer.feed_raw(payload).unwrap();
    }
    let queued = writer.queued_bytes();
    writer.flush().await.unwrap();
    assert_eq!(writer.queued_bytes(), 0);
    assert_eq!(writer.stream.written.len(), queued);
    writer.stream
}

#[tokio::test]
async fn many_frames_go_out_in_one_write() {
    let stream = write_mixed(usize::MAX).await;
    assert_eq!(stream.writes, 1);
}

#[tokio::test]
async fn partial_writes_keep_every_byte_in_place() {
    for bytes_a_write in [1, 7, 4096] {
        let stream = write_mixed(bytes_a_write).await;
        let mut reader = FrameReader::new(stream.written.as_slice(), 1 << 20);
        for payload in mixed_payloads() {
            assert_eq!(reader.receive_raw().await.unwrap(), payload);
        }
        assert!(matches!(reader.receive_raw().await, Err(FrameError::Closed)));
    }
}
