//! The newest records, kept in memory and shared by all readers, so that live streams do not ask the engine.

use std::collections::VecDeque;

use bursar_domain::Revision;
use bytes::Bytes;

use super::journal::StoredRecord;

/// Records without a gap, the last of them the journal's last. Empty after a start and after an install.
#[derive(Debug)]
pub(super) struct Tail {
    records: VecDeque<StoredRecord>,
    bytes: usize,
    bytes_max: usize,
}

impl Tail {
    /// An empty tail that keeps up to `bytes_max` bytes of records.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { records: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// Adds the record that follows, and forgets the oldest ones beyond the limit.
    pub(super) fn push(&mut self, record: StoredRecord) {
        self.bytes += record.bytes.len();
        self.records.push_back(record);
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.records.pop_front()
        {
            self.bytes -= oldest.bytes.len();
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.bytes = 0;
    }

    /// The records from `first` to `last`, cut as [`cut_to`] cuts; none where `first` is not here.
    pub(super) fn read(&self, first: Revision, last: Revision, bytes_max: usize) -> Option<Vec<StoredRecord>> {
        let from = self.place_of(first)?;
        let wanted = self.records.range(from..).take_while(|record| record.revision <= last);
        let mut room = Room::new(bytes_max);
        Some(wanted.take_while(|record| room.takes(record.bytes.len())).cloned().collect())
    }

    /// The bytes of one record, if it is here.
    pub(super) fn get(&self, revision: Revision) -> Option<&Bytes> {
        self.place_of(revision).map(|place| &self.records[place].bytes)
    }

    fn place_of(&self, revision: Revision) -> Option<usize> {
        let place = revision.0.checked_sub(self.records.front()?.revision.0)?;
        usize::try_from(place).ok().filter(|place| *place < self.records.len())
    }
}

/// How a reading is bounded: by bytes, but the first record is taken whatever its size, so that every reading gets on.
#[derive(Debug)]
pub(super) struct Room {
    left: Option<usize>,
    max: usize,
}

impl Room {
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { left: None, max: bytes_max }
    }

    /// Whether a record of this size is still taken.
    pub(super) fn takes(&mut self, bytes: usize) -> bool {
        let left = match self.left {
            None => Some(self.max.saturating_sub(bytes)),
            Some(left) => left.checked_sub(bytes),
        };
        self.left = left.or(self.left);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(revision: u64, bytes: usize) -> StoredRecord {
        StoredRecord { revision: Revision(revision), bytes: vec![0; bytes].into() }
    }

    fn revisions(tail: &Tail, first: u64, last: u64, bytes_max: usize) -> Option<Vec<u64>> {
        let read = tail.read(Revision(first), Revision(last), bytes_max)?;
        Some(read.iter().map(|record| record.revision.0).collect())
    }

    #[test]
    fn the_oldest_records_leave_when_the_limit_is_passed() {
        let mut tail = Tail::new(30);
        for revision in 5..10 {
            tail.push(record(revision, 10));
        }
        assert_eq!(revisions(&tail, 7, 9, 100), Some(vec![7, 8, 9]));
        assert_eq!(revisions(&tail, 6, 9, 100), None);
        assert_eq!(revisions(&tail, 10, 12, 100), None);
        assert_eq!(tail.get(Revision(6)), None);
        assert_eq!(tail.get(Revision(7)).map(Bytes::len), Some(10));
        tail.push(record(10, 31));
        assert_eq!(revisions(&tail, 10, 10, 100), None, "larger than the whole limit");
        tail.push(record(11, 10));
        assert_eq!(revisions(&tail, 11, 11, 100), Some(vec![11]));
    }

    #[test]
    fn a_reading_is_bounded_by_bytes_but_takes_at_least_one() {
        let mut tail = Tail::new(100);
        for revision in 1..=4 {
            tail.push(record(revision, 10));
        }
        assert_eq!(revisions(&tail, 1, 3, 100), Some(vec![1, 2, 3]));
        assert_eq!(revisions(&tail, 1, 4, 29), Some(vec![1, 2]));
        assert_eq!(revisions(&tail, 2, 4, 0), Some(vec![2]));
        tail.clear();
        assert_eq!(revisions(&tail, 4, 4, 100), None);
    }
}
