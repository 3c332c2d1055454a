//! Rounds of a question that one answer settles for all who waited when it was put.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{sync::oneshot, time::timeout};

/// One question, put again and again while somebody waits, and never twice at the same time.
///
/// Who comes while a round is under way waits for the next one: the answer under way may be older than the asking.
pub(crate) struct Rounds<T> {
    ask: Box<dyn Fn() -> BoxFuture<'static, T> + Send + Sync>,
    /// What a round gives that takes too long, or that breaks.
    overdue: T,
    timeout: Duration,
    waiting: Mutex<Waiting<T>>,
}

struct Waiting<T> {
    askers: Vec<oneshot::Sender<T>>,
    round_under_way: bool,
}

impl<T: Clone + Send + Sync + 'static> Rounds<T> {
    /// Rounds of `ask`, each of which is over after `timeout` and then gives `overdue`.
    pub(crate) fn new<F>(timeout: Duration, overdue: T, ask: impl Fn() -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = T> + Send + 'static,
    {
        Arc::new(Self {
            ask: Box::new(move || Box::pin(ask())),
            overdue,
            timeout,
            waiting: Mutex::new(Waiting { askers: Vec::new(), round_under_way: false }),
        })
    }

    /// The answer of a round that begins from now on.
    pub(crate) async fn next(self: &Arc<Self>) -> T {
        let (asker, answer) = oneshot::channel();
        let begins = {
            let mut waiting = self.waiting();
            waiting.askers.push(asker);
            !std::mem::replace(&mut waiting.round_under_way, true)
        };
        if begins {
            bursar_net::tasks::spawn(Arc::clone(self).go_round());
        }
        answer.await.unwrap_or_else(|_| self.overdue.clone())
    }

    async fn go_round(self: Arc<Self>) {
        while let Some(askers) = self.take() {
            // A round that breaks must not be the last one.
            let asked = AssertUnwindSafe(async { (self.ask)().await }).catch_unwind();
            let answer = match timeout(self.timeout, asked).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) | Err(_) => self.overdue.clone(),
            };
            for asker in askers {
                // Who no longer waits needs no answer.
                let _ = asker.send(answer.clone());
            }
        }
    }

    /// All who wait now; none ends the rounds.
    fn take(&self) -> Option<Vec<oneshot::Sender<T>>> {
        let mut waiting = self.waiting();
        waiting.round_under_way = !waiting.askers.is_empty();
        waiting.round_under_way.then(|| std::mem::take(&mut waiting.askers))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<T>> {
        // Nothing panics between two changes of it that belong together.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn who_comes_during_a_round_waits_for_the_next_one() {
        let (begun, may_end) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
        let (begins, ends) = (Arc::clone(&begun), Arc::clone(&may_end));
        let rounds = Rounds::new(Duration::from_secs(60), 0, move || {
            let (begins, ends) = (Arc::clone(&begins), Arc::clone(&ends));
            async move {
                let number = begins.fetch_add(1, Ordering::SeqCst) + 1;
                ends.acquire().await.expect("never closed").forget();
                number
            }
        });
        let ask = || {
            let rounds = Arc::clone(&rounds);
            tokio::spawn(async move { rounds.next().await })
        };
        let first = ask();
        while begun.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let late = [ask(), ask(), ask()];
        while rounds.waiting().askers.len() < late.len() {
            tokio::task::yield_now().await;
        }
        may_end.add_permits(2);
        assert_eq!(first.await.expect("no panic"), 1);
        for asker in late {
            assert_eq!(asker.await.expect("no panic"), 2);
        }
        assert_eq!(begun.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_that_takes_too_long_is_over() {
        let rounds = Rounds::new(Duration::from_millis(10), "overdue", std::future::pending);
        assert_eq!(rounds.next().await, "overdue");
        assert_eq!(rounds.next().await, "overdue");
    }

    #[tokio::test]
    async fn a_round_that_breaks_is_not_the_last_one() {
        let asked = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&asked);
        let rounds = Rounds::new(Duration::from_secs(60), 0, move || {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            async move { if number == 1 { panic!("out of luck") } else { number } }
        });
        assert_eq!(rounds.next().await, 0, "what broke is overdue");
        assert_eq!(rounds.next().await, 2);
    }
}
