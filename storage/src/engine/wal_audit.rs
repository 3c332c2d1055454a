//! Reads RocksDB's write-ahead log before RocksDB does, because RocksDB forgives too much.
//!
//! A power cut tears the end of the last log file: that is no damage, nobody was told that those bytes were durable. A bit
//! that flips further up is. RocksDB's recovery modes cannot tell the two apart: some drop all that follows in silence,
//! and even the strictest useful one takes a flipped length for a torn end. So this module walks the files itself, in order:
//!
//! - It ends with the last whole record, or in zeros: **clean**.
//! - It stops at something that is no record, and no valid record follows at *any* later byte, in this file or a later
//!   one: a **torn tail**. It is cut off and the cut made durable before RocksDB opens, so that the tear is never met again
//!   with newer files behind it.
//! - It stops, and a valid record follows: **damage**. The node stops; see [`crate::REBUILD_FROM_QUORUM`].
//!
//! What the very last record can tell: if it is whole, its checksum proves it. If it is not, a write that a power cut
//! interrupted and a synced record in which a bit flipped look alike, because nothing behind it says that it was ever
//! complete. It is taken for torn. One flipped bit can thus take the last group of writes of one node — its last vote
//! included — and nothing on that node can notice; the checksums and the copies on other nodes bound the harm to that.
//! On the other side, a disk that persists a later part of an interrupted write before an earlier one leaves a valid record
//! behind a hole; that is refused as damage though no promise was broken. Between losing what was promised and refusing
//! to start, this module refuses.
//!
//! The manifest, in which RocksDB notes which files it has, is written in the same format, and RocksDB takes a flipped length
//! in it for a torn end too: it would forget files that hold what was promised, and delete them. But the engine has each
//! change of the manifest written as a whole new file, which is synced before `CURRENT` names it. So a manifest that does not
//! end with a whole record is **damage**, whatever follows.
//!
//! The format is that of `db/log_format.h`: blocks of 32 KiB; in each, records that do not cross it; each a masked CRC-32C
//! of all that follows it, a length of two bytes, a type, and for recycled files the low half of the file's number. Less
//! than a header's room at the end of a block is zeros.

use std::fs;
use std::path::{Path, PathBuf};

use super::crc32c::Registers;
use crate::{Place, StorageError};

const BLOCK_BYTES: usize = 32 * 1024;
const HEADER_BYTES: usize = 7;
const RECYCLABLE_HEADER_BYTES: usize = 11;

/// The torn end of a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub file: PathBuf,
    /// Where its last whole record ends.
    pub offset: u64,
    /// How many bytes follow that.
    pub bytes: u64,
}

impl TornTail {
    /// Cuts the torn end off, durably.
    ///
    /// # Errors
    /// The file cannot be changed or synced.
    pub fn cut(&self) -> Result<(), StorageError> {
        let cut = || {
            let file = fs::File::options().write(true).open(&self.file)?;
            file.set_len(self.offset)?;
            file.sync_all()
        };
        cut().map_err(|error: std::io::Error| StorageError::io(format!("cut the torn end off {}", self.file.display()), error))
    }
}

/// Walks the log files of a RocksDB directory; none of them may be in use. Returns the tears to cut: usually none, or the
/// one of the last file. A directory that does not exist is clean.
///
/// # Errors
/// Damage, with the file and the byte at which it begins; a file that cannot be read.
pub fn audit(directory: &Path) -> Result<Vec<TornTail>, StorageError> {
    let mut torn: Vec<TornTail> = Vec::new();
    let mut stopped_at = 0;
    for (number, file) in log_files(directory)? {
        let bytes = fs::read(&file).map_err(|error| StorageError::io(format!("read the log file {}", file.display()), error))?;
        let (search_from, whole) = match torn.is_empty() {
            // Behind a tear nothing may be valid, so there is nothing to walk, only to search.
            false => (0, 0),
            true => match walk(&bytes, number) {
                End::Clean { .. } => continue,
                End::Stopped { at, whole } => {
                    stopped_at = at;
                    (at, whole)
                }
            },
        };
        let damaged = torn.first().map_or(&file, |first| &first.file);
        if let Some(behind) = find_record(&bytes, search_from, number) {
            return Err(StorageError::damaged(
                damaged.display().to_string(),
                Place::Offset(stopped_at as u64),
                format!("no valid record begins there, yet one follows at byte {behind} of {}", file.display()),
            ));
        }
        if whole < bytes.len() {
            torn.push(TornTail { file, offset: whole as u64, bytes: (bytes.len() - whole) as u64 });
        }
    }
    Ok(torn)
}

/// Walks the manifest that is in use in a RocksDB directory. A directory without one is a database yet to be made.
///
/// # Errors
/// Damage, with the file and the byte at which it begins; a file that cannot be read.
pub fn audit_manifest(directory: &Path) -> Result<(), StorageError> {
    let current = directory.join("CURRENT");
    let Some(name) = read_if_present(&current)? else { return Ok(()) };
    let manifest = manifest_named(&name).map(|(name, number)| (directory.join(name), number));
    let read = manifest.map(|(path, number)| Ok((read_if_present(&path)?, path, number))).transpose()?;
    let Some((Some(bytes), path, number)) = read else {
        let detail = format!("it names {:?}, and there is no such manifest", String::from_utf8_lossy(&name));
        return Err(StorageError::damaged(current.display().to_string(), Place::Offset(0), detail));
    };
    match walk(&bytes, number) {
        End::Clean { whole } if whole == bytes.len() => Ok(()),
        End::Clean { whole: at } | End::Stopped { at, .. } => {
            let detail = format!("no valid record begins there, and the manifest has {} bytes", bytes.len());
            Err(StorageError::damaged(path.display().to_string(), Place::Offset(at as u64), detail))
        }
    }
}

/// The name and the number of the manifest that the contents of `CURRENT` name.
fn manifest_named(current: &[u8]) -> Option<(&str, u64)> {
    let name = std::str::from_utf8(current).ok()?.strip_suffix('\n')?;
    let number = name.strip_prefix("MANIFEST-").filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some((name, number.parse().ok()?))
}

fn read_if_present(file: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io(format!("read {}", file.display()), error)),
    }
}

/// The log files of a directory with their numbers, oldest first.
fn log_files(directory: &Path) -> Result<Vec<(u64, PathBuf)>, StorageError> {
    let failed = |error| StorageError::io(format!("list {}", directory.display()), error);
    let listing = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing.map_err(failed)?,
    };
    let mut files = Vec::new();
    for entry in listing {
        let path = entry.map_err(failed)?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let Some(number) = number
            && path.extension().is_some_and(|extension| extension == "log")
        {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files)
}

/// How a walk through a log file ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// With a whole record, or in zeros.
    Clean {
        /// The end of the last record.
        whole: usize,
    },
    /// With something else.
    Stopped {
        /// The first byte that is not part of a valid record.
        at: usize,
        /// The end of the last record of which all fragments are there; never behind `at`.
        whole: usize,
    },
}

/// Walks the records of one log file from its first byte.
fn walk(bytes: &[u8], log_number: u64) -> End {
    let mut at = 0;
    let mut whole = 0;
    // The room at the end of a block that cannot hold a header depends on which headers the file has.
    let mut header_bytes = HEADER_BYTES;
    let mut block = Block::around(bytes, at);
    while at < bytes.len() {
        if at == block.end() {
            block = Block::around(bytes, at);
        }
        let in_fragments = whole < at;
        let room = BLOCK_BYTES - at % BLOCK_BYTES;
        if room < header_bytes && is_zero(&bytes[at..block.end()]) {
            at = block.end();
            whole = if in_fragments { whole } else { at };
            continue;
        }
        match block.record_at(at, log_number) {
            Some(record) if record.continues() == in_fragments => {
                header_bytes = record.header_bytes;
                at = record.end;
                whole = if record.is_last() { at } else { whole };
            }
            None if !in_fragments && is_zero(&bytes[at..]) => return End::Clean { whole },
            _ => return End::Stopped { at, whole },
        }
    }
    match whole == at {
        true => End::Clean { whole },
        false => End::Stopped { at, whole },
    }
}

/// The first byte from `from` on at which a record of a known type is valid, whatever the bytes before it say.
fn find_record(bytes: &[u8], from: usize, log_number: u64) -> Option<usize> {
    let known = |at: usize| bytes.get(at + 6).is_some_and(|kind| matches!(kind, 1..=11 | 130 | 131));
    let mut next = from;
    while next < bytes.len() {
        let block = Block::around(bytes, next);
        let found = (next..block.end()).find(|at| known(*at) && block.record_at(*at, log_number).is_some());
        if found.is_some() {
            return found;
        }
        next = block.end();
    }
    None
}

/// One block of a file; the last one may be short. All places are counted from the beginning of the file.
struct Block<'a> {
    bytes: &'a [u8],
    start: usize,
    registers: Registers,
}

impl<'a> Block<'a> {
    /// The block that a byte of a file lies in.
    fn around(file: &'a [u8], at: usize) -> Self {
        let start = at - at % BLOCK_BYTES;
        let bytes = &file[start..file.len().min(start + BLOCK_BYTES)];
        Block { bytes, start, registers: Registers::of(bytes) }
    }

    fn end(&self) -> usize {
        self.start + self.bytes.len()
    }

    /// The valid record that begins at a byte, if one does.
    fn record_at(&self, at: usize, log_number: u64) -> Option<Record> {
        let begin = at - self.start;
        let rest = self.bytes.get(begin..)?;
        let (header, _) = rest.split_first_chunk::<HEADER_BYTES>()?;
        let [crc @ .., length_low, length_high, kind] = *header;
        let recyclable = matches!(kind, 5..=8 | 11 | 131);
        let header_bytes = if recyclable { RECYCLABLE_HEADER_BYTES } else { HEADER_BYTES };
        let length = header_bytes + usize::from(u16::from_le_bytes([length_low, length_high]));
        let record = rest.get(..length)?;
        if recyclable && record[HEADER_BYTES..RECYCLABLE_HEADER_BYTES] != log_number.to_le_bytes()[..4] {
            return None;
        }
        let checksum = masked(self.registers.checksum(begin + 6, begin + length));
        let valid = kind != 0 && checksum == u32::from_le_bytes(crc);
        valid.then_some(Record { kind, header_bytes, end: at + length })
    }
}

/// A record whose checksum fits, or a fragment of one.
struct Record {
    kind: u8,
    header_bytes: usize,
    end: usize,
}

impl Record {
    /// Whether it belongs to the fragment before it.
    fn continues(&self) -> bool {
        matches!(self.kind, 3 | 4 | 7 | 8)
    }

    /// Whether no fragment belongs behind it.
    fn is_last(&self) -> bool {
        !matches!(self.kind, 2 | 3 | 6 | 7)
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// RocksDB stores checksums masked, because a checksum of bytes that contain their own checksum is weak.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG_NUMBER: u64 = 7;

    /// A log file as RocksDB's writer makes it.
    #[derive(Default)]
    struct LogFile {
        bytes: Vec<u8>,
        recyclable: bool,
    }

    impl LogFile {
        fn record(mut self, payload: &[u8]) -> Self {
            let header_bytes = if self.recyclable { RECYCLABLE_HEADER_BYTES } else { HEADER_BYTES };
            let mut left = payload;
            let mut begin = true;
            loop {
                let room = BLOCK_BYTES - self.bytes.len() % BLOCK_BYTES;
                if room < header_bytes {
                    self.bytes.resize(self.bytes.len() + room, 0);
                    continue;
                }
                let (fragment, rest) = left.split_at(left.len().min(room - header_bytes));
                let kind = match (begin, rest.is_empty()) {
                    (true, true) => 1,
                    (true, false) => 2,
                    (false, false) => 3,
                    (false, true) => 4,
                };
                self.fragment(kind, fragment);
                (left, begin) = (rest, false);
                if left.is_empty() {
                    return self;
                }
            }
        }

        fn fragment(&mut self, kind: u8, payload: &[u8]) {
            let kind = if self.recyclable { kind + 4 } else { kind };
            let mut checked = vec![kind];
            if self.recyclable {
                checked.extend_from_slice(&(LOG_NUMBER as u32).to_le_bytes());
            }
            checked.extend_from_slice(payload);
            self.bytes.extend_from_slice(&masked(Registers::of(&checked).checksum(0, checked.len())).to_le_bytes());
            self.bytes.extend_from_slice(&(payload.len() as u16).to_le_bytes());
            self.bytes.extend_from_slice(&checked);
        }
    }

    fn clean(whole: usize) -> End {
        End::Clean { whole }
    }

    fn stopped(at: usize, whole: usize) -> End {
        End::Stopped { at, whole }
    }

    #[test]
    fn whole_files_are_clean() {
        for recyclable in [false, true] {
            // Every length of the first record up to the end of the block, so that every room is left there.
            for length in BLOCK_BYTES - 40..BLOCK_BYTES + 5 {
                let file = LogFile { recyclable, ..LogFile::default() };
                let file = file.record(&vec![1; length]).record(&vec![2; 40_000]).record(b"end");
                assert_eq!(walk(&file.bytes, LOG_NUMBER), clean(file.bytes.len()), "{length} bytes, {recyclable}");
            }
        }
        assert_eq!(walk(&[], LOG_NUMBER), clean(0));
    }

    #[test]
    fn a_tail_of_zeros_is_clean_and_anything_else_stops() {
        let file = LogFile::default().record(b"one").record(b"two");
        let end = file.bytes.len();
        for zeros in [1, 6, 7, 100, 40_000] {
            let mut bytes = file.bytes.clone();
            bytes.resize(end + zeros, 0);
            assert_eq!(walk(&bytes, LOG_NUMBER), clean(end), "{zeros} zeros");
            bytes.push(1);
            assert_eq!(walk(&bytes, LOG_NUMBER), stopped(end, end), "{zeros} zeros and a one");
        }
    }

    #[test]
    fn a_record_that_is_cut_anywhere_leaves_the_ones_before_it() {
        let whole = LogFile::default().record(b"one").bytes.len();
        let file = LogFile::default().record(b"one").record(&vec![0xa5; 80_000]);
        for length in (whole + 1..file.bytes.len()).step_by(1_009) {
            let bytes = &file.bytes[..length];
            let End::Stopped { at, whole: kept } = walk(bytes, LOG_NUMBER) else {
                panic!("the second record is cut at {length}");
            };
            assert_eq!(kept, whole);
            assert_eq!(find_record(bytes, at, LOG_NUMBER), None);
        }
    }

    #[test]
    fn a_fragment_out_of_place_is_found() {
        let mut file = LogFile::default().record(b"one");
        let at = file.bytes.len();
        file.fragment(4, b"a last fragment without a first");
        assert_eq!(walk(&file.bytes, LOG_NUMBER), stopped(at, at));
        assert_eq!(find_record(&file.bytes, at, LOG_NUMBER), Some(at));

        let mut file = LogFile::default().record(b"one");
        let whole = file.bytes.len();
        file.fragment(2, b"a first fragment without a last");
        let at = file.bytes.len();
        let file = file.record(b"two");
        assert_eq!(walk(&file.bytes, LOG_NUMBER), stopped(at, whole));
        assert_eq!(find_record(&file.bytes, at, LOG_NUMBER), Some(at));
    }

    #[test]
    fn records_of_a_recycled_files_former_life_do_not_count() {
        let file = LogFile { recyclable: true, ..LogFile::default() };
        let file = file.record(b"one").record(b"two");
        assert_eq!(walk(&file.bytes, LOG_NUMBER + 1), stopped(0, 0));
        assert_eq!(find_record(&file.bytes, 0, LOG_NUMBER + 1), None);
    }

    #[test]
    fn only_the_name_of_a_manifest_is_one() {
        assert_eq!(manifest_named(b"MANIFEST-000012\n"), Some(("MANIFEST-000012", 12)));
        for other in ["MANIFEST-000012", "MANIFEST-\n", "MANIFEST-+12\n", "MANIFEST-12 \n", "../MANIFEST-12\n", "\n", ""] {
            assert_eq!(manifest_named(other.as_bytes()), None, "{other:?}");
        }
        assert_eq!(manifest_named(b"MANIFEST-\xff\n"), None);
    }

    #[test]
    fn a_record_is_found_at_any_byte() {
        let record = LogFile::default().record(b"hidden").bytes;
        for offset in [0, 1, 31, 5_000] {
            let mut bytes = vec![0xa5; offset];
            bytes.extend_from_slice(&record);
            assert_eq!(find_record(&bytes, 0, LOG_NUMBER), Some(offset));
        }
    }
}
