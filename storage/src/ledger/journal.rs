//! The journal: records by revision, without a gap, each chained to the one before.

use std::ops::ControlFlow;

use bursar_domain::encoding::DecodeError;
use bursar_domain::{Hash, Revision, Sealed, State, evolve};
use bytes::Bytes;

use super::layout::{self, JOURNAL};
use super::tail::Room;
use crate::engine::{Direction, Engine};
use crate::{Place, StorageError};

/// How many bytes of records are read at a time where all are gone through.
const SLICE_BYTES: usize = 1 << 20;

/// A record as it rests and travels: the domain's own encoding, unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its place in the journal.
    pub revision: Revision,
    /// Its encoding; `Sealed::open` reads it.
    pub bytes: Bytes,
}

/// Reads the records behind `after` up to `upto`, all of which are known to be written. Decodes nothing: checks checksums, and
/// that no revision is missing. At most `bytes_max` bytes, but at least one record.
pub(super) fn read(
    engine: &dyn Engine,
    after: Revision,
    upto: Revision,
    bytes_max: usize,
) -> Result<Vec<StoredRecord>, StorageError> {
    let mut records = Vec::new();
    let mut expected = after.next();
    let mut room = Room::new(bytes_max);
    let mut full = false;
    layout::scan_records(engine, expected..=upto, Direction::Forward, |revision, bytes| {
        if revision != expected {
            return Err(missing(expected));
        }
        full = !room.takes(bytes.len());
        if full {
            return Ok(ControlFlow::Break(()));
        }
        records.push(StoredRecord { revision, bytes: Bytes::copy_from_slice(bytes) });
        expected = revision.next();
        Ok(ControlFlow::Continue(()))
    })?;
    if !full && expected <= upto {
        return Err(missing(expected));
    }
    Ok(records)
}

/// Opens the records behind `after` up to `upto` one after the other, and shows each to `visit`.
pub(super) fn replay(
    engine: &dyn Engine,
    after: Revision,
    upto: Revision,
    mut visit: impl FnMut(&Sealed) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let mut reached = after;
    while reached < upto {
        for record in read(engine, reached, upto, SLICE_BYTES)? {
            visit(&open(&record)?)?;
            reached = record.revision;
        }
    }
    Ok(())
}

/// The hash of the record of a revision that is known to be written, or the one before the first.
pub(super) fn hash_at(engine: &dyn Engine, revision: Revision) -> Result<Hash, StorageError> {
    let Some(before) = revision.0.checked_sub(1) else { return Ok(Hash::ZERO) };
    let records = read(engine, Revision(before), revision, 0)?;
    Ok(Hash::of(&records.first().ok_or_else(|| missing(revision))?.bytes))
}

/// Decodes a record that rests in the journal.
pub(super) fn open(record: &StoredRecord) -> Result<Sealed, StorageError> {
    let place = Place::Revision(record.revision.0);
    let sealed = Sealed::open(record.bytes.to_vec()).map_err(|error| undecodable(error, JOURNAL, place))?;
    if sealed.record.revision != record.revision {
        let detail = format!("the record there says that it is revision {}", sealed.record.revision);
        return Err(StorageError::damaged(JOURNAL, place, detail));
    }
    Ok(sealed)
}

/// Folds a record into the state after the checks that [`evolve`] takes for granted.
pub(super) fn follow(state: &mut State, sealed: &Sealed) -> Result<(), StorageError> {
    let record = &sealed.record;
    if record.revision != state.revision().next() {
        return Err(missing(state.revision().next()));
    }
    if record.previous != state.head() {
        let detail = format!("it follows a record of hash {}, the one before has {}", record.previous, state.head());
        return Err(StorageError::damaged(JOURNAL, Place::Revision(record.revision.0), detail));
    }
    evolve(state, sealed);
    Ok(())
}

/// What the domain could not read, as an error of the store.
pub(super) fn undecodable(error: DecodeError, what: &str, at: Place) -> StorageError {
    match error {
        DecodeError::Newer { kind, found, supported } => {
            StorageError::NewerFormat { what: format!("the {kind:?} in {what}, {at},"), found, supported }
        }
        other => StorageError::damaged(what, at, other.to_string()),
    }
}

/// A hole.
pub(super) fn missing(revision: Revision) -> StorageError {
    StorageError::damaged(JOURNAL, Place::Revision(revision.0), "the record is missing")
}
