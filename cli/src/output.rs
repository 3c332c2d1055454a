//! Tables and JSON.

use bursar_wire::page::Warning;
use comfy_table::{Cell, Table, presets::NOTHING};
use serde::Serialize;

/// Rows under a heading, without borders, so that columns can be cut and searched.
pub(crate) fn table<R: IntoIterator<Item = Vec<String>>>(heading: &[&str], rows: R) -> String {
    let mut table = bare();
    table.set_header(heading.iter().map(|word| Cell::new(word.to_uppercase())));
    for row in rows {
        table.add_row(row);
    }
    finished(table)
}

/// Names and values, one pair a line.
pub(crate) fn details<N: Into<String>>(pairs: impl IntoIterator<Item = (N, String)>) -> String {
    let mut table = bare();
    for (name, value) in pairs {
        table.add_row([name.into(), value]);
    }
    finished(table)
}

/// What to know before something is done, a line each.
pub(crate) fn warnings(warnings: &[Warning]) -> Vec<String> {
    warnings.iter().map(|Warning { code, detail }| format!("warning: {detail} ({code})")).collect()
}

/// JSON for people and programs.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("answers have text keys and finite numbers")
}

/// A cell of which nothing is known.
pub(crate) const UNKNOWN: &str = "?";

/// What there is, or a dash.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A span as people tell it, from milliseconds.
pub(crate) fn ago(span_ms: u64) -> String {
    match span_ms {
        0..1_000 => format!("{span_ms} ms ago"),
        1_000..120_000 => format!("{} s ago", span_ms / 1_000),
        120_000..7_200_000 => format!("{} min ago", span_ms / 60_000),
        _ => format!("{} h ago", span_ms / 3_600_000),
    }
}

fn bare() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table
}

fn finished(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_a_unit_that_fits_it() {
        let short = [(0, "0 ms ago"), (999, "999 ms ago"), (1_000, "1 s ago"), (119_999, "119 s ago")];
        let long = [(120_000, "2 min ago"), (7_199_999, "119 min ago"), (7_200_000, "2 h ago")];
        for (milliseconds, told) in short.into_iter().chain(long) {
            assert_eq!(ago(milliseconds), told);
        }
    }
}
