//! What `bursar-simulate` does, whoever lives in its worlds.

mod apart;
mod hunt;
mod out;
mod shrinking;
mod sweep;
mod trace_file;

use std::fs;
use std::io;
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
use crate::report::{Again, Report, Shelf};
use crate::shim;
use crate::timeline::Timeline;
use crate::verdict::Broken;
use crate::world::{Inhabitants, run as run_world};
use apart::Apart;
use out::{last_words, tell, warn, words};
use trace_file::TraceFile;

/// Where plans are kept that failed, where nobody says otherwise.
const FAILURES: &str = "simulation-failures";
/// How long each of two runs that are compared may take, in real seconds.
const META_LIMIT_SECONDS: u64 = 900;
/// How this ends, for whoever calls it.
const EXIT_CODES: &str = "\
Exit codes:
  0  all held
  1  something did not hold: a run failed or was given up, a planted bug was not found, something was not exercised, two runs differ
  2  nothing can be said: the command line is wrong, a file or a plan cannot be used, a trace or a plan cannot be written, or
     nobody reads on what is printed";
/// The exit code where nothing can be said.
const UNUSABLE: u8 = 2;

/// Runs the whole fleet in one process, as a seed wants it, and finds out whether it keeps its promises.
#[derive(Debug, Parser)]
#[command(name = "bursar-simulate", version, after_help = EXIT_CODES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Runs one seed
    Run {
        /// The seed
        #[arg(long, value_parser = seed)]
        seed: u64,
        #[command(flatten)]
        wanted: Wanted,
        /// Writes the plan that the seed expands to, to this file
        #[arg(long, value_name = "FILE")]
        plan: Option<PathBuf>,
        /// Where the plan is kept if it fails
        #[arg(long, value_name = "DIR", default_value = FAILURES)]
        keep: PathBuf,
        /// Plants a bug, which the run is to find
        #[arg(long, value_name = "NAME", value_parser = mutant)]
        mutant: Option<Mutant>,
        #[command(flatten)]
        options: RunOptions,
    },
    /// Runs a plan
    Replay {
        /// The file with the plan
        plan: PathBuf,
        #[command(flatten)]
        planting: Planting,
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
    #[arg(long, value_name = "COUNT", default_value = "1", value_parser = at_least_one)]
    jobs: u64,
}

impl Seeds {
    fn at_a_time(&self) -> usize {
        usize::try_from(self.jobs).unwrap_or(usize::MAX)
    }
}

/// How a single plan is run.
#[derive(Debug, clap::Args)]
struct RunOptions {
    /// Writes everything that happens to this file, and prints the hash of it last
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Says how it ended as JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Which bug is planted, where the plan does not say so, or says otherwise.
#[derive(Debug, clap::Args)]
struct Planting {
    /// Plants this bug, whatever the plan says
    #[arg(long, value_name = "NAME", value_parser = mutant)]
    mutant: Option<Mutant>,
    /// Plants no bug, whatever the plan says
    #[arg(long, conflicts_with = "mutant")]
    sound: bool,
}

impl Planting {
    /// The plan with what is wanted.
    fn applied_to(&self, plan: Plan) -> Plan {
        match self {
            Self { sound: true, .. } => plan.with_planted(None),
            Self { mutant: Some(mutant), .. } => plan.with_planted(Some(*mutant)),
            Self { mutant: None, .. } => plan,
        }
    }

    /// How it is said once more.
    fn again(&self) -> String {
        match self {
            Self { sound: true, .. } => " --sound".to_owned(),
            Self { mutant: Some(mutant), .. } => format!(" --mutant {}", mutant.name()),
            Self { mutant: None, .. } => String::new(),
        }
    }
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("cannot read {what} from {}: {}; name the file that it is in", path.display(), words(source))]
    Reading { what: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot write {what} to {}: {}; name a place where this user can write", path.display(), words(source))]
    Writing { what: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot keep plans in {}: {}; name a directory where this user can write, with --keep", path.display(), words(source))]
    Keeping { path: PathBuf, source: io::Error },
    #[error("the trace in {} is not whole: {}; name a place with room for it", path.display(), words(source))]
    Trace { path: PathBuf, source: io::Error },
    #[error("{} is no trace: bursar-simulate run --trace FILE writes one", .0.display())]
    NoTrace(PathBuf),
    #[error("nobody reads on")]
    NobodyReads,
    #[error("cannot print what there is to tell: {}", words(.0))]
    Output(io::Error),
    #[error("{}: {source}", path.display())]
    Plan { path: PathBuf, source: PlanError },
    #[error("cannot run at fixed addresses, so no run is the same twice: {0}. Allow personality(2) where this runs")]
    Addresses(io::Error),
    #[error("cannot run another process: {0}")]
    Process(io::Error),
    #[error("seed {seed}: {failure}; there is nothing to compare. Look with bursar-simulate run --seed {seed}")]
    NothingToCompare { seed: u64, failure: Broken },
    #[error("seed {seed} was given up after {META_LIMIT_SECONDS} s of real time; there is nothing to compare")]
    GivenUp { seed: u64 },
    #[error("seed {seed}: two runs differ; compare the files that bursar-simulate run --seed {seed} --trace FILE writes")]
    Differ { seed: u64 },
    #[error("{} does not fail: there is nothing to make smaller", .0.display())]
    DoesNotFail(PathBuf),
}

impl CommandError {
    /// That something could not be read.
    fn reading(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Reading { what, path: path.to_owned(), source }
    }

    /// That something could not be written.
    fn writing(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Writing { what, path: path.to_owned(), source }
    }

    /// What a program that is told of it ends with.
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::NothingToCompare { .. } | Self::GivenUp { .. } | Self::Differ { .. } => ExitCode::FAILURE,
            _ => UNUSABLE.into(),
        }
    }
}

/// Carries out what was asked for.
pub fn run(arguments: Arguments, inhabitants: Arc<dyn Inhabitants>) -> ExitCode {
    let done = shim::fix_addresses().map_err(CommandError::Addresses).and_then(|()| match arguments.command {
        Action::Run { seed, wanted, plan, keep, mutant, options } => {
            let planned = Plan::of_seed_as(seed, wanted).with_planted(mutant);
            run_seed(planned, plan.as_deref(), &keep, &options, inhabitants)
        }
        Action::Replay { plan, planting, options } => replay(&plan, &planting, &options, inhabitants),
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
            if !matches!(error, CommandError::NobodyReads) {
                warn(format_args!("error: {error}\n"));
            }
            error.exit_code()
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
        fs::write(path, plan.to_json()).map_err(CommandError::writing("the plan", path))?;
    }
    let shelf = if options.json { None } else { Some(shelf(kept)?) };
    let (report, traced) = run_plan(plan.clone(), options, inhabitants)?;
    if report.failure.is_some()
        && let Some(shelf) = shelf
    {
        tell_failure(&report, &shelf, &plan);
    }
    ended(&report, &plan, options, traced)
}

fn replay(
    path: &Path,
    planting: &Planting,
    options: &RunOptions,
    inhabitants: Arc<dyn Inhabitants>,
) -> Result<bool, CommandError> {
    let plan = planting.applied_to(read_plan(path)?);
    if let (false, None, Some(planted)) = (options.json, planting.mutant, &plan.mutant) {
        warn(format_args!("{planted} is planted, as the plan says: --sound leaves it out\n"));
    }
    let (report, traced) = run_plan(plan.clone(), options, inhabitants)?;
    if report.failure.is_some() && !options.json {
        warn(format_args!("{}", report.story()));
        tell_how_to_see_it_again(&report, path, &planting.again());
    }
    ended(&report, &plan, options, traced)
}

/// Runs a plan, here. Tells also whether its trace was written, where somebody wanted it.
fn run_plan(
    plan: Plan,
    options: &RunOptions,
    inhabitants: Arc<dyn Inhabitants>,
) -> Result<(Report, Result<(), CommandError>), CommandError> {
    if let Some(mutant) = plan.planted() {
        mutants::plant(mutant);
    }
    let (file, lines) = options.trace.as_deref().map(TraceFile::create).transpose()?.unzip();
    trace_panics();
    let seed = plan.seed;
    let report = Report::of(seed, run_world(plan, inhabitants, lines), shim::processor_time());
    Ok((report, file.map_or(Ok(()), TraceFile::check)))
}

/// Where plans are kept that fail: looked at before anything runs, for a failure may take hours to come.
fn shelf(directory: &Path) -> Result<Shelf, CommandError> {
    Shelf::at(directory).map_err(|source| CommandError::Keeping { path: directory.to_owned(), source })
}

fn keep(shelf: &Shelf, plan: &Plan) -> Result<PathBuf, CommandError> {
    shelf.keep(plan).map_err(|source| CommandError::Keeping { path: shelf.directory().to_owned(), source })
}

/// Tells what did not hold, and then, whatever comes of that, where the plan is kept.
fn tell_failure(report: &Report, shelf: &Shelf, plan: &Plan) {
    warn(format_args!("{}", report.story()));
    match keep(shelf, plan) {
        Ok(file) => tell_how_to_see_it_again(report, &file, ""),
        Err(error) => warn(format_args!("error: {error}\n")),
    }
}

fn tell_how_to_see_it_again(report: &Report, plan: &Path, options: &str) {
    let again = Again { plan, options };
    warn(format_args!("plan:  {}\n", plan.display()));
    if report.is_given_up() {
        warn(format_args!("again: {again} --trace FILE, which ends when you end it; the trace shows how far it comes\n"));
    } else {
        warn(format_args!("again: {again}\n"));
    }
}

/// Lets whoever panics say so in the trace of its world, too.
fn trace_panics() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        tracing::error!("{}", panic.to_string().replace('\n', " "));
        usual(panic);
    }));
}

/// Says how a run ended, the hash of all that happened last. Whether everything held; that counts more than what could not be told.
fn ended(report: &Report, plan: &Plan, options: &RunOptions, traced: Result<(), CommandError>) -> Result<bool, CommandError> {
    let told = if options.json {
        tell(format_args!("{}\n", serde_json::to_string(report).expect("a report can be written as JSON")))
    } else {
        let verdict = report.failure.as_ref().map_or("passed".to_owned(), |broken| format!("FAILED: {}", broken.invariant));
        tell(format_args!(
            "seed {} {verdict}: {} faults, {} operations; {} s of virtual time, {} per processor second\n{} over {} events\n",
            report.seed,
            plan.fault_count(),
            plan.operations.len(),
            report.virtual_ms / 1_000,
            report.virtual_ms / report.processor_ms.max(1),
            report.hash,
            report.events
        ))
    };
    match last_words(told).and(traced) {
        Err(error) if report.failure.is_some() => {
            warn(format_args!("error: {error}\n"));
            Ok(false)
        }
        told => told.map(|()| report.failure.is_none()),
    }
}

async fn meta(chosen: &Seeds) -> Result<(), CommandError> {
    let apart = Apart::new(META_LIMIT_SECONDS)?;
    let runs = stream::iter(chosen.seeds.clone().flat_map(|seed| [seed, seed])).map(|seed| apart.seed(seed, None));
    let mut pairs = pin!(runs.buffered(chosen.at_a_time()).try_chunks(2));
    while let Some(pair) = pairs.next().await {
        let pair = pair.map_err(|TryChunksError(_, error)| error)?;
        let [one, other] = &pair[..] else { unreachable!("each seed runs twice") };
        if one.is_given_up() || other.is_given_up() {
            return Err(CommandError::GivenUp { seed: one.seed });
        }
        if (&one.hash, one.events, &one.failure) != (&other.hash, other.events, &other.failure) {
            return Err(CommandError::Differ { seed: one.seed });
        }
        if let Some(failure) = &one.failure {
            return Err(CommandError::NothingToCompare { seed: one.seed, failure: failure.clone() });
        }
        tell(format_args!("seed {}: two runs are the same, {} over {} events\n", one.seed, one.hash, one.events))?;
    }
    Ok(())
}

fn timeline(path: &Path) -> Result<(), CommandError> {
    let trace = fs::read(path).map_err(CommandError::reading("a trace", path))?;
    let told = Timeline::of(&String::from_utf8_lossy(&trace));
    if told.is_empty() {
        return Err(CommandError::NoTrace(path.to_owned()));
    }
    last_words(tell(format_args!("{told}")))
}

/// Where other processes are started and waited for, in real time.
fn processes() -> Result<Runtime, CommandError> {
    Builder::new_current_thread().enable_all().build().map_err(CommandError::Process)
}

fn read_plan(path: &Path) -> Result<Plan, CommandError> {
    let text = fs::read_to_string(path).map_err(CommandError::reading("a plan", path))?;
    Plan::from_json(&text).map_err(|source| CommandError::Plan { path: path.to_owned(), source })
}

fn mutant(text: &str) -> Result<Mutant, String> {
    let names = || Mutant::ALL.map(Mutant::name).join(", ");
    Mutant::ALL.into_iter().find(|mutant| mutant.name() == text).ok_or_else(|| format!("there are {}", names()))
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("say a whole number from 0 to {}", u64::MAX))
}

fn at_least_one(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "say a whole number from 1 on".to_owned())
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let range = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range.filter(|range| !range.is_empty()).ok_or_else(|| "say the first and the one behind the last: 0..200".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_make_no_sense_are_refused_in_words() {
        assert_eq!((at_least_one("1"), seed("0")), (Ok(1), Ok(0)));
        for wrong in ["", "0", "-1", "x", "1.5"] {
            assert_eq!(at_least_one(wrong), Err("say a whole number from 1 on".to_owned()), "{wrong}");
        }
        assert_eq!(seed("x"), Err("say a whole number from 0 to 18446744073709551615".to_owned()));
    }

    #[test]
    fn seeds_are_told_by_the_first_and_the_one_behind_the_last() {
        assert_eq!(seeds("3..5"), Ok(3..5));
        for wrong in ["", "3", "5..3", "3..3", "a..b", "3..=5"] {
            assert!(seeds(wrong).is_err(), "{wrong}");
        }
    }
}
