//! The format of a whole store: one value that is read before any other, so that a program never works on a layout that
//! it does not know.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::{Batch, Direction, Engine, KeyRange, Space};
use crate::envelope::{self, Kind};
use crate::{Place, StorageError};

const KEY: &[u8] = b"format";
const ENVELOPE_VERSION: u8 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreFormat {
    format: u8,
}

/// Writes the format number into an empty store, durably, or checks the one that is there.
///
/// `what` names the store in errors, `state` is the space that keeps the number, `supported` is the format that this
/// program writes and the newest that it reads. Returns the format of the store.
///
/// # Errors
/// A newer format; damage, which includes a store with contents and no format; a failing engine.
pub fn stamp_format(
    engine: &dyn Engine,
    what: &str,
    state: Space,
    contents: &[Space],
    supported: u8,
) -> Result<u8, StorageError> {
    let place = Place::Key("format");
    if let Some(frame) = engine.get(state, KEY)? {
        let found: StoreFormat =
            envelope::unpack(Kind::StoreFormat, ENVELOPE_VERSION, &frame).map_err(|error| error.at(what, place))?;
        return match found.format {
            found if found > supported => Err(StorageError::NewerFormat { what: what.into(), found, supported }),
            known => Ok(known),
        };
    }
    for space in contents.iter().chain([&state]) {
        let mut refuse = |_: &[u8], _: &[u8]| -> Result<ControlFlow<()>, StorageError> {
            Err(StorageError::damaged(what, place, format!("it is missing, yet there is data in {}", space.name())))
        };
        engine.scan(*space, KeyRange::ALL, Direction::Forward, &mut refuse)?;
    }
    let mut batch = Batch::new();
    let format = StoreFormat { format: supported };
    batch.put(state, KEY, envelope::pack(Kind::StoreFormat, ENVELOPE_VERSION, &format));
    engine.write(&batch)?;
    engine.sync()?;
    Ok(supported)
}
