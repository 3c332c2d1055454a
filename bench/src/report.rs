//! The figures as Markdown, and where they were made.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use time::{OffsetDateTime, macros::format_description};

use crate::{
    failover::{ATTEMPT_PATIENCE, CLIENTS},
    load::Stage,
};

/// What a run found.
pub struct Report {
    /// Where.
    pub environment: Environment,
    /// System by system, in the order of the columns.
    pub results: Vec<SystemResults>,
    /// How long each stage was measured.
    pub span: Duration,
    /// How long clients wrote before that.
    pub warm_up: Duration,
}

/// What a run found about one system.
pub struct SystemResults {
    /// What it is called.
    pub name: &'static str,
    /// Which version of it.
    pub version: String,
    /// Load by load.
    pub stages: Vec<Stage>,
    /// The gap after each kill of the leader.
    pub gaps: Vec<Duration>,
}

/// The machine and the moment of a run.
pub struct Environment {
    date: String,
    processors: usize,
    processor_model: String,
    kernel: String,
    file_system: String,
    load_average: String,
    sync: SyncTimes,
    command_line: String,
}

/// How long this disk takes for what both systems do before they acknowledge: write a page, and sync it.
struct SyncTimes {
    p50: Duration,
    p99: Duration,
}

impl Environment {
    /// Looks around; the data of both systems is to lie below `data`. Refuses a file system in memory, which has nothing to sync.
    pub fn observe(data: &Path) -> Result<Self> {
        let date = OffsetDateTime::now_utc().format(format_description!("[year]-[month]-[day]")).context("no date")?;
        let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu_info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
        let file_system = output(Command::new("stat").args(["-f", "-c", "%T"]).arg(data))?;
        ensure!(file_system != "tmpfs", "{} is in memory: name a directory on a disk with --data", data.display());
        let load_average = fs::read_to_string("/proc/loadavg").context("cannot read the load")?;
        Ok(Self {
            date,
            processors: std::thread::available_parallelism().context("cannot count the processors")?.get(),
            processor_model: model.map_or("unknown", |(_, name)| name).to_owned(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").context("cannot read the kernel's version")?.trim().into(),
            file_system,
            load_average: load_average.split(' ').next().unwrap_or_default().to_owned(),
            sync: SyncTimes::measure(data)?,
            command_line: without_places(std::env::args()),
        })
    }
}

impl SyncTimes {
    fn measure(directory: &Path) -> Result<Self> {
        const TIMES: usize = 300;
        let mut file = tempfile::tempfile_in(directory).context("cannot write where the data is to lie")?;
        let mut times = Vec::with_capacity(TIMES);
        for _ in 0..TIMES {
            let began = Instant::now();
            write_page(&mut file).context("cannot write where the data is to lie")?;
            times.push(began.elapsed());
        }
        times.sort_unstable();
        Ok(Self { p50: times[TIMES / 2], p99: times[TIMES * 99 / 100] })
    }
}

/// A command with the names of files in the place of absolute paths: where they lie is one machine's own.
fn without_places(arguments: impl Iterator<Item = String>) -> String {
    let name = |argument: String| {
        let path = Path::new(&argument);
        match path.file_name() {
            Some(name) if path.is_absolute() => name.to_string_lossy().into_owned(),
            _ => argument,
        }
    };
    arguments.map(name).collect::<Vec<_>>().join(" ")
}

fn write_page(file: &mut File) -> std::io::Result<()> {
    file.write_all(&[7; 4096])?;
    file.sync_data()
}

/// The first line that a program prints.
pub fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_owned();
    let output = command.output().with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(output.status.success(), "{} failed: {}", program.display(), String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().trim().to_owned())
}

impl Report {
    /// All figures.
    pub fn to_markdown(&self) -> String {
        let sections = [self.provenance(), self.throughput(), self.remarks(), self.failover()];
        sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
    }

    fn provenance(&self) -> String {
        let Environment { date, processors, processor_model, kernel, file_system, load_average, sync, command_line } =
            &self.environment;
        let versions: Vec<_> = self.results.iter().map(|results| format!("{} {}", results.name, results.version)).collect();
        format!(
            "Measured on {date}: {}; {processors} processors ({processor_model}), Linux {kernel}, {file_system}. \
             A 4 KiB write and fdatasync took {} ms (p50), {} ms (p99); the load average before was {load_average}.\n\n\
             ```text\n{command_line}\n```\n",
            versions.join(", "),
            milliseconds(sync.p50),
            milliseconds(sync.p99),
        )
    }

    fn throughput(&self) -> String {
        let mut rows = Vec::new();
        for results in &self.results {
            for (load, stage) in results.stages.iter().enumerate() {
                let ratio = self
                    .rival(results.name)
                    .and_then(|rival| rival.stages.get(load))
                    .map_or_else(String::new, |rival| format!("{:.2}", stage.writes_per_second / rival.writes_per_second));
                let row = vec![
                    stage.clients.to_string(),
                    results.name.to_owned(),
                    format!("{:.0}", stage.writes_per_second),
                    ratio,
                    milliseconds(stage.p50),
                    milliseconds(stage.p99),
                    format!("{:.0}", stage.client_cpu_us),
                    format!("{:.0}", stage.server_cpu_us),
                    mebibytes(stage.memory.resident),
                    mebibytes(stage.memory.anonymous),
                    stage.failures.to_string(),
                ];
                rows.push((load, row));
            }
        }
        // The systems under one load stand side by side; the order of the systems stays.
        rows.sort_by_key(|(load, _)| *load);
        let header = [
            "clients",
            "system",
            "writes/s",
            "ratio",
            "p50 ms",
            "p99 ms",
            "clients' CPU µs/write",
            "servers' CPU µs/write",
            "servers' memory MiB",
            "of it anonymous",
            "failed attempts",
        ];
        let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
        table(&header, &rows)
    }

    /// The other system, if this one is the first: the ratio stands in its rows alone.
    fn rival(&self, name: &str) -> Option<&SystemResults> {
        let [first, second] = &self.results[..] else { return None };
        (first.name == name).then_some(second)
    }

    fn remarks(&self) -> String {
        let stages = || self.results.iter().flat_map(|results| &results.stages);
        let busiest_clients = stages().map(|stage| stage.client_processors).fold(0.0, f64::max);
        let busiest_idle = stages().map(|stage| stage.idle_processors).fold(0.0, f64::max);
        let ratio = match &self.results[..] {
            [first, second] => format!(" The ratio is {}'s writes/s by {}'s.", first.name, second.name),
            _ => String::new(),
        };
        format!(
            "Each line: {} s measured after {} s of warm-up.{ratio} The clients never used more than {:.0} % of one processor, the \
             system that had nothing to do never more than {:.1} %.\n",
            self.span.as_secs_f64(),
            self.warm_up.as_secs_f64(),
            busiest_clients * 100.0,
            busiest_idle * 100.0,
        )
    }

    fn failover(&self) -> String {
        let rows: Vec<_> = self.results.iter().filter_map(failover_row).collect();
        if rows.is_empty() {
            return String::new();
        }
        let header = ["system", "kills", "gap: median s", "least s", "greatest s"];
        format!(
            "The longest time without an acknowledged write after `kill -9` of the leader, {CLIENTS} clients writing, each trying \
             the next node after an error or {} ms:\n\n{}",
            ATTEMPT_PATIENCE.as_millis(),
            table(&header, &rows)
        )
    }
}

fn failover_row(results: &SystemResults) -> Option<Vec<String>> {
    let mut gaps = results.gaps.clone();
    gaps.sort_unstable();
    let (least, greatest) = (gaps.first()?, gaps.last()?);
    // Of an even number the mean of the two in the middle.
    let median = (gaps[(gaps.len() - 1) / 2] + gaps[gaps.len() / 2]) / 2;
    let seconds = |gap: &Duration| format!("{:.2}", gap.as_secs_f64());
    Some(vec![results.name.to_owned(), gaps.len().to_string(), seconds(&median), seconds(least), seconds(greatest)])
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1e3)
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / f64::from(1 << 20))
}

/// A Markdown table that is readable as text too: numbers to the right.
fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..header.len()).map(width).collect();
    let is_text = |column: usize| rows.iter().any(|row| row[column].starts_with(char::is_alphabetic));
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let padded = |column: usize, cell: &str| match is_text(column) {
        true => format!("{cell:<width$}", width = widths[column]),
        false => format!("{cell:>width$}", width = widths[column]),
    };
    let rule = |column: usize| match is_text(column) {
        true => "-".repeat(widths[column]),
        false => format!("{}:", "-".repeat(widths[column] - 1)),
    };
    let mut text = line(header.iter().enumerate().map(|(column, cell)| padded(column, cell)).collect());
    text += &line((0..header.len()).map(rule).collect());
    for row in rows {
        text += &line(row.iter().enumerate().map(|(column, cell)| padded(column, cell)).collect());
    }
    text
}

const BEGIN: &str = "<!-- figures: begin -->";
const END: &str = "<!-- figures: end -->";

/// Puts the figures between the two markers of a document, in place of those that were there.
pub fn write_between_markers(document: &Path, figures: &str) -> Result<()> {
    let text = fs::read_to_string(document).with_context(|| format!("cannot read {}", document.display()))?;
    let replaced = replace_between_markers(&text, figures)
        .with_context(|| format!("{} does not have the lines `{BEGIN}` and `{END}`", document.display()))?;
    fs::write(document, replaced).with_context(|| format!("cannot write {}", document.display()))
}

fn replace_between_markers(text: &str, figures: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", figures.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::Memory;

    fn results(name: &'static str, writes_per_second: f64, gaps_ms: &[u64]) -> SystemResults {
        let stage = |clients| Stage {
            clients,
            writes_per_second,
            p50: Duration::from_micros(1250),
            p99: Duration::from_millis(9),
            failures: 0,
            client_cpu_us: 31.4,
            server_cpu_us: 99.6,
            client_processors: 0.25,
            idle_processors: 0.02,
            memory: Memory { resident: 300 << 20, anonymous: 200 << 20 },
        };
        SystemResults {
            name,
            version: "1.0".into(),
            stages: vec![stage(1), stage(16)],
            gaps: gaps_ms.iter().copied().map(Duration::from_millis).collect(),
        }
    }

    fn report(results: Vec<SystemResults>) -> Report {
        let environment = Environment {
            date: "2026-01-02".into(),
            processors: 2,
            processor_model: "Model".into(),
            kernel: "6.1".into(),
            file_system: "ext2/ext3".into(),
            load_average: "0.10".into(),
            sync: SyncTimes { p50: Duration::from_micros(95), p99: Duration::from_micros(400) },
            command_line: "bursar-bench".into(),
        };
        Report { environment, results, span: Duration::from_secs(10), warm_up: Duration::from_secs(3) }
    }

    #[test]
    fn a_command_is_told_without_the_places_of_its_files() {
        let arguments =
            ["/home/me/bursar-bench", "--etcd", "/usr/bin/etcd", "--write", "docs/benchmarks.md", "--clients", "1,16"];
        let told = without_places(arguments.map(String::from).into_iter());
        assert_eq!(told, "bursar-bench --etcd etcd --write docs/benchmarks.md --clients 1,16");
    }

    #[test]
    fn systems_stand_side_by_side_with_the_ratio_at_the_first() {
        let markdown =
            report(vec![results("Bursar", 3000.0, &[400, 900, 500]), results("etcd", 2000.0, &[1200, 1400])]).to_markdown();
        let systems: Vec<_> = markdown.lines().filter(|line| line.contains("3000 ") || line.contains("2000 ")).collect();
        let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        assert_eq!(cells(systems[0])[1..12], ["1", "Bursar", "3000", "1.50", "1.25", "9.00", "31", "100", "300", "200", "0"]);
        assert_eq!(cells(systems[1])[1..5], ["1", "etcd", "2000", ""]);
        assert_eq!(cells(systems[2])[1..5], ["16", "Bursar", "3000", "1.50"]);
        assert!(markdown.contains("25 % of one processor"));
        let gaps: Vec<_> = markdown.lines().rev().take(2).map(cells).collect();
        assert_eq!(gaps[1][1..6], ["Bursar", "3", "0.50", "0.40", "0.90"]);
        assert_eq!(gaps[0][1..6], ["etcd", "2", "1.30", "1.20", "1.40"]);
    }

    #[test]
    fn one_system_alone_has_no_ratio_and_without_kills_no_gaps() {
        let markdown = report(vec![results("etcd", 2000.0, &[])]).to_markdown();
        assert!(!markdown.contains("ratio is") && !markdown.contains("kill -9"));
    }

    #[test]
    fn figures_replace_the_former_ones_alone() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let replaced = replace_between_markers(&text, "new\n").unwrap();
        assert_eq!(replaced, format!("before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"));
        assert_eq!(replace_between_markers(&replaced, "new\n").as_ref(), Some(&replaced));
        assert_eq!(replace_between_markers("nothing", "new"), None);
    }
}
