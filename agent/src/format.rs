//! The number that stands first in each file of the data directory that a program, not a person, writes.

use std::path::{Path, PathBuf};

use serde::{Serialize, de::DeserializeOwned};

/// What to do about a file that the server keeps about itself and cannot use.
pub(crate) const RESTORE: &str = "restore it from a backup, or make this server anew in an empty directory";

/// The layout that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// Why a file of the directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Not what its format promises.
    #[error("{} is damaged, or another program's; {RESTORE}. {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
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
    #[error("{} is damaged: it has format 0, which never was; {RESTORE}", .0.display())]
    Never(PathBuf),
}

/// As `contents` rest.
pub(crate) fn to_toml<T: Serialize>(contents: &T) -> String {
    let contents = toml::to_string(contents).expect("the files of the directory can be written as TOML");
    format!("format = {FORMAT}\n{contents}")
}

/// What [`to_toml`] made; `path` names the file in errors.
pub(crate) fn from_toml<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, FormatError> {
    let malformed = |source| FormatError::Malformed { path: path.to_owned(), source: Box::new(source) };
    let mut contents: toml::Table = toml::from_str(&String::from_utf8_lossy(bytes)).map_err(malformed)?;
    // The format first: a newer layout may have fields that this program does not know.
    let format = contents.remove("format").unwrap_or(toml::Value::Integer(0));
    match format.try_into().map_err(malformed)? {
        FORMAT => contents.try_into().map_err(malformed),
        0 => Err(FormatError::Never(path.to_owned())),
        found => Err(FormatError::Newer { path: path.to_owned(), found }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Contents {
        number: u32,
    }

    fn read(text: &str) -> Result<Contents, FormatError> {
        from_toml(Path::new("a-file"), text.as_bytes())
    }

    #[test]
    fn a_format_is_told_before_the_fields_that_it_brings() {
        assert_eq!(read(&to_toml(&Contents { number: 7 })).unwrap(), Contents { number: 7 });
        let newer = read("format = 2\nmore = \"things\"\n").unwrap_err();
        assert!(matches!(newer, FormatError::Newer { found: 2, .. }) && newer.to_string().contains("run the newer program"));
        for never in ["format = 0\nnumber = 7\n", "number = 7\n", ""] {
            assert!(matches!(read(never), Err(FormatError::Never(_))), "{never:?}");
        }
    }

    #[test]
    fn what_its_format_does_not_promise_is_refused() {
        for malformed in ["format = 1\n", "format = 1\nnumber = 7\nmore = 1\n", "format = -1\n", "format = \"1\"\n", "\u{0}"] {
            let refused = read(malformed).unwrap_err();
            assert!(matches!(refused, FormatError::Malformed { .. }) && refused.to_string().contains(RESTORE), "{malformed:?}");
        }
    }
}
