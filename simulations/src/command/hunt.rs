//! Planted bugs, one after the other, each until a seed finds it.

use bursar_domain::mutants::Mutant;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::apart::Apart;
use super::{CommandError, Seeds, mutant};

/// What to look for.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    seeds: Seeds,
    /// These alone, for instance to go on where a search was ended
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = mutant)]
    only: Vec<Mutant>,
    /// How long each seed may take, in real seconds
    #[arg(long, value_name = "SECONDS", default_value = "300")]
    limit: u64,
}

/// How a search for a planted bug ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hunted {
    /// The invariant that found it.
    found_by: Option<String>,
    /// How many seeds that took.
    seeds: u64,
    /// How much virtual time passed in them, in milliseconds.
    virtual_ms: u64,
}

/// Looks for each, and prints a table with a line as soon as a search has ended. Tells whether all were found.
pub(super) async fn run(arguments: &Arguments) -> Result<bool, CommandError> {
    let apart = Apart::new(arguments.limit)?;
    let mut all_found = true;
    println!("| planted bug | what it breaks | found by | seeds | simulated time |\n|---|---|---|--:|--:|");
    for mutant in Mutant::ALL.into_iter().filter(|mutant| arguments.only.is_empty() || arguments.only.contains(mutant)) {
        let hunted = hunt(&apart, mutant, &arguments.seeds).await?;
        all_found &= hunted.found_by.is_some();
        println!("{}", hunted.row(mutant));
    }
    Ok(all_found)
}

/// Runs seed after seed until one fails. Seeds that run beside it and come later do not count.
async fn hunt(apart: &Apart, mutant: Mutant, Seeds { seeds, jobs }: &Seeds) -> Result<Hunted, CommandError> {
    let runs = stream::iter(seeds.clone()).map(|seed| apart.seed(seed, Some(mutant)));
    let mut reports = runs.buffered(jobs.get());
    let mut hunted = Hunted::default();
    while let (None, Some(report)) = (&hunted.found_by, reports.try_next().await?) {
        hunted.seeds += 1;
        hunted.virtual_ms += report.virtual_ms;
        let Some(broken) = report.failure else { continue };
        // What fails anyway has found nothing.
        if apart.seed(report.seed, None).await?.failure.is_none() {
            hunted.found_by = Some(broken.invariant);
        }
    }
    Ok(hunted)
}

impl Hunted {
    /// A line of the table.
    fn row(&self, mutant: Mutant) -> String {
        let found_by = self.found_by.as_deref().unwrap_or("**nothing**");
        let (minutes, seconds) = (self.virtual_ms / 60_000, self.virtual_ms / 1_000 % 60);
        format!("| `{}` | {} | {found_by} | {} | {minutes} min {seconds} s |", mutant.name(), mutant.breaks(), self.seeds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_was_found_and_by_what() {
        let found = Hunted { found_by: Some("one-leader".into()), seeds: 3, virtual_ms: 185_400 };
        let row = found.row(Mutant::VoteNotKept);
        assert_eq!(row, "| `vote-not-kept` | a node votes once in a term | one-leader | 3 | 3 min 5 s |");
        let missed = Hunted { found_by: None, ..found };
        assert!(missed.row(Mutant::VoteNotKept).contains("| **nothing** | 3 |"));
    }
}
