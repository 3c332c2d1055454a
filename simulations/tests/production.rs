//! The fleet of production in simulated worlds: a few seeds of many. `make simulate` runs more.

use std::process::{Command, Output};

fn simulate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bursar-simulate")).args(arguments).output().expect("the program starts")
}

/// Fails for an invariant, and says so.
fn fails_for(invariant: &str, arguments: &[&str]) {
    let kept = tempfile::tempdir().expect("a directory");
    let output = simulate(&[arguments, &["--keep", &kept.path().display().to_string()]].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains(&format!("FAILED: {invariant}\n")), "{arguments:?}\n{error}");
}

fn passes(arguments: &[&str]) -> String {
    let output = simulate(arguments);
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}\n{out}{error}");
    out.into_owned()
}

/// Authority nodes alone, and disks that fail under them.
#[test]
fn nodes_whose_disks_fail_lose_nothing() {
    passes(&["run", "--seed", "5"]);
}

/// Storage servers too.
#[test]
fn a_fleet_comes_into_line_again_whatever_went_wrong() {
    passes(&["run", "--seed", "2"]);
}

/// Three nodes, of which one loses its stores while others are struck.
#[test]
fn nodes_that_lose_what_they_keep_come_back_as_others() {
    passes(&["run", "--seed", "41"]);
}

/// Four nodes, of which one comes back with its keys on other stores. Whether that is seen where the others do let it in, a planted
/// bug tells.
#[test]
fn a_node_on_other_stores_has_no_second_life_under_its_old_number() {
    passes(&["run", "--seed", "58"]);
    fails_for("no-second-life", &["run", "--seed", "58", "--mutant", "wiped-node-accepted"]);
}

/// Nodes and servers whose places others take, and calls that are lost or repeated.
#[test]
fn lost_machines_are_replaced_under_load() {
    passes(&["run", "--seed", "50"]);
}

#[test]
fn a_seed_is_the_same_run_in_every_process() {
    passes(&["meta", "--seeds", "6..7"]);
}
