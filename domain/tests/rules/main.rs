//! Given events, when a command comes, then events, or a refusal: a case for every rule of the domain.

mod alerts;
mod audiences;
mod book;
mod cluster;
mod credentials;
mod destinations;
mod detection;
mod fleet;
mod nodes;
mod operations;
mod preconditions;
mod servers;
mod sites;
mod store_points;
mod words;

#[path = "../common/specimens.rs"]
#[allow(dead_code, reason = "the corpus needs more of it than the rules")]
mod specimens;

use std::collections::BTreeSet;

/// Refusals that no command brings about: a defect does, and what applies the log tells of it.
const BEYOND_COMMANDS: [&str; 1] = ["internal_error"];

#[test]
fn every_event_and_every_refusal_has_a_case() {
    let nouns = [
        alerts::CASES,
        cluster::CASES,
        credentials::CASES,
        destinations::CASES,
        nodes::CASES,
        operations::CASES,
        preconditions::CASES,
        servers::CASES,
        sites::CASES,
        store_points::CASES,
        words::CASES,
    ];
    for case in nouns.into_iter().flatten() {
        case();
    }
    let seen = book::seen();
    let expected = specimens::all().into_iter().filter(|specimen| ["event", "rejection"].contains(&specimen.family));
    let expected: BTreeSet<_> = expected.map(|specimen| specimen.variant).collect();
    let without_case: Vec<_> = expected.iter().filter(|name| !seen.contains(**name) && !BEYOND_COMMANDS.contains(name)).collect();
    assert!(without_case.is_empty(), "no case brings about {without_case:?}");
}
