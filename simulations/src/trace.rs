//! What happened in a world, as a running hash and, where somebody wants to read it, as lines.
//!
//! Everything that could tell two runs apart goes in: each delivery of the network with its bytes, each fault, each blocking
//! job, each line that our code logs at debug. Two runs of a seed are the same run if their hashes are.

use std::fmt::{self, Write as _};
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use blake3::{Hash, Hasher};
use bursar_net::tasks::Group;
use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

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
        let written = Written { hash: Hasher::new(), events: 0, lines, line: String::new() };
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
        let Written { hash, events, lines, line } = &mut *written;
        line.clear();
        write!(line, "{}.{:06} {what} {told}", at.as_secs(), at.subsec_micros()).expect("a text takes whatever is told");
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

    /// A subscriber that records what our own crates log at debug and above. It is for the simulating thread.
    pub fn subscriber(&self) -> impl Subscriber + Send + Sync + use<> {
        tracing_subscriber::registry().with(Logged(self.clone()).with_filter(tracing_subscriber::filter::filter_fn(|metadata| {
            metadata.target().starts_with("bursar") && *metadata.level() <= LevelFilter::DEBUG
        })))
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // Whoever panicked while a line was written left a line that is whole up to there.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        self.0.record("log", format_args!("{process} {} {}{}", metadata.level(), metadata.target(), fields.0));
    }
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
    async fn our_own_lines_are_recorded_from_debug_up() {
        let lines = Shared::default();
        let trace = Trace::begin(Some(Box::new(lines.clone())));
        tracing::subscriber::with_default(trace.subscriber(), || {
            tracing::debug!(number = 7, "ours");
            tracing::trace!("too fine");
            tracing::error!(target: "hyper", "not ours");
        });
        let told = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(told, "0.000000 log world DEBUG bursar_simulations::trace::tests ours number=7\n");
        assert_eq!(trace.digest().events, 1);
    }
}
