//! `bursar demo --stop`: ends what a demo has left running.

use std::{path::Path, time::Duration};

use bursar_net::{DiskFiles, FileError, Files};

use super::{DemoError, END_TIMEOUT, LOCK_FILE, holder::Holder, places, process::holder_of};
use crate::{
    World,
    authority::{DataDirectory, DirectoryError},
};

/// How long whoever stays with a demo's nodes may take to end: it ends them one after the other.
const DEMO_END_TIMEOUT: Duration = END_TIMEOUT.saturating_mul(4);

/// Ends the demo of a folder: whoever stays with its nodes, and the nodes, whoever started them. Says what it ended, and
/// returns when all of it has ended.
pub async fn stop(folder: &Path) -> Result<(), DemoError> {
    let lock = folder.join(LOCK_FILE);
    if !DiskFiles.exists(&lock)? {
        return Err(DemoError::NoDemo(folder.to_owned()));
    }
    let mut running = nodes(folder)?;
    // It ends its nodes itself, and would report each that ends before.
    if let Some(demo) = Holder::of(&lock, &["demo"])? {
        demo.end(DEMO_END_TIMEOUT).await;
        println!("ended the demo (pid {})", demo.pid());
    }
    // What it started until then.
    for (node, late) in nodes(folder)? {
        if running.iter().all(|(_, known)| known.pid() != late.pid()) {
            running.push((node, late));
        }
    }
    for (node, holder) in &running {
        holder.end(END_TIMEOUT).await;
        println!("ended authority node {node} (pid {})", holder.pid());
    }
    require_free(folder)?;
    if running.is_empty() {
        println!("no node of the demo in {} runs", folder.display());
    }
    Ok(())
}

fn nodes(folder: &Path) -> Result<Vec<(u64, Holder)>, DemoError> {
    let mut nodes = Vec::new();
    for (node, directory) in places::directories(folder) {
        if let Some(holder) = holder_of(&directory)? {
            nodes.push((node, holder));
        }
    }
    Ok(nodes)
}

/// Refuses where a node is still held, by something that is no process of the demo.
fn require_free(folder: &Path) -> Result<(), DemoError> {
    for (_, directory) in places::directories(folder) {
        if DataDirectory::exists(&World::real(), &directory)? {
            // Whatever else is the matter with it, nobody holds it.
            if let Err(DirectoryError::File(FileError::Locked { path, pid })) = DataDirectory::open(&World::real(), &directory) {
                return Err(DemoError::Held { path, pid });
            }
        }
    }
    Ok(())
}
