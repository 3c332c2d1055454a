//! Where a node's API is.

use std::{fmt, str::FromStr};

use bursar_net::{Address, AddressError};

/// The port of the API where a URL names none.
pub const API_PORT: u16 = 4285;

/// The URL of a node: `https://host:port` or `http://host:port`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeUrl {
    secure: bool,
    address: Address,
}

/// Why a text is no URL of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeUrlError {
    /// Neither `https://` nor `http://` before the address.
    #[error("“{text}” is no URL of a node: it begins with https:// or http://, for instance https://authority-1:4285")]
    Scheme {
        /// The text.
        text: String,
    },
    /// A path, a query or a user behind or before the address.
    #[error("“{text}” is no URL of a node: nothing follows the port")]
    Path {
        /// The text.
        text: String,
    },
    /// No address.
    #[error("“{text}” is no URL of a node: {source}")]
    Address {
        /// The text.
        text: String,
        /// What is wrong with it.
        source: AddressError,
    },
}

impl NodeUrl {
    /// The URL of the API at `address`.
    pub const fn new(secure: bool, address: Address) -> Self {
        Self { secure, address }
    }

    /// Whether it speaks TLS.
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Where to connect to.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// The `Host` of requests.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }
}

impl fmt::Display for NodeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.address)
    }
}

impl FromStr for NodeUrl {
    type Err = NodeUrlError;

    fn from_str(text: &str) -> Result<Self, NodeUrlError> {
        let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(NodeUrlError::Scheme { text: text.into() }),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(NodeUrlError::Path { text: text.into() });
        }
        let has_port = rest.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let address = if has_port { rest.parse() } else { format!("{rest}:{API_PORT}").parse() };
        let address = address.map_err(|source| NodeUrlError::Address { text: text.into(), source })?;
        Ok(Self { secure, address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_reads_back_with_its_port() {
        let written = |text: &str| text.parse::<NodeUrl>().unwrap().to_string();
        assert_eq!(written("http://127.0.0.1:5285"), "http://127.0.0.1:5285");
        assert_eq!(written("https://authority-1/"), "https://authority-1:4285");
        assert_eq!(written("https://[::1]"), "https://[::1]:4285");
        assert_eq!(written("https://[::1]:80"), "https://[::1]:80");
    }

    #[test]
    fn anything_else_is_refused() {
        for wrong in ["", "authority-1:4285", "ftp://a", "https://", "https://a/b", "https://me@a", "http://a?b", "http://a:x"] {
            assert!(wrong.parse::<NodeUrl>().is_err(), "{wrong}");
        }
    }
}
