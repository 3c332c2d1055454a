//! Why a data directory cannot be used, and what to do about it.

use std::path::PathBuf;

use bursar_domain::ClusterId;
use bursar_net::{CertificateError, FileError, FormatError, SealError, SettingsError};

use crate::authority::{config::Unusable, stores::StoreError};

/// What to do about a file that a node keeps about itself and cannot use.
pub(super) const RESTORE: &str = "restore it from a backup, or rebuild this node from the quorum under a new id";

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The settings.
    #[error(transparent)]
    Config(#[from] SettingsError<Unusable>),
    /// There is something in it already.
    #[error("{} holds a node already: start it with `bursar authority run`, or choose an empty directory", .0.display())]
    NotEmpty(PathBuf),
    /// There is something else in it.
    #[error("{} is not empty, it holds {name}: choose an empty directory", path.display())]
    Occupied {
        /// The directory.
        path: PathBuf,
        /// A file or directory in it.
        name: String,
    },
    /// There is nothing in it.
    #[error("{} holds no authority node: make one with `bursar authority init` or `bursar authority join`", .0.display())]
    Empty(PathBuf),
    /// A file that the node keeps about itself.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A certificate or a key.
    #[error("{files} cannot be used: {source}; {RESTORE}")]
    Certificate {
        /// The file, or the files of which one is wrong.
        files: String,
        /// What is wrong.
        source: CertificateError,
    },
    /// The cluster key.
    #[error("{path} cannot be used: {source}; {RESTORE}")]
    ClusterKey {
        /// The file.
        path: String,
        /// What is wrong.
        source: SealError,
    },
    /// A file is another node's or another cluster's, or damaged in a way that still reads.
    #[error("{path} says {found}, and it must be {expected}; {RESTORE}")]
    Foreign {
        /// The file.
        path: String,
        /// Whose it is, as it reads.
        found: String,
        /// Whose it must be, as other files or the ledger say.
        expected: String,
    },
    /// One of its stores.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The command that founds another cluster than the directory's own.
    #[error(
        "{} founds cluster {found}, this directory belongs to cluster {expected}: an interrupted `bursar authority init` left \
         it behind; remove the file", .path.display()
    )]
    ForeignFounding {
        /// The file.
        path: PathBuf,
        /// What it would found.
        found: ClusterId,
        /// Whose the directory is.
        expected: ClusterId,
    },
    /// The command that founds the cluster does not read.
    #[error("{} is damaged: the cluster is not founded yet, so erase this directory, and run `bursar authority init` again", .0.display())]
    Founding(PathBuf),
    /// The setup secret is not the cluster's.
    #[error(
        "{} is damaged: it is not the cluster's setup secret. Restore it from a copy; if there is none, nobody can become the first \
         administrator: erase this directory, and run `bursar authority init` again", .0.display()
    )]
    SetupSecret(PathBuf),
    /// The master license key is not the cluster's.
    #[error("{} is damaged: it is not the cluster's master license key. Restore it from the copy in a safe place", .0.display())]
    LicenseKey(PathBuf),
    /// What an interrupted join left behind.
    #[error("{} is damaged: remove it, and join with a new token", .0.display())]
    Joining(PathBuf),
    /// The members that a node was told of when it joined. It runs without them.
    #[error("{} is damaged: remove it, the node runs without it, and waits until another node calls it", .0.display())]
    Members(PathBuf),
}
