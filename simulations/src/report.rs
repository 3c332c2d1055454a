//! What is said of a run: to another process as JSON, to people, where it failed, as a story.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::coverage::Coverage;
use crate::plan::Plan;
use crate::verdict::Broken;
use crate::world::Outcome;

/// How many characters of each event a story shows.
const EVENT_CHARACTERS_MAX: usize = 200;
/// What is said of a run that did not end in the time that it was given.
const ENDS_IN_TIME: &str = "ends-in-time";

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

    /// Of a run that was given up after so much real time.
    pub fn given_up(seed: u64, limit: Duration) -> Self {
        let detail = format!("given up after {} s of real time", limit.as_secs());
        Self::of_silence(seed, Broken::new(ENDS_IN_TIME, detail))
    }

    /// Whether the run was given up. It may have been slow, and nothing else; or it would never have ended.
    pub fn is_given_up(&self) -> bool {
        self.failure.as_ref().is_some_and(|broken| broken.invariant == ENDS_IN_TIME)
    }

    /// The story of a failure.
    pub fn story(&self) -> Story<'_> {
        Story { report: self }
    }
}

/// Where plans are kept that failed.
#[derive(Clone, Debug)]
pub struct Shelf {
    directory: PathBuf,
}

impl Shelf {
    /// A directory, which is made where it is missing.
    ///
    /// # Errors
    /// Why it cannot be one.
    pub fn at(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Keeps a plan. Gives the file, which is called after its seed and the bug that is planted.
    ///
    /// # Errors
    /// Why it could not be written.
    pub fn keep(&self, plan: &Plan) -> io::Result<PathBuf> {
        let planted = plan.mutant.as_ref().map(|name| format!("-{name}")).unwrap_or_default();
        let file = self.directory.join(format!("seed-{}{planted}.json", plan.seed));
        fs::write(&file, plan.to_json())?;
        Ok(file)
    }
}

/// A failure, for people.
#[derive(Debug)]
pub struct Story<'r> {
    report: &'r Report,
}

/// The command that runs a plan again.
#[derive(Clone, Copy, Debug)]
pub struct Again<'r> {
    /// The plan.
    pub plan: &'r Path,
    /// What else is said to `bursar-simulate replay`, each with a blank before it.
    pub options: &'r str,
}

impl fmt::Display for Again<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bursar-simulate replay {}{}", self.plan.display(), self.options)
    }
}

impl fmt::Display for Story<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { report } = self;
        let Some(Broken { invariant, detail }) = &report.failure else {
            return writeln!(f, "seed {} passed", report.seed);
        };
        if report.is_given_up() {
            writeln!(f, "seed {} was {detail}", report.seed)?;
            return writeln!(f, "    how far it had come by then, and whether it would have ended, is not known");
        }
        writeln!(f, "seed {} FAILED: {invariant}", report.seed)?;
        for line in detail.lines() {
            writeln!(f, "    {line}")?;
        }
        if report.hash.is_empty() {
            // Its process came to no end, and told nothing else.
            return Ok(());
        }
        let (seconds, rest) = (report.virtual_ms / 1_000, report.virtual_ms % 1_000);
        writeln!(f, "at {seconds}.{rest:03} s of virtual time, after {} events; the last that matter:", report.events)?;
        for event in &report.recent {
            let shown: String = event.replace('\n', " ").chars().take(EVENT_CHARACTERS_MAX).collect();
            writeln!(f, "    {shown}")?;
        }
        Ok(())
    }
}

fn in_milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("a run ends within centuries")
}

#[cfg(test)]
mod tests {
    use bursar_domain::mutants::Mutant;

    use super::*;

    #[test]
    fn a_failure_tells_what_broke_and_when_and_what_came_before() {
        let report = Report {
            hash: "00".into(),
            events: 1_234,
            virtual_ms: 20_045,
            recent: vec!["20.000000 host a2 loses its power".into(), "20.045000 host a2 has power again".into()],
            ..Report::of_silence(7, Broken::new("one-history", "revision 3 is this\nand that"))
        };
        assert_eq!(
            report.story().to_string(),
            "seed 7 FAILED: one-history\n    revision 3 is this\n    and that\n\
             at 20.045 s of virtual time, after 1234 events; the last that matter:\n    \
             20.000000 host a2 loses its power\n    20.045000 host a2 has power again\n"
        );
    }

    #[test]
    fn of_a_run_that_told_nothing_no_more_is_told_than_is_known() {
        let crashed = Report::of_silence(7, Broken::new("no-crash", "the process ended"));
        assert_eq!(crashed.story().to_string(), "seed 7 FAILED: no-crash\n    the process ended\n");
        let given_up = Report::given_up(7, Duration::from_secs(900)).story().to_string();
        assert_eq!(
            given_up,
            "seed 7 was given up after 900 s of real time\n    \
             how far it had come by then, and whether it would have ended, is not known\n"
        );
    }

    #[test]
    fn a_plan_that_failed_is_kept_where_it_can_be_found() {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::at(&directory.path().join("failures")).unwrap();
        let plan = Plan::of_seed(7);
        let kept = shelf.keep(&plan).unwrap();
        assert!(kept.ends_with("failures/seed-7.json"), "{}", kept.display());
        assert_eq!(Plan::from_json(&fs::read_to_string(&kept).unwrap()).unwrap(), plan);
        let planted = shelf.keep(&plan.with_planted(Some(Mutant::VoteNotKept))).unwrap();
        assert!(planted.ends_with("failures/seed-7-vote-not-kept.json"), "{}", planted.display());
        Shelf::at(&kept).expect_err("it is a file");
    }

    #[test]
    fn another_process_reads_a_report_as_it_was_written() {
        let report = Report::of_silence(7, Broken::new("one-history", "revision 3"));
        assert_eq!(serde_json::from_str::<Report>(&serde_json::to_string(&report).unwrap()).unwrap(), report);
    }
}
