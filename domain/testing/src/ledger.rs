//! A ledger in memory: decides, seals and folds one proposal after the other.

use bursar_domain::{Decision, Proposal, Sealed, State, decide, evolve, seal};

/// A state together with the journal that led to it.
#[derive(Clone, Default)]
pub struct Ledger {
    /// What the journal says now.
    pub state: State,
    /// Every record, from the first.
    pub journal: Vec<Sealed>,
}

impl Ledger {
    /// Carries out one proposal, as every replica would.
    pub fn put(&mut self, proposal: &Proposal) -> Decision {
        let decision = decide(&self.state, proposal);
        assert_eq!(decision.defect, None, "the rules panicked");
        for sealed in seal(&self.state, proposal, &decision) {
            evolve(&mut self.state, &sealed);
            self.journal.push(sealed);
        }
        decision
    }
}
