//! Who gets through TLS and Hello, between real sockets.

use std::sync::Arc;

use async_trait::async_trait;
use bursar_net::frame::frames;
use bursar_net::*;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{Cluster, DAY, Echo, ForwardClock, PATIENCE, store};

/// Dials authority node 1 on the append lane.
async fn dial(dialer: &Dialer, address: &Address) -> Result<Link, DialError> {
    dialer.dial(address, Member::authority(1), Some(store(1)), Lane::Append, PATIENCE).await
}

fn refusal_code(dialled: Result<Link, DialError>) -> RefusalCode {
    match dialled {
        Err(DialError::Refused { refusal, .. }) => refusal.code,
        Err(other) => panic!("failed otherwise: {other}"),
        Ok(_) => panic!("it was welcomed"),
    }
}

#[tokio::test]
async fn two_nodes_of_a_cluster_talk() {
    let cluster = Cluster::new("c1");
    let node = cluster.start(1).await;
    let link = dial(&cluster.dialer(2), &node.address).await.unwrap();
    assert_eq!(link.peer.to_string(), "authority-1.c1.bursar");
    assert_eq!(link.store, store(1));
    let caller = Caller::new(link.reader, link.writer, 8);
    let answer: String = caller.call("good day", Instant::now() + PATIENCE).await.unwrap();
    assert_eq!(answer, "good day");
    let counts = node.stop().await;
    assert_eq!(counts, ConnectionCounts { accepted: 1, ..Default::default() });
}

#[tokio::test]
async fn whichever_authority_node_of_the_cluster_answers_is_talked_to_where_it_is_wanted() {
    let cluster = Cluster::new("c1");
    let node = cluster.start(3).await;
    let dialled =
        async |dialer: Dialer, wanted| dialer.dial_any_authority(&node.address, |id| id == wanted, Lane::Append, PATIENCE).await;
    let link = dialled(cluster.dialer(2), 3).await.unwrap();
    assert_eq!(link.peer.to_string(), "authority-3.c1.bursar");
    let caller = Caller::new(link.reader, link.writer, 8);
    let answer: String = caller.call("good day", Instant::now() + PATIENCE).await.unwrap();
    assert_eq!(answer, "good day", "it knows who calls");

    // Another one is wanted; or it has that name of another authority.
    for refused in [dialled(cluster.dialer(2), 4).await, dialled(Cluster::new("c1").dialer(2), 3).await] {
        assert!(matches!(refused, Err(DialError::Tls { .. })));
    }
    node.stop().await;
    let expired = cluster.start_with(3, &cluster.expired_credentials(3), Arc::new(Echo)).await;
    let dialled = cluster.dialer(2).dial_any_authority(&expired.address, |_| true, Lane::Append, PATIENCE).await;
    assert!(matches!(dialled, Err(DialError::Tls { .. })));
    expired.stop().await;
}

#[tokio::test]
async fn plaintext_is_closed() {
    let node = Cluster::new("c1").start(1).await;
    let mut stream = TcpStream::connect((node.address.host(), node.address.port())).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bursar\r\n\r\n").await.unwrap();
    let mut received = Vec::new();
    // Whether the end comes as an end or as a reset is the operating system's business.
    let _ = stream.read_to_end(&mut received).await;
    assert!(!received.starts_with(b"HTTP"), "{received:?}");
    assert_eq!(node.stop().await.failed_handshakes, 1);
}

#[tokio::test]
async fn a_node_with_an_expired_certificate_is_not_let_in() {
    let cluster = Cluster::new("c1");
    let node = cluster.start(1).await;
    let dialer = cluster.dialer_with(2, &cluster.expired_credentials(2));
    assert!(dial(&dialer, &node.address).await.is_err());
    assert_eq!(node.stop().await.failed_handshakes, 1);
}

#[tokio::test]
async fn a_node_with_an_expired_certificate_is_not_talked_to() {
    let cluster = Cluster::new("c1");
    let node = cluster.start_with(1, &cluster.expired_credentials(1), Arc::new(Echo)).await;
    let dialled = dial(&cluster.dialer(2), &node.address).await;
    assert!(matches!(dialled, Err(DialError::Tls { .. })));
    node.stop().await;
}

#[tokio::test]
async fn a_certificate_that_was_taken_before_is_refused_once_it_has_expired() {
    let clock = Arc::new(ForwardClock::default());
    let judging = Cluster { clock: clock.clone(), ..Cluster::new("c1") };
    let node = judging.start(1).await;
    // Its own clock stands still, so that it is the node that refuses; and the other way round.
    let trusting = judging.dialer(2);
    let calling = Dialer {
        connector: Arc::new(TlsConnector::new(&judging.credentials(2), Arc::new(SystemClock)).unwrap()),
        ..judging.dialer(2)
    };
    for _ in 0..2 {
        dial(&trusting, &node.address).await.unwrap();
        dial(&calling, &node.address).await.unwrap();
    }
    clock.put_forward(2);
    assert!(matches!(dial(&trusting, &node.address).await, Err(DialError::Tls { .. })), "it is not talked to");
    assert!(dial(&calling, &node.address).await.is_err(), "it is not let in");
    assert_eq!(node.stop().await.failed_handshakes, 2);
}

#[tokio::test]
async fn a_namesake_with_another_authority_is_trusted_by_neither_side() {
    let (cluster, namesake) = (Cluster::new("c1"), Cluster::new("c1"));
    let node = cluster.start(1).await;

    // It trusts its own authority alone, so it does not accept ours …
    let dialled = dial(&namesake.dialer(2), &node.address).await;
    assert!(matches!(dialled, Err(DialError::Tls { .. })));

    // … and when it does trust ours, it still has no certificate of it.
    let (key, foreign) = namesake.certify(&SystemClock, 2);
    let intruder = Credentials::new(&foreign.pem, cluster.authority.certificate_pem(), &key).unwrap();
    assert!(matches!(intruder.verify(), Err(CertificateError::ForeignAuthority { .. })));
    assert!(dial(&cluster.dialer_with(2, &intruder), &node.address).await.is_err());
    assert_eq!(node.stop().await.failed_handshakes, 2);
}

#[tokio::test]
async fn whoever_answers_in_place_of_the_node_that_is_meant_is_not_talked_to() {
    let cluster = Cluster::new("c1");
    let node = cluster.start(1).await;
    let dialer = cluster.dialer(2);
    dial(&dialer, &node.address).await.expect("as itself it is known");
    let dialled = dialer.dial(&node.address, Member::authority(3), None, Lane::Vote, PATIENCE).await;
    let Err(DialError::Tls { source, .. }) = dialled else { panic!("authority 1 passed for authority 3") };
    assert!(source.to_string().contains("authority-3.c1.bursar"), "{source}");
    node.stop().await;
}

#[tokio::test]
async fn a_certificate_of_one_node_does_not_speak_for_another() {
    let cluster = Cluster::new("c1");
    let node = cluster.start(1).await;
    let dialer = cluster.dialer_with(3, &cluster.credentials(2));
    assert_eq!(refusal_code(dial(&dialer, &node.address).await), RefusalCode::IdentityMismatch);
    assert_eq!(node.stop().await.failed_handshakes, 1);
}

#[tokio::test]
async fn a_node_on_another_store_than_its_own_is_refused() {
    let cluster = Cluster::new("c1");
    let node = cluster.start(1).await;
    let mut wiped = cluster.dialer(2);
    wiped.me.store = StoreId([0xff; 16]);
    assert_eq!(refusal_code(dial(&wiped, &node.address).await), RefusalCode::ForeignStore);
    node.stop().await;
}

#[tokio::test]
async fn a_node_that_expects_us_on_another_store_is_refused() {
    let cluster = Cluster::new("c1");
    let node = cluster.start(1).await;
    let dialer = cluster.dialer(2);
    let (to, expected) = (Member::authority(1), Some(store(7)));
    let dialled = dialer.dial(&node.address, to, expected, Lane::Append, PATIENCE).await;
    assert_eq!(refusal_code(dialled), RefusalCode::WrongStore);
    node.stop().await;
}

#[tokio::test]
async fn a_hello_of_another_cluster_is_refused_whatever_the_certificate_says() {
    let cluster = Cluster::new("c1");
    let node = cluster.start(1).await;
    let stream = TcpNetwork.connect(&node.address).await.unwrap();
    let peer = PeerIdentity { member: Member::authority(1), cluster: cluster.id.clone() };
    let stream = cluster.dialer(2).connector.connect(stream, &peer).await.unwrap();
    let (mut reader, mut writer) = frames(stream, FRAME_BYTES_MAX);
    let hello = Hello {
        protocol: PROTOCOL,
        cluster: ClusterId::new("c2").unwrap(),
        from: Some(Member::authority(2)),
        from_store: store(2),
        to: Member::authority(1),
        to_store: None,
        lane: Lane::Append,
    };
    let Err(HandshakeError::Refused(refusal)) = introduce(&mut reader, &mut writer, &hello).await else {
        panic!("another cluster was welcomed");
    };
    assert_eq!(refusal.code, RefusalCode::ForeignCluster);
    node.stop().await;
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let cluster = Cluster::new("c1");
    let node = cluster.start(1).await;
    let address = node.address.clone();
    node.stop().await;
    let dialled = dial(&cluster.dialer(2), &address).await;
    assert!(matches!(dialled, Err(DialError::Unreachable { .. })));
}

/// Says what its client's certificate attests, which on this port is nothing.
struct Doorkeeper;

#[async_trait]
impl ConnectionHandler for Doorkeeper {
    async fn serve(&self, mut connection: Connection) {
        let greeting = format!("{:?}", connection.peer);
        connection.stream.write_all(greeting.as_bytes()).await.unwrap();
        connection.stream.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn people_reach_the_http_port_under_its_further_names_without_a_certificate() {
    let cluster = Cluster::new("c1");
    let key = NodeKey::generate().unwrap();
    let further_names = ["localhost", "127.0.0.1"].map(SubjectName::from_host).to_vec();
    let identity = PeerIdentity { member: Member::authority(1), cluster: cluster.id.clone() };
    let profile = LeafProfile { identity, further_names, lifetime: DAY };
    let (request, entropy) = (key.request().unwrap(), SystemEntropy::new());
    let issued = cluster.authority.issue(&request, &profile, &SystemClock, &entropy).unwrap();
    let authority_pem = cluster.authority.certificate_pem();
    let credentials = Credentials::new(&issued.pem, authority_pem, &key).unwrap();

    let acceptor = TlsAcceptor::for_https(&credentials, Arc::new(SystemClock)).unwrap();
    let listener = TcpNetwork.bind(&"127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address: Address = listener.local_address().unwrap().into();
    let (_trigger, shutdown) = shutdown_channel();
    let (limits, meter) = (ConnectionLimits::default(), ConnectionMeter::new());
    let acceptor: Option<Arc<dyn Acceptor>> = Some(Arc::new(acceptor));
    tokio::spawn(serve(listener, acceptor, limits, meter, Arc::new(Doorkeeper), shutdown));

    let browser = browser(authority_pem);
    for (name, is_covered) in [("localhost", true), ("127.0.0.1", true), ("example.org", false)] {
        let stream = TcpNetwork.connect(&address).await.unwrap();
        let connected = browser.connect(name.try_into().unwrap(), stream).await;
        assert_eq!(connected.is_ok(), is_covered, "{name}");
        let Ok(mut connection) = connected else {
            continue;
        };
        assert_eq!(connection.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut greeting = String::new();
        connection.read_to_string(&mut greeting).await.unwrap();
        assert_eq!(greeting, "None");
    }
}

/// Trusts one authority, shows no certificate, speaks HTTP 2 and 1.1.
fn browser(authority_pem: &str) -> tokio_rustls::TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config).into()
}
