//! The named points of production are those that the simulation knows.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bursar_simulations::plan::Role;
use bursar_simulations::points::{POINTS, passed_by};

/// The crates that run in a world.
const FOLDERS: [&str; 7] = ["net/src", "storage/src", "raft/src", "fleet/src", "agent/src", "api/src", "src"];
const MARK: &str = "bursar_net::point!(\"";

#[test]
fn every_named_point_stands_in_one_place_of_the_code_and_is_known_here_with_who_passes_it() {
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

    // Storage servers run the agent, and authority nodes the rest, which the agent does not depend on.
    let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent");
    let needed = fs::read_to_string(agent.join("Cargo.toml")).unwrap();
    assert!(["bursar-storage", "bursar-raft", "bursar-fleet", "bursar-api"].iter().all(|other| !needed.contains(other)));
    for (name, places) in &places {
        let role = if places[0].starts_with(agent.join("src")) { Role::StorageServer } else { Role::Authority };
        assert!(passed_by(role).contains(&name.as_str()), "{name} is no point of {role:?}");
    }
    let passed = [Role::Authority, Role::StorageServer].map(|role| passed_by(role).len());
    assert_eq!(passed.iter().sum::<usize>(), POINTS.len(), "no role has a point of another");
}
