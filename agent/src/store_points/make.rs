//! Making the directory of a store point, once.
//!
//! It is made aside, gets its identity there, and then its name: a directory of that name either is no store point's, or is
//! whole. What an interruption left aside is cleared away by the next attempt.

use std::io;

use bursar_domain::store_point::CreationFailure;
use bursar_net::{Folder, Volumes};

use super::{
    Place,
    identity::{DirectoryIdentity, IDENTITY_FILE, Whose, whose},
};

/// Makes it, with a random `id`; where an interrupted attempt came to its end already, that is it.
pub(super) fn make(volumes: &dyn Volumes, place: &Place, id: [u8; 16]) -> Result<(), CreationFailure> {
    let outer = volumes.open(&place.path).map_err(of_path)?;
    match outer.open(&place.directory) {
        Ok(there) if whose(&*there, place.owner).map_err(of_writing)? == Whose::Own(place.store_point) => {}
        Ok(_) => return Err(CreationFailure::DirectoryExists),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(CreationFailure::DirectoryExists),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            clear_aside(&*outer, place)?;
            make_new(&*outer, place, id).map_err(of_writing)?;
        }
        Err(error) => return Err(of_writing(error)),
    }
    outer.sync().map_err(of_writing)
}

fn make_new(outer: &dyn Folder, place: &Place, id: [u8; 16]) -> io::Result<()> {
    let aside = aside_of(place);
    outer.create(&aside)?;
    let made = outer.open(&aside)?;
    made.write_new(IDENTITY_FILE, DirectoryIdentity::of(place, id).to_file().as_bytes())?;
    made.sync()?;
    outer.rename_new(&aside, &place.directory)
}

/// Removes what an interrupted attempt left aside: its own, and nothing else.
fn clear_aside(outer: &dyn Folder, place: &Place) -> Result<(), CreationFailure> {
    let aside = aside_of(place);
    let left = match outer.open(&aside) {
        Ok(left) => left,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(of_writing(error)),
    };
    if let Err(error) = left.remove(IDENTITY_FILE)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(of_writing(error));
    }
    outer.remove_empty(&aside).map_err(of_writing)
}

fn aside_of(place: &Place) -> String {
    format!(".{}.{}.making", place.directory, place.owner.cluster)
}

/// What it means that the path itself cannot be opened.
fn of_path(error: io::Error) -> CreationFailure {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => CreationFailure::PathMissing,
        io::ErrorKind::PermissionDenied => CreationFailure::NotWritable,
        _ => CreationFailure::IoFailing,
    }
}

/// What it means that something in it fails. A disk that is full cannot be written to either.
fn of_writing(error: io::Error) -> CreationFailure {
    match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory => {
            CreationFailure::DirectoryExists
        }
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded => CreationFailure::NotWritable,
        _ => CreationFailure::IoFailing,
    }
}
