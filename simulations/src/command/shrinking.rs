//! A plan that fails, made small: the fewest faults and operations, in the shortest time and with the fewest storage servers, that break
//! the same promise.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::runtime::Runtime;

use super::apart::Apart;
use super::out::{last_words, tell};
use super::{CommandError, Planting, at_least_one, read_plan};
use crate::plan::{Fault, FaultKind, HostPlan, Operation, Plan, Role};
use crate::report::Again;
use crate::shrink::{Plan as _, Shrunk, Verdict, shrink};
use crate::verdict::Broken;

/// No run is made shorter than this, in milliseconds.
const DURATION_MS_MIN: u64 = 1_000;

/// What to make small.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The file with the plan
    plan: PathBuf,
    #[command(flatten)]
    planting: Planting,
    /// How many plans are tried at most
    #[arg(long, value_name = "COUNT", default_value = "500", value_parser = at_least_one)]
    runs: u64,
    /// How long each may take, in real seconds
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = at_least_one)]
    limit: u64,
}

/// Makes a plan small, and writes what is left beside it: the smallest that was found so far, whenever somebody ends this.
pub(super) fn run(arguments: &Arguments, runtime: &Runtime) -> Result<(), CommandError> {
    let plan = Reducible(arguments.planting.applied_to(read_plan(&arguments.plan)?));
    let count = plan.items().len();
    let mut trials = Trials {
        runtime,
        apart: Apart::new(arguments.limit)?,
        file: arguments.plan.with_extension("candidate.json"),
        smallest: shrunk_file(&arguments.plan),
        tried: 0,
        sought: None,
        fewest: usize::MAX,
        trouble: None,
    };
    let runs_max = usize::try_from(arguments.runs).unwrap_or(usize::MAX);
    let shrunk = shrink(&plan, runs_max, |candidate| trials.verdict(candidate));
    // It may never have been written, or be the smallest now.
    let _ = fs::remove_file(&trials.file);
    if let Some(trouble) = trials.trouble {
        return Err(trouble);
    }
    let Shrunk { smallest, runs, minimal } = shrunk.map_err(|_| CommandError::DoesNotFail(arguments.plan.clone()))?;
    let rest = if minimal { "none of which can be left out" } else { "perhaps still too many: --runs allows more" };
    let file = &trials.smallest;
    last_words(tell(format_args!(
        "{count} faults and operations became {}, {rest}; {runs} runs\nplan:  {}\nagain: {}\n",
        smallest.items().len(),
        file.display(),
        Again { plan: file, options: "" }
    )))
}

/// Where what is left of a plan goes: beside it, or where it comes from, if that is what is left of another.
fn shrunk_file(plan: &Path) -> PathBuf {
    let is_shrunk = plan.file_stem().is_some_and(|stem| Path::new(stem).extension().is_some_and(|last| last == "shrunk"));
    if is_shrunk { plan.to_owned() } else { plan.with_extension("shrunk.json") }
}

/// Plans that are tried, one after the other.
struct Trials<'r> {
    runtime: &'r Runtime,
    apart: Apart,
    /// Where each plan is, while it is tried.
    file: PathBuf,
    /// Where the smallest is that was found so far.
    smallest: PathBuf,
    tried: usize,
    /// The invariant that the first plan breaks, and that all have to break.
    sought: Option<String>,
    /// Of how many items the smallest consists that broke it.
    fewest: usize,
    /// What kept a plan from being tried.
    trouble: Option<CommandError>,
}

impl Trials<'_> {
    /// Whether a plan breaks the same promise as the first one.
    fn verdict(&mut self, candidate: &Reducible) -> Verdict {
        if self.trouble.is_some() {
            return Verdict::Unresolved;
        }
        self.tried += 1;
        self.tried_out(candidate).unwrap_or_else(|error| {
            self.trouble = Some(error);
            Verdict::Unresolved
        })
    }

    fn tried_out(&mut self, candidate: &Reducible) -> Result<Verdict, CommandError> {
        let Some(Broken { invariant, .. }) = self.failure(&candidate.0)? else { return Ok(Verdict::Passes) };
        if *self.sought.get_or_insert_with(|| invariant.clone()) != invariant {
            return Ok(Verdict::Unresolved);
        }
        // Whatever fails is gone on with, so it is the smallest so far.
        fs::rename(&self.file, &self.smallest).map_err(CommandError::writing("a plan", &self.smallest))?;
        self.tell(candidate, &invariant)?;
        Ok(Verdict::Fails)
    }

    fn failure(&self, candidate: &Plan) -> Result<Option<Broken>, CommandError> {
        fs::write(&self.file, candidate.to_json()).map_err(CommandError::writing("a plan", &self.file))?;
        Ok(self.runtime.block_on(self.apart.plan(candidate.seed, &self.file))?.failure)
    }

    fn tell(&mut self, candidate: &Reducible, invariant: &str) -> Result<(), CommandError> {
        let items = candidate.items().len();
        if items < self.fewest {
            self.fewest = items;
            tell(format_args!("run {}: {items} faults and operations break {invariant}\n", self.tried))?;
        }
        Ok(())
    }
}

/// A plan that can be made smaller: it can go without faults and operations, and be over sooner.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reducible(Plan);

/// Something that a plan can go without.
#[derive(Clone, Debug)]
enum Item {
    Fault(Fault),
    LeftBroken(FaultKind),
    Operation(Operation),
}

impl crate::shrink::Plan for Reducible {
    type Item = Item;

    fn items(&self) -> Vec<Item> {
        let faults = self.0.faults.iter().cloned().map(Item::Fault);
        let left_broken = self.0.left_broken.iter().cloned().map(Item::LeftBroken);
        faults.chain(left_broken).chain(self.0.operations.iter().copied().map(Item::Operation)).collect()
    }

    fn with_items(&self, items: Vec<Item>) -> Self {
        let mut plan = self.0.without_items();
        for item in items {
            match item {
                Item::Fault(fault) => plan.faults.push(fault),
                Item::LeftBroken(kind) => plan.left_broken.push(kind),
                Item::Operation(operation) => plan.operations.push(operation),
            }
        }
        Self(plan)
    }

    fn knobs(&self) -> usize {
        2
    }

    fn halved(&self, knob: usize) -> Option<Self> {
        match knob {
            0 => self.with_fewer_machines(),
            _ => self.for_half_as_long(),
        }
    }
}

impl Reducible {
    /// The plan without the last half of the machines that run storage servers alone, and without the faults that need them; none where
    /// there are no such machines.
    fn with_fewer_machines(&self) -> Option<Self> {
        let mut plan = self.0.clone();
        let hosts = &mut plan.topology.hosts;
        let runs_no_node = |host: &HostPlan| host.processes.iter().all(|process| process.role == Role::StorageServer);
        let kept = hosts.iter().filter(|host| runs_no_node(host)).count() / 2;
        let mut met = 0;
        let count = hosts.len();
        hosts.retain(|host| {
            met += usize::from(runs_no_node(host));
            !runs_no_node(host) || met <= kept
        });
        if hosts.len() == count {
            return None;
        }
        Some(self.moved_to(&Self(plan)))
    }

    /// The plan for half the time, and without the faults that would begin behind its end; none where it would be too short.
    fn for_half_as_long(&self) -> Option<Self> {
        let duration_ms = self.0.duration_ms / 2;
        (duration_ms >= DURATION_MS_MIN).then(|| self.moved_to(&Self(Plan { duration_ms, ..self.0.clone() })))
    }

    /// What of this plan makes sense in another world, in that one.
    fn moved_to(&self, world: &Self) -> Self {
        let makes_sense = |item: &Item| {
            let alone = world.with_items(vec![item.clone()]);
            Plan::from_json(&alone.0.to_json()).is_ok()
        };
        world.with_items(self.items().into_iter().filter(makes_sense).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_of_all_its_items_is_the_plan() {
        let plan = Reducible(Plan::of_seed(7));
        let items = plan.items();
        assert_eq!(items.len(), plan.0.faults.len() + plan.0.left_broken.len() + plan.0.operations.len());
        assert_eq!(plan.with_items(items), plan);
    }

    #[test]
    fn storage_servers_go_by_machines_with_the_faults_that_need_them() {
        let servers = |plan: &Reducible| plan.0.processes(Role::StorageServer).count();
        let plans = (0..100).map(|seed| Reducible(Plan::of_seed(seed)));
        let mut plan = plans.into_iter().find(|plan| servers(plan) > 10 && plan.0.faults.len() > 10).unwrap();
        let (nodes, mut left) = (plan.0.processes(Role::Authority).count(), vec![servers(&plan)]);
        while let Some(fewer) = plan.halved(0) {
            assert_eq!(Plan::from_json(&fewer.0.to_json()).unwrap(), fewer.0, "it is a plan");
            plan = fewer;
            left.push(servers(&plan));
        }
        assert!(left.len() > 2 && left.is_sorted_by(|more, fewer| more > fewer) && left.ends_with(&[0]), "{left:?}");
        assert_eq!(plan.0.processes(Role::Authority).count(), nodes);
    }

    #[test]
    fn a_run_is_made_shorter_while_it_lasts_a_second() {
        let mut plan = Reducible(Plan::of_seed(7));
        let mut durations = vec![plan.0.duration_ms];
        while let Some(shorter) = plan.halved(1) {
            assert_eq!(Plan::from_json(&shorter.0.to_json()).unwrap(), shorter.0, "it is a plan");
            plan = shorter;
            durations.push(plan.0.duration_ms);
        }
        assert_eq!(durations, [60_000, 30_000, 15_000, 7_500, 3_750, 1_875]);
        assert!(plan.0.faults.iter().all(|fault| fault.at_ms < 1_875 || fault.kind.is_repaired_by_operators()));
    }

    #[test]
    fn what_is_left_of_what_was_left_stays_where_it_was() {
        assert_eq!(shrunk_file(Path::new("kept/seed-7.json")), Path::new("kept/seed-7.shrunk.json"));
        assert_eq!(shrunk_file(Path::new("kept/seed-7.shrunk.json")), Path::new("kept/seed-7.shrunk.json"));
    }
}
