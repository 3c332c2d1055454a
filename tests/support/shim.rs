//! Libraries in C that are loaded into the program before all others, and come between it and the operating system.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::skip;

/// Compiles `tests/shim/<name>.c`: the library, or `None` where there is no C compiler and skipping is allowed.
pub fn compile(name: &str) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shim").join(name).with_extension("c");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let own = folder.join(format!("{name}-{}.so", std::process::id()));
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]).args([&own, &source]).output();
    let Ok(compiled) = compiled else {
        skip(&format!("there is no C compiler (cc) for {}", source.display()));
        return None;
    };
    assert!(compiled.status.success(), "the shim does not compile: {}", String::from_utf8_lossy(&compiled.stderr));
    // One name for all test programs, and never half a file under it.
    let library = folder.join(name).with_extension("so");
    fs::rename(&own, &library).expect("the shim's name");
    assert!(fs::metadata(&library).expect("the shim").size() > 0);
    Some(library)
}
