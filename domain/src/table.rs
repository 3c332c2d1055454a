//! A persistent, ordered table of objects with a digest that follows every change.

use std::{ops::RangeBounds, sync::Arc};

use imbl::OrdMap;

use crate::{
    digest::Digest,
    encoding::{Encoded, encode},
    hash::Hash,
};

/// An object that a [`Table`] holds.
pub trait Row: Encoded + Clone {
    /// Orders the rows.
    type Id: Ord + Copy;
    /// What, beside the id, only one row may have: a folded name, a secret's hash; `()` where there is no such thing.
    type Key: Ord + Clone;

    /// The row's id.
    fn id(&self) -> Self::Id;
    /// The row's unique key, if it claims one.
    fn key(&self) -> Option<Self::Key>;
}

/// Rows by id. Cloning costs nothing to speak of, whatever the size: versions share what they have in common.
#[derive(Clone)]
pub struct Table<R: Row> {
    rows: OrdMap<R::Id, Kept<R>>,
    by_key: OrdMap<R::Key, R::Id>,
    digest: Digest,
}

/// A row, and its hash: when the row goes, the digest loses what it gained when it came.
#[derive(Clone)]
struct Kept<R> {
    row: Arc<R>,
    hash: Hash,
}

impl<R: Row> Default for Table<R> {
    fn default() -> Self {
        Self { rows: OrdMap::new(), by_key: OrdMap::new(), digest: Digest::EMPTY }
    }
}

impl<R: Row> Table<R> {
    /// The row with this id.
    pub fn get(&self, id: R::Id) -> Option<&Arc<R>> {
        self.rows.get(&id).map(|kept| &kept.row)
    }

    /// The row that has this unique key.
    pub fn find(&self, key: &R::Key) -> Option<&Arc<R>> {
        self.by_key.get(key).and_then(|id| self.get(*id))
    }

    /// The rows whose unique keys lie in a range, in the order of the keys.
    pub fn range(&self, keys: impl RangeBounds<R::Key>) -> impl Iterator<Item = &Arc<R>> {
        self.by_key.range(keys).filter_map(|(_, id)| self.get(*id))
    }

    /// All rows, in the order of their ids.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<R>> {
        self.rows.values().map(|kept| &kept.row)
    }

    /// The row with the least id.
    pub fn first(&self) -> Option<&Arc<R>> {
        self.rows.get_min().map(|(_, kept)| &kept.row)
    }

    /// The rows behind `id`, in order: the next page of a list.
    pub fn after(&self, id: R::Id) -> impl Iterator<Item = &Arc<R>> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.rows.range((Excluded(id), Unbounded)).map(|(_, kept)| &kept.row)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The sum of the rows' hashes.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The digest computed anew from the rows, and the index with it: what [`Table::digest`] must equal.
    pub fn recomputed(&self) -> (Digest, OrdMap<R::Key, R::Id>) {
        let mut fresh = Self::default();
        for row in self.iter() {
            fresh.put_shared(Arc::clone(row));
        }
        (fresh.digest, fresh.by_key)
    }

    /// Whether the index of unique keys is the one that the rows give.
    pub fn index_holds(&self, expected: &OrdMap<R::Key, R::Id>) -> bool {
        self.by_key == *expected
    }

    /// Adds or replaces a row.
    pub(crate) fn put(&mut self, row: R) {
        self.put_shared(Arc::new(row));
    }

    /// Changes the row with this id; does nothing where there is none.
    pub(crate) fn change(&mut self, id: R::Id, change: impl FnOnce(&mut R)) {
        if let Some(row) = self.get(id) {
            let mut row = R::clone(row);
            change(&mut row);
            self.put(row);
        }
    }

    /// Removes a row.
    pub(crate) fn remove(&mut self, id: R::Id) {
        if let Some(former) = self.rows.remove(&id) {
            self.digest.subtract(former.hash);
            if let Some(key) = former.row.key() {
                self.by_key.remove(&key);
            }
        }
    }

    fn put_shared(&mut self, row: Arc<R>) {
        let (id, key, hash) = (row.id(), row.key(), row_hash(&*row));
        self.digest.add(hash);
        let former = self.rows.insert(id, Kept { row, hash });
        let former_key = former.and_then(|former| {
            self.digest.subtract(former.hash);
            former.row.key()
        });
        // Most changes leave the key as it is, and the index with it.
        if key != former_key {
            if let Some(former_key) = former_key {
                self.by_key.remove(&former_key);
            }
            if let Some(key) = key {
                self.by_key.insert(key, id);
            }
        }
    }
}

/// The hash of one row: its encoding begins with its kind and holds its id.
fn row_hash<R: Row>(row: &R) -> Hash {
    Hash::of(&encode(row))
}
