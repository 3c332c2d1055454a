//! What holds of every history, shown over random ones.

use std::collections::BTreeMap;

use bursar_domain::{
    Projection, Proposal, Reader, Revision, Sealed, ServerId, State, decide,
    encoding::{decode, encode},
    evolve, invariants, seal,
};
use bursar_domain_testing::{History, Ledger};
use proptest::prelude::*;

/// How many proposals a history has at most.
const LENGTH_MAX: usize = 250;

fn config() -> ProptestConfig {
    ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() }
}

/// The ledger and the proposals of the history that a seed stands for.
fn play(seed: u64, length: usize) -> (Ledger, Vec<Proposal>) {
    let mut ledger = Ledger::default();
    let mut history = History::new(seed);
    let mut proposals = Vec::new();
    for _ in 0..length {
        let proposal = history.next(&ledger.state);
        ledger.put(&proposal);
        proposals.push(proposal);
    }
    (ledger, proposals)
}

fn fold<'r>(state: &mut State, records: impl IntoIterator<Item = &'r Sealed>) {
    for sealed in records {
        let reread = Sealed::open(sealed.bytes.clone()).expect("a record that was just sealed");
        evolve(state, &reread);
    }
}

fn exported(state: &State) -> Vec<Vec<u8>> {
    state.export().collect()
}

fn imported(state: &State) -> State {
    let items = exported(state);
    State::import(items.iter().map(Vec::as_slice)).expect("what was just exported")
}

proptest! {
    #![proptest_config(config())]

    /// Deciding and evolving never panic; every state is sound, its digest the one recomputed; what changes nothing
    /// leaves no trace.
    #[test]
    fn every_state_of_a_history_is_sound(seed: u64, length in 1..LENGTH_MAX) {
        let mut ledger = Ledger::default();
        let mut history = History::new(seed);
        for _ in 0..length {
            let proposal = history.next(&ledger.state);
            let before = (ledger.state.digest(), ledger.state.cursor());
            let decision = ledger.put(&proposal);
            prop_assert_eq!(invariants::violations(&ledger.state), vec![], "after {}", proposal.submission.command);
            prop_assert_eq!(ledger.state.revision(), Revision(ledger.journal.len() as u64));
            if decision.events.is_empty() {
                prop_assert_eq!((ledger.state.digest(), ledger.state.cursor()), before);
            }
            if decision.repeated || decision.outcome.is_err() {
                prop_assert_eq!(decision.events.len(), 0);
            }
            prop_assert!(decision.time >= proposal.time);
        }
    }

    /// Every replica derives the same bytes: from the state as it was built up, and from one that came as a snapshot.
    #[test]
    fn replicas_decide_alike(seed: u64, length in 1..LENGTH_MAX) {
        let mut ledger = Ledger::default();
        let mut history = History::new(seed);
        for _ in 0..length {
            let proposal = history.next(&ledger.state);
            let replica = imported(&ledger.state);
            let decision = decide(&ledger.state, &proposal);
            prop_assert_eq!(&decide(&ledger.state, &proposal), &decision);
            prop_assert_eq!(&decide(&replica, &proposal), &decision);
            let bytes = |state| seal(state, &proposal, &decision).into_iter().map(|sealed| sealed.bytes).collect::<Vec<_>>();
            prop_assert_eq!(bytes(&ledger.state), bytes(&replica));
            ledger.put(&proposal);
        }
    }

    /// The fold of the journal is the state, wherever it is taken up: from nothing, or from a snapshot in the middle.
    #[test]
    fn a_state_and_the_records_behind_it_make_the_whole(seed: u64, length in 1..LENGTH_MAX, cut: prop::sample::Index) {
        let (whole, _) = play(seed, length);
        let mut folded = State::default();
        fold(&mut folded, &whole.journal);
        prop_assert_eq!(folded.digest(), whole.state.digest());
        prop_assert_eq!(exported(&folded), exported(&whole.state));

        let cut = cut.index(whole.journal.len() + 1);
        let mut base = State::default();
        fold(&mut base, &whole.journal[..cut]);
        let mut resumed = imported(&base);
        fold(&mut resumed, &whole.journal[cut..]);
        prop_assert_eq!(resumed.digest(), whole.state.digest());
        prop_assert_eq!(exported(&resumed), exported(&whole.state));
    }

    /// A snapshot is the state: the same items, the same digest, the same index.
    #[test]
    fn an_imported_state_is_the_exported_one(seed: u64, length in 1..LENGTH_MAX) {
        let (ledger, _) = play(seed, length);
        let copy = imported(&ledger.state);
        prop_assert_eq!(copy.digest(), ledger.state.digest());
        prop_assert_eq!(copy.cursor(), ledger.state.cursor());
        prop_assert_eq!(exported(&copy), exported(&ledger.state));
        prop_assert_eq!(invariants::violations(&copy), vec![]);
    }

    /// A version that somebody holds does not change under them.
    #[test]
    fn a_held_version_stays_as_it_was(seed: u64, length in 1..LENGTH_MAX) {
        let (mut ledger, _) = play(seed, length);
        let held = ledger.state.clone();
        let before = exported(&held);
        let mut history = History::new(!seed);
        for _ in 0..20 {
            let proposal = history.next(&ledger.state);
            ledger.put(&proposal);
        }
        prop_assert_eq!(exported(&held), before);
        prop_assert_eq!(invariants::violations(&held), vec![]);
    }

    /// Records chain from the first, and read back as they were written.
    #[test]
    fn the_journal_is_a_chain_that_reads_back(seed: u64, length in 1..LENGTH_MAX) {
        let (ledger, _) = play(seed, length);
        let mut previous = bursar_domain::Hash::ZERO;
        for (sealed, number) in ledger.journal.iter().zip(1..) {
            prop_assert_eq!(sealed.record.revision, Revision(number));
            prop_assert_eq!(sealed.record.previous, previous);
            prop_assert_eq!(sealed.record.closing.is_some(), sealed.record.decision.last() == sealed.record.revision);
            prop_assert_eq!(&Sealed::open(sealed.bytes.clone()).expect("a record that was just sealed"), sealed);
            previous = sealed.hash;
        }
        prop_assert_eq!(ledger.state.head(), previous);
    }

    /// A server that reads nothing but the records of its audience knows at every revision what the authority thinks that it
    /// knows: before it is added, while it is there, and once it is gone.
    #[test]
    fn what_a_server_reads_is_what_it_is_to_know(seed: u64, length in 1..LENGTH_MAX) {
        let (whole, _) = play(seed, length);
        let readers: Vec<_> = whole.state.servers().iter().map(|server| (server.id, server.destination)).collect();
        let mut state = State::default();
        let mut known: BTreeMap<ServerId, Option<Projection>> = BTreeMap::new();
        for sealed in &whole.journal {
            evolve(&mut state, sealed);
            for (server, destination) in &readers {
                let known = known.entry(*server).or_default();
                let reader = Reader::Server { server: *server, destination: *destination };
                if sealed.record.audience.includes(reader) {
                    *known = Projection::behind(known.take(), *server, &sealed.record.event);
                }
                // Records of one decision take effect together.
                if sealed.record.decision.last() == sealed.record.revision {
                    let expected = Projection::of(&state, *server);
                    prop_assert_eq!(known.as_ref().map(Projection::digest), expected.as_ref().map(Projection::digest));
                    prop_assert_eq!(&*known, &expected, "after {}", &sealed.record);
                }
            }
        }
    }

    /// A stamp does not touch what it stamps, and both read back.
    #[test]
    fn a_stamped_submission_reads_back(seed: u64, length in 1..LENGTH_MAX) {
        let (_, proposals) = play(seed, length);
        for proposal in proposals {
            let submission = encode(&proposal.submission);
            let stamped = Proposal::stamp(proposal.time, &submission);
            prop_assert_eq!(&stamped[8..], &submission[..]);
            prop_assert_eq!(&stamped, &proposal.encode());
            prop_assert_eq!(Proposal::decode(&stamped), Ok(proposal.clone()));
            prop_assert_eq!(decode(&submission), Ok(proposal.submission));
        }
    }
}

/// The histories are worth something: they bring about most of what can happen.
#[test]
fn histories_reach_most_of_the_domain() {
    let mut seen = std::collections::BTreeSet::new();
    let mut granted = 0;
    let mut repeated = 0;
    for seed in 0..24 {
        let mut ledger = Ledger::default();
        let mut history = History::new(seed);
        for _ in 0..LENGTH_MAX {
            let proposal = history.next(&ledger.state);
            let decision = ledger.put(&proposal);
            granted += usize::from(!decision.events.is_empty());
            repeated += usize::from(decision.repeated);
            seen.extend(decision.events.iter().map(bursar_domain::Event::kind));
            seen.extend(decision.outcome.err().map(|rejection| rejection.code()));
        }
    }
    let expected = [
        "alert.acknowledged",
        "alert.covered",
        "alert.explained",
        "alert.raised",
        "alert.resolved",
        "alert.worsened",
        "authority_node.admitted",
        "authority_node.announced",
        "authority_node.edited",
        "authority_node.founded",
        "authority_node.joined",
        "authority_node.removal_started",
        "authority_node.removed",
        "cluster.founded",
        "cluster.level_raised",
        "cluster.setup_claimed",
        "destination.created",
        "destination.edited",
        "destination.removed",
        "join_token.issued",
        "join_token.revoked",
        "join_token.used",
        "operation.advanced",
        "operation.ended",
        "operation.started",
        "operation.waiting",
        "server.added",
        "server.announced",
        "server.came_online",
        "server.edited",
        "server.intended",
        "server.introduced",
        "server.join_failed",
        "server.joined",
        "server.projection_reported",
        "server.removed",
        "server.replaced",
        "server.welcomed",
        "server.went_offline",
        "site.created",
        "site.edited",
        "site.removed",
        "store_point.annotated",
        "store_point.created",
        "store_point.edited",
        "store_point.intended",
        "store_point.reported",
        "token.issued",
        "token.revoked",
        "already_founded",
        "already_issued",
        "connection_string_expired",
        "credential_expired",
        "credential_revoked",
        "in_use",
        "invalid_field",
        "join_token_expired",
        "join_token_used",
        "last_authority_node",
        "last_credential",
        "level_not_next",
        "level_too_low",
        "level_unsupported",
        "license_foreign",
        "name_taken",
        "not_cancellable",
        "not_found",
        "not_permitted",
        "operation_ended",
        "plan_stale",
        "request_key_reused",
        "revision_mismatch",
        "server_known",
        "server_not_online",
        "setup_refused",
        "store_known",
        "unexpected_report",
        "version_differs",
    ];
    let missing: Vec<_> = expected.into_iter().filter(|name| !seen.contains(name)).collect();
    assert!(missing.is_empty(), "no history brings about {missing:?}");
    let share = granted * 100 / (24 * LENGTH_MAX);
    assert!((40..90).contains(&share), "{share} % of the proposals change something");
    assert!(repeated > 24, "{repeated} repetitions");
}
