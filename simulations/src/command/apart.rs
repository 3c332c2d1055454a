//! Runs in processes of their own: some counters of libraries belong to a process, and a run may end one, or never end.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use bursar_domain::mutants::Mutant;
use tokio::process::Command;
use tokio::time::timeout;

use super::CommandError;
use crate::report::Report;
use crate::shim;
use crate::verdict::Broken;

/// How many of the last lines are shown of what a process said that told of no end.
const LAST_WORDS_MAX: usize = 20;

/// Where runs in processes of their own come from.
#[derive(Debug)]
pub(super) struct Apart {
    program: PathBuf,
    limit: Duration,
}

impl Apart {
    /// This program, with so many seconds for each run.
    pub(super) fn new(limit_seconds: u64) -> Result<Self, CommandError> {
        let program = std::env::current_exe().map_err(CommandError::Process)?;
        Ok(Self { program, limit: Duration::from_secs(limit_seconds) })
    }

    /// Runs a seed, perhaps with a bug planted. Dropping the future ends the process.
    pub(super) async fn seed(&self, seed: u64, mutant: Option<Mutant>) -> Result<Report, CommandError> {
        let mut command = Command::new(&self.program);
        command.args(["run", "--json", "--seed", &seed.to_string()]);
        if let Some(mutant) = mutant {
            command.args(["--mutant", mutant.name()]);
        }
        self.report(seed, command).await
    }

    /// Runs a plan of this seed, with the bug planted that it names. Dropping the future ends the process.
    pub(super) async fn plan(&self, seed: u64, plan: &Path) -> Result<Report, CommandError> {
        let mut command = Command::new(&self.program);
        command.args(["replay", "--json"]).arg(plan);
        self.report(seed, command).await
    }

    async fn report(&self, seed: u64, mut command: Command) -> Result<Report, CommandError> {
        command.stdin(Stdio::null()).kill_on_drop(true);
        shim::end_with_this_thread(&mut command);
        match timeout(self.limit, command.output()).await {
            Ok(output) => Ok(report_of(seed, &output.map_err(CommandError::Process)?)),
            Err(_elapsed) => Ok(Report::given_up(seed, self.limit)),
        }
    }
}

/// The report that a process printed; where it printed none, that it did not come to its end.
fn report_of(seed: u64, output: &Output) -> Report {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_WORDS_MAX)..].join("\n");
        Report::of_silence(seed, Broken::new("no-crash", format_args!("the process ended by {}:\n{last}", output.status)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told_by(script: &str, limit_seconds: u64) -> Broken {
        let apart = Apart::new(limit_seconds).expect("this program is somewhere");
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        apart.report(7, command).await.expect("there is a shell").failure.expect("it fails")
    }

    #[tokio::test]
    async fn a_process_that_tells_nothing_has_failed() {
        let crashed = told_by("echo 'index out of bounds' >&2; kill -ABRT $$", 60).await;
        assert_eq!(crashed.invariant, "no-crash");
        assert!(crashed.detail.contains("signal: 6") && crashed.detail.ends_with("\nindex out of bounds"), "{crashed}");
    }

    #[tokio::test]
    async fn a_process_that_does_not_end_is_ended() {
        let hung = told_by("while :; do :; done", 1).await;
        assert_eq!(hung, Broken::new("ends-in-time", "given up after 1 s of real time"));
    }
}
