//! What a parser finds wrong with a body or a query, in the words of the API.
//!
//! serde tells its errors as sentences, of a few forms. What the caller sent stands in them before what is expected, so they are
//! taken apart from their end: no text of a caller is mistaken for ours.

use bursar_wire::FieldError;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_path_to_error::{Path, Segment};

use crate::failure::Failure;

/// What is wrong at the place where a parser stopped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A field of ours is not there.
    Missing(String),
    /// A field of ours is there twice.
    Repeated(String),
    /// A field is not ours; these are.
    Unknown(Vec<String>),
    /// A value is another than what is taken: what it is, where that is told, and what it must be.
    Unfit { given: Option<String>, expected: String },
    /// What a type has to say for itself.
    Other(String),
}

impl Fault {
    /// Takes one of serde's sentences apart. Where the parser stopped is not in it.
    pub(crate) fn of(sentence: &str) -> Self {
        // It ends so only where nothing is expected: whatever else stands in it is the caller's.
        if sentence.starts_with("unknown field `") && sentence.ends_with("`, there are no fields") {
            return Self::Unknown(Vec::new());
        }
        let quoted = |start: &str| sentence.strip_prefix(start)?.strip_suffix('`').map(str::to_owned);
        if let Some(field) = quoted("missing field `") {
            return Self::Missing(field);
        }
        if let Some(field) = quoted("duplicate field `") {
            return Self::Repeated(field);
        }
        let expected = sentence.rsplit_once(", expected ").map_or("", |(_, expected)| expected);
        let names: Vec<_> = expected.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let starts = |start| sentence.starts_with(start);
        if starts("unknown field") {
            return Self::Unknown(names);
        }
        if starts("unknown variant") {
            return Self::Unfit { given: None, expected: either(&names) };
        }
        let unfit = ["invalid type: ", "invalid value: "].iter().find_map(|start| sentence.strip_prefix(start));
        if let Some((given, expected)) = unfit.and_then(|rest| rest.rsplit_once(", expected ")) {
            return Self::Unfit { given: Some(given_as(given)), expected: expected_as(expected) };
        }
        // serde takes the fields of an object from a list, too, where it finds as many as it wants.
        if starts("invalid length ") && expected.starts_with("struct ") {
            return Self::Unfit { given: Some("a list".into()), expected: "an object".into() };
        }
        match sentence {
            "provided string was not `true` or `false`" => Self::unfit("true or false"),
            _ if NO_NUMBER.contains(&sentence) => Self::unfit("a whole number"),
            _ => Self::Other(abridged(sentence)),
        }
    }

    fn unfit(expected: &str) -> Self {
        Self::Unfit { given: None, expected: expected.into() }
    }
}

/// How the standard library says that a text is no number of a type.
const NO_NUMBER: [&str; 4] = [
    "cannot parse integer from empty string",
    "invalid digit found in string",
    "number too large to fit in target type",
    "number too small to fit in target type",
];

/// Reads a body.
///
/// # Errors
/// One that points at the field, or tells line and column where the body is no JSON at all.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    if bytes.is_empty() {
        return Err(Failure::malformed("The body is empty; this request takes a JSON object."));
    }
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(unfit(String::new(), Fault::Unfit { given: Some("a list".into()), expected: "an object".into() }));
    }
    // Where in the body the fault lies is found out only once there is one.
    serde_json::from_slice(bytes).map_err(|error| match serde_json::from_slice::<IgnoredAny>(bytes) {
        Err(error) => no_json(&error),
        Ok(_) => {
            let located = serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_slice(bytes)).err();
            let place = located.map(|located| pointer(located.path())).unwrap_or_default();
            unfit(place, Fault::of(&sentence(&error)))
        }
    })
}

fn no_json(error: &serde_json::Error) -> Failure {
    let (line, column) = (error.line(), error.column());
    if error.is_eof() {
        return Failure::malformed(format!("The body breaks off at line {line}, column {column}, before its JSON ends."));
    }
    Failure::malformed(format!("The body is no JSON: {} at line {line}, column {column}.", abridged(&sentence(error))))
}

/// What a parser of JSON says, without the place at its end. A caller's text may look like a place: only the true one is taken off.
fn sentence(error: &serde_json::Error) -> String {
    let told = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    told.strip_suffix(&place).unwrap_or(&told).to_owned()
}

fn unfit(mut place: String, fault: Fault) -> Failure {
    if let Fault::Missing(field) | Fault::Repeated(field) = &fault {
        place = format!("{place}/{field}");
    }
    let detail = match fault {
        Fault::Missing(_) => "is missing".to_owned(),
        Fault::Repeated(_) => "is given more than once".to_owned(),
        Fault::Unknown(known) if known.is_empty() => "is no field of this object, which takes none".to_owned(),
        Fault::Unknown(known) => format!("is no field of this object, which takes {}", known.join(", ")),
        Fault::Unfit { given: Some(given), expected } => format!("is {given}; it must be {expected}"),
        Fault::Unfit { given: None, expected } => format!("must be {expected}"),
        Fault::Other(reason) => format!("is not what is taken here: {reason}"),
    };
    let fault = FieldError::new(abridged(&place), detail);
    if place.is_empty() {
        return Failure::malformed(format!("The body {}.", fault.detail)).fault(fault);
    }
    Failure::malformed_part(fault)
}

/// A path as a JSON pointer (RFC 6901).
fn pointer(path: &Path) -> String {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.replace('~', "~0").replace('/', "~1")),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    };
    path.iter().filter_map(step).map(|step| format!("/{step}")).collect()
}

/// What was given, from serde's words for it.
fn given_as(words: &str) -> String {
    match words {
        "map" => "an object".into(),
        "sequence" => "a list".into(),
        "unit value" => "null".into(),
        _ => match words.split_once(' ') {
            Some(("string", text)) => format!("“{}”", abridged(text.trim_matches('"'))),
            Some((_, value)) => abridged(value.trim_matches('`')),
            None => abridged(words),
        },
    }
}

/// What is expected, from serde's words for it.
fn expected_as(words: &str) -> String {
    let bounds = match words {
        "u8" => Some((0, u8::MAX.into())),
        "u16" => Some((0, u16::MAX.into())),
        "u32" => Some((0, u32::MAX.into())),
        "i64" => Some((i64::MIN, i64::MAX)),
        _ => None,
    };
    match (words, bounds) {
        (_, Some((min, max))) => format!("a whole number from {min} to {max}"),
        ("u64" | "usize", _) => "a whole number from 0".into(),
        ("a string", _) => "a text".into(),
        ("a boolean", _) => "true or false".into(),
        ("a sequence", _) => "a list".into(),
        ("a map", _) => "an object".into(),
        _ if words.starts_with("struct ") => "an object".into(),
        _ => words.into(),
    }
}

fn either(names: &[String]) -> String {
    match names {
        [names @ .., last] if !names.is_empty() => format!("{} or {last}", names.join(", ")),
        _ => names.concat(),
    }
}

/// As much of a caller's text as an answer should repeat.
pub(crate) fn abridged(text: &str) -> String {
    const CHARACTERS_MAX: usize = 200;
    text.chars().take(CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

    use super::*;

    #[test]
    fn what_a_caller_sends_is_not_mistaken_for_what_is_known() {
        let told = Fault::of("unknown field `a`, expected `evil`, expected one of `name`, `site`, `offered`");
        assert_eq!(told, Fault::Unknown(["name", "site", "offered"].map(String::from).to_vec()));
        let told = Fault::of("invalid type: string \"1, expected u8\", expected a boolean");
        let given = Some("“1, expected u8”".to_owned());
        assert_eq!(told, Fault::Unfit { given, expected: "true or false".into() });
    }

    #[test]
    fn what_nobody_knows_is_told_as_it_is() {
        assert_eq!(Fault::of("no such weekday"), Fault::Other("no such weekday".into()));
    }

    #[test]
    fn a_place_that_a_caller_names_is_part_of_what_it_sent() {
        let told = Fault::of("unknown field `x at line 1`, expected one of `sort`, `limit`");
        assert_eq!(told, Fault::Unknown(["sort", "limit"].map(String::from).to_vec()));
        let told = Fault::of("unknown variant `x at line 1`, expected `linearizable` or `stale`");
        assert_eq!(told, Fault::unfit("linearizable or stale"));
    }

    #[test]
    fn an_object_without_fields_takes_none_whatever_is_in_it() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}

        for body in [&br#"{ "`, expected `evil`": 1 }"#[..], br#"{ "x at line 1 column 2": 1 }"#] {
            let problem = parse::<Nothing>(body).expect_err("it takes no field").into_problem();
            assert_eq!(problem.errors[0].detail, "is no field of this object, which takes none", "{problem:?}");
        }
    }

    #[test]
    fn the_place_in_a_body_is_no_part_of_what_is_wrong() {
        let error = serde_json::from_str::<bool>("\n \"7 at line 1 column 2\"").expect_err("it is a text");
        let given = Some("“7 at line 1 column 2”".to_owned());
        assert_eq!(Fault::of(&sentence(&error)), Fault::Unfit { given, expected: "true or false".into() });
    }
}
