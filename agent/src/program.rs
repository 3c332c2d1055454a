//! The program that the server runs.

use bursar_domain::{Level, server::ProgramFacts};

/// What it says of itself.
pub(crate) fn facts() -> ProgramFacts {
    ProgramFacts {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        platform: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        supported: Level::SUPPORTED,
    }
}
