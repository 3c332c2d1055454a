//! Who may talk to whom: the cluster's certificate authority, the nodes' certificates, and TLS 1.3
//! with them.
//!
//! Every cluster has its own authority and trusts nobody else. A node makes its own key, which
//! never leaves it, and asks for a certificate that names its role, id and cluster. Sessions are
//! never resumed: each connection proves anew that it has the key of a certificate that is valid.

mod authority;
mod channel;
mod configuration;
mod credentials;
mod key;
mod pin;
mod remembered;
mod seal;
mod self_signed;
mod signature;
mod transport;
mod trust;

pub use authority::{CertificateAuthority, IssuedCertificate, LeafProfile, SubjectName};
pub use channel::{Acceptor, Attested, Connector, PinnedConnector, Secured, TlsAcceptor, TlsConnector, TlsPinnedConnector};
pub use credentials::{CertificateFacts, Credentials};
pub use key::{CertificateRequest, NodeKey};
pub use pin::Fingerprint;
pub use seal::{ClusterKey, SealError};
pub use self_signed::SelfSignedCertificate;
pub use signature::{KeySignature, PublicKey};
pub use transport::{TlsTransport, Transport};
pub use trust::{Trust, TrustError};

use crate::IdentityError;

/// What can be wrong with keys and certificates.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A text or bytes that are no certificate, key or request, or that cannot be signed.
    #[error("cannot {action}: {reason}")]
    Unusable {
        /// What was tried.
        action: &'static str,
        /// Why it did not work.
        reason: String,
    },
    /// A request above the size that a request has.
    #[error("a certificate request has at most {bytes_max} bytes, this one has {bytes}")]
    RequestTooLarge {
        /// Size of the request, in bytes.
        bytes: usize,
        /// The bound, in bytes.
        bytes_max: usize,
    },
    /// A certificate without, or with more than one, name of a node.
    #[error("a node's certificate names exactly one node, this one names {count}")]
    IdentityCount {
        /// How many it names.
        count: usize,
    },
    /// A name that ends in `.bursar` but names no node, or a cluster id that is none.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A request for a node of another cluster.
    #[error("the authority of cluster {own} does not certify nodes of {asked}")]
    ForeignCluster {
        /// The authority's cluster.
        own: String,
        /// The cluster that was asked for.
        asked: String,
    },
    /// An additional name that could be taken for a node's.
    #[error("the name {name} ends in .bursar, which only nodes' own names do: choose another host name")]
    ReservedName {
        /// The name that was asked for.
        name: String,
    },
    /// A key that does not belong to the certificate beside it.
    #[error("the private key does not belong to the certificate: restore both from the same place")]
    ForeignKey,
    /// A certificate that the authority beside it did not sign, or no longer as it reads now.
    #[error("the authority did not sign the certificate: {reason}")]
    ForeignAuthority {
        /// What verifying it gave.
        reason: String,
    },
    /// A time that certificates cannot express.
    #[error("the clock or a lifetime is beyond what certificates can express")]
    TimeRange,
}

impl CertificateError {
    fn unusable(action: &'static str, reason: impl ToString) -> Self {
        Self::Unusable { action, reason: reason.to_string() }
    }
}
