//! The doctor: examines a node or a storage server, running or stopped. It changes nothing.
//!
//! A stopped node is examined from its files: identity and modes, whose its stores are and whether one is an older copy, the
//! write-ahead logs, every entry of the Raft log, every record of the journal with its checksum and its place in the hash chain,
//! the fold of the journal against the checkpoint, the invariants of the state, what the next start has to replay, and whether the
//! node still belongs to the cluster. A running node holds its files, so it is asked what it says of itself, check by check. The
//! findings are in operators' words: the journal is the history; what a support case needs stands in parentheses.
//!
//! A storage server replaces its files as a whole, so they can be read while it runs: who it is, what makes it a member, what it
//! knows of the fleet, which directories it has made and whether they are there and their own; whether its ports are free, or its
//! own; and whether the authority still lets it in, of which its files alone tell nothing.

mod report;
mod running;
mod stopped;
mod storage_server;

use std::{path::Path, process::ExitCode};

use bursar_agent as agent;
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
    let directory = &options.dir;
    let mut report = Report::new(directory.clone(), !options.json);
    if agent::DataDirectory::is_at(&*world.files, directory) {
        storage_server::examine(world, directory, &mut report).await;
    } else if DataDirectory::is_at(world, directory) {
        authority_node(world, directory, &mut report).await;
    } else {
        return nothing_to_examine(world, directory);
    }
    report.print();
    if report.is_healthy() { ExitCode::SUCCESS } else { ExitCode::from(UNHEALTHY) }
}

async fn authority_node(world: &World, directory: &Path, report: &mut Report) {
    match DataDirectory::open(world, directory) {
        Ok(directory) => stopped::examine(&directory, report),
        Err(DirectoryError::File(FileError::Locked { .. })) => running::examine(directory, report).await,
        Err(DirectoryError::Empty(_)) => report.add(Finding::bad("identity", LOST_IDENTITY)),
        Err(error) => report.add(Finding::bad("data directory", error.to_string())),
    }
}

/// What to do where there is more of a node than who it is.
const LOST_IDENTITY: &str = "identity.toml is missing, and other files of a node are there: where `bursar authority init` or `join` \
                             was interrupted run it again, else restore it from a backup";

/// Whoever mistyped a path wants no node made there.
fn nothing_to_examine(world: &World, directory: &Path) -> ExitCode {
    let place = directory.display();
    if world.files.exists(directory).unwrap_or(true) {
        let (node, server) = (DataDirectory::SIGNS.join(", "), agent::DataDirectory::SIGNS.join(", "));
        eprintln!(
            "error: {place} is the data directory of neither an authority node nor a storage server: it has none of {node}, and none of \
             {server}"
        );
    } else {
        eprintln!("error: {place} does not exist: name the data directory of an authority node or of a storage server");
    }
    eprintln!("next: bursar doctor --help");
    ExitCode::from(MISUSED)
}
