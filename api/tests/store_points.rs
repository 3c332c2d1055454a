//! Store points: made where a server found a place for them, edited, drained and retired.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::collections::BTreeMap;

use axum::http::StatusCode;
use bursar_domain::{
    ServerId, StorePointId,
    store_point::{CreationFailure, Findings, Found, OfflineReason, Report},
};
use bursar_wire::servers::{Observed, ServerObserved, StorePointObserved};
use serde_json::{Value, json};
use support::{World, fleet::findings};

async fn with_server() -> World {
    let world = World::new().await;
    let vault = world.vault().await;
    world.server(vault, "ark");
    world
}

fn shelf() -> Value {
    json!({ "name": "shelf", "path": "/srv/a", "notes": "call 555-0100", "quota_bytes": 1_u64 << 40 })
}

#[tokio::test]
async fn a_store_point_is_made_where_its_server_found_a_place_for_it() {
    let world = with_server().await;
    let made = world.post("/api/v1/servers/1/store-points", &shelf()).send().await;
    assert_eq!((made.status, made.header("location")), (StatusCode::CREATED, "/api/v1/store-points/1"), "{made:?}");
    let shown = made.json();
    assert_eq!((&shown["directory"], &shown["path"]), (&json!("CrashPlanArchive_m1x1"), &json!("/srv/a")));
    assert_eq!((&shown["server"], &shown["server_name"], &shown["server_online"]), (&json!(1), &json!("ark"), &json!(true)));
    assert_eq!((&shown["notes"], &shown["quota_bytes"]), (&json!("call 555-0100"), &json!(1_u64 << 40)));
    let flags = ["accepting_data", "accepting_new_archives", "balancing"].map(|flag| shown[flag].as_bool().unwrap());
    assert_eq!(flags, [true; 3]);
    assert_eq!((&shown["intent"], &shown["condition"]), (&json!("active"), &json!({ "state": "creating" })));
    assert_eq!(world.fleet.asked(), ["examine /srv/a on server 1"]);
}

#[tokio::test]
async fn a_repetition_is_answered_though_the_server_is_gone_and_another_request_is_refused() {
    let world = with_server().await;
    let ask = || world.post("/api/v1/servers/1/store-points", &shelf()).header("idempotency-key", "k1").send();
    let made = ask().await;
    *world.fleet.findings.lock().unwrap() = None;
    let again = ask().await;
    assert_eq!((again.status, again.json()), (StatusCode::CREATED, made.json()));
    let body = json!({ "name": "attic", "path": "/srv/b" });
    let digest = world.digest();
    let refused = world.post("/api/v1/servers/1/store-points", &body).send().await;
    assert_eq!(refused.refuses(503, "server_unreachable").json()["object"], json!({ "kind": "server", "id": 1 }));
    assert_eq!(world.digest(), digest);
}

#[tokio::test]
async fn what_the_server_finds_wrong_is_told_of_the_path() {
    let world = with_server().await;
    let cases = [
        (Findings { found: Found::Nothing, ..findings("/srv/a") }, "must exist", "does not exist on the server"),
        (Findings { writable: false, ..findings("/srv/a") }, "must be writable", "cannot be written to"),
        (findings("/mnt/disk"), "must be no link", "/mnt/disk"),
    ];
    let digest = world.digest();
    for (found, rule, told) in cases {
        *world.fleet.findings.lock().unwrap() = Some(found);
        let refused = world.post("/api/v1/servers/1/store-points", &shelf()).send().await;
        let detail = refused.refuses(422, "invalid_field").pointing_at("/path").json()["errors"][0]["detail"].clone();
        assert!(detail.as_str().unwrap().contains(told), "{rule}: {detail}");
    }
    assert_eq!(world.digest(), digest);
}

#[tokio::test]
async fn a_store_point_that_is_in_the_way_is_named_with_its_server() {
    let world = with_server().await;
    world.post("/api/v1/servers/1/store-points", &shelf()).send().await;
    *world.fleet.findings.lock().unwrap() = Some(Findings { within: Some(StorePointId(1)), ..findings("/srv/b") });
    let second = json!({ "name": "second", "path": "/srv/b" });
    let refused = world.post("/api/v1/servers/1/store-points", &second).send().await;
    let told = refused.refuses(422, "invalid_field").pointing_at("/path").json();
    assert_eq!(told["errors"][0]["detail"], "belongs to store point 1 “shelf” of server 1 “ark”");
    assert_eq!(told["detail"], "Path belongs to store point 1 “shelf” of server 1 “ark”.");
}

#[tokio::test]
async fn what_no_finding_could_mend_is_refused_before_the_server_is_asked() {
    let world = with_server().await;
    let ask = |body: Value| world.post("/api/v1/servers/1/store-points", &body).send();
    ask(json!({ "name": "", "path": "/srv/a" })).await.refuses(422, "invalid_field").pointing_at("/name");
    ask(json!({ "name": "shelf", "path": "srv/a" })).await.refuses(422, "invalid_field").pointing_at("/path");
    ask(json!({ "name": "shelf", "path": "/srv/a", "quota_bytes": 0 }))
        .await
        .refuses(422, "invalid_field")
        .pointing_at("/quota_bytes");
    ask(json!({ "name": "shelf" })).await.refuses(400, "malformed_request");
    world.post("/api/v1/servers/9/store-points", &shelf()).send().await.refuses(404, "not_found");
    world.lose(ServerId(1));
    ask(shelf()).await.refuses(409, "server_not_online");
    assert!(world.fleet.asked().is_empty(), "{:?}", world.fleet.asked());
}

#[tokio::test]
async fn a_dry_run_asks_the_server_and_makes_nothing() {
    let world = with_server().await;
    let digest = world.digest();
    let rehearsed = world.post("/api/v1/servers/1/store-points?dry_run=true", &shelf()).send().await;
    let kinds: Vec<_> = rehearsed.json()["events"].as_array().unwrap().iter().map(|event| event["kind"].clone()).collect();
    assert_eq!(kinds, ["store_point.created", "store_point.annotated"]);
    assert_eq!(world.digest(), digest);
    *world.fleet.findings.lock().unwrap() = None;
    let refused = world.post("/api/v1/servers/1/store-points?dry_run=true", &shelf()).send().await;
    refused.refuses(503, "server_unreachable");
}

#[tokio::test]
async fn each_flag_and_the_quota_are_set_apart() {
    let world = with_server().await;
    world.post("/api/v1/servers/1/store-points", &shelf()).send().await;
    let path = "/api/v1/store-points/1";
    let edited = world.patch(path, &json!({ "accepting_data": false, "quota_bytes": null, "name": "Shelf" })).send().await;
    let shown = edited.json();
    let flags = ["accepting_data", "accepting_new_archives", "balancing"].map(|flag| shown[flag].as_bool().unwrap());
    assert_eq!(
        (flags, &shown["quota_bytes"], &shown["name"]),
        ([false, true, true], &Value::Null, &json!("Shelf")),
        "{edited:?}"
    );
    let noted = world.patch(path, &json!({ "notes": "" })).header("if-match", edited.header("etag")).send().await;
    assert_eq!((noted.status, &noted.json()["notes"]), (StatusCode::OK, &json!("")));
    world
        .patch(path, &json!({ "balancing": false }))
        .header("if-match", edited.header("etag"))
        .send()
        .await
        .refuses(412, "revision_mismatch");
    world.patch(path, &json!({ "quota_bytes": 0 })).send().await.refuses(422, "invalid_field").pointing_at("/quota_bytes");
    world.patch(path, &json!({ "path": "/srv/b" })).send().await.refuses(400, "malformed_request");
}

#[tokio::test]
async fn a_store_point_is_drained_activated_and_retired_and_leaves_its_row_behind() {
    let world = with_server().await;
    world.post("/api/v1/servers/1/store-points", &shelf()).send().await;
    for (verb, intent) in [("drain", "draining"), ("activate", "active")] {
        let answer = world.act(&format!("/api/v1/store-points/1/{verb}")).send().await;
        assert_eq!((answer.status, &answer.json()["intent"]), (StatusCode::OK, &json!(intent)), "{answer:?}");
    }
    assert_eq!(world.delete("/api/v1/store-points/1").send().await.status, StatusCode::NO_CONTENT);
    let listed = |query: &'static str| async { world.get(query).send().await.json()["items"].as_array().unwrap().len() };
    assert_eq!(listed("/api/v1/store-points").await, 0);
    assert_eq!(listed("/api/v1/store-points?filter=present%3Dfalse").await, 1);
    assert_eq!(world.get("/api/v1/store-points/1").send().await.json()["intent"], "retired");
    world.act("/api/v1/store-points/1/drain").send().await.refuses(404, "not_found");
}

#[tokio::test]
async fn the_list_filters_by_server_and_condition_and_tells_the_reason() {
    let world = with_server().await;
    let ark = ServerId(1);
    let (shelf, _) = (world.store_point(ark, "shelf"), world.store_point(ark, "attic"));
    world.report(ark, shelf, Report::Offline(OfflineReason::ReadOnly));
    let offline = world.get("/api/v1/store-points?filter=condition%3Doffline").send().await.json();
    let condition = json!({ "state": "offline", "reason": "read_only", "detail": "it can be read, but not written to" });
    assert_eq!((offline["items"].as_array().unwrap().len(), &offline["items"][0]["condition"]), (1, &condition));
    let sorted = world.get("/api/v1/store-points?filter=server%3D1&sort=name").send().await.json();
    assert_eq!((&sorted["items"][0]["name"], &sorted["items"][1]["name"]), (&json!("attic"), &json!("shelf")));
    *world.fleet.findings.lock().unwrap() = Some(findings("/srv/c"));
    world.post("/api/v1/servers/1/store-points", &json!({ "name": "cellar", "path": "/srv/c" })).send().await;
    world.report(ark, StorePointId(3), Report::Failed(CreationFailure::DirectoryExists));
    let condition = async |id: u64| world.get(&format!("/api/v1/store-points/{id}")).send().await.json()["condition"].clone();
    assert_eq!(condition(3).await["reason"], "directory_exists");
    // Of what is not known it is said why.
    world.lose(ark);
    let unknown = json!({ "state": "unknown", "reason": "server_offline", "detail": "its server is offline" });
    assert_eq!(condition(1).await, unknown);
    world.find(ark);
    let detail = "its server is online and has not reported on it yet";
    assert_eq!(condition(1).await, json!({ "state": "unknown", "reason": "not_reported", "detail": detail }));
}

#[tokio::test]
async fn how_it_is_filled_comes_with_a_fresh_reading_alone() {
    let world = with_server().await;
    world.store_point(ServerId(1), "shelf");
    let ask = |query: &'static str| async { world.get(query).send().await.json() };
    assert!(ask("/api/v1/store-points/1").await["observed_absent"].as_str().unwrap().contains("not heard"));
    let space = StorePointObserved { free_bytes: 5, total_bytes: 9, used_bytes: 4 };
    let server = |store_points| ServerObserved {
        heard_ms_ago: 1,
        version: "0.1.0".into(),
        position: None,
        store_points,
        ports_tried: 0,
        ports_closed: 0,
    };
    let observed = |store_points| Ok(Observed { by_server: BTreeMap::from([(1, server(store_points))]) });
    *world.fleet.observed.lock().unwrap() = observed(BTreeMap::new());
    assert!(ask("/api/v1/store-points/1").await["observed_absent"].as_str().unwrap().contains("nothing of it"));
    world.report(ServerId(1), StorePointId(1), Report::Offline(OfflineReason::Missing));
    let missing = ask("/api/v1/store-points/1").await;
    assert_eq!(missing["observed_absent"], "its server cannot look at it: its directory is missing");
    assert_eq!(missing["observed_ms_ago"], Value::Null);
    *world.fleet.observed.lock().unwrap() = observed(BTreeMap::from([(1, space)]));
    let told = ask("/api/v1/store-points/1").await;
    assert_eq!(told["observed"], json!({ "free_bytes": 5, "total_bytes": 9, "used_bytes": 4 }));
    assert_eq!((&told["observed_ms_ago"], &told["observed_absent"]), (&json!(1), &Value::Null));
    assert_eq!(ask("/api/v1/store-points/1?consistency=stale").await["observed"], Value::Null);
}
