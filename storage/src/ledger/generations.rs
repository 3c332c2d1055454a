//! Which generations of checkpoints there are, which one is in use, which one the journal begins behind, and who still holds former
//! ones.

use std::collections::{BTreeMap, btree_map::Entry};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bursar_domain::Revision;

use super::manifest::Manifest;

/// The generations of a ledger. Clones share one table.
#[derive(Debug, Clone)]
pub(super) struct Generations(Arc<Mutex<Table>>);

/// A generation, and what it says of itself.
pub(super) type Described = (u64, Arc<Manifest>);

#[derive(Debug)]
struct Table {
    /// Every generation of which anything may be in the engine, and how many hold it.
    holders: BTreeMap<u64, usize>,
    /// Where the journal began for those who hold one, and how many these are.
    floors: BTreeMap<Revision, usize>,
    /// The number that the next one gets; never given twice while the process lives.
    next: u64,
    latest: Option<Described>,
    /// The one at the floor; none where the journal begins at its first record.
    base: Option<Described>,
}

/// Keeps a generation in the engine while it lives, and the journal behind the floor that there was when it was taken.
#[derive(Debug)]
pub(super) struct Pin {
    generation: u64,
    reliance: Reliance,
}

/// Keeps the journal behind the floor that there was when it was taken, while it lives.
#[derive(Debug)]
pub(super) struct Reliance {
    generations: Generations,
    floor: Revision,
}

/// What nobody has a use for any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unheld {
    pub(super) generations: Vec<u64>,
    /// The last record of which that holds.
    pub(super) records_upto: Revision,
}

impl Generations {
    /// The table of a ledger that holds nothing but the generation in use and the one at the floor.
    pub(super) fn new(latest: Option<Described>, base: Option<Described>) -> Self {
        let there = [&latest, &base].into_iter().flatten().map(|(generation, _)| (*generation, 0));
        let holders: BTreeMap<u64, usize> = there.collect();
        let next = holders.last_key_value().map_or(1, |(generation, _)| generation + 1);
        Self(Arc::new(Mutex::new(Table { holders, floors: BTreeMap::new(), next, latest, base })))
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

    /// The generation at the floor; none where the journal begins at its first record.
    pub(super) fn base(&self) -> Option<(Pin, Arc<Manifest>)> {
        let mut table = self.table();
        let (generation, manifest) = table.base.clone()?;
        Some((self.pin(&mut table, generation), manifest))
    }

    /// For one who reads the journal from where it begins now.
    pub(super) fn rely(&self) -> Reliance {
        let mut table = self.table();
        self.reliance(&mut table)
    }

    /// What the generation at the floor says of itself.
    pub(super) fn base_manifest(&self) -> Option<Arc<Manifest>> {
        self.table().base.as_ref().map(|(_, manifest)| Arc::clone(manifest))
    }

    /// The revision behind which the journal begins.
    pub(super) fn floor(&self) -> Revision {
        self.table().floor()
    }

    /// Notes that this generation is the one in use now.
    pub(super) fn supersede(&self, pin: &Pin, manifest: Arc<Manifest>) {
        self.table().latest = Some((pin.generation, manifest));
    }

    /// Notes that this generation is the one at the floor now.
    pub(super) fn raise_floor(&self, pin: &Pin, manifest: Arc<Manifest>) {
        self.table().base = Some((pin.generation, manifest));
    }

    /// Hands over the generations that nobody holds but for the one in use and the one at the floor, to be removed, and the records
    /// below the floor that nobody relies on. No one can hold them again.
    pub(super) fn take_unheld(&self) -> Unheld {
        let mut table = self.table();
        let kept = [&table.latest, &table.base].map(|kept| kept.as_ref().map(|(generation, _)| *generation));
        let unheld = |generation: &u64, holders: &mut usize| *holders == 0 && !kept.contains(&Some(*generation));
        let generations = table.holders.extract_if(.., unheld).map(|(generation, _)| generation).collect();
        let relied_on = table.floors.first_key_value().map(|(floor, _)| *floor);
        Unheld { generations, records_upto: relied_on.map_or(table.floor(), |relied_on| relied_on.min(table.floor())) }
    }

    fn pin(&self, table: &mut Table, generation: u64) -> Pin {
        *table.holders.entry(generation).or_insert(0) += 1;
        Pin { generation, reliance: self.reliance(table) }
    }

    fn reliance(&self, table: &mut Table) -> Reliance {
        let floor = table.floor();
        *table.floors.entry(floor).or_insert(0) += 1;
        Reliance { generations: self.clone(), floor }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing panics between two changes of the table that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn floor(&self) -> Revision {
        self.base.as_ref().map_or(Revision::ZERO, |(_, manifest)| manifest.applied.revision)
    }
}

impl Pin {
    /// The generation that it keeps.
    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Where the journal that it keeps begins.
    pub(super) const fn floor(&self) -> Revision {
        self.reliance.floor
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Some(holders) = self.reliance.generations.table().holders.get_mut(&self.generation) {
            *holders -= 1;
        }
    }
}

impl Drop for Reliance {
    fn drop(&mut self) {
        let mut table = self.generations.table();
        if let Entry::Occupied(mut relying) = table.floors.entry(self.floor) {
            *relying.get_mut() -= 1;
            if *relying.get() == 0 {
                relying.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bursar_domain::Digest;

    use super::*;
    use crate::ledger::Applied;

    fn manifest(revision: u64) -> Arc<Manifest> {
        let applied = Applied { revision: Revision(revision), ..Applied::default() };
        Arc::new(Manifest { applied, digest: Digest::EMPTY, chunks: 1, items: 1, floor: Revision::ZERO, base: None })
    }

    #[test]
    fn what_is_held_and_what_is_in_use_stays() {
        let generations = Generations::new(Some((7, manifest(3))), None);
        let take = || generations.take_unheld().generations;
        let (reader, _) = generations.latest().expect("generation 7 is in use");
        let writer = generations.begin();
        let abandoned = generations.begin();
        assert_eq!([&reader, &writer, &abandoned].map(Pin::generation), [7, 8, 9]);
        generations.supersede(&writer, manifest(4));
        drop((writer, abandoned));
        assert_eq!(take(), [9]);
        drop(reader);
        assert_eq!(take(), [7]);
        assert_eq!(take(), [0; 0], "generation 8 is in use");
        assert_eq!(generations.begin().generation(), 10);
    }

    #[test]
    fn the_generation_at_the_floor_stays_and_so_do_records_that_somebody_relies_on() {
        let generations = Generations::new(Some((7, manifest(3))), None);
        let (before, _) = generations.latest().expect("generation 7 is in use");
        let reader = generations.rely();
        let floor = generations.begin();
        generations.supersede(&floor, manifest(20));
        generations.raise_floor(&floor, manifest(20));
        drop(floor);
        let newer = generations.begin();
        generations.supersede(&newer, manifest(30));
        assert_eq!((before.floor(), newer.floor()), (Revision::ZERO, Revision(20)));
        drop(newer);
        assert_eq!(generations.take_unheld(), Unheld { generations: vec![], records_upto: Revision::ZERO });
        drop(before);
        assert_eq!(generations.take_unheld(), Unheld { generations: vec![7], records_upto: Revision::ZERO }, "it is still read");
        drop(reader);
        assert_eq!(generations.take_unheld(), Unheld { generations: vec![], records_upto: Revision(20) });
        assert_eq!(generations.base().map(|(base, _)| base.generation()), Some(8));

        let opened = Generations::new(Some((9, manifest(30))), Some((8, manifest(20))));
        assert_eq!((opened.floor(), opened.begin().generation()), (Revision(20), 10));
        assert_eq!(opened.take_unheld(), Unheld { generations: vec![10], records_upto: Revision(20) });
    }
}
