//! Whatever was written once is read for ever, decided alike and written alike.
//!
//! The files of the corpus are added by `cargo run -p bursar-domain --example corpus`, which never touches one that is
//! there; the tests only read.

#[path = "common/corpus.rs"]
#[allow(dead_code, reason = "writing is for the example that adds files")]
mod corpus;
#[path = "common/specimens.rs"]
mod specimens;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    process::Command,
};

use bursar_domain::{Event, Proposal, Rejection, Sealed, State, encoding::Kind, evolve, invariants};
use bursar_domain_testing::Ledger;
use corpus::{JOURNAL, PROPOSALS, SUMMARY, folder, parted, summary};
use specimens::Specimen;

fn read(path: &str) -> Vec<u8> {
    let file = folder().join(path);
    fs::read(&file).unwrap_or_else(|error| {
        panic!("{}: {error}; add what is missing with `cargo run -p bursar-domain --example corpus`", file.display())
    })
}

#[test]
fn every_variant_has_a_file_that_reads_and_writes_alike() {
    for specimen in specimens::all() {
        let path = specimen.path();
        let bytes = read(&path);
        let reading = (specimen.read)(&bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(reading.variant, specimen.variant, "{path} holds another variant");
        assert!(reading.again == bytes, "{path} is written in another way than it was");
        assert!(specimen.bytes == bytes, "{path} no longer stands for the value that it stood for");
    }
}

#[test]
fn every_file_still_reads_and_writes_alike() {
    let readers: BTreeMap<_, _> = specimens::all().into_iter().map(|specimen| (specimen.family, specimen)).collect();
    let mut files = 0;
    for entry in fs::read_dir(folder()).expect("the corpus").map(|entry| entry.expect("an entry of the corpus")) {
        if !entry.file_type().expect("a sort of file").is_dir() {
            continue;
        }
        let family = entry.file_name().into_string().expect("a family's name");
        let reader = readers.get(family.as_str()).unwrap_or_else(|| panic!("nothing reads {family}"));
        for file in fs::read_dir(entry.path()).expect("a family").map(|file| file.expect("a file of the family")) {
            let bytes = fs::read(file.path()).expect("a file of the corpus");
            let reading = (reader.read)(&bytes).unwrap_or_else(|error| panic!("{}: {error}", file.path().display()));
            assert!(reading.again == bytes, "{} is written in another way than it was", file.path().display());
            files += 1;
        }
    }
    assert!(files >= specimens::all().len());
}

/// Every kind of encoding: one that is missing does not compile.
macro_rules! every_kind {
    ($($kind:ident)*) => {{
        let _: fn(Kind) = |kind| match kind {
            $(Kind::$kind => {})*
        };
        [$(Kind::$kind),*]
    }};
}

#[test]
fn every_kind_of_encoding_is_in_the_corpus() {
    let kinds = every_kind![
        Submission Record Header Cluster Site Destination AuthorityNode Operation Token JoinToken Remembered Server StorePoint Alert
        Projection
    ];
    let held: BTreeSet<_> = specimens::all().iter().map(|specimen| specimen.bytes[0]).collect();
    assert_eq!(held, kinds.into_iter().map(|kind| kind as u8).collect());
}

#[test]
fn no_two_specimens_share_a_file() {
    let all = specimens::all();
    let paths: BTreeSet<_> = all.iter().map(Specimen::path).collect();
    assert_eq!(paths.len(), all.len());
}

/// Folds the journal of the corpus, and checks every step of it.
fn replay() -> State {
    let bytes = read(JOURNAL);
    let mut state = State::default();
    for item in parted(&bytes) {
        let sealed = Sealed::open(item.to_vec()).unwrap_or_else(|error| panic!("{JOURNAL}: {error}"));
        assert!(bursar_domain::encoding::encode(&sealed.record) == item, "a record is written in another way than it was");
        evolve(&mut state, &sealed);
    }
    state
}

#[test]
fn the_journal_leads_where_it_led() {
    let state = replay();
    assert_eq!(invariants::violations(&state), []);
    assert_eq!(summary(&state), String::from_utf8(read(SUMMARY)).expect("text"));
}

#[test]
fn all_kinds_of_events_are_listed() {
    let listed: BTreeSet<_> = Event::KINDS.iter().copied().collect();
    let known: BTreeSet<_> = specimens::events().into_iter().map(|event| event.variant).collect();
    assert_eq!(listed, known);
    assert_eq!(listed.len(), Event::KINDS.len(), "each is listed once");
}

#[test]
fn all_codes_of_refusals_are_listed() {
    let listed: BTreeSet<_> = Rejection::CODES.iter().copied().collect();
    let known: BTreeSet<_> = specimens::rejections().into_iter().map(|rejection| rejection.variant).collect();
    assert_eq!(listed, known);
    assert_eq!(listed.len(), Rejection::CODES.len(), "each is listed once");
}

#[test]
fn the_journal_has_every_kind_of_event() {
    let bytes = read(JOURNAL);
    let open = |item: &[u8]| Sealed::open(item.to_vec()).expect("a record of the corpus").record.event.kind();
    let seen: BTreeSet<_> = parted(&bytes).into_iter().map(open).collect();
    let missing: Vec<_> =
        specimens::events().into_iter().map(|event| event.variant).filter(|kind| !seen.contains(kind)).collect();
    assert!(missing.is_empty(), "the journal has no {missing:?}: add a second one with a history that has");
}

/// At one level, the same proposals give the same bytes in every release.
#[test]
fn the_proposals_are_decided_as_they_were() {
    let (proposals, journal) = (read(PROPOSALS), read(JOURNAL));
    let mut ledger = Ledger::default();
    for item in parted(&proposals) {
        let proposal = Proposal::decode(item).unwrap_or_else(|error| panic!("{PROPOSALS}: {error}"));
        assert!(proposal.encode() == item, "a proposal is written in another way than it was");
        ledger.put(&proposal);
    }
    let decided: Vec<_> = ledger.journal.iter().map(|sealed| &sealed.bytes[..]).collect();
    let recorded = parted(&journal);
    for (position, (decided, recorded)) in decided.iter().zip(&recorded).enumerate() {
        assert!(decided == recorded, "the record of revision {} is another one", position + 1);
    }
    assert_eq!(decided.len(), recorded.len());
}

/// What [`the_journal_leads_to_the_same_place_in_any_environment`] runs in other processes.
#[test]
fn the_journal_replayed_for_another_process() {
    println!("{}", summary(&replay()));
}

#[test]
fn the_journal_leads_to_the_same_place_in_any_environment() {
    // Every process draws hash seeds of its own; the environment is varied here.
    let environments =
        [("UTC", "C"), ("Asia/Kathmandu", "tr_TR.UTF-8"), ("America/St_Johns", "de_DE.ISO-8859-1"), ("Pacific/Apia", "POSIX")];
    let expected = String::from_utf8(read(SUMMARY)).expect("text");
    for (zone, language) in environments {
        let output = Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "the_journal_replayed_for_another_process", "--nocapture"])
            .env_clear()
            .envs([("TZ", zone), ("LANG", language), ("LC_ALL", language)])
            .output()
            .expect("this program runs again");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{told}");
        assert!(told.contains(&expected), "under TZ={zone} LANG={language} the journal leads elsewhere:\n{told}");
    }
}
