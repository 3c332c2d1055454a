//! All nodes tell one history, without gaps; and what each holds is what that history comes to.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::{Digest, Revision, Sealed, State, evolve, invariants};
use bursar_raft::Node;

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
        self.records.get(index_of(revision))
    }

    /// What it comes to.
    pub fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn look(&mut self, fleet: &Fleet) -> Result<(), Broken> {
        self.looks += 1;
        for member in &fleet.authority_nodes {
            if let Some((start, node)) = member.running() {
                self.compare(member.id(), start, &node)?;
                if self.looks.is_multiple_of(WHOLE_EVERY) {
                    sound(&node.latest())?;
                }
            }
        }
        Ok(())
    }

    /// Compares what a node has added since, and what it holds now. A process is read from the beginning: it may have lost what it had
    /// not synced, and must not have lost anything else.
    fn compare(&mut self, id: u64, start: u32, node: &Node) -> Result<(), Broken> {
        let (journal, state) = (node.journal(), node.latest());
        let mut after = self.compared.get(&(id, start)).copied().unwrap_or(Revision::ZERO);
        while after < journal.head() {
            let page = journal.records(after, journal.head(), PAGE_BYTES);
            let page = page.map_err(|error| broken(NAME, format!("the journal of node {id} behind {after}: {error}")))?;
            for stored in page {
                if stored.revision != after.next() {
                    return Err(broken(NAME, format!("node {id} has no revision {}, and has {}", after.next(), stored.revision)));
                }
                self.take(id, &stored.bytes)?;
                after = stored.revision;
            }
        }
        self.compared.insert((id, start), after);
        let expected = self.digest_at(state.revision());
        if state.digest() != expected {
            let detail =
                format!("at revision {} node {id} holds {}, the history comes to {expected}", state.revision(), state.digest());
            return Err(broken(NAME, detail));
        }
        Ok(())
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
        if revision == Revision::ZERO { State::default().digest() } else { self.digests[index_of(revision)] }
    }

    /// Looks whether the nodes of these processes run, and have come equally far.
    pub(super) fn look_at_the_end(&mut self, fleet: &Fleet, core: &BTreeSet<&str>) -> Result<(), Broken> {
        self.look(fleet)?;
        for member in fleet.authority_nodes.iter().filter(|member| core.contains(member.place.process.as_str())) {
            let Some((_, node)) = member.running() else {
                return Err(broken("service", format!("node {} does not run", member.id())));
            };
            let reached = node.latest().revision();
            if index_of(reached.next()) != self.records.len() {
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

fn index_of(revision: Revision) -> usize {
    usize::try_from(revision.0 - 1).expect("a run has few revisions")
}
