//! Lists that may be long, cut short: the first items, and how many there are in all.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many items are listed.
pub const LISTED_MAX: usize = 100;
/// How many of them a sentence names.
const NAMED_MAX: usize = 10;

/// The first items of a list, and how many it has. What rests in the journal, travels between nodes or is shown to a caller
/// stays small by it, however many things there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Excerpt<T> {
    listed: Vec<T>,
    total: u64,
}

impl<T> Excerpt<T> {
    /// The first of them, at most [`LISTED_MAX`].
    pub fn listed(&self) -> &[T] {
        &self.listed
    }

    /// How many there are in all.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// How many there are beyond those that are listed.
    pub const fn unlisted(&self) -> u64 {
        self.total.saturating_sub(self.listed.len() as u64)
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }
}

impl<T> FromIterator<T> for Excerpt<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut items = items.into_iter();
        let listed: Vec<_> = items.by_ref().take(LISTED_MAX).collect();
        let total = (listed.len() + items.count()) as u64;
        Self { listed, total }
    }
}

impl<T: fmt::Display> fmt::Display for Excerpt<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = &self.listed[..self.listed.len().min(NAMED_MAX)];
        for (index, item) in named.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{item}")?;
        }
        match self.total.saturating_sub(named.len() as u64) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_listed_and_all_are_counted() {
        for (items, unlisted) in [(0, 0), (1, 0), (100, 0), (101, 1), (100_000, 99_900)] {
            let excerpt: Excerpt<u64> = (0..items).collect();
            assert_eq!(excerpt.listed(), (0..items.min(100)).collect::<Vec<_>>());
            assert_eq!((excerpt.total(), excerpt.unlisted(), excerpt.is_empty()), (items, unlisted, items == 0));
        }
    }

    #[test]
    fn a_sentence_names_few_and_says_how_many_more_there_are() {
        let told = |items: u64| (1..=items).collect::<Excerpt<_>>().to_string();
        assert_eq!(told(1), "1");
        assert_eq!(told(3), "1, 2, 3");
        assert_eq!(told(10), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10");
        assert_eq!(told(11), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 1 more");
        assert_eq!(told(100_000), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 99990 more");
    }
}
