//! The nouns' commands, one file each.

pub(crate) mod alerts;
pub(crate) mod cluster;
pub(crate) mod destinations;
pub(crate) mod events;
pub(crate) mod operations;
pub(crate) mod servers;
pub(crate) mod sites;
pub(crate) mod store_points;
pub(crate) mod tokens;

use std::{fmt::Display, str::FromStr};

use bursar_wire::objects::{NamedObject, Stamp};

/// A whole number within bounds.
pub(crate) fn within<T>(least: T, most: T, text: &str) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    let number = text.parse().ok().filter(|number| (&least..=&most).contains(&number));
    number.ok_or_else(|| format!("must be from {least} to {most}"))
}

/// A flag of an object, as a person sets it.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off".to_owned()),
    }
}

/// The same, as a person reads it.
pub(crate) const fn on_or_off(value: bool) -> &'static str {
    if value { "on" } else { "off" }
}

/// When and by whom, in a few words.
pub(crate) fn stamped(stamp: &Stamp) -> String {
    format!("{} by {}, at {}", stamp.at, stamp.by, stamp.revision)
}

/// What covers an alert: another one, or else a server by its maintenance.
pub(crate) fn cover(by: &NamedObject) -> String {
    match by.kind.as_str() {
        "server" => format!("maintenance of {by}"),
        _ => by.to_string(),
    }
}
