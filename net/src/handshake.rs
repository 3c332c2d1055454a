//! The first frames of every connection between nodes: who calls whom, and for what.
//!
//! The certificate says who a peer is; the [`Hello`] says it again and names the one who is meant,
//! so that a stale address, a wiped disk or another cluster is noticed before anything is said.

use std::fmt;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::frame::{self, FrameError, FrameReader, FrameWriter};
use crate::tls::Attested;
use crate::{ClusterId, Member, StoreId};

/// The version of what is spoken after the handshake.
pub const PROTOCOL: u16 = 1;

/// The largest frame of a handshake: whoever has not been let in yet gets little memory.
pub(crate) const HANDSHAKE_BYTES_MAX: usize = 16 * 1024;

/// What a connection carries. One kind each, so that a slow snapshot never holds up a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Log entries from the leader, pipelined.
    Append,
    /// Votes, pre-votes and hand-over of the leadership.
    Vote,
    /// State and records for a follower that is too far behind.
    Snapshot,
    /// Commands and reads that a follower passes on to the leader.
    Forward,
    /// The one lane without a certificate: a new node presents its token and its certificate
    /// request.
    Join,
    /// The records that concern a storage server, from an authority node.
    Follow,
    /// Questions between an authority node and a storage server.
    Control,
    /// Nothing: that the way is open is seen from the welcome.
    Probe,
}

/// What the dialling node says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// The version that the caller will speak, [`PROTOCOL`].
    pub protocol: u16,
    /// The cluster that the caller belongs to, or wants to join.
    pub cluster: ClusterId,
    /// Who calls; nobody yet, on [`Lane::Join`].
    pub from: Option<Member>,
    /// The store that the caller runs on.
    pub from_store: StoreId,
    /// Who is meant.
    pub to: Member,
    /// The store that is meant, where the caller knows it.
    pub to_store: Option<StoreId>,
    /// What the connection is for.
    pub lane: Lane,
}

/// What the other side answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum HelloReply {
    /// Go ahead.
    Welcome {
        /// The store that answers.
        store: StoreId,
    },
    /// No; the connection ends here.
    Refused(Refusal),
}

/// Why a connection is refused, and what helps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(deny_unknown_fields)]
#[error("{reason} ({code}): {remedy}")]
pub struct Refusal {
    /// The kind, for programs.
    pub code: RefusalCode,
    /// What does not fit, for people.
    pub reason: String,
    /// What to do about it, for people.
    pub remedy: String,
}

/// The kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The first frame is no [`Hello`].
    MalformedHello,
    /// Another version of the protocol.
    UnsupportedProtocol,
    /// The caller belongs to another cluster.
    ForeignCluster,
    /// A lane that takes members only was asked for without a certificate.
    CertificateRequired,
    /// The certificate attests somebody else than the Hello claims.
    IdentityMismatch,
    /// The caller meant another node: its address is stale.
    WrongNode,
    /// The caller meant this node on another store: the data directory was replaced.
    WrongStore,
    /// The caller runs on another store than the one that was admitted under its id.
    ForeignStore,
    /// The caller is no member.
    UnknownNode,
    /// The caller was removed.
    RemovedNode,
    /// This node cannot take the lane now.
    Unavailable,
}

impl RefusalCode {
    /// The code's stable name.
    pub fn name(self) -> &'static str {
        match self {
            RefusalCode::MalformedHello => "malformed_hello",
            RefusalCode::UnsupportedProtocol => "unsupported_protocol",
            RefusalCode::ForeignCluster => "foreign_cluster",
            RefusalCode::CertificateRequired => "certificate_required",
            RefusalCode::IdentityMismatch => "identity_mismatch",
            RefusalCode::WrongNode => "wrong_node",
            RefusalCode::WrongStore => "wrong_store",
            RefusalCode::ForeignStore => "foreign_store",
            RefusalCode::UnknownNode => "unknown_node",
            RefusalCode::RemovedNode => "removed_node",
            RefusalCode::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Who this node is, as it says in every handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalNode {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its role and id.
    pub member: Member,
    /// Its store.
    pub store: StoreId,
}

/// What is known about members beyond their certificates: who was removed, who belongs on which
/// store.
pub trait Admission: Send + Sync + 'static {
    /// Judges a Hello that is in order otherwise. `certificate` is what the caller showed of itself.
    fn admit(&self, hello: &Hello, certificate: Option<&Attested>) -> Result<(), Refusal>;
}

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// One side refused; the other was told, where it could be.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The connection failed first.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The answering node runs on another store than the dialling one expects.
    #[error(
        "{to} answers from store {found}, it was admitted on store {expected}: \
         remove it and let it join under a new id"
    )]
    WrongStore {
        /// Who was dialled.
        to: Member,
        /// The store that it was admitted on.
        expected: StoreId,
        /// The store that it runs on.
        found: StoreId,
    },
}

/// Sends `hello` and waits for the answer; returns the store of the one who answers.
pub async fn introduce<R, W>(
    reader: &mut FrameReader<R>,
    writer: &mut FrameWriter<W>,
    hello: &Hello,
) -> Result<StoreId, HandshakeError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    writer.send(hello).await?;
    match reader.receive().await? {
        HelloReply::Refused(refusal) => Err(refusal.into()),
        HelloReply::Welcome { store } => match hello.to_store {
            Some(expected) if expected != store => Err(HandshakeError::WrongStore { to: hello.to, expected, found: store }),
            _ => Ok(store),
        },
    }
}

/// Waits for a Hello and answers it; returns it when it is welcome. `certificate` is whom the
/// peer's certificate attests.
pub async fn receive_hello<R, W>(
    reader: &mut FrameReader<R>,
    writer: &mut FrameWriter<W>,
    me: &LocalNode,
    certificate: Option<&Attested>,
    admission: &dyn Admission,
) -> Result<Hello, HandshakeError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let first_frame = reader.receive_raw().await?;
    let judged = parse_hello(&first_frame).and_then(|hello| {
        check_hello(&hello, me, certificate)?;
        admission.admit(&hello, certificate)?;
        Ok(hello)
    });
    match judged {
        Ok(hello) => {
            writer.send(&HelloReply::Welcome { store: me.store }).await?;
            Ok(hello)
        }
        Err(refusal) => {
            writer.send(&HelloReply::Refused(refusal.clone())).await?;
            writer.close().await?;
            Err(refusal.into())
        }
    }
}

fn parse_hello(first_frame: &[u8]) -> Result<Hello, Refusal> {
    frame::decode(first_frame).map_err(|error| Refusal {
        code: RefusalCode::MalformedHello,
        reason: format!("the first frame is no hello: {error}"),
        remedy: "run the same version on both nodes".to_owned(),
    })
}

/// What can be judged without knowing the members: version, cluster, certificate, and whether this
/// node is the one who is meant.
fn check_hello(hello: &Hello, me: &LocalNode, certificate: Option<&Attested>) -> Result<(), Refusal> {
    let refuse = |code, reason: String, remedy: &str| Err(Refusal { code, reason, remedy: remedy.to_owned() });
    if hello.protocol != PROTOCOL {
        return refuse(
            RefusalCode::UnsupportedProtocol,
            format!("the caller speaks protocol {}, {} speaks {PROTOCOL}", hello.protocol, me.member),
            "upgrade the older of the two nodes",
        );
    }
    if hello.cluster != me.cluster {
        return refuse(
            RefusalCode::ForeignCluster,
            format!("the caller belongs to cluster {}, {} to {}", hello.cluster, me.member, me.cluster),
            "check the addresses of the two clusters",
        );
    }
    let attested = certificate.map(|shown| shown.identity.member);
    if attested.is_none() && hello.lane != Lane::Join {
        return refuse(
            RefusalCode::CertificateRequired,
            "the caller shows no certificate".to_owned(),
            "join the cluster first, with a join token",
        );
    }
    if attested != hello.from || certificate.is_some_and(|shown| shown.identity.cluster != me.cluster) {
        return refuse(
            RefusalCode::IdentityMismatch,
            format!("the caller says it is {}, its certificate says {}", named(hello.from), named(attested)),
            "restore the caller's own certificate, or let it join anew",
        );
    }
    if hello.to != me.member {
        return refuse(
            RefusalCode::WrongNode,
            format!("the caller wants {}, this is {}", hello.to, me.member),
            "correct the address that is recorded for the node",
        );
    }
    match hello.to_store {
        Some(expected) if expected != me.store => refuse(
            RefusalCode::WrongStore,
            format!("the caller wants {} on store {expected}, it runs on store {}", me.member, me.store),
            "remove the node and let it join under a new id",
        ),
        _ => Ok(()),
    }
}

fn named(member: Option<Member>) -> String {
    member.map_or_else(|| "nobody".to_owned(), |member| member.to_string())
}

#[cfg(test)]
mod tests;
