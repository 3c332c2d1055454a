//! What an authority node joins with, kept in the demo's folder until it has: once the authority has let a machine in, no other
//! invitation would do, and other nodes look for it at the addresses that it has named.

use std::path::PathBuf;

use bursar_net::{DiskFiles, FileError, Files};
use bursar_wire::invitation::Invitation;
use serde::{Deserialize, Serialize};

use super::{DemoError, places::Place};
use crate::authority::Config;

const FILE_BYTES_MAX: usize = 64 * 1024;

/// What a node joins with.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invited {
    /// The invitation.
    pub invitation: Invitation,
    /// The settings under which it uses that.
    pub config: Config,
}

impl Invited {
    /// What an interrupted start has left for a node. A file that cannot be understood is as good as none.
    pub fn read(place: &Place) -> Result<Option<Self>, DemoError> {
        match DiskFiles.read_private(&file(place), FILE_BYTES_MAX) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(FileError::NotFound { .. }) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    /// Keeps it.
    pub fn write(&self, place: &Place) -> Result<(), DemoError> {
        let json = serde_json::to_vec(self).expect("settings can be written as JSON");
        Ok(DiskFiles.write_atomic(&file(place), &json)?)
    }

    /// Forgets it: the node has joined.
    pub fn remove(place: &Place) -> Result<(), DemoError> {
        Ok(DiskFiles.remove(&file(place))?)
    }
}

/// Beside the data directory, in which nothing may be before the node is made.
fn file(place: &Place) -> PathBuf {
    place.directory.with_extension("invited")
}
