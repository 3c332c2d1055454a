//! The named points of production are those that the simulation knows.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bursar_simulations::points::POINTS;

/// The crates that run in a world.
const FOLDERS: [&str; 7] = ["net/src", "storage/src", "raft/src", "fleet/src", "agent/src", "api/src", "src"];
const MARK: &str = "bursar_net::point!(\"";

#[test]
fn every_named_point_stands_in_one_place_of_the_code_and_is_known_here() {
    let mut folders: Vec<PathBuf> =
        FOLDERS.iter().map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder)).collect();
    let mut places: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            for rest in fs::read_to_string(&path).unwrap_or_default().split(MARK).skip(1) {
                let name = rest.split('"').next().unwrap().to_owned();
                places.entry(name).or_default().push(path.clone());
            }
        }
    }
    let mut known = POINTS.map(str::to_owned).to_vec();
    known.sort();
    assert_eq!(places.keys().cloned().collect::<Vec<_>>(), known);
    assert!(places.values().all(|places| places.len() == 1), "{places:?}");
}
