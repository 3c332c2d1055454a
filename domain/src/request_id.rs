//! The names of requests.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most bytes in a request id.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// Names one request of one actor. Who gave the name decides how long it is remembered: see [`crate::requests`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestId {
    /// By the caller, its `Idempotency-Key`: it may ask again under it.
    Given(Label),
    /// By the program, for a request that came without a key or that is its own: only nodes that did not hear the outcome ask
    /// again under it.
    Minted(Label),
}

/// The text of a request id: 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Label(String);

/// Why a text names no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request id has 1 to {REQUEST_ID_BYTES_MAX} visible ASCII characters")]
pub struct RequestIdError;

impl RequestId {
    /// The caller's own key.
    ///
    /// # Errors
    /// Where `key` is not 1 to 128 visible ASCII characters.
    pub fn parse(key: &str) -> Result<Self, RequestIdError> {
        key.to_owned().try_into().map(Self::Given)
    }

    /// A name that the program has made up. It never meets a caller's key, whatever that is.
    ///
    /// # Errors
    /// Where `name` is not 1 to 128 visible ASCII characters.
    pub fn minted(name: &str) -> Result<Self, RequestIdError> {
        name.to_owned().try_into().map(Self::Minted)
    }

    /// As given or minted.
    pub fn as_str(&self) -> &str {
        let (Self::Given(Label(text)) | Self::Minted(Label(text))) = self;
        text
    }
}

impl TryFrom<String> for Label {
    type Error = RequestIdError;

    fn try_from(text: String) -> Result<Self, RequestIdError> {
        let fits = (1..=REQUEST_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(text)) } else { Err(RequestIdError) }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
