//! Files that a program, not a person, writes in TOML. In each, the number of its format stands first.

use std::path::{Path, PathBuf};

use serde::{Serialize, de::DeserializeOwned};

use super::{FileError, Files};

/// The format that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;
/// The largest such file.
const BYTES_MAX: usize = 64 * 1024;

/// Why a file that a program keeps cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Not what its format promises.
    #[error("{} is damaged, or another program's; {remedy}. {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What to do about it.
        remedy: &'static str,
        /// What is wrong; with the line where the text is no TOML.
        source: Box<toml::de::Error>,
    },
    /// Written by a newer program.
    #[error("{} has format {found}, this program reads up to {FORMAT}: run the newer program", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// A format that no program ever wrote.
    #[error("{} is damaged: it has format 0, which never was; {remedy}", path.display())]
    Never {
        /// The file.
        path: PathBuf,
        /// What to do about it.
        remedy: &'static str,
    },
}

/// As `contents` rest.
pub fn kept_to_toml<T: Serialize>(contents: &T) -> String {
    let contents = toml::to_string(contents).expect("what a program keeps can be written as TOML");
    format!("format = {FORMAT}\n{contents}")
}

/// What [`kept_to_toml`] made. In errors, `path` names the file, and `remedy` tells what to do where it is damaged.
pub fn kept_from_toml<T: DeserializeOwned>(path: &Path, bytes: &[u8], remedy: &'static str) -> Result<T, FormatError> {
    let malformed = |source| FormatError::Malformed { path: path.to_owned(), remedy, source: Box::new(source) };
    let mut contents: toml::Table = toml::from_str(&String::from_utf8_lossy(bytes)).map_err(malformed)?;
    // The format first: a newer one may have fields that this program does not know.
    let format = contents.remove("format").unwrap_or(toml::Value::Integer(0));
    match format.try_into().map_err(malformed)? {
        FORMAT => contents.try_into().map_err(malformed),
        0 => Err(FormatError::Never { path: path.to_owned(), remedy }),
        found => Err(FormatError::Newer { path: path.to_owned(), found }),
    }
}

/// Reads a file that [`kept_to_toml`] made, which is for its owner alone. `remedy` tells what to do where it is damaged.
pub fn read_kept<T, E>(files: &dyn Files, path: &Path, remedy: &'static str) -> Result<T, E>
where
    T: DeserializeOwned,
    E: From<FileError> + From<FormatError>,
{
    Ok(kept_from_toml(path, &files.read_private(path, BYTES_MAX)?, remedy)?)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    const REMEDY: &str = "restore it";

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Contents {
        number: u32,
    }

    fn read(text: &str) -> Result<Contents, FormatError> {
        kept_from_toml(Path::new("a-file"), text.as_bytes(), REMEDY)
    }

    #[test]
    fn a_format_is_told_before_the_fields_that_it_brings() {
        assert_eq!(read(&kept_to_toml(&Contents { number: 7 })).unwrap(), Contents { number: 7 });
        let newer = read("format = 2\nmore = \"things\"\n").unwrap_err();
        assert!(matches!(newer, FormatError::Newer { found: 2, .. }) && newer.to_string().contains("run the newer program"));
        for never in ["format = 0\nnumber = 7\n", "number = 7\n", ""] {
            let refused = read(never).unwrap_err();
            assert!(matches!(refused, FormatError::Never { .. }) && refused.to_string().ends_with(REMEDY), "{never:?}");
        }
    }

    #[test]
    fn what_its_format_does_not_promise_is_refused() {
        for malformed in ["format = 1\n", "format = 1\nnumber = 7\nmore = 1\n", "format = -1\n", "format = \"1\"\n", "\u{0}"] {
            let refused = read(malformed).unwrap_err();
            assert!(matches!(refused, FormatError::Malformed { .. }) && refused.to_string().contains(REMEDY), "{malformed:?}");
        }
    }
}
