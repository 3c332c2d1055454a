//! What the processes of the demo are.

use serde::Serialize;

/// What a process of the demo is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It keeps the ledger, with the others of its kind.
    Authority,
    /// It keeps archives, on a disk of its own.
    StorageServer,
}

impl Role {
    /// With which words the program runs it.
    pub const fn run_words(self) -> [&'static str; 2] {
        match self {
            Self::Authority => ["authority", "run"],
            Self::StorageServer => ["storage-server", "run"],
        }
    }

    /// How the data directories of the role are called, but for the number.
    pub const fn directory_prefix(self) -> &'static str {
        match self {
            Self::Authority => "authority-",
            Self::StorageServer => "store-",
        }
    }

    /// What it logs, within its data directory.
    pub const fn log_file(self) -> &'static str {
        match self {
            Self::Authority => "node.log",
            Self::StorageServer => "server.log",
        }
    }
}
