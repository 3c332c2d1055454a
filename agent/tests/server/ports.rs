//! Who may ask a member what.

use std::time::Duration;

use bursar_domain::store_point::{Found, Report};
use bursar_net::{Caller, DialError, Lane, Link, Member, RefusalCode, StoreId};
use bursar_wire::control::{AuthorityAnswer, AuthorityQuestion, PROBED_MAX};
use tokio::time::Instant;

use crate::support::*;

const MINUTE: Duration = Duration::from_secs(60);

async fn dial(machine: &Machine, cluster: &Cluster, from: Member, port: &str, lane: Lane) -> Result<Link, DialError> {
    let dialer = cluster.dialer(from, StoreId([0; 16]));
    dialer.dial(&address(port), Member::server(ME.0), Some(machine.store()), lane, MINUTE).await
}

#[tokio::test(start_paused = true)]
async fn members_look_at_its_ports_and_the_authority_alone_asks() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let _running = machine.run().await;
    let (peer, transfer, control) = ("0.0.0.0:4283", "0.0.0.0:4286", "0.0.0.0:4288");
    let (node, other) = (Member::authority(1), Member::server(OTHER.0));
    for port in [peer, transfer, control] {
        for from in [node, other] {
            for lane in [Lane::Append, Lane::Vote, Lane::Snapshot, Lane::Forward, Lane::Follow, Lane::Control, Lane::Probe] {
                let welcome = lane == Lane::Probe || (lane == Lane::Control && port == control && from == node);
                match dial(&machine, &cluster, from, port, lane).await {
                    Ok(_) => assert!(welcome, "{from} on {lane:?} at {port}"),
                    Err(DialError::Refused { refusal, .. }) => {
                        assert!(!welcome && refusal.code == RefusalCode::UnknownNode, "{from} on {lane:?} at {port}: {refusal}");
                    }
                    Err(error) => panic!("{from} on {lane:?} at {port}: {error}"),
                }
            }
        }
    }
    let stranger = Cluster::new(&network);
    assert!(matches!(dial(&machine, &stranger, node, control, Lane::Control).await, Err(DialError::Tls { .. })));
}

#[tokio::test(start_paused = true)]
async fn it_says_what_is_at_a_path_and_what_it_reaches() {
    let network = MemoryNetwork::default();
    let cluster = Cluster::new(&network);
    let machine = Machine::adopted(&network, &cluster, &[1]).await;
    let mut node = cluster.node(1).await;
    let _running = machine.run().await;
    let _call = node.wants_a_store_point(&machine).await;
    node.speaker().await.note_until(&told(3, Report::Online)).await;

    let Link { reader, writer, .. } =
        dial(&machine, &cluster, Member::authority(1), "0.0.0.0:4288", Lane::Control).await.unwrap();
    let caller = Caller::new(reader, writer, 1);
    let ask =
        async |question: AuthorityQuestion| -> AuthorityAnswer { caller.call(&question, Instant::now() + MINUTE).await.unwrap() };
    let examine = async |path: &str| match ask(AuthorityQuestion::Examine { path: path.to_owned() }).await {
        AuthorityAnswer::Found(findings) => findings,
        other => panic!("{path}: {other:?}"),
    };
    let disk = machine.disk().display().to_string();
    std::fs::create_dir(machine.disk().join("free")).unwrap();
    let free = format!("{disk}/free");
    let found = examine(&free).await;
    assert!(found.found == Found::Directory && found.writable && !found.foreign_identity, "{found:?}");
    assert!(found.within.is_none() && found.free_bytes > 0 && found.canonical_path == free, "{found:?}");
    let inside = examine(&format!("{disk}/CrashPlanArchive_m7x3")).await;
    assert_eq!((inside.within, inside.writable), (Some(bursar_domain::StorePointId(3)), false), "nothing is written there");
    let others = machine.disk().join("swapped/CrashPlanArchive_m8x1");
    std::fs::create_dir_all(&others).unwrap();
    let own = std::fs::read_to_string(machine.disk().join("CrashPlanArchive_m7x3/bursar-store-point.toml")).unwrap();
    std::fs::write(others.join("bursar-store-point.toml"), own.replace("server = 7", "server = 8")).unwrap();
    let identity = others.join("bursar-store-point.toml");
    for within in ["swapped", "swapped/CrashPlanArchive_m8x1"] {
        let found = examine(&format!("{disk}/{within}")).await;
        let told = (found.within, found.foreign_identity, found.writable);
        assert_eq!(told, (Some(bursar_domain::StorePointId(3)), false, false), "another server's: {within}");
    }
    std::fs::write(&identity, own.replace("store_point = 3", "store_point = 4")).unwrap();
    assert!(examine(&format!("{disk}/swapped")).await.writable, "a retired store point stands in nobody's way");
    std::fs::write(&identity, &own).unwrap();
    let moved = examine(&format!("{disk}/swapped")).await;
    let told = (moved.within, moved.foreign_identity, moved.writable);
    assert_eq!(told, (Some(bursar_domain::StorePointId(3)), false, false), "its own, moved there by hand");
    std::fs::write(&identity, "nobody reads this").unwrap();
    for foreign in ["swapped", "swapped/CrashPlanArchive_m8x1"] {
        let found = examine(&format!("{disk}/{foreign}")).await;
        assert!(found.foreign_identity && !found.writable && found.within.is_none(), "{found:?}");
    }
    std::os::unix::fs::symlink(machine.disk(), machine.disk().join("link")).unwrap();
    assert_eq!(examine(&format!("{disk}/link")).await.canonical_path, disk);
    assert_eq!(examine(&format!("{disk}/none")).await.found, Found::Nothing);
    assert_eq!(examine("/etc/passwd").await.found, Found::SomethingElse);
    assert!(matches!(ask(AuthorityQuestion::Examine { path: "../up".into() }).await, AuthorityAnswer::Failed { .. }));

    let asked = vec![control_of(2), control_of(1)];
    let AuthorityAnswer::Probed(probed) = ask(AuthorityQuestion::Probe { addresses: asked.clone() }).await else {
        panic!("it does not look")
    };
    let seen: Vec<_> = probed.into_iter().map(|probed| (probed.address, probed.outcome.is_reached())).collect();
    assert_eq!(seen, [(asked[0].clone(), false), (asked[1].clone(), true)]);
    let too_many = ask(AuthorityQuestion::Probe { addresses: vec![control_of(1); PROBED_MAX + 1] }).await;
    assert!(matches!(too_many, AuthorityAnswer::Failed { .. }));
}
