//! `bursar-simulate` as people use it: what it says of a run, of many, and of one that fails.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use bursar_simulations::plan::{Plan, Role};

/// A bug that any restart of an authority node brings to light, and a seed with one node and one server that restarts it.
const MUTANT: &str = "requests-forgotten";
const SEED: &str = "31";
/// What finds it.
const INVARIANT: &str = "one-history";

/// What a command printed.
struct Said {
    succeeded: bool,
    code: Option<i32>,
    out: String,
    error: String,
}

fn simulate(arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_bursar-simulate")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (succeeded, code) = (output.status.success(), output.status.code());
    Said { succeeded, code, out: text(output.stdout), error: text(output.stderr) }
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
        .has(&format!("again: bursar-simulate replay {}\n", plan.display()))
        .has(&format!("seed {SEED} FAILED: {INVARIANT}: "));
    assert_eq!(failed.code, Some(1));
    let hash = failed.out.lines().last().unwrap();

    let again = simulate(&["replay", text(&plan)]);
    again.has(&format!("{MUTANT} is planted, as the plan says: --sound leaves it out\n"));
    assert_eq!(again.out.lines().last(), Some(hash), "a plan is run as its seed was");

    let shrunk = simulate(&["shrink", text(&plan)]);
    let small = kept.path().join(format!("seed-{SEED}-{MUTANT}.shrunk.json"));
    assert!(shrunk.succeeded, "{}", shrunk.error);
    shrunk.has(&format!("again: bursar-simulate replay {}\n", small.display()));
    assert!(items_of(&plan) > 200 && items_of(&small) <= 10, "{} became {}", items_of(&plan), items_of(&small));
    assert_eq!(fs::read_dir(kept.path()).unwrap().count(), 2, "the plans that were tried are gone");

    let once_more = simulate(&["shrink", text(&small), "--runs", "2"]);
    once_more.has(&format!("plan:  {}\n", small.display())).has("--runs allows more");
    assert_eq!(fs::read_dir(kept.path()).unwrap().count(), 2, "what is left stays where it was");

    let still = simulate(&["replay", text(&small)]);
    assert!(!still.succeeded);
    still.has(&format!("seed {SEED} FAILED: {INVARIANT}\n"));
    let sound = simulate(&["replay", text(&small), "--sound"]);
    assert!(sound.succeeded, "{}", sound.error);
    sound.has(&format!("seed {SEED} passed: "));
    let nothing = simulate(&["shrink", text(&small), "--sound"]);
    assert_eq!(nothing.code, Some(2));
    nothing.has(" does not fail: there is nothing to make smaller");
}

#[test]
fn a_panic_is_told_as_any_other_failure() {
    let kept = tempfile::tempdir().unwrap();
    let (file, mut plan) = (kept.path().join("far.json"), Plan::of_seed(7).without_items());
    // Nobody can count how long anything takes on its way.
    plan.topology.distances.jitter_ms = u64::MAX;
    fs::write(&file, plan.to_json()).unwrap();
    let failed = simulate(&["replay", text(&file)]);
    assert!(!failed.succeeded);
    failed
        .has("seed 7 FAILED: no-panic\n")
        .has(" ERROR bursar_simulations::command panicked at ")
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
    told.has("authority-1 starts").has("the plan begins").has("all held");
    ran.has(&format!("seed {SEED} passed: "));
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
    let kept = tempfile::tempdir().unwrap();
    let keep = ["--keep", text(kept.path())];
    let hunted = simulate(&[&["mutants", "--seeds", "31..33", "--jobs", "2", "--only", MUTANT], &keep[..]].concat());
    assert!(hunted.succeeded, "{}", hunted.error);
    hunted
        .has("| planted bug | what it breaks | found by | in seed | seeds | simulated time |\n|---|---|---|--:|--:|--:|\n")
        .has(&format!("| `{MUTANT}` | a request is carried out once | {INVARIANT} | {SEED} | 1 | "));
    let plan = kept.path().join(format!("seed-{SEED}-{MUTANT}.json"));
    assert_eq!(hunted.error, format!("again: bursar-simulate replay {}\n", plan.display()));
    assert_eq!(Plan::from_json(&fs::read_to_string(plan).unwrap()).unwrap().mutant.as_deref(), Some(MUTANT));
}

#[test]
fn a_directory_for_plans_that_cannot_be_one_is_refused_before_anything_runs() {
    let kept = tempfile::NamedTempFile::new().unwrap();
    for command in [&["run", "--seed", SEED][..], &["sweep", "--seeds", "31..32"], &["mutants", "--seeds", "31..32"]] {
        let refused = simulate(&[command, &["--keep", text(kept.path())]].concat());
        assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""));
        refused.has("error: cannot keep plans in ").has(": a file is where a directory should be; ");
    }
}

#[test]
fn a_failure_is_told_also_where_its_plan_cannot_be_kept() {
    let kept = tempfile::tempdir().unwrap();
    // Where the plan should go is a directory.
    fs::create_dir(kept.path().join(format!("seed-{SEED}-{MUTANT}.json"))).unwrap();
    let failed = simulate(&["run", "--seed", SEED, "--mutant", MUTANT, "--keep", text(kept.path())]);
    assert_eq!(failed.code, Some(1));
    failed.has(&format!("seed {SEED} FAILED: {INVARIANT}\n")).has("error: cannot keep plans in ").has(": it is a directory; ");
}

#[test]
fn a_trace_that_is_not_whole_is_an_error() {
    let kept = tempfile::tempdir().unwrap();
    let keep = ["--keep", text(kept.path())];
    let cut = simulate(&[&["run", "--seed", SEED, "--trace", "/dev/full"], &keep[..]].concat());
    assert_eq!(cut.code, Some(2));
    cut.has(&format!("seed {SEED} passed: ")).has("error: the trace in /dev/full is not whole: no room is left; ");
    let nowhere = simulate(&[&["run", "--seed", SEED, "--trace", "/dev"], &keep[..]].concat());
    assert_eq!(nowhere.code, Some(2));
    nowhere.has("error: cannot write a trace to /dev: it is a directory; ");
}

#[test]
fn who_has_read_enough_may_go() {
    let kept = tempfile::tempdir().unwrap();
    // The second has more to tell when nobody reads any more, and the first has not.
    for (command, code) in [(&["run", "--seed", SEED][..], 0), (&["mutants", "--seeds", "31..32", "--only", MUTANT], 2)] {
        let mut simulate = Command::new(env!("CARGO_BIN_EXE_bursar-simulate"));
        simulate.args(command).args(["--keep", text(kept.path())]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut simulate = simulate.spawn().unwrap();
        drop(simulate.stdout.take());
        let mut said = String::new();
        simulate.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((simulate.wait().unwrap().code(), said.as_str()), (Some(code), ""), "{command:?}");
    }
}

#[test]
fn a_run_that_takes_too_long_is_given_up_and_not_blamed_on_the_fleet() {
    let kept = tempfile::tempdir().unwrap();
    let swept = simulate(&["sweep", "--seeds", "0..1", "--limit", "1", "--keep", text(kept.path())]);
    assert_eq!(swept.code, Some(1));
    swept
        .has("seed 0 was given up after 1 s of real time\n")
        .has(&format!("again: bursar-simulate replay {} --trace FILE, ", kept.path().join("seed-0.json").display()));
    assert!(!swept.error.contains("virtual time"), "{}", swept.error);
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    let kept = tempfile::tempdir().unwrap();
    let (plan, none) = (kept.path().join("plan.json"), kept.path().join("none.json"));
    let mut senseless = Plan::of_seed(7);
    senseless.topology.hosts.clear();
    senseless.faults.clear();
    senseless.left_broken.clear();
    fs::write(&plan, senseless.to_json()).unwrap();
    let (plan, none) = (text(&plan), text(&none));
    for (command, words) in [
        (&["run", "--seed", "x"][..], "say a whole number from 0 to "),
        (&["sweep", "--seeds", "0..1", "--jobs", "0"], "say a whole number from 1 on"),
        (&["sweep", "--seeds", "0..1", "--limit", "0"], "say a whole number from 1 on"),
        (&["shrink", plan, "--runs", "0"], "say a whole number from 1 on"),
        (&["replay", plan], "this plan has no machines: "),
        (&["replay", none], "cannot read a plan from "),
        (&["replay", text(kept.path())], ": it is a directory; "),
        (&["timeline", plan], " is no trace: "),
        (&["timeline", none], ": there is no such file or directory; "),
    ] {
        let refused = simulate(command);
        assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""), "{command:?}");
        refused.has(words);
    }
    simulate(&["--help"]).has("Exit codes:\n  0  all held\n");
}
