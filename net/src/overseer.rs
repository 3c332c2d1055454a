//! What a simulation is told by a process from within, and does to it.
//!
//! Whoever starts a [`Group`](crate::tasks::Group) of tasks may give it an overseer. It hears of each named point that one of the
//! tasks passes ([`point!`](crate::point)), and says what becomes of each call that they make.

use std::fmt;
use std::panic::resume_unwind;
use std::time::Duration;

use crate::tasks::Group;

/// Looks after a process.
pub trait Overseer: fmt::Debug + Send + Sync {
    /// The process passes a named point, and may tell numbers.
    fn passes(&self, point: &'static str, numbers: &[u64]) -> Passing;

    /// What becomes of the call that the process makes now.
    fn fate_of_call(&self) -> CallFate;
}

/// Whether a process goes on behind a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// It does.
    GoesOn,
    /// It has ended: the overseer has seen to all of it but the task that is at the point.
    Ends,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFate {
    /// It is asked and answered.
    Carried,
    /// The question never arrives, and whoever asks waits in vain.
    Lost,
    /// The question is answered, and the answer never arrives.
    Unanswered,
    /// The question arrives once more, so long after it left.
    Repeated {
        /// How long after.
        after: Duration,
    },
    /// The question is on its way for so long before it is sent; others overtake it.
    Late {
        /// For how long.
        by: Duration,
    },
}

/// What unwinds a task that ends at a point. It is no panic: no hook hears of it.
#[derive(Debug)]
pub struct EndedAtPoint;

/// The task that calls passes a point. See [`point!`](crate::point).
///
/// # Panics
/// Unwinds with [`EndedAtPoint`] where the process ends here.
pub fn pass(point: &'static str, numbers: &[u64]) {
    let overseer = Group::current().and_then(|group| group.overseer().cloned());
    if overseer.is_some_and(|overseer| overseer.passes(point, numbers) == Passing::Ends) {
        resume_unwind(Box::new(EndedAtPoint));
    }
}

/// What becomes of the call that the calling task makes now.
pub fn fate_of_call() -> CallFate {
    let overseer = Group::current().and_then(|group| group.overseer().cloned());
    overseer.map_or(CallFate::Carried, |overseer| overseer.fate_of_call())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Ends whoever passes the point of this name.
    #[derive(Debug, Default)]
    struct Noting {
        ends_at: &'static str,
        passed: Mutex<Vec<(&'static str, Vec<u64>)>>,
    }

    impl Overseer for Noting {
        fn passes(&self, point: &'static str, numbers: &[u64]) -> Passing {
            self.passed.lock().unwrap().push((point, numbers.to_vec()));
            if point == self.ends_at { Passing::Ends } else { Passing::GoesOn }
        }

        fn fate_of_call(&self) -> CallFate {
            CallFate::Lost
        }
    }

    #[tokio::test]
    async fn a_task_goes_no_further_than_the_point_at_which_it_ends() {
        let overseer = Arc::new(Noting { ends_at: "second", ..Noting::default() });
        let group = Group::overseen("process", Arc::clone(&overseer) as Arc<dyn Overseer>);
        let ended = group.spawn(async {
            crate::point!("first", 7, 8);
            crate::point!("second");
            crate::point!("third");
        });
        assert!(ended.await.unwrap_err().into_panic().is::<EndedAtPoint>());
        assert_eq!(*overseer.passed.lock().unwrap(), [("first", vec![7, 8]), ("second", Vec::new())]);
    }

    #[tokio::test]
    async fn nobody_hears_of_tasks_that_nobody_oversees() {
        crate::point!("alone");
        assert_eq!(fate_of_call(), CallFate::Carried);
        let group = Group::overseen("process", Arc::<Noting>::default());
        assert_eq!(group.spawn(async { fate_of_call() }).await.unwrap(), CallFate::Lost);
    }
}
