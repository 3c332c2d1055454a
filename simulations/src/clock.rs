//! The wall clocks of machines: wrong in the ways in which such clocks are.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bursar_net::WallClock;
use tokio::time::Instant;

use crate::shim::EPOCH_SECONDS;

/// The wall clock of a machine. Clones are the same clock.
///
/// Spans of time are those of the runtime, alike on all machines: it is only this clock that drifts.
#[derive(Clone, Debug)]
pub struct HostClock {
    set: Arc<Mutex<Setting>>,
}

/// What the clock showed when it was last set, and how fast it has gone since.
#[derive(Clone, Copy, Debug)]
struct Setting {
    at: Instant,
    shown_microseconds: i128,
    drift_parts_per_million: i32,
}

impl HostClock {
    /// A clock that is right.
    pub fn new() -> Self {
        Self::of_world(Instant::now())
    }

    /// A clock that is right, in a world that began at `begun`.
    pub fn of_world(begun: Instant) -> Self {
        let shown_microseconds = i128::from(EPOCH_SECONDS) * 1_000_000;
        Self { set: Arc::new(Mutex::new(Setting { at: begun, shown_microseconds, drift_parts_per_million: 0 })) }
    }

    /// Puts the clock forward, or back, by so many milliseconds.
    pub fn jump(&self, by_ms: i64) {
        let mut set = self.set();
        *set = set.now();
        set.shown_microseconds += i128::from(by_ms) * 1_000;
    }

    /// Lets the clock run too fast, or too slow, by so many parts per million.
    pub fn drift(&self, parts_per_million: i32) {
        let mut set = self.set();
        *set = Setting { drift_parts_per_million: parts_per_million, ..set.now() };
    }

    /// Lets the clock run faster than it does, or slower, by so many parts per million.
    pub fn drift_by(&self, parts_per_million: i32) {
        let mut set = self.set();
        *set = set.now();
        set.drift_parts_per_million += parts_per_million;
    }

    /// Sets the clock right, as a time server does.
    pub fn set_right(&self, begun: Instant) {
        *self.set() = *Self::of_world(begun).set();
    }

    fn set(&self) -> MutexGuard<'_, Setting> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for HostClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Setting {
    fn now(&self) -> Self {
        let at = Instant::now();
        let passed = microseconds(at - self.at);
        let drifted = passed * i128::from(self.drift_parts_per_million) / 1_000_000;
        Self { at, shown_microseconds: self.shown_microseconds + passed + drifted, ..*self }
    }
}

fn microseconds(span: Duration) -> i128 {
    i128::try_from(span.as_micros()).expect("a world is not that old")
}

impl WallClock for HostClock {
    fn now_unix_ms(&self) -> u64 {
        let shown = self.set().now().shown_microseconds;
        u64::try_from(shown / 1_000).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const EPOCH_MS: u64 = EPOCH_SECONDS * 1_000;

    #[tokio::test(start_paused = true)]
    async fn a_clock_is_right_until_it_is_made_wrong() {
        let begun = Instant::now();
        let clock = HostClock::new();
        assert_eq!(clock.now_unix_ms(), EPOCH_MS);
        sleep(HOUR).await;
        assert_eq!(clock.now_unix_ms(), EPOCH_MS + 3_600_000);
        clock.jump(-10_000);
        assert_eq!(clock.now_unix_ms(), EPOCH_MS + 3_590_000);
        clock.drift(1_000);
        sleep(HOUR).await;
        assert_eq!(clock.now_unix_ms(), EPOCH_MS + 3_590_000 + 3_603_600);
        clock.drift_by(-2_000);
        sleep(HOUR).await;
        assert_eq!(clock.now_unix_ms(), EPOCH_MS + 3_590_000 + 7_200_000);
        clock.set_right(begun);
        assert_eq!(clock.now_unix_ms(), EPOCH_MS + 3 * 3_600_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_before_1970_shows_the_beginning() {
        let clock = HostClock::new();
        clock.jump(i64::MIN);
        assert_eq!(clock.now_unix_ms(), 0);
    }
}
