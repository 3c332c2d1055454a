//! The settings of a storage server: `bursar.toml` in its data directory. People may edit them.

use std::path::Path;

use bursar_domain::text::Name;
use bursar_net::{Address, FileError, Files};
use serde::{Deserialize, Serialize};

/// Where the settings rest within the data directory.
pub const SETTINGS_FILE: &str = "bursar.toml";
const SETTINGS_BYTES_MAX: usize = 64 * 1024;

/// The settings of a storage server. Unknown ones are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How the server asks to be called when it joins.
    pub name: String,
    /// Where it listens.
    pub listen: Listen,
    /// Under which addresses others reach its control port.
    pub advertised: Advertised,
}

/// Where a storage server listens, each on a port of its own. Others find `peer` and `transfer` by their port numbers, at the
/// hosts of the advertised addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// For whoever probes the port that authority nodes speak on among themselves: customarily 4283.
    pub peer: Address,
    /// For archives: customarily 4286.
    pub transfer: Address,
    /// For the authority's calls and events: customarily 4288.
    pub control: Address,
}

/// Under which addresses others reach a storage server's control port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advertised {
    /// The one to try first.
    pub primary: Address,
    /// The one to try where the first does not answer.
    pub secondary: Option<Address>,
}

/// Values that cannot be, or do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsFault {
    /// The name is none that the ledger takes.
    #[error("{0:?} is no name: give 1 to 128 characters, no control characters, no blanks at either end")]
    Name(String),
    /// An address that stands for any.
    #[error("nobody can reach this server under {0}: give the host name or the IP address under which others reach it")]
    Unspecified(Address),
    /// A port that stands for any.
    #[error("{0} has port 0: give the port itself, customarily 4283, 4286 and 4288")]
    NoPort(Address),
    /// Two of the three ports are one.
    #[error("{0} and {1} are the same port: the ports for peers, transfer and control must differ")]
    SamePort(Address, Address),
    /// The secondary address is the primary one.
    #[error("{0} is the primary and the secondary address: give another secondary one, or none")]
    SameAddress(Address),
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
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
    /// Values that cannot be, or do not go together.
    #[error("{file}: {source}")]
    Unusable {
        /// The file.
        file: String,
        /// What is wrong, and what to do.
        source: SettingsFault,
    },
}

impl Settings {
    /// Whether a server can run with them.
    pub fn check(&self) -> Result<(), SettingsFault> {
        let Self { name, listen: Listen { peer, transfer, control }, advertised: Advertised { primary, secondary } } = self;
        if Name::parse("name", name).is_err() {
            return Err(SettingsFault::Name(name.clone()));
        }
        let advertised = || [primary].into_iter().chain(secondary);
        if let Some(address) = advertised().find(|address| address.is_unspecified()) {
            return Err(SettingsFault::Unspecified(address.clone()));
        }
        if let Some(address) = advertised().chain([peer, transfer, control]).find(|address| address.port() == 0) {
            return Err(SettingsFault::NoPort(address.clone()));
        }
        let pairs = [(peer, transfer), (peer, control), (transfer, control)];
        if let Some((one, other)) = pairs.into_iter().find(|(one, other)| one.port() == other.port()) {
            return Err(SettingsFault::SamePort(one.clone(), other.clone()));
        }
        if secondary.as_ref() == Some(primary) {
            return Err(SettingsFault::SameAddress(primary.clone()));
        }
        Ok(())
    }

    /// Reads the settings of a data directory.
    pub(crate) fn read(files: &dyn Files, directory: &Path) -> Result<Self, SettingsError> {
        let path = directory.join(SETTINGS_FILE);
        let file = path.display().to_string();
        let bytes = files.read(&path, SETTINGS_BYTES_MAX)?;
        let settings = Self::from_toml(&String::from_utf8_lossy(&bytes));
        let settings = settings.map_err(|source| SettingsError::Malformed { file: file.clone(), source: Box::new(source) })?;
        settings.check().map_err(|source| SettingsError::Unusable { file, source })?;
        Ok(settings)
    }

    /// Writes the settings into a data directory.
    pub(crate) fn write(&self, files: &dyn Files, directory: &Path) -> Result<(), FileError> {
        files.write_atomic(&directory.join(SETTINGS_FILE), self.to_toml().as_bytes())
    }

    /// As they rest.
    pub(crate) fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("settings can be written as TOML")
    }

    /// What [`to_toml`](Self::to_toml) or a person wrote.
    pub(crate) fn from_toml(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

    use super::*;

    fn settings() -> Settings {
        let address = |text: &str| text.parse().unwrap();
        Settings {
            name: "store-7".into(),
            listen: Listen { peer: address("[::]:4283"), transfer: address("[::]:4286"), control: address("[::]:4288") },
            advertised: Advertised { primary: address("store-7.example:4288"), secondary: Some(address("10.0.0.7:4288")) },
        }
    }

    #[test]
    fn what_goes_together_is_taken() {
        assert_eq!(settings().check(), Ok(()));
        let mut alone = settings();
        alone.advertised.secondary = None;
        assert_eq!(alone.check(), Ok(()));
        assert_eq!(Settings::from_toml(&alone.to_toml()).unwrap(), alone);
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_give_instead() {
        let address = |text: &str| -> Address { text.parse().unwrap() };
        let refused = |change: &dyn Fn(&mut Settings)| {
            let mut settings = settings();
            change(&mut settings);
            settings.check().unwrap_err()
        };
        for name in ["", " a", "a\n", &"n".repeat(129)] {
            assert_eq!(refused(&|settings| settings.name = name.into()), SettingsFault::Name(name.into()));
        }
        for any in ["0.0.0.0:4288", "[::]:4288", "[::ffff:0.0.0.0]:4288"].map(address) {
            assert_eq!(refused(&|settings| settings.advertised.primary = any.clone()), SettingsFault::Unspecified(any.clone()));
            let secondary = refused(&|settings| settings.advertised.secondary = Some(any.clone()));
            assert_eq!(secondary, SettingsFault::Unspecified(any));
        }
        let none = address("10.0.0.8:0");
        let unbound: [fn(&mut Settings, Address); 5] = [
            |settings, none| settings.advertised.primary = none,
            |settings, none| settings.advertised.secondary = Some(none),
            |settings, none| settings.listen.peer = none,
            |settings, none| settings.listen.transfer = none,
            |settings, none| settings.listen.control = none,
        ];
        for unbind in unbound {
            assert_eq!(refused(&|settings| unbind(settings, none.clone())), SettingsFault::NoPort(none.clone()));
        }
        for (place, other) in [(4286, "[::]:4286"), (4288, "[::]:4288")] {
            let peer = Address::new("127.0.0.1", place).unwrap();
            let same = SettingsFault::SamePort(peer.clone(), address(other));
            assert_eq!(refused(&|settings| settings.listen.peer = peer.clone()), same);
        }
        let transfer = address("127.0.0.1:4288");
        let same = SettingsFault::SamePort(transfer.clone(), address("[::]:4288"));
        assert_eq!(refused(&|settings| settings.listen.transfer = transfer.clone()), same);
        let primary = settings().advertised.primary;
        let same = refused(&|settings| settings.advertised.secondary = Some(settings.advertised.primary.clone()));
        assert_eq!(same, SettingsFault::SameAddress(primary));
    }
}
