//! Whether addresses are reached from here.

use std::{sync::Arc, time::Duration};

use bursar_net::{Address, Network, TaskSet};
use bursar_wire::control::{Outcome, PROBED_MAX, Probed};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

/// How long an address may take to answer: TCP says the first word again after a second, should it be lost.
pub(crate) const REACHED_WITHIN: Duration = Duration::from_secs(2);
/// How many attempts are under way at a time: all of one question, so that whoever asks waits no longer than for one address.
const ATTEMPTS_MAX: usize = PROBED_MAX;

/// Connects to each of `addresses` and leaves again; tells what came of it, in their order.
pub(crate) async fn reach(network: &Arc<dyn Network>, addresses: Vec<Address>) -> Vec<Probed> {
    let attempts = addresses.into_iter().map(|address| {
        let network = Arc::clone(network);
        async move {
            let begun = Instant::now();
            let outcome = match timeout(REACHED_WITHIN, network.connect(&address)).await {
                Ok(attempt) => Outcome::of_connecting(attempt, begun.elapsed()),
                Err(_elapsed) => Outcome::TimedOut,
            };
            Probed { address, outcome }
        }
    });
    all(attempts).await
}

/// Makes attempts, some at a time; returns what came of them, in their order.
pub(crate) async fn all<T, A>(attempts: impl IntoIterator<Item = A>) -> Vec<T>
where
    T: Send + 'static,
    A: Future<Output = T> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(ATTEMPTS_MAX));
    let mut under_way = TaskSet::new();
    for (index, attempt) in attempts.into_iter().enumerate() {
        let places = Arc::clone(&places);
        under_way.spawn(async move {
            let _place = places.acquire().await.expect("nobody closes it");
            (index, attempt.await)
        });
    }
    let mut made = under_way.join_all().await;
    made.sort_by_key(|(index, _)| *index);
    made.into_iter().map(|(_, came_of_it)| came_of_it).collect()
}
