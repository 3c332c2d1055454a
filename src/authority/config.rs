//! The settings of an authority node: `bursar.toml` in its data directory.

use std::path::Path;

use bursar_net::{Address, FileError, Files};
use serde::{Deserialize, Serialize};

/// Where the settings rest within the data directory.
pub const CONFIG_FILE: &str = "bursar.toml";
const CONFIG_BYTES_MAX: usize = 64 * 1024;

/// The settings of an authority node. Unknown ones are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the node listens.
    pub listen: Listen,
    /// Under which addresses others reach it.
    pub advertised: Advertised,
    /// Serve the API without TLS, where it listens on loopback. The demo sets it; nothing else should.
    #[serde(default)]
    pub plain_http_on_loopback: bool,
    /// Raft's timing.
    #[serde(default)]
    pub raft: RaftTiming,
}

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// For the other authority nodes.
    pub peer: Address,
    /// For people: console and API.
    pub api: Address,
}

/// Under which addresses others reach a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advertised {
    /// The other authority nodes.
    pub peer: Address,
    /// People.
    pub api: Address,
}

/// Raft's timing, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RaftTiming {
    /// Between two signs of life of the leader.
    pub heartbeat_ms: u64,
    /// The shortest time after which a node that hears nothing stands for election.
    pub election_ms_min: u64,
    /// The longest.
    pub election_ms_max: u64,
}

impl Default for RaftTiming {
    fn default() -> Self {
        Self { heartbeat_ms: 100, election_ms_min: 400, election_ms_max: 800 }
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not what it must be.
    #[error("{file} is not understood; correct it, or restore it from a backup. {source}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong, with the line.
        source: Box<toml::de::Error>,
    },
    /// Values that do not go together.
    #[error("{file}: {problem}")]
    Unusable {
        /// The file.
        file: String,
        /// What is wrong, and what to do.
        problem: &'static str,
    },
}

impl Config {
    /// Reads the settings of a data directory.
    pub fn read(files: &dyn Files, directory: &Path) -> Result<Self, ConfigError> {
        let path = directory.join(CONFIG_FILE);
        let file = path.display().to_string();
        let bytes = files.read(&path, CONFIG_BYTES_MAX)?;
        let text = String::from_utf8_lossy(&bytes);
        let config: Self =
            toml::from_str(&text).map_err(|source| ConfigError::Malformed { file: file.clone(), source: Box::new(source) })?;
        match config.problem() {
            None => Ok(config),
            Some(problem) => Err(ConfigError::Unusable { file, problem }),
        }
    }

    /// Writes the settings into a data directory.
    pub fn write(&self, files: &dyn Files, directory: &Path) -> Result<(), ConfigError> {
        let text = toml::to_string_pretty(self).expect("settings can be written as TOML");
        Ok(files.write_atomic(&directory.join(CONFIG_FILE), text.as_bytes())?)
    }

    fn problem(&self) -> Option<&'static str> {
        let RaftTiming { heartbeat_ms, election_ms_min, election_ms_max } = self.raft;
        if heartbeat_ms == 0 || election_ms_min < 2 * heartbeat_ms {
            return Some("raft.election_ms_min must be at least twice raft.heartbeat_ms, which must not be 0");
        }
        if election_ms_max <= election_ms_min {
            return Some("raft.election_ms_max must be above raft.election_ms_min");
        }
        if self.plain_http_on_loopback && !is_loopback(&self.listen.api) {
            return Some("plain_http_on_loopback needs listen.api to be a loopback address: use 127.0.0.1, or leave TLS on");
        }
        None
    }
}

fn is_loopback(address: &Address) -> bool {
    let host = address.host();
    host == "localhost" || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
