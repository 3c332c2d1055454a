//! What a node counts of its own doings.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a node has counted since it was started.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The counters as they are counted.
        #[derive(Debug, Default)]
        pub(crate) struct Meter {
            $(pub(crate) $name: Counter,)*
        }

        impl Meter {
            /// What was counted so far.
            pub(crate) fn read(&self) -> Counters {
                Counters { $($name: self.$name.get(),)* }
            }
        }
    };
}

counters! {
    /// Elections that this node started.
    elections_started,
    /// Elections that it won.
    elections_won,
    /// Elections that it started and did not win.
    elections_lost,
    /// Questions for its vote that came in.
    votes_received,
    /// Questions whether it would vote that came in.
    pre_votes_received,
    /// Hand-overs of the leadership that came in.
    transfers_received,
    /// Requests to append entries that came in, heartbeats included.
    appends_received,
    /// Snapshots that it sent to the end.
    snapshots_sent,
    /// Chunks of state that it sent.
    snapshot_chunks_sent,
    /// Records of the journal that it sent with snapshots.
    snapshot_records_sent,
    /// Snapshots that it installed.
    snapshots_installed,
    /// Chunks of state that came in.
    snapshot_chunks_received,
    /// Records of the journal that came in with snapshots.
    snapshot_records_received,
    /// Checkpoints of the state that it wrote.
    checkpoints_written,
    /// Submissions that it passed on to the leader.
    submissions_forwarded,
    /// Submissions that other nodes passed on to it.
    submissions_received,
    /// Messages that it passed on to the leader.
    messages_relayed,
    /// Batches of submissions that it put before its core.
    batches_proposed,
    /// Submissions that it refused because too many were under way.
    submissions_overloaded,
    /// Rounds that confirmed who leads, each for all reads that waited.
    read_rounds,
    /// Linearizable reads that these rounds served.
    linearizable_reads,
    /// Proposals that were decided.
    proposals_decided,
    /// Proposals whose decision panicked: defects.
    decisions_panicked,
    /// Connections to other nodes that were made.
    connections_made,
}
