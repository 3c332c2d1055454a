//! The fuse of an engine: once a write or a sync failed, nothing passes any more.

use std::sync::OnceLock;

use crate::StorageError;

/// Remembers the first failure and refuses everything after it.
#[derive(Debug, Default)]
pub(crate) struct Fuse {
    cause: OnceLock<String>,
}

impl Fuse {
    /// Passes while nothing failed.
    pub(crate) fn check(&self) -> Result<(), StorageError> {
        match self.cause.get() {
            None => Ok(()),
            Some(cause) => Err(StorageError::Poisoned { cause: cause.clone() }),
        }
    }

    /// Runs a step after which, if it fails, the state of the disk is unknown.
    pub(crate) fn guard<T>(&self, step: impl FnOnce() -> Result<T, StorageError>) -> Result<T, StorageError> {
        self.check()?;
        step().inspect_err(|error| {
            // Only the first failure is the cause; the losing thread's error is returned all the same.
            let _ = self.cause.set(error.to_string());
        })
    }
}
