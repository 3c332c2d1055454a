//! The stamp of a store: its format, and the data directory that it belongs to. It is written when the store is made, never
//! again, and read before any other value: so a program never works on a layout that it does not know, and a node never on
//! what another one has promised.

use std::ops::ControlFlow;

use bursar_domain::StoreId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Batch, Direction, Engine, KeyRange, Space};
use crate::envelope::{self, Kind, OpenError};
use crate::{Place, StorageError};

const KEY: &[u8] = b"stamp";
const PLACE: Place = Place::Key("stamp");
/// The envelope version of [`Stamp`].
const VERSION: u8 = 1;

/// How stores of one kind are stamped.
#[derive(Debug, Clone, Copy)]
pub struct Stamping {
    /// The name of the store in errors.
    pub what: &'static str,
    /// The space that keeps the stamp.
    pub space: Space,
    /// The other spaces of the store.
    pub contents: &'static [Space],
    /// The format that this program writes, and the newest that it reads.
    pub format: u8,
}

impl Stamping {
    /// Makes a store of an empty engine: writes the stamp, and `first` with it, durably.
    ///
    /// # Errors
    /// An engine that is not empty, which is not changed; a failing engine.
    pub fn make(&self, engine: &dyn Engine, store: StoreId, mut first: Batch) -> Result<(), StorageError> {
        for space in self.contents.iter().chain([&self.space]) {
            let mut refuse = |_: &[u8], _: &[u8]| -> Result<ControlFlow<()>, StorageError> {
                Err(StorageError::NotEmpty { what: self.what, space: space.name() })
            };
            engine.scan(*space, KeyRange::ALL, Direction::Forward, &mut refuse)?;
        }
        first.put(self.space, KEY, Stamp { format: self.format, store }.encode());
        engine.write(&first)?;
        engine.sync()
    }

    /// Checks the stamp of a store that is to be opened as the one of `store`. Returns the format of what is in it.
    ///
    /// # Errors
    /// A newer format; another directory's store; damage, which includes a stamp that is missing; a failing engine.
    pub fn check(&self, engine: &dyn Engine, store: StoreId) -> Result<u8, StorageError> {
        let frame = engine.get(self.space, KEY)?;
        let frame = frame.ok_or_else(|| StorageError::damaged(self.what, PLACE, "it is missing"))?;
        let stamp = Stamp::decode(&frame).map_err(|error| error.at(self.what, PLACE))?;
        if stamp.format > self.format {
            return Err(StorageError::NewerFormat { what: self.what.into(), found: stamp.format, supported: self.format });
        }
        if stamp.store != store {
            return Err(StorageError::Foreign { what: self.what, found: stamp.store, expected: store });
        }
        Ok(stamp.format)
    }
}

/// The stamp itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stamp {
    pub(crate) format: u8,
    pub(crate) store: StoreId,
}

impl Stamp {
    pub(crate) fn encode(self) -> Bytes {
        envelope::pack(Kind::Stamp, VERSION, &self)
    }

    pub(crate) fn decode(frame: &[u8]) -> Result<Self, OpenError> {
        envelope::unpack(Kind::Stamp, VERSION, frame)
    }
}
