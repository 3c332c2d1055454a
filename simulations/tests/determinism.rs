//! Two processes that run one seed do the same in everything; two seeds do not.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::collections::{BTreeSet, HashSet};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bursar_net::{Entropy, SystemEntropy};
use bursar_simulations::plan::Plan;
use bursar_simulations::runtime::simulate;
use bursar_simulations::{shim, world};
use tokio::time::sleep;

use support::Callers;

/// Which of the two errands a process of its own is sent on.
const CHANCES: &str = "chances_of_a_seed";
const FLEET: &str = "a_fleet_of_a_seed";
const SEED: &str = "BURSAR_SIMULATED_SEED";
/// Before each line that counts: the test harness says things of its own.
const MARK: &str = "> ";

/// What an errand says in a process of its own.
fn sent(errand: &str, seed: u64) -> Vec<String> {
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(["--exact", errand, "--ignored", "--nocapture", "--test-threads=1"]).env(SEED, seed.to_string());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<String> = told.lines().filter_map(|line| Some(line.split_once(MARK)?.1.to_owned())).collect();
    assert!(!lines.is_empty(), "{told}");
    lines
}

fn seed_of_errand() -> u64 {
    shim::fix_addresses().unwrap();
    std::env::var(SEED).unwrap().parse().unwrap()
}

#[test]
#[ignore = "an errand of another test, in a process of its own"]
fn chances_of_a_seed() {
    let told = simulate(seed_of_errand(), async || {
        let order: Vec<u32> = (0..100).collect::<HashSet<_>>().into_iter().collect();
        let mut chosen = Vec::new();
        for _ in 0..100 {
            chosen.push(tokio::select! {
                () = async {} => 1,
                () = async {} => 2,
                () = async {} => 3,
            });
        }
        sleep(Duration::from_millis(1_234)).await;
        let now = (std::time::SystemTime::now(), std::time::Instant::now());
        let keys: [u8; 32] = (&SystemEntropy::new() as &dyn Entropy).array();
        let address = std::ptr::from_ref(Box::leak(Box::new(7))) as usize;
        [
            format!("map {order:?}"),
            format!("select {chosen:?}"),
            format!("keys {keys:?}"),
            format!("rand {} {}", rand::random::<u64>(), rand::random::<u64>()),
            format!("address {address}"),
            format!("clock {now:?}"),
        ]
    });
    for line in told {
        println!("{MARK}{line}");
    }
}

#[test]
#[ignore = "an errand of another test, in a process of its own"]
fn a_fleet_of_a_seed() {
    let plan = Plan::of_seed(seed_of_errand());
    let outcome = world::run(plan, Arc::<Callers>::default(), None);
    println!("{MARK}{} {:?} {:?}", outcome.digest, outcome.elapsed, outcome.verdict);
}

#[test]
fn chance_is_the_seeds_alone() {
    let (first, again, other) = (sent(CHANCES, 7), sent(CHANCES, 7), sent(CHANCES, 8));
    assert_eq!(first, again);
    for place in 0..4 {
        assert_ne!(first[place], other[place]);
    }
}

#[test]
fn a_fleet_with_everything_that_befalls_it_is_the_seeds_alone() {
    let mut seen = BTreeSet::new();
    for seed in 1..=5 {
        let first = sent(FLEET, seed);
        println!("seed {seed}: {}", first[0]);
        assert_eq!(first, sent(FLEET, seed));
        assert!(first[0].ends_with("Ok(())"), "seed {seed}: {}", first[0]);
        seen.insert(first);
    }
    assert_eq!(seen.len(), 5);
}
