//! Query strings.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

/// The fields of `query` as `name=value` pairs, percent-encoded. What is null is left out.
pub(super) fn encode(query: &impl Serialize) -> String {
    let mut text = String::new();
    let fields = match serde_json::to_value(query) {
        Ok(Value::Object(fields)) => fields,
        Ok(Value::Null) => return text,
        other => unreachable!("a query has named fields, which {other:?} has not"),
    };
    for (name, value) in fields {
        let value = match value {
            Value::Null => continue,
            Value::String(value) => value,
            other => other.to_string(),
        };
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(&name);
        text.push('=');
        percent_encode(&value, &mut text);
    }
    text
}

/// Everything but the unreserved characters of RFC 3986.
fn percent_encode(value: &str, text: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("a String takes everything");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Consistency, ListQuery};

    #[test]
    fn values_are_encoded_and_absent_ones_left_out() {
        let query = ListQuery {
            filter: Some("name=É & co".into()),
            consistency: Some(Consistency::Stale),
            limit: Some(7),
            ..ListQuery::default()
        };
        assert_eq!(encode(&query), "consistency=stale&filter=name%3D%C3%89%20%26%20co&limit=7");
        assert_eq!(encode(&()), "");
    }

    #[test]
    #[should_panic(expected = "named fields")]
    fn what_has_no_named_fields_is_not_passed_over() {
        encode(&[("consistency", "stale")]);
    }
}
