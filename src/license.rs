//! The file with the master license key, as the commands that make machines take it.

use std::path::{Path, PathBuf};

use bursar_net::{FileError, Files, LicenseKeyError, MasterLicenseKey};

const FILE_BYTES_MAX: usize = 16 * 1024;

/// Why a file gives no master license key.
#[derive(Debug, thiserror::Error)]
pub enum LicenseFileError {
    /// It cannot be read, or others may read it too.
    #[error("{0}; --license-key-file names the file with the fleet's master license key, for its owner alone")]
    File(#[from] FileError),
    /// It holds something else.
    #[error("{}: {source}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// What is wrong with its contents.
        source: LicenseKeyError,
    },
}

/// Reads the master license key from a file that its owner alone may read.
pub fn read_license_key(files: &dyn Files, file: &Path) -> Result<MasterLicenseKey, LicenseFileError> {
    let bytes = files.read_private(file, FILE_BYTES_MAX)?;
    let key = MasterLicenseKey::parse(&String::from_utf8_lossy(&bytes));
    key.map_err(|source| LicenseFileError::Key { file: file.to_owned(), source })
}
