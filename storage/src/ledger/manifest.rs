//! What a checkpoint says of itself: enough to know that all of it is there, and that it is the right one.

use bursar_domain::{Digest, Hash, Revision};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::applied::Applied;
use crate::envelope::{self, Kind, OpenError};

/// The envelope version of [`Manifest`].
const VERSION: u8 = 1;

/// The description of a checkpoint, on a disk as on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Where the state machine stood.
    pub applied: Applied,
    /// The digest of the state.
    pub digest: Digest,
    /// How many chunks there are.
    pub chunks: u32,
    /// How many items the chunks hold together.
    pub items: u64,
    /// The journal that belongs to it begins behind this revision.
    pub floor: Revision,
    /// The state at the floor. None at floor 0: there the fold begins with nothing.
    pub base: Option<BaseManifest>,
}

/// The description of the state at the floor of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseManifest {
    /// The hash of the record at the floor.
    pub head: Hash,
    /// The digest of the state.
    pub digest: Digest,
    /// How many chunks there are.
    pub chunks: u32,
    /// How many items the chunks hold together.
    pub items: u64,
}

impl Manifest {
    /// The framed bytes.
    pub fn encode(&self) -> Bytes {
        envelope::pack(Kind::CheckpointManifest, VERSION, self)
    }

    /// What [`encode`](Self::encode) made.
    ///
    /// # Errors
    /// A frame that is damaged, newer, or of something else; a description that no checkpoint has.
    pub fn decode(frame: &[u8]) -> Result<Self, OpenError> {
        let manifest: Self = envelope::unpack(Kind::CheckpointManifest, VERSION, frame)?;
        manifest.validate().map_err(|detail| OpenError::Malformed { detail })?;
        Ok(manifest)
    }

    /// A journal begins no later than a checkpoint beside it; the state at its floor is sent to nobody, so no checkpoint has a base;
    /// every state has a header, so every checkpoint has an item and a chunk.
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.floor > self.applied.revision || self.base.is_some() {
            let (floor, revision) = (self.floor, self.applied.revision);
            return Err(format!(
                "a journal behind revision {floor} with a checkpoint at {revision}, or with a state at its floor"
            ));
        }
        if self.chunks == 0 || self.items == 0 {
            return Err("a checkpoint of nothing".into());
        }
        Ok(())
    }
}
