//! How the log lies in an engine: the keys, and reading what is under them with every check.

use std::ops::{ControlFlow, Range};

use bursar_domain::StoreId;
use bytes::Bytes;

use super::types::{Committed, LogEntry, LogPosition, Purged, Vote};
use crate::engine::{Batch, Direction, Engine, KeyRange, Space, Stamping};
use crate::{Place, StorageError};

const WHAT: &str = "the Raft log";
/// How a log's store is stamped.
const STAMPING: Stamping = Stamping { what: WHAT, space: Space::LogState, contents: &[Space::LogEntries], format: 1 };
const VOTE: &[u8] = b"vote";
const COMMITTED: &[u8] = b"committed";
const PURGED: &[u8] = b"purged";

/// What a log holds besides its entries, and where its entries begin and end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Recovered {
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogPosition>,
    pub(super) purged: Option<LogPosition>,
    /// The index of the first entry, if there is any.
    pub(super) first_index: Option<u64>,
    /// The position of the last entry, if there is any.
    pub(super) last_entry: Option<LogPosition>,
}

/// Makes a log without entries.
pub(super) fn make(engine: &dyn Engine, store: StoreId) -> Result<(), StorageError> {
    STAMPING.make(engine, store, Batch::new())
}

/// Reads the whole log once: whose it is, every entry's checksum, and that no index is missing after the purged one.
pub(super) fn recover(engine: &dyn Engine, store: StoreId) -> Result<Recovered, StorageError> {
    STAMPING.check(engine, store)?;
    let mut recovered = Recovered {
        vote: read_state(engine, VOTE, "vote", Vote::decode)?,
        committed: read_state(engine, COMMITTED, "committed", Committed::decode)?.and_then(|value| value.position),
        purged: read_state(engine, PURGED, "purged", Purged::decode)?.map(|value| value.position),
        first_index: None,
        last_entry: None,
    };
    let mut expected = recovered.purged.map(|purged| purged.index + 1);
    scan_entries(engine, KeyRange::ALL, |entry| {
        let index = entry.position.index;
        check_index(expected.unwrap_or(index), index)?;
        expected = Some(index + 1);
        recovered.first_index.get_or_insert(index);
        recovered.last_entry = Some(entry.position);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(recovered)
}

/// Reads the entries of a range of which all are known to be written, until `visit` has enough.
pub(super) fn read_entries(
    engine: &dyn Engine,
    range: Range<u64>,
    mut visit: impl FnMut(LogEntry) -> ControlFlow<()>,
) -> Result<(), StorageError> {
    let (from, to) = (entry_key(range.start), entry_key(range.end));
    let mut next = range.start;
    let mut enough = false;
    scan_entries(engine, KeyRange::between(&from, &to), |entry| {
        check_index(next, entry.position.index)?;
        next += 1;
        let flow = visit(entry);
        enough = flow.is_break();
        Ok(flow)
    })?;
    if !enough && next < range.end {
        return Err(missing(next));
    }
    Ok(())
}

pub(super) fn put_vote(batch: &mut Batch, vote: Vote) {
    batch.put(Space::LogState, VOTE, vote.encode());
}

pub(super) fn put_committed(batch: &mut Batch, position: Option<LogPosition>) {
    batch.put(Space::LogState, COMMITTED, Committed { position }.encode());
}

pub(super) fn put_entry(batch: &mut Batch, entry: &LogEntry) {
    batch.put(Space::LogEntries, key_bytes(entry.position.index), entry.encode());
}

/// Deletes the entries of a range, the last one first: whatever part of it happened, no hole would be left.
pub(super) fn delete_backward(batch: &mut Batch, range: Range<u64>) {
    for index in range.rev() {
        batch.delete(Space::LogEntries, key_bytes(index));
    }
}

/// Notes what is purged, then deletes the entries from `first_index` up to it.
pub(super) fn put_purged(batch: &mut Batch, position: LogPosition, first_index: Option<u64>) {
    batch.put(Space::LogState, PURGED, Purged { position }.encode());
    if let Some(first) = first_index {
        batch.delete_range(Space::LogEntries, key_bytes(first), key_bytes(position.index + 1));
    }
}

fn read_state<T>(
    engine: &dyn Engine,
    key: &[u8],
    name: &'static str,
    decode: impl FnOnce(&[u8]) -> Result<T, crate::envelope::OpenError>,
) -> Result<Option<T>, StorageError> {
    let frame = engine.get(Space::LogState, key)?;
    frame.map(|frame| decode(&frame).map_err(|error| error.at(WHAT, Place::Key(name)))).transpose()
}

/// Decodes the entries of a key range, and checks that each is the one that its key names.
fn scan_entries(
    engine: &dyn Engine,
    range: KeyRange<'_>,
    mut visit: impl FnMut(LogEntry) -> Result<ControlFlow<()>, StorageError>,
) -> Result<(), StorageError> {
    engine.scan(Space::LogEntries, range, Direction::Forward, &mut |key, value| {
        let Ok(key) = <[u8; 8]>::try_from(key) else {
            let detail = format!("a key of {} bytes among the entries", key.len());
            return Err(StorageError::damaged(WHAT, Place::Key("entries"), detail));
        };
        let index = u64::from_be_bytes(key);
        let entry = LogEntry::decode(&Bytes::copy_from_slice(value)).map_err(|error| error.at(WHAT, Place::Index(index)))?;
        if entry.position.index != index {
            let detail = format!("the entry there says that it belongs at index {}", entry.position.index);
            return Err(StorageError::damaged(WHAT, Place::Index(index), detail));
        }
        visit(entry)
    })
}

fn check_index(expected: u64, found: u64) -> Result<(), StorageError> {
    match found {
        found if found == expected => Ok(()),
        found if found > expected => Err(missing(expected)),
        found => {
            let detail = format!("it was purged, the log begins at {expected}, yet an entry is there");
            Err(StorageError::damaged(WHAT, Place::Index(found), detail))
        }
    }
}

fn missing(index: u64) -> StorageError {
    StorageError::damaged(WHAT, Place::Index(index), "the entry is missing")
}

fn entry_key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

fn key_bytes(index: u64) -> Bytes {
    Bytes::copy_from_slice(&entry_key(index))
}
