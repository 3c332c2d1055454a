//! To whom a directory belongs: `bursar-store-point.toml` within it.

use std::{io, path::Path};

use bursar_domain::{ClusterId, ServerId, StorePointId, hash::hex};
use bursar_net::Folder;
use serde::{Deserialize, Serialize};

use super::{Owner, Place};
use bursar_net::{kept_from_toml, kept_to_toml};

/// The file that tells.
pub(super) const IDENTITY_FILE: &str = "bursar-store-point.toml";
const FILE_BYTES_MAX: usize = 4 * 1024;

/// The identity of a store point's directory, written before the directory has its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DirectoryIdentity {
    pub cluster: ClusterId,
    pub server: ServerId,
    pub store_point: StorePointId,
    /// Random, so that a copy is known by its original's.
    #[serde(with = "hex")]
    pub id: [u8; 16],
}

/// To whom a directory belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// To nobody: it bears no identity.
    Nobodys,
    /// To this server, for a store point that it has or had.
    Own(StorePointId),
    /// To another server of the cluster, for a store point that it has or had.
    Neighbours(StorePointId),
    /// To another cluster, or nobody knows: its identity cannot be read.
    Foreign,
}

impl DirectoryIdentity {
    pub(super) fn of(place: &Place, id: [u8; 16]) -> Self {
        let Place { owner: Owner { cluster, server }, store_point, .. } = place;
        Self { cluster: *cluster, server: *server, store_point: *store_point, id }
    }

    /// As it rests.
    pub(super) fn to_file(&self) -> String {
        kept_to_toml(self)
    }
}

/// Looks to whom `folder` belongs, as `owner` sees it.
pub(crate) fn whose(folder: &dyn Folder, owner: Owner) -> io::Result<Whose> {
    let bytes = match folder.read(IDENTITY_FILE, FILE_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Whose::Nobodys),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => return Ok(Whose::Foreign),
        Err(error) => return Err(error),
    };
    // Whatever cannot be read is taken for another's, so nobody is told of a remedy.
    Ok(match kept_from_toml::<DirectoryIdentity>(Path::new(IDENTITY_FILE), &bytes, "") {
        Ok(DirectoryIdentity { cluster, server, store_point, .. }) if Owner { cluster, server } == owner => {
            Whose::Own(store_point)
        }
        Ok(DirectoryIdentity { cluster, store_point, .. }) if cluster == owner.cluster => Whose::Neighbours(store_point),
        Ok(_) | Err(_) => Whose::Foreign,
    })
}
