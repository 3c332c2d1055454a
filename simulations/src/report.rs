//! What is said of a run: to another process as JSON, to people, where it failed, as a story.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use bursar_domain::mutants::Mutant;
use serde::{Deserialize, Serialize};

use crate::coverage::Coverage;
use crate::plan::Plan;
use crate::verdict::Broken;
use crate::world::Outcome;

/// How many characters of each event a story shows.
const EVENT_CHARACTERS_MAX: usize = 200;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The seed of its plan.
    pub seed: u64,
    /// The hash of everything that happened; empty where the run did not come to an end.
    pub hash: String,
    /// How much happened.
    pub events: u64,
    /// How much virtual time passed, in milliseconds.
    pub virtual_ms: u64,
    /// How much processor time it took, in milliseconds.
    pub processor_ms: u64,
    /// What did not hold.
    pub failure: Option<Broken>,
    /// The latest events that matter, oldest first.
    pub recent: Vec<String>,
    /// What it has exercised.
    pub coverage: Coverage,
}

impl Report {
    /// Of a run that came to its end.
    pub fn of(seed: u64, outcome: Outcome, processor_time: Duration) -> Self {
        let Outcome { digest, elapsed, recent, coverage, verdict } = outcome;
        Self {
            seed,
            hash: digest.hash.to_hex().to_string(),
            events: digest.events,
            virtual_ms: in_milliseconds(elapsed),
            processor_ms: in_milliseconds(processor_time),
            failure: verdict.err(),
            recent,
            coverage,
        }
    }

    /// Of a run whose process told nothing.
    pub fn of_silence(seed: u64, failure: Broken) -> Self {
        Self {
            seed,
            hash: String::new(),
            events: 0,
            virtual_ms: 0,
            processor_ms: 0,
            failure: Some(failure),
            recent: Vec::new(),
            coverage: Coverage::default(),
        }
    }

    /// The story of a failure, of a run of `plan` with this bug planted.
    pub fn story<'r>(&'r self, plan: &'r Path, mutant: Option<Mutant>) -> Story<'r> {
        Story { report: self, again: Again { plan, mutant } }
    }
}

/// Keeps a plan that failed, in a directory that is made where it is missing. Gives the file.
pub fn keep(plan: &Plan, mutant: Option<Mutant>, directory: &Path) -> io::Result<PathBuf> {
    let planted = mutant.map(|mutant| format!("-{}", mutant.name())).unwrap_or_default();
    let file = directory.join(format!("seed-{}{planted}.json", plan.seed));
    fs::create_dir_all(directory)?;
    fs::write(&file, plan.to_json())?;
    Ok(file)
}

/// A failure, for people.
#[derive(Debug)]
pub struct Story<'r> {
    report: &'r Report,
    again: Again<'r>,
}

/// The command that runs a plan again.
#[derive(Clone, Copy, Debug)]
pub struct Again<'r> {
    /// The plan.
    pub plan: &'r Path,
    /// The bug that is planted.
    pub mutant: Option<Mutant>,
}

impl fmt::Display for Again<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bursar-simulate replay {}", self.plan.display())?;
        match self.mutant {
            Some(mutant) => write!(f, " --mutant {}", mutant.name()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Story<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { report, again } = self;
        let Some(Broken { invariant, detail }) = &report.failure else {
            return writeln!(f, "seed {} passed", report.seed);
        };
        writeln!(f, "seed {} FAILED: {invariant}", report.seed)?;
        for line in detail.lines() {
            writeln!(f, "    {line}")?;
        }
        let (seconds, rest) = (report.virtual_ms / 1_000, report.virtual_ms % 1_000);
        writeln!(f, "at {seconds}.{rest:03} s of virtual time, after {} events; the last that matter:", report.events)?;
        for event in &report.recent {
            let shown: String = event.replace('\n', " ").chars().take(EVENT_CHARACTERS_MAX).collect();
            writeln!(f, "    {shown}")?;
        }
        writeln!(f, "plan:  {}", again.plan.display())?;
        writeln!(f, "again: {again}")
    }
}

fn in_milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("a run ends within centuries")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_what_broke_and_when_what_came_before_and_how_to_see_it_again() {
        let report = Report {
            events: 1_234,
            virtual_ms: 20_045,
            recent: vec!["20.000000 host a2 loses its power".into(), "20.045000 host a2 has power again".into()],
            ..Report::of_silence(7, Broken::new("one-history", "revision 3 is this\nand that"))
        };
        let told = report.story(Path::new("simulation-failures/seed-7.json"), Some(Mutant::VoteNotKept)).to_string();
        assert_eq!(
            told,
            "seed 7 FAILED: one-history\n    revision 3 is this\n    and that\n\
             at 20.045 s of virtual time, after 1234 events; the last that matter:\n    \
             20.000000 host a2 loses its power\n    20.045000 host a2 has power again\n\
             plan:  simulation-failures/seed-7.json\n\
             again: bursar-simulate replay simulation-failures/seed-7.json --mutant vote-not-kept\n"
        );
    }

    #[test]
    fn a_plan_that_failed_is_kept_where_it_can_be_found() {
        let directory = tempfile::tempdir().unwrap();
        let plan = Plan::of_seed(7);
        let kept = keep(&plan, None, &directory.path().join("failures")).unwrap();
        assert!(kept.ends_with("failures/seed-7.json"), "{}", kept.display());
        assert_eq!(Plan::from_json(&fs::read_to_string(kept).unwrap()).unwrap(), plan);
        let planted = keep(&plan, Some(Mutant::VoteNotKept), directory.path()).unwrap();
        assert!(planted.ends_with("seed-7-vote-not-kept.json"), "{}", planted.display());
    }

    #[test]
    fn another_process_reads_a_report_as_it_was_written() {
        let report = Report::of_silence(7, Broken::new("one-history", "revision 3"));
        assert_eq!(serde_json::from_str::<Report>(&serde_json::to_string(&report).unwrap()).unwrap(), report);
    }
}
