//! The engines of a machine, each at a path of its own.

use std::path::Path;
use std::sync::Arc;

use super::{Engine, Space};
use crate::StorageError;

/// Makes, opens and removes engines. The forms differ in nothing that a caller could see, which one suite holds them to
/// (`tests/engines.rs`).
///
/// All calls block; callers run them where blocking is allowed.
pub trait Engines: Send + Sync + 'static {
    /// Makes an empty engine, which is there durably on return. The parent directory must exist.
    ///
    /// # Errors
    /// An engine that is there already; a disk that fails.
    fn create(&self, path: &Path, profile: Profile) -> Result<Arc<dyn Engine>, StorageError>;

    /// Opens the engine that is there. One holder at a time: it is closed when the last clone of what was handed out is dropped.
    ///
    /// # Errors
    /// No engine; one that is in use; damage, with the file that has it; a disk that fails.
    fn open(&self, path: &Path, profile: Profile) -> Result<Arc<dyn Engine>, StorageError>;

    /// Whether there is an engine.
    fn exists(&self, path: &Path) -> bool;

    /// Removes what is there of an engine that nobody holds, durably. Where there is nothing it does nothing.
    ///
    /// # Errors
    /// A disk that fails.
    fn remove(&self, path: &Path) -> Result<(), StorageError>;
}

/// What an engine is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// The Raft log: synced for every group, read at its end, purged at its beginning.
    Log,
    /// Journal, checkpoints and applied position: synced now and then, read everywhere, growing.
    Ledger,
}

impl Profile {
    /// The key spaces of such an engine.
    pub const fn spaces(self) -> &'static [Space] {
        match self {
            Profile::Log => &[Space::LogEntries, Space::LogState],
            Profile::Ledger => &[Space::Journal, Space::Checkpoints, Space::LedgerState],
        }
    }
}
