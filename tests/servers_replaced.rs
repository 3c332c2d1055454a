//! Machines come by whichever address answers, take the place of dead ones, and are never taken for others.

mod support;

use std::{fs, net::TcpListener, process::Command};

use bursar_wire::{
    Secret,
    client::Change,
    operations::{Operation, OperationStatus},
    query::ReadQuery,
    servers::{AddServer, ReplaceServer, Server, ServerCondition},
    store_points::StorePointCondition,
};
use support::{
    BURSAR, Fleet, errors_of,
    storage::{StorageServer, refused, succeeded, until_store_point},
};

/// In which silence of servers is found here, so that the test need not wait for the customary window.
const WINDOW_MS: u64 = 6_000;
/// How a storage server ends that is none any more.
const EXCLUDED: Option<i32> = Some(4);

async fn server(fleet: &Fleet, id: u64) -> Server {
    let answer = fleet.client().get(&format!("servers/{id}"), &ReadQuery::default()).await.expect("the server");
    answer.json().expect("a server")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_first_address_is_dead_is_online_in_time_by_its_second() {
    let fleet = Fleet::for_storage().await;
    // Connections to it stand, and nobody says a word.
    let dead = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let first = dead.local_addr().expect("a port").to_string();
    let mut machine = StorageServer::made_with(&fleet, "store-1", &fleet.node(1).dir.join("license.key"), &[&first]);
    machine.start();
    // Within which time, `fleet/tests/fleet/joining.rs` says: there no machine is slow.
    machine.is_taken_in(&fleet).await;
    let joined = server(&fleet, machine.id).await;
    assert_eq!((joined.primary_address, joined.condition), (first, ServerCondition::Online));
    // It is asked what is at a path by its second address, too.
    machine.give_store_point(&fleet, "shelf", &machine.disk()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_machine_is_replaced_and_no_identity_is_ever_taken_again() {
    let mut fleet = Fleet::of_one_never_started();
    fleet.miss_servers_after(1, WINDOW_MS);
    fleet.restart(1);
    fleet.claim().await;
    fleet.has_destination().await;
    let mut old = StorageServer::joined(&fleet, "old").await;
    let disk = old.disk();
    let store_point = old.give_store_point(&fleet, "shelf", &disk).await;
    let archive = disk.join("CrashPlanArchive_m1x1/archive");
    fs::write(&archive, "kept").expect("an archive");
    let mut new = StorageServer::made(&fleet, "new");
    new.start();
    let replacing = ReplaceServer { connection_string: Secret::new(new.string.clone()) };
    let client = fleet.client();
    let replace = || client.post("servers/1/replace", &replacing, Change::default());
    assert_eq!(refused(replace().await), (409, "server_not_offline".to_owned()));

    old.kill();
    old.until_it_is(&fleet, ServerCondition::Offline).await;
    let before = server(&fleet, 1).await;
    let replaced: Operation = replace().await.expect("the machine is replaced").json().expect("an operation");
    succeeded(&fleet, replaced.id).await;
    let after = server(&fleet, 1).await;
    assert_eq!((after.name.as_str(), after.condition, &after.former_guids), ("old", ServerCondition::Online, &vec![before.guid]));
    assert_ne!(after.guid, after.former_guids[0]);
    // The disk was put into the new machine: the store point goes on as it was.
    until_store_point(&fleet, store_point, &StorePointCondition::Online).await;
    assert_eq!(fs::read_to_string(&archive).expect("the archive"), "kept");

    // The old machine comes to life, and is told.
    old.start();
    assert_eq!(old.ended().await, EXCLUDED, "{}", old.said());
    assert!(old.said().contains("given its place to another machine"), "{}", old.said());
    assert_eq!(server(&fleet, 1).await.guid, after.guid);

    // One that is removed is told at once.
    let mut removed = StorageServer::joined(&fleet, "removed").await;
    fleet.client().delete(&format!("servers/{}", removed.id), Change::default()).await.expect("it is removed");
    assert_eq!(removed.ended().await, EXCLUDED, "{}", removed.said());
    tombstone_stays(&fleet).await;
}

/// A machine whose joining was called off has an identity that is known for ever, whatever strings it issues.
async fn tombstone_stays(fleet: &Fleet) {
    let machine = StorageServer::made(fleet, "too-late");
    let add = async |string: &str| {
        let adding = AddServer { connection_string: Secret::new(string.to_owned()), name: None };
        fleet.client().post("destinations/1/servers", &adding, Change::default()).await
    };
    let waits: Operation =
        add(&machine.string).await.expect("one that does not answer is waited for").json().expect("an operation");
    let cancelled = fleet.client().act(&format!("operations/{}/cancel", waits.id), Change::default()).await;
    let cancelled: Operation = cancelled.expect("it is called off").json().expect("an operation");
    assert_eq!(cancelled.status, OperationStatus::Cancelled);
    assert_eq!(server(fleet, waits.task.object.id).await.condition, ServerCondition::Excluded);
    let again = Command::new(BURSAR).args(["storage-server", "connection-string", "--dir"]).arg(&machine.dir).output();
    let again = again.expect("the program starts");
    assert!(again.status.success(), "{}", errors_of(&again));
    let string = String::from_utf8(again.stdout).expect("a connection string is text");
    assert_eq!(refused(add(string.trim_end()).await), (409, "server_known".to_owned()));
}
