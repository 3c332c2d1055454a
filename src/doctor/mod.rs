//! The doctor: examines a node, running or stopped.
//!
//! A stopped node is examined from its files: identity and modes, whose its stores are and whether one is an older copy, the
//! write-ahead logs, every entry of the Raft log, every record of the journal with its checksum and its place in the hash chain,
//! the fold of the journal against the checkpoint, the invariants of the state, what the next start has to replay, and whether the
//! node still belongs to the cluster. A running node holds its files, so it is asked what it says of itself, check by check.

mod report;
mod running;
mod stopped;

use std::process::ExitCode;

use bursar_net::FileError;

use crate::{
    World, arguments,
    authority::{DataDirectory, DirectoryError},
};
use report::{Finding, Report};

/// The exit code where something is not as it should be.
const UNHEALTHY: u8 = 10;
/// The exit code where there is nothing to examine.
const MISUSED: u8 = 2;

/// `bursar doctor`
pub async fn run(world: &World, options: arguments::Doctor) -> ExitCode {
    if bursar_agent::DataDirectory::is_at(&*world.files, &options.dir) {
        eprintln!(
            "error: {} is the data directory of a storage server; the doctor examines authority nodes",
            options.dir.display()
        );
        eprintln!("next: bursar server list");
        return ExitCode::from(MISUSED);
    }
    let mut report = Report::new(options.dir.clone(), !options.json);
    match DataDirectory::open(world, &options.dir) {
        Ok(directory) => stopped::examine(&directory, &mut report),
        Err(DirectoryError::File(FileError::Locked { .. })) => running::examine(&options.dir, &mut report).await,
        Err(error) => report.add(Finding::bad("data directory", error.to_string())),
    }
    report.print();
    if report.is_healthy() { ExitCode::SUCCESS } else { ExitCode::from(UNHEALTHY) }
}
