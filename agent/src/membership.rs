//! What makes the server a member of a cluster: `membership.toml`, and the certificates that go with it.
//!
//! The addresses are where it looks for the authority before it knows more; people may correct them. Everything else in the file
//! stands in the certificates or in the server's identity too, so that a bit that flips in any of them shows.

use std::collections::BTreeMap;

use bursar_domain::{AuthorityNodeId, ClusterId, ServerGuid, ServerId};
use bursar_net::{Address, CertificateError, Credentials, Fingerprint, LocalNode, Member, PeerIdentity, StoreId};
use bursar_wire::control;
use serde::{Deserialize, Serialize};

use crate::directory::Server;

/// What makes a server a member of a cluster, checked.
pub struct Membership {
    /// Of which cluster.
    pub cluster: ClusterId,
    /// Its number there.
    pub server: ServerId,
    /// Who it is, as it says in every handshake.
    pub me: LocalNode,
    /// Where authority nodes listened for storage servers when it was adopted.
    pub authority: BTreeMap<AuthorityNodeId, Address>,
    /// What it shows of itself, and whom it trusts.
    pub credentials: Credentials,
}

/// Why a server is not the member that files or the authority say.
#[derive(Debug, thiserror::Error)]
pub enum MembershipFault {
    /// A certificate is none, is of another key, or was not signed by the authority beside it.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate is of somebody else.
    #[error("the certificate is of {found}, not of {expected}")]
    AnotherMember {
        /// Whom it attests.
        found: PeerIdentity,
        /// Whom it should.
        expected: PeerIdentity,
    },
    /// The membership is of a server with another identity.
    #[error("the membership is of the storage server {found}, this one is {expected}")]
    AnotherServer {
        /// Whose it is.
        found: ServerGuid,
        /// Whose it should be.
        expected: ServerGuid,
    },
    /// The authority's certificate is not the one that came with the membership.
    #[error("the authority's certificate has the fingerprint {found}, not {expected}")]
    AnotherAuthority {
        /// What it has.
        found: Fingerprint,
        /// What it should have.
        expected: Fingerprint,
    },
    /// Nobody to speak with.
    #[error("no address of an authority node is given")]
    Alone,
}

/// `membership.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MembershipFile {
    /// Whose it is: the server's own identity.
    pub guid: ServerGuid,
    pub cluster: ClusterId,
    pub server: ServerId,
    /// Of the authority's certificate.
    pub ca_fingerprint: Fingerprint,
    pub authority: Vec<Node>,
}

/// Where an authority node listens for storage servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    pub node: AuthorityNodeId,
    pub address: Address,
}

impl MembershipFile {
    /// Of `server`, as the authority tells; refused where that does not fit it.
    pub(crate) fn of(server: &Server, told: &control::Membership) -> Result<Self, MembershipFault> {
        let credentials = Credentials::new(&told.certificate, &told.ca_certificate, &server.key)?;
        let file = Self {
            guid: server.identity.guid,
            cluster: told.cluster,
            server: told.server,
            ca_fingerprint: credentials.authority_fingerprint(),
            authority: told.authority.iter().map(|(node, address)| Node { node: *node, address: address.clone() }).collect(),
        };
        file.check(server, &told.certificate, &told.ca_certificate)?;
        Ok(file)
    }

    /// Holds the file, the certificates beside it (PEM) and the server against each other.
    pub(crate) fn check(&self, server: &Server, certificate: &str, ca_certificate: &str) -> Result<Membership, MembershipFault> {
        let Self { guid, cluster, server: number, ca_fingerprint, authority } = self;
        if *guid != server.identity.guid {
            return Err(MembershipFault::AnotherServer { found: *guid, expected: server.identity.guid });
        }
        let credentials = Credentials::new(certificate, ca_certificate, &server.key)?;
        if credentials.authority_fingerprint() != *ca_fingerprint {
            let found = credentials.authority_fingerprint();
            return Err(MembershipFault::AnotherAuthority { found, expected: *ca_fingerprint });
        }
        credentials.verify()?;
        let me = local_node(*cluster, *number, *guid);
        let expected = PeerIdentity { member: me.member, cluster: me.cluster.clone() };
        let found = &credentials.facts().identity;
        if *found != expected {
            return Err(MembershipFault::AnotherMember { found: found.clone(), expected });
        }
        if authority.is_empty() {
            return Err(MembershipFault::Alone);
        }
        let authority = authority.iter().map(|Node { node, address }| (*node, address.clone())).collect();
        Ok(Membership { cluster: *cluster, server: *number, me, authority, credentials })
    }
}

/// Who a server of a cluster is, to others: its store is its guid, which the ledger knows.
fn local_node(cluster: ClusterId, server: ServerId, guid: ServerGuid) -> LocalNode {
    let cluster = bursar_net::ClusterId::new(&cluster.to_string()).expect("32 hexadecimal digits are a DNS label");
    LocalNode { cluster, member: Member::server(server.0), store: store_of(guid) }
}

/// The store that a server names in handshakes.
pub(crate) fn store_of(guid: ServerGuid) -> StoreId {
    StoreId(guid.0)
}
