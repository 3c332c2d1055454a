//! A small trace and what is made of it for people: `timeline/trace.txt` and `timeline/timeline.txt`. `BURSAR_BLESS=1` writes the latter.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::fs;
use std::path::Path;

use bursar_simulations::timeline::Timeline;

#[test]
fn a_trace_is_told_in_columns() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/timeline");
    let told = Timeline::of(&fs::read_to_string(directory.join("trace.txt")).unwrap()).to_string();
    let golden = directory.join("timeline.txt");
    if std::env::var_os("BURSAR_BLESS").is_some() {
        fs::write(&golden, &told).unwrap();
    }
    assert_eq!(told, fs::read_to_string(golden).unwrap());
    for line in told.lines() {
        assert!(line.chars().count() <= 120, "{line}");
    }
}
