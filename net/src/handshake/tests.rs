//! Who is welcome and who is not, without sockets.

use tokio::io::{DuplexStream, duplex};

use super::*;
use crate::{NodeKey, PeerIdentity};

const MY_STORE: StoreId = StoreId([1; 16]);
const CALLERS_STORE: StoreId = StoreId([2; 16]);
const OTHER_STORE: StoreId = StoreId([9; 16]);

fn cluster(name: &str) -> ClusterId {
    ClusterId::new(name).unwrap()
}

fn me() -> LocalNode {
    LocalNode { cluster: cluster("c1"), member: Member::authority(1), store: MY_STORE }
}

fn certificate(id: u64, cluster_name: &str) -> Attested {
    let identity = PeerIdentity { member: Member::authority(id), cluster: cluster(cluster_name) };
    Attested { identity, public_key: NodeKey::generate().unwrap().public_key() }
}

/// Authority 2 calls authority 1, and all is in order.
fn hello() -> Hello {
    Hello {
        protocol: PROTOCOL,
        cluster: cluster("c1"),
        from: Some(Member::authority(2)),
        from_store: CALLERS_STORE,
        to: Member::authority(1),
        to_store: Some(MY_STORE),
        lane: Lane::Append,
    }
}

fn code(hello: &Hello, certificate: Option<&Attested>) -> Result<(), RefusalCode> {
    check_hello(hello, &me(), certificate).map_err(|refusal| refusal.code)
}

#[test]
fn a_member_is_welcome_whether_or_not_it_knows_our_store() {
    let its_own = certificate(2, "c1");
    assert_eq!(code(&hello(), Some(&its_own)), Ok(()));
    assert_eq!(code(&Hello { to_store: None, ..hello() }, Some(&its_own)), Ok(()));
}

#[test]
fn whoever_does_not_fit_is_told_why() {
    let its_own = certificate(2, "c1");
    for (hello, expected) in [
        (Hello { protocol: PROTOCOL + 1, ..hello() }, RefusalCode::UnsupportedProtocol),
        (Hello { cluster: cluster("c2"), ..hello() }, RefusalCode::ForeignCluster),
        (Hello { from: Some(Member::authority(3)), ..hello() }, RefusalCode::IdentityMismatch),
        (Hello { from: None, ..hello() }, RefusalCode::IdentityMismatch),
        (Hello { from: None, lane: Lane::Join, ..hello() }, RefusalCode::IdentityMismatch),
        (Hello { to: Member::authority(3), ..hello() }, RefusalCode::WrongNode),
        (Hello { to_store: Some(OTHER_STORE), ..hello() }, RefusalCode::WrongStore),
    ] {
        assert_eq!(code(&hello, Some(&its_own)), Err(expected), "{hello:?}");
    }
    let foreign = certificate(2, "c2");
    assert_eq!(code(&hello(), Some(&foreign)), Err(RefusalCode::IdentityMismatch));
}

#[test]
fn without_a_certificate_there_is_the_join_lane_and_no_other() {
    let nobody = Hello { from: None, to_store: None, ..hello() };
    for lane in [Lane::Append, Lane::Vote, Lane::Snapshot, Lane::Forward, Lane::Follow, Lane::Control, Lane::Probe] {
        let refused = code(&Hello { lane, ..nobody.clone() }, None);
        assert_eq!(refused, Err(RefusalCode::CertificateRequired), "{lane:?}");
    }
    assert_eq!(code(&Hello { lane: Lane::Join, ..nobody }, None), Ok(()));
    let pretender = Hello { lane: Lane::Join, ..hello() };
    assert_eq!(code(&pretender, None), Err(RefusalCode::IdentityMismatch));
}

/// Refuses everybody.
struct Closed;

impl Admission for Closed {
    fn admit(&self, hello: &Hello, _certificate: Option<&Attested>) -> Result<(), Refusal> {
        Err(Refusal {
            code: RefusalCode::RemovedNode,
            reason: format!("the store {} was removed", hello.from_store),
            remedy: "join anew".to_owned(),
        })
    }
}

fn framed(stream: DuplexStream) -> (FrameReader, FrameWriter) {
    frame::frames(Box::new(stream), HANDSHAKE_BYTES_MAX)
}

#[tokio::test]
async fn what_admission_refuses_is_told_to_both_ends() {
    let (left, right) = duplex(1024);
    let (mut reader, mut writer) = framed(right);
    let its_own = certificate(2, "c1");
    let answering = async { receive_hello(&mut reader, &mut writer, &me(), Some(&its_own), &Closed).await };
    let (mut reader, mut writer) = framed(left);
    let hello = hello();
    let asking = introduce(&mut reader, &mut writer, &hello);

    let (answered, asked) = tokio::join!(answering, asking);
    let Err(HandshakeError::Refused(here)) = answered else { panic!("{answered:?}") };
    let Err(HandshakeError::Refused(there)) = asked else { panic!("{asked:?}") };
    assert_eq!(here, there);
    assert_eq!(here.code, RefusalCode::RemovedNode);
    assert_eq!(there.to_string(), "the store 02020202020202020202020202020202 was removed (removed_node): join anew");
}

#[tokio::test]
async fn a_first_frame_that_is_no_hello_is_answered() {
    let (left, right) = duplex(1024);
    let (mut reader, mut writer) = framed(right);
    let answering = async { receive_hello(&mut reader, &mut writer, &me(), None, &Closed).await };
    let asking = async {
        let (mut reader, mut writer) = framed(left);
        writer.send("good day").await.unwrap();
        reader.receive::<HelloReply>().await.unwrap()
    };
    let (_, reply) = tokio::join!(answering, asking);
    assert!(matches!(reply, HelloReply::Refused(refusal) if refusal.code == RefusalCode::MalformedHello));
}

#[tokio::test]
async fn the_dialler_notices_that_the_node_runs_on_another_store() {
    let (left, right) = duplex(1024);
    let answering = async {
        let (mut reader, mut writer) = framed(right);
        reader.receive::<Hello>().await.unwrap();
        writer.send(&HelloReply::Welcome { store: OTHER_STORE }).await.unwrap();
    };
    let (mut reader, mut writer) = framed(left);
    let hello = hello();
    let (_, asked) = tokio::join!(answering, introduce(&mut reader, &mut writer, &hello));
    assert!(matches!(asked, Err(HandshakeError::WrongStore { expected: MY_STORE, found: OTHER_STORE, .. })));
}

#[test]
fn every_refusal_code_travels_under_its_name() {
    for code in [
        RefusalCode::MalformedHello,
        RefusalCode::UnsupportedProtocol,
        RefusalCode::ForeignCluster,
        RefusalCode::CertificateRequired,
        RefusalCode::IdentityMismatch,
        RefusalCode::WrongNode,
        RefusalCode::WrongStore,
        RefusalCode::ForeignStore,
        RefusalCode::UnknownNode,
        RefusalCode::RemovedNode,
        RefusalCode::Unavailable,
    ] {
        assert_eq!(frame::encode(&code).unwrap(), frame::encode(code.name()).unwrap());
    }
}
