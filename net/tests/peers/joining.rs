//! A node without a certificate, which knows nothing but the authority's fingerprint.

use std::sync::Arc;

use bursar_net::frame::frames;
use bursar_net::*;
use tokio::time::Instant;

use crate::support::{Cluster, Echo, PATIENCE, store};

const NEW_STORE: StoreId = StoreId([0xaa; 16]);

fn newcomer() -> JoinDialer {
    JoinDialer {
        network: Arc::new(TcpNetwork),
        connector: Arc::new(TlsPinnedConnector::new(Arc::new(SystemClock))),
        store: NEW_STORE,
        frame_bytes_max: FRAME_BYTES_MAX,
    }
}

#[tokio::test]
async fn the_right_fingerprint_finds_out_who_answers_and_opens_the_join_lane() {
    let cluster = Cluster::new("c1");
    let node = cluster.start(1).await;
    let pinned = cluster.authority.fingerprint();
    let link = newcomer().dial_pinned(&node.address, pinned, PATIENCE).await.unwrap();
    assert_eq!(link.peer.to_string(), "authority-1.c1.bursar");
    assert_eq!(link.store, store(1));

    let caller = Caller::new(link.reader, link.writer, 1);
    let request = NodeKey::generate().unwrap().request().unwrap();
    let answer: CertificateRequest = caller.call(&request, Instant::now() + PATIENCE).await.unwrap();
    assert_eq!(answer, request);
    node.stop().await;
}

#[tokio::test]
async fn the_wrong_fingerprint_ends_in_the_handshake() {
    let node = Cluster::new("c1").start(1).await;
    let pinned = Cluster::new("c1").authority.fingerprint();
    let dialled = newcomer().dial_pinned(&node.address, pinned, PATIENCE).await;
    let Err(DialError::Tls { source, .. }) = dialled else { panic!("another authority was accepted") };
    assert!(source.to_string().contains(&pinned.to_string()), "{source}");
    node.stop().await;
}

#[tokio::test]
async fn showing_the_pinned_authority_without_being_certified_by_it_does_not_help() {
    let (cluster, intruders) = (Cluster::new("c1"), Cluster::new("c1"));
    let (key, foreign) = intruders.certify(&SystemClock, 1);
    let intruder = Credentials::new(&foreign.pem, cluster.authority.certificate_pem(), &key).unwrap();
    let node = intruders.start_with(1, &intruder, Arc::new(Echo)).await;
    let pinned = cluster.authority.fingerprint();
    let dialled = newcomer().dial_pinned(&node.address, pinned, PATIENCE).await;
    assert!(matches!(dialled, Err(DialError::Tls { .. })));
    node.stop().await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused_under_the_right_fingerprint_too() {
    let cluster = Cluster::new("c1");
    let node = cluster.start_with(1, &cluster.expired_credentials(1), Arc::new(Echo)).await;
    let pinned = cluster.authority.fingerprint();
    let dialled = newcomer().dial_pinned(&node.address, pinned, PATIENCE).await;
    assert!(matches!(dialled, Err(DialError::Tls { .. })));
    node.stop().await;
}

#[tokio::test]
async fn without_a_certificate_no_other_lane_opens() {
    let cluster = Cluster::new("c1");
    let node = cluster.start(1).await;
    for lane in [Lane::Append, Lane::Vote, Lane::Snapshot, Lane::Forward, Lane::Follow, Lane::Control, Lane::Probe] {
        let stream = TcpNetwork.connect(&node.address).await.unwrap();
        let pinned = cluster.authority.fingerprint();
        let (stream, peer) = newcomer().connector.connect_pinned(stream, pinned).await.unwrap();
        let (mut reader, mut writer) = frames(stream, FRAME_BYTES_MAX);
        let hello = Hello {
            protocol: PROTOCOL,
            cluster: peer.cluster,
            from: Some(Member::authority(2)),
            from_store: store(2),
            to: peer.member,
            to_store: None,
            lane,
        };
        let Err(HandshakeError::Refused(refusal)) = introduce(&mut reader, &mut writer, &hello).await else {
            panic!("{lane:?} was opened");
        };
        assert_eq!(refusal.code, RefusalCode::CertificateRequired);
    }
    assert_eq!(node.stop().await.failed_handshakes, 7);
}
