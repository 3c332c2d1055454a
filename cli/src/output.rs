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

/// What to know before something is done, one a line.
pub(crate) fn warnings(warnings: &[Warning]) -> String {
    let lines = warnings.iter().map(|Warning { code, detail }| format!("warning: {detail} ({code})"));
    lines.collect::<Vec<_>>().join("\n")
}

/// JSON for people and programs.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("answers have text keys and finite numbers")
}

/// What there is, or a dash.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// How long ago something was, in the largest unit of which it is at least two.
pub(crate) fn ago(milliseconds: u64) -> String {
    const UNITS: [(&str, u64); 5] = [("days", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];
    let fits = UNITS.iter().find(|(_, unit_ms)| milliseconds >= 2 * unit_ms).or(UNITS.last());
    let (unit, unit_ms) = fits.expect("there are units");
    format!("{} {unit} ago", milliseconds / unit_ms)
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
        let ages = [(0, "0 ms ago"), (1, "1 ms ago"), (1_999, "1999 ms ago"), (2_000, "2 s ago"), (119_999, "119 s ago")];
        let longer = [(120_000, "2 min ago"), (7_199_999, "119 min ago"), (7_200_000, "2 h ago"), (172_800_000, "2 days ago")];
        for (milliseconds, told) in ages.into_iter().chain(longer) {
            assert_eq!(ago(milliseconds), told);
        }
    }
}
