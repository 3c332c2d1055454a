//! Whatever happens to a ledger, the fold of its journal, its checkpoint with what follows, and the state are one.

mod common;

use std::sync::Arc;

use bursar_domain::{Revision, Sealed, State, evolve};
use bursar_storage::engine::MemoryEngine;
use common::author::{Decided, history};
use common::wishes::wishes;
use common::{Replica, journal_of};
use proptest::prelude::*;

/// What happens to a node.
#[derive(Clone, Debug)]
enum Step {
    /// It applies the next entries in one batch.
    Commit {
        entries: usize,
    },
    Sync,
    Checkpoint,
    /// The power goes; of what was not synced the disk has this many batches.
    Crash {
        kept: usize,
    },
    /// Its state is replaced by a snapshot of a node that is further by so many entries.
    Install {
        entries: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..6_usize).prop_map(|entries| Step::Commit { entries }),
        1 => Just(Step::Sync),
        2 => Just(Step::Checkpoint),
        2 => (0..6_usize).prop_map(|kept| Step::Crash { kept }),
        1 => (1..9_usize).prop_map(|entries| Step::Install { entries }),
    ];
    prop::collection::vec(step, 1..25)
}

/// A node under test: how many entries of the history it has applied is all that it may differ in.
struct Node<'h> {
    history: &'h [Decided],
    replica: Replica,
    engine: MemoryEngine,
}

impl Node<'_> {
    fn take(&mut self, step: &Step) {
        let applied = self.entries();
        match step {
            Step::Commit { entries } => {
                let upto = self.history.len().min(applied + entries);
                self.replica.commit_together(&self.history[applied..upto]);
            }
            Step::Sync => self.replica.ledger.sync().expect("a sync"),
            Step::Checkpoint => drop(self.replica.checkpoint()),
            Step::Crash { kept } => {
                self.engine = self.engine.crash_keeping(*kept);
                self.replica = Replica::open(Arc::new(self.engine.clone())).expect("what is left is sound");
            }
            Step::Install { entries } => {
                let upto = self.history.len().min(applied + entries);
                if upto > applied {
                    self.install(&self.history[..upto]);
                }
            }
        }
    }

    fn install(&mut self, history: &[Decided]) {
        let (mut sender, _) = Replica::in_memory();
        sender.commit(history);
        let checkpoint = sender.checkpoint();
        let mut installer = self.replica.ledger.installer(checkpoint.manifest().clone()).expect("it lacks something");
        let (after, _) = installer.missing_records();
        installer.put_records(&sender.journal_after(after)).expect("a sound sender");
        for (number, chunk) in checkpoint.chunks(0).enumerate() {
            installer.put_chunk(number as u32, chunk.expect("a sound sender")).expect("a sound sender");
        }
        let (state, applied) = installer.finish().expect("an install");
        self.replica.state = state;
        self.replica.applied = applied;
    }

    /// How many entries the node has applied.
    fn entries(&self) -> usize {
        self.replica.applied.position.map_or(0, |position| position.index as usize)
    }

    fn assert_sound(&self) {
        match self.entries() {
            0 => assert_eq!(self.replica.ledger.head(), Revision::ZERO),
            entries => {
                self.replica.assert_stands_at(&self.history[entries - 1]);
                assert_eq!(self.replica.journal_after(Revision::ZERO), journal_of(&self.history[..entries]));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn base_and_fold_are_the_state_are_checkpoint_and_tail(wishes in wishes(1..60), steps in steps()) {
        let history = history(&wishes);
        let (replica, engine) = Replica::in_memory();
        let mut node = Node { history: &history, replica, engine };
        for step in &steps {
            node.take(step);
            node.assert_sound();
        }
        node.take(&Step::Commit { entries: history.len() });
        node.take(&Step::Sync);
        node.take(&Step::Crash { kept: 0 });
        node.assert_sound();
        let mut folded = State::default();
        for bytes in node.replica.journal_after(Revision::ZERO) {
            evolve(&mut folded, &Sealed::open(bytes.to_vec()).expect("the domain's own bytes"));
        }
        prop_assert_eq!(folded.digest(), node.replica.state.digest());
    }
}
