//! What a storage server knows of the fleet, and up to where it has read the events: one small file.
//!
//! ```text
//! version u8 | BLAKE3 of version and payload, 32 bytes | payload: MessagePack
//! ```
//!
//! Projection and position are one file, so that one is never newer than the other. It is replaced as a whole: written aside,
//! synced, renamed. The checksum is looked at before the version, so that a flipped bit is damage and not a newer program.
//! Nothing in it is lost for good: a server without it reads the fleet anew from the authority.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bursar_domain::{Cursor, Hash, StoreId};
use bursar_net::{FileError, Files, frame};
use serde::{Deserialize, Serialize};

/// The largest projection that is kept, in bytes: 64 MiB.
pub const PROJECTION_BYTES_MAX: usize = 64 * 1024 * 1024;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 1 + 32;
/// Room for everything beside the projection.
const FILE_BYTES_MAX: usize = PROJECTION_BYTES_MAX + 4 * 1024;
/// What to do about a file that cannot be used.
const REMOVE: &str = "remove it and start the server: it reads the fleet anew from the authority";

/// Keeps the projection of one storage server.
///
/// Its calls block; a running server makes them through [`bursar_net::Blocking`], one at a time.
pub struct ProjectionFile {
    files: Arc<dyn Files>,
    path: PathBuf,
    store: StoreId,
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Up to where the events are in the projection.
    pub position: Cursor,
    /// Which encoding the projection has.
    pub schema: u32,
    /// The projection, encoded.
    pub projection: Vec<u8>,
}

/// Why a projection cannot be loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionFileError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// More than is kept.
    #[error("the projection has {bytes} bytes, at most {PROJECTION_BYTES_MAX} are kept")]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// Not what was written.
    #[error("{} is damaged: {detail}; {REMOVE}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        detail: String,
    },
    /// Written by a newer program.
    #[error("{} has version {found}, this program reads up to {VERSION}: run the newer program, or {REMOVE}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u8,
    },
    /// Another data directory's.
    #[error("{} belongs to the data directory with store id {found}, this one has {expected}; {REMOVE}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: StoreId,
        /// Whose it must be.
        expected: StoreId,
    },
}

/// The payload as it rests.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    store: StoreId,
    position: Cursor,
    schema: u32,
    #[serde(with = "serde_bytes")]
    projection: Vec<u8>,
}

impl ProjectionFile {
    /// The file at `path`, in the data directory with this store id.
    pub fn new(files: Arc<dyn Files>, path: PathBuf, store: StoreId) -> Self {
        Self { files, path, store }
    }

    /// What was saved last; nothing where nothing was ever saved.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged, newer than this program, or another directory's.
    pub fn load(&self) -> Result<Option<Saved>, ProjectionFileError> {
        if !self.files.exists(&self.path)? {
            return Ok(None);
        }
        let bytes = self.files.read_private(&self.path, FILE_BYTES_MAX)?;
        let Payload { store, position, schema, projection } = self.open(&bytes)?;
        if store != self.store {
            return Err(ProjectionFileError::Foreign { path: self.path.clone(), found: store, expected: self.store });
        }
        Ok(Some(Saved { position, schema, projection }))
    }

    /// Replaces what was saved. Whatever fails and whenever the power is cut, the file holds all of the old or all of the new;
    /// on return the new is durable.
    ///
    /// # Errors
    /// A projection that is too large, a file that cannot be written: which of the two the file holds then, tells the next
    /// [`load`](Self::load).
    pub fn save(&self, saved: Saved) -> Result<(), ProjectionFileError> {
        let Saved { position, schema, projection } = saved;
        if projection.len() > PROJECTION_BYTES_MAX {
            return Err(ProjectionFileError::TooLarge { bytes: projection.len() });
        }
        let bytes = seal(&Payload { store: self.store, position, schema, projection });
        Ok(self.files.write_atomic(&self.path, &bytes)?)
    }

    /// Where the file is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open(&self, bytes: &[u8]) -> Result<Payload, ProjectionFileError> {
        let damaged = |detail: String| ProjectionFileError::Damaged { path: self.path.clone(), detail };
        let Some((header, payload)) = bytes.split_at_checked(HEADER_BYTES) else {
            return Err(damaged(format!("it has {} bytes, fewer than its head", bytes.len())));
        };
        let version = header[0];
        if header[1..] != checksum(version, payload).0 {
            return Err(damaged("its checksum does not fit".to_owned()));
        }
        match version {
            VERSION => frame::decode(payload).map_err(|error| damaged(error.to_string())),
            0 => Err(damaged("it has version 0, which never was".to_owned())),
            found => Err(ProjectionFileError::Newer { path: self.path.clone(), found }),
        }
    }
}

fn seal(payload: &Payload) -> Vec<u8> {
    let payload = frame::encode(payload).expect("a projection can be written as MessagePack");
    [&[VERSION], checksum(VERSION, &payload).0.as_slice(), &payload].concat()
}

fn checksum(version: u8, payload: &[u8]) -> Hash {
    Hash::of(&[&[version], payload].concat())
}

#[cfg(test)]
mod tests;
