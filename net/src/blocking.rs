//! Work that blocks its thread: disk, password hashing, large encodings.

use std::any::Any;
use std::sync::{Arc, mpsc};
use std::thread;

use tokio::sync::oneshot;

/// A piece of blocking work.
pub type Job = Box<dyn FnOnce() + Send>;

/// Runs blocking work away from the tasks that must stay responsive.
pub trait Blocking: Send + Sync + 'static {
    /// Runs `job` on its own, with no order towards other jobs.
    fn spawn(&self, job: Job);

    /// Makes a worker called `name` in logs and debuggers.
    fn worker(&self, name: &str) -> Arc<dyn Worker>;
}

/// Runs its jobs one after another, in the order of submission.
///
/// A job that panics ends its worker: what was submitted behind it relied on its effect, so it is
/// dropped without being run. Submitting never waits; how much may be under way is for the
/// submitter to bound. Where others wait for what a job tells them, the job itself catches a panic, so
/// that they are told of it.
pub trait Worker: Send + Sync + 'static {
    /// Queues `job` behind all that were submitted before.
    fn submit(&self, job: Job);
}

/// The job panicked, or was dropped unrun because a job before it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a blocking job was lost: it, or one before it on the same worker, panicked")]
pub struct JobLost;

/// What a panic said, where it said something.
pub fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it said nothing")
}

impl dyn Blocking + '_ {
    /// Runs `work` and hands back what it returns. Dropping the future does not stop work that has
    /// begun.
    pub async fn run<T, F>(&self, work: F) -> Result<T, JobLost>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (job, value) = job_with_value(work);
        self.spawn(job);
        value.await.map_err(|_| JobLost)
    }
}

impl dyn Worker + '_ {
    /// Runs `work` behind all that was submitted before and hands back what it returns. Dropping
    /// the future does not take it back.
    pub async fn run<T, F>(&self, work: F) -> Result<T, JobLost>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (job, value) = job_with_value(work);
        self.submit(job);
        value.await.map_err(|_| JobLost)
    }
}

fn job_with_value<T, F>(work: F) -> (Job, oneshot::Receiver<T>)
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let job = Box::new(move || {
        // Nobody waiting any more is no failure of the work.
        let _ = sender.send(work());
    });
    (job, receiver)
}

/// Real threads: tokio's blocking pool for single jobs, a thread of its own for each worker.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadBlocking;

impl Blocking for ThreadBlocking {
    fn spawn(&self, job: Job) {
        tokio::task::spawn_blocking(job);
    }

    fn worker(&self, name: &str) -> Arc<dyn Worker> {
        Arc::new(ThreadWorker::start(name))
    }
}

/// A thread of its own for each job, for which nothing waits: work on a disk that hangs may never end, and must not keep the
/// process from ending. How many there are at a time is for whoever gives the jobs to bound.
#[derive(Clone, Copy, Debug, Default)]
pub struct LooseThreads;

impl Blocking for LooseThreads {
    fn spawn(&self, job: Job) {
        // Where there is no thread to be had the job is dropped, and with it the sender that its submitter waits on.
        let _ = thread::Builder::new().name("loose".to_owned()).spawn(job);
    }

    fn worker(&self, name: &str) -> Arc<dyn Worker> {
        Arc::new(ThreadWorker::start(name))
    }
}

/// One thread, which ends after the last job once the worker is dropped.
struct ThreadWorker {
    jobs: mpsc::Sender<Job>,
}

impl ThreadWorker {
    fn start(name: &str) -> Self {
        let (jobs, submitted) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                for job in submitted {
                    job();
                }
            })
            .expect("the operating system starts a thread while the process starts up");
        Self { jobs }
    }
}

impl Worker for ThreadWorker {
    fn submit(&self, job: Job) {
        // After a panic nobody receives: the job is dropped here, and with it the sender that its
        // submitter waits on.
        let _ = self.jobs.send(job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_keeps_the_order_of_submission() {
        let worker = ThreadBlocking.worker("ordered");
        let (seen, order) = mpsc::channel();
        for number in 0..1000 {
            let seen = seen.clone();
            worker.submit(Box::new(move || seen.send(number).unwrap()));
        }
        worker.run(|| ()).await.unwrap();
        drop(seen);
        assert_eq!(order.iter().collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_was_submitted_before_the_last_handle_dropped_is_still_run() {
        let worker = ThreadBlocking.worker("dropped");
        let (done, finished) = oneshot::channel();
        worker.submit(Box::new(|| done.send(7).unwrap()));
        drop(worker);
        assert_eq!(finished.await, Ok(7));
    }

    #[tokio::test]
    async fn nothing_runs_behind_a_panic() {
        let worker = ThreadBlocking.worker("panicking");
        let lost = worker.run(|| panic!("planted")).await;
        assert_eq!(lost, Err::<(), _>(JobLost));
        assert_eq!(worker.run(|| 1).await, Err(JobLost));
    }

    #[test]
    fn a_panic_is_told_in_its_own_words() {
        let words = |work: fn()| words_of(std::panic::catch_unwind(work).unwrap_err().as_ref()).to_owned();
        assert_eq!(words(|| panic!("planted")), "planted");
        assert_eq!(words(|| panic!("planted {}", 7)), "planted 7");
        assert_eq!(words(|| std::panic::panic_any(7)), "it said nothing");
    }

    #[tokio::test]
    async fn a_single_job_hands_back_its_value() {
        for blocking in [&ThreadBlocking as &dyn Blocking, &LooseThreads] {
            assert_eq!(blocking.run(|| 6 * 7).await, Ok(42));
        }
    }

    #[test]
    fn a_job_that_hangs_on_a_loose_thread_keeps_nothing_from_ending() {
        let (release, held) = mpsc::channel::<()>();
        let (ended, seen) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            LooseThreads.spawn(Box::new(move || ended.send(held.recv().is_err()).unwrap()));
        });
        drop(runtime);
        assert!(seen.try_recv().is_err(), "it still hangs");
        drop(release);
        assert_eq!(seen.recv(), Ok(true));
    }
}
