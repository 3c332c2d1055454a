//! Texts that people give: names and descriptions.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::rejection::{FieldFault, Rejection};

/// The most characters (Unicode scalar values) in a name.
pub const NAME_CHARACTERS_MAX: u32 = 128;
/// The most characters in a description.
pub const TEXT_CHARACTERS_MAX: u32 = 4_096;
/// The most bytes in an address.
pub const ADDRESS_BYTES_MAX: usize = 262;

/// A name: 1 to 128 characters, no control characters, no blanks around it. Where names are unique they are compared with
/// ASCII letters folded; Unicode's folding tables change between versions, and a replica must not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// Checks a name given for `field`.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Rejection> {
        let fault = if text.is_empty() {
            FieldFault::Empty
        } else if longer_than(text, NAME_CHARACTERS_MAX) {
            FieldFault::TooLong { characters_max: NAME_CHARACTERS_MAX }
        } else if text.chars().any(char::is_control) {
            FieldFault::ControlCharacter
        } else if text.trim() != text {
            FieldFault::SurroundingBlank
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(Rejection::InvalidField { field: field.to_owned(), fault })
    }

    /// What uniqueness is decided by.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// As given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Free text: at most 4,096 characters, control characters only as line breaks and tabs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(String);

impl Text {
    /// Checks a text given for `field`.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Rejection> {
        let fault = if longer_than(text, TEXT_CHARACTERS_MAX) {
            FieldFault::TooLong { characters_max: TEXT_CHARACTERS_MAX }
        } else if text.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\t')) {
            FieldFault::ControlCharacter
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(Rejection::InvalidField { field: field.to_owned(), fault })
    }

    /// As given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A `host:port`, IPv6 hosts in brackets. Only its shape is checked; whether it answers is found out by trying.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

impl Address {
    /// Checks an address given for `field`.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Rejection> {
        let well_formed = text.len() <= ADDRESS_BYTES_MAX
            && text.rsplit_once(':').is_some_and(|(host, port)| {
                let bracketed = host.starts_with('[') && host.ends_with(']');
                !host.is_empty()
                    && host.chars().all(|character| character.is_ascii_graphic())
                    && (bracketed || !host.contains(':'))
                    && port.parse::<u16>().is_ok_and(|port| port != 0)
            });
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(Rejection::InvalidField { field: field.to_owned(), fault: FieldFault::NoAddress })
        }
    }

    /// As given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Counts no further than the limit: a text of many megabytes is refused without reading all of it.
fn longer_than(text: &str, characters_max: u32) -> bool {
    text.chars().nth(characters_max as usize).is_some()
}
