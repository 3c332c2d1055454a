//! The nouns' commands, one file each.

pub(crate) mod cluster;
pub(crate) mod destinations;
pub(crate) mod events;
pub(crate) mod operations;
pub(crate) mod sites;
pub(crate) mod tokens;

use std::{fmt::Display, str::FromStr};

use bursar_wire::objects::Stamp;

/// A whole number within bounds.
pub(crate) fn within<T>(least: T, most: T, text: &str) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    let number = text.parse().ok().filter(|number| (&least..=&most).contains(&number));
    number.ok_or_else(|| format!("must be from {least} to {most}"))
}

/// When and by whom, in a few words.
pub(crate) fn stamped(stamp: &Stamp) -> String {
    format!("{} by {}, at {}", stamp.at, stamp.by, stamp.revision)
}
