//! Many seeds, and what came of them together.

use std::cell::Cell;
use std::fmt;
use std::future::ready;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::apart::Apart;
use super::out::{tell, warn};
use super::{CommandError, Seeds, at_least_one, shelf, tell_failure};
use crate::coverage::{Coverage, Uncovered};
use crate::plan::Plan;
use crate::report::Report;

/// From how many seeds on a sweep has to exercise everything.
const COVERING_SEEDS: u64 = 100;
/// How often is told how far a sweep is.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);
/// How many of the slowest seeds are named.
const SLOWEST: usize = 5;

/// What to sweep.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    seeds: Seeds,
    /// Runs all of them, instead of ending with the first that fails
    #[arg(long)]
    all: bool,
    /// Fails also where something was never exercised; a sweep of at least 100 seeds does so anyway
    #[arg(long)]
    coverage: bool,
    /// Where the plans are kept that failed
    #[arg(long, value_name = "DIR", default_value = super::FAILURES)]
    keep: PathBuf,
    /// How long each seed may take, in real seconds
    #[arg(long, value_name = "SECONDS", default_value = "900", value_parser = at_least_one)]
    limit: u64,
}

/// Runs them, and tells whether everything held.
pub(super) async fn run(arguments: &Arguments) -> Result<bool, CommandError> {
    let (apart, shelf) = (Apart::new(arguments.limit)?, shelf(&arguments.keep)?);
    let (begun, mut told) = (Instant::now(), Instant::now());
    let (mut tally, has_failed) = (Tally::default(), Cell::new(false));
    let seeds = &arguments.seeds.seeds;
    let count = seeds.end - seeds.start;
    let chosen = stream::iter(seeds.clone()).take_while(|_| ready(arguments.all || !has_failed.get()));
    let mut reports = chosen.map(|seed| apart.seed(seed, None)).buffer_unordered(arguments.seeds.at_a_time());
    while let Some(report) = reports.next().await {
        let report = report?;
        if report.failure.is_some() {
            has_failed.set(true);
            tell_failure(&report, &shelf, &Plan::of_seed(report.seed));
        }
        tally.take(&report);
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            tell(format_args!("{} of {count} seeds: {}\n", tally.runs, tally.progress(begun.elapsed())))?;
        }
    }
    let (seconds, progress) = (begun.elapsed().as_secs(), tally.progress(begun.elapsed()));
    tell(format_args!("{} of {count} seeds in {seconds} s: {progress}\n{tally}", tally.runs))?;
    // What the seeds would have exercised that were not run, nobody knows.
    let judges_coverage = tally.runs == count && (arguments.coverage || count >= COVERING_SEEDS);
    Ok((!judges_coverage || covers(&tally.coverage)?) && tally.failures.is_empty())
}

/// Tells what was exercised, and whether that is all that there is.
fn covers(coverage: &Coverage) -> Result<bool, CommandError> {
    let uncovered = Uncovered::of_this_project();
    tell(format_args!("\nexercised, how often:\n{coverage}\nnever exercised, and why:\n{uncovered}"))?;
    let gaps = coverage.gaps(&uncovered);
    for gap in &gaps {
        warn(format_args!("coverage: {gap}\n"));
    }
    Ok(gaps.is_empty())
}

/// What came of the seeds so far.
#[derive(Debug, Default)]
struct Tally {
    runs: u64,
    /// The seeds that failed, each with the invariant.
    failures: Vec<(u64, String)>,
    /// The seeds with searches that found nothing out, and how many of them.
    unknown: Vec<(u64, u64)>,
    virtual_ms: u64,
    processor_ms: u64,
    /// The slowest, each with its processor time in milliseconds, slowest first.
    slowest: Vec<(u64, u64)>,
    coverage: Coverage,
}

impl Tally {
    fn take(&mut self, report: &Report) {
        self.runs += 1;
        self.virtual_ms += report.virtual_ms;
        self.processor_ms += report.processor_ms;
        self.coverage.merge(&report.coverage);
        if let Some(broken) = &report.failure {
            self.failures.push((report.seed, broken.invariant.clone()));
        }
        match report.coverage.unknown_answers() {
            0 => {}
            unknown => self.unknown.push((report.seed, unknown)),
        }
        self.slowest.push((report.seed, report.processor_ms));
        self.slowest.sort_by_key(|(seed, processor_ms)| (std::cmp::Reverse(*processor_ms), *seed));
        self.slowest.truncate(SLOWEST);
    }

    /// How many passed, and how fast.
    fn progress(&self, elapsed: Duration) -> String {
        let failures = self.failures.len() as u64;
        let per_minute = self.runs as f64 / elapsed.as_secs_f64().max(0.001) * 60.0;
        let speed = self.virtual_ms / self.processor_ms.max(1);
        let passed = self.runs - failures;
        format!("{passed} passed, {failures} failed; {per_minute:.1} seeds/min, {speed} simulated s per processor s")
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
        let unknown = self.unknown.iter().map(|(seed, count)| format!("{count} of seed {seed}")).collect();
        let slowest =
            self.slowest.iter().map(|(seed, ms)| format!("seed {seed} {}.{} s", ms / 1_000, ms % 1_000 / 100)).collect();
        let failures = self.failures.iter().map(|(seed, invariant)| format!("seed {seed} {invariant}")).collect();
        writeln!(f, "searches that ended UNKNOWN: {}", listed(unknown))?;
        writeln!(f, "slowest: {}", listed(slowest))?;
        writeln!(f, "failed: {}", listed(failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Broken;

    #[test]
    fn seeds_add_up() {
        let mut tally = Tally::default();
        for seed in 0..8 {
            let failure = (seed == 3).then(|| Broken::new("one-leader", "nodes 1 and 2 both lead"));
            let silence = Report::of_silence(seed, Broken::new("", ""));
            tally.take(&Report { virtual_ms: 60_000, processor_ms: 1_000 + 100 * seed, failure, ..silence });
        }
        assert_eq!(tally.progress(Duration::from_secs(16)), "7 passed, 1 failed; 30.0 seeds/min, 44 simulated s per processor s");
        assert_eq!(
            tally.to_string(),
            "searches that ended UNKNOWN: none\n\
             slowest: seed 7 1.7 s, seed 6 1.6 s, seed 5 1.5 s, seed 4 1.4 s, seed 3 1.3 s\n\
             failed: seed 3 one-leader\n"
        );
    }
}
