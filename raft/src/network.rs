//! The client side of openraft's calls to other nodes.
//!
//! Each has a lane of its own, so that nothing waits behind something slower: appends of a replication stream and heartbeats
//! on connections of their own, votes on one that all elections share, a snapshot on one that is made for it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bursar_net::{Blocking, Lane};
use bursar_storage::log::Member;
use futures_util::{Stream, StreamExt, stream};
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    alias::{SnapshotOf, VoteOf},
    base::{BoxFuture, BoxStream},
    error::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::RPCOption,
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError, StreamAppendResult,
        TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use tokio::time::Instant;

use crate::{
    append_client::AppendClient,
    counters::Meter,
    peers::{AskError, Peers},
    snapshot::SnapshotData,
    snapshot_sender::SnapshotSender,
    stop::StopSignal,
    types::TypeConfig,
    wire::{
        self,
        vote::{Answer, Question},
    },
};

type RpcResult<T> = Result<T, RPCError<TypeConfig>>;

/// Makes clients for openraft.
pub(crate) struct Network {
    pub(crate) peers: Arc<Peers>,
    pub(crate) blocking: Arc<dyn Blocking>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) stop: StopSignal,
    /// How long an append may stay unanswered before its connection is given up.
    pub(crate) append_timeout: Duration,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = PeerClient;

    async fn new_client(&mut self, target: u64, node: &Member) -> PeerClient {
        self.peers.learn(target, node);
        PeerClient {
            id: target,
            append: Mutex::new(AppendClient::new(&self.peers, target, self.append_timeout)),
            peers: Arc::clone(&self.peers),
            blocking: Arc::clone(&self.blocking),
            meter: Arc::clone(&self.meter),
            stop: self.stop.clone(),
        }
    }
}

/// Calls one node. Every client has its own connection to append on, which it makes when it first appends.
pub(crate) struct PeerClient {
    id: u64,
    /// Never locked: openraft wants a client that may be shared, and then uses it alone.
    append: Mutex<AppendClient>,
    peers: Arc<Peers>,
    blocking: Arc<dyn Blocking>,
    meter: Arc<Meter>,
    stop: StopSignal,
}

impl PeerClient {
    async fn ask(&self, question: Question, option: &RPCOption) -> RpcResult<Answer> {
        let deadline = Instant::now() + option.soft_ttl();
        let asked = self.peers.ask(self.id, Lane::Vote, wire::encode(&question), deadline).await;
        let answer = asked.map_err(|error| match error {
            AskError::NotAsked(_) => RPCError::Unreachable(Unreachable::new(&error)),
            AskError::Unknown(_) => RPCError::Network(NetworkError::new(&error)),
        })?;
        match wire::decode(&answer).map_err(|error| NetworkError::new(&error))? {
            Answer::Stopped { detail } => Err(Unreachable::from_string(detail).into()),
            answer => Ok(answer),
        }
    }
}

fn no_answer_to_that() -> RPCError<TypeConfig> {
    NetworkError::from_string("the node answered another question than it was asked").into()
}

impl RaftNetworkV2<TypeConfig> for PeerClient {
    type SnapshotData = SnapshotData;

    /// One request, as a stream of one: openraft itself always streams.
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> RpcResult<AppendEntriesResponse<TypeConfig>> {
        let mut answers = self.stream_append(stream::iter([request]), option).await?;
        let closed = || Err(NetworkError::from_string("the connection closed without an answer").into());
        Ok(match answers.next().await.unwrap_or_else(closed)? {
            Ok(_) => AppendEntriesResponse::Success,
            Err(StreamAppendError::Conflict(_)) => AppendEntriesResponse::Conflict,
            Err(StreamAppendError::HigherVote(vote)) => AppendEntriesResponse::HigherVote(vote),
        })
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, RpcResult<BoxStream<'s, RpcResult<StreamAppendResult<TypeConfig>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        let append = self.append.get_mut().unwrap_or_else(PoisonError::into_inner);
        Box::pin(append.stream(input, option.soft_ttl()))
    }

    async fn vote(&mut self, request: VoteRequest<TypeConfig>, option: RPCOption) -> RpcResult<VoteResponse<TypeConfig>> {
        let answer = self.ask(Question::Vote(request.into()), &option).await?;
        answer.into_vote_response().ok_or_else(no_answer_to_that)
    }

    async fn pre_vote(&mut self, request: VoteRequest<TypeConfig>, option: RPCOption) -> RpcResult<VoteResponse<TypeConfig>> {
        let answer = self.ask(Question::PreVote(request.into()), &option).await?;
        answer.into_vote_response().ok_or_else(no_answer_to_that)
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let SnapshotData::Kept(checkpoint) = snapshot.snapshot else {
            return Err(ReplicationClosed::new("a snapshot that is being received is none to send").into());
        };
        let Self { id, peers, blocking, meter, stop, .. } = self;
        let sender = SnapshotSender { peers, id: *id, blocking, meter, stop };
        tokio::select! {
            sent = sender.send(vote, checkpoint) => sent,
            closed = cancel => Err(closed.into()),
            () = tokio::time::sleep(option.hard_ttl()) => {
                Err(NetworkError::from_string("the snapshot took too long").into())
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> RpcResult<TransferLeaderResponse<TypeConfig>> {
        let answer = self.ask(Question::TransferLeader(request.into()), &option).await?;
        answer.into_transfer_response().ok_or_else(no_answer_to_that)
    }
}
