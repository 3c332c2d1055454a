//! Cutting the items of a state into chunks of a size that is good to write and to send, and reading them again.
//!
//! ```text
//! payload of a chunk: number u32 | (length u32 | item)…
//! ```
//!
//! The number stands inside the checksum, so that a chunk in another's place is noticed.

use bytes::{BufMut, Bytes};

use crate::StorageError;
use crate::envelope::{self, HEADER_BYTES, Kind, OpenError};

/// A chunk is closed once it has this many bytes; the last item may reach beyond.
const CHUNK_BYTES: usize = 256 << 10;
/// The envelope version of a chunk.
const VERSION: u8 = 1;
const NUMBER_BYTES: usize = 4;

/// A chunk whose checksum, number and shape were checked.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    frame: Bytes,
    items: u64,
}

impl Chunk {
    /// Opens the chunk with this number.
    pub(super) fn open(number: u32, frame: Bytes) -> Result<Self, OpenError> {
        let malformed = |detail: String| OpenError::Malformed { detail };
        let (_, payload) = envelope::open(Kind::CheckpointChunk, VERSION, &frame)?;
        let (found, mut rest) = split_number(payload).ok_or_else(|| malformed("shorter than its number".into()))?;
        if found != number {
            return Err(malformed(format!("it says that it is chunk {found}")));
        }
        let mut items = 0;
        while !rest.is_empty() {
            (_, rest) = split_item(rest).ok_or_else(|| malformed(format!("item {items} reaches beyond the end")))?;
            items += 1;
        }
        Ok(Self { frame, items })
    }

    /// How many items it holds.
    pub(super) const fn len(&self) -> u64 {
        self.items
    }

    /// Its items, in order.
    pub(super) fn items(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.frame[HEADER_BYTES + NUMBER_BYTES..];
        std::iter::from_fn(move || {
            let (item, behind) = split_item(rest)?;
            rest = behind;
            Some(item)
        })
    }

    /// As it rests and travels.
    pub(super) fn into_frame(self) -> Bytes {
        self.frame
    }
}

/// How much was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) chunks: u32,
    pub(super) items: u64,
}

/// Cuts items into framed chunks and hands each to `put` as soon as it is full: no more than one is ever in memory.
pub(super) fn cut(
    items: impl Iterator<Item = Vec<u8>>,
    mut put: impl FnMut(u32, Bytes) -> Result<(), StorageError>,
) -> Result<Extent, StorageError> {
    let mut extent = Extent { chunks: 0, items: 0 };
    let mut payload = Vec::new();
    let mut items = items.peekable();
    while let Some(item) = items.next() {
        if payload.is_empty() {
            payload.put_u32(extent.chunks);
        }
        payload.put_u32(u32::try_from(item.len()).expect("an item of the state is far below 4 GiB"));
        payload.put_slice(&item);
        extent.items += 1;
        if payload.len() >= CHUNK_BYTES || items.peek().is_none() {
            put(extent.chunks, envelope::seal(Kind::CheckpointChunk, VERSION, &payload))?;
            payload.clear();
            extent.chunks += 1;
        }
    }
    Ok(extent)
}

fn split_number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<NUMBER_BYTES>()?;
    Some((u32::from_be_bytes(*number), rest))
}

fn split_item(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = split_number(bytes)?;
    rest.split_at_checked(usize::try_from(length).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks_of(items: &[Vec<u8>]) -> Vec<Bytes> {
        let mut chunks = Vec::new();
        let extent = cut(items.iter().cloned(), |number, frame| {
            assert_eq!(number as usize, chunks.len());
            chunks.push(frame);
            Ok(())
        });
        let expected = Extent { chunks: chunks.len() as u32, items: items.len() as u64 };
        assert_eq!(extent, Ok(expected));
        chunks
    }

    #[test]
    fn what_is_cut_reads_back_in_order_whatever_the_sizes() {
        let sizes = [0, 1, CHUNK_BYTES - 13, 5, CHUNK_BYTES, 3 * CHUNK_BYTES, 0, 7];
        let items: Vec<Vec<u8>> = sizes.iter().zip(0..).map(|(size, byte)| vec![byte; *size]).collect();
        let chunks = chunks_of(&items);
        assert!(chunks.len() > 3, "{} chunks", chunks.len());
        let mut read = Vec::new();
        for (number, frame) in chunks.into_iter().enumerate() {
            let chunk = Chunk::open(number as u32, frame).expect("it was just cut");
            let before = read.len();
            read.extend(chunk.items().map(<[u8]>::to_vec));
            assert_eq!((read.len() - before) as u64, chunk.len());
        }
        assert_eq!(read, items);
    }

    #[test]
    fn nothing_makes_no_chunk() {
        assert!(chunks_of(&[]).is_empty());
    }

    #[test]
    fn a_chunk_in_anothers_place_is_refused() {
        let frame = chunks_of(&[b"an item".to_vec()]).remove(0);
        let error = Chunk::open(1, frame).expect_err("it is chunk 0");
        assert!(error.to_string().contains("says that it is chunk 0"), "{error}");
    }

    #[test]
    fn an_item_that_reaches_beyond_the_end_is_refused() {
        let payload = b"\x00\x00\x00\x00\x00\x00\x00\x02a";
        let frame = envelope::seal(Kind::CheckpointChunk, VERSION, payload);
        let error = Chunk::open(0, frame).expect_err("the item has one byte of two");
        assert!(error.to_string().contains("item 0 reaches beyond the end"), "{error}");
    }
}
