//! What becomes of a call in a simulation: its overseer says so ([`CallFate`]).

use bytes::Bytes;
use tokio::time::{Instant, sleep, sleep_until};

use super::{CallError, Caller};
use crate::overseer::{CallFate, fate_of_call};
use crate::tasks;

/// Asks by way of `caller`, as far as the fate of the call allows it.
pub(super) async fn call(caller: &Caller, body: Bytes, deadline: Instant) -> Result<Bytes, CallError> {
    match fate_of_call() {
        CallFate::Carried => caller.carry(body, deadline).await,
        CallFate::Lost => {
            sleep_until(deadline).await;
            Err(CallError::Deadline)
        }
        CallFate::Unanswered => caller.carry(body, deadline).await.and(Err(CallError::Lost)),
        CallFate::Repeated { after } => {
            let (again, repeated) = (caller.clone(), body.clone());
            tasks::spawn(async move {
                sleep(after).await;
                // Nobody waits for this answer.
                let _ = again.carry(repeated, deadline).await;
            });
            caller.carry(body, deadline).await
        }
        CallFate::Late { by } => {
            sleep_until(deadline.min(Instant::now() + by)).await;
            caller.carry(body, deadline).await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::frame::frames;
    use crate::overseer::{Overseer, Passing};
    use crate::tasks::Group;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Has one fate for all calls.
    #[derive(Debug)]
    struct Fated(Mutex<CallFate>);

    impl Overseer for Fated {
        fn passes(&self, _point: &'static str, _numbers: &[u64]) -> Passing {
            Passing::GoesOn
        }

        fn fate_of_call(&self) -> CallFate {
            *self.0.lock().unwrap()
        }
    }

    /// Makes one call with this fate. Tells how it ended, after how long, and how often the question had arrived by its deadline.
    async fn called(fate: CallFate) -> (Result<Bytes, CallError>, Duration, u64) {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let arrived = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&arrived);
        let (reader, writer) = frames(Box::new(theirs), 1 << 16);
        let answering = tokio::spawn(crate::answer(reader, writer, 16, move |question| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move { question }
        }));
        let group = Group::overseen("process", Arc::new(Fated(Mutex::new(fate))));
        let (reader, writer) = frames(Box::new(ours), 1 << 16);
        let caller = Caller::new(reader, writer, 16);
        let begun = Instant::now();
        let asking = caller.clone();
        let asked = group.spawn(async move { asking.call_raw(Bytes::from_static(b"?"), begun + PATIENCE).await });
        let ended = asked.await.unwrap();
        let after = begun.elapsed();
        sleep_until(begun + 2 * PATIENCE).await;
        drop(caller);
        answering.await.unwrap().unwrap();
        (ended, after, arrived.load(Ordering::SeqCst))
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_fares_as_its_fate_says() {
        let second = Duration::from_secs(1);
        let (ended, after, arrived) = called(CallFate::Carried).await;
        assert_eq!((ended.unwrap(), after, arrived), (Bytes::from_static(b"?"), Duration::ZERO, 1));
        let (ended, after, arrived) = called(CallFate::Lost).await;
        assert!(matches!(ended, Err(CallError::Deadline)) && (after, arrived) == (PATIENCE, 0), "{ended:?}");
        let (ended, after, arrived) = called(CallFate::Unanswered).await;
        assert!(matches!(ended, Err(CallError::Lost)) && (after, arrived) == (Duration::ZERO, 1), "{ended:?}");
        let (ended, after, arrived) = called(CallFate::Repeated { after: second }).await;
        assert!(ended.is_ok() && (after, arrived) == (Duration::ZERO, 2), "{ended:?}");
        let (ended, after, arrived) = called(CallFate::Late { by: second }).await;
        assert!(ended.is_ok() && (after, arrived) == (second, 1), "{ended:?}");
        let (ended, after, arrived) = called(CallFate::Late { by: 2 * PATIENCE }).await;
        assert!(matches!(ended, Err(CallError::Deadline)) && (after, arrived) == (PATIENCE, 0), "{ended:?}");
    }
}
