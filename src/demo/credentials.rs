//! What whoever uses the demo must know. It rests in the demo's folder, for its owner alone.

use std::path::{Path, PathBuf};

use bursar_net::{DiskFiles, FileError, Files};
use bursar_wire::Credentials;

use super::DemoError;

const CREDENTIALS_FILE: &str = "credentials.json";
/// The token alone, as the operators' commands read it.
const TOKEN_FILE: &str = "token";
const FILE_BYTES_MAX: usize = 64 * 1024;

/// The file with all of it.
pub fn file(folder: &Path) -> PathBuf {
    folder.join(CREDENTIALS_FILE)
}

/// The file with the token alone.
pub fn token_file(folder: &Path) -> PathBuf {
    folder.join(TOKEN_FILE)
}

/// Those of a demo whose administrator was made.
pub fn read(folder: &Path) -> Result<Option<Credentials>, DemoError> {
    let path = file(folder);
    match DiskFiles.read_private(&path, FILE_BYTES_MAX) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| DemoError::Credentials(path)),
        Err(FileError::NotFound { .. }) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

/// Writes them down.
pub fn write(folder: &Path, credentials: &Credentials) -> Result<(), DemoError> {
    let json = serde_json::to_vec_pretty(credentials).expect("credentials can be written as JSON");
    DiskFiles.write_atomic(&token_file(folder), credentials.token.expose().as_bytes())?;
    Ok(DiskFiles.write_atomic(&file(folder), &json)?)
}
