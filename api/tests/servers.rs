//! Storage servers: how they come, what is wanted of them, what is observed of them, and how they go.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::{collections::BTreeMap, time::Duration};

use axum::http::StatusCode;
use bursar_api::{ContactError, ObservedError};
use bursar_domain::{
    AuthorityNodeId, DestinationId, ObjectRef, ServerId, Timestamp,
    store_point::{OfflineReason, Report},
};
use bursar_wire::{
    Secret,
    page::Warning,
    servers::{AddServer, Look, Looks, Observed, Obstacle, PathState, PortPath, PortRole, ServerObserved, StorePointObserved},
};
use serde_json::{Value, json};
use support::{START_MS, World, authority::ADMINISTRATOR, fleet::Machine};
use tokio::time::sleep;

const HOUR_MS: u64 = 3_600_000;

async fn names(world: &World, query: &str) -> Vec<String> {
    let answer = world.get(&format!("/api/v1/servers{query}")).send().await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["items"].as_array().unwrap().iter().map(|server| server["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_server_is_shown_with_its_destination_and_its_state_in_tagged_words() {
    let world = World::new().await;
    let vault = world.vault().await;
    let ark = world.server(vault, "ark");
    world.store_point(ark, "shelf");
    let read = world.get("/api/v1/servers/1").send().await;
    let server = read.json();
    assert_eq!(
        (&server["name"], &server["destination"], &server["destination_name"]),
        (&json!("ark"), &json!(1), &json!("vault"))
    );
    assert_eq!((&server["intent"], &server["condition"]), (&json!({ "state": "active" }), &json!({ "state": "online" })));
    assert_eq!((&server["primary_address"], &server["store_points"]), (&json!("ark.example:4288"), &json!(1)));
    assert_eq!(read.header("etag"), format!("\"{}\"", server["etag"].as_str().unwrap()));
    world.get("/api/v1/servers/9").send().await.refuses(404, "not_found");
}

#[tokio::test]
async fn a_server_tells_which_of_its_store_points_are_offline_and_why() {
    let world = World::new().await;
    let vault = world.vault().await;
    let (ark, chest) = (world.server(vault, "ark"), world.server(vault, "chest"));
    world.store_point(ark, "shelf");
    let attic = world.store_point(ark, "attic");
    let elsewhere = world.store_point(chest, "elsewhere");
    for (server, store_point) in [(ark, attic), (chest, elsewhere)] {
        world.report(server, store_point, Report::Offline(OfflineReason::Missing));
    }
    let offline = async || world.get("/api/v1/servers/1").send().await.json()["offline_store_points"].clone();
    let condition = json!({ "state": "offline", "reason": "missing", "detail": "its directory is missing" });
    assert_eq!(offline().await, json!([{ "id": attic.0, "name": "attic", "path": "/srv/attic", "condition": condition }]));
    // Of the store points of a server that is silent nothing is known.
    world.lose(ark);
    assert_eq!(offline().await, json!([]));
}

#[tokio::test]
async fn the_list_filters_sorts_and_hides_former_servers_unless_it_is_asked_for_them() {
    let world = World::new().await;
    let vault = world.vault().await;
    let other = world.destination("other", 1).await;
    let ark = world.server(vault, "ark");
    world.server(other, "chest");
    let boat = world.server(vault, "boat");
    world.lose(ark);
    assert_eq!(world.delete(&format!("/api/v1/servers/{}", boat.0)).send().await.status, StatusCode::NO_CONTENT);
    assert_eq!(names(&world, "?sort=-name").await, ["chest", "ark"]);
    assert_eq!(names(&world, "?filter=destination%3D1").await, ["ark"]);
    assert_eq!(names(&world, "?filter=condition%3Doffline").await, ["ark"]);
    assert_eq!(names(&world, "?filter=name~HES").await, ["chest"]);
    assert!(names(&world, "?filter=name%3Dboat").await.is_empty());
    assert_eq!(names(&world, "?filter=present%3Dfalse").await, ["boat"]);
    // The tombstone is still there to be read.
    let former = world.get(&format!("/api/v1/servers/{}", boat.0)).send().await.json();
    assert_eq!((&former["intent"]["state"], &former["condition"]["state"]), (&json!("removed"), &json!("excluded")));
}

#[tokio::test]
async fn a_server_is_edited_with_its_entity_tag_and_its_second_address_can_go() {
    let world = World::new().await;
    let vault = world.vault().await;
    world.server(vault, "ark");
    let path = "/api/v1/servers/1";
    let edited = world.patch(path, &json!({ "name": "Ark", "secondary_address": "10.1.0.1:4288" })).send().await;
    assert_eq!((edited.status, &edited.json()["secondary_address"]), (StatusCode::OK, &json!("10.1.0.1:4288")), "{edited:?}");
    let old = world.patch(path, &json!({ "name": "ship" })).header("if-match", "\"1-1\"").send().await;
    old.refuses(412, "revision_mismatch");
    let without = world.patch(path, &json!({ "secondary_address": null })).header("if-match", edited.header("etag")).send().await;
    assert_eq!((&without.json()["secondary_address"], &without.json()["name"]), (&Value::Null, &json!("Ark")));
    let refused = |body: Value| world.patch(path, &body).send();
    refused(json!({ "primary_address": "ark" })).await.refuses(422, "invalid_field").pointing_at("/primary_address");
    refused(json!({ "secondary_address": "" })).await.refuses(422, "invalid_field").pointing_at("/secondary_address");
    refused(json!({ "primary_address": null })).await.refuses(400, "malformed_request");
}

#[tokio::test]
async fn maintenance_has_an_end_and_a_reason_and_activation_ends_it() {
    let world = World::new().await;
    let vault = world.vault().await;
    world.server(vault, "ark");
    let ask = |body: Value| world.post("/api/v1/servers/1/maintenance", &body).send();
    let maintained = ask(json!({ "for_seconds": 7200, "reason": "new disks" })).await;
    let expected = json!({ "state": "maintenance", "until": "2026-01-01T02:00:00.000Z", "reason": "new disks" });
    assert_eq!((maintained.status, &maintained.json()["intent"]), (StatusCode::OK, &expected), "{maintained:?}");
    let until = ask(json!({ "until": "2026-01-02T01:00:00+01:00" })).await;
    assert_eq!(until.json()["intent"]["until"], "2026-01-02T00:00:00.000Z");
    ask(json!({})).await.refuses(422, "invalid_field").pointing_at("/until");
    ask(json!({ "until": "2025-12-31T00:00:00Z" })).await.refuses(422, "invalid_field").pointing_at("/until");
    ask(json!({ "for_seconds": 0 })).await.refuses(422, "invalid_field").pointing_at("/for_seconds");
    ask(json!({ "for_seconds": u64::MAX })).await.refuses(422, "invalid_field").pointing_at("/for_seconds");
    ask(json!({ "for_seconds": 1, "until": "2027-01-01T00:00:00Z" }))
        .await
        .refuses(422, "invalid_field")
        .pointing_at("/for_seconds");
    let activated = world.act("/api/v1/servers/1/activate").send().await;
    assert_eq!(activated.json()["intent"], json!({ "state": "active" }), "{activated:?}");
    let drained = world.act("/api/v1/servers/1/drain").send().await;
    assert_eq!(drained.json()["intent"], json!({ "state": "draining" }));
    for verb in ["drain", "activate"] {
        world.act(&format!("/api/v1/servers/9/{verb}")).send().await.refuses(404, "not_found");
    }
}

#[tokio::test]
async fn a_server_with_store_points_is_not_removed_and_they_are_listed() {
    let world = World::new().await;
    let vault = world.vault().await;
    let ark = world.server(vault, "ark");
    let shelf = world.store_point(ark, "shelf");
    let refused = world.delete("/api/v1/servers/1").send().await;
    assert_eq!(refused.refuses(409, "in_use").json()["blockers"], json!([{ "kind": "store_point", "id": 1, "name": "shelf" }]));
    world.delete(&format!("/api/v1/store-points/{}", shelf.0)).send().await;
    assert_eq!(world.delete("/api/v1/servers/1").send().await.status, StatusCode::NO_CONTENT);
    world.delete("/api/v1/servers/1").send().await.refuses(404, "not_found");
}

#[tokio::test]
async fn the_last_server_that_is_online_is_not_ok_to_stop() {
    let world = World::new().await;
    let vault = world.vault().await;
    let (ark, chest) = (world.server(vault, "ark"), world.server(vault, "chest"));
    world.store_point(ark, "shelf");
    world.store_point(chest, "drawer");
    let digest = world.digest();
    let ask = || world.get("/api/v1/servers/1/ok-to-stop").send();
    let two = ask().await.json();
    assert_eq!((&two["ok"], &two["remedy"]), (&json!(true), &Value::Null));
    assert_eq!(two["reason"], "destination 1 “vault” goes on with another server that is online");
    let pauses = "until ark runs again, nothing is restored from its store point “shelf”, and nothing is backed up to it";
    assert_eq!(two["pauses"], pauses, "its archives are nowhere else");
    let alerts = two["alerts"].as_array().unwrap();
    assert_eq!((&alerts[0]["kind"], &alerts[0]["covered_by"]), (&json!("server_offline"), &Value::Null));
    assert_eq!(alerts[1]["covered_by"], json!({ "kind": "server", "id": 1, "name": "ark" }));
    assert_eq!(alerts[1]["text"], "Store point is unavailable: shelf");
    assert_eq!(world.digest(), digest, "nothing of it is carried out");

    world.lose(chest);
    let last = ask().await.json();
    assert_eq!((&last["ok"], &last["alerts"][0]["kind"]), (&json!(false), &json!("destination_offline")));
    assert_eq!(last["alerts"][1]["covered_by"], json!({ "kind": "destination", "id": 1, "name": "vault" }));
    assert!(
        last["remedy"].is_string()
            && last["reason"].as_str().unwrap().starts_with("ark is the last server of destination 1 “vault”"),
        "{last}"
    );
    assert!(last["remedy"].as_str().unwrap().starts_with("Bring another server of the destination online first."), "{last}");
    // One that is down already takes nothing with it.
    let down = world.get("/api/v1/servers/2/ok-to-stop").send().await.json();
    assert_eq!(down["reason"], "chest is offline already: nobody can use anything of it until it is back");
    assert_eq!((&down["ok"], &down["alerts"], &down["pauses"]), (&json!(true), &json!([]), &Value::Null));
    world.get("/api/v1/servers/9/ok-to-stop").send().await.refuses(404, "not_found");
}

#[tokio::test]
async fn the_only_server_that_takes_backups_is_not_ok_to_stop_and_many_store_points_are_not_all_named() {
    let world = World::new().await;
    let vault = world.vault().await;
    let (ark, chest) = (world.server(vault, "ark"), world.server(vault, "chest"));
    let ask = || world.get("/api/v1/servers/1/ok-to-stop").send();
    let empty = ask().await.json();
    assert_eq!((&empty["ok"], &empty["pauses"]), (&json!(true), &Value::Null), "{empty}");
    assert_eq!(empty["reason"], "nothing is kept on ark: it has no store point");
    for number in 1..=10 {
        world.store_point(ark, &format!("shelf-{number}"));
    }
    let drawer = world.store_point(chest, "drawer");
    world.patch(&format!("/api/v1/store-points/{}", drawer.0), &json!({ "accepting_data": false })).send().await;
    let only = ask().await.json();
    assert_eq!(only["ok"], false);
    assert!(only["remedy"].as_str().unwrap().starts_with("Let a store point of another server take backups first: "), "{only}");
    let reason = "no other server of destination 1 “vault” that is online takes backups: without ark nobody can back up there";
    assert_eq!(only["reason"], reason);
    let pauses = only["pauses"].as_str().unwrap();
    assert!(pauses.contains("“shelf-1”") && pauses.contains(" and 2 more, and nothing is backed up to them"), "{pauses}");
    let other = world.get("/api/v1/servers/2/ok-to-stop").send().await.json();
    assert_eq!(other["ok"], true, "its store point takes no backups anyway: {other}");
}

#[tokio::test]
async fn whatever_a_server_is_the_reason_says_so_and_what_is_in_the_way_has_a_remedy() {
    let world = World::licensed().await;
    let vault = world.vault().await;
    let ark = world.server(vault, "ark");
    let shelf = world.store_point(ark, "shelf");
    let told = async |id: u64| {
        let answer = world.get(&format!("/api/v1/servers/{id}/ok-to-stop")).send().await.json();
        let text = |field: &str| answer[field].as_str().unwrap_or_default().to_owned();
        (answer["ok"].as_bool().unwrap(), text("reason"), text("remedy"))
    };
    let may = |reason: &str| (true, reason.to_owned(), String::new());
    let last = "ark is the last server of destination 1 “vault” that is online: without it nobody can back up or restore there";
    let (ok, reason, remedy) = told(1).await;
    assert_eq!((ok, reason.as_str()), (false, last));
    assert!(remedy.starts_with("The destination has no other server: add one first. "), "{remedy}");
    world.report(ark, shelf, Report::Offline(OfflineReason::Missing));
    assert_eq!(told(1).await, may("nobody can use ark anyway: none of its store points can be read"));
    world.report(ark, shelf, Report::Offline(OfflineReason::ReadOnly));
    assert!(!told(1).await.0, "restores go on from it");

    let body = json!({ "connection_string": Machine::new(1, "boat").string() });
    world.post("/api/v1/destinations/1/servers", &body).send().await;
    assert_eq!(told(2).await, may("boat has not joined yet: nothing is kept on it"));
    let (ok, reason, remedy) = told(1).await;
    assert_eq!((ok, reason.as_str()), (false, last), "nobody can use the other one");
    assert!(remedy.starts_with("Bring another server of the destination online first. "), "{remedy}");
    world.delete("/api/v1/servers/2").send().await;
    let gone = "boat was removed: the authority hears nothing of its machine any more, and nobody uses it";
    assert_eq!(told(2).await, may(gone));

    // While another machine takes a dead one's place it is open whether the destination is offline; the last one is the last one.
    let chest = world.server(vault, "chest");
    world.store_point(chest, "drawer");
    world.store_point(world.server(vault, "hull"), "hold");
    assert_eq!(told(chest.0).await, may("destination 1 “vault” goes on with 2 other servers that are online"));
    world.lose(ServerId(4));
    world.lose(ark);
    let body = json!({ "connection_string": Machine::new(2, "newcomer").string() });
    world.post("/api/v1/servers/1/replace", &body).send().await;
    let joining = "the machine that is to take the place of ark has not joined yet: nobody can use anything of it";
    assert_eq!(told(1).await, may(joining));
    let drawer = json!({ "accepting_data": false });
    world.patch("/api/v1/store-points/2", &drawer).send().await;
    let (ok, reason, _) = told(chest.0).await;
    assert!(!ok && reason.starts_with("chest is the last server of "), "{reason}");
}

#[tokio::test]
async fn a_server_that_is_worked_upon_covers_its_own_alerts() {
    let world = World::new().await;
    let vault = world.vault().await;
    world.server(vault, "ark");
    world.server(vault, "chest");
    world.post("/api/v1/servers/1/maintenance", &json!({ "for_seconds": 60 })).send().await;
    let answer = world.get("/api/v1/servers/1/ok-to-stop").send().await.json();
    assert_eq!(answer["alerts"][0]["covered_by"], json!({ "kind": "server", "id": 1, "name": "ark" }), "{answer}");
}

fn observed() -> Observed {
    let ark = ServerObserved {
        heard_ms_ago: 40,
        version: "0.1.0".into(),
        position: Some("1-9".into()),
        store_points: BTreeMap::new(),
        ports_tried: 5,
        ports_closed: 1,
    };
    Observed { by_server: BTreeMap::from([(1, ark)]) }
}

fn look(by: impl Into<ObjectRef>, of: impl Into<ObjectRef>, role: PortRole, state: PathState) -> Look {
    let port = if role == PortRole::Transfer { 4286 } else { 4288 };
    let detail = (state == PathState::Failed).then(|| "no route to host".to_owned());
    Look { by: by.into(), of: of.into(), role, found: PortPath { state, port: Some(port), age_ms: Some(1_200), detail } }
}

#[tokio::test]
async fn what_is_observed_comes_with_a_fresh_reading_alone_and_beside_the_entity_tag() {
    let world = World::new().await;
    let vault = world.vault().await;
    world.server(vault, "ark");
    let unheard = world.get("/api/v1/servers/1").send().await;
    assert_eq!(unheard.json()["observed"], Value::Null);
    assert!(unheard.json()["observed_absent"].as_str().unwrap().contains("has not heard"), "{unheard:?}");

    *world.fleet.observed.lock().unwrap() = Ok(observed());
    let etag = unheard.header("etag").to_owned();
    let heard = world.get("/api/v1/servers/1").header("if-none-match", &etag).send().await;
    assert_eq!((heard.status, &heard.json()["observed"]["heard_ms_ago"]), (StatusCode::OK, &json!(40)), "{heard:?}");
    assert_eq!((heard.header("etag"), &heard.json()["observed_absent"]), (etag.as_str(), &Value::Null));

    let asked = world.fleet.asked().len();
    for (query, why) in [("?consistency=stale", "stale"), ("?as_of=8", "not kept")] {
        let answer = world.get(&format!("/api/v1/servers/1{query}")).send().await;
        assert_eq!(answer.json()["observed"], Value::Null, "{answer:?}");
        assert!(answer.json()["observed_absent"].as_str().unwrap().contains(why), "{answer:?}");
    }
    assert_eq!(world.fleet.asked().len(), asked, "nobody else is asked");

    *world.fleet.observed.lock().unwrap() = Err(ObservedError("the leader does not answer".into()));
    let absent = world.get("/api/v1/servers/1").send().await;
    assert_eq!(absent.json()["observed_absent"], "the leader does not answer");
}

#[tokio::test]
async fn reachability_is_a_matrix_of_neighbours_and_ports_in_both_directions() {
    let world = World::new().await;
    let vault = world.vault().await;
    world.server(vault, "ark");
    world.server(vault, "chest");
    let other = world.destination("other", 1).await;
    world.server(other, "boat");
    let (ark, chest, node) = (ServerId(1), ServerId(2), AuthorityNodeId(1));
    let found = vec![
        look(ark, chest, PortRole::Control, PathState::Reached),
        look(ark, node, PortRole::Control, PathState::Reached),
        look(chest, ark, PortRole::Transfer, PathState::TimedOut),
        look(node, ark, PortRole::Peer, PathState::Failed),
    ];
    *world.fleet.looks.lock().unwrap() = Ok(Looks { found, heard: [ark, chest].into() });
    let ask = |query: &str| world.get(&format!("/api/v1/servers/1/reachability{query}")).send();
    let matrix = ask("").await.json();
    assert_eq!(matrix["server"], json!({ "kind": "server", "id": 1, "name": "ark" }));
    let neighbours: Vec<_> = matrix["neighbours"].as_array().unwrap().iter().map(|one| one["object"]["name"].clone()).collect();
    assert_eq!(neighbours, ["chest", "10.0.0.1:4283"], "neither itself nor a server of another destination is a neighbour");
    let (chest, node) = (&matrix["neighbours"][0], &matrix["neighbours"][1]);
    assert_eq!((&chest["outbound"]["tried_by"]["name"], &chest["inbound"]["tried_by"]["name"]), (&json!("ark"), &json!("chest")));
    let path = |state: &str, detail: Value| json!({ "state": state, "port": 4288, "age_ms": 1_200, "detail": detail });
    assert_eq!(chest["outbound"]["control"], path("reached", Value::Null));
    let untold = "server 1 “ark” has not told of it yet";
    let not_tried = json!({ "state": "not_tried", "port": null, "age_ms": null, "detail": untold });
    assert_eq!(chest["outbound"]["peer"], not_tried);
    assert_eq!(
        (&chest["inbound"]["transfer"]["state"], &chest["inbound"]["transfer"]["port"]),
        (&json!("timed_out"), &json!(4286))
    );
    assert_eq!(node["outbound"]["control"]["state"], "reached");
    assert_eq!(node["outbound"]["transfer"]["state"], "no_such_port", "there is nothing to try");
    assert_eq!(node["inbound"]["peer"], path("failed", json!("no route to host")));
    assert_eq!(node["inbound"]["control"]["detail"], told_by_nobody("authority node 1 “10.0.0.1:4283” has not told of it since"));
    assert_eq!((&matrix["observed_absent"], &chest["inbound"]["outdated"]), (&Value::Null, &Value::Null));
    let stale = ask("?consistency=stale").await.json();
    let untold = &stale["neighbours"][0]["outbound"]["control"];
    assert_eq!((&untold["state"], &untold["detail"]), (&json!("not_tried"), &stale["observed_absent"]));
    assert!(stale["observed_absent"].is_string());
}

/// Why nothing is known of what somebody found whom the leader has not heard.
fn told_by_nobody(who: &str) -> String {
    format!("{who} the present leader leads")
}

#[tokio::test]
async fn what_an_offline_server_found_is_said_to_be_from_before_and_what_it_cannot_say_to_be_unheard() {
    let world = World::new().await;
    let vault = world.vault().await;
    let (ark, chest) = (world.server(vault, "ark"), world.server(vault, "chest"));
    let node = AuthorityNodeId(1);
    let found = vec![
        look(chest, ark, PortRole::Transfer, PathState::Reached),
        look(ark, chest, PortRole::Control, PathState::Reached),
        look(ark, node, PortRole::Control, PathState::Reached),
    ];
    *world.fleet.looks.lock().unwrap() = Ok(Looks { found, heard: [ark, chest].into() });
    let ask = || world.get("/api/v1/servers/1/reachability").send();
    world.lose(chest);
    let by_chest = ask().await.json()["neighbours"][0]["inbound"].clone();
    assert_eq!(by_chest["outdated"], "server 2 “chest” is offline, and what it found is from before");
    assert_eq!((&by_chest["transfer"]["state"], &by_chest["transfer"]["age_ms"]), (&json!("reached"), &json!(1_200)));

    world.lose(ark);
    let matrix = ask().await.json();
    let to_node = &matrix["neighbours"][1]["outbound"];
    assert_eq!(to_node["control"]["state"], "unheard", "what it told before does not show that it reaches the authority now");
    assert_eq!((&to_node["control"]["port"], &to_node["control"]["age_ms"]), (&json!(4288), &Value::Null));
    assert_eq!((&to_node["peer"]["state"], &to_node["outdated"]), (&json!("not_tried"), &Value::Null), "nothing is from before");
    assert_eq!(matrix["neighbours"][0]["outbound"]["outdated"], "server 1 “ark” is offline, and what it found is from before");
}

#[tokio::test]
async fn who_was_not_heard_since_the_leader_leads_is_said_to_be_just_that() {
    let world = World::new().await;
    let vault = world.vault().await;
    let chest = [world.server(vault, "ark"), world.server(vault, "chest")][1];
    let why = async || {
        let matrix = world.get("/api/v1/servers/1/reachability").send().await.json();
        matrix["neighbours"][0]["inbound"]["peer"]["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(why().await, told_by_nobody("server 2 “chest” was not heard since"));
    *world.fleet.looks.lock().unwrap() = Ok(Looks { found: Vec::new(), heard: [chest].into() });
    assert_eq!(why().await, "server 2 “chest” has not told of it yet");
    *world.fleet.looks.lock().unwrap() = Ok(Looks::default());
    world.lose(chest);
    assert_eq!(why().await, told_by_nobody("server 2 “chest” is offline, and was not heard since"));
}

#[tokio::test]
async fn what_was_found_at_a_machine_before_it_is_a_member_is_not_told_of_the_member() {
    let world = World::licensed().await;
    let vault = world.vault().await;
    let ark = world.server(vault, "ark");
    let body = json!({ "connection_string": Machine::new(1, "chest").string() });
    assert_eq!(world.post("/api/v1/destinations/1/servers", &body).send().await.status, StatusCode::ACCEPTED);
    let found = vec![look(ark, ServerId(2), PortRole::Control, PathState::Refused)];
    *world.fleet.looks.lock().unwrap() = Ok(Looks { found, heard: [ark].into() });
    let matrix = world.get("/api/v1/servers/1/reachability").send().await.json();
    for direction in ["outbound", "inbound"] {
        let control = &matrix["neighbours"][0][direction]["control"];
        assert_eq!((&control["state"], &control["age_ms"]), (&json!("not_tried"), &Value::Null));
        assert_eq!(control["detail"], "server 2 “chest” has not joined yet");
    }
}

#[tokio::test]
async fn a_machine_is_added_by_its_connection_string_once_it_was_seen() {
    let world = World::licensed().await;
    world.vault().await;
    let body = json!({ "connection_string": Machine::new(1, "ark").string() });
    let ask = || world.post("/api/v1/destinations/1/servers", &body).header("idempotency-key", "k1").send();
    let added = ask().await;
    assert_eq!((added.status, added.header("location")), (StatusCode::ACCEPTED, "/api/v1/operations/1"), "{added:?}");
    assert_eq!(added.json()["task"], json!({ "kind": "join_server", "object": { "kind": "server", "id": 1 } }));
    let server = world.get("/api/v1/servers/1").send().await.json();
    assert_eq!((&server["name"], &server["condition"]), (&json!("ark"), &json!({ "state": "joining", "operation": 1 })));
    assert_eq!(server["guid"], "01".repeat(16));
    assert_eq!(world.fleet.asked(), ["contact ark", "observed"]);

    // A repetition is answered by the ledger, though the string is used by now, and its machine may say so.
    *world.fleet.contact.lock().unwrap() = Err(ContactError::Voided);
    world.clock.advance_ms(HOUR_MS / 2);
    let again = ask().await;
    assert_eq!((again.status, again.json()), (StatusCode::ACCEPTED, added.json()));
    let renamed = json!({ "connection_string": body["connection_string"], "name": "chest" });
    let another = world.post("/api/v1/destinations/1/servers", &renamed).send().await;
    another.refuses(409, "connection_string_used");
    assert_eq!(world.fleet.asked().len(), 2, "nobody was called in vain");
}

#[tokio::test]
async fn a_machine_that_does_not_answer_is_added_all_the_same_and_one_that_is_not_it_is_not() {
    let world = World::licensed().await;
    world.vault().await;
    let add = |machine: &Machine| {
        world.post("/api/v1/destinations/1/servers", &json!({ "connection_string": machine.string(), "name": "given" })).send()
    };
    let digest = world.digest();
    *world.fleet.contact.lock().unwrap() = Err(ContactError::Voided);
    let voided = add(&Machine::new(1, "ark")).await;
    voided.refuses(409, "connection_string_voided").pointing_at("/connection_string");
    *world.fleet.contact.lock().unwrap() = Err(ContactError::AnotherIdentity);
    add(&Machine::new(1, "ark")).await.refuses(409, "another_identity").pointing_at("/connection_string");
    assert_eq!(world.digest(), digest);
    *world.fleet.contact.lock().unwrap() = Err(ContactError::Unreachable { detail: "timed out".into() });
    assert_eq!(add(&Machine::new(1, "ark")).await.status, StatusCode::ACCEPTED);
    assert_eq!(names(&world, "").await, ["given"]);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_somebody_else_adds_meanwhile_is_not_taken_for_another() {
    let world = World::licensed().await;
    world.vault().await;
    let machine = Machine::new(1, "ark");
    // Given a machine that has become a member by the time that it is called, and shows another certificate,
    *world.fleet.contact.lock().unwrap() = Err(ContactError::AnotherIdentity);
    // as somebody has added it between two readings of the ledger, which end after two seconds and after four,
    world.authority.take_its_time(Duration::from_secs(2));
    let meanwhile = async {
        sleep(Duration::from_secs(3)).await;
        let adding = AddServer { connection_string: Secret::new(machine.string()), name: None };
        world.elsewhere(ADMINISTRATOR, adding.command(DestinationId(1), &machine.says));
    };
    // when it is added by the same string, then it is told that the string was used.
    let body = json!({ "connection_string": machine.string() });
    let adding = world.post("/api/v1/destinations/1/servers", &body).send();
    let (refused, ()) = tokio::join!(adding, meanwhile);
    refused.refuses(409, "connection_string_used");
    assert_eq!(world.fleet.asked(), ["contact ark"]);
}

#[tokio::test]
async fn a_dry_run_of_an_addition_tells_the_events_and_consumes_nothing() {
    let world = World::licensed().await;
    world.vault().await;
    let digest = world.digest();
    let body = json!({ "connection_string": Machine::new(1, "ark").string() });
    let rehearsed = world.post("/api/v1/destinations/1/servers?dry_run=true", &body).send().await;
    let events: Vec<_> = rehearsed.json()["events"].as_array().unwrap().iter().map(|event| event["kind"].clone()).collect();
    assert_eq!(events, ["operation.started", "server.added", "server.introduced", "server.welcomed"]);
    assert_eq!(world.digest(), digest);
}

#[tokio::test]
async fn strings_that_are_not_good_are_refused_before_anybody_is_called() {
    let world = World::licensed().await;
    world.vault().await;
    let digest = world.digest();
    let line = Machine::new(1, "ark").string();
    let add = |text: String| world.post("/api/v1/destinations/1/servers", &json!({ "connection_string": text })).send();
    for text in ["".to_owned(), "hello".into(), line[..line.len() - 2].into(), line.replace("bursar1", "bursar2")] {
        let refused = add(text).await;
        refused.refuses(400, "connection_string_invalid").pointing_at("/connection_string");
    }
    let mut early = Machine::new(1, "ark");
    early.says.issued_at = Timestamp(START_MS + HOUR_MS);
    add(early.string()).await.refuses(409, "connection_string_premature").pointing_at("/connection_string");
    let mut foreign = Machine::new(1, "ark");
    foreign.says.license.public_key[0] ^= 1;
    add(foreign.string()).await.refuses(409, "license_foreign").pointing_at("/connection_string");
    // A proof of the right key that is of another machine.
    let mut borrowed = Machine::new(1, "ark");
    borrowed.says.license = Machine::new(2, "chest").says.license;
    add(borrowed.string()).await.refuses(409, "license_foreign");
    let mut other = Machine::new(1, "ark");
    other.says.version = "0.2.0".into();
    add(other.string()).await.refuses(409, "version_differs");
    world.post("/api/v1/destinations/9/servers", &json!({ "connection_string": line })).send().await.refuses(404, "not_found");
    assert_eq!(world.digest(), digest);
    world.clock.advance_ms(24 * HOUR_MS);
    add(line).await.refuses(409, "connection_string_expired").pointing_at("/connection_string");
    assert!(world.fleet.asked().is_empty(), "{:?}", world.fleet.asked());
}

#[tokio::test]
async fn an_inspection_tells_what_adding_would_meet_and_changes_nothing() {
    let world = World::licensed().await;
    let inspect = |body: Value| world.post("/api/v1/servers/inspect", &body).send();
    let machine = Machine::new(1, "ark");
    // Where there is no destination yet, the machine is looked at all the same.
    let found = inspect(json!({ "connection_string": machine.string() })).await;
    assert_eq!((found.status, &found.json()["name"], &found.json()["stands"]), (StatusCode::OK, &json!("ark"), &json!(true)));
    assert_eq!(found.json()["obstacles"], json!([]));
    let vault = world.vault().await;
    world.server(vault, "ark");
    let digest = world.digest();
    let taken = inspect(json!({ "connection_string": machine.string() })).await.json();
    assert_eq!(taken["obstacles"][0]["code"], "name_taken");
    assert!(taken["obstacles"][0]["remedy"].is_string(), "what adding it would advise: {taken}");
    assert_eq!(world.fleet.asked(), ["inspect ark for nowhere", "inspect ark for nowhere"]);
    let named = inspect(json!({ "connection_string": machine.string(), "name": "chest", "destination": vault })).await.json();
    assert_eq!(named["obstacles"], json!([]));
    let nowhere = inspect(json!({ "connection_string": machine.string(), "destination": 9 })).await.json();
    assert_eq!(nowhere["obstacles"][0]["code"], "not_found");
    world.clock.advance_ms(25 * HOUR_MS);
    let expired = inspect(json!({ "connection_string": machine.string() })).await.json();
    let codes: Vec<_> = expired["obstacles"].as_array().unwrap().iter().map(|obstacle| obstacle["code"].clone()).collect();
    assert_eq!(codes, ["connection_string_expired"], "what both the ledger and the check find is told once");
    assert_eq!(world.digest(), digest);
    inspect(json!({ "connection_string": "bursar1" })).await.refuses(400, "connection_string_invalid");
}

#[tokio::test]
async fn a_string_that_was_used_is_told_to_be_used_though_its_name_is_taken_too() {
    let world = World::licensed().await;
    let vault = world.vault().await;
    let body = json!({ "connection_string": Machine::new(1, "ark").string(), "destination": vault });
    let add = json!({ "connection_string": Machine::new(1, "ark").string() });
    let string = body["connection_string"].clone();
    world.post("/api/v1/destinations/1/servers", &json!({ "connection_string": string })).send().await;
    let found = world.post("/api/v1/servers/inspect", &body).send().await.json();
    let codes: Vec<_> = found["obstacles"].as_array().unwrap().iter().map(|obstacle| obstacle["code"].clone()).collect();
    assert_eq!(codes, ["connection_string_used"], "{found}");
    assert_eq!(found["obstacles"][0]["detail"], "The connection string was used for server 1 “ark”.");
    // Adding it once more says the same.
    let known = world.post("/api/v1/destinations/1/servers", &add).send().await;
    known.refuses(409, "connection_string_used");
}

#[tokio::test]
async fn a_rehearsal_tells_what_an_inspection_finds_and_refuses_nothing_for_it() {
    let world = World::licensed().await;
    world.vault().await;
    let body = json!({ "connection_string": Machine::new(1, "ark").string() });
    let rehearse = || world.post("/api/v1/destinations/1/servers?dry_run=true", &body).send();
    assert_eq!(rehearse().await.json()["warnings"], Value::Null, "nothing is to be known");
    let blocked = Obstacle { code: "port_blocked".into(), detail: "ark does not reach it.".into(), remedy: None };
    world.fleet.obstacles.lock().unwrap().push(blocked);
    let far = Warning { code: "latency_unlike_one_network".into(), detail: "The machine is not near.".into() };
    world.fleet.warnings.lock().unwrap().push(far);
    let told = rehearse().await;
    assert_eq!(told.status, StatusCode::OK, "{told:?}");
    let expected = json!([
        { "code": "port_blocked", "detail": "ark does not reach it." },
        { "code": "latency_unlike_one_network", "detail": "The machine is not near." },
    ]);
    assert_eq!(told.json()["warnings"], expected);
    assert!(world.fleet.asked().ends_with(&["contact ark".into(), "inspect ark for destination 1".into()]));
    *world.fleet.contact.lock().unwrap() = Err(ContactError::Unreachable { detail: "timed out".into() });
    let silent = rehearse().await.json();
    assert_eq!(silent["warnings"][0]["code"], "server_unreachable", "{silent}");
    assert_eq!(world.post("/api/v1/destinations/1/servers", &body).send().await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_dead_server_is_replaced_by_another_machine() {
    let world = World::licensed().await;
    let vault = world.vault().await;
    let ark = world.server(vault, "ark");
    world.store_point(ark, "shelf");
    let body = json!({ "connection_string": Machine::new(1, "newcomer").string() });
    let replace = || world.post("/api/v1/servers/1/replace", &body).send();
    replace().await.refuses(409, "server_not_offline");
    world.lose(ark);
    let replaced = replace().await;
    assert_eq!(replaced.status, StatusCode::ACCEPTED, "{replaced:?}");
    let server = world.get("/api/v1/servers/1").send().await.json();
    assert_eq!((&server["name"], &server["guid"], &server["store_points"]), (&json!("ark"), &json!("01".repeat(16)), &json!(1)));
    assert_eq!(server["former_guids"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_destination_rolls_its_servers_up() {
    let world = World::new().await;
    let vault = world.vault().await;
    let empty = world.get("/api/v1/destinations/1").send().await.json();
    assert_eq!(empty["roll_up"], json!({ "servers": 0, "offline_servers": 0, "store_points": 0, "accepting": "NONE" }));
    let (ark, chest) = (world.server(vault, "ark"), world.server(vault, "chest"));
    let (shelf, attic) = (world.store_point(ark, "shelf"), world.store_point(ark, "attic"));
    let accepting = || async { world.get("/api/v1/destinations/1").send().await.json()["roll_up"]["accepting"].clone() };
    assert_eq!(accepting().await, "ALL");
    world.patch("/api/v1/store-points/1", &json!({ "accepting_data": false })).send().await;
    assert_eq!(accepting().await, "SOME");
    world.lose(chest);
    let roll_up = world.get("/api/v1/destinations").send().await.json()["items"][0]["roll_up"].clone();
    assert_eq!(roll_up, json!({ "servers": 2, "offline_servers": 1, "store_points": 2, "accepting": "SOME" }));
    let counts = world.get("/api/v1/status").send().await.json()["counts"].clone();
    let counted = |name: &str| counts[name].as_u64().unwrap();
    assert_eq!((counted("servers"), counted("servers_offline")), (2, 1));
    assert_eq!((counted("store_points"), counted("store_points_offline")), (2, 0));
    assert_eq!(alerts(&world).await, Alerts { open: 1, critical: 1, ..Alerts::default() });
    world.post("/api/v1/alerts/acknowledge", &json!({ "ids": [1] })).send().await;
    assert_eq!(
        alerts(&world).await,
        Alerts { open: 1, acknowledged: 1, ..Alerts::default() },
        "it fires on, and somebody knows of it"
    );
    // Where nobody answers, backups go nowhere.
    world.patch("/api/v1/store-points/1", &json!({ "accepting_data": true })).send().await;
    assert_eq!(accepting().await, "ALL");
    world.lose(ark);
    assert_eq!(accepting().await, "NONE");
    // An alert that is over stays in the overview, and is not counted with those that fire.
    for server in [ark, chest] {
        world.find(server);
    }
    for store_point in [shelf, attic] {
        world.report(ark, store_point, Report::Online);
    }
    let Alerts { open, over, .. } = alerts(&world).await;
    assert!(open > 0 && over == open, "{open} in the overview, {over} of them over");
}

/// How the overview is counted.
#[derive(Debug, Default, PartialEq)]
struct Alerts {
    open: u64,
    critical: u64,
    warning: u64,
    acknowledged: u64,
    covered: u64,
    expected: u64,
    over: u64,
}

async fn alerts(world: &World) -> Alerts {
    let counts = world.get("/api/v1/status").send().await.json()["counts"].clone();
    let counted = |name: &str| counts[format!("alerts_{name}")].as_u64().unwrap();
    Alerts {
        open: counted("open"),
        critical: counted("critical"),
        warning: counted("warning"),
        acknowledged: counted("acknowledged"),
        covered: counted("covered"),
        expected: counted("expected"),
        over: counted("over"),
    }
}

#[tokio::test]
async fn what_a_maintenance_lets_be_expected_is_counted_apart_with_all_that_follows_from_it() {
    let world = World::new().await;
    let vault = world.vault().await;
    let (ark, chest) = (world.server(vault, "ark"), world.server(vault, "chest"));
    world.store_point(ark, "shelf");
    world.store_point(chest, "attic");
    world.post("/api/v1/servers/1/maintenance", &json!({ "for_seconds": 3_600 })).send().await;
    world.lose(ark);
    let in_maintenance = async || {
        let counts = world.get("/api/v1/status").send().await.json()["counts"].clone();
        (counts["servers_offline"].clone(), counts["servers_in_maintenance"].clone())
    };
    assert_eq!(in_maintenance().await, (json!(1), json!(1)));
    let expected = Alerts { open: 2, expected: 2, ..Alerts::default() };
    assert_eq!(alerts(&world).await, expected, "the server's, and the store point's that its alert covers");
    let acknowledged = world.post("/api/v1/alerts/acknowledge", &json!({ "ids": [1] })).send().await;
    assert_eq!((acknowledged.status, alerts(&world).await), (StatusCode::OK, expected), "it is expected first of all");
    // The destination's trouble is nobody's plan: its other server was to stay.
    world.lose(chest);
    let found = alerts(&world).await;
    let cause = (found.critical, found.covered, found.expected);
    assert_eq!(cause, (1, 2, 2), "the destination, which covers the other server, and that its store point: {found:?}");
    world.post("/api/v1/alerts/acknowledge", &json!({ "filter": "kind=destination_offline" })).send().await;
    let found = alerts(&world).await;
    assert_eq!((found.critical, found.acknowledged, found.covered), (0, 1, 2), "who takes note of a cause has taken note");
    world.act("/api/v1/servers/1/activate").send().await;
    assert_eq!(in_maintenance().await, (json!(2), json!(0)));
    assert_eq!(alerts(&world).await.expected, 0, "nothing is expected any more");
}

#[tokio::test]
async fn a_list_tells_what_is_observed_where_it_is_asked_for_that() {
    let world = World::new().await;
    let vault = world.vault().await;
    let ark = world.server(vault, "ark");
    world.server(vault, "chest");
    world.store_point(ark, "shelf");
    let space = StorePointObserved { free_bytes: 5, total_bytes: 9, used_bytes: 4 };
    let heard = ServerObserved {
        heard_ms_ago: 7,
        version: "0.1.0".into(),
        position: None,
        store_points: [(1, space)].into(),
        ports_tried: 0,
        ports_closed: 0,
    };
    *world.fleet.observed.lock().unwrap() = Ok(Observed { by_server: [(1, heard)].into() });
    let list = async |query: &str| world.get(&format!("/api/v1/{query}")).send().await.json()["items"].clone();
    let told = json!({ "free_bytes": 5, "total_bytes": 9, "used_bytes": 4 });
    let servers = list("servers?observed=true").await;
    assert_eq!((&servers[0]["observed"]["store_points"]["1"], &servers[0]["observed_absent"]), (&told, &Value::Null));
    assert!(servers[1]["observed_absent"].as_str().unwrap().contains("has not heard of the server"), "{servers}");
    let store_points = list("store-points?observed=true").await;
    assert_eq!((&store_points[0]["observed"], &store_points[0]["observed_ms_ago"]), (&told, &json!(7)));
    assert_eq!(world.fleet.asked(), ["observed", "observed"]);
    for unasked in ["store-points", "servers", "servers?observed=false"] {
        let items = list(unasked).await;
        assert!(items[0]["observed_absent"].as_str().unwrap().contains("observed=true asks for it"), "{unasked}: {items}");
    }
    let stale = list("servers?observed=true&consistency=stale").await;
    assert!(stale[0]["observed_absent"].as_str().unwrap().contains("a stale reading asks nobody"), "{stale}");
    assert_eq!(world.fleet.asked().len(), 2, "nobody else was asked");
    let refused = world.get("/api/v1/destinations?observed=true").send().await;
    refused.refuses(400, "malformed_request").pointing_at("?observed");
}
