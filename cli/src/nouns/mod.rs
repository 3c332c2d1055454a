//! The nouns' commands, one file each.

pub(crate) mod cluster;
pub(crate) mod destinations;
pub(crate) mod events;
pub(crate) mod operations;
pub(crate) mod sites;
pub(crate) mod tokens;

use bursar_wire::objects::Stamp;

/// When and by whom, in a few words.
pub(crate) fn stamped(stamp: &Stamp) -> String {
    format!("{} by {}, at {}", stamp.at, stamp.by, stamp.revision)
}
