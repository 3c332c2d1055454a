//! Measures the writes of Bursar beside those of etcd: how many a second, how long they take, what they cost, and how long nothing is
//! acknowledged after the leader was killed. docs/benchmarks.md tells how to read the figures.

mod etcd;
mod failover;
mod load;
mod processes;
mod product;
mod report;
mod system;
mod values;

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    etcd::Etcd,
    load::Load,
    processes::Server,
    product::Product,
    report::{Environment, Report, SystemResults, output, write_between_markers},
    system::System,
};

/// Measures the writes of Bursar beside those of etcd
#[derive(Parser, Debug)]
#[command(name = "bursar-bench")]
struct Arguments {
    /// The program `bursar`
    #[arg(long, value_name = "FILE", default_value = "target/release/bursar")]
    bursar: PathBuf,
    /// The program `etcd`
    #[arg(long, value_name = "FILE", default_value = "etcd")]
    etcd: PathBuf,
    /// Where both keep their data while they run: a directory on the disk to be measured
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    data: PathBuf,
    /// Measure this one alone
    #[arg(long, value_enum, value_name = "SYSTEM")]
    only: Option<Only>,
    /// With how many clients, stage by stage
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    clients: Vec<usize>,
    /// How long clients write before a stage is measured, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "3")]
    warm_up: Duration,
    /// How long a stage is measured, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    span: Duration,
    /// How often each leader is killed
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    kills: usize,
    /// How many threads run the clients
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    client_threads: usize,
    /// Write the figures into this document too, between its markers
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Only {
    Bursar,
    Etcd,
}

fn seconds(text: &str) -> Result<Duration> {
    let seconds: f64 = text.parse()?;
    Duration::try_from_secs_f64(seconds).map_err(|error| anyhow!("{error}"))
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            error.chain().skip(1).for_each(|cause| eprintln!("bench: because: {cause}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<()> {
    // The main task alone waits for processes and reads /proc; the clients have their own threads.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.client_threads.max(1))
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let report = runtime.block_on(async {
        // Whichever way this ends, the systems are dropped, and their processes with them.
        tokio::select! {
            // Signals are listened for before anything is started.
            biased;
            signal = interrupted() => bail!("ended by {}", signal?),
            report = run(arguments) => report,
        }
    })?;
    let figures = report.to_markdown();
    println!("{figures}");
    if let Some(document) = &arguments.write {
        write_between_markers(document, &figures)?;
        println!("written into {}", document.display());
    }
    Ok(())
}

/// Returns once somebody wants this to end.
async fn interrupted() -> Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let mut hang_up = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "an interrupt",
        _ = terminate.recv() => "a request to terminate",
        _ = hang_up.recv() => "a hang-up",
    })
}

async fn run(arguments: &Arguments) -> Result<Report> {
    let environment = Environment::observe(&arguments.data)?;
    let mut bursar = match arguments.only {
        Some(Only::Etcd) => None,
        _ => {
            progress("starting Bursar");
            let version = output(Command::new(&arguments.bursar).arg("--version"))?;
            Some(Subject::new(Product::start(&arguments.bursar, &arguments.data).await?, &version))
        }
    };
    let mut etcd = match arguments.only {
        Some(Only::Bursar) => None,
        _ => {
            progress("starting etcd");
            let version = output(Command::new(&arguments.etcd).arg("--version"))?;
            Some(Subject::new(Etcd::start(&arguments.etcd, &arguments.data).await?, &version))
        }
    };

    // Turn by turn, so that the machine's moods meet both.
    for clients in arguments.clients.iter().copied() {
        let load = Load { clients, warm_up: arguments.warm_up, span: arguments.span };
        if let Some(bursar) = &mut bursar {
            bursar.measure(servers_of(&etcd), load).await?;
        }
        if let Some(etcd) = &mut etcd {
            etcd.measure(servers_of(&bursar), load).await?;
        }
    }
    for _ in 0..arguments.kills {
        if let Some(bursar) = &mut bursar {
            bursar.kill_leader().await?;
        }
        if let Some(etcd) = &mut etcd {
            etcd.kill_leader().await?;
        }
    }

    let results = bursar.map(|subject| subject.results).into_iter().chain(etcd.map(|subject| subject.results)).collect();
    Ok(Report { environment, results, span: arguments.span, warm_up: arguments.warm_up })
}

/// A running system and what was found about it so far.
struct Subject<S> {
    system: S,
    results: SystemResults,
}

impl<S: System> Subject<S> {
    /// `version` is what the program prints, its name included.
    fn new(system: S, version: &str) -> Self {
        let version = version.rsplit(' ').next().unwrap_or_default().to_owned();
        Self { system, results: SystemResults { name: S::NAME, version, stages: Vec::new(), gaps: Vec::new() } }
    }

    async fn measure(&mut self, idle: &[Server], load: Load) -> Result<()> {
        let stage = load::measure(&self.system, idle, load)
            .await
            .with_context(|| format!("measuring {} with {} clients failed", S::NAME, load.clients))?;
        progress(&format!("{} with {} clients: {:.0} writes/s", S::NAME, load.clients, stage.writes_per_second));
        self.results.stages.push(stage);
        Ok(())
    }

    async fn kill_leader(&mut self) -> Result<()> {
        let gap = failover::gap_after_kill(&mut self.system)
            .await
            .with_context(|| format!("killing the leader of {} failed", S::NAME))?;
        progress(&format!("{} without its leader: no write acknowledged for {:.2} s", S::NAME, gap.as_secs_f64()));
        self.results.gaps.push(gap);
        Ok(())
    }
}

fn servers_of<S: System>(subject: &Option<Subject<S>>) -> &[Server] {
    subject.as_ref().map_or(&[], |subject| subject.system.servers())
}

fn progress(what: &str) {
    eprintln!("bench: {what}");
}
