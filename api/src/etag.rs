//! Entity tags: the cursor of an object's last change, in double quotes.

use axum::http::{HeaderMap, HeaderValue, header};
use bursar_domain::Cursor;

use crate::failure::Failure;

/// The `ETag` of an object that last changed at `changed`.
pub(crate) fn of(changed: Cursor) -> HeaderValue {
    HeaderValue::try_from(format!("\"{changed}\"")).expect("a cursor is digits and a hyphen")
}

/// What `If-Match` asks for: exactly one strong tag of ours, or nothing.
///
/// Lists, `*` and weak tags are refused: a change rests on one reading of one object.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<Cursor>, Failure> {
    let mut values = headers.get_all(header::IF_MATCH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let cursor = value.to_str().ok().and_then(strong).filter(|_| values.next().is_none());
    cursor.map(Some).ok_or_else(|| {
        Failure::malformed("If-Match must be one entity tag as it was read, for instance \"1-42\".")
            .hint("Send the ETag of the object; weak tags, lists and * are not taken.")
    })
}

/// Whether `If-None-Match` names the object as it stands: the reader has it already.
pub(crate) fn none_match(headers: &HeaderMap, changed: Cursor) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || strong(tag.trim_start_matches("W/")) == Some(changed))
}

fn strong(tag: &str) -> Option<Cursor> {
    tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}
