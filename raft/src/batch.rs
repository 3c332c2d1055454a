//! Deciding a batch of committed entries, in memory.
//!
//! ```text
//! entry ──> Proposal ──decide──> Decision ──seal──> records ──evolve──> State
//! ```
//!
//! Nothing leaves the batch until its records rest in the journal: the state machine commits it as a whole, publishes the
//! state, and only then sends the answers.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bursar_domain::{Decision, Proposal, Sealed, State, decide, evolve, seal};
use bursar_net::words_of;
use bursar_storage::ledger;
use bytes::Bytes;
use openraft::{EntryPayload, storage::ApplyResponder};

use crate::{
    convert,
    counters::Meter,
    stop::StopReason,
    types::{Applied, Entry, TypeConfig},
};

/// How many entries one batch takes at most; then it is committed and answered, and the others get their turn.
const ENTRIES_MAX: usize = 512;
/// How many bytes of records a batch may hold before it takes no further entry. One decision may have a megabyte.
const RECORD_BYTES_MAX: usize = 4 << 20;

/// A batch in the making.
pub(crate) struct Batch<'m> {
    /// The state behind all its entries.
    pub(crate) state: State,
    /// Where the state machine stands behind all its entries.
    pub(crate) applied: ledger::Applied,
    /// What its entries add to the journal.
    pub(crate) records: Vec<Sealed>,
    answers: Vec<(ApplyResponder<TypeConfig>, Option<Applied>)>,
    entries: usize,
    record_bytes: usize,
    meter: &'m Meter,
}

impl<'m> Batch<'m> {
    /// An empty batch behind `state`.
    pub(crate) fn new(state: &State, applied: &ledger::Applied, meter: &'m Meter) -> Self {
        Self {
            state: state.clone(),
            applied: applied.clone(),
            records: Vec::new(),
            answers: Vec::new(),
            entries: 0,
            record_bytes: 0,
            meter,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries >= ENTRIES_MAX || self.record_bytes >= RECORD_BYTES_MAX
    }

    /// Applies one committed entry. An error is final: the other replicas may have applied what this one cannot.
    pub(crate) fn apply(&mut self, entry: Entry, responder: Option<ApplyResponder<TypeConfig>>) -> Result<(), StopReason> {
        let position = convert::position(entry.log_id);
        let answer = match entry.payload {
            EntryPayload::Blank => None,
            EntryPayload::Membership(membership) => {
                self.applied.membership =
                    ledger::StoredMembership { position: Some(position), membership: convert::membership_to_store(&membership) };
                None
            }
            EntryPayload::Normal(proposal) => Some(self.decide(position.index, &proposal.0)?),
        };
        self.applied.position = Some(position);
        self.applied.revision = self.state.revision();
        self.applied.head = self.state.head();
        self.entries += 1;
        self.answers.extend(responder.map(|responder| (responder, answer)));
        Ok(())
    }

    /// Tells those who wait. Their entries rest in the journal by now.
    pub(crate) fn answer(self) {
        for (responder, answer) in self.answers {
            responder.send(answer);
        }
    }

    /// Why the node stops where the batch cannot be committed for what it holds.
    pub(crate) fn broken(&self, detail: &str) -> StopReason {
        let index = self.applied.position.map_or(0, |position| position.index);
        StopReason::BrokenState { index, detail: detail.to_owned() }
    }

    fn decide(&mut self, index: u64, bytes: &Bytes) -> Result<Applied, StopReason> {
        let proposal =
            Proposal::decode(bytes).map_err(|error| StopReason::UnreadableProposal { index, detail: error.to_string() })?;
        let decision = decide(&self.state, &proposal);
        self.meter.proposals_decided.increment();
        if let Some(defect) = &decision.defect {
            self.meter.decisions_panicked.increment();
            tracing::error!(index, command = %proposal.submission.command, defect, "deciding panicked, the draft was dropped");
        }
        let folded = catch_unwind(AssertUnwindSafe(|| {
            let records = seal(&self.state, &proposal, &decision);
            for record in &records {
                evolve(&mut self.state, record);
            }
            records
        }));
        let records = folded.map_err(|panic| StopReason::BrokenState { index, detail: words_of(panic.as_ref()).to_owned() })?;
        self.record_bytes += records.iter().map(|record| record.bytes.len()).sum::<usize>();
        self.records.extend(records);
        let Decision { outcome, revision, repeated, .. } = decision;
        Ok(Applied { outcome, revision, repeated })
    }
}

#[cfg(test)]
mod tests {
    use bursar_domain::{
        Actor, Command, Hash, Level, RequestId, Revision, StoreId, Submission, Timestamp, authority_node::Facts, cluster,
    };
    use bursar_storage::log::LogPosition;
    use openraft::entry::RaftEntry;

    use super::*;
    use crate::types::ProposalBytes;

    fn entry(index: u64, payload: EntryPayload<ProposalBytes, u64, bursar_storage::log::Member>) -> Entry {
        Entry::new(convert::log_id(LogPosition { term: 1, index }), payload)
    }

    fn founding() -> Submission {
        let node = Facts {
            store: StoreId([1; 16]),
            peer_address: "127.0.0.1:4283".into(),
            api_address: "127.0.0.1:4285".into(),
            control_address: "127.0.0.1:4288".into(),
            version: "0.1.0".into(),
            supported: Level::SUPPORTED,
        };
        let command = Command::Cluster(cluster::Command::Found {
            cluster: bursar_domain::ClusterId([2; 16]),
            license_key: vec![3; 32],
            ca_certificate: "certificate".into(),
            sealed_ca_key: vec![4; 32],
            setup_secret: Hash::ZERO,
            node,
        });
        let request = RequestId::parse("found").expect("a request id");
        Submission { actor: Actor::Founder, request, fingerprint: Hash::ZERO, expected: None, planned_on: None, command }
    }

    fn proposal(submission: &Submission) -> Vec<u8> {
        Proposal { time: Timestamp(1), submission: submission.clone() }.encode()
    }

    #[test]
    fn entries_move_the_position_and_their_events_the_head() {
        let meter = Meter::default();
        let mut batch = Batch::new(&State::default(), &ledger::Applied::default(), &meter);
        batch.apply(entry(1, EntryPayload::Blank), None).expect("a blank entry changes nothing");
        assert_eq!((batch.applied.revision, batch.records.len()), (Revision::ZERO, 0));
        let bytes = proposal(&founding());
        batch.apply(entry(2, EntryPayload::Normal(ProposalBytes(bytes.clone().into()))), None).expect("it is decided");
        let records = batch.records.len();
        assert!(records > 0);
        assert_eq!(batch.applied.revision, Revision(records as u64));
        assert_eq!(batch.applied.head, batch.records[records - 1].hash);
        assert_eq!(batch.applied.position.map(|position| position.index), Some(2));
        // The same request once more is remembered.
        batch.apply(entry(3, EntryPayload::Normal(ProposalBytes(bytes.into()))), None).expect("it is decided");
        assert_eq!(batch.records.len(), records);
        assert_eq!(batch.applied.position.map(|position| position.index), Some(3));
    }

    #[test]
    fn what_cannot_be_read_stops_the_node_and_says_what_to_run() {
        let meter = Meter::default();
        let mut newer = proposal(&founding());
        let version = newer.get_mut(9).expect("time, kind, version");
        *version += 1;
        for bytes in [newer, b"no proposal".to_vec(), Vec::new()] {
            let mut batch = Batch::new(&State::default(), &ledger::Applied::default(), &meter);
            let reason = batch.apply(entry(7, EntryPayload::Normal(ProposalBytes(bytes.into()))), None);
            let reason = reason.expect_err("it is no proposal of this version");
            assert!(matches!(reason, StopReason::UnreadableProposal { index: 7, .. }), "{reason}");
            assert!(reason.to_string().contains("run the program that the other nodes run"), "{reason}");
            assert!(batch.is_empty());
        }
    }

    #[test]
    fn a_record_that_does_not_follow_breaks_the_state_and_not_the_process() {
        let meter = Meter::default();
        let mut ahead = State::default();
        let mut batch = Batch::new(&ahead, &ledger::Applied::default(), &meter);
        batch.apply(entry(1, EntryPayload::Normal(ProposalBytes(proposal(&founding()).into()))), None).expect("decided");
        std::mem::swap(&mut ahead, &mut batch.state);
        let folded = catch_unwind(AssertUnwindSafe(|| evolve(&mut ahead, &batch.records[0])));
        let panic = folded.expect_err("the record is in the state already");
        assert!(words_of(panic.as_ref()).contains("records follow one another"));
    }
}
