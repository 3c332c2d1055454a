//! Which generations of checkpoints there are, which one is in use, and who still holds former ones.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::manifest::Manifest;

/// The generations of a ledger. Clones share one table.
#[derive(Debug, Clone)]
pub(super) struct Generations(Arc<Mutex<Table>>);

#[derive(Debug)]
struct Table {
    /// Every generation of which anything may be in the engine, and how many hold it.
    holders: BTreeMap<u64, usize>,
    /// The number that the next one gets; never given twice while the process lives.
    next: u64,
    latest: Option<(u64, Arc<Manifest>)>,
}

/// Keeps a generation in the engine while it lives.
#[derive(Debug)]
pub(super) struct Pin {
    generations: Generations,
    generation: u64,
}

impl Generations {
    /// The table of a ledger that holds nothing but the generation in use.
    pub(super) fn new(latest: Option<(u64, Arc<Manifest>)>) -> Self {
        let in_use = latest.as_ref().map(|(generation, _)| *generation);
        Self(Arc::new(Mutex::new(Table {
            holders: in_use.map(|generation| (generation, 0)).into_iter().collect(),
            next: in_use.map_or(1, |generation| generation + 1),
            latest,
        })))
    }

    /// A new generation, for one who writes it.
    pub(super) fn begin(&self) -> Pin {
        let mut table = self.table();
        let generation = table.next;
        table.next += 1;
        self.pin(&mut table, generation)
    }

    /// The generation in use, and what it says of itself.
    pub(super) fn latest(&self) -> Option<(Pin, Arc<Manifest>)> {
        let mut table = self.table();
        let (generation, manifest) = table.latest.clone()?;
        Some((self.pin(&mut table, generation), manifest))
    }

    /// Notes that this generation is the one in use now.
    pub(super) fn supersede(&self, pin: &Pin, manifest: Arc<Manifest>) {
        self.table().latest = Some((pin.generation, manifest));
    }

    /// Hands over the generations that nobody holds but for the one in use, to be removed. No one can hold them again.
    pub(super) fn take_unheld(&self) -> Vec<u64> {
        let mut table = self.table();
        let in_use = table.latest.as_ref().map(|(generation, _)| *generation);
        let unheld = |generation: &u64, holders: &mut usize| *holders == 0 && Some(*generation) != in_use;
        table.holders.extract_if(.., unheld).map(|(generation, _)| generation).collect()
    }

    fn pin(&self, table: &mut Table, generation: u64) -> Pin {
        *table.holders.entry(generation).or_insert(0) += 1;
        Pin { generations: self.clone(), generation }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing panics between two changes of the table that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pin {
    /// The generation that it keeps.
    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Some(holders) = self.generations.table().holders.get_mut(&self.generation) {
            *holders -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use bursar_domain::{Digest, Revision};

    use super::*;
    use crate::ledger::Applied;

    fn manifest() -> Arc<Manifest> {
        let applied = Applied::default();
        Arc::new(Manifest { applied, digest: Digest::EMPTY, chunks: 1, items: 1, floor: Revision::ZERO, base: None })
    }

    #[test]
    fn what_is_held_and_what_is_in_use_stays() {
        let generations = Generations::new(Some((7, manifest())));
        let (reader, _) = generations.latest().expect("generation 7 is in use");
        let writer = generations.begin();
        let abandoned = generations.begin();
        assert_eq!([&reader, &writer, &abandoned].map(Pin::generation), [7, 8, 9]);
        generations.supersede(&writer, manifest());
        drop((writer, abandoned));
        assert_eq!(generations.take_unheld(), [9]);
        drop(reader);
        assert_eq!(generations.take_unheld(), [7]);
        assert_eq!(generations.take_unheld(), [], "generation 8 is in use");
        assert_eq!(generations.begin().generation(), 10);
    }
}
