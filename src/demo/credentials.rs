//! What whoever uses the demo must know. It rests in the demo's folder, for its owner alone.

use std::path::{Path, PathBuf};

use bursar_net::{DiskFiles, FileError, Files};
use serde::{Deserialize, Serialize};

use super::DemoError;

const CREDENTIALS_FILE: &str = "credentials.json";
/// The token alone, as the operators' commands read it.
const TOKEN_FILE: &str = "token";
const FILE_BYTES_MAX: usize = 64 * 1024;

/// Where the demo's nodes answer, and to whom.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The first node's API.
    pub url: String,
    /// Every node's API.
    pub urls: Vec<String>,
    /// The administrator's token.
    pub token: String,
}

impl Credentials {
    /// The file with all of it.
    pub fn file(folder: &Path) -> PathBuf {
        folder.join(CREDENTIALS_FILE)
    }

    /// The file with the token alone.
    pub fn token_file(folder: &Path) -> PathBuf {
        folder.join(TOKEN_FILE)
    }

    /// Those of a demo whose administrator was made.
    pub fn read(folder: &Path) -> Result<Option<Self>, DemoError> {
        let path = Self::file(folder);
        match DiskFiles.read_private(&path, FILE_BYTES_MAX) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| DemoError::Credentials(path)),
            Err(FileError::NotFound { .. }) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    /// Writes them down.
    pub fn write(&self, folder: &Path) -> Result<(), DemoError> {
        let json = serde_json::to_vec_pretty(self).expect("credentials can be written as JSON");
        DiskFiles.write_atomic(&Self::token_file(folder), self.token.as_bytes())?;
        Ok(DiskFiles.write_atomic(&Self::file(folder), &json)?)
    }
}
