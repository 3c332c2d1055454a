//! What is asked for in vain where storage is added: each request is refused with its reason, and nothing has changed.

mod support;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
    sync::Arc,
};

use bursar_agent::DataDirectory;
use bursar_net::DiskFiles;
use bursar_wire::{
    ConnectionString, Secret,
    client::{Answer, Change, ClientError},
    page::Page,
    query::ListQuery,
    servers::{AddServer, Server},
    store_points::CreateStorePoint,
};
use support::{
    BURSAR, Fleet,
    mounts::{self, Mount},
    storage::{StorageServer, refused, succeeded},
    until,
};
use tokio::task::JoinSet;

/// How many use one connection string at the same time.
const USERS: usize = 50;
const DAY_MS: u64 = 24 * 3_600_000;
const ANOTHER_LICENSE: &str = "BURSAR-00000-00000-00000";

async fn add(fleet: &Fleet, string: &str) -> Result<Answer, ClientError> {
    let adding = AddServer { connection_string: Secret::new(string.to_owned()), name: None };
    fleet.client().post("destinations/1/servers", &adding, Change::default()).await
}

async fn make(fleet: &Fleet, name: &str, path: &str) -> Result<Answer, ClientError> {
    let making = CreateStorePoint { name: name.into(), path: path.into(), ..CreateStorePoint::default() };
    fleet.client().post("servers/1/store-points", &making, Change::default()).await
}

async fn revision(fleet: &Fleet) -> String {
    until("the node answers", async || fleet.status_of(1).await).await.revision
}

/// The string of a machine with something in it changed, signed as the machine itself would.
fn forged(machine: &StorageServer, change: impl FnOnce(&mut ConnectionString)) -> String {
    let directory = DataDirectory::open(Arc::new(DiskFiles), &machine.dir).expect("a data directory");
    let mut says = ConnectionString::decode(&machine.string).expect("a connection string");
    change(&mut says);
    says.encode(&directory.server().expect("a server").key).expose().to_owned()
}

fn issue_another(machine: &StorageServer) {
    let issued = Command::new(BURSAR).args(["storage-server", "connection-string", "--dir"]).arg(&machine.dir).output();
    assert!(issued.expect("the program starts").status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn strings_that_are_not_good_add_nobody_and_a_good_one_adds_one() {
    let fleet = Fleet::for_storage().await;
    let (mut good, mut voided) = (StorageServer::made(&fleet, "good"), StorageServer::made(&fleet, "voided"));
    let license = fleet.folder().join("another-license.key");
    fs::write(&license, ANOTHER_LICENSE).expect("a license key");
    fs::set_permissions(&license, fs::Permissions::from_mode(0o600)).expect("a license key");
    let foreign = StorageServer::made_with(&fleet, "foreign", &license, &[]);
    good.start();
    voided.start();
    // One that does not answer yet would be waited for.
    voided.waits().await;
    issue_another(&voided);
    let line = good.string.clone();
    let tampered = {
        let middle = line.len() / 2;
        let other = if &line[middle..=middle] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &line[..middle], &line[middle + 1..])
    };
    let expired = forged(&good, |says| {
        says.issued_at.0 -= 2 * DAY_MS;
        says.expires_at.0 -= 2 * DAY_MS;
    });
    let newer = forged(&good, |says| says.version = "99.0.0".into());

    let before = revision(&fleet).await;
    for (what, string, status, code) in [
        ("empty", "", 400, "connection_string_invalid"),
        ("truncated", &line[..line.len() - 2], 400, "connection_string_invalid"),
        ("without its signature", &line[..line.len() - 87], 400, "connection_string_invalid"),
        ("tampered", &tampered, 400, "connection_string_invalid"),
        ("expired", &expired, 409, "connection_string_expired"),
        ("of a foreign license", &foreign.string, 409, "license_foreign"),
        ("of another version", &newer, 409, "version_differs"),
        ("voided", &voided.string, 409, "connection_string_voided"),
    ] {
        assert_eq!(refused(add(&fleet, string).await), (status, code.to_owned()), "{what}");
        assert_eq!(revision(&fleet).await, before, "{what}: nothing has changed");
    }

    let fleet = Arc::new(fleet);
    let mut users = JoinSet::new();
    for _ in 0..USERS {
        let (fleet, line) = (Arc::clone(&fleet), line.clone());
        users.spawn(async move { add(&fleet, &line).await });
    }
    let (added, others): (Vec<_>, Vec<_>) = users.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(added.len(), 1, "one machine is added once");
    for other in others {
        assert_eq!(refused(other), (409, "connection_string_used".to_owned()));
    }
    let servers: Page<Server> = fleet.client().page("servers", &ListQuery::default()).await.expect("the servers");
    assert_eq!(servers.items.iter().map(|server| server.name.as_str()).collect::<Vec<_>>(), ["good"]);
    succeeded(&fleet, 1).await;

    let before = revision(&fleet).await;
    assert_eq!(refused(add(&fleet, &line).await), (409, "connection_string_used".to_owned()));
    assert_eq!(revision(&fleet).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn places_that_are_none_get_no_store_point_and_what_is_in_use_stays() {
    if !mounts::are_possible() {
        return;
    }
    let fleet = Fleet::for_storage().await;
    let mut server = StorageServer::join(&fleet, "store-1").await;
    let disks = fleet.folder().join("disks");
    let place = |name: &str| disks.join(name).display().to_string();
    let read_only = Mount::disk(Path::new(&place("read-only")));
    read_only.make_read_only();
    fs::create_dir(place("free")).expect("a folder");
    symlink(place("free"), place("link")).expect("a link");
    fs::write(place("file"), "").expect("a file");
    let within = server.disk().join("CrashPlanArchive_m1x1").display().to_string();
    let taken = server.disk().display().to_string();
    // A disk of another fleet.
    let anothers = disks.join("another's").join("CrashPlanArchive_m9x9");
    fs::create_dir_all(&anothers).expect("a folder");
    let identity = fs::read_to_string(Path::new(&within).join("bursar-store-point.toml")).expect("an identity");
    fs::write(anothers.join("bursar-store-point.toml"), identity.replace("server = 1", "server = 9")).expect("an identity");

    let before = revision(&fleet).await;
    for (what, path) in [
        ("relative", "disks/free".to_owned()),
        ("missing", place("missing")),
        ("a file", place("file")),
        ("below a file", place("file/below")),
        ("a link", place("link")),
        ("not writable", place("read-only")),
        ("another store point's place", taken),
        ("within another store point", within),
        ("another's disk", place("another's")),
        ("within another's store point", anothers.display().to_string()),
    ] {
        let problem = problem(make(&fleet, "shelf", &path).await);
        assert_eq!((problem.status, problem.code.as_str()), (422, "invalid_field"), "{what}: {problem}");
        assert_eq!(problem.errors.iter().map(|error| error.pointer.as_str()).collect::<Vec<_>>(), ["/path"], "{what}: {problem}");
        assert_eq!(revision(&fleet).await, before, "{what}: nothing has changed");
    }
    assert_eq!(refused(make(&fleet, "store-1's", &place("free")).await), (409, "name_taken".to_owned()));
    for in_use in ["sites/1", "destinations/1", "servers/1"] {
        let removing = fleet.client().delete(in_use, Change::default()).await;
        assert_eq!(refused(removing), (409, "in_use".to_owned()), "{in_use}");
    }
    assert_eq!(fs::read_dir(place("free")).expect("a folder").count(), 0, "what is only asked about is left as it was");
    // Nobody knows what is on the disks of a machine that does not answer.
    server.kill();
    assert_eq!(refused(make(&fleet, "shelf", &place("free")).await), (503, "server_unreachable".to_owned()));
    assert_eq!(revision(&fleet).await, before);
}

/// Why a request was refused.
fn problem(answer: Result<Answer, ClientError>) -> bursar_wire::Problem {
    match answer {
        Err(ClientError::Problem { problem, .. }) => *problem,
        other => panic!("it should be refused: {other:?}"),
    }
}
