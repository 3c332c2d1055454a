//! A storage server on its own: it works on while no authority node answers, and mends what it knows when that is not as it
//! should be.

mod support;

use std::{fs, sync::Arc};

use bursar_agent::{DataDirectory, ProjectionFile, Saved};
use bursar_domain::{
    Name, Projection,
    encoding::{decode, encode},
    projection::Making,
};
use bursar_net::DiskFiles;
use bursar_wire::{
    alerts::{Alert, AlertCondition},
    query::ReadQuery,
    servers::{ProjectionState, Server, ServerCondition},
    store_points::StorePointCondition,
};
use support::{
    Fleet,
    disk::{Shim, Watched},
    storage::{StorageServer, alerts, until_offline, until_store_point},
    until,
};

/// All alerts that ever were, by kind.
async fn kinds(fleet: &Fleet) -> Vec<String> {
    let mut all = alerts(fleet, Some("open=true")).await;
    all.extend(alerts(fleet, Some("open=false")).await);
    all.into_iter().map(|alert| alert.kind).collect()
}

/// How often the store point's directory was found to be its own, and written to.
fn checks(watched: &Watched) -> usize {
    let trials = watched.events().into_iter().filter(|event| event.is_sync() && event.path.ends_with(".bursar-trial"));
    trials.count()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_authority_it_starts_looks_after_its_disk_and_has_caught_up_when_there_is_one() {
    let Some(shim) = Shim::build() else { return };
    let mut fleet = Fleet::for_storage().await;
    let mut server = StorageServer::join(&fleet, "store-1").await;
    let directory = server.disk().join("CrashPlanArchive_m1x1");
    let watched = shim.watch_folder(&server.disk(), &fleet.folder().join("watched"));
    fleet.stop(1);
    server.kill();
    server.start_with(&watched.environment());
    until("its store point is looked at again and again", async || (checks(&watched) >= 2).then_some(())).await;

    // What happens meanwhile is told later.
    let away = directory.with_extension("away");
    fs::rename(&directory, &away).expect("the directory is moved");
    fleet.restart(1);
    fleet.ready(1).await;
    until_offline(&fleet, 1, "missing").await;
    fs::rename(&away, &directory).expect("the directory is put back");
    until_store_point(&fleet, 1, &StorePointCondition::Online).await;
    server.observed(&fleet).await;
    server.until_it_is(&fleet, ServerCondition::Online).await;
    assert_eq!(kinds(&fleet).await, ["store_point_offline"], "nobody was called silent");
}

/// What the server keeps on its disk.
fn kept(server: &StorageServer) -> (ProjectionFile, Saved, Projection) {
    let directory = DataDirectory::open(Arc::new(DiskFiles), &server.dir).expect("a data directory");
    let file = directory.projection_file(&directory.server().expect("a server"));
    let saved = file.load().expect("the file reads").expect("something is kept");
    let projection = decode(&saved.projection).expect("a projection");
    (file, saved, projection)
}

async fn mismatch(fleet: &Fleet) -> Option<Alert> {
    alerts(fleet, Some("kind=projection_mismatch")).await.pop()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_knows_and_should_not_is_found_told_and_read_anew() {
    let fleet = Fleet::for_storage().await;
    let mut server = StorageServer::join(&fleet, "store-1").await;
    until("it knows that its store point was made", async || {
        kept(&server).2.store_points.values().all(|store_point| store_point.making == Making::Done).then_some(())
    })
    .await;
    server.kill();
    let (file, saved, right) = kept(&server);
    let wrong = Projection { name: Name::parse("name", "another").expect("a name"), ..right.clone() };
    file.save(Saved { projection: encode(&wrong), ..saved }).expect("the file is written");
    server.start();
    let alert = until("the mismatch is told and mended", async || {
        let alert = mismatch(&fleet).await?;
        matches!(alert.condition, AlertCondition::Resolved { .. }).then_some(alert)
    })
    .await;
    assert_eq!((alert.subject.kind.as_str(), alert.subject.id, alert.occurrences), ("server", server.id, 1));
    let now = fleet.client().get("servers/1", &ReadQuery::default()).await.expect("the server").json::<Server>();
    assert_eq!(now.expect("a server").projection, ProjectionState::Matching);
    server.kill();
    assert_eq!(kept(&server).2, right, "it knows again what it should");

    // Damage shows at the start, and says what to do; done, the fleet is read anew.
    let path = file.path();
    let mut bytes = fs::read(path).expect("the file");
    *bytes.last_mut().expect("it is not empty") ^= 1;
    fs::write(path, bytes).expect("the file");
    server.start();
    assert_eq!(server.ended().await, Some(1), "{}", server.said());
    assert!(
        server.said().contains("is damaged") && server.said().contains("remove it and start the server"),
        "{}",
        server.said()
    );
    fs::remove_file(path).expect("the file");
    server.start();
    until("it has read the fleet anew", async || path.exists().then_some(())).await;
    server.kill();
    assert_eq!(kept(&server).2, right);
}
