//! A stopped node, from its files.

use std::sync::Arc;

use bursar_domain::State;
use bursar_net::{Blocking, ThreadBlocking};
use bursar_storage::{
    StorageError,
    engine::{Profile, RocksEngine},
    ledger::Ledger,
    log::RaftLog,
};

use super::report::{Finding, Report};
use crate::authority::{DataDirectory, DirectoryError};

/// The doctor reads each entry once: nothing is worth keeping.
const LOG_CACHE_BYTES: u64 = 0;
/// A line of progress for each so many records.
const PROGRESS_RECORDS: u64 = 100_000;

/// Examines everything that rests.
pub fn examine(directory: &DataDirectory, report: &mut Report) {
    let identity = directory.identity();
    report.add(Finding::of("identity", identity.map(|identity| format!("{} of cluster {}", identity.node, identity.cluster))));
    report.add(Finding::of("settings", directory.config().map(|config| format!("API at {}", config.advertised.api))));
    report.add(Finding::of("certificate", certificate(directory)));
    report.add(Finding::of("cluster key", directory.cluster_key().map(|_key| "readable by its owner alone".to_owned())));
    // Opening a store that is not there would make one.
    if let Err(gone) = directory.check_stores(RocksEngine::exists) {
        return report.add(Finding::bad("stores", gone.to_string()));
    }
    if ![directory.log(), directory.ledger()].iter().all(|store| RocksEngine::exists(store)) {
        return report.add(Finding::sound("stores", "none yet: the node was never started"));
    }
    report.add(Finding::of("raft log", raft_log(directory)));
    match ledger(directory) {
        Ok((detail, state)) => {
            report.add(Finding::sound("journal and state", detail));
            let fits = directory.check_against(&state).map(|()| "identity, authority and cluster key are those of the ledger");
            report.add(Finding::of("files and ledger", fits.map(str::to_owned)));
        }
        Err(error) => report.add(Finding::bad("journal and state", error.to_string())),
    }
}

fn certificate(directory: &DataDirectory) -> Result<String, DirectoryError> {
    Ok(directory.credentials()?.facts().identity.to_string())
}

/// Opening the log reads all of it: write-ahead log, checksums, contiguity.
fn raft_log(directory: &DataDirectory) -> Result<String, StorageError> {
    let engine = RocksEngine::open(&directory.log(), Profile::Log)?;
    let log = RaftLog::open(Arc::new(engine), ThreadBlocking.worker("doctor"), LOG_CACHE_BYTES)?;
    let bounds = log.bounds();
    let index = |position: Option<bursar_storage::log::LogPosition>| position.map_or(0, |position| position.index);
    Ok(format!("entries {} to {}, every checksum holds", index(bounds.purged) + 1, index(bounds.last)))
}

fn ledger(directory: &DataDirectory) -> Result<(String, State), StorageError> {
    let engine = RocksEngine::open(&directory.ledger(), Profile::Ledger)?;
    let (ledger, recovered) = Ledger::open(Arc::new(engine))?;
    let mut told = 0;
    let verified = ledger.verify(&mut |progress| {
        if progress.checked >= told + PROGRESS_RECORDS {
            told = progress.checked;
            eprintln!("      checked {} of {} records", progress.checked, progress.total);
        }
    })?;
    let detail = format!(
        "revision {}, {} records, hash chain and fold hold, digest {}",
        verified.revision, verified.records, verified.digest
    );
    Ok((detail, recovered.state))
}
