//! How a store point is that was made.
//!
//! Nothing is written before the directory, which is held open, has proved to be the store point's own.

use std::io;

use bursar_domain::store_point::{OfflineReason, Report};
use bursar_net::{Folder, Space, Volumes};

use super::{
    Place,
    identity::{Whose, whose},
    make::{finish, unnamed},
};

/// The file that is written and removed again, to see whether that goes.
const TRIAL_FILE: &str = ".bursar-trial";

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Checked {
    pub report: Report,
    /// How much room there is, where that can be seen.
    pub space: Option<Space>,
}

/// Finds a directory that was made, and has no name yet.
type FindUnnamed = fn(&dyn Folder, &Place) -> io::Result<Box<dyn Folder>>;

/// Looks whether the directory is there, is the store point's own, and can be written to.
pub(super) fn check(volumes: &dyn Volumes, place: &Place) -> Checked {
    let folder = match prove(volumes, place, finish) {
        Ok(folder) => folder,
        Err(reason) => return Checked { report: Report::Offline(reason), space: None },
    };
    let written = try_writing(&*folder);
    let space = folder.space();
    let report = match (written.map_err(|error| error.kind()), &space) {
        (Err(io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied), _) => Report::Offline(OfflineReason::ReadOnly),
        // Restores go on.
        (Ok(()) | Err(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded), Ok(_)) => Report::Online,
        (Err(_), _) | (_, Err(_)) => Report::Offline(OfflineReason::IoFailing),
    };
    Checked { report, space: space.ok() }
}

/// Looks whether the directory is there and the store point's own, and leaves everything as it is.
pub(super) fn look(volumes: &dyn Volumes, place: &Place) -> Result<(), OfflineReason> {
    prove(volumes, place, unnamed).map(drop)
}

/// How many bytes it takes; nothing where it does not prove to be itself.
pub(super) fn measure(volumes: &dyn Volumes, place: &Place) -> Option<u64> {
    prove(volumes, place, finish).ok()?.used_bytes().ok()
}

/// The store point's directory, proven to be its own.
fn prove(volumes: &dyn Volumes, place: &Place, find_unnamed: FindUnnamed) -> Result<Box<dyn Folder>, OfflineReason> {
    let outer = volumes.open(&place.path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => OfflineReason::Missing,
        _ => OfflineReason::IoFailing,
    })?;
    let opened = match outer.open(&place.directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => find_unnamed(&*outer, place),
        opened => opened,
    };
    let folder = opened.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => OfflineReason::Missing,
        io::ErrorKind::ReadOnlyFilesystem => OfflineReason::ReadOnly,
        io::ErrorKind::NotADirectory => OfflineReason::ForeignIdentity,
        _ => OfflineReason::IoFailing,
    })?;
    match whose(&*folder, place.owner) {
        Ok(Whose::Own(store_point)) if store_point == place.store_point => Ok(folder),
        Ok(Whose::Own(_) | Whose::Neighbours(_) | Whose::Foreign | Whose::Nobodys) => Err(OfflineReason::ForeignIdentity),
        Err(_) => Err(OfflineReason::IoFailing),
    }
}

/// Writes a file into `folder`, has it reach the disk, and removes it again.
pub(crate) fn try_writing(folder: &dyn Folder) -> io::Result<()> {
    remove_trial(folder)?;
    let written = folder.write_new(TRIAL_FILE, b"written to see whether that goes, and removed again\n");
    // What was half written goes first; the failure that counts is that of writing.
    let removed = remove_trial(folder);
    written.and(removed)
}

fn remove_trial(folder: &dyn Folder) -> io::Result<()> {
    match folder.remove(TRIAL_FILE) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
