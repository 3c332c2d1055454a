//! What can go wrong with what rests. Every one of these is final for the store that returned it.

use std::fmt;

use bursar_domain::StoreId;
use thiserror::Error;

/// What an operator does about damage: the other nodes hold what this one lost, and an id is never used again.
pub const REBUILD_FROM_QUORUM: &str = "rebuild this node from the quorum under a new id";

/// A failure of the disk, or of what was found on it. The caller stops the node: a retry may falsely succeed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StorageError {
    /// The disk or the engine failed.
    #[error("storage failed to {action}: {detail}; check the disk, then start the node again")]
    Io {
        /// What was tried, as the end of "failed to …".
        action: String,
        /// The failure's own words.
        detail: String,
    },

    /// The program itself broke off while it worked on the store: a defect, of which the disk knows nothing.
    #[error("the program panicked while it tried to {action}: {detail}; report this, then start the node again")]
    Panicked {
        /// What was tried, as the end of "tried to …".
        action: &'static str,
        /// What the panic said.
        detail: String,
    },

    /// What was read is not what was written.
    #[error("{what} is damaged at {at}: {detail}; {remedy}")]
    Damaged {
        /// The file or the key space.
        what: String,
        /// Where in it.
        at: Place,
        /// What does not fit.
        detail: String,
        /// What to do about it.
        remedy: &'static str,
    },

    /// A newer Bursar wrote this. Nothing was changed.
    #[error(
        "{what} has format {found}, this program reads up to {supported}; start the node with the newer program that wrote it"
    )]
    NewerFormat {
        /// The file or the key space.
        what: String,
        /// The version that was found.
        found: u8,
        /// The newest version that this program reads.
        supported: u8,
    },

    /// A store of another data directory.
    #[error(
        "{what} belongs to store {found}, not to store {expected}; move back the very one that does, never a copy of it, or {REBUILD_FROM_QUORUM}"
    )]
    Foreign {
        /// The store.
        what: &'static str,
        /// Whose it is.
        found: StoreId,
        /// As whose it was opened.
        expected: StoreId,
    },

    /// A store that was put back from an older copy: what it has forgotten, others rely on.
    #[error("{what} is an older copy: {detail}; move back the very one that this node last ran on, or {REBUILD_FROM_QUORUM}")]
    OlderCopy {
        /// The store.
        what: &'static str,
        /// What it lacks, and how that shows.
        detail: String,
    },

    /// A store was to be made where there is something already. Nothing was changed.
    #[error("{what} cannot be made: there is data in {space} already; open what is there, or choose an empty directory")]
    NotEmpty {
        /// The store.
        what: &'static str,
        /// The key space that is not empty.
        space: &'static str,
    },

    /// An append or a purge would leave a hole in the log. The caller's bookkeeping and the log disagree.
    #[error(
        "index {found} would leave a hole in the log, which goes on at {expected}; restart the node to recover from what is durable"
    )]
    HoleInLog {
        /// The index that the log goes on at.
        expected: u64,
        /// The index that was given.
        found: u64,
    },

    /// An earlier write or sync failed; since then the store answers nothing.
    #[error("the store refuses everything since an earlier failure: {cause}")]
    Poisoned {
        /// The first failure, in its own words.
        cause: String,
    },
}

impl StorageError {
    /// Damage that only a rebuild from the quorum heals.
    pub fn damaged(what: impl Into<String>, at: Place, detail: impl Into<String>) -> Self {
        StorageError::Damaged { what: what.into(), at, detail: detail.into(), remedy: REBUILD_FROM_QUORUM }
    }

    /// A failure of the disk or the engine while it tried to `action`.
    pub fn io(action: impl Into<String>, detail: impl fmt::Display) -> Self {
        StorageError::Io { action: action.into(), detail: detail.to_string() }
    }

    /// Whether what rests on the disk is wrong, as against a disk that failed or a store that is merely newer.
    pub fn is_damage(&self) -> bool {
        matches!(self, StorageError::Damaged { .. })
    }
}

/// Where in a file or a key space something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// An index of the Raft log.
    Index(u64),
    /// A revision of the journal.
    Revision(u64),
    /// A byte of a file.
    Offset(u64),
    /// A single value that is known by its name.
    Key(&'static str),
    /// Not told by what found it; the detail may say more.
    Unknown,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Index(index) => write!(formatter, "index {index}"),
            Place::Revision(revision) => write!(formatter, "revision {revision}"),
            Place::Offset(offset) => write!(formatter, "byte {offset}"),
            Place::Key(name) => write!(formatter, "`{name}`"),
            Place::Unknown => formatter.write_str("an unknown place"),
        }
    }
}
