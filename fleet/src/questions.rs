//! What storage servers ask and tell on the control port, of any authority node.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bursar_domain::{
    Actor, Command, Hash, Rejection, RequestId, ServerGuid, ServerId, State, Submission, encoding::encode, server, store_point,
    would_change,
};
use bursar_net::{FrameReader, FrameWriter, answer, frame};
use bursar_wire::control::{CALLS_MAX, Heartbeat, Notice, ServerAnswer, ServerQuestion};
use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    fleet::Shared,
    relayed::{self, Answer, Question},
};

/// The largest question, in bytes.
const QUESTION_BYTES_MAX: usize = 1 << 20;
/// How long the leader may take to hear a heartbeat.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a notice may take on its way into the ledger.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers the questions of the machine `guid`, which is `server`, until it closes the connection.
pub(crate) async fn serve(fleet: &Arc<Shared>, server: ServerId, guid: ServerGuid, mut reader: FrameReader, writer: FrameWriter) {
    reader.set_bytes_max(QUESTION_BYTES_MAX);
    let handler = |question: Bytes| {
        let fleet = Arc::clone(fleet);
        async move {
            let answered = match frame::decode(&question) {
                Ok(question) => fleet.answer(server, guid, question).await,
                Err(error) => refused("not_understood", format!("the question cannot be understood: {error}")),
            };
            frame::encode(&answered).expect("our messages encode into memory")
        }
    };
    if let Err(error) = answer(reader, writer, CALLS_MAX, handler).await {
        tracing::debug!(%server, %error, "a server's connection for questions ended");
    }
}

impl Shared {
    async fn answer(&self, server: ServerId, guid: ServerGuid, question: ServerQuestion) -> ServerAnswer {
        // It was let in when it still belonged.
        if !self.has_place(server, guid) {
            let gone = Rejection::CredentialRevoked { actor: Actor::Server(server) };
            return refused(gone.code(), gone.to_string());
        }
        match question {
            ServerQuestion::Heartbeat { heartbeat, said } => self.relay(server, guid, heartbeat, said).await,
            ServerQuestion::Notice { request, notice } => self.note(server, &request, notice).await,
        }
    }

    /// Passes a heartbeat on to the leader, and compares what the server has `said` with the ledger.
    async fn relay(&self, server: ServerId, guid: ServerGuid, heartbeat: Box<Heartbeat>, said: Vec<Notice>) -> ServerAnswer {
        let message = relayed::encode(&Question::Heartbeat { server, guid, heartbeat });
        let answered = self.node.relay(message, Instant::now() + HEARTBEAT_TIMEOUT).await;
        let heard = answered.map_err(|error| error.to_string());
        match heard.and_then(|answer| relayed::decode(&answer).map_err(|error| error.to_string())) {
            Ok(Answer::Heard { again_ms }) => {
                self.meter.heartbeats_relayed.fetch_add(1, Relaxed);
                let state = self.node.latest();
                let is_news = |notice| is_news(&state, server, notice);
                ServerAnswer::Heard { again_ms, level: state.level(), otherwise: said.into_iter().any(is_news) }
            }
            Ok(_) => self.unheard("the leader answers another question".to_owned()),
            Err(detail) => self.unheard(detail),
        }
    }

    fn unheard(&self, detail: String) -> ServerAnswer {
        self.meter.heartbeats_unanswered.fetch_add(1, Relaxed);
        ServerAnswer::Unavailable { detail }
    }

    /// Puts what a server tells into the ledger.
    async fn note(&self, server: ServerId, request: &str, notice: Notice) -> ServerAnswer {
        let Ok(request) = RequestId::minted(request) else {
            return refused("invalid_field", "the request has no proper id".to_owned());
        };
        let actor = Actor::Server(server);
        let mut submission = Submission {
            actor,
            request,
            fingerprint: Hash::ZERO,
            expected: None,
            planned_on: None,
            command: command(server, notice),
        };
        submission.fingerprint = Hash::of(&encode(&submission));
        match self.node.submit(submission, Instant::now() + NOTICE_TIMEOUT).await {
            Ok(applied) => match applied.outcome {
                Ok(_) => {
                    self.meter.notices_noted.fetch_add(1, Relaxed);
                    ServerAnswer::Noted { revision: applied.revision }
                }
                // That it is there is known only from the leader's next look on.
                Err(rejection @ Rejection::ServerNotOnline { .. }) => ServerAnswer::Unavailable { detail: rejection.to_string() },
                Err(rejection) => refused(rejection.code(), rejection.to_string()),
            },
            Err(error) => ServerAnswer::Unavailable { detail: error.to_string() },
        }
    }
}

/// Whether the ledger would have something to record of `notice`.
fn is_news(state: &State, server: ServerId, notice: Notice) -> bool {
    would_change(state, Actor::Server(server), &command(server, notice))
}

fn command(server: ServerId, notice: Notice) -> Command {
    match notice {
        Notice::StorePoint { store_point, report } => Command::StorePoint(store_point::Command::Report { store_point, report }),
        Notice::Program(program) => Command::Server(server::Command::Announce { server, program }),
        Notice::Projection { state, at: _ } => Command::Server(server::Command::ReportProjection { server, projection: state }),
    }
}

fn refused(code: &str, detail: String) -> ServerAnswer {
    ServerAnswer::Refused { code: code.to_owned(), detail }
}
