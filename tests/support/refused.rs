//! How a node must answer that has no quorum: soon, and with nothing that it cannot know.

use std::time::{Duration, Instant};

use bursar_wire::{
    ClientError, Fate, Problem,
    client::{Change, Client, ClientConfig, Failure, NodeFailure},
    events::StreamItem,
    problem::code,
    query::EventsQuery,
    status::Grade,
};
use tokio::task::JoinSet;

use super::{Fleet, site, soon, stale, until};

/// How long a node may take to say that it has no quorum.
const BOUND: Duration = Duration::from_secs(30);
/// How many writes, and how many reads, ask in vain at the same time.
const ASKERS: usize = 8;

/// What was asked in vain.
pub struct Refused {
    /// The ids of the writes.
    pub requests: Vec<String>,
    /// How long it took until everybody knew.
    pub waited: Duration,
}

/// Asks a node that has no quorum for all sorts of things, at the same time.
pub async fn ask_in_vain(fleet: &Fleet, id: u64, name: &str) -> Refused {
    let patient = |config| ClientConfig { timeout: BOUND * 2, attempt_timeout: BOUND * 2, ..config };
    let client = fleet.client_with(&[id], patient);
    let known = until("the node listens", async || client.get("sites", &stale()).await.ok()).await.revision;
    let mut refused = JoinSet::new();
    let requests: Vec<String> = (0..ASKERS).map(|number| format!("{}-{number}", name.replace(' ', "-"))).collect();
    for request in &requests {
        let (client, request) = (client.clone(), request.clone());
        refused.spawn(async move {
            let change = Change { request_id: Some(request.clone()), ..Change::default() };
            no_quorum(async { client.post("sites", &site(&request), change).await }).await
        });
    }
    for _ in 0..ASKERS {
        let client = client.clone();
        refused.spawn(async move { no_quorum(async { client.get("sites", &()).await }).await });
    }
    let mut waited = soon("everybody is refused", refused.join_all()).await;
    waited.sort_unstable();
    println!("{name}: refused after {:.1?} to {:.1?}", waited[0], waited[waited.len() - 1]);

    let status = until("the node says how it fares", async || fleet.status_of(id).await).await;
    assert_eq!(status.health, Grade::Err, "it does not pass for healthy: {:?}", status.checks);
    assert!(status.stale.is_some(), "it does not pass for up to date");
    let read = client.get("sites", &stale()).await.expect("a stale read needs nobody else");
    assert_eq!(read.revision, known, "nothing has happened");
    events_up_to(&client, known.as_deref().expect("every answer tells its revision")).await;
    Refused { requests, waited: waited[waited.len() - 1] }
}

/// How long it took to be told that there is no quorum.
async fn no_quorum<T: std::fmt::Debug>(asked: impl Future<Output = Result<T, ClientError>>) -> Duration {
    let began = Instant::now();
    let refused = asked.await;
    let waited = began.elapsed();
    match refused {
        Err(ClientError::Problem { problem, .. }) => told_in_time(&problem, waited),
        Err(ClientError::OutcomeUnknown { failures, .. }) => {
            for NodeFailure { failure, .. } in &failures {
                let Failure::Refused(problem) = failure else { panic!("it should answer: {failures:?}") };
                assert_eq!(problem.fate, Some(Fate::Unknown), "{problem}");
                told_in_time(problem, waited);
            }
        }
        other => panic!("it should have no quorum: {other:?}"),
    }
    waited
}

fn told_in_time(problem: &Problem, waited: Duration) {
    assert_eq!((problem.status, problem.code.as_str()), (503, code::NO_QUORUM));
    let says_what_next = problem.retry_after_seconds.is_some() && problem.hint.is_some() && problem.fate.is_some();
    assert!(says_what_next, "it says what became of it, when to come back, and what to do: {problem:?}");
    assert!(waited <= BOUND, "it took {waited:.1?}: {problem}");
}

/// The history can be read by who needs no more than a node has.
async fn events_up_to(client: &Client, cursor: &str) {
    let query = EventsQuery { since: Some("1-0".into()), follow: Some(false), ..EventsQuery::default() };
    let mut events = client.events(query);
    let mut last = None;
    while let Some(item) = soon("the journal is read", events.next()).await.expect("the journal can be read") {
        last = item.cursor().map(str::to_owned);
        assert!(matches!(item, StreamItem::Event(_) | StreamItem::Bookmark(_)));
    }
    assert_eq!(last.as_deref(), Some(cursor));
}
