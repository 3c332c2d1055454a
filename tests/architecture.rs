//! Which crate may name which, and who alone knows what: the picture in docs/architecture.md, held against the manifests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::Value;

/// Each of our crates with those of our crates that it may name.
const EDGES: [(&str, &[&str]); 12] = [
    ("bursar-domain", &[]),
    ("bursar-domain-testing", &["bursar-domain"]),
    ("bursar-net", &[]),
    ("bursar-storage", &["bursar-domain", "bursar-net"]),
    ("bursar-raft", &["bursar-domain", "bursar-net", "bursar-storage"]),
    ("bursar-fleet", &["bursar-domain", "bursar-net", "bursar-raft", "bursar-wire"]),
    ("bursar-wire", &["bursar-domain", "bursar-net"]),
    ("bursar-api", &["bursar-domain", "bursar-net", "bursar-storage", "bursar-raft", "bursar-wire"]),
    ("bursar-agent", &["bursar-domain", "bursar-net", "bursar-wire"]),
    ("bursar-cli", &["bursar-domain", "bursar-net", "bursar-wire"]),
    (
        "bursar",
        &[
            "bursar-domain",
            "bursar-net",
            "bursar-storage",
            "bursar-raft",
            "bursar-fleet",
            "bursar-wire",
            "bursar-api",
            "bursar-cli",
            "bursar-agent",
        ],
    ),
    (
        "bursar-simulations",
        &["bursar", "bursar-domain", "bursar-net", "bursar-storage", "bursar-raft", "bursar-wire", "bursar-agent"],
    ),
];

/// Libraries that one crate alone knows.
const SECRETS: [(&str, &str); 7] = [
    ("openraft", "bursar-raft"),
    ("rocksdb", "bursar-storage"),
    ("axum", "bursar-api"),
    ("rustls", "bursar-net"),
    ("imbl", "bursar-domain"),
    ("comfy-table", "bursar-cli"),
    ("libc", "bursar-simulations"),
];

/// Whom each of our packages names, in its library and program; what only its tests name does not count.
fn named_by_package() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let text = |value: &Value| value.as_str().expect("a name").to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
            let shipped = dependencies.filter(|dependency| dependency["kind"].is_null());
            (text(&package["name"]), shipped.map(|dependency| text(&dependency["name"])).collect())
        })
        .collect()
}

#[test]
fn crates_name_only_what_lies_below_them() {
    let named = named_by_package();
    let known: BTreeSet<&str> = EDGES.iter().map(|(package, _)| *package).collect();
    assert_eq!(named.keys().map(String::as_str).collect::<BTreeSet<_>>(), known, "a crate has no place in the picture");
    for (package, allowed) in EDGES {
        let ours: BTreeSet<&str> = named[package].iter().map(String::as_str).filter(|name| known.contains(name)).collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        let forbidden: Vec<_> = ours.difference(&allowed).collect();
        assert!(forbidden.is_empty(), "{package} names {forbidden:?}");
    }
}

#[test]
fn some_libraries_are_known_to_one_crate_alone() {
    let named = named_by_package();
    for (library, owner) in SECRETS {
        let knowing: Vec<_> = named.iter().filter(|(_, names)| names.contains(library)).map(|(package, _)| package).collect();
        assert_eq!(knowing, [owner], "{library} is for {owner} alone");
    }
}

/// Sources of a folder, at any depth, by path within the project; those that hold nothing but tests are left out.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut sources = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                let source = fs::read_to_string(&path).expect("a source");
                let shipped = source.split("#[cfg(test)]\nmod tests {").next().expect("a first part").to_owned();
                sources.push((path.strip_prefix(env!("CARGO_MANIFEST_DIR")).expect("within it").display().to_string(), shipped));
            }
        }
    }
    sources
}

/// A simulation pauses and ends the tasks of one machine, so none may be started behind its back.
#[test]
fn tasks_are_born_in_one_place() {
    let folders = ["net/src", "storage/src", "raft/src", "fleet/src", "agent/src", "api/src", "api/wire/src", "src"];
    let elsewhere: Vec<String> = folders
        .into_iter()
        .flat_map(sources)
        .filter(|(path, source)| {
            let begins_tasks =
                ["tokio::spawn(", "task::spawn(", "JoinSet", "TokioExecutor"].iter().any(|words| source.contains(words));
            begins_tasks && !path.starts_with("net/src/tasks")
        })
        .map(|(path, _)| path)
        .collect();
    assert!(elsewhere.is_empty(), "they start tasks other than by bursar_net::tasks: {elsewhere:?}");
}

#[test]
fn without_rocksdb_the_library_is_whole() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "bursar",
            "--no-default-features",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let tree = String::from_utf8(output.stdout).expect("a text");
    assert!(output.status.success() && tree.starts_with("bursar v"), "{}", String::from_utf8_lossy(&output.stderr));
    let rocksdb: Vec<_> = tree.lines().filter(|line| line.contains("rocksdb")).collect();
    assert!(rocksdb.is_empty(), "{rocksdb:?} is needed without the feature of that name");
}

/// What a simulation needs of the crates is in nothing that is shipped: planted bugs, groups of tasks, fates of calls. Without the
/// feature `simulation` a named point is no code.
#[test]
fn the_program_has_no_planted_bugs_no_simulated_tasks_and_no_named_points() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", "bursar", "--edges", "features,normal,build", "--prefix", "none", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let tree = String::from_utf8(output.stdout).expect("a text");
    assert!(output.status.success() && tree.starts_with("bursar v"), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Vec<_> =
        tree.lines().filter(|line| line.contains("feature \"mutants\"") || line.contains("feature \"simulation\"")).collect();
    assert!(found.is_empty(), "{found:?}");
}
