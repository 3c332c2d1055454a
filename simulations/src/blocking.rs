//! Work that blocks, in virtual time: it takes as long as the disk behind it is slow, and then happens at once.

use std::collections::BTreeMap;
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
    usual_ms: u64,
    drags: watch::Sender<Drags>,
}

/// What keeps work from its usual pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drag {
    /// Each piece that begins takes up to so many milliseconds.
    WithinMs(u64),
    /// None begins.
    Hanging,
}

/// A drag that is in effect.
#[derive(Debug)]
pub struct Dragged(u64);

#[derive(Debug, Default)]
struct Drags {
    next: u64,
    in_effect: BTreeMap<u64, Drag>,
}

impl Pace {
    /// Each piece takes any time up to `usual_ms` milliseconds.
    pub fn new(usual_ms: u64, chance: Stream) -> Self {
        Self { chance: Arc::new(Mutex::new(chance)), usual_ms, drags: watch::Sender::default() }
    }

    /// Lets work drag until [`release`](Self::release). Of several drags the longest counts.
    pub fn drag(&self, drag: Drag) -> Dragged {
        let mut number = 0;
        self.drags.send_modify(|drags| {
            number = drags.next;
            drags.next += 1;
            drags.in_effect.insert(number, drag);
        });
        Dragged(number)
    }

    /// Ends a drag.
    pub fn release(&self, Dragged(number): Dragged) {
        self.drags.send_modify(|drags| {
            drags.in_effect.remove(&number);
        });
    }

    /// Ends all drags.
    pub fn release_all(&self) {
        self.drags.send_modify(|drags| drags.in_effect.clear());
    }

    /// Returns when a piece of work that begins now has been done.
    async fn keep(&self) {
        let mut drags = self.drags.subscribe();
        let within_ms = {
            let drags = drags.wait_for(|drags| !drags.hang()).await.expect("this pace holds the sender");
            drags.within_ms().max(self.usual_ms)
        };
        let drawn = self.chance.lock().unwrap_or_else(PoisonError::into_inner).within(0..=within_ms);
        // A sleep of nothing returns at once; everybody else gets a turn all the same, as beside a real thread.
        tokio::task::yield_now().await;
        sleep(Duration::from_millis(drawn)).await;
    }
}

impl Drags {
    fn hang(&self) -> bool {
        self.in_effect.values().any(|drag| *drag == Drag::Hanging)
    }

    fn within_ms(&self) -> u64 {
        let within_ms = |drag: &Drag| if let Drag::WithinMs(within_ms) = drag { *within_ms } else { 0 };
        self.in_effect.values().map(within_ms).max().unwrap_or(0)
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
        self.drags.borrow().fmt(formatter)
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
        let hanging = pace.drag(Drag::Hanging);
        let lost = blocking.worker("lost");
        let (done, lost) = (lost.clone(), async move { (&*lost as &dyn Worker).run(|| 1).await });
        let ended = tokio::spawn(lost);
        assert!(timeout(Duration::from_secs(3_600), std::future::pending::<()>()).await.is_err());
        assert!(!ended.is_finished(), "it hangs");
        process.end();
        assert_eq!(ended.await.unwrap(), Err(JobLost));
        pace.release(hanging);
        assert_eq!(done.run(|| 1).await, Err(JobLost), "the process is no more");
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_hangs_is_done_once_the_disk_answers_again() {
        let (_, pace, blocking) = blocking(0);
        let (first, second) = (pace.drag(Drag::Hanging), pace.drag(Drag::Hanging));
        let begun = Instant::now();
        let waited = tokio::spawn(async move { (&blocking as &dyn Blocking).run(|| 7).await });
        sleep(Duration::from_secs(30)).await;
        pace.release(second);
        sleep(Duration::from_secs(30)).await;
        pace.release(first);
        assert_eq!(waited.await.unwrap(), Ok(7));
        assert_eq!(begun.elapsed(), Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_drags_the_longest_counts_and_each_ends_for_itself() {
        let (_, pace, blocking) = blocking(1);
        let longest = async || {
            let mut longest = Duration::ZERO;
            for _ in 0..50 {
                let begun = Instant::now();
                (&blocking as &dyn Blocking).run(|| ()).await.unwrap();
                longest = longest.max(begun.elapsed());
            }
            longest.as_millis()
        };
        let (long, short) = (pace.drag(Drag::WithinMs(1_000)), pace.drag(Drag::WithinMs(100)));
        assert!((500..=1_000).contains(&longest().await));
        pace.release(long);
        assert!((50..=100).contains(&longest().await));
        pace.release(short);
        assert!(longest().await <= 1);
        let _ = pace.drag(Drag::WithinMs(1_000));
        pace.release_all();
        assert!(longest().await <= 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_runs_behind_a_panic() {
        let (_, _, blocking) = blocking(1);
        let worker = blocking.worker("panicking");
        assert_eq!(worker.run(|| panic!("planted")).await, Err::<(), _>(JobLost));
        assert_eq!(worker.run(|| 1).await, Err(JobLost));
    }
}
