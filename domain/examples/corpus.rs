//! Adds to the corpus what is missing from it: one file for every variant that rests or travels, and a history with its
//! proposals, its journal and the state that it leads to. A file that is there is never touched: it stands for every byte
//! that was ever written that way.
//!
//! ```text
//! cargo run -p bursar-domain --example corpus
//! ```

#[path = "../tests/common/corpus.rs"]
#[allow(dead_code, reason = "reading is for the tests")]
mod corpus;
#[path = "../tests/common/specimens.rs"]
#[allow(dead_code, reason = "reading is for the tests")]
mod specimens;

use std::{collections::BTreeSet, fs, io, path::Path};

use bursar_domain::Proposal;
use bursar_domain_testing::{History, Ledger};
use corpus::{JOURNAL, PROPOSALS, SUMMARY, folder, joined, summary};

/// How many records the history has at least.
const RECORDS: usize = 600;

fn main() -> io::Result<()> {
    let folder = folder();
    for specimen in specimens::all() {
        add(&folder.join(specimen.path()), &specimen.bytes)?;
    }
    if [PROPOSALS, JOURNAL, SUMMARY].iter().all(|file| !folder.join(file).exists()) {
        let (proposals, ledger) = play();
        add(&folder.join(PROPOSALS), &joined(proposals.iter().map(Proposal::encode)))?;
        add(&folder.join(JOURNAL), &joined(ledger.journal.iter().map(|sealed| sealed.bytes.clone())))?;
        add(&folder.join(SUMMARY), summary(&ledger.state).as_bytes())?;
    }
    Ok(())
}

fn add(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if file.exists() {
        return Ok(());
    }
    if let Some(parent) = file.parent() {
        fs::create_dir_all(parent)?;
    }
    println!("{}", file.display());
    fs::write(file, bytes)
}

/// The first history that is long enough and has every kind of event.
fn play() -> (Vec<Proposal>, Ledger) {
    let kinds: BTreeSet<_> = specimens::events().into_iter().map(|specimen| specimen.variant).collect();
    let histories = (0..).map(|seed| {
        let mut history = History::new(seed);
        let mut ledger = Ledger::default();
        let mut proposals = Vec::new();
        while ledger.journal.len() < RECORDS {
            let proposal = history.next(&ledger.state);
            ledger.put(&proposal);
            proposals.push(proposal);
        }
        (proposals, ledger)
    });
    let complete = |ledger: &Ledger| {
        let seen: BTreeSet<_> = ledger.journal.iter().map(|sealed| sealed.record.event.kind()).collect();
        seen.is_superset(&kinds)
    };
    histories.into_iter().find(|(_, ledger)| complete(ledger)).expect("one of all histories has every kind of event")
}
