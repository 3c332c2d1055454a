//! The wall clock.
//!
//! Only stamps that people or certificates read come from here. Everything that measures a span —
//! timeouts, deadlines, intervals — uses [`tokio::time::Instant`] and [`tokio::time::sleep`], which
//! never jump and which a simulation can pause.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// Tells the time of day.
pub trait WallClock: Send + Sync + 'static {
    /// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted. It may jump, in either
    /// direction.
    fn now_unix_ms(&self) -> u64;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl WallClock for SystemClock {
    fn now_unix_ms(&self) -> u64 {
        // A clock before 1970 is a broken clock; 0 is the least wrong answer that certificates will
        // still refuse.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Lets rustls judge the validity of certificates by one of our clocks.
pub(crate) struct CertificateTime(pub(crate) std::sync::Arc<dyn WallClock>);

impl TimeProvider for CertificateTime {
    fn current_time(&self) -> Option<UnixTime> {
        let since_epoch = Duration::from_millis(self.0.now_unix_ms());
        Some(UnixTime::since_unix_epoch(since_epoch))
    }
}

impl fmt::Debug for CertificateTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CertificateTime")
    }
}
