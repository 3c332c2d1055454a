//! Planted bugs: what a simulation must find to be believed.
//!
//! Each is a minimal change at the very place where the real bug would be, and harmless until it is chosen by name when the simulation
//! starts. No program that is shipped has them: without the feature `mutants`, [`planted`] is `false` to the compiler.

#[cfg(feature = "mutants")]
use std::sync::OnceLock;

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// Entries of the Raft log are acknowledged before they are synced.
    NoSyncBeforeAcknowledgement,
    /// A vote is answered and never written.
    VoteNotKept,
    /// A node says that it votes for whoever asks, also where it has voted for another one in that term.
    VotesTwice,
    /// Entries of the Raft log are made durable before the votes that were saved before them.
    LogBeforeVote,
    /// The applied position is written apart from the records that it counts, and before them.
    AppliedApartFromRecords,
    /// A checkpoint is reported, so that the log is purged, before the journal up to it is synced.
    PurgeBeforeSync,
    /// The receiver of a snapshot does not keep one of the records that it lacked.
    SnapshotWithHole,
    /// What is remembered of requests is forgotten by a restart.
    RequestsForgotten,
    /// A decision asks the clock of its machine for the time.
    WallClockInDecide,
    /// The order of what an event lists is that of a hash map.
    MapOrderInEvent,
    /// A leader answers for reads without asking its quorum whether it still is one.
    UnconfirmedReads,
    /// A read does not wait until what was committed before it is applied.
    UngatedReads,
    /// An event stream that begins at the floor leaves out the first record.
    StreamSkipsAtFloor,
    /// A node shows its state while a part of a decision is folded.
    HalfADecision,
    /// A storage server keeps where a batch of records ends before it has folded all of it.
    CommitAmidBatch,
    /// A new leader counts the time before it listened as silence.
    DetectorWithoutGrace,
    /// A leader that was held up counts the gap as silence.
    DetectorBlindToGaps,
    /// A node that lags is given a vote.
    LaggardPromoted,
    /// A node whose store was wiped is let in under its old id.
    WipedNodeAccepted,
    /// A leader that restarts goes on in its old term without an election.
    LeaderRestored,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::NoSyncBeforeAcknowledgement,
        Self::VoteNotKept,
        Self::VotesTwice,
        Self::LogBeforeVote,
        Self::AppliedApartFromRecords,
        Self::PurgeBeforeSync,
        Self::SnapshotWithHole,
        Self::RequestsForgotten,
        Self::WallClockInDecide,
        Self::MapOrderInEvent,
        Self::UnconfirmedReads,
        Self::UngatedReads,
        Self::StreamSkipsAtFloor,
        Self::HalfADecision,
        Self::CommitAmidBatch,
        Self::DetectorWithoutGrace,
        Self::DetectorBlindToGaps,
        Self::LaggardPromoted,
        Self::WipedNodeAccepted,
        Self::LeaderRestored,
    ];

    /// Its name on a command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSyncBeforeAcknowledgement => "no-sync-before-acknowledgement",
            Self::VoteNotKept => "vote-not-kept",
            Self::VotesTwice => "votes-twice",
            Self::LogBeforeVote => "log-before-vote",
            Self::AppliedApartFromRecords => "applied-apart-from-records",
            Self::PurgeBeforeSync => "purge-before-sync",
            Self::SnapshotWithHole => "snapshot-with-hole",
            Self::RequestsForgotten => "requests-forgotten",
            Self::WallClockInDecide => "wall-clock-in-decide",
            Self::MapOrderInEvent => "map-order-in-event",
            Self::UnconfirmedReads => "unconfirmed-reads",
            Self::UngatedReads => "ungated-reads",
            Self::StreamSkipsAtFloor => "stream-skips-at-floor",
            Self::HalfADecision => "half-a-decision",
            Self::CommitAmidBatch => "commit-amid-batch",
            Self::DetectorWithoutGrace => "detector-without-grace",
            Self::DetectorBlindToGaps => "detector-blind-to-gaps",
            Self::LaggardPromoted => "laggard-promoted",
            Self::WipedNodeAccepted => "wiped-node-accepted",
            Self::LeaderRestored => "leader-restored",
        }
    }

    /// The promise that it breaks, in a few words.
    pub const fn breaks(self) -> &'static str {
        match self {
            Self::NoSyncBeforeAcknowledgement => "what was acknowledged is durable",
            Self::VoteNotKept => "a node votes once in a term",
            Self::VotesTwice => "a node has one vote to give in each term",
            Self::LogBeforeVote => "a vote is durable before what is logged after it",
            Self::AppliedApartFromRecords => "records and the applied position are written as one",
            Self::PurgeBeforeSync => "what is purged from the log is durable elsewhere",
            Self::SnapshotWithHole => "a snapshot brings every record",
            Self::RequestsForgotten => "a request is carried out once",
            Self::WallClockInDecide => "all nodes decide alike, whatever their clocks show",
            Self::MapOrderInEvent => "all nodes decide alike, to the byte",
            Self::UnconfirmedReads => "a read is answered by who leads",
            Self::UngatedReads => "a read sees what was committed before it",
            Self::StreamSkipsAtFloor => "an event stream has no gaps",
            Self::HalfADecision => "what a node shows is behind a whole decision",
            Self::CommitAmidBatch => "a storage server keeps how far it has come, and no further",
            Self::DetectorWithoutGrace => "a new leader calls nobody silent whom it has not listened to",
            Self::DetectorBlindToGaps => "a leader that was held up calls nobody silent for that",
            Self::LaggardPromoted => "a node gets a vote once it has caught up",
            Self::WipedNodeAccepted => "a node that has lost its store is not taken for itself",
            Self::LeaderRestored => "who restarts leads only if it is elected",
        }
    }
}

#[cfg(feature = "mutants")]
static PLANTED: OnceLock<Mutant> = OnceLock::new();

/// Plants a bug for the rest of the process.
///
/// # Panics
/// Where another one is planted already: a simulation that finds something must know what it found.
#[cfg(feature = "mutants")]
pub fn plant(mutant: Mutant) {
    assert_eq!(*PLANTED.get_or_init(|| mutant), mutant, "one process has one bug planted");
}

/// Whether this bug is planted.
#[cfg(feature = "mutants")]
#[inline]
pub fn planted(mutant: Mutant) -> bool {
    PLANTED.get() == Some(&mutant)
}

/// Whether this bug is planted: never.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub const fn planted(_mutant: Mutant) -> bool {
    false
}

/// The time of this machine's clock, which no decision may ask for.
#[cfg(feature = "mutants")]
#[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the bug is that it is asked for")]
pub(crate) fn machine_time() -> crate::Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    crate::Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What the order of a hash map makes of a list.
#[cfg(feature = "mutants")]
#[expect(clippy::disallowed_types, reason = "the bug is that it has no order")]
pub(crate) fn unordered<T>(list: Vec<T>) -> Vec<T> {
    let map: std::collections::HashMap<usize, T> = list.into_iter().enumerate().collect();
    map.into_values().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_has_a_name_of_its_own_and_none_is_planted_unasked() {
        assert_eq!(Mutant::ALL.map(Mutant::name).into_iter().collect::<BTreeSet<_>>().len(), Mutant::ALL.len());
        assert!(Mutant::ALL.into_iter().all(|mutant| !planted(mutant)));
    }
}
