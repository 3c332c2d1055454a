//! The newest entries, kept in memory: those that the engine does not have yet, and as many older ones as a limit allows.

use std::collections::VecDeque;

use super::types::LogEntry;

/// Entries without a gap, the last of them the last of the log.
///
/// Entries that are not written yet stay whatever the limit says: there is nowhere else to read them.
#[derive(Debug)]
pub(super) struct Tail {
    entries: VecDeque<Cached>,
    weight: u64,
    weight_max: u64,
}

#[derive(Debug)]
struct Cached {
    entry: LogEntry,
    /// The number of the queued operation that writes it.
    operation: u64,
}

impl Tail {
    /// An empty tail that keeps up to `weight_max` bytes of written entries.
    pub(super) fn new(weight_max: u64) -> Self {
        Tail { entries: VecDeque::new(), weight: 0, weight_max }
    }

    /// The index of the oldest entry that is here.
    pub(super) fn first_index(&self) -> Option<u64> {
        self.entries.front().map(|cached| cached.entry.position.index)
    }

    /// The entries from `index` on; none if that one is not here.
    pub(super) fn from(&self, index: u64) -> impl Iterator<Item = &LogEntry> {
        let skipped = match self.first_index() {
            Some(first) if first <= index => usize::try_from(index - first).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        self.entries.iter().skip(skipped).map(|cached| &cached.entry)
    }

    /// Adds the next entry, which `operation` will write.
    pub(super) fn push(&mut self, entry: LogEntry, operation: u64) {
        self.weight += entry.weight();
        self.entries.push_back(Cached { entry, operation });
    }

    /// Forgets the entries after `index`; all of them for none.
    pub(super) fn truncate_after(&mut self, index: Option<u64>) {
        while let Some(last) = self.entries.back()
            && index.is_none_or(|index| last.entry.position.index > index)
        {
            self.weight -= last.entry.weight();
            self.entries.pop_back();
        }
    }

    /// Forgets the entries up to `index`.
    pub(super) fn purge(&mut self, index: u64) {
        while let Some(first) = self.entries.front()
            && first.entry.position.index <= index
        {
            self.forget_first();
        }
    }

    /// Brings the tail below its limit, as far as the operations up to `written` allow.
    pub(super) fn shrink(&mut self, written: u64) {
        while self.weight > self.weight_max
            && let Some(first) = self.entries.front()
            && first.operation <= written
        {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some(first) = self.entries.pop_front() {
            self.weight -= first.entry.weight();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::types::{LogPosition, Payload};

    fn entry(index: u64) -> LogEntry {
        let position = LogPosition { term: 1, index };
        LogEntry { position, payload: Payload::Blank }
    }

    fn indexes(tail: &Tail, from: u64) -> Vec<u64> {
        tail.from(from).map(|entry| entry.position.index).collect()
    }

    #[test]
    fn written_entries_leave_when_the_limit_is_passed_and_unwritten_ones_stay() {
        let mut tail = Tail::new(2 * entry(0).weight());
        for index in 5..10 {
            tail.push(entry(index), index);
        }
        tail.shrink(4);
        assert_eq!(indexes(&tail, 5), [5, 6, 7, 8, 9]);
        tail.shrink(6);
        assert_eq!(indexes(&tail, 7), [7, 8, 9]);
        assert_eq!(indexes(&tail, 6), []);
        tail.shrink(9);
        assert_eq!(indexes(&tail, 8), [8, 9]);
    }

    #[test]
    fn both_ends_can_be_cut() {
        let mut tail = Tail::new(0);
        for index in 5..10 {
            tail.push(entry(index), 1);
        }
        tail.truncate_after(Some(8));
        tail.purge(5);
        assert_eq!(indexes(&tail, 6), [6, 7, 8]);
        assert_eq!(indexes(&tail, 9), []);
        tail.truncate_after(None);
        assert_eq!((tail.first_index(), tail.weight), (None, 0));
    }
}
