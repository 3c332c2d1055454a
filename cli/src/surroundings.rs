//! What a command finds around it.

use std::{collections::BTreeMap, path::PathBuf};

use crate::Console;

/// What a command finds around it: the environment and the console.
pub struct Surroundings {
    /// The environment's variables.
    pub environment: BTreeMap<String, String>,
    /// Where words go.
    pub console: Console,
}

impl Surroundings {
    /// The process's own. Variables that are no text are left out.
    pub fn real() -> Self {
        let variables = std::env::vars_os();
        let texts = variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let environment: BTreeMap<_, _> = texts.collect();
        let no_color = environment.get("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { environment, console: Console::real(no_color) }
    }

    /// A variable; one that is empty counts as absent.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Where the contexts are kept: `BURSAR_CONFIG`, else `$XDG_CONFIG_HOME/bursar/config.toml`, else
    /// `~/.config/bursar/config.toml`.
    pub(crate) fn config_path(&self) -> Option<PathBuf> {
        if let Some(path) = self.variable("BURSAR_CONFIG") {
            return Some(path.into());
        }
        let folder = match self.variable("XDG_CONFIG_HOME") {
            Some(folder) => PathBuf::from(folder),
            None => PathBuf::from(self.variable("HOME")?).join(".config"),
        };
        Some(folder.join("bursar").join("config.toml"))
    }
}
