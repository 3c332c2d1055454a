//! Making the directory of a store point, once.
//!
//! [`prepare`] makes it aside and gives it its identity there; when all of that is durable it is noted as made, and then
//! [`Prepared::give_name`] gives it its name. So a directory of that name either is no store point's, or is whole; and what was
//! noted is either there, or aside, or has vanished. What an interruption left aside is cleared away by the next attempt, or where
//! it was noted gets its name by the next check.
//!
//! Both steps touch the store point's disk alone, and the note between them the server's own: so whoever waits for them knows
//! which disk is slow.

use std::io;

use bursar_domain::store_point::CreationFailure;
use bursar_net::{Folder, Volumes};

use super::{
    Place,
    identity::{DirectoryIdentity, IDENTITY_FILE, Whose, whose},
};

/// A directory that is whole, and has yet to be noted.
pub(super) struct Prepared {
    /// Where it is, held open.
    outer: Box<dyn Folder>,
    /// Whether it is still aside.
    is_aside: bool,
}

/// Makes it aside, with a random `id`, unless it is there already.
pub(super) fn prepare(volumes: &dyn Volumes, place: &Place, id: [u8; 16]) -> Result<Prepared, CreationFailure> {
    let outer = volumes.open(&place.path).map_err(of_path)?;
    match outer.open(&place.directory) {
        Ok(there) if whose(&*there, place.owner).map_err(of_writing)? == Whose::Own(place.store_point) => {
            Ok(Prepared { outer, is_aside: false })
        }
        Ok(_) => Err(CreationFailure::DirectoryExists),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(CreationFailure::DirectoryExists),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            clear_aside(&*outer, place)?;
            make_aside(&*outer, place, id).map_err(of_writing)?;
            bursar_net::point!("store-point.aside");
            Ok(Prepared { outer, is_aside: true })
        }
        Err(error) => Err(of_writing(error)),
    }
}

impl Prepared {
    /// Gives it its name, where it has none yet; on return that is durable.
    pub(super) fn give_name(self, place: &Place) -> Result<(), CreationFailure> {
        if self.is_aside {
            self.outer.rename_new(&aside_of(place), &place.directory).map_err(of_writing)?;
        }
        bursar_net::point!("store-point.named");
        self.outer.sync().map_err(of_writing)
    }
}

/// The directory that was made aside and interrupted there; an error of the kind `NotFound` where there is none.
pub(super) fn unnamed(outer: &dyn Folder, place: &Place) -> io::Result<Box<dyn Folder>> {
    let aside = outer.open(&aside_of(place))?;
    if whose(&*aside, place.owner)? != Whose::Own(place.store_point) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(aside)
}

/// Gives it its name.
pub(super) fn finish(outer: &dyn Folder, place: &Place) -> io::Result<Box<dyn Folder>> {
    let aside = unnamed(outer, place)?;
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
