//! Letting machines in that present a join token: the lane on which they have no certificate yet.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bursar_domain::{
    Actor, AuthorityNodeId, ClusterId, Command, Effect, Hash, ObjectRef, Proposal, Rejection, RequestId, State, Submission,
    Timestamp,
    authority_node::{self, AuthorityNode, Intent},
    decide,
};
use bursar_net::{
    Address, AddressError, CertificateAuthority, CertificateError, CertificateRequest, ClusterKey, Entropy, FrameReader,
    FrameWriter, Hello, Lane, LaneHandler, SealError, WallClock,
};
use bursar_raft::{Consistency, Node, ReadError, SubmitError, net_store};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::{SEALED_CA_KEY, found::profile, members::Members};

/// How long a machine may take to ask, once it is connected.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the authority may take to decide.
const DECISION_TIMEOUT: Duration = Duration::from_secs(10);

/// What a machine asks on the join lane.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JoinQuestion {
    /// The join token's secret.
    pub secret: String,
    /// The machine, as it says.
    pub facts: authority_node::Facts,
    /// The key that wants a certificate.
    pub certificate_request: CertificateRequest,
}

/// What it is told.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum JoinAnswer {
    /// It is a member.
    Welcome(Box<Welcome>),
    /// It is not.
    Refused {
        /// The stable code.
        code: String,
        /// Why.
        reason: String,
        /// What to do next.
        remedy: String,
        /// Whether another node, or a later attempt, may answer otherwise.
        passing: bool,
    },
}

/// What makes a machine a member.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Welcome {
    pub cluster: ClusterId,
    pub node: AuthorityNodeId,
    /// PEM.
    pub certificate: String,
    /// PEM.
    pub ca_certificate: String,
    #[serde(with = "serde_bytes")]
    pub cluster_key: Vec<u8>,
    /// Whom it may call.
    pub members: Members,
}

/// The lanes of an authority node: those of Raft, and the join lane.
pub(super) struct Lanes {
    pub raft: Arc<dyn LaneHandler>,
    pub desk: AdmissionDesk,
}

#[async_trait]
impl LaneHandler for Lanes {
    async fn serve(&self, hello: Hello, reader: FrameReader, writer: FrameWriter) {
        match hello.lane {
            Lane::Join => self.desk.serve(&hello, reader, writer).await,
            Lane::Append | Lane::Vote | Lane::Snapshot | Lane::Forward => self.raft.serve(hello, reader, writer).await,
            // The welcome was the answer.
            Lane::Probe => {}
            // Nobody is let in for those: the admission sends who asks for them to their own port.
            Lane::Follow | Lane::Control => {}
        }
    }
}

/// Answers machines that want to become members.
pub(super) struct AdmissionDesk {
    pub node: Node,
    pub cluster_key: ClusterKey,
    pub clock: Arc<dyn WallClock>,
    pub entropy: Arc<dyn Entropy>,
}

/// Why a machine was not let in.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the question names another data directory than the greeting")]
    OtherStore,
    #[error("{0}")]
    Decided(Rejection),
    #[error(transparent)]
    Undecided(#[from] SubmitError),
    #[error(transparent)]
    Unread(#[from] ReadError),
    #[error("the certificate authority's key does not open: {0}")]
    Sealed(#[from] SealError),
    #[error("no certificate: {0}")]
    Certificate(#[from] CertificateError),
    #[error("no certificate for the API address: {0}")]
    ApiAddress(#[from] AddressError),
    #[error("{0} is not joining here, or not with this key")]
    NotJoining(AuthorityNodeId),
}

impl AdmissionDesk {
    async fn serve(&self, hello: &Hello, mut reader: FrameReader, mut writer: FrameWriter) {
        let question = match timeout(QUESTION_TIMEOUT, reader.receive::<JoinQuestion>()).await {
            Ok(Ok(question)) => question,
            Ok(Err(error)) => return warn!(%error, "a machine asked to join, but not understandably"),
            Err(_elapsed) => return warn!("a machine connected to join, but did not ask in time"),
        };
        let answer = match self.admit(hello, question).await {
            Ok(welcome) => {
                info!(node = %welcome.node, "a machine joined the authority");
                JoinAnswer::Welcome(Box::new(welcome))
            }
            Err(refusal) => {
                warn!(%refusal, "a machine was not let in");
                refusal.into_answer()
            }
        };
        if let Err(error) = writer.send(&answer).await {
            warn!(%error, "the answer to a machine that joins was lost; it asks again");
        }
    }

    async fn admit(&self, hello: &Hello, question: JoinQuestion) -> Result<Welcome, Refusal> {
        let JoinQuestion { secret, facts, certificate_request } = question;
        if hello.from_store != net_store(facts.store) {
            return Err(Refusal::OtherStore);
        }
        let public_key = Hash::of(&certificate_request.public_key()?);
        let attempt = Hash(self.entropy.array());
        let admit = authority_node::Command::Admit { secret: Hash::of(secret.as_bytes()), public_key, facts };
        let submission = Submission {
            actor: Actor::Joiner,
            // Each attempt is judged anew, by the rules of the day: what was told before is no title to be told it again.
            request: RequestId::minted(&format!("join-{attempt}")).expect("an id of visible characters"),
            fingerprint: attempt,
            expected: None,
            planned_on: None,
            command: Command::AuthorityNode(admit),
        };
        let deadline = Instant::now() + DECISION_TIMEOUT;
        let state = self.node.read(Consistency::Linearizable, None, deadline).await?;
        let proposal = Proposal { time: Timestamp(self.clock.now_unix_ms()), submission };
        // Whoever asks here has shown no credential yet, so only what would succeed is proposed: nobody fills the log by guessing.
        let mut reply = decide(&state, &proposal).outcome.map_err(Refusal::Decided)?;
        if reply.effect != Effect::Unchanged {
            reply = self.node.submit(proposal.submission, deadline).await?.outcome.map_err(Refusal::Decided)?;
        }
        bursar_net::point!("join.decided");
        let ObjectRef::AuthorityNode(node) = reply.object else { unreachable!("an admission answers with a node") };
        self.welcome(&self.node.latest(), node, public_key, &certificate_request)
    }

    fn welcome(
        &self,
        state: &State,
        node: AuthorityNodeId,
        public_key: Hash,
        request: &CertificateRequest,
    ) -> Result<Welcome, Refusal> {
        let cluster = state.cluster().ok_or(Refusal::Decided(Rejection::NotFounded))?;
        let joins_with_this_key =
            |member: &AuthorityNode| member.public_key == Some(public_key) && matches!(member.intent, Intent::Joining { .. });
        let member = state.authority_nodes().get(node).filter(|member| joins_with_this_key(member));
        let member = member.ok_or(Refusal::NotJoining(node))?;
        let api_address: Address = member.api_address.as_str().parse()?;
        let key = self.cluster_key.open(SEALED_CA_KEY, &cluster.sealed_ca_key)?;
        let authority = CertificateAuthority::from_pem(&cluster.ca_certificate, &String::from_utf8_lossy(&key))?;
        let profile = profile(cluster.id, node, api_address.host());
        let certificate = authority.issue(request, &profile, self.clock.as_ref(), self.entropy.as_ref())?;
        Ok(Welcome {
            cluster: cluster.id,
            node,
            certificate: certificate.pem,
            ca_certificate: cluster.ca_certificate.clone(),
            cluster_key: self.cluster_key.as_bytes().to_vec(),
            members: Members::beside(node, state),
        })
    }
}

impl Refusal {
    fn into_answer(self) -> JoinAnswer {
        let reason = self.to_string();
        let (code, remedy, passing) = match self {
            Self::Decided(rejection) => (rejection.code(), rejection.remedy(), false),
            Self::Undecided(_) | Self::Unread(_) => ("unavailable", "Try again once the authority has a quorum.", true),
            Self::OtherStore => ("store_mismatch", "Report this: the joining program contradicts itself.", false),
            Self::Sealed(_) => {
                ("cluster_key_wrong", "Compare cluster.key with the other nodes', and restore the right one.", true)
            }
            // Not yet, where this node has still to hear of its own decision; no more, where somebody had it removed.
            Self::NotJoining(_) => ("not_joining", "Try again; the authority then says whether the token still holds.", true),
            Self::Certificate(_) | Self::ApiAddress(_) => {
                ("certificate_refused", "Check the advertised API address, then join with a new token.", false)
            }
        };
        JoinAnswer::Refused { code: code.into(), reason, remedy: remedy.into(), passing }
    }
}
