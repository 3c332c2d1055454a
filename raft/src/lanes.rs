//! The server side of the lanes: what other nodes ask of this one.

use std::sync::Arc;

use async_trait::async_trait;
use bursar_domain::{
    AuthorityNodeId,
    authority_node::Intent,
    mutants::{Mutant, planted},
};
use bursar_net::{FrameError, FrameReader, FrameWriter, Hello, Lane, LaneHandler, answer};
use bursar_storage::log;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use openraft::raft::{VoteRequest, VoteResponse};
use tokio::sync::mpsc;

use crate::{
    convert,
    counters::Meter,
    forward::ForwardServer,
    leadership::Leadership,
    published::Published,
    snapshot_receiver::SnapshotReceiver,
    types::{Raft, TypeConfig},
    wire::{
        self, append,
        vote::{Answer, Question},
    },
};

/// How many append requests are taken before the oldest of them is answered.
const APPENDS_MAX: usize = 64;
/// How many votes of one node are answered at a time.
const VOTES_MAX: usize = 16;
/// How many forwarded questions of one node are answered at a time.
const FORWARDS_MAX: usize = 4_096;

/// Serves the lanes of a node.
pub(crate) struct Lanes {
    pub(crate) raft: Raft,
    pub(crate) forward: Arc<ForwardServer>,
    pub(crate) snapshots: SnapshotReceiver,
    pub(crate) published: Arc<Published>,
    pub(crate) leadership: Leadership,
    pub(crate) meter: Arc<Meter>,
}

#[async_trait]
impl LaneHandler for Lanes {
    async fn serve(&self, hello: Hello, reader: FrameReader, writer: FrameWriter) {
        let caller = caller(&hello);
        let serving = async {
            match hello.lane {
                Lane::Append => self.serve_appends(caller, reader, writer).await,
                Lane::Vote => self.serve_votes(caller, reader, writer).await,
                Lane::Snapshot => self.snapshots.serve(caller, reader, writer).await,
                Lane::Forward => self.serve_forwards(caller, reader, writer).await,
                lane => tracing::warn!(?lane, "a lane that the consensus does not serve"),
            }
        };
        tokio::select! {
            () = serving => {}
            // Its next call is refused, and told why.
            () = self.removed(caller) => tracing::info!(caller, "the caller was removed"),
        }
    }
}

impl Lanes {
    /// Returns when the caller was removed from the cluster: it was let in when it still belonged.
    async fn removed(&self, caller: u64) {
        let id = AuthorityNodeId(caller);
        let mut changes = self.published.nodes_changed();
        let is_removed = || {
            let state = self.published.state();
            state.authority_nodes().get(id).is_some_and(|node| node.intent == Intent::Removed)
        };
        if changes.wait_for(|_| is_removed()).await.is_err() {
            std::future::pending().await
        }
    }

    /// Takes append requests as they come, while earlier ones are being stored, and answers them in order. The first refusal
    /// is the last answer: what was sent behind it counted on another log.
    async fn serve_appends(&self, caller: u64, reader: FrameReader, writer: FrameWriter) {
        // openraft takes the requests in a task of its own; the channel ends it with this future.
        let (requests, taken) = mpsc::channel(APPENDS_MAX);
        let taken = stream::unfold(taken, |mut taken| async { Some((taken.recv().await?, taken)) });
        let answers = self.raft.stream_append(taken);
        let receiving = self.receive_appends(caller, reader, requests);
        let answering = send_answers(writer, Box::pin(answers));
        let ended = tokio::select! {
            ended = receiving => ended,
            ended = answering => ended,
        };
        log_end(Lane::Append, ended);
    }

    /// Returns only with an error, or when the answers have ended: then nobody takes requests any more.
    async fn receive_appends(&self, caller: u64, mut reader: FrameReader, requests: Appends) -> Result<(), FrameError> {
        loop {
            let frame = reader.receive_raw().await?;
            let malformed = |reason| FrameError::Malformed { reason };
            let request = append::decode_request(&frame).map_err(|error| malformed(error.to_string()))?;
            expect_own(caller, convert::vote_to_store(request.vote)).map_err(malformed)?;
            self.meter.appends_received.increment();
            self.leadership.heard(caller);
            if requests.send(request).await.is_err() {
                // The last answer is still on its way.
                std::future::pending::<()>().await;
            }
        }
    }

    async fn serve_votes(&self, caller: u64, reader: FrameReader, writer: FrameWriter) {
        let handler = |question: Bytes| {
            let (raft, meter) = (self.raft.clone(), Arc::clone(&self.meter));
            async move { wire::encode(&vote(&raft, &meter, caller, &question).await) }
        };
        if let Err(error) = answer(reader, writer, VOTES_MAX, handler).await {
            tracing::debug!(%error, "the vote lane of a node ended");
        }
    }

    async fn serve_forwards(&self, caller: u64, reader: FrameReader, writer: FrameWriter) {
        let handler = |question: Bytes| {
            let forward = Arc::clone(&self.forward);
            async move { forward.answer(caller, question).await }
        };
        if let Err(error) = answer(reader, writer, FORWARDS_MAX, handler).await {
            tracing::debug!(%error, "the forward lane of a node ended");
        }
    }
}

/// The number of the node that calls; 0, which none has, where it says none.
fn caller(hello: &Hello) -> u64 {
    hello.from.map_or(0, |caller| caller.id)
}

/// Refuses what names another candidate or leader than the node that sends it: each speaks for itself alone.
pub(crate) fn expect_own(caller: u64, vote: log::Vote) -> Result<(), String> {
    match vote.leader {
        0 => Err(format!("authority node {caller} does not say who is to lead")),
        leader if leader == caller => Ok(()),
        other => Err(format!("authority node {caller} speaks as if it were {other}")),
    }
}

type Appends = mpsc::Sender<openraft::raft::AppendEntriesRequest<TypeConfig>>;

/// Answers that are ready at the same time share a write.
async fn send_answers<S, E>(mut writer: FrameWriter, answers: S) -> Result<(), FrameError>
where
    S: futures_util::Stream<Item = Result<openraft::raft::StreamAppendResult<TypeConfig>, E>> + Unpin,
{
    let mut answers = answers.fuse();
    while let Some(first) = answers.next().await {
        let mut next = Some(first);
        while let Some(Ok(answer)) = next {
            writer.feed_raw(append::encode_answer(&answer))?;
            next = answers.next().now_or_never().flatten();
        }
        writer.flush().await?;
    }
    writer.close().await
}

async fn vote(raft: &Raft, meter: &Meter, caller: u64, question: &[u8]) -> Answer {
    let stopped = |detail: String| Answer::Stopped { detail };
    let question = wire::decode::<Question>(question).map_err(|error| error.to_string());
    match question.and_then(|question| expect_own(caller, question.of_whom()).map(|()| question)) {
        Ok(Question::Vote(candidacy)) => {
            meter.votes_received.increment();
            let request = VoteRequest::from(candidacy);
            let response = raft.vote(request.clone()).await;
            let response =
                response.map(|ballot| if planted(Mutant::VotesTwice) { granted_anyway(ballot, &request) } else { ballot });
            response.map_or_else(|error| stopped(error.to_string()), |ballot| Answer::Ballot(ballot.into()))
        }
        Ok(Question::PreVote(candidacy)) => {
            meter.pre_votes_received.increment();
            let response = raft.pre_vote(candidacy.into()).await;
            response.map_or_else(|error| stopped(error.to_string()), |ballot| Answer::Ballot(ballot.into()))
        }
        Ok(Question::TransferLeader(hand_over)) => {
            meter.transfers_received.increment();
            let response = raft.handle_transfer_leader(hand_over.into()).await;
            response.map_or_else(|error| stopped(error.to_string()), Answer::from)
        }
        Err(refusal) => {
            tracing::warn!(caller, refusal, "a question on the vote lane is not answered");
            stopped(refusal)
        }
    }
}

/// Grants a vote that was refused only because another one got it in the same term, or leads in it.
fn granted_anyway(ballot: VoteResponse<TypeConfig>, request: &VoteRequest<TypeConfig>) -> VoteResponse<TypeConfig> {
    let is_of_its_term = ballot.vote.leader_id.term == request.vote.leader_id.term;
    if is_of_its_term && ballot.last_log_id <= request.last_log_id {
        return VoteResponse { vote: request.vote, vote_granted: true, ..ballot };
    }
    ballot
}

fn log_end(lane: Lane, ended: Result<(), FrameError>) {
    match ended {
        Ok(()) | Err(FrameError::Closed) => {}
        Err(error) => tracing::debug!(?lane, %error, "a lane ended"),
    }
}
