//! The two stores of a node, `log` and `ledger`: made with its data directory, opened by every start, and never made anew.
//!
//! In them rests what the node has promised to the others. One that lost a store would break its promises under the same
//! number; so would one that took another node's store for its own, or an older copy. So each store bears the id of the data
//! directory that it was made with, which `identity.toml` says too, and the two are compared with each other.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bursar_domain::{AuthorityNodeId, StoreId};
use bursar_net::Worker;
use bursar_storage::{
    StorageError, compare_ages,
    engine::{Engine, Profile},
    ledger::{Ledger, Recovered},
    log::RaftLog,
};

use super::{directory::DataDirectory, identity::Identity};

/// Why a store cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is not there any more.
    #[error(
        "{} is gone, and with it what {node} has promised to the others: it cannot go on under this number. Move back \
         the very directory that was here, never a copy of it; else remove the node from the cluster, and let the machine join it with a new data directory", path.display()
    )]
    Gone {
        /// Where it was.
        path: PathBuf,
        /// Whose it was.
        node: AuthorityNodeId,
    },
    /// It was made with another data directory.
    #[error(
        "{} belongs to store {found}, {} says store {expected}: one of the two is not {node}'s: move back the very \
         directory that was here, never a copy, for an older one has forgotten what the node promised; or restore the identity from \
         a backup; else remove the node from the cluster, and let the machine join it with a new data directory",
        path.display(), identity.display()
    )]
    Foreign {
        /// Where it is.
        path: PathBuf,
        /// What it says.
        found: StoreId,
        /// Where the identity is.
        identity: PathBuf,
        /// What the identity says.
        expected: StoreId,
        /// Whose directory it is.
        node: AuthorityNodeId,
    },
    /// It is damaged, of a newer program, an older copy, or its disk fails.
    #[error("{}: {source}", path.display())]
    Unusable {
        /// Where it is.
        path: PathBuf,
        /// What is wrong, and what to do.
        source: StorageError,
    },
}

/// The stores of a node that starts.
pub struct Stores {
    /// The Raft log.
    pub log: RaftLog,
    /// The journal, the applied position and checkpoints.
    pub ledger: Ledger,
    /// What the ledger held.
    pub recovered: Recovered,
}

/// Makes the stores of a new data directory. What an interrupted attempt left in their place is removed.
pub(super) fn make_anew(directory: &DataDirectory, store: StoreId) -> Result<(), StoreError> {
    let engines = directory.engines();
    let make = |path: &Path, profile, fill: fn(&dyn Engine, StoreId) -> Result<(), StorageError>| {
        let made = engines.remove(path).and_then(|()| engines.create(path, profile)).and_then(|engine| fill(&*engine, store));
        made.map_err(|source| StoreError::Unusable { path: path.to_owned(), source })
    };
    make(&directory.log(), Profile::Log, RaftLog::make)?;
    make(&directory.ledger(), Profile::Ledger, Ledger::make)
}

impl Stores {
    /// Opens both, which takes as long as what they hold since the last checkpoint is long. The log writes on `worker`, and
    /// keeps `cache_bytes` of its tail in memory.
    pub fn open(
        directory: &DataDirectory,
        identity: &Identity,
        worker: Arc<dyn Worker>,
        cache_bytes: u64,
    ) -> Result<Self, StoreError> {
        check_there(directory, identity)?;
        let log = open_log(directory, identity, worker, cache_bytes)?;
        let (ledger, recovered) = open_ledger(directory, identity)?;
        compare(directory, &log, &recovered)?;
        Ok(Self { log, ledger, recovered })
    }
}

/// Refuses where one of the stores is gone, before the other one is touched.
pub fn check_there(directory: &DataDirectory, identity: &Identity) -> Result<(), StoreError> {
    match [directory.log(), directory.ledger()].into_iter().find(|path| !directory.engines().exists(path)) {
        Some(path) => Err(StoreError::Gone { path, node: identity.node }),
        None => Ok(()),
    }
}

/// Opens the Raft log, which reads all of it: write-ahead log, checksums, contiguity.
pub fn open_log(
    directory: &DataDirectory,
    identity: &Identity,
    worker: Arc<dyn Worker>,
    cache_bytes: u64,
) -> Result<RaftLog, StoreError> {
    let engine = directory.engines().open(&directory.log(), Profile::Log);
    let log = engine.and_then(|engine| RaftLog::open(engine, identity.store, worker, cache_bytes));
    log.map_err(|error| unusable(directory, identity, directory.log(), error))
}

/// Opens the ledger.
pub fn open_ledger(directory: &DataDirectory, identity: &Identity) -> Result<(Ledger, Recovered), StoreError> {
    let engine = directory.engines().open(&directory.ledger(), Profile::Ledger);
    let ledger = engine.and_then(|engine| Ledger::open(engine, identity.store));
    ledger.map_err(|error| unusable(directory, identity, directory.ledger(), error))
}

/// Refuses where one of the two stores is an older copy than the other shows.
pub fn compare(directory: &DataDirectory, log: &RaftLog, recovered: &Recovered) -> Result<(), StoreError> {
    compare_ages(log, &recovered.applied).map_err(|source| StoreError::Unusable { path: directory.root().to_owned(), source })
}

fn unusable(directory: &DataDirectory, identity: &Identity, path: PathBuf, error: StorageError) -> StoreError {
    match error {
        StorageError::Foreign { found, expected, .. } => {
            StoreError::Foreign { path, found, identity: directory.identity_path(), expected, node: identity.node }
        }
        source => StoreError::Unusable { path, source },
    }
}
