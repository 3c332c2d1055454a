//! Work that blocks, in virtual time: it takes as long as the disk behind it is slow, and then happens at once.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bursar_net::tasks::Group;
use bursar_net::{Blocking, Job, Worker};
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::draws::Stream;

/// How long a piece of work takes on a machine. Clones are of the same machine.
#[derive(Clone)]
pub struct Pace {
    chance: Arc<Mutex<Stream>>,
    set: watch::Sender<Set>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    /// Up to so many milliseconds.
    WithinMs(u64),
    /// Until it changes.
    Hanging,
}

impl Pace {
    /// Each piece takes any time up to `usual_ms` milliseconds.
    pub fn new(usual_ms: u64, chance: Stream) -> Self {
        Self { chance: Arc::new(Mutex::new(chance)), set: watch::Sender::new(Set::WithinMs(usual_ms)) }
    }

    /// Lets each piece that begins from now on take up to `within_ms` milliseconds.
    pub fn slow_to(&self, within_ms: u64) {
        self.set.send_replace(Set::WithinMs(within_ms));
    }

    /// Lets no piece begin until the pace is set again.
    pub fn hang(&self) {
        self.set.send_replace(Set::Hanging);
    }

    /// Returns when a piece of work that begins now has been done.
    async fn keep(&self) {
        let mut set = self.set.subscribe();
        let set = *set.wait_for(|set| *set != Set::Hanging).await.expect("this pace holds the sender");
        if let Set::WithinMs(within_ms) = set {
            let drawn = self.chance.lock().unwrap_or_else(PoisonError::into_inner).within(0..=within_ms);
            // A sleep of nothing returns at once; everybody else gets a turn all the same, as beside a real thread.
            tokio::task::yield_now().await;
            sleep(Duration::from_millis(drawn)).await;
        }
    }
}

/// [`Blocking`] for a process: its jobs are tasks of the process, which end unfinished with it.
#[derive(Clone, Debug)]
pub struct HostBlocking {
    process: Group,
    pace: Pace,
}

impl HostBlocking {
    /// For the process whose tasks are those of `process`.
    pub fn new(process: Group, pace: Pace) -> Self {
        Self { process, pace }
    }
}

impl Blocking for HostBlocking {
    fn spawn(&self, job: Job) {
        let pace = self.pace.clone();
        self.process.spawn(async move {
            pace.keep().await;
            job();
        });
    }

    fn worker(&self, _name: &str) -> Arc<dyn Worker> {
        let (jobs, mut submitted) = mpsc::unbounded_channel::<Job>();
        let pace = self.pace.clone();
        self.process.spawn(async move {
            while let Some(job) = submitted.recv().await {
                pace.keep().await;
                job();
            }
        });
        Arc::new(HostWorker { jobs })
    }
}

/// One task, which ends after the last job once the worker is dropped, or with a job that panics.
struct HostWorker {
    jobs: mpsc::UnboundedSender<Job>,
}

impl Worker for HostWorker {
    fn submit(&self, job: Job) {
        // After a panic nobody receives: the job is dropped here, and with it the sender that its submitter waits on.
        let _ = self.jobs.send(job);
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.set.borrow().fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use bursar_net::JobLost;
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::draws::Draws;

    fn blocking(usual_ms: u64) -> (Group, Pace, HostBlocking) {
        let (process, pace) = (Group::new(), Pace::new(usual_ms, Draws::of_seed(7).stream("pace")));
        (process.clone(), pace.clone(), HostBlocking::new(process, pace))
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_keeps_the_order_of_submission_however_long_each_job_takes() {
        let (_, _, blocking) = blocking(50);
        let begun = Instant::now();
        let worker = blocking.worker("ordered");
        let seen = Arc::new(Mutex::new(Vec::new()));
        for number in 0..100 {
            let seen = Arc::clone(&seen);
            worker.submit(Box::new(move || seen.lock().unwrap().push(number)));
        }
        worker.run(|| ()).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), (0..100).collect::<Vec<_>>());
        assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn single_jobs_pass_each_other() {
        let (_, _, blocking) = blocking(50);
        let (seen, mut order) = mpsc::unbounded_channel();
        for number in 0..100 {
            let seen = seen.clone();
            blocking.spawn(Box::new(move || seen.send(number).unwrap()));
        }
        drop(seen);
        let mut numbers = Vec::new();
        order.recv_many(&mut numbers, 1).await;
        while order.recv_many(&mut numbers, 100).await > 0 {}
        assert_ne!(numbers, (0..100).collect::<Vec<_>>());
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_in_flight_is_lost_with_its_process() {
        let (process, pace, blocking) = blocking(0);
        pace.hang();
        let lost = blocking.worker("lost");
        let (done, lost) = (lost.clone(), async move { (&*lost as &dyn Worker).run(|| 1).await });
        let ended = tokio::spawn(lost);
        assert!(timeout(Duration::from_secs(3_600), std::future::pending::<()>()).await.is_err());
        assert!(!ended.is_finished(), "it hangs");
        process.end();
        assert_eq!(ended.await.unwrap(), Err(JobLost));
        pace.slow_to(0);
        assert_eq!(done.run(|| 1).await, Err(JobLost), "the process is no more");
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_hangs_is_done_once_the_disk_answers_again() {
        let (_, pace, blocking) = blocking(0);
        pace.hang();
        let begun = Instant::now();
        let waited = tokio::spawn(async move { (&blocking as &dyn Blocking).run(|| 7).await });
        sleep(Duration::from_secs(60)).await;
        pace.slow_to(0);
        assert_eq!(waited.await.unwrap(), Ok(7));
        assert_eq!(begun.elapsed(), Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_runs_behind_a_panic() {
        let (_, _, blocking) = blocking(1);
        let worker = blocking.worker("panicking");
        assert_eq!(worker.run(|| panic!("planted")).await, Err::<(), _>(JobLost));
        assert_eq!(worker.run(|| 1).await, Err(JobLost));
    }
}
