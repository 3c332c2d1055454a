//! What `bursar-simulate` does, whoever lives in its worlds.

mod apart;
mod hunt;
mod shrinking;
mod sweep;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::panic;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;

use bursar_domain::mutants::{self, Mutant};
use clap::{Parser, Subcommand};
use futures_util::stream::{self, StreamExt, TryChunksError, TryStreamExt};
use tokio::runtime::{Builder, Runtime};

use crate::plan::{Plan, PlanError, Wanted};
use crate::report::{Report, keep};
use crate::shim;
use crate::timeline::Timeline;
use crate::verdict::Broken;
use crate::world::{Inhabitants, run as run_world};
use apart::Apart;

/// Where plans are kept that failed, where nobody says otherwise.
const FAILURES: &str = "simulation-failures";
/// How long each of two runs that are compared may take, in real seconds.
const META_LIMIT_SECONDS: u64 = 900;

/// Runs the whole fleet in one process, as a seed wants it, and finds out whether it keeps its promises.
#[derive(Debug, Parser)]
#[command(name = "bursar-simulate", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Runs one seed
    Run {
        /// The seed
        #[arg(long)]
        seed: u64,
        #[command(flatten)]
        wanted: Wanted,
        /// Writes the plan that the seed expands to, to this file
        #[arg(long, value_name = "FILE")]
        plan: Option<PathBuf>,
        /// Where the plan is kept if it fails
        #[arg(long, value_name = "DIR", default_value = FAILURES)]
        keep: PathBuf,
        #[command(flatten)]
        options: RunOptions,
    },
    /// Runs a plan
    Replay {
        /// The file with the plan
        plan: PathBuf,
        #[command(flatten)]
        options: RunOptions,
    },
    /// Runs many seeds, each in a process of its own, and tells what came of them together
    Sweep(sweep::Arguments),
    /// Makes a plan that fails small, and writes what is left beside it
    Shrink(shrinking::Arguments),
    /// Tells a trace in columns, one a machine, for 120 characters
    Timeline {
        /// The file that `--trace` wrote
        trace: PathBuf,
    },
    /// Plants one bug after the other, and runs seeds until it is found
    Mutants(hunt::Arguments),
    /// Runs each seed twice, in two processes, and compares all that happens
    Meta(Seeds),
}

/// Which seeds, each in a process of its own.
#[derive(Debug, clap::Args)]
struct Seeds {
    /// The first seed, and the one behind the last: 0..200
    #[arg(long, value_name = "FROM..TO", value_parser = seeds)]
    seeds: Range<u64>,
    /// How many run at a time
    #[arg(long, default_value = "1")]
    jobs: NonZeroUsize,
}

/// How a single plan is run.
#[derive(Debug, clap::Args)]
struct RunOptions {
    /// Writes everything that happens to this file, and prints the hash of it last
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Plants a bug, which the run is to find
    #[arg(long, value_name = "NAME", value_parser = mutant)]
    mutant: Option<Mutant>,
    /// Says how it ended as JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Plan { path: PathBuf, source: PlanError },
    #[error("cannot run at fixed addresses, so no run is the same twice: {0}. Allow personality(2) where this runs")]
    Addresses(io::Error),
    #[error("cannot run another process: {0}")]
    Process(io::Error),
    #[error("seed {seed}: {failure}; there is nothing to compare. Look with bursar-simulate run --seed {seed}")]
    NothingToCompare { seed: u64, failure: Broken },
    #[error("seed {seed}: two runs differ; compare the files that bursar-simulate run --seed {seed} --trace FILE writes")]
    Differ { seed: u64 },
    #[error("{} does not fail: there is nothing to make smaller", .0.display())]
    DoesNotFail(PathBuf),
}

/// Carries out what was asked for.
pub fn run(arguments: Arguments, inhabitants: Arc<dyn Inhabitants>) -> ExitCode {
    let done = shim::fix_addresses().map_err(CommandError::Addresses).and_then(|()| match arguments.command {
        Action::Run { seed, wanted, plan, keep, options } => {
            run_seed(Plan::of_seed_as(seed, wanted), plan.as_deref(), &keep, &options, inhabitants)
        }
        Action::Replay { plan, options } => replay(&plan, &options, inhabitants),
        Action::Sweep(arguments) => processes()?.block_on(sweep::run(&arguments)),
        Action::Shrink(arguments) => shrinking::run(&arguments, &processes()?).map(|()| true),
        Action::Timeline { trace } => timeline(&trace).map(|()| true),
        Action::Mutants(arguments) => processes()?.block_on(hunt::run(&arguments)),
        Action::Meta(seeds) => processes()?.block_on(meta(&seeds)).map(|()| true),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        // What does not hold has been told.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_seed(
    plan: Plan,
    written: Option<&Path>,
    kept: &Path,
    options: &RunOptions,
    inhabitants: Arc<dyn Inhabitants>,
) -> Result<bool, CommandError> {
    if let Some(path) = written {
        fs::write(path, plan.to_json()).map_err(failed(path))?;
    }
    let report = run_plan(plan.clone(), options, inhabitants)?;
    if report.failure.is_some() && !options.json {
        let file = keep(&plan, options.mutant, kept).map_err(failed(kept))?;
        eprint!("{}", report.story(&file, options.mutant));
    }
    Ok(tell(&report, options))
}

fn replay(path: &Path, options: &RunOptions, inhabitants: Arc<dyn Inhabitants>) -> Result<bool, CommandError> {
    let report = run_plan(read_plan(path)?, options, inhabitants)?;
    if report.failure.is_some() && !options.json {
        eprint!("{}", report.story(path, options.mutant));
    }
    Ok(tell(&report, options))
}

/// Runs a plan, here.
fn run_plan(plan: Plan, options: &RunOptions, inhabitants: Arc<dyn Inhabitants>) -> Result<Report, CommandError> {
    if let Some(mutant) = options.mutant {
        mutants::plant(mutant);
    }
    let lines = options.trace.as_ref().map(|path| File::create(path).map_err(failed(path))).transpose()?;
    let lines = lines.map(|file| Box::new(BufWriter::new(file)) as Box<dyn Write + Send>);
    trace_panics();
    let seed = plan.seed;
    Ok(Report::of(seed, run_world(plan, inhabitants, lines), shim::processor_time()))
}

/// Lets whoever panics say so in the trace of its world, too.
fn trace_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        tracing::error!("{}", panic.to_string().replace('\n', " "));
        usual(panic);
    }));
}

/// Says how a run ended, the hash of all that happened last. Whether everything held.
fn tell(report: &Report, options: &RunOptions) -> bool {
    if options.json {
        println!("{}", serde_json::to_string(report).expect("a report can be written as JSON"));
    } else {
        println!(
            "seed {}: {} s of virtual time, {} per processor second",
            report.seed,
            report.virtual_ms / 1_000,
            report.virtual_ms / report.processor_ms.max(1)
        );
        println!("{} over {} events", report.hash, report.events);
    }
    report.failure.is_none()
}

async fn meta(Seeds { seeds, jobs }: &Seeds) -> Result<(), CommandError> {
    let apart = Apart::new(META_LIMIT_SECONDS)?;
    let runs = stream::iter(seeds.clone().flat_map(|seed| [seed, seed])).map(|seed| apart.seed(seed, None));
    let mut pairs = pin!(runs.buffered(jobs.get()).try_chunks(2));
    while let Some(pair) = pairs.next().await {
        let pair = pair.map_err(|TryChunksError(_, error)| error)?;
        let [one, other] = &pair[..] else { unreachable!("each seed runs twice") };
        if (&one.hash, one.events, &one.failure) != (&other.hash, other.events, &other.failure) {
            return Err(CommandError::Differ { seed: one.seed });
        }
        if let Some(failure) = &one.failure {
            return Err(CommandError::NothingToCompare { seed: one.seed, failure: failure.clone() });
        }
        println!("seed {}: two runs are the same, {} over {} events", one.seed, one.hash, one.events);
    }
    Ok(())
}

fn timeline(path: &Path) -> Result<(), CommandError> {
    let trace = fs::read_to_string(path).map_err(failed(path))?;
    // Who reads it may have seen enough.
    let _ = write!(io::stdout().lock(), "{}", Timeline::of(&trace));
    Ok(())
}

/// Where other processes are started and waited for, in real time.
fn processes() -> Result<Runtime, CommandError> {
    Builder::new_current_thread().enable_all().build().map_err(CommandError::Process)
}

fn read_plan(path: &Path) -> Result<Plan, CommandError> {
    let text = fs::read_to_string(path).map_err(failed(path))?;
    Plan::from_json(&text).map_err(|source| CommandError::Plan { path: path.to_owned(), source })
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> CommandError {
    move |source| CommandError::File { path: path.to_owned(), source }
}

fn mutant(text: &str) -> Result<Mutant, String> {
    let names = || Mutant::ALL.map(Mutant::name).join(", ");
    Mutant::ALL.into_iter().find(|mutant| mutant.name() == text).ok_or_else(|| format!("there are {}", names()))
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let range = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range.filter(|range| !range.is_empty()).ok_or_else(|| "say the first and the one behind the last: 0..200".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_told_by_the_first_and_the_one_behind_the_last() {
        assert_eq!(seeds("3..5"), Ok(3..5));
        for wrong in ["", "3", "5..3", "3..3", "a..b", "3..=5"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }
}
