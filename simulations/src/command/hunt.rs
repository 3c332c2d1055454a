//! Planted bugs, one after the other, each until a seed finds it.

use std::path::PathBuf;

use bursar_domain::mutants::Mutant;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::apart::Apart;
use super::out::{tell, warn};
use super::{CommandError, Seeds, at_least_one, keep, mutant, shelf};
use crate::plan::Plan;
use crate::report::Again;

/// The head of the table.
const HEAD: &str = "| planted bug | what it breaks | found by | in seed | seeds | simulated time |\n|---|---|---|--:|--:|--:|\n";

/// What to look for.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    seeds: Seeds,
    /// These alone, for instance to go on where a search was ended
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = mutant)]
    only: Vec<Mutant>,
    /// Where the plans are kept that found one
    #[arg(long, value_name = "DIR", default_value = super::FAILURES)]
    keep: PathBuf,
    /// How long each seed may take, in real seconds
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = at_least_one)]
    limit: u64,
}

/// How a search for a planted bug ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hunted {
    /// What found it.
    found: Option<Found>,
    /// How many seeds that took.
    seeds: u64,
    /// How much virtual time passed in them, in milliseconds.
    virtual_ms: u64,
}

/// What found a planted bug.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    /// The invariant that did not hold.
    by: String,
    /// In the run of this seed.
    seed: u64,
}

/// Looks for each, and prints a table with a line as soon as a search has ended; beside the table, how to see each found once more.
/// Tells whether all were found.
pub(super) async fn run(arguments: &Arguments) -> Result<bool, CommandError> {
    let (apart, shelf) = (Apart::new(arguments.limit)?, shelf(&arguments.keep)?);
    let mut all_found = true;
    tell(format_args!("{HEAD}"))?;
    for mutant in Mutant::ALL.into_iter().filter(|mutant| arguments.only.is_empty() || arguments.only.contains(mutant)) {
        let hunted = hunt(&apart, mutant, &arguments.seeds).await?;
        all_found &= hunted.found.is_some();
        tell(format_args!("{}\n", hunted.row(mutant)))?;
        if let Some(Found { seed, .. }) = hunted.found {
            match keep(&shelf, &Plan::of_seed(seed).with_planted(Some(mutant))) {
                Ok(plan) => warn(format_args!("again: {}\n", Again { plan: &plan, options: "" })),
                Err(error) => warn(format_args!("error: {error}\n")),
            }
        }
    }
    Ok(all_found)
}

/// Runs seed after seed until one fails. Seeds that run beside it and come later do not count.
async fn hunt(apart: &Apart, mutant: Mutant, chosen: &Seeds) -> Result<Hunted, CommandError> {
    let runs = stream::iter(chosen.seeds.clone()).map(|seed| apart.seed(seed, Some(mutant)));
    let mut reports = runs.buffered(chosen.at_a_time());
    let mut hunted = Hunted::default();
    while let (None, Some(report)) = (&hunted.found, reports.try_next().await?) {
        hunted.seeds += 1;
        hunted.virtual_ms += report.virtual_ms;
        let Some(broken) = report.failure else { continue };
        // What fails anyway has found nothing.
        if apart.seed(report.seed, None).await?.failure.is_none() {
            hunted.found = Some(Found { by: broken.invariant, seed: report.seed });
        }
    }
    Ok(hunted)
}

impl Hunted {
    /// A line of the table.
    fn row(&self, mutant: Mutant) -> String {
        let (found_by, seed) = match &self.found {
            Some(Found { by, seed }) => (by.as_str(), seed.to_string()),
            None => ("**nothing**", "–".to_owned()),
        };
        let (minutes, seconds) = (self.virtual_ms / 60_000, self.virtual_ms / 1_000 % 60);
        let (name, breaks, seeds) = (mutant.name(), mutant.breaks(), self.seeds);
        format!("| `{name}` | {breaks} | {found_by} | {seed} | {seeds} | {minutes} min {seconds} s |")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_was_found_and_by_what() {
        let found = Hunted { found: Some(Found { by: "one-leader".into(), seed: 9 }), seeds: 3, virtual_ms: 185_400 };
        let row = found.row(Mutant::VoteNotKept);
        assert_eq!(row, "| `vote-not-kept` | a node votes once in a term | one-leader | 9 | 3 | 3 min 5 s |");
        let missed = Hunted { found: None, ..found };
        assert!(missed.row(Mutant::VoteNotKept).contains("| **nothing** | – | 3 |"));
    }
}
