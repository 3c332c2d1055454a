//! Making the directory of a store point, once.
//!
//! It is made aside and gets its identity there; when all of that is durable it is noted as made, and then it gets its name. So a
//! directory of that name either is no store point's, or is whole; and what was noted is either there, or aside, or has vanished.
//! What an interruption left aside is cleared away by the next attempt, or where it was noted gets its name by the next check.

use std::io;

use bursar_domain::store_point::CreationFailure;
use bursar_net::{Folder, Volumes};

use super::{
    Place,
    identity::{DirectoryIdentity, IDENTITY_FILE, Whose, whose},
    made::{Made, MadeError},
};

/// Why there is no directory.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unmade {
    /// It cannot be made.
    #[error("{0:?}")]
    Failed(CreationFailure),
    /// Whether it was made cannot be told, or not be kept; so it was not.
    #[error(transparent)]
    Unnoted(#[from] MadeError),
}

impl From<CreationFailure> for Unmade {
    fn from(failure: CreationFailure) -> Self {
        Self::Failed(failure)
    }
}

/// Makes it, with a random `id`, unless it was made before: what has become of it since is for the checks to tell.
pub(super) fn make(volumes: &dyn Volumes, place: &Place, id: [u8; 16], made: &Made) -> Result<(), Unmade> {
    if made.holds(place.store_point)? {
        return Ok(());
    }
    let outer = volumes.open(&place.path).map_err(of_path)?;
    match outer.open(&place.directory) {
        Ok(there) if whose(&*there, place.owner).map_err(of_writing)? == Whose::Own(place.store_point) => {
            made.note(place.store_point)?;
        }
        Ok(_) => return Err(CreationFailure::DirectoryExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(CreationFailure::DirectoryExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            clear_aside(&*outer, place)?;
            make_aside(&*outer, place, id).map_err(of_writing)?;
            bursar_net::point!("store-point.aside");
            made.note(place.store_point)?;
            bursar_net::point!("store-point.noted");
            outer.rename_new(&aside_of(place), &place.directory).map_err(of_writing)?;
        }
        Err(error) => return Err(of_writing(error).into()),
    }
    bursar_net::point!("store-point.named");
    Ok(outer.sync().map_err(of_writing)?)
}

/// Gives a directory its name that was made aside and interrupted there; an error of the kind `NotFound` where there is none.
pub(super) fn finish(outer: &dyn Folder, place: &Place) -> io::Result<Box<dyn Folder>> {
    let aside = outer.open(&aside_of(place))?;
    if whose(&*aside, place.owner)? != Whose::Own(place.store_point) {
        return Err(io::ErrorKind::NotFound.into());
    }
    outer.rename_new(&aside_of(place), &place.directory)?;
    outer.sync()?;
    Ok(aside)
}

fn make_aside(outer: &dyn Folder, place: &Place, id: [u8; 16]) -> io::Result<()> {
    let aside = aside_of(place);
    outer.create(&aside)?;
    let made = outer.open(&aside)?;
    made.write_new(IDENTITY_FILE, DirectoryIdentity::of(place, id).to_file().as_bytes())?;
    made.sync()?;
    outer.sync()
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
