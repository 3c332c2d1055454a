//! What the API counts, in the text form of Prometheus
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>, version 0.0.4).

use std::{
    fmt::{Display, Write},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use axum::http::{Method, StatusCode};

/// The media type of [`Page`].
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const METHODS: [&str; 6] = ["GET", "POST", "PATCH", "PUT", "DELETE", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
const BUCKETS_MS: [u64; 10] = [1, 2, 5, 10, 25, 50, 100, 500, 2_500, 10_000];

/// The API's counters. They are bounded whatever comes in: a method, a class of statuses.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: [[AtomicU64; CLASSES.len()]; METHODS.len()],
    reads: Histogram,
    writes: Histogram,
    pub(crate) streams_opened: AtomicU64,
    pub(crate) stream_records: AtomicU64,
    pub(crate) stream_readers_too_slow: AtomicU64,
}

#[derive(Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS_MS.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
}

impl Metrics {
    /// Counts an answer.
    pub(crate) fn answered(&self, method: &Method, status: StatusCode, took: Duration) {
        let row = METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1);
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.requests[row][class].fetch_add(1, Relaxed);
        let histogram = if method.is_safe() { &self.reads } else { &self.writes };
        histogram.observe(took);
    }

    /// Writes the counters.
    pub(crate) fn write(&self, page: &mut Page) {
        page.family("bursar_http_requests_total", "counter", "Requests answered, by method and class of status.");
        for (method, row) in METHODS.iter().zip(&self.requests) {
            for (class, count) in CLASSES.iter().zip(row) {
                let count = count.load(Relaxed);
                if count > 0 {
                    page.sample("bursar_http_requests_total", &[("method", method), ("status", class)], count);
                }
            }
        }
        page.family("bursar_http_request_seconds", "histogram", "Time from a request's head to its answer's.");
        self.reads.write(page, "read");
        self.writes.write(page, "write");
        let counter =
            |page: &mut Page, name, help, counter: &AtomicU64| page.single(name, "counter", help, counter.load(Relaxed));
        counter(page, "bursar_streams_opened_total", "Event streams opened.", &self.streams_opened);
        counter(page, "bursar_stream_records_total", "Records sent on event streams.", &self.stream_records);
        counter(
            page,
            "bursar_stream_readers_too_slow_total",
            "Event streams ended because their reader took nothing.",
            &self.stream_readers_too_slow,
        );
    }
}

impl Histogram {
    fn observe(&self, took: Duration) {
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = BUCKETS_MS.iter().position(|bound_ms| microseconds <= bound_ms * 1_000) {
            self.buckets[bucket].fetch_add(1, Relaxed);
        }
        self.count.fetch_add(1, Relaxed);
        self.sum_us.fetch_add(microseconds, Relaxed);
    }

    fn write(&self, page: &mut Page, kind: &str) {
        let mut cumulative = 0;
        for (bound_ms, bucket) in BUCKETS_MS.iter().zip(&self.buckets) {
            cumulative += bucket.load(Relaxed);
            let bound = seconds(bound_ms * 1_000);
            page.sample("bursar_http_request_seconds_bucket", &[("kind", kind), ("le", &bound)], cumulative);
        }
        // Taken after the buckets, so that +Inf is never below the last of them.
        let count = self.count.load(Relaxed);
        page.sample("bursar_http_request_seconds_bucket", &[("kind", kind), ("le", "+Inf")], count);
        page.sample("bursar_http_request_seconds_sum", &[("kind", kind)], seconds(self.sum_us.load(Relaxed)));
        page.sample("bursar_http_request_seconds_count", &[("kind", kind)], count);
    }
}

fn seconds(microseconds: u64) -> String {
    format!("{}.{:06}", microseconds / 1_000_000, microseconds % 1_000_000)
}

/// A page of samples. Names and labels are ours: none needs an escape.
#[derive(Default)]
pub(crate) struct Page(String);

impl Page {
    /// Begins a family of samples.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    /// Writes a sample of the family that was begun.
    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> = labels.iter().map(|(label, text)| format!("{label}=\"{text}\"")).collect();
        match labels.as_slice() {
            [] => self.line(format_args!("{name} {value}")),
            labels => self.line(format_args!("{name}{{{}}} {value}", labels.join(","))),
        }
    }

    /// Writes a family of one sample.
    pub(crate) fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// The text.
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("writing into a text does not fail");
    }
}
