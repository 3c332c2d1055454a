//! The tasks of one simulated machine.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::task::{AbortHandle, JoinHandle};

use crate::overseer::Overseer;

thread_local! {
    /// Whose task is being polled, or dropped.
    static CURRENT: RefCell<Option<Group>> = const { RefCell::new(None) };
}

/// Tasks that are paused and ended together: those that it was told to start, and all that they start.
#[derive(Clone, Debug, Default)]
pub struct Group {
    name: Arc<str>,
    overseer: Option<Arc<dyn Overseer>>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    stage: Stage,
    born: u64,
    living: BTreeMap<u64, AbortHandle>,
    /// Who is to be polled once the group goes on, by number.
    held: BTreeMap<u64, Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Running,
    Paused,
    Ended,
}

impl Group {
    /// A group without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// A group without tasks, with a name to tell it by.
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// A group without tasks, with a name to tell it by, and somebody who looks after it.
    pub fn overseen(name: &str, overseer: Arc<dyn Overseer>) -> Self {
        Self { overseer: Some(overseer), ..Self::named(name) }
    }

    /// What it is called; nothing where nobody gave it a name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who looks after it, where anybody does.
    pub fn overseer(&self) -> Option<&Arc<dyn Overseer>> {
        self.overseer.as_ref()
    }

    /// The group of the task that calls, if it is in one.
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Starts a task in this group.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let _entered = Entered::enter(Some(self.clone()));
        super::spawn(future)
    }

    /// Polls none of its tasks any more until it is resumed. Time goes on meanwhile, as for a process that is stopped.
    pub fn pause(&self) {
        let mut shared = self.shared();
        if shared.stage == Stage::Running {
            shared.stage = Stage::Paused;
        }
    }

    /// Polls its tasks again.
    pub fn resume(&self) {
        let held = {
            let mut shared = self.shared();
            if shared.stage == Stage::Paused {
                shared.stage = Stage::Running;
            }
            std::mem::take(&mut shared.held)
        };
        held.into_values().for_each(Waker::wake);
    }

    /// Ends all its tasks: none is polled again, and what they hold is dropped when the executor comes to it. A task that is
    /// started in it afterwards is never polled.
    pub fn end(&self) {
        let living = {
            let mut shared = self.shared();
            shared.stage = Stage::Ended;
            shared.held.clear();
            std::mem::take(&mut shared.living)
        };
        for task in living.into_values() {
            task.abort();
        }
    }

    /// How many of its tasks have not ended.
    pub fn living(&self) -> usize {
        self.shared().living.len()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a task within the group of the one that calls, by `start`.
pub(super) fn spawn<F, H>(future: F, start: impl FnOnce(Member<F>) -> H, abort: impl FnOnce(&H) -> AbortHandle) -> H
where
    F: Future,
{
    let group = Group::current();
    let number = group.as_ref().map_or(0, |group| {
        let mut shared = group.shared();
        shared.born += 1;
        shared.born
    });
    let handle = start(Member { group: group.clone(), number, future: Some(Box::pin(future)) });
    if let Some(group) = group {
        let task = abort(&handle);
        let mut shared = group.shared();
        match shared.stage {
            Stage::Ended => task.abort(),
            // It may have ended already where executors have several threads.
            _ if task.is_finished() => {}
            _ => drop(shared.living.insert(number, task)),
        }
    }
    handle
}

/// A task of a group, or of none.
pub(super) struct Member<F: Future> {
    group: Option<Group>,
    number: u64,
    /// Gone once it is done, or ended.
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for Member<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let member = &mut *self;
        if let Some(group) = &member.group {
            let mut shared = group.shared();
            match shared.stage {
                Stage::Running => {}
                Stage::Paused => {
                    shared.held.insert(member.number, context.waker().clone());
                    return Poll::Pending;
                }
                Stage::Ended => return Poll::Pending,
            }
        }
        let _entered = Entered::enter(member.group.clone());
        let future = member.future.as_mut().expect("a task that is done is not polled");
        let output = std::task::ready!(future.as_mut().poll(context));
        member.future = None;
        Poll::Ready(output)
    }
}

impl<F: Future> Drop for Member<F> {
    fn drop(&mut self) {
        let Some(group) = self.group.clone() else { return };
        group.shared().living.remove(&self.number);
        // What a destructor starts belongs to the same machine.
        let _entered = Entered::enter(Some(group));
        self.future = None;
    }
}

/// Says whose task runs, until it is dropped.
struct Entered {
    before: Option<Group>,
}

impl Entered {
    fn enter(group: Option<Group>) -> Self {
        Self { before: CURRENT.replace(group) }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before.take());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::tasks::{TaskSet, spawn};

    /// Counts seconds, in a task of a set of a task.
    fn counting(group: &Group) -> Arc<AtomicU64> {
        let seconds = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&seconds);
        group.spawn(async move {
            let mut tasks = TaskSet::new();
            tasks.spawn(async move {
                loop {
                    sleep(Duration::from_secs(1)).await;
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            });
            tasks.join_next().await
        });
        seconds
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_paused_group_has_slept_through_it_finds_when_it_is_resumed() {
        let (group, other) = (Group::new(), Group::new());
        let (seconds, others) = (counting(&group), counting(&other));
        sleep(Duration::from_millis(2_500)).await;
        group.pause();
        sleep(Duration::from_secs(10)).await;
        assert_eq!((seconds.load(Ordering::SeqCst), others.load(Ordering::SeqCst)), (2, 12));
        let resumed = Instant::now();
        group.resume();
        while seconds.load(Ordering::SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(resumed.elapsed(), Duration::ZERO, "its timer had been due");
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_ends_with_all_that_its_tasks_have_started() {
        let (group, other) = (Group::new(), Group::new());
        let (seconds, others) = (counting(&group), counting(&other));
        sleep(Duration::from_millis(1_500)).await;
        assert_eq!(group.living(), 2);
        group.end();
        sleep(Duration::from_secs(10)).await;
        assert_eq!((seconds.load(Ordering::SeqCst), others.load(Ordering::SeqCst)), (1, 11));
        assert_eq!((group.living(), other.living()), (0, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_ended_group_starts_never_runs() {
        struct Starter(Option<oneshot::Sender<()>>);
        impl Drop for Starter {
            fn drop(&mut self) {
                let sender = self.0.take();
                spawn(async move { sender.map(|sender| sender.send(())) });
            }
        }
        let group = Group::new();
        let (sender, receiver) = oneshot::channel();
        let starter = Starter(Some(sender));
        group.spawn(async move {
            let _held = starter;
            std::future::pending::<()>().await;
        });
        tokio::task::yield_now().await;
        group.end();
        assert!(receiver.await.is_err(), "a task that the destructor started ran");
        let late = group.spawn(async {});
        assert!(late.await.is_err_and(|error| error.is_cancelled()));
    }

    #[tokio::test]
    async fn tasks_outside_of_a_group_are_tokios_own() {
        assert!(Group::current().is_none());
        assert!(spawn(async { Group::current().is_none() }).await.expect("it runs"));
    }
}
