//! `bursar-simulate` as people use it: what it says of a run, of many, and of one that fails.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::fs;
use std::path::Path;
use std::process::Command;

use bursar_simulations::plan::{Plan, Role};

/// A bug that any restart of an authority node brings to light, and a seed with one node and one server that restarts it.
const MUTANT: &str = "requests-forgotten";
const SEED: &str = "31";
/// What finds it.
const INVARIANT: &str = "one-history";

/// What a command printed.
struct Said {
    succeeded: bool,
    out: String,
    error: String,
}

fn simulate(arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_bursar-simulate")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { succeeded: output.status.success(), out: text(output.stdout), error: text(output.stderr) }
}

impl Said {
    fn has(&self, words: &str) -> &Self {
        assert!(self.out.contains(words) || self.error.contains(words), "{words:?} is not in:\n{}{}", self.out, self.error);
        self
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn items_of(plan: &Path) -> usize {
    let plan = Plan::from_json(&fs::read_to_string(plan).unwrap()).unwrap();
    plan.faults.len() + plan.operations.len()
}

#[test]
fn a_failure_is_told_and_kept_and_made_small_and_comes_again() {
    let kept = tempfile::tempdir().unwrap();
    let failed = simulate(&["run", "--seed", SEED, "--mutant", MUTANT, "--keep", text(kept.path())]);
    let plan = kept.path().join(format!("seed-{SEED}-{MUTANT}.json"));
    assert!(!failed.succeeded);
    failed
        .has(&format!("seed {SEED} FAILED: {INVARIANT}\n"))
        .has(" s of virtual time, after ")
        .has(" host a1 authority-1 starts\n")
        .has(&format!("again: bursar-simulate replay {} --mutant {MUTANT}\n", plan.display()));
    let hash = failed.out.lines().last().unwrap();

    let again = simulate(&["replay", text(&plan), "--mutant", MUTANT]);
    assert_eq!(again.out.lines().last(), Some(hash), "a plan is run as its seed was");

    let shrunk = simulate(&["shrink", text(&plan), "--mutant", MUTANT]);
    let small = kept.path().join(format!("seed-{SEED}-{MUTANT}.shrunk.json"));
    assert!(shrunk.succeeded, "{}", shrunk.error);
    shrunk.has(&format!("again: bursar-simulate replay {} --mutant {MUTANT}\n", small.display()));
    assert!(items_of(&plan) > 200 && items_of(&small) <= 10, "{} became {}", items_of(&plan), items_of(&small));
    assert_eq!(fs::read_dir(kept.path()).unwrap().count(), 2, "the plans that were tried are gone");

    let still = simulate(&["replay", text(&small), "--mutant", MUTANT]);
    assert!(!still.succeeded);
    still.has(&format!("seed {SEED} FAILED: {INVARIANT}\n"));
    let sound = simulate(&["replay", text(&small)]);
    assert!(sound.succeeded, "{}", sound.error);
    let nothing = simulate(&["shrink", text(&small)]);
    assert!(!nothing.succeeded);
    nothing.has(" does not fail: there is nothing to make smaller");
}

#[test]
fn a_panic_is_told_as_any_other_failure() {
    let kept = tempfile::tempdir().unwrap();
    let (file, mut plan) = (kept.path().join("empty.json"), Plan::of_seed(7));
    plan.topology.hosts.clear();
    plan.faults.clear();
    fs::write(&file, plan.to_json()).unwrap();
    let failed = simulate(&["replay", text(&file)]);
    assert!(!failed.succeeded);
    failed
        .has("seed 7 FAILED: no-panic\n    index out of bounds")
        .has(" log world ERROR bursar_simulations::command panicked at ")
        .has(&format!("again: bursar-simulate replay {}\n", file.display()));
}

#[test]
fn a_trace_is_written_and_its_hash_is_told_last() {
    let kept = tempfile::tempdir().unwrap();
    let trace = kept.path().join("trace");
    let ran = simulate(&["run", "--seed", SEED, "--trace", text(&trace)]);
    assert!(ran.succeeded, "{}", ran.error);
    let last = ran.out.lines().last().unwrap();
    assert!(last.len() > 64 && last[..64].chars().all(|digit| digit.is_ascii_hexdigit()), "{last}");
    let told = simulate(&["timeline", text(&trace)]);
    told.has("authority-1 starts").has("the plan begins").has("verdict Ok(())");
}

#[test]
fn a_fleet_is_as_large_as_somebody_wants_it_and_as_secure() {
    let kept = tempfile::tempdir().unwrap();
    let plan = kept.path().join("plan");
    let ran = simulate(&["run", "--seed", SEED, "--nodes", "2", "--servers", "3", "--tls", "true", "--plan", text(&plan)]);
    assert!(ran.succeeded, "{}", ran.error);
    ran.has(" per processor second\n");
    let plan = Plan::from_json(&fs::read_to_string(plan).unwrap()).unwrap();
    assert_eq!((plan.processes(Role::Authority).count(), plan.processes(Role::StorageServer).count()), (2, 3));
    assert!(plan.knobs.tls && !Plan::of_seed(plan.seed).knobs.tls);
    simulate(&["run", "--seed", SEED, "--nodes", "0"]).has("0 is not in 1..=7");
}

#[test]
fn two_runs_of_each_seed_are_compared() {
    let compared = simulate(&["meta", "--seeds", "31..33", "--jobs", "2"]);
    assert!(compared.succeeded, "{}", compared.error);
    compared.has("seed 31: two runs are the same, ").has("seed 32: two runs are the same, ");
}

#[test]
fn a_sweep_tells_what_came_of_all_seeds_together() {
    let kept = tempfile::tempdir().unwrap();
    let swept = simulate(&["sweep", "--seeds", "5..7", "--jobs", "2", "--keep", text(kept.path())]);
    assert!(swept.succeeded, "{}{}", swept.out, swept.error);
    swept
        .has("2 of 2 seeds in ")
        .has(": 2 passed, 0 failed; ")
        .has("searches that ended UNKNOWN: none\n")
        .has("slowest: seed ")
        .has("failed: none\n");
}

#[test]
fn a_sweep_that_is_to_cover_everything_fails_where_it_does_not() {
    let swept = simulate(&["sweep", "--seeds", "31..32", "--coverage"]);
    assert!(!swept.succeeded);
    // Seed 31 has one authority node: nobody takes over from it.
    swept
        .has(": 1 passed, 0 failed; ")
        .has("coverage: stage.snapshot_installed was never exercised")
        .has("exercised, how often:\n")
        .has("  event.server.joined\n");
}

#[test]
fn a_planted_bug_is_a_line_of_a_table() {
    let hunted = simulate(&["mutants", "--seeds", "31..33", "--jobs", "2", "--only", MUTANT]);
    assert!(hunted.succeeded, "{}", hunted.error);
    hunted
        .has("| planted bug | what it breaks | found by | seeds | simulated time |\n|---|---|---|--:|--:|\n")
        .has(&format!("| `{MUTANT}` | a request is carried out once | {INVARIANT} | 1 | "));
}
