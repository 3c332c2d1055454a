//! Where tasks are born.
//!
//! A process ends with all its tasks, and one that is stopped polls none of them. A simulation runs the tasks of many machines on one
//! executor; so that it can stop and end those of one of them, every task is born here. What a program ships with is tokio's own
//! spawning and nothing else.

#[cfg(feature = "simulation")]
mod group;

use std::future::Future;

use tokio::task::{AbortHandle, JoinError, JoinHandle, JoinSet};

#[cfg(feature = "simulation")]
pub use group::Group;

/// Starts a task.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[cfg(feature = "simulation")]
    return group::spawn(future, tokio::spawn, JoinHandle::abort_handle);
    #[cfg(not(feature = "simulation"))]
    tokio::spawn(future)
}

/// Tasks whose ends are waited for in the order in which they come. Dropping it ends all of them.
#[derive(Debug)]
pub struct TaskSet<T> {
    tasks: JoinSet<T>,
}

impl<T: Send + 'static> TaskSet<T> {
    /// No task yet.
    pub fn new() -> Self {
        Self { tasks: JoinSet::new() }
    }

    /// Starts a task.
    pub fn spawn<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
    {
        #[cfg(feature = "simulation")]
        return group::spawn(future, |member| self.tasks.spawn(member), AbortHandle::clone);
        #[cfg(not(feature = "simulation"))]
        self.tasks.spawn(future)
    }

    /// Waits for the next task that ends; `None` where there is none. Dropping the future loses nothing.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.tasks.join_next().await
    }

    /// A task that has ended already, if there is one.
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.tasks.try_join_next()
    }

    /// What all tasks return, in the order in which they end. A panic in one of them is the caller's.
    pub async fn join_all(self) -> Vec<T> {
        self.tasks.join_all().await
    }

    /// Ends all tasks, and returns once they have ended.
    pub async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
    }

    /// How many tasks there are, ended ones included that nobody has joined.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }
}

impl<T: Send + 'static> Default for TaskSet<T> {
    fn default() -> Self {
        Self::new()
    }
}
