//! Why a data directory cannot be used, and what to do about it.

use std::path::PathBuf;

use bursar_net::{CertificateError, FileError, FormatError, SettingsError};

use crate::{membership::MembershipFault, settings::SettingsFault};

/// What to do about a file that the server keeps about itself and cannot use.
pub(super) const RESTORE: &str = "restore it from a backup, or make this server anew in an empty directory";

/// Why a storage server's data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The settings.
    #[error(transparent)]
    Settings(#[from] SettingsError<SettingsFault>),
    /// A file that the server keeps about itself.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// There is a server in it already.
    #[error(
        "{0} holds a server already: where it is a storage server that has not joined yet, `bursar storage-server \
         connection-string --dir {0}` issues its connection string; for a new one choose an empty directory", path.display()
    )]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// There is something else in it.
    #[error("{} is not empty, it holds {name}: choose an empty directory", path.display())]
    Occupied {
        /// The directory.
        path: PathBuf,
        /// A file or directory in it.
        name: String,
    },
    /// There is nothing in it.
    #[error("{} holds no storage server: make one with `bursar storage-server init`", .0.display())]
    Empty(PathBuf),
    /// A certificate or a key.
    #[error("{files} cannot be used: {source}; {RESTORE}")]
    Certificate {
        /// The file, or the files of which one is wrong.
        files: String,
        /// What is wrong.
        source: CertificateError,
    },
    /// What makes the server a member.
    #[error("{files} cannot be used: {source}; {RESTORE}")]
    Membership {
        /// The files of which one is wrong.
        files: String,
        /// What is wrong.
        source: MembershipFault,
    },
    /// Somebody else has hold of the connection string that stands.
    #[error(
        "the connection string of the storage server in {} is being replaced, or the server is just being taken in with it: try \
         again in a moment", .0.display()
    )]
    StandingHeld(PathBuf),
    /// A connection string was asked for, and none is needed.
    #[error(
        "the storage server in {} belongs to a cluster already, and needs no connection string: `bursar storage-server run` \
         runs it", .0.display()
    )]
    Member(PathBuf),
    /// Two files that belong together do not.
    #[error("{files} do not belong together, one of them was exchanged or is damaged; {RESTORE}")]
    AtOdds {
        /// The files.
        files: String,
    },
}
