//! Nodes that stand still.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::process::Signal;

use super::Fleet;

impl Fleet {
    /// Has a node stand still, and returns once it does. A signal takes effect when the kernel gets to it, and until then the node
    /// goes on to answer.
    pub fn freeze(&self, id: u64) {
        let node = self.node(id);
        node.signal(Signal::STOP);
        let threads = PathBuf::from(format!("/proc/{}/task", node.pid()));
        while !threads_of(&threads).iter().all(|thread| stands_still(thread)) {
            std::thread::yield_now();
        }
    }

    /// Lets a node go on that stands still.
    pub fn thaw(&self, id: u64) {
        self.node(id).signal(Signal::CONT);
    }
}

fn threads_of(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("a running process").map(|entry| entry.expect("a thread").path()).collect()
}

/// Whether a thread is stopped. One that is gone by now does nothing either.
fn stands_still(thread: &Path) -> bool {
    let stat = fs::read_to_string(thread.join("stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    matches!(state, None | Some('T' | 'Z' | 'X'))
}
