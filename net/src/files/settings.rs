//! Files with settings, in TOML, which people edit.

use std::{error::Error, path::Path};

use serde::{Serialize, de::DeserializeOwned};

use super::{FileError, Files};

/// Where the settings rest within a data directory.
pub const SETTINGS_FILE: &str = "bursar.toml";
const BYTES_MAX: usize = 64 * 1024;

/// Settings that rest in [`SETTINGS_FILE`]. Those that are not known should be refused.
pub trait CheckedSettings: Serialize + DeserializeOwned {
    /// Why values cannot be, or do not go together, and what to do.
    type Fault: Error + 'static;

    /// Refuses values that cannot be, or do not go together.
    fn check(&self) -> Result<(), Self::Fault>;
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError<F: Error + 'static> {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not what it must be.
    #[error("{file} is not understood; correct it, or restore it from a backup. {source}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong, with the line.
        source: Box<toml::de::Error>,
    },
    /// Values that cannot be, or do not go together.
    #[error("{file}: {source}")]
    Unusable {
        /// The file.
        file: String,
        /// What is wrong, and what to do.
        source: F,
    },
}

/// Reads the settings of a data directory, and checks them.
pub fn read_settings<S: CheckedSettings>(files: &dyn Files, directory: &Path) -> Result<S, SettingsError<S::Fault>> {
    let path = directory.join(SETTINGS_FILE);
    let file = path.display().to_string();
    let bytes = files.read(&path, BYTES_MAX)?;
    let settings: S = toml::from_str(&String::from_utf8_lossy(&bytes))
        .map_err(|source| SettingsError::Malformed { file: file.clone(), source: Box::new(source) })?;
    settings.check().map_err(|source| SettingsError::Unusable { file, source })?;
    Ok(settings)
}

/// Writes the settings into a data directory.
pub fn write_settings(files: &dyn Files, directory: &Path, settings: &impl CheckedSettings) -> Result<(), FileError> {
    files.write_atomic(&directory.join(SETTINGS_FILE), settings_to_toml(settings).as_bytes())
}

/// As settings rest.
pub fn settings_to_toml(settings: &impl CheckedSettings) -> String {
    toml::to_string_pretty(settings).expect("settings can be written as TOML")
}
