//! What happened in a world, as a running hash and, where somebody wants to read it, as lines.
//!
//! Everything that could tell two runs apart goes in: each delivery of the network with its bytes, each fault, each blocking
//! job, each line that our code logs at debug. Two runs of a seed are the same run if their hashes are.
//!
//! A line says when, what sort of thing, and then what in particular: `20.445000 host a2 authority-2 starts`. Who wants to know
//! what a run exercised ([`crate::coverage`]), how it came to its end ([`Trace::recent`]) or what happened where
//! ([`crate::timeline`]) reads these lines and nothing else.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use blake3::{Hash, Hasher};
use bursar_net::tasks::Group;
use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::coverage::Coverage;

/// How many of the latest lines that matter a trace remembers.
const RECENT_MAX: usize = 30;

/// The trace of a world. Clones are the same trace.
#[derive(Clone)]
pub struct Trace {
    begun: Instant,
    written: Arc<Mutex<Written>>,
}

struct Written {
    hash: Hasher,
    events: u64,
    lines: Option<Box<dyn Write + Send>>,
    line: String,
    recent: VecDeque<String>,
    said: Vec<String>,
    coverage: Coverage,
}

/// A line of a trace, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'l> {
    /// When, since the world began.
    pub at: Duration,
    /// What sort of thing: `host`, `fault`, `log`, …
    pub what: &'l str,
    /// What in particular.
    pub told: &'l str,
}

/// A trace in brief.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Of everything that happened, in order.
    pub hash: Hash,
    /// How much that was.
    pub events: u64,
}

impl Trace {
    /// Begins a trace now; its lines go to `lines`, one an event.
    pub fn begin(lines: Option<Box<dyn Write + Send>>) -> Self {
        let written = Written {
            hash: Hasher::new(),
            events: 0,
            lines,
            line: String::new(),
            recent: VecDeque::new(),
            said: Vec::new(),
            coverage: Coverage::default(),
        };
        Self { begun: Instant::now(), written: Arc::new(Mutex::new(written)) }
    }

    /// Records that `what` happened now, as `told`. Whatever differs between two runs must not be in it.
    pub fn record(&self, what: &str, told: fmt::Arguments<'_>) {
        self.record_with(what, told, &[]);
    }

    /// Like [`record`](Self::record), of something that carried `bytes`; a line shows how many.
    pub fn record_with(&self, what: &str, told: fmt::Arguments<'_>, bytes: &[u8]) {
        let at = self.begun.elapsed();
        let mut written = self.written();
        let Written { hash, events, lines, line, recent, said, coverage } = &mut *written;
        line.clear();
        write!(line, "{}.{:06} {what} ", at.as_secs(), at.subsec_micros()).expect("a text takes whatever is told");
        let told_from = line.len();
        line.write_fmt(told).expect("a text takes whatever is told");
        if !bytes.is_empty() {
            write!(line, " ({} bytes)", bytes.len()).expect("a text takes whatever is told");
        }
        // Each part with its length, so that no two histories read alike.
        for part in [line.as_bytes(), bytes] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        *events += 1;
        if let Some(out) = lines {
            // Who reads the lines may go away; the run goes on, for its hash is what counts.
            let _ = writeln!(out, "{}", line.replace('\n', "\\n"));
        }
        let taken_apart = Line { at, what, told: &line[told_from..] };
        coverage.take(&taken_apart);
        if taken_apart.matters() {
            if recent.len() == RECENT_MAX {
                recent.pop_front();
            }
            recent.push_back(line.clone());
        }
        if taken_apart.is_said() {
            said.push(line.clone());
        }
    }

    /// The latest lines that matter to whoever wants to know how a run came to its end, oldest first: 30 at most.
    pub fn recent(&self) -> Vec<String> {
        self.written().recent.iter().cloned().collect()
    }

    /// All lines so far that tell what a process said, oldest first, those of libraries included.
    pub fn said(&self) -> Vec<String> {
        self.written().said.clone()
    }

    /// What was exercised so far.
    pub fn coverage(&self) -> Coverage {
        self.written().coverage.clone()
    }

    /// Everything so far, in brief.
    pub fn digest(&self) -> Digest {
        let written = self.written();
        Digest { hash: written.hash.finalize(), events: written.events }
    }

    /// Hands on all lines.
    pub fn flush(&self) {
        if let Some(out) = &mut self.written().lines {
            // As with each line: who reads them may have gone.
            let _ = out.flush();
        }
    }

    /// Remembers a line that a library of others logged, for whoever looks for something in what was said. What a library logs is
    /// its own affair: it is no part of the trace, and two runs of a seed may differ in it.
    fn overhear(&self, told: String) {
        self.written().said.push(told);
    }

    /// A subscriber that records what our own crates log at debug and above, and remembers what all others log at info and above. It is
    /// for the simulating thread.
    pub fn subscriber(&self) -> impl Subscriber + Send + Sync + use<> {
        tracing_subscriber::registry().with(Logged(self.clone()).with_filter(tracing_subscriber::filter::filter_fn(|metadata| {
            let level = if is_ours(metadata) { LevelFilter::DEBUG } else { LevelFilter::INFO };
            metadata.is_event() && *metadata.level() <= level
        })))
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // Whoever panicked while a line was written left a line that is whole up to there.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'l> Line<'l> {
    /// Takes a line apart that a trace has written; none where none has.
    pub fn parse(line: &'l str) -> Option<Self> {
        let (at, rest) = line.split_once(' ')?;
        let (seconds, micros) = at.split_once('.')?;
        let (what, told) = rest.split_once(' ')?;
        if micros.len() != 6 {
            return None;
        }
        let at = Duration::from_secs(seconds.parse().ok()?) + Duration::from_micros(micros.parse().ok()?);
        Some(Self { at, what, told })
    }

    /// Whether it matters to a person: a single packet, a call, a point that was passed or a fault that came to nothing, and what is
    /// logged for those who look closely, do not; nor does that a disk lost nothing, since there was nothing to lose.
    pub fn matters(&self) -> bool {
        match self.what {
            "net" | "call" | "point" | "missed" => false,
            "disk" => !self.told.ends_with(" kept 0 of 0"),
            "log" => self.logged().is_some_and(|logged| logged.level != "DEBUG"),
            _ => true,
        }
    }

    /// Whether it tells what a process said: what it logged, or why it ended.
    pub fn is_said(&self) -> bool {
        matches!(self.what, "log" | "host")
    }

    /// What a line that was logged says.
    pub fn logged(&self) -> Option<LoggedLine<'l>> {
        if self.what != "log" {
            return None;
        }
        let mut parts = self.told.splitn(4, ' ');
        let (process, level, _target) = (parts.next()?, parts.next()?, parts.next()?);
        Some(LoggedLine { process, level, message: parts.next().unwrap_or_default() })
    }
}

/// A line that a process logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedLine<'l> {
    /// Who logged it.
    pub process: &'l str,
    /// How much it matters: `ERROR`, `WARN`, `INFO` or `DEBUG`.
    pub level: &'l str,
    /// The message, and its fields.
    pub message: &'l str,
}

impl fmt::Debug for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digest().fmt(formatter)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} over {} events", self.hash.to_hex(), self.events)
    }
}

/// Hands what is logged to the trace.
struct Logged(Trace);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Logged {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut fields = Fields(String::new());
        event.record(&mut fields);
        let metadata = event.metadata();
        let group = Group::current();
        let process = group.as_ref().map_or("world", Group::name);
        let (level, target) = (metadata.level(), metadata.target());
        if is_ours(metadata) {
            self.0.record("log", format_args!("{process} {level} {target}{}", fields.0));
        } else {
            self.0.overhear(format!("log {process} {level} {target}{}", fields.0));
        }
    }
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("bursar")
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        written.expect("a text takes whatever is logged");
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    /// Shares what is written to it.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn everything_that_differs_shows_in_the_hash() {
        let trace_of = async |what: &str, told: u32, bytes: &[u8], late: u64| {
            let trace = Trace::begin(None);
            sleep(Duration::from_millis(late)).await;
            trace.record_with(what, format_args!("{told}"), bytes);
            trace.digest()
        };
        let usual = trace_of("net", 7, b"abc", 5).await;
        assert_eq!(trace_of("net", 7, b"abc", 5).await, usual);
        assert_ne!(trace_of("disk", 7, b"abc", 5).await, usual);
        assert_ne!(trace_of("net", 8, b"abc", 5).await, usual);
        assert_ne!(trace_of("net", 7, b"abd", 5).await, usual);
        assert_ne!(trace_of("net", 7, b"abc", 6).await, usual);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_is_taken_apart_as_it_was_put_together() {
        let lines = Shared::default();
        let trace = Trace::begin(Some(Box::new(lines.clone())));
        sleep(Duration::from_millis(20_445)).await;
        trace.record("host", format_args!("a2 authority-2 starts"));
        let told = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let at = Duration::from_millis(20_445);
        assert_eq!(Line::parse(told.trim_end()), Some(Line { at, what: "host", told: "a2 authority-2 starts" }));
        for wrong in ["", "host a2 starts", "20.5 host a2 starts", "20.445000 host"] {
            assert_eq!(Line::parse(wrong), None, "{wrong}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_latest_lines_that_matter_are_remembered() {
        let trace = Trace::begin(None);
        for number in 0..40 {
            trace.record("host", format_args!("a1 {number}"));
            trace.record("net", format_args!("a packet"));
            trace.record("disk", format_args!("a1 store /log kept 0 of 0"));
            trace.record("log", format_args!("a1 DEBUG bursar_raft::peers for those who look closely"));
        }
        trace.record("log", format_args!("a1 INFO bursar_raft::duty this node leads"));
        let recent = trace.recent();
        assert_eq!(recent.len(), RECENT_MAX);
        assert_eq!(recent[0], "0.000000 host a1 11");
        assert_eq!(recent[RECENT_MAX - 1], "0.000000 log a1 INFO bursar_raft::duty this node leads");
        // What was said is remembered all, for whoever looks for something in it.
        let said = trace.said();
        assert_eq!((said.len(), said[1].as_str()), (81, "0.000000 log a1 DEBUG bursar_raft::peers for those who look closely"));
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_lines_are_recorded_from_debug_up_and_those_of_others_remembered_from_info_up() {
        let lines = Shared::default();
        let trace = Trace::begin(Some(Box::new(lines.clone())));
        tracing::subscriber::with_default(trace.subscriber(), || {
            tracing::debug!(number = 7, "ours");
            tracing::trace!("too fine");
            tracing::info!(target: "hyper", number = 8, "not ours");
            tracing::debug!(target: "hyper", "too fine");
        });
        let told = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(told, "0.000000 log world DEBUG bursar_simulations::trace::tests ours number=7\n");
        assert_eq!(trace.digest().events, 1);
        assert_eq!(trace.said(), [told.trim_end(), "log world INFO hyper not ours number=8"]);
    }
}
