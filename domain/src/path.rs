//! Paths on a storage server's disks.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::rejection::{FieldFault, Rejection};

/// The most bytes in a path: `PATH_MAX` of Linux, with its closing zero.
pub const PATH_BYTES_MAX: usize = 4_095;

/// A path from the root, in the one spelling that has no `.` or `..`, no doubled and no closing slash. Only the shape is
/// checked here; what is there, the server finds out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AbsolutePath(String);

impl AbsolutePath {
    /// Checks a path given for `field`.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Rejection> {
        let is_part = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.chars().any(char::is_control);
        let well_formed = text.len() <= PATH_BYTES_MAX
            && text.strip_prefix('/').is_some_and(|rest| rest.is_empty() || rest.split('/').all(is_part));
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(Rejection::InvalidField { field: field.to_owned(), fault: FieldFault::NoPath })
        }
    }

    /// The path of `name` right under this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self(format!("{}/{name}", self.0.trim_end_matches('/')))
    }

    /// Whether `other` is this path, or lies below it.
    pub fn holds(&self, other: &Self) -> bool {
        let below = other.0.strip_prefix(self.0.trim_end_matches('/'));
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// As given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> AbsolutePath {
        AbsolutePath::parse("path", text).expect("a proper path")
    }

    #[test]
    fn a_path_has_one_spelling() {
        for text in ["/", "/data", "/data/a b/ö", "/..."] {
            assert_eq!(path(text).as_str(), text);
        }
        let too_long = format!("/{}", "x".repeat(PATH_BYTES_MAX));
        for text in
            ["", "data", "./data", "/data/", "//data", "/data//a", "/data/.", "/data/../a", "/a\nb", "C:\\data", &too_long]
        {
            assert!(AbsolutePath::parse("path", text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_path_holds_itself_and_what_lies_below() {
        for (outer, inner) in [("/data", "/data"), ("/data", "/data/a/b"), ("/", "/"), ("/", "/data")] {
            assert!(path(outer).holds(&path(inner)), "{outer} {inner}");
        }
        for (outer, inner) in [("/data", "/data2"), ("/data/a", "/data"), ("/data", "/")] {
            assert!(!path(outer).holds(&path(inner)), "{outer} {inner}");
        }
        assert_eq!(path("/data").child("a"), path("/data/a"));
        assert_eq!(path("/").child("a"), path("/a"));
    }
}
