//! What a store's write-ahead log holds, and at which byte: read from the file itself, as `db/log_format.h` and
//! `db/write_batch.cc` of RocksDB describe it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bursar_storage::{
    envelope::{self, Kind},
    log::{LogEntry, Vote},
};
use bytes::Bytes;

const BLOCK_BYTES: usize = 32 * 1024;
const HEADER_BYTES: usize = 7;
/// Sequence number and count.
const BATCH_HEADER_BYTES: usize = 12;

/// A value of the Raft log's store, and the first byte behind the batch that wrote it.
#[derive(Clone, Debug)]
pub struct Logged {
    pub file: PathBuf,
    pub end: u64,
    pub what: Value,
}

#[derive(Clone, Debug)]
pub enum Value {
    Entry(LogEntry),
    Vote(Vote),
}

/// All entries and votes in the write-ahead logs of a store's folder, oldest first.
pub fn read(folder: &Path) -> Vec<Logged> {
    let folder = fs::canonicalize(folder).expect("the store's folder");
    log_files(&folder).iter().flat_map(|file| read_file(file)).collect()
}

/// The write-ahead logs of a store's folder, oldest first.
pub fn log_files(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).expect("the store's folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    files.sort();
    files
}

/// Whether a batch in the write-ahead logs of a store's folder puts values of all of these kinds at once.
pub fn has_batch_of(folder: &Path, kinds: &[Kind]) -> bool {
    log_files(folder).iter().any(|file| {
        let bytes = fs::read(file).expect("the file");
        batches(&bytes).iter().any(|(batch, _)| {
            // A framed value begins with its kind.
            let found: Vec<u8> = values(batch).iter().filter_map(|value| value.first().copied()).collect();
            kinds.iter().all(|kind| found.contains(&(*kind as u8)))
        })
    })
}

fn read_file(file: &Path) -> Vec<Logged> {
    let bytes = fs::read(file).expect("the file");
    let mut logged = Vec::new();
    for (batch, end) in batches(&bytes) {
        let found = values(&batch).into_iter().filter_map(|value| understood(&value));
        logged.extend(found.map(|what| Logged { file: file.to_owned(), end, what }));
    }
    logged
}

/// The payloads of whole records, each with the first byte behind it.
pub fn batches(bytes: &[u8]) -> Vec<(Vec<u8>, u64)> {
    let (mut batches, mut batch, mut at) = (Vec::new(), Vec::new(), 0);
    loop {
        let room = BLOCK_BYTES - at % BLOCK_BYTES;
        if room < HEADER_BYTES {
            at += room;
        }
        let Some(header) = bytes.get(at..at + HEADER_BYTES) else { return batches };
        let (length, kind) = (usize::from(u16::from_le_bytes([header[4], header[5]])), header[6]);
        let Some(fragment) = bytes.get(at + HEADER_BYTES..at + HEADER_BYTES + length) else { return batches };
        at += HEADER_BYTES + length;
        match kind {
            1 | 2 => batch = fragment.to_vec(),
            3 | 4 => batch.extend_from_slice(fragment),
            0 => return batches,
            // Settings of the file itself.
            _ => continue,
        }
        if matches!(kind, 1 | 4) {
            batches.push((std::mem::take(&mut batch), at as u64));
        }
    }
}

/// The values that a batch puts.
fn values(batch: &[u8]) -> Vec<Bytes> {
    let mut rest = Cursor(batch.get(BATCH_HEADER_BYTES..).unwrap_or_default());
    let mut values = Vec::new();
    while let Some(tag) = rest.byte() {
        let has_family = matches!(tag, 0x4 | 0x5 | 0x8 | 0xe);
        if has_family {
            rest.number();
        }
        match tag {
            0x0 | 0x4 | 0x7 | 0x8 => drop(rest.bytes()),
            0x1 | 0x5 => {
                rest.bytes();
                values.push(Bytes::copy_from_slice(rest.bytes()));
            }
            0xe | 0xf => {
                rest.bytes();
                rest.bytes();
            }
            0xd => {}
            other => panic!("an operation of kind {other:#x} in a batch"),
        }
    }
    values
}

/// A framed value of the Raft log's store; others are nobody's concern here.
fn understood(value: &Bytes) -> Option<Value> {
    const KIND_ENTRY: u8 = Kind::LogEntry as u8;
    const KIND_VOTE: u8 = Kind::Vote as u8;
    match *value.first().filter(|_| value.len() >= envelope::HEADER_BYTES)? {
        KIND_ENTRY => LogEntry::decode(value).ok().map(Value::Entry),
        KIND_VOTE => Vote::decode(value).ok().map(Value::Vote),
        _ => None,
    }
}

struct Cursor<'b>(&'b [u8]);

impl<'b> Cursor<'b> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self) -> usize {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let byte = self.byte().expect("a whole number");
            number |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }

    fn bytes(&mut self) -> &'b [u8] {
        let length = self.number();
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }
}
