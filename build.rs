//! Has the linker compress the line tables of the release program: backtraces keep their lines, and the file is less than half
//! as large. Other profiles link faster without.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |variable, value| std::env::var(variable).is_ok_and(|found| found == value);
    if is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") {
        println!("cargo::rustc-link-arg-bin=bursar=-Wl,--compress-debug-sections=zlib");
    }
}
