//! Where a node can be reached: `host:port`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest host name that DNS can carry.
const HOST_LENGTH_MAX: usize = 253;

/// A host (name, IPv4 or IPv6) and a port. Its text form is `host:port`, with IPv6 in brackets:
/// `[::1]:4283`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    host: String,
    port: u16,
}

/// Why a text is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No colon between host and port.
    #[error("an address is host:port, the port is missing")]
    PortMissing,
    /// The part behind the last colon is no number from 0 to 65535.
    #[error("the port of an address is a number from 0 to 65535")]
    PortInvalid,
    /// Nothing stands before the port.
    #[error("an address is host:port, the host is missing")]
    HostMissing,
    /// The host is longer than DNS allows.
    #[error("the host of an address has at most 253 characters, this one has {length}")]
    HostTooLong {
        /// Length of the host, in bytes.
        length: usize,
    },
    /// A character that neither a host name nor an IPv4 address has.
    #[error("the host of an address holds letters, digits, dots, hyphens, underscores, not {character:?}")]
    HostCharacter {
        /// The first offending character.
        character: char,
    },
    /// Brackets that hold no IPv6 address, or an IPv6 address without brackets.
    #[error("an IPv6 address is written in brackets: [::1]:4283")]
    Ipv6Malformed,
}

impl Address {
    /// Puts an address together from its parts; `host` is written without brackets.
    pub fn new(host: &str, port: u16) -> Result<Self, AddressError> {
        check_host(host)?;
        Ok(Self { host: host.to_owned(), port })
    }

    /// Host name or IP address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port; 0 asks the operating system for a free one where an address is bound.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it stands for all interfaces: it can be listened on, and not be dialled.
    pub fn is_unspecified(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }

    /// Whether it is on the machine itself, where nobody else listens in.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.ip().is_some_and(|ip| ip.is_loopback())
    }

    /// The host, where it is no name. An IPv4 address in the clothes of IPv6 is what it is.
    fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok().map(|ip: IpAddr| ip.to_canonical())
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(bracketed) => {
                let (host, port) = bracketed.split_once(']').ok_or(AddressError::Ipv6Malformed)?;
                if !host.contains(':') {
                    return Err(AddressError::Ipv6Malformed);
                }
                (host, port.strip_prefix(':').ok_or(AddressError::PortMissing)?)
            }
            None => text.rsplit_once(':').ok_or(AddressError::PortMissing)?,
        };
        if host.contains(':') && !text.starts_with('[') {
            return Err(AddressError::Ipv6Malformed);
        }
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AddressError::PortInvalid);
        }
        Self::new(host, port.parse().map_err(|_| AddressError::PortInvalid)?)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn check_host(host: &str) -> Result<(), AddressError> {
    if host.is_empty() {
        return Err(AddressError::HostMissing);
    }
    if host.len() > HOST_LENGTH_MAX {
        return Err(AddressError::HostTooLong { length: host.len() });
    }
    if host.contains(':') {
        return match host.parse::<Ipv6Addr>() {
            Ok(_) => Ok(()),
            Err(_) => Err(AddressError::Ipv6Malformed),
        };
    }
    match host.chars().find(|character| !(character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_'))) {
        Some(character) => Err(AddressError::HostCharacter { character }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_both_kinds_of_ip_read_back_as_written() {
        for text in ["authority-1.example.org:4283", "10.0.0.7:4285", "[::1]:4283", "[fe80::1:2]:0", "node_1:65535"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        assert_eq!("[::1]:4283".parse::<Address>().unwrap().host(), "::1");
    }

    #[test]
    fn some_addresses_are_everywhere_and_some_are_here() {
        let address = |text: &str| text.parse::<Address>().unwrap();
        for everywhere in ["0.0.0.0:1", "[::]:1", "[::ffff:0.0.0.0]:1"].map(address) {
            assert!(everywhere.is_unspecified() && !everywhere.is_loopback(), "{everywhere}");
        }
        for here in ["localhost:1", "127.0.0.1:1", "127.1.2.3:1", "[::1]:1", "[::ffff:127.0.0.1]:1"].map(address) {
            assert!(here.is_loopback() && !here.is_unspecified(), "{here}");
        }
        for elsewhere in ["10.0.0.7:1", "[fe80::1]:1", "localhost.example:1"].map(address) {
            assert!(!elsewhere.is_unspecified() && !elsewhere.is_loopback(), "{elsewhere}");
        }
    }

    #[test]
    fn a_bad_address_says_what_is_wrong() {
        let refused = |text: &str| text.parse::<Address>().unwrap_err();
        assert_eq!(refused("example.org"), AddressError::PortMissing);
        assert_eq!(refused("[::1]"), AddressError::PortMissing);
        assert_eq!(refused("example.org:"), AddressError::PortInvalid);
        assert_eq!(refused("example.org:+80"), AddressError::PortInvalid);
        assert_eq!(refused("example.org:65536"), AddressError::PortInvalid);
        assert_eq!(refused(":80"), AddressError::HostMissing);
        assert_eq!(refused("::1:4283"), AddressError::Ipv6Malformed);
        assert_eq!(refused("[::1:4283"), AddressError::Ipv6Malformed);
        assert_eq!(refused("[example.org]:80"), AddressError::Ipv6Malformed);
        assert_eq!(refused("[::zz]:80"), AddressError::Ipv6Malformed);
        assert_eq!(refused("a b:80"), AddressError::HostCharacter { character: ' ' });
        assert_eq!(refused(&format!("{}:80", "a".repeat(254))), AddressError::HostTooLong { length: 254 });
    }
}
