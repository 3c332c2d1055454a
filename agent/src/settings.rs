//! The settings of a storage server: `bursar.toml` in its data directory. People may edit them.

use bursar_domain::text::Name;
use bursar_net::{Address, CheckedSettings};
use serde::{Deserialize, Serialize};

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

impl CheckedSettings for Settings {
    type Fault = SettingsFault;

    fn check(&self) -> Result<(), SettingsFault> {
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
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

    use bursar_net::settings_to_toml;

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
        assert_eq!(toml::from_str::<Settings>(&settings_to_toml(&alone)).unwrap(), alone);
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
