//! Plans that failed once, and must not again: `regressions/NAME.json`, as `bursar-simulate` kept or shrank them.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

macro_rules! regressions {
    ($($name:ident: $story:literal,)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        $(#[doc = $story]
        #[test]
        fn $name() {
            passes(stringify!($name));
        })*
    };
}

regressions! {
    a_log_that_has_lost_its_tail: "A power cut took the tail of a node's log and left what it had applied: it did not start again.",
    a_server_that_was_held_up_tells_again_how_its_store_points_are: "A server was paused for longer than the detection window, on a connection that outlived \
        it: nothing was known of its store points any more.",
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regressions")
}

fn passes(name: &str) {
    let plan = directory().join(format!("{name}.json"));
    let output = Command::new(env!("CARGO_BIN_EXE_bursar-simulate")).arg("replay").arg(plan).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_plan_is_run_by_a_test() {
    let files = fs::read_dir(directory()).unwrap().map(|file| file.unwrap().path());
    let plans: BTreeSet<String> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(plans, NAMES.iter().map(|name| (*name).to_owned()).collect());
}
