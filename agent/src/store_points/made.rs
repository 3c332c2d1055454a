//! Which directories were made: `made.toml` in the server's data directory.
//!
//! A store point's directory is noted there when it is whole and before it gets its name. So one that has had its name is known to
//! this server, whether or not the authority has heard of it, and is not made again when it vanishes.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bursar_domain::{StoreId, StorePointId};
use bursar_net::{FileError, Files, FormatError, kept_to_toml, read_kept};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::member::Known;

/// What to do about a file that cannot be used.
const REMOVE: &str = "look whether the disks of all store points are mounted, and remove it then";

/// Knows which directories were made. Its calls block.
pub(crate) struct Made {
    files: Arc<dyn Files>,
    path: PathBuf,
    store: StoreId,
    known: watch::Receiver<Known>,
    /// One writes at a time.
    turn: Mutex<()>,
}

/// `made.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MadeFile {
    /// The data directory's.
    pub store: StoreId,
    /// Whose directories were made.
    pub store_points: BTreeSet<StorePointId>,
}

/// Why it cannot be told, or kept, which directories were made.
#[derive(Debug, thiserror::Error)]
pub enum MadeError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not what was written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Another data directory's.
    #[error("{} belongs to the data directory with store id {found}, this one has {expected}; {REMOVE}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: StoreId,
        /// Whose it must be.
        expected: StoreId,
    },
}

impl Made {
    /// What the file at `path` tells, in the data directory with this store id, of the store points that the server knows.
    pub(crate) fn new(files: Arc<dyn Files>, path: PathBuf, store: StoreId, known: watch::Receiver<Known>) -> Self {
        Self { files, path, store, known, turn: Mutex::default() }
    }

    /// Whether the directory of a store point was made.
    pub(super) fn holds(&self, store_point: StorePointId) -> Result<bool, MadeError> {
        Ok(self.load()?.contains(&store_point))
    }

    /// Notes that it was; on return that is durable. Store points that the server knows no more are left out.
    pub(super) fn note(&self, store_point: StorePointId) -> Result<(), MadeError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut store_points = self.load()?;
        if let Some(fleet) = self.known.borrow().fleet() {
            store_points.retain(|store_point| fleet.store_points.contains_key(store_point));
        }
        store_points.insert(store_point);
        let file = MadeFile { store: self.store, store_points };
        Ok(self.files.write_atomic(&self.path, kept_to_toml(&file).as_bytes())?)
    }

    fn load(&self) -> Result<BTreeSet<StorePointId>, MadeError> {
        read_made(&*self.files, &self.path, self.store)
    }
}

/// Whose directories were made, as the file at `path` tells in the data directory with this store id.
pub(crate) fn read_made(files: &dyn Files, path: &Path, expected: StoreId) -> Result<BTreeSet<StorePointId>, MadeError> {
    if !files.exists(path)? {
        return Ok(BTreeSet::new());
    }
    let MadeFile { store: found, store_points } = read_kept::<_, MadeError>(files, path, REMOVE)?;
    if found != expected {
        return Err(MadeError::Foreign { path: path.to_owned(), found, expected });
    }
    Ok(store_points)
}
