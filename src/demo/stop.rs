//! `bursar demo --stop`: ends what a demo has left running.

use std::path::Path;

use bursar_net::{DiskFiles, FileError, Files};

use super::{
    DemoError, END_TIMEOUT, LOCK_FILE,
    holder::Holder,
    places::{self, Place},
};

/// Ends the demo of a folder: whoever stays with its processes, and the processes, whoever started them. Says what it ended, and
/// returns when all of it has ended.
pub async fn stop(folder: &Path) -> Result<(), DemoError> {
    let lock = folder.join(LOCK_FILE);
    if !DiskFiles.exists(&lock)? {
        return Err(DemoError::NoDemo(folder.to_owned()));
    }
    let mut running = running(folder)?;
    // It ends its processes itself, and would report each that ends before.
    if let Some(demo) = Holder::of(&lock, &["demo"])? {
        demo.end(END_TIMEOUT.saturating_mul(one_after_the_other(&running))).await;
        println!("ended the demo (pid {})", demo.pid());
    }
    // What it started until then.
    for (place, late) in self::running(folder)? {
        if running.iter().all(|(_, known)| known.pid() != late.pid()) {
            running.push((place, late));
        }
    }
    for (place, holder) in &running {
        holder.end(END_TIMEOUT).await;
        println!("ended {place} (pid {})", holder.pid());
    }
    require_free(folder)?;
    if running.is_empty() {
        println!("no process of the demo in {} runs", folder.display());
    }
    Ok(())
}

/// How many times as long as one process the demo may take, which ends them one after the other, and then itself.
fn one_after_the_other(running: &[(Place, Holder)]) -> u32 {
    u32::try_from(running.len()).expect("a handful of processes") + 1
}

/// The processes that run, authority nodes first: nobody is left then to whom a storage server that ends is missing.
fn running(folder: &Path) -> Result<Vec<(Place, Holder)>, DemoError> {
    let mut running = Vec::new();
    for place in places::made(folder)? {
        if let Some(holder) = place.holder()? {
            running.push((place, holder));
        }
    }
    Ok(running)
}

/// Refuses where something is still held, by what is no process of the demo.
fn require_free(folder: &Path) -> Result<(), DemoError> {
    for place in places::made(folder)? {
        // Whatever else is the matter with it, nobody holds it.
        if let Err(FileError::Locked { path, pid }) = DiskFiles.lock(&place.lock()) {
            return Err(DemoError::Held { path, pid });
        }
    }
    Ok(())
}
