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
        } else if text.starts_with(is_blank) || text.ends_with(is_blank) {
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
        let well_formed =
            text.len() <= ADDRESS_BYTES_MAX && text.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && is_port(port));
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

/// Letters, digits and the marks that occur in host names and, within brackets, in IPv6 addresses and their zones.
fn is_host(text: &str) -> bool {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let (host, marks) = bracketed.map_or((text, "-._"), |host| (host, "-._:%"));
    !host.is_empty() && host.chars().all(|character| character.is_ascii_alphanumeric() || marks.contains(character))
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port != 0)
}

/// The blanks that are no control characters, written out: Unicode's list of white space may change, and a replica must not.
const fn is_blank(character: char) -> bool {
    matches!(
        character,
        ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

/// Counts no further than the limit: a text of many megabytes is refused without reading all of it.
fn longer_than(text: &str, characters_max: u32) -> bool {
    text.chars().nth(characters_max as usize).is_some()
}
