//! File systems that come and go.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::geteuid;

use super::{errors_of, skip};

/// How large the disks of the tests are, in bytes.
pub const DISK_BYTES: u64 = 1 << 20;

/// A file system at a place of its own, until it is dropped; whatever is mounted upon it must be gone by then.
pub struct Mount {
    at: PathBuf,
}

/// Whether this test may mount anything; where it may not, skipping must be allowed.
pub fn are_possible() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        skip("only root may mount file systems");
    }
    is_root
}

impl Mount {
    /// A small empty disk.
    pub fn disk(at: &Path) -> Self {
        fs::create_dir_all(at).expect("a mount point");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={DISK_BYTES},mode=700"), "bursar-test"]).arg(at));
        Self { at: at.to_owned() }
    }

    /// A folder that is seen at another place, too.
    pub fn bound(folder: &Path, at: &Path) -> Self {
        run(Command::new("mount").arg("--bind").args([folder, at]));
        Self { at: at.to_owned() }
    }

    /// Lets nobody write to it.
    pub fn make_read_only(&self) {
        run(Command::new("mount").args(["-o", "remount,ro"]).arg(&self.at));
    }

    /// Lets everybody write to it.
    pub fn make_writable(&self) {
        run(Command::new("mount").args(["-o", "remount,rw"]).arg(&self.at));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // At once, although the server may just be looking at it.
        run(Command::new("umount").arg("--lazy").arg(&self.at));
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{command:?}: {}", errors_of(&output));
}
