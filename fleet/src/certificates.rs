//! Certifying machines that are taken in.

use std::{sync::Arc, time::Duration};

use bursar_domain::{ServerId, cluster::Cluster};
use bursar_net::{
    CertificateAuthority, CertificateError, CertificateRequest, ClusterKey, Entropy, LeafProfile, Member, PeerIdentity,
    SealError, WallClock,
};

/// Issues the certificates of storage servers, with the key that rests sealed in the ledger.
pub struct Issuer {
    /// Opens the key of the cluster's certificate authority.
    pub cluster_key: ClusterKey,
    /// For what it was sealed.
    pub sealed_for: &'static str,
    /// How long a certificate is valid.
    pub lifetime: Duration,
    /// The time of day.
    pub clock: Arc<dyn WallClock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The key is sealed with another cluster key.
    #[error(
        "the certificate authority's key does not open: {0}; compare cluster.key with the other nodes', and restore the right one"
    )]
    Sealed(#[from] SealError),
    /// Issuing.
    #[error("no certificate: {0}")]
    Certificate(#[from] CertificateError),
}

impl Issuer {
    /// The certificate of a server of `cluster`, for the key in `request`, PEM.
    pub(crate) fn certify(
        &self,
        cluster: &Cluster,
        server: ServerId,
        request: &CertificateRequest,
    ) -> Result<String, IssueError> {
        let key = self.cluster_key.open(self.sealed_for, &cluster.sealed_ca_key)?;
        let authority = CertificateAuthority::from_pem(&cluster.ca_certificate, &String::from_utf8_lossy(&key))?;
        let profile = LeafProfile {
            identity: PeerIdentity { member: Member::server(server.0), cluster: authority.cluster().clone() },
            further_names: Vec::new(),
            lifetime: self.lifetime,
        };
        Ok(authority.issue(request, &profile, self.clock.as_ref(), self.entropy.as_ref())?.pem)
    }
}
