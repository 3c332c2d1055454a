//! A machine that no cluster has certified yet, and whoever knows the certificate that it signed itself.

use std::sync::Arc;
use std::time::Duration;

use bursar_net::*;
use tokio::io::duplex;

struct Newcomer {
    key: NodeKey,
    certificate: SelfSignedCertificate,
}

impl Newcomer {
    fn new() -> Self {
        let key = NodeKey::generate().unwrap();
        let day = Duration::from_secs(24 * 3600);
        let certificate = SelfSignedCertificate::create("a newcomer", &key, day, &SystemClock, &SystemEntropy::new()).unwrap();
        Self { key, certificate }
    }

    /// What comes of calling it by the certificate with this fingerprint.
    async fn called_by(&self, fingerprint: Fingerprint) -> Result<(), String> {
        let (here, there) = duplex(16 * 1024);
        let acceptor = TlsAcceptor::for_newcomer(&self.certificate, &self.key, Arc::new(SystemClock)).unwrap();
        let connector = TlsPinnedConnector::new(Arc::new(SystemClock));
        let (accepted, connected) =
            tokio::join!(acceptor.accept(Box::new(there)), connector.connect_self_signed(Box::new(here), fingerprint));
        if let Ok(secured) = accepted {
            assert_eq!(secured.peer, None, "whoever calls shows nothing");
        }
        connected.map(drop).map_err(|error| error.to_string())
    }
}

#[tokio::test]
async fn it_is_called_by_its_own_certificate_and_by_no_other() {
    let (newcomer, other) = (Newcomer::new(), Newcomer::new());
    assert_eq!(newcomer.called_by(newcomer.certificate.fingerprint()).await, Ok(()));
    let refused = newcomer.called_by(other.certificate.fingerprint()).await.unwrap_err();
    assert!(refused.contains(&other.certificate.fingerprint().to_string()), "{refused}");
}

#[tokio::test]
async fn it_passes_for_no_node_of_a_cluster() {
    let newcomer = Newcomer::new();
    let (here, there) = duplex(16 * 1024);
    let acceptor = TlsAcceptor::for_newcomer(&newcomer.certificate, &newcomer.key, Arc::new(SystemClock)).unwrap();
    let connector = TlsPinnedConnector::new(Arc::new(SystemClock));
    let pinned = connector.connect_pinned(Box::new(here), newcomer.certificate.fingerprint());
    let (_, connected) = tokio::join!(acceptor.accept(Box::new(there)), pinned);
    assert!(connected.is_err());
}
