//! A trace for people: what happened when, in a column for each machine, and one for the fleet as a whole.
//!
//! Packets, and what processes log about themselves, are left out; a fault has a line where it begins and one where it ends. All fits
//! 120 characters, with up to nine machines.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::iter::repeat_n;
use std::time::Duration;

use crate::coverage::stage_of;
use crate::trace::Line;

/// How many characters a line has.
const WIDTH: usize = 120;
/// Of these, for the time.
const TIME: usize = 8;
/// And for the fleet as a whole, at least where a machine can be narrower.
const FLEET: usize = 36;
/// And for a machine.
const MACHINE: std::ops::RangeInclusive<usize> = 8..=22;
/// How many lines one event takes at most.
const LINES_MAX: usize = 4;

/// What happened, in order of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// The names of the machines, in order.
    machines: Vec<String>,
    events: Vec<Event>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Event {
    at: Duration,
    /// The machine, counted from one; the fleet as a whole is zero.
    column: usize,
    text: String,
    /// How many lines it takes at most; what is too much is cut off.
    lines_max: usize,
}

impl Event {
    fn new(at: Duration, column: usize, text: impl Into<String>) -> Self {
        Self { at, column, text: text.into(), lines_max: LINES_MAX }
    }
}

impl Timeline {
    /// What a trace tells. Lines that no trace writes are left out.
    pub fn of(trace: &str) -> Self {
        let lines: Vec<Line<'_>> = trace.lines().filter_map(Line::parse).collect();
        let places = Places::of(&lines);
        let mut events: Vec<Event> = Vec::new();
        let mended = lines.iter().find(|line| line.what == "fault" && line.told == ALL_IS_MENDED).map(|line| line.at);
        for line in &lines {
            match line.what {
                "fault" => match Fault::parse(line.told) {
                    Some(fault) => events.extend(fault.events(line.at, mended, &places)),
                    None => events.push(Event::new(line.at, 0, line.told)),
                },
                _ => events.extend(told(line, &places)),
            }
        }
        events.sort_by_key(|event| event.at);
        Self { machines: places.machines.into_iter().map(str::to_owned).collect(), events }
    }

    /// Whether the trace told nothing: then it was none.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

/// How a trace begins to tell what a run came to, as it was debugged.
const VERDICT: &str = "verdict ";
/// What the trace says when the last faults end.
const ALL_IS_MENDED: &str = "all is mended";

/// Which column a name belongs to.
struct Places<'l> {
    machines: BTreeSet<&'l str>,
    /// The machine of each process.
    processes: BTreeMap<&'l str, &'l str>,
}

impl<'l> Places<'l> {
    fn of(lines: &[Line<'l>]) -> Self {
        let mut places = Self { machines: BTreeSet::new(), processes: BTreeMap::new() };
        for line in lines.iter().filter(|line| line.what == "host") {
            let Some((machine, what)) = line.told.split_once(' ') else { continue };
            places.machines.insert(machine);
            if let Some(process) = what.strip_suffix(" starts") {
                places.processes.insert(process, machine);
            }
        }
        places
    }

    /// The column of a machine, or of the machine of a process.
    fn column(&self, name: &str) -> Option<usize> {
        let machine = self.processes.get(name).copied().unwrap_or(name);
        self.machines.iter().position(|known| *known == machine).map(|place| place + 1)
    }
}

/// What a line tells a person that is not about a fault.
fn told(line: &Line<'_>, places: &Places<'_>) -> Option<Event> {
    let event = |column, text: &str| Some(Event::new(line.at, column, text));
    match line.what {
        "host" | "disk" => {
            let (machine, what) = line.told.split_once(' ')?;
            event(places.column(machine)?, what)
        }
        "log" => {
            let logged = line.logged()?;
            let (stage, fields) = stage_of(logged.message)?;
            let (stage, column) = (stage.replace('_', " "), places.column(logged.process)?);
            event(column, format!("{stage} {fields}").trim_end())
        }
        "history" => {
            let mut parts = line.told.splitn(3, ' ');
            let (revision, kind, what) = (parts.next()?, parts.next()?, parts.next()?);
            // What was done for a client its operation tells.
            if kind.starts_with("destination.") { None } else { event(0, &format!("#{revision} {what}")) }
        }
        "operation" if line.told.contains(" skipped ") => None,
        // What everything comes down to is told whole.
        "world" if line.told.starts_with(VERDICT) => {
            Some(Event { lines_max: usize::MAX, ..Event::new(line.at, 0, verdict_in_words(&line.told[VERDICT.len()..])) })
        }
        "operation" | "world" | "judge" => event(0, line.told),
        _ => None,
    }
}

/// What a run came to, for people: a trace has `Ok(())`, or `Err(Broken { invariant: "one-history", detail: "revision 3 …" })`.
fn verdict_in_words(verdict: &str) -> String {
    let broken = verdict.strip_prefix("Err(Broken { invariant: \"").and_then(|rest| rest.strip_suffix("\" })"));
    match broken.and_then(|broken| broken.split_once("\", detail: \"")) {
        Some((invariant, detail)) => format!("{invariant} does not hold: {}", unescaped(detail)),
        None if verdict == "Ok(())" => "all held".to_owned(),
        None => verdict.to_owned(),
    }
}

/// A text that was debugged, in one line.
fn unescaped(debugged: &str) -> String {
    let mut characters = debugged.chars();
    let mut text = String::new();
    while let Some(character) = characters.next() {
        text.extend(match (character, character == '\\') {
            (_, true) => characters.next().map(|escaped| if matches!(escaped, 'n' | 't' | 'r') { ' ' } else { escaped }),
            (plain, false) => Some(plain),
        });
    }
    text
}

/// A fault of the plan, as a trace tells it: `FailingDisk { host: "a3", path: "/", operation: Sync } for 3685 ms`.
struct Fault<'l> {
    name: &'l str,
    fields: &'l str,
    lasts: Duration,
}

impl<'l> Fault<'l> {
    fn parse(told: &'l str) -> Option<Self> {
        let (kind, lasts) = told.strip_suffix(" ms")?.rsplit_once(" for ")?;
        let (name, fields) = kind.split_once(' ').unwrap_or((kind, ""));
        let fields = fields.trim_start_matches("{ ").trim_end_matches(" }");
        Some(Self { name, fields, lasts: Duration::from_millis(lasts.parse().ok()?) })
    }

    /// That it begins, and that it ends: by itself, or since all is mended.
    fn events(&self, at: Duration, mended: Option<Duration>, places: &Places<'_>) -> impl Iterator<Item = Event> + use<> {
        let names: Vec<&str> = self.fields.split('"').skip(1).step_by(2).collect();
        let columns: BTreeSet<usize> = names.iter().filter_map(|name| places.column(name)).collect();
        let column = columns.first().copied().filter(|_| columns.len() == 1).unwrap_or(0);
        let fields = self.fields.replace('"', "");
        let (begins, ends_by_itself) = (if self.lasts.is_zero() { '●' } else { '▼' }, at + self.lasts);
        let is_seen_to_end = !self.lasts.is_zero() && mended.is_none_or(|mended| ends_by_itself < mended);
        let begin = Event::new(at, column, format!("{begins} {} {fields}", self.name).trim_end());
        let end = Event::new(ends_by_itself, column, format!("▲ {}", self.name));
        [begin].into_iter().chain(is_seen_to_end.then_some(end))
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let names = ["fleet"].into_iter().chain(self.machines.iter().map(String::as_str));
        write_row(f, "seconds", &names.map(|name| vec![name.to_owned()]).collect::<Vec<_>>(), &widths)?;
        writeln!(
            f,
            "{}",
            repeat_n('─', TIME)
                .chain(widths.iter().flat_map(|width| ['┼'].into_iter().chain(repeat_n('─', *width))))
                .collect::<String>()
        )?;
        let mut shown = None;
        let mut rest = self.events.as_slice();
        while let Some(first) = rest.first() {
            let row = row_of(rest);
            let mut cells = vec![Vec::new(); widths.len()];
            for event in &rest[..row] {
                cells[event.column] = wrapped(&event.text, widths[event.column], event.lines_max);
            }
            let at = format!("{}.{:03}", first.at.as_secs(), first.at.subsec_millis());
            let is_shown = shown.as_ref() == Some(&at);
            write_row(f, if is_shown { "" } else { &at }, &cells, &widths)?;
            shown = Some(at);
            rest = &rest[row..];
        }
        Ok(())
    }
}

impl Timeline {
    /// The width of the fleet's column, and of each machine's.
    fn widths(&self) -> Vec<usize> {
        let machines = self.machines.len();
        let room = WIDTH.saturating_sub(TIME + 1 + machines);
        let machine = (room.saturating_sub(FLEET) / machines.max(1)).clamp(*MACHINE.start(), *MACHINE.end());
        let fleet = room.saturating_sub(machines * machine).max(*MACHINE.end());
        [fleet].into_iter().chain(repeat_n(machine, machines)).collect()
    }
}

/// How many of the first events stand in one row: those of one moment, from left to right.
fn row_of(events: &[Event]) -> usize {
    let goes_on = |pair: &&[Event]| pair[0].at == pair[1].at && pair[0].column < pair[1].column;
    events.windows(2).take_while(goes_on).count() + 1
}

fn write_row(f: &mut fmt::Formatter<'_>, at: &str, cells: &[Vec<String>], widths: &[usize]) -> fmt::Result {
    for line in 0..cells.iter().map(Vec::len).max().unwrap_or_default() {
        let mut row = format!("{:>TIME$}", if line == 0 { at } else { "" });
        for (cell, width) in cells.iter().zip(widths) {
            row += &format!("│{:<width$}", cell.get(line).map_or("", String::as_str));
        }
        writeln!(f, "{}", row.trim_end())?;
    }
    Ok(())
}

/// A text in lines of a width, broken between words where that is possible; what is too much is cut off.
fn wrapped(text: &str, width: usize, lines_max: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let length = |text: &str| text.chars().count();
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        while !word.is_empty() {
            let line = lines.last_mut().expect("there is one");
            let gap = usize::from(!line.is_empty());
            let room = width.saturating_sub(length(line) + gap);
            if word.len() <= room || line.is_empty() {
                line.extend(repeat_n(' ', gap).chain(word.drain(..word.len().min(width))));
            } else {
                lines.push(String::new());
            }
        }
    }
    if lines.len() > lines_max {
        lines.truncate(lines_max);
        let last = lines.last_mut().expect("some are left");
        *last = last.chars().take(width - 1).chain(['…']).collect();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Broken;

    #[test]
    fn a_text_is_broken_between_words_and_long_words_anywhere() {
        assert_eq!(wrapped("storage-3 starts", 9, LINES_MAX), ["storage-3", "starts"]);
        assert_eq!(wrapped("a whole sentence", 8, LINES_MAX), ["a whole", "sentence"]);
        assert_eq!(wrapped("/srv/storage-3/disk-1 is full", 10, LINES_MAX), ["/srv/stora", "ge-3/disk-", "1 is full"]);
        assert_eq!(wrapped("one two three four five six", 5, LINES_MAX), ["one", "two", "three", "four…"]);
    }

    #[test]
    fn a_verdict_is_told_in_words_and_whole() {
        assert_eq!(verdict_in_words("Ok(())"), "all held");
        let broken: Result<(), Broken> = Err(Broken::new("one-history", "it is \"this\"\nand \\ that"));
        let words = "one-history does not hold: it is \"this\" and \\ that";
        assert_eq!(verdict_in_words(&format!("{broken:?}")), words);
        let long: Result<(), Broken> = Err(Broken::new("one-history", "word ".repeat(200) + "end"));
        let told = Timeline::of(&format!("1.000000 world verdict {long:?}\n")).to_string();
        assert!(told.trim_end().ends_with("end"), "{told}");
    }

    #[test]
    fn what_is_no_trace_tells_nothing() {
        assert!(Timeline::of("{\n  \"version\": 1\n}\n").is_empty());
    }

    #[test]
    fn a_fault_stands_where_it_strikes_and_ends_with_all_others() {
        let told = Timeline::of(
            "1.000000 host a1 authority-1 starts\n\
             2.000000 host a2 authority-2 starts\n\
             3.000000 fault Kill { process: \"authority-2\" } for 500 ms\n\
             4.000000 fault Partition { hosts: {\"a1\", \"a2\"} } for 9000 ms\n\
             5.000000 fault Reset { one: \"a1\", other: \"a2\" } for 0 ms\n\
             6.000000 fault all is mended\n",
        );
        let events: Vec<_> = told.events.iter().skip(2).map(|event| (event.at.as_millis(), event.column, &*event.text)).collect();
        assert_eq!(
            events,
            [
                (3_000, 2, "▼ Kill process: authority-2"),
                (3_500, 2, "▲ Kill"),
                (4_000, 0, "▼ Partition hosts: {a1, a2}"),
                (5_000, 0, "● Reset one: a1, other: a2"),
                (6_000, 0, "all is mended"),
            ]
        );
    }
}
