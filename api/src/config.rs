//! The bounds of the API.

use std::time::Duration;

use bursar_net::ConnectionLimits;

/// How much the API takes on at a time, and how long it waits.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long a request may take to be decided or confirmed.
    pub deadline: Duration,
    /// Requests at a time of callers who show a token that stands; streams are not counted.
    pub requests_max: usize,
    /// Requests at a time of everybody else. They have places of their own, so that a flood of them takes nothing from callers
    /// who are known.
    pub strangers_max: usize,
    /// The most bytes in a request's body.
    pub body_bytes_max: usize,
    /// The most bytes in the body of a request without a token.
    pub stranger_body_bytes_max: usize,
    /// How long a request's body may take to arrive.
    pub body_timeout: Duration,
    /// Versions of the past that are made and kept at a time; each takes as much memory as the state, and the processor time of a fold.
    pub past_versions_max: usize,
    /// Event streams at a time.
    pub streams_max: usize,
    /// About how many bytes of the journal a stream holds for its reader.
    pub stream_page_bytes: usize,
    /// How long a stream waits for a reader that takes nothing.
    pub stream_write_timeout: Duration,
    /// How often a stream tells its reader where it is when there is nothing else to say.
    pub bookmark_interval: Duration,
    /// Unknown tokens have the leader asked at most this often.
    pub token_refresh_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            requests_max: 4_096,
            strangers_max: 64,
            body_bytes_max: 1 << 20,
            stranger_body_bytes_max: 8 << 10,
            body_timeout: Duration::from_secs(10),
            past_versions_max: 2,
            streams_max: 1_024,
            stream_page_bytes: 64 << 10,
            stream_write_timeout: Duration::from_secs(30),
            bookmark_interval: bursar_wire::events::BOOKMARK_INTERVAL,
            token_refresh_interval: Duration::from_millis(50),
        }
    }
}

/// The bounds of the port that the API is served on.
#[derive(Clone, Copy, Debug)]
pub struct ServeLimits {
    /// Of its connections.
    pub connections: ConnectionLimits,
    /// How long a request's head may take to arrive; also how long a kept connection may rest.
    pub head_timeout: Duration,
    /// The most bytes in a request's head.
    pub head_bytes_max: usize,
    /// How long a write may wait for a peer that takes nothing.
    pub write_timeout: Duration,
    /// HTTP/2 requests at a time on one connection.
    pub requests_per_connection: u32,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections: ConnectionLimits { max_connections: 8_192, max_per_address: 4_096, ..ConnectionLimits::default() },
            head_timeout: Duration::from_secs(30),
            head_bytes_max: 64 << 10,
            write_timeout: Duration::from_secs(30),
            requests_per_connection: 128,
        }
    }
}
