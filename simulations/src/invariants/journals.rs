//! All nodes tell one history, without gaps; and what each holds is what that history comes to. Where a bit of what a node keeps has
//! turned over it may fail to read it, but not tell something else.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::{Digest, Revision, Sealed, State, evolve, invariants};
use bursar_storage::ledger::Ledger;

use super::{Broken, broken};
use crate::fleet::Fleet;

const NAME: &str = "one-history";
/// How many bytes of records are compared at a time.
const PAGE_BYTES: usize = 1 << 20;

/// At one look of so many, what the nodes hold is looked at as a whole.
const WHOLE_EVERY: u64 = 50;

/// The one history, as far as any node has told it.
#[derive(Debug, Default)]
pub struct Journals {
    /// Every record, by its revision less one.
    records: Vec<Sealed>,
    /// The digest of the state behind each.
    digests: Vec<Digest>,
    state: State,
    /// Up to where the journal of each node's process was compared.
    compared: BTreeMap<(u64, u32), Revision>,
    looks: u64,
}

impl Journals {
    /// Everything that was ever committed, as far as any node has told it.
    pub fn records(&self) -> &[Sealed] {
        &self.records
    }

    /// The record of a revision, as far as any node has told it.
    pub fn at(&self, revision: Revision) -> Option<&Sealed> {
        self.records.get(index_of(revision)?)
    }

    /// The revision of the last of them.
    pub fn head(&self) -> Revision {
        self.state.revision()
    }

    /// What it comes to.
    pub fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn look(&mut self, fleet: &Fleet) -> Result<(), Broken> {
        self.looks += 1;
        let is_whole = self.looks.is_multiple_of(WHOLE_EVERY);
        for member in &fleet.authority_nodes {
            if let Some((start, node)) = member.running() {
                self.compare(member.id(), start, node.journal(), &node.latest())?;
                if is_whole {
                    sound(&node.latest())?;
                }
            }
        }
        // After all others, who have told what can be told of it by then.
        for member in &fleet.authority_nodes {
            if let Some((start, node)) = member.rotten() {
                self.compare_rotten(member.id(), start, node.journal(), &node.latest())?;
                if is_whole {
                    sound(&node.latest())?;
                }
            }
        }
        Ok(())
    }

    /// Compares what a node has added since, and what it holds now. A process is read from the beginning: it may have lost what it had
    /// not synced, and must not have lost anything else.
    fn compare(&mut self, id: u64, start: u32, journal: &Ledger, state: &State) -> Result<(), Broken> {
        let mut after = self.compared_upto(id, start);
        while after < journal.head() {
            let page = journal.records(after, journal.head(), PAGE_BYTES);
            let page = page.map_err(|error| broken(NAME, format!("the journal of node {id} behind {after}: {error}")))?;
            if page.is_empty() {
                return Err(broken(NAME, format!("node {id} is at {}, and reads nothing behind {after}", journal.head())));
            }
            for stored in page {
                if stored.revision != after.next() {
                    return Err(broken(NAME, format!("node {id} has no revision {}, and has {}", after.next(), stored.revision)));
                }
                self.take(id, &stored.bytes)?;
                after = stored.revision;
            }
        }
        self.compared.insert((id, start), after);
        self.compare_state(id, state)
    }

    /// Compares what a node can still read, and what it holds, once a bit of what it keeps has turned over. What nobody else has told
    /// is no history yet, and comes later.
    fn compare_rotten(&mut self, id: u64, start: u32, journal: &Ledger, state: &State) -> Result<(), Broken> {
        let upto = self.head().min(journal.head());
        let mut after = self.compared_upto(id, start);
        while after < upto {
            let due = after.next();
            // One at a time, for one that cannot be read says nothing of those behind it.
            for stored in journal.records(after, due, PAGE_BYTES).unwrap_or_default() {
                let known = self.at(due).expect("it is not beyond the head");
                if stored.revision != due || stored.bytes != known.bytes {
                    let detail = format!("node {id} has lost a bit, and reads something else at revision {due} than was told");
                    return Err(broken(NAME, detail));
                }
            }
            after = due;
        }
        self.compared.insert((id, start), after);
        if state.revision() <= self.head() { self.compare_state(id, state) } else { Ok(()) }
    }

    fn compared_upto(&self, id: u64, start: u32) -> Revision {
        self.compared.get(&(id, start)).copied().unwrap_or(Revision::ZERO)
    }

    fn compare_state(&self, id: u64, state: &State) -> Result<(), Broken> {
        let expected = self.digest_at(state.revision());
        if state.digest() == expected {
            return Ok(());
        }
        let detail =
            format!("at revision {} node {id} holds {}, the history comes to {expected}", state.revision(), state.digest());
        Err(broken(NAME, detail))
    }

    /// Takes the next record of a node's journal, or compares it where another node has told it before.
    fn take(&mut self, id: u64, bytes: &[u8]) -> Result<(), Broken> {
        let sealed = Sealed::open(bytes.to_vec()).map_err(|error| broken(NAME, format!("a record of node {id}: {error}")))?;
        let revision = sealed.record.revision;
        match self.at(revision) {
            Some(known) if known.bytes == sealed.bytes => Ok(()),
            Some(known) => Err(broken(
                NAME,
                format!("revision {revision} is {:?} on node {id}, and {:?} elsewhere", sealed.record, known.record),
            )),
            None if sealed.record.previous != self.state.head() => {
                Err(broken(NAME, format!("revision {revision} of node {id} does not follow the record before it")))
            }
            None => {
                evolve(&mut self.state, &sealed);
                self.digests.push(self.state.digest());
                self.records.push(sealed);
                Ok(())
            }
        }
    }

    fn digest_at(&self, revision: Revision) -> Digest {
        index_of(revision).map_or_else(|| State::default().digest(), |index| self.digests[index])
    }

    /// Looks whether the nodes of these processes run, and have come equally far.
    pub(super) fn look_at_the_end(&mut self, fleet: &Fleet, core: &BTreeSet<&str>) -> Result<(), Broken> {
        self.look(fleet)?;
        for member in fleet.authority_nodes.iter().filter(|member| core.contains(member.place.process.as_str())) {
            let Some((_, node)) = member.running() else {
                return Err(broken("service", format!("node {} does not run", member.id())));
            };
            let reached = node.latest().revision();
            if index_of(reached.next()) != Some(self.records.len()) {
                let detail = format!("node {} has come to revision {reached} of {}", member.id(), self.records.len());
                return Err(broken("convergence", detail));
            }
        }
        Ok(())
    }

    /// Reads everything that rests at the nodes of these processes, and looks at the state as a whole.
    pub(super) fn verify(&self, fleet: &Fleet, core: &BTreeSet<&str>) -> Result<(), Broken> {
        for member in fleet.authority_nodes.iter().filter(|member| core.contains(member.place.process.as_str())) {
            let Some((_, node)) = member.running() else { continue };
            node.journal()
                .verify(&mut |_| ())
                .map_err(|error| broken(NAME, format!("what node {} holds: {error}", member.id())))?;
        }
        sound(&self.state)
    }
}

/// Computes anew what a state carries along, and looks at all that must hold of it.
fn sound(state: &State) -> Result<(), Broken> {
    match invariants::violations(state).first() {
        Some(violation) => Err(broken("sound-state", violation)),
        None => Ok(()),
    }
}

/// Where its record is; revision 0 has none.
fn index_of(revision: Revision) -> Option<usize> {
    Some(usize::try_from(revision.0.checked_sub(1)?).expect("a run has few revisions"))
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use bursar_domain::StoreId;
    use bursar_domain_testing::{History, Ledger as Author};
    use bursar_storage::engine::MemoryEngine;
    use bursar_storage::ledger::Applied;

    use super::*;

    const STORE: StoreId = StoreId([1; 16]);
    /// How many proposals the histories have that two authors have in common.
    const COMMON: usize = 20;

    /// What comes of so many proposals that are drawn from a seed, behind what there is.
    fn written_on(mut author: Author, seed: u64, proposals: usize) -> Author {
        let mut history = History::behind(&author.state, seed);
        for _ in 0..proposals {
            let proposal = history.next(&author.state);
            author.put(&proposal);
        }
        author
    }

    /// Two histories that have the beginning in common, and go on each in its own way.
    fn parted() -> (Author, Author) {
        let common = written_on(Author::default(), 7, COMMON);
        (written_on(common.clone(), 8, COMMON), written_on(common, 9, COMMON))
    }

    /// What the journal of a node tells that has these records.
    pub fn told(records: &[Sealed]) -> Journals {
        let mut journals = Journals::default();
        for sealed in records {
            journals.take(1, &sealed.bytes).unwrap();
        }
        journals
    }

    /// Some history, with decisions of several events.
    pub fn some_records() -> Vec<Sealed> {
        written_on(Author::default(), 7, 2 * COMMON).journal
    }

    /// The ledger of a node that keeps a history, as a process finds it that is started, and what it rests on.
    fn kept(author: &Author) -> (Ledger, MemoryEngine) {
        let engine = MemoryEngine::new();
        let open = || Ledger::open(Arc::new(engine.clone()), STORE).unwrap().0;
        Ledger::make(&engine, STORE).unwrap();
        let applied = Applied { revision: author.state.revision(), head: author.state.head(), ..Applied::default() };
        open().commit(&author.journal, &applied).unwrap();
        (open(), engine)
    }

    #[test]
    fn nodes_that_tell_one_history_and_hold_what_it_comes_to_are_right() {
        let (author, _) = parted();
        let (ledger, _) = kept(&author);
        let mut journals = Journals::default();
        for id in [1, 2] {
            assert_eq!(journals.compare(id, 1, &ledger, &author.state), Ok(()));
        }
        assert_eq!((journals.records(), journals.head()), (&author.journal[..], author.state.revision()));
    }

    #[test]
    fn a_node_that_tells_another_history_is_found() {
        let (author, other) = parted();
        let mut journals = told(&author.journal);
        let broken = journals.compare(2, 1, &kept(&other).0, &other.state).unwrap_err();
        let parted_at = (1..).zip(author.journal.iter().zip(&other.journal)).find(|(_, (one, other))| one != other).unwrap().0;
        assert!(broken.detail.starts_with(&format!("revision {parted_at} is ")), "{broken}");
    }

    #[test]
    fn a_node_that_holds_what_its_history_does_not_come_to_is_found() {
        let (author, other) = parted();
        let mut journals = Journals::default();
        let held = written_on(Author::default(), 3, 4).state;
        assert!(held.revision() <= author.state.revision());
        let broken = journals.compare(1, 1, &kept(&author).0, &held).unwrap_err();
        assert!(broken.detail.starts_with(&format!("at revision {} node 1 holds ", held.revision())), "{broken}");
        let broken = journals.compare_rotten(2, 1, &kept(&author).0, &held).unwrap_err();
        assert!(broken.detail.starts_with(&format!("at revision {} node 2 holds ", held.revision())), "{broken}");
        assert_ne!(author.state.digest(), other.state.digest());
    }

    #[test]
    fn whatever_bit_a_node_has_lost_it_tells_nothing_else() {
        let (author, _) = parted();
        let (mut unread, values) = (0, kept(&author).1.values());
        for place in 0..values {
            let (ledger, engine) = kept(&author);
            engine.rot(place, 1_000 + place).unwrap();
            unread += u64::from(ledger.records(Revision::ZERO, ledger.head(), usize::MAX).is_err());
            assert_eq!(told(&author.journal).compare_rotten(1, 1, &ledger, &author.state), Ok(()), "{place}");
        }
        assert!(unread >= author.journal.len() as u64, "{unread} of {values}");
    }

    #[test]
    fn a_node_that_has_lost_a_bit_and_reads_something_else_is_found_also_behind_what_it_cannot_read() {
        let (author, other) = parted();
        let (ledger, engine) = kept(&other);
        let is_read = || ledger.records(Revision::ZERO, Revision(1), PAGE_BYTES).is_ok();
        (0..engine.values()).find(|place| {
            engine.rot(*place, 0).unwrap();
            !is_read()
        });
        assert!(!is_read());
        let broken = told(&author.journal).compare_rotten(2, 1, &ledger, &other.state).unwrap_err();
        assert!(broken.detail.starts_with("node 2 has lost a bit, and reads something else at revision "), "{broken}");
    }

    #[test]
    fn what_a_node_alone_tells_that_has_lost_a_bit_is_no_history_yet() {
        let (author, _) = parted();
        let (ledger, _) = kept(&author);
        let mut journals = told(&author.journal[..1]);
        assert_eq!(journals.compare_rotten(2, 1, &ledger, &author.state), Ok(()));
        assert_eq!((journals.head(), journals.compared_upto(2, 1)), (Revision(1), Revision(1)));
    }
}
