//! What `bursar-simulate` does, whoever lives in its worlds.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bursar_domain::mutants::{self, Mutant};
use clap::{Parser, Subcommand};

use crate::plan::{Plan, PlanError};
use crate::shim;
use crate::world::{Inhabitants, Outcome, run as run_world};

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
        /// Writes everything that happens to this file, and prints the hash of it last
        #[arg(long, value_name = "FILE")]
        trace: Option<PathBuf>,
        /// Writes the plan that the seed expands to, to this file
        #[arg(long, value_name = "FILE")]
        plan: Option<PathBuf>,
        /// Plants a bug, which the run is to find
        #[arg(long, value_name = "NAME", value_parser = mutant)]
        mutant: Option<Mutant>,
    },
    /// Runs a plan
    Replay {
        /// The file with the plan
        plan: PathBuf,
        /// Writes everything that happens to this file, and prints the hash of it last
        #[arg(long, value_name = "FILE")]
        trace: Option<PathBuf>,
    },
    /// Runs many seeds, each in a process of its own
    Sweep {
        /// The first seed, and the one behind the last: 0..200
        #[arg(long, value_name = "FROM..TO", value_parser = seeds)]
        seeds: std::ops::Range<u64>,
        /// How many run at a time
        #[arg(long, default_value = "1")]
        jobs: NonZeroUsize,
        /// Goes on after the first that fails
        #[arg(long)]
        keep_going: bool,
    },
    /// Plants one bug after the other, and runs seeds until it is found
    Mutants {
        /// The first seed, and the one behind the last: 0..100
        #[arg(long, value_name = "FROM..TO", value_parser = seeds)]
        seeds: std::ops::Range<u64>,
        /// This one alone
        #[arg(long, value_name = "NAME", value_parser = mutant)]
        mutant: Option<Mutant>,
    },
    /// Runs a seed twice, in two processes, and compares all that happens
    Meta {
        /// The seed
        #[arg(long)]
        seed: u64,
    },
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
    #[error("cannot start another process: {0}")]
    Process(io::Error),
    #[error("seed {seed}: two runs differ; see their traces: {run} --trace FILE")]
    Differ { seed: u64, run: String },
    #[error("{0}")]
    Failed(String),
}

/// Carries out what was asked for.
pub fn run(arguments: Arguments, inhabitants: Arc<dyn Inhabitants>) -> ExitCode {
    let done = shim::fix_addresses().map_err(CommandError::Addresses).and_then(|()| match arguments.command {
        Action::Run { seed, trace, plan, mutant } => {
            if let Some(mutant) = mutant {
                mutants::plant(mutant);
            }
            run_seed(seed, trace.as_deref(), plan.as_deref(), inhabitants)
        }
        Action::Replay { plan, trace } => replay(&plan, trace.as_deref(), inhabitants),
        Action::Sweep { seeds, jobs, keep_going } => sweep(seeds, jobs, keep_going),
        Action::Mutants { seeds, mutant } => find_mutants(&seeds, mutant),
        Action::Meta { seed } => meta(seed),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_seed(
    seed: u64,
    trace: Option<&Path>,
    written: Option<&Path>,
    inhabitants: Arc<dyn Inhabitants>,
) -> Result<(), CommandError> {
    let plan = Plan::of_seed(seed);
    if let Some(path) = written {
        fs::write(path, plan.to_json()).map_err(failed(path))?;
    }
    run_plan(plan, trace, &format!("bursar-simulate run --seed {seed}"), inhabitants)
}

fn replay(path: &Path, trace: Option<&Path>, inhabitants: Arc<dyn Inhabitants>) -> Result<(), CommandError> {
    let text = fs::read_to_string(path).map_err(failed(path))?;
    let plan = Plan::from_json(&text).map_err(|source| CommandError::Plan { path: path.to_owned(), source })?;
    run_plan(plan, trace, &format!("bursar-simulate replay {}", path.display()), inhabitants)
}

/// Runs a plan, here, and says how it ended; `again` is the command that does so again.
fn run_plan(plan: Plan, trace: Option<&Path>, again: &str, inhabitants: Arc<dyn Inhabitants>) -> Result<(), CommandError> {
    let lines = trace.map(|path| File::create(path).map_err(failed(path))).transpose()?;
    let lines = lines.map(|file| Box::new(BufWriter::new(file)) as Box<dyn Write + Send>);
    let seed = plan.seed;
    let Outcome { digest, elapsed, verdict } = run_world(plan, inhabitants, lines);
    println!("seed {seed}: {} s of virtual time", elapsed.as_secs());
    println!("{digest}");
    verdict.map_err(|violation| CommandError::Failed(format!("seed {seed} failed: {violation}\nagain: {again}")))
}

/// Runs seeds, each by a process of this program, so many at a time.
fn sweep(seeds: std::ops::Range<u64>, jobs: NonZeroUsize, keep_going: bool) -> Result<(), CommandError> {
    let waiting = Mutex::new(seeds);
    let failures = Mutex::new(Vec::new());
    let next = || {
        let may_go_on = keep_going || failures.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if may_go_on { waiting.lock().unwrap_or_else(PoisonError::into_inner).next() } else { None }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.get() {
            scope.spawn(|| {
                while let Some(seed) = next() {
                    let failure = match run_apart(seed, None) {
                        Ok(output) if output.status.success() => {
                            println!("seed {seed}: passed");
                            continue;
                        }
                        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
                        Err(error) => error.to_string(),
                    };
                    println!("seed {seed}: FAILED");
                    failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failures.is_empty() { Ok(()) } else { Err(CommandError::Failed(failures.join("\n"))) }
}

fn meta(seed: u64) -> Result<(), CommandError> {
    let (one, other) = (run_apart(seed, None)?, run_apart(seed, None)?);
    print!("{}", String::from_utf8_lossy(&one.stdout));
    if (&one.stdout, one.status) != (&other.stdout, other.status) {
        return Err(CommandError::Differ { seed, run: format!("bursar-simulate run --seed {seed}") });
    }
    println!("seed {seed}: two runs are the same");
    Ok(())
}

/// Looks for each planted bug, and says in which seed it was found, and by what.
fn find_mutants(seeds: &std::ops::Range<u64>, only: Option<Mutant>) -> Result<(), CommandError> {
    let mut missed = Vec::new();
    for mutant in Mutant::ALL.into_iter().filter(|mutant| only.is_none_or(|only| only == *mutant)) {
        let mut found = None;
        for seed in seeds.clone() {
            let output = run_apart(seed, Some(mutant))?;
            if !output.status.success() {
                let told = String::from_utf8_lossy(&output.stderr);
                let verdict = told.lines().find_map(|line| line.split_once(" failed: ").map(|(_, what)| what));
                let why = verdict.or_else(|| told.lines().find(|line| !line.trim().is_empty())).unwrap_or("it told nothing");
                found = Some((seed, why.to_owned()));
                break;
            }
        }
        match found {
            Some((seed, why)) => println!("{}: seed {seed}: {}", mutant.name(), why.chars().take(160).collect::<String>()),
            None => {
                println!("{}: NOT FOUND in {} seeds", mutant.name(), seeds.end - seeds.start);
                missed.push(mutant.name());
            }
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(CommandError::Failed(format!("not found: {}", missed.join(", ")))) }
}

/// Runs a seed in another process of this program. What it prints last is the hash of all that happened.
fn run_apart(seed: u64, mutant: Option<Mutant>) -> Result<Output, CommandError> {
    let program = std::env::current_exe().map_err(CommandError::Process)?;
    let mut command = Command::new(program);
    command.args(["run", "--seed", &seed.to_string()]).stdin(Stdio::null());
    if let Some(mutant) = mutant {
        command.args(["--mutant", mutant.name()]);
    }
    command.output().map_err(CommandError::Process)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> CommandError {
    move |source| CommandError::File { path: path.to_owned(), source }
}

fn mutant(text: &str) -> Result<Mutant, String> {
    let names = || Mutant::ALL.map(Mutant::name).join(", ");
    Mutant::ALL.into_iter().find(|mutant| mutant.name() == text).ok_or_else(|| format!("there are {}", names()))
}

fn seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
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
