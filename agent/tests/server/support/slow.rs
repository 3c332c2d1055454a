//! Parts of the world that take their time, or have lost it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use bursar_net::{Blocking, Job, SystemClock, ThreadBlocking, WallClock, Worker};
use tokio::sync::Notify;

/// Runs what blocks, but for one job, which it holds for as long as the test likes.
#[derive(Default)]
pub struct HeldBlocking {
    /// How many jobs are run before one is held; none is where it is not said.
    runs: Mutex<Option<usize>>,
    held: Mutex<Option<Job>>,
    holds: Notify,
}

impl HeldBlocking {
    /// Holds the job that comes after `runs` others.
    pub fn hold_after(&self, runs: usize) {
        *self.runs.lock().unwrap() = Some(runs);
    }

    /// Waits until it holds its job.
    pub async fn holds(&self) {
        self.holds.notified().await;
    }

    /// Runs it at last.
    pub fn release(&self) {
        let held = self.held.lock().unwrap().take().expect("it holds a job");
        held();
    }
}

impl Blocking for HeldBlocking {
    fn spawn(&self, job: Job) {
        let mut runs = self.runs.lock().unwrap();
        let is_held = *runs == Some(0);
        *runs = runs.and_then(|runs| runs.checked_sub(1));
        if is_held {
            *self.held.lock().unwrap() = Some(job);
            self.holds.notify_one();
        } else {
            ThreadBlocking.spawn(job);
        }
    }

    fn worker(&self, name: &str) -> Arc<dyn Worker> {
        ThreadBlocking.worker(name)
    }
}

/// A clock that shows the time of day, and so many milliseconds more.
#[derive(Default)]
pub struct LateClock(AtomicU64);

impl LateClock {
    pub fn by_ms(late_ms: u64) -> Self {
        Self(AtomicU64::new(late_ms))
    }

    pub fn set_late_ms(&self, late_ms: u64) {
        self.0.store(late_ms, Ordering::SeqCst);
    }
}

impl WallClock for LateClock {
    fn now_unix_ms(&self) -> u64 {
        SystemClock.now_unix_ms() + self.0.load(Ordering::SeqCst)
    }
}
