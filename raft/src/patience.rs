//! Waiting between two attempts.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::leadership::{Leader, Leadership};

/// The first pause, doubled with each attempt up to the longest.
const PAUSE: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// What an attempt is given at least: one that is cut off would leave the fate of what was asked unknown for nothing.
const ATTEMPT_MIN: Duration = Duration::from_millis(20);

/// How long somebody has waited, and how long they still will.
pub(crate) struct Patience {
    began: Instant,
    deadline: Instant,
    pause: Duration,
}

impl Patience {
    /// Begins to wait, until `deadline` at most.
    pub(crate) fn new(deadline: Instant) -> Self {
        Self { began: Instant::now(), deadline, pause: PAUSE }
    }

    /// How long it has been, in milliseconds.
    pub(crate) fn waited_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Rests before the next attempt, shorter where another node than `tried` leads meanwhile. `false` where there is no time
    /// for another attempt.
    pub(crate) async fn rest(&mut self, leadership: &Leadership, tried: Leader) -> bool {
        let until = (Instant::now() + self.pause).min(self.deadline);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        let another = leadership.until_led(until, |leader| (leader != tried && leader != Leader::Unknown).then_some(()));
        if another.await.is_none() {
            // Also where the core is gone, so that nobody spins.
            sleep(until.saturating_duration_since(Instant::now())).await;
        }
        Instant::now() + ATTEMPT_MIN < self.deadline
    }
}
