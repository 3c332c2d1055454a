//! How the ledger lies in an engine: the keys, and reading what is under them with every check.
//!
//! | space | key | value |
//! |---|---|---|
//! | journal | revision, 8 bytes | one record, as the domain encodes it |
//! | checkpoints | generation, 8 bytes; `0` | the manifest |
//! | checkpoints | generation, 8 bytes; `1`; number, 4 bytes | a chunk |
//! | ledger state | `stamp` | the format, and whose ledger it is |
//! | ledger state | `applied` | the [`Applied`] position |
//! | ledger state | `checkpoint` | the generation in use |
//! | ledger state | `base` | the generation at the floor; absent where the journal begins at its first record |
//!
//! Numbers are big-endian, so that keys sort as they count. Every value is in an [`envelope`](crate::envelope).

use std::ops::{ControlFlow, RangeInclusive};

use bursar_domain::{Revision, StoreId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::applied::Applied;
use super::chunk::Chunk;
use super::manifest::Manifest;
use crate::engine::{Batch, Direction, Engine, KeyRange, Space, Stamping};
use crate::envelope::{self, HEADER_BYTES, Kind, OpenError};
use crate::{Place, StorageError};

/// The envelope version of a record; what is inside has a version of its own.
const RECORD_VERSION: u8 = 1;
/// The envelope version of the pointer to a generation.
const POINTER_VERSION: u8 = 1;

/// The name of the journal in errors.
pub(super) const JOURNAL: &str = "the journal";
/// The name of the whole store in errors.
pub(super) const LEDGER: &str = "the ledger";
/// How a ledger's store is stamped.
const STAMPING: Stamping =
    Stamping { what: LEDGER, space: Space::LedgerState, contents: &[Space::Journal, Space::Checkpoints], format: 1 };

const APPLIED: &[u8] = b"applied";
const CHECKPOINT: &[u8] = b"checkpoint";
const BASE: &[u8] = b"base";
const MANIFEST_TAG: u8 = 0;
const CHUNK_TAG: u8 = 1;

/// The value under `checkpoint`, and under `base`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pointer {
    pub(crate) generation: u64,
}

impl Pointer {
    pub(crate) fn encode(self) -> Bytes {
        envelope::pack(Kind::CheckpointPointer, POINTER_VERSION, &self)
    }

    pub(crate) fn decode(frame: &[u8]) -> Result<Self, OpenError> {
        envelope::unpack(Kind::CheckpointPointer, POINTER_VERSION, frame)
    }
}

/// Makes a ledger in which nothing is applied.
pub(super) fn make(engine: &dyn Engine, store: StoreId) -> Result<(), StorageError> {
    let mut batch = Batch::new();
    put_applied(&mut batch, &Applied::default());
    STAMPING.make(engine, store, batch)
}

/// Checks that the ledger is the one of `store`, in a format that this program reads.
pub(super) fn check_stamp(engine: &dyn Engine, store: StoreId) -> Result<(), StorageError> {
    STAMPING.check(engine, store).map(drop)
}

/// Adds a record to a batch; returns its bytes as they now lie in the frame, shared with the batch.
pub(super) fn put_record(batch: &mut Batch, revision: Revision, bytes: &[u8]) -> Bytes {
    let frame = envelope::seal(Kind::Record, RECORD_VERSION, bytes);
    batch.put(Space::Journal, Bytes::copy_from_slice(&record_key(revision)), frame.clone());
    frame.slice(HEADER_BYTES..)
}

/// Shows the records of a range to `visit`: their revisions as their keys have them, and their checked bytes.
pub(super) fn scan_records(
    engine: &dyn Engine,
    revisions: RangeInclusive<Revision>,
    direction: Direction,
    mut visit: impl FnMut(Revision, &[u8]) -> Result<ControlFlow<()>, StorageError>,
) -> Result<(), StorageError> {
    let (from, to) = (record_key(*revisions.start()), record_key(revisions.end().next()));
    engine.scan(Space::Journal, KeyRange::between(&from, &to), direction, &mut |key, frame| {
        let revision = revision_of(key)?;
        let opened = envelope::open(Kind::Record, RECORD_VERSION, frame);
        let (_, bytes) = opened.map_err(|error| error.at(JOURNAL, Place::Revision(revision.0)))?;
        visit(revision, bytes)
    })
}

/// The first and the last revision for which there is a record, whatever it holds.
pub(super) fn journal_bounds(engine: &dyn Engine) -> Result<Option<(Revision, Revision)>, StorageError> {
    let first = first_record(engine, Revision::ZERO)?;
    let last = end_of_journal(engine, KeyRange::ALL, Direction::Backward)?;
    Ok(first.zip(last))
}

/// The first revision from `from` on for which there is a record, whatever it holds.
pub(super) fn first_record(engine: &dyn Engine, from: Revision) -> Result<Option<Revision>, StorageError> {
    end_of_journal(engine, KeyRange::from(&record_key(from)), Direction::Forward)
}

fn end_of_journal(engine: &dyn Engine, keys: KeyRange<'_>, direction: Direction) -> Result<Option<Revision>, StorageError> {
    let mut found = None;
    engine.scan(Space::Journal, keys, direction, &mut |key, _| {
        found = Some(revision_of(key)?);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// Removes the records of a range.
pub(super) fn delete_records(batch: &mut Batch, revisions: RangeInclusive<Revision>) {
    let key = |revision| Bytes::copy_from_slice(&record_key(revision));
    batch.delete_range(Space::Journal, key(*revisions.start()), key(revisions.end().next()));
}

pub(super) fn put_applied(batch: &mut Batch, applied: &Applied) {
    batch.put(Space::LedgerState, APPLIED, applied.encode());
}

/// The applied position, which every ledger has from the beginning.
pub(super) fn read_applied(engine: &dyn Engine) -> Result<Applied, StorageError> {
    let frame = engine.get(Space::LedgerState, APPLIED)?;
    let frame = frame.ok_or_else(|| StorageError::damaged(LEDGER, Place::Key("applied"), "it is missing"))?;
    Applied::decode(&frame).map_err(|error| error.at(LEDGER, Place::Key("applied")))
}

/// Makes a generation the one in use.
pub(super) fn put_pointer(batch: &mut Batch, generation: u64) {
    batch.put(Space::LedgerState, CHECKPOINT, Pointer { generation }.encode());
}

/// The generation in use.
pub(super) fn read_pointer(engine: &dyn Engine) -> Result<Option<u64>, StorageError> {
    read_generation(engine, CHECKPOINT, "checkpoint")
}

/// Makes a generation the one at the floor.
pub(super) fn put_base(batch: &mut Batch, generation: u64) {
    batch.put(Space::LedgerState, BASE, Pointer { generation }.encode());
}

/// The generation at the floor.
pub(super) fn read_base(engine: &dyn Engine) -> Result<Option<u64>, StorageError> {
    read_generation(engine, BASE, "base")
}

fn read_generation(engine: &dyn Engine, key: &[u8], name: &'static str) -> Result<Option<u64>, StorageError> {
    let Some(frame) = engine.get(Space::LedgerState, key)? else { return Ok(None) };
    let pointer = Pointer::decode(&frame).map_err(|error| error.at(LEDGER, Place::Key(name)))?;
    Ok(Some(pointer.generation))
}

pub(super) fn put_manifest(batch: &mut Batch, generation: u64, manifest: &Manifest) {
    batch.put(Space::Checkpoints, manifest_key(generation), manifest.encode());
}

pub(super) fn read_manifest(engine: &dyn Engine, generation: u64) -> Result<Manifest, StorageError> {
    let what = || format!("the manifest of checkpoint {generation}");
    let frame = engine.get(Space::Checkpoints, &manifest_key(generation))?;
    let frame = frame.ok_or_else(|| missing(what()))?;
    Manifest::decode(&frame).map_err(|error| error.at(&what(), CHECKPOINTS))
}

pub(super) fn put_chunk(batch: &mut Batch, generation: u64, number: u32, frame: Bytes) {
    batch.put(Space::Checkpoints, chunk_key(generation, number), frame);
}

pub(super) fn read_chunk(engine: &dyn Engine, generation: u64, number: u32) -> Result<Chunk, StorageError> {
    let what = || format!("chunk {number} of checkpoint {generation}");
    let frame = engine.get(Space::Checkpoints, &chunk_key(generation, number))?;
    let frame = frame.ok_or_else(|| missing(what()))?;
    Chunk::open(number, frame).map_err(|error: OpenError| error.at(&what(), CHECKPOINTS))
}

/// The generations of which anything is there, in order. Skips from one to the next, so that their size does not matter.
pub(super) fn generations(engine: &dyn Engine) -> Result<Vec<u64>, StorageError> {
    let mut found = Vec::new();
    let mut from = Vec::new();
    loop {
        let mut next = None;
        engine.scan(Space::Checkpoints, KeyRange::from(&from), Direction::Forward, &mut |key, _| {
            next = Some(generation_of(key)?);
            Ok(ControlFlow::Break(()))
        })?;
        let Some(generation) = next else { return Ok(found) };
        found.push(generation);
        from = (generation + 1).to_be_bytes().to_vec();
    }
}

/// Removes all that belongs to a generation.
pub(super) fn delete_generation(batch: &mut Batch, generation: u64) {
    let [from, to] = [generation, generation + 1].map(|generation| generation.to_be_bytes().to_vec());
    batch.delete_range(Space::Checkpoints, from, to);
}

/// The place of everything in the space of checkpoints; what is there is named in words.
pub(super) const CHECKPOINTS: Place = Place::Key(Space::Checkpoints.name());

fn missing(what: String) -> StorageError {
    StorageError::damaged(what, CHECKPOINTS, "it is missing")
}

fn record_key(revision: Revision) -> [u8; 8] {
    revision.0.to_be_bytes()
}

fn revision_of(key: &[u8]) -> Result<Revision, StorageError> {
    let number = <[u8; 8]>::try_from(key).map_err(|_| strange_key(JOURNAL, Space::Journal, key))?;
    Ok(Revision(u64::from_be_bytes(number)))
}

fn manifest_key(generation: u64) -> Vec<u8> {
    [generation.to_be_bytes().as_slice(), &[MANIFEST_TAG]].concat()
}

fn chunk_key(generation: u64, number: u32) -> Vec<u8> {
    [generation.to_be_bytes().as_slice(), &[CHUNK_TAG], &number.to_be_bytes()].concat()
}

fn generation_of(key: &[u8]) -> Result<u64, StorageError> {
    let number = key.first_chunk().ok_or_else(|| strange_key(LEDGER, Space::Checkpoints, key))?;
    Ok(u64::from_be_bytes(*number))
}

fn strange_key(what: &str, space: Space, key: &[u8]) -> StorageError {
    StorageError::damaged(what, Place::Key(space.name()), format!("a key of {} bytes is no key of ours", key.len()))
}
