//! What the API's words are on the command line: whoever typed a flag is told of the flag.

use bursar_wire::problem::FieldError;

/// A fault of a field or parameter, told of the flag that gave it.
pub(crate) fn told(fault: &FieldError) -> String {
    format!("{} {}", flag(&fault.pointer), fault.detail)
}

/// A hint of the API, with flags for headers and parameters. `request` is the id of the change that was asked for.
pub(crate) fn hinted(hint: &str, request: Option<&str>) -> String {
    let hint = match request {
        Some(request) => hint.replace("the same Idempotency-Key", &format!("--idempotency-key {request}")),
        None => hint.to_owned(),
    };
    hint.replace("Idempotency-Key", "--idempotency-key")
        .replace("consistency=stale", "--stale")
        .replace("?filter=", "--filter ")
        .replace("Correct the field and send the request again.", "Correct it and run the command again.")
}

/// A hint with flags, for a command that knows no `--stale`: what it proposes besides.
pub(crate) fn without_stale(hint: &str) -> String {
    match hint.split_once(", or read with --stale") {
        Some((besides, rest)) => format!("{besides}{}", rest.find('.').map_or(".", |end| &rest[end..])),
        None => hint.to_owned(),
    }
}

/// The flag for a JSON pointer into a body, or for the name of a query parameter behind a `?`.
fn flag(pointer: &str) -> String {
    match pointer {
        "/name" => "the name".into(),
        "/level" => "the level".into(),
        "/revision" => "the revision".into(),
        "/expires_in_seconds" => "--expires-in".into(),
        "/balancing/allowed_variance_percent" => "--allowed-variance".into(),
        "/balancing/window" | "/balancing/window/from" | "/balancing/window/to" => "--window".into(),
        "/balancing/rate_bytes_per_second" => "--rate".into(),
        "/balancing/enabled" => "--balancing".into(),
        "/free_space/warning_percent" => "--free-space-warning".into(),
        "/free_space/critical_percent" => "--free-space-critical".into(),
        "/connection_string" => "the connection string".into(),
        "/for_seconds" => "--for".into(),
        "/quota_bytes" => "--quota".into(),
        "/ids" => "the list of alerts".into(),
        _ => {
            let field = pointer.rsplit(['/', '?']).next().unwrap_or(pointer);
            format!("--{}", field.replace('_', "-"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_of_the_flag() {
        for (pointer, expected) in [
            ("/expected_latency_ms", "--expected-latency-ms must be so"),
            ("/balancing/window/from", "--window must be so"),
            ("/balancing/concurrency", "--concurrency must be so"),
            ("/free_space/critical_percent", "--free-space-critical must be so"),
            ("/name", "the name must be so"),
            ("/connection_string", "the connection string must be so"),
            ("/quota_bytes", "--quota must be so"),
            ("?as_of", "--as-of must be so"),
        ] {
            assert_eq!(told(&FieldError::new(pointer, "must be so")), expected);
        }
    }

    #[test]
    fn a_hint_for_a_command_that_shows_nothing_stale_proposes_the_rest() {
        let hint = "Try again, ask another node, or read with --stale what this node has. Then look again.";
        assert_eq!(without_stale(hint), "Try again, ask another node. Then look again.");
        assert_eq!(without_stale("Try again."), "Try again.");
    }

    #[test]
    fn a_hint_names_flags() {
        let hint = "It may have been carried out: repeat it with the same Idempotency-Key, which is harmless.";
        let expected = "It may have been carried out: repeat it with --idempotency-key r-1, which is harmless.";
        assert_eq!(hinted(hint, Some("r-1")), expected);
    }
}
