//! What becomes of the consensus core's calls in a simulation: appends and snapshots, whose lanes carry no single calls. Votes and
//! whatever else is asked go by [`bursar_net::Caller`], which sees to it by itself.
//!
//! An append that is lost, or whose answer is, breaks its stream off there: the core begins another one. One that is repeated arrives
//! again behind others that left after it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bursar_net::overseer::{CallFate, fate_of_call};
use bursar_storage::log::Member;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    alias::{SnapshotOf, VoteOf},
    base::{BoxFuture, BoxStream},
    error::{NetworkError, RPCError, ReplicationClosed, StreamingError},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    network::{Network, PeerClient},
    snapshot::SnapshotData,
    types::TypeConfig,
};

type RpcResult<T> = Result<T, RPCError<TypeConfig>>;
type Append = AppendEntriesRequest<TypeConfig>;
type Answered = RpcResult<StreamAppendResult<TypeConfig>>;

/// Makes clients whose calls have fates.
pub(crate) struct FatedNetwork(pub(crate) Network);

impl RaftNetworkFactory<TypeConfig> for FatedNetwork {
    type Network = FatedClient;

    async fn new_client(&mut self, target: u64, node: &Member) -> FatedClient {
        FatedClient(self.0.new_client(target, node).await)
    }
}

/// Calls one node, as far as the fates of the calls allow it.
pub(crate) struct FatedClient(PeerClient);

impl RaftNetworkV2<TypeConfig> for FatedClient {
    type SnapshotData = SnapshotData;

    async fn append_entries(&mut self, request: Append, option: RPCOption) -> RpcResult<AppendEntriesResponse<TypeConfig>> {
        self.0.append_entries(request, option).await
    }

    fn stream_append<'s, S>(&'s mut self, input: S, option: RPCOption) -> BoxFuture<'s, RpcResult<BoxStream<'s, Answered>>>
    where
        S: Stream<Item = Append> + OptionalSend + Unpin + 'static,
    {
        let expected = Expected::default();
        let requests = fated(input, expected.clone());
        Box::pin(async move {
            let answers = self.0.stream_append(Box::pin(requests), option).await?;
            Ok(Box::pin(heard(answers, expected)) as BoxStream<'s, Answered>)
        })
    }

    async fn vote(&mut self, request: VoteRequest<TypeConfig>, option: RPCOption) -> RpcResult<VoteResponse<TypeConfig>> {
        self.0.vote(request, option).await
    }

    async fn pre_vote(&mut self, request: VoteRequest<TypeConfig>, option: RPCOption) -> RpcResult<VoteResponse<TypeConfig>> {
        self.0.pre_vote(request, option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let fate = fate_of_call();
        match fate {
            CallFate::Lost => return Err(lost().into()),
            CallFate::Late { by } => sleep(by).await,
            CallFate::Carried | CallFate::Unanswered | CallFate::Repeated { .. } => {}
        }
        let answered = self.0.full_snapshot(vote, snapshot, cancel, option).await;
        if fate == CallFate::Unanswered { answered.and(Err(lost().into())) } else { answered }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> RpcResult<TransferLeaderResponse<TypeConfig>> {
        self.0.transfer_leader(request, option).await
    }
}

fn lost() -> NetworkError<TypeConfig> {
    NetworkError::from_string("the call was lost on its way")
}

/// What is to become of the answers to the requests that have left, in their order.
#[derive(Clone, Default)]
struct Expected(Arc<Mutex<VecDeque<Hearing>>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hearing {
    /// Whoever asked hears it.
    Heard,
    /// Nobody does: it is the second answer to a request.
    Unheard,
    /// Nothing is heard any more.
    Broken,
}

impl Expected {
    fn push(&self, hearing: Hearing) {
        self.queue().push_back(hearing);
    }

    fn pop(&self) -> Option<Hearing> {
        self.queue().pop_front()
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Hearing>> {
        // The queue is whole after every operation on it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many requests are on their way a second time at most; any more arrive once.
const AGAIN_MAX: usize = 8;

/// Requests as they arrive at the other end.
struct Fated<S> {
    requests: S,
    expected: Expected,
    /// What is to arrive once more, and when; the first to do so first.
    again: VecDeque<(Append, Instant)>,
    broken: bool,
}

fn fated<S: Stream<Item = Append> + Unpin>(requests: S, expected: Expected) -> impl Stream<Item = Append> {
    let fated = Fated { requests, expected, again: VecDeque::new(), broken: false };
    stream::unfold(fated, |mut fated| async { Some((fated.next().await?, fated)) })
}

impl<S: Stream<Item = Append> + Unpin> Fated<S> {
    async fn next(&mut self) -> Option<Append> {
        if self.broken {
            return None;
        }
        let due = self.again.front().map(|(_, due)| *due);
        let request = tokio::select! {
            biased;
            () = async { sleep_until(due.expect("it is looked at first")).await }, if due.is_some() => None,
            request = self.requests.next() => Some(request?),
        };
        let Some(request) = request else {
            self.expected.push(Hearing::Unheard);
            return self.again.pop_front().map(|(again, _)| again);
        };
        match fate_of_call() {
            CallFate::Carried => {}
            CallFate::Lost => {
                self.broken = true;
                self.expected.push(Hearing::Broken);
                return None;
            }
            CallFate::Unanswered => {
                self.broken = true;
                self.expected.push(Hearing::Broken);
                return Some(request);
            }
            CallFate::Repeated { after } => self.repeat(request.clone(), Instant::now() + after),
            CallFate::Late { by } => sleep(by).await,
        }
        self.expected.push(Hearing::Heard);
        Some(request)
    }

    fn repeat(&mut self, request: Append, due: Instant) {
        if self.again.len() < AGAIN_MAX {
            let place = self.again.partition_point(|(_, others)| *others <= due);
            self.again.insert(place, (request, due));
        }
    }
}

/// Answers as far as they are heard.
fn heard<'s>(answers: BoxStream<'s, Answered>, expected: Expected) -> impl Stream<Item = Answered> + Send + 's {
    stream::unfold(Some((answers, expected)), |open| {
        async move {
            let (mut answers, expected) = open?;
            loop {
                let answer = answers.next().await;
                return match (answer, expected.pop()) {
                    // A refusal would be the last answer: it breaks the stream off all the same.
                    (Some(Ok(Ok(_))), Some(Hearing::Unheard)) => continue,
                    (_, Some(Hearing::Unheard | Hearing::Broken)) => Some((Err(lost().into()), None)),
                    (Some(answer), _) => Some((answer, Some((answers, expected)))),
                    (None, _) => None,
                };
            }
        }
        .boxed()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

    use std::time::Duration;

    use bursar_net::{
        overseer::{Overseer, Passing},
        tasks::Group,
    };
    use bursar_storage::log::{LogPosition, Vote};

    use super::*;
    use crate::convert;

    /// Gives each call the next fate.
    #[derive(Debug)]
    struct Fates(Mutex<VecDeque<CallFate>>);

    impl Overseer for Fates {
        fn passes(&self, _point: &'static str, _numbers: &[u64]) -> Passing {
            Passing::GoesOn
        }

        fn fate_of_call(&self) -> CallFate {
            self.0.lock().unwrap().pop_front().unwrap_or(CallFate::Carried)
        }
    }

    fn request(index: u64) -> Append {
        AppendEntriesRequest {
            vote: convert::vote(Vote { term: 1, leader: 1, committed: true }),
            prev_log_id: Some(convert::log_id(LogPosition { term: 1, index })),
            entries: Vec::new(),
            leader_commit: None,
        }
    }

    /// Sends three requests, one a second, with these fates. See [`sent_all`].
    async fn sent(fates: impl IntoIterator<Item = CallFate>) -> (Vec<u64>, Vec<Option<u64>>) {
        sent_all(3, fates).await
    }

    /// Sends so many requests, one a second, with these fates, to somebody who answers each with its index. Tells which arrived,
    /// and what was heard; nothing where the stream broke off.
    async fn sent_all(count: u64, fates: impl IntoIterator<Item = CallFate>) -> (Vec<u64>, Vec<Option<u64>>) {
        let overseer = Arc::new(Fates(Mutex::new(fates.into_iter().collect())));
        let sending = async move {
            let requests = Box::pin(stream::iter(1..=count).then(|index| async move {
                sleep(Duration::from_secs(1)).await;
                request(index)
            }));
            let (expected, arrived) = (Expected::default(), Arc::new(Mutex::new(Vec::new())));
            let noted = Arc::clone(&arrived);
            let answers = Box::pin(fated(requests, expected.clone())).map(move |request| {
                noted.lock().unwrap().push(request.prev_log_id.unwrap().index);
                Ok(Ok(request.prev_log_id))
            });
            let heard = heard(Box::pin(answers), expected).map(|answer| Some(answer.ok()?.ok()??.index)).collect().await;
            let arrived = arrived.lock().unwrap().clone();
            (arrived, heard)
        };
        Group::overseen("process", overseer).spawn(sending).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn appends_fare_as_their_fates_say() {
        let all = || vec![Some(1), Some(2), Some(3)];
        assert_eq!(sent([]).await, (vec![1, 2, 3], all()));
        assert_eq!(sent([CallFate::Carried, CallFate::Lost]).await, (vec![1], vec![Some(1), None]));
        assert_eq!(sent([CallFate::Carried, CallFate::Unanswered]).await, (vec![1, 2], vec![Some(1), None]));
        let after = Duration::from_millis(1_500);
        assert_eq!(sent([CallFate::Repeated { after }]).await, (vec![1, 2, 1, 3], all()));
        let late = Duration::from_secs(60);
        assert_eq!(sent([CallFate::Late { by: late }]).await, (vec![1, 2, 3], all()));
    }

    #[tokio::test(start_paused = true)]
    async fn several_appends_arrive_again_each_when_it_is_due() {
        let after = |after_ms| CallFate::Repeated { after: Duration::from_millis(after_ms) };
        let (arrived, heard) = sent([after(1_900), after(500)]).await;
        assert_eq!((arrived, heard), (vec![1, 2, 2, 1, 3], vec![Some(1), Some(2), Some(3)]));

        // All of them are due just before the last one leaves, which is one more than are kept.
        let kept = AGAIN_MAX as u64;
        let due_ms = (kept + 2) * 1_000 - 500;
        let (arrived, _) = sent_all(kept + 2, (1..=kept + 1).map(|index| after(due_ms - index * 1_000 + index))).await;
        let expected: Vec<_> = (1..=kept + 1).chain(1..=kept).chain([kept + 2]).collect();
        assert_eq!(arrived, expected);
    }
}
