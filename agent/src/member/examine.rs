//! What is at a path that a store point is to get.

use std::{collections::BTreeSet, io, path::Path};

use bursar_domain::{
    AbsolutePath, StorePointId,
    store_point::{Findings, Found},
};
use bursar_net::{Folder, Space, Volumes};

use crate::store_points::{DIRECTORY_PREFIX, Owner, Whose, try_writing, whose};

/// Looks at `path`. It is written to only where nothing there belongs to anybody: a file is made and removed again.
///
/// # Errors
/// What stands at the path cannot be looked at, or its name cannot be told.
pub(super) fn examine(
    volumes: &dyn Volumes,
    path: &AbsolutePath,
    owner: Owner,
    known: &BTreeSet<StorePointId>,
) -> io::Result<Findings> {
    let nothing = |found| Findings {
        found,
        canonical_path: path.to_string(),
        writable: false,
        within: None,
        foreign_identity: false,
        free_bytes: 0,
    };
    let canonical = match volumes.canonical(Path::new(path.as_str())) {
        Ok(canonical) => canonical,
        Err(error) if is_nothing(&error) => return Ok(nothing(Found::Nothing)),
        Err(error) => return Err(error),
    };
    let canonical_path = canonical.to_str().ok_or_else(|| io::Error::other("it leads to a name that is no UTF-8"))?.to_owned();
    let folder = match volumes.open(&canonical) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Ok(Findings { canonical_path, ..nothing(Found::SomethingElse) });
        }
        Err(error) => return Err(error),
    };
    let (mut within, mut foreign_identity) = holds(&*folder, owner, known)?;
    for above in canonical.ancestors() {
        match whose(&*volumes.open(above)?, owner)? {
            Whose::Nobodys => {}
            Whose::Own(store_point) | Whose::Neighbours(store_point) => within = Some(store_point),
            Whose::Foreign => foreign_identity = true,
        }
    }
    let is_free = within.is_none() && !foreign_identity;
    let writable = is_free && try_writing(&*folder).is_ok();
    let Space { free, .. } = folder.space()?;
    Ok(Findings { found: Found::Directory, canonical_path, writable, within, foreign_identity, free_bytes: free })
}

/// Of which store point of the cluster there is a directory right in it, and whether there is one of nobody knows whom. A directory
/// of this server counts though it should be elsewhere, for its disk may only be mounted here; those that this server has retired
/// stay where they are and stand in nobody's way.
fn holds(folder: &dyn Folder, owner: Owner, known: &BTreeSet<StorePointId>) -> io::Result<(Option<StorePointId>, bool)> {
    let (mut held, mut foreign_identity) = (None, false);
    for name in folder.names(DIRECTORY_PREFIX)? {
        let inner = match folder.open(&name) {
            Ok(inner) => inner,
            Err(error) if is_nothing(&error) => continue,
            Err(error) => return Err(error),
        };
        match whose(&*inner, owner)? {
            Whose::Own(store_point) if !known.contains(&store_point) => {}
            Whose::Own(store_point) | Whose::Neighbours(store_point) => held = Some(store_point),
            Whose::Foreign => foreign_identity = true,
            Whose::Nobodys => {}
        }
    }
    Ok((held, foreign_identity))
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
