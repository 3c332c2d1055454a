//! Alerts: the overview, the history behind it, and taking note.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use axum::http::StatusCode;
use bursar_domain::{
    AlertId, Command, Submission, alert,
    store_point::{OfflineReason, Report},
};
use serde_json::{Value, json};
use support::{
    World,
    authority::{ADMINISTRATOR, submission},
};

/// The numbers of the alerts that a list has.
async fn listed(world: &World, filter: &str) -> Vec<u64> {
    let answer = world.get(&format!("/api/v1/alerts{filter}")).send().await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["items"].as_array().unwrap().iter().map(|alert| alert["id"].as_u64().unwrap()).collect()
}

async fn acknowledge(world: &World, body: Value) -> Value {
    let answer = world.post("/api/v1/alerts/acknowledge", &body).send().await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()["alerts"].clone()
}

#[tokio::test]
async fn an_alert_says_what_is_the_matter_and_what_covers_it() {
    let world = World::new().await;
    let vault = world.vault().await;
    let ark = world.server(vault, "ark");
    world.store_point(ark, "shelf");
    world.lose(ark);
    let overview = world.get("/api/v1/alerts").send().await.json();
    let alerts = overview["items"].as_array().unwrap();
    let named = |kind: &str| alerts.iter().find(|alert| alert["kind"] == kind).unwrap();
    let (destination, server, store_point) =
        (named("destination_offline"), named("server_offline"), named("store_point_offline"));
    assert_eq!(destination["inhibited_by"], Value::Null);
    assert_eq!(
        server["inhibited_by"],
        json!({ "kind": "alert", "id": destination["id"], "name": "Destination is offline: vault" })
    );
    assert_eq!(store_point["inhibited_by"]["id"], server["id"]);
    assert_eq!(store_point["subject"], json!({ "kind": "store_point", "id": 1, "name": "shelf" }));
    assert_eq!(store_point["text"], "Store point is unavailable: shelf");
    let why = |alert: &Value| (alert["reason"].clone(), alert["detail"].clone());
    assert_eq!(why(store_point), (json!("server_silent"), json!("its server does not answer")));
    assert_eq!(why(server), (json!("silent"), json!("it does not answer")));
    assert_eq!(why(destination), (json!("all_servers_silent"), json!("none of its servers answers")));
    let named = json!({ "kind": "server", "id": 1, "name": "ark" });
    assert_eq!((&store_point["server"], &store_point["path"]), (&named, &json!("/srv/shelf/CrashPlanArchive_m1x1")));
    assert_eq!((&server["server"], &server["path"]), (&named, &Value::Null));
    assert_eq!((&destination["server"], &destination["path"]), (&Value::Null, &Value::Null));
    assert_eq!(
        (&server["severity"], &server["extent"], &server["occurrences"]),
        (&json!("critical"), &json!("whole"), &json!(1))
    );
    assert_eq!(server["condition"], json!({ "state": "firing", "since": "2026-01-01T00:00:00.000Z" }));
    assert_eq!((&server["open"], &server["acknowledgement"]), (&json!(true), &Value::Null));
    let read = world.get(&format!("/api/v1/alerts/{}", server["id"])).send().await;
    assert_eq!(read.json(), *server);
    assert_eq!(read.header("etag"), format!("\"{}\"", server["etag"].as_str().unwrap()));
    world.get("/api/v1/alerts/99").send().await.refuses(404, "not_found");
}

#[tokio::test]
async fn the_overview_keeps_what_nobody_has_noted_and_a_filter_finds_the_history() {
    let world = World::new().await;
    let vault = world.vault().await;
    let (ark, _) = (world.server(vault, "ark"), world.server(vault, "chest"));
    world.lose(ark);
    world.find(ark);
    // What is over stays until it is acknowledged,
    assert_eq!(listed(&world, "").await, [1]);
    assert_eq!(listed(&world, "?filter=condition%3Dresolved").await, [1]);
    let noted = acknowledge(&world, json!({ "ids": [1], "note": "cable" })).await;
    assert_eq!(noted[0]["acknowledgement"]["note"], "cable");
    assert_eq!(noted[0]["acknowledgement"]["by"], json!({ "kind": "token", "id": 1, "name": "admin" }));
    assert_eq!(noted[0]["open"], false);
    // then it is history, which filters find.
    assert!(listed(&world, "").await.is_empty());
    for filter in [
        "open=false",
        "kind=server_offline",
        "reason=silent",
        "severity=critical",
        "acknowledged=true",
        "subject=server:1",
        "text~ark",
    ] {
        let query = format!("?filter={}", filter.replace('=', "%3D"));
        assert_eq!(listed(&world, &query).await, [1], "{filter}");
    }
    assert!(listed(&world, "?filter=severity%3Dwarning").await.is_empty());
    world.get("/api/v1/alerts?filter=colour%3Dred").send().await.refuses(400, "malformed_request").pointing_at("?filter");
    // The same trouble later is another alert.
    world.lose(ark);
    assert_eq!(listed(&world, "").await, [2]);
}

#[tokio::test]
async fn an_alert_that_fires_stays_marked_and_asks_again_when_it_gets_worse() {
    let world = World::new().await;
    let vault = world.vault().await;
    let ark = world.server(vault, "ark");
    let shelf = world.store_point(ark, "shelf");
    world.report(ark, shelf, Report::Offline(OfflineReason::ReadOnly));
    let noted = acknowledge(&world, json!({ "ids": [1] })).await;
    assert_eq!((&noted[0]["extent"], &noted[0]["open"]), (&json!("partial"), &json!(true)));
    assert_eq!(listed(&world, "?filter=acknowledged%3Dtrue").await, [1]);
    world.report(ark, shelf, Report::Offline(OfflineReason::Missing));
    assert_eq!(listed(&world, "?filter=acknowledged%3Dfalse").await, [1]);
}

#[tokio::test]
async fn several_are_acknowledged_at_once_by_number_or_by_what_they_have_in_common() {
    let world = World::new().await;
    let vault = world.vault().await;
    let (ark, chest) = (world.server(vault, "ark"), world.server(vault, "chest"));
    for name in ["a", "b", "c"] {
        let store_point = world.store_point(ark, name);
        world.report(ark, store_point, Report::Offline(OfflineReason::IoFailing));
    }
    world.lose(chest);
    assert_eq!(
        acknowledge(&world, json!({ "ids": [1, 2], "note": "disks are on their way" })).await.as_array().unwrap().len(),
        2
    );
    let third = acknowledge(&world, json!({ "filter": "subject=store_point:3" })).await;
    assert_eq!((third.as_array().unwrap().len(), &third[0]["id"]), (1, &json!(3)));
    assert_eq!(listed(&world, "?filter=acknowledged%3Dfalse").await, [4]);
    let all = acknowledge(&world, json!({ "filter": "" })).await;
    assert_eq!(all.as_array().unwrap().iter().map(|alert| alert["id"].clone()).collect::<Vec<_>>(), [4], "the others were");
    assert!(listed(&world, "?filter=acknowledged%3Dfalse").await.is_empty());
}

#[tokio::test]
async fn a_repetition_by_filter_gets_its_first_outcome_though_no_alert_is_open_any_more() {
    let world = World::new().await;
    let vault = world.vault().await;
    let (ark, _) = (world.server(vault, "ark"), world.server(vault, "chest"));
    world.lose(ark);
    world.find(ark);
    let body = json!({ "filter": "kind=server_offline" });
    let ask = || world.post("/api/v1/alerts/acknowledge", &body).header("idempotency-key", "k1").send();
    let first = ask().await;
    let digest = world.digest();
    let again = ask().await;
    assert_eq!((again.status, again.json()), (StatusCode::OK, first.json()));
    assert_eq!(world.digest(), digest);
    // Under a key of its own there is nothing left to do, and nothing wrong with that.
    let nothing = world.post("/api/v1/alerts/acknowledge", &body).send().await;
    assert_eq!((nothing.status, nothing.json()), (StatusCode::OK, json!({ "alerts": [], "acknowledged_before": [] })));
    let rehearsed = world.post("/api/v1/alerts/acknowledge?dry_run=true", &body).send().await.json();
    assert_eq!((&rehearsed["events"], &rehearsed["outcome"]["effect"]), (&json!([]), &json!("unchanged")));
    assert_eq!(rehearsed["warnings"][0]["code"], "nothing_to_acknowledge");
    assert_eq!(world.digest(), digest);
}

#[tokio::test]
async fn a_repetition_by_filter_tells_of_what_was_acknowledged_then_and_of_nothing_since() {
    let world = World::new().await;
    let vault = world.vault().await;
    let ark = world.server(vault, "ark");
    let store_points = ["a", "b", "c"].map(|name| world.store_point(ark, name));
    let fail = |place: usize| world.report(ark, store_points[place], Report::Offline(OfflineReason::Missing));
    fail(0);
    fail(1);
    let body = json!({ "filter": "" });
    let ask = || world.post("/api/v1/alerts/acknowledge", &body).header("idempotency-key", "k1").send();
    let first = ask().await.json();
    fail(2);
    let again = ask().await.json();
    assert_eq!(again, first);
    assert_eq!((again["alerts"].as_array().unwrap().len(), &again["acknowledged_before"]), (2, &json!([])));
    assert_eq!(listed(&world, "?filter=acknowledged%3Dfalse").await, [3]);
}

#[tokio::test]
async fn the_newest_reason_is_told_and_the_last_one_stays_in_the_history() {
    let world = World::new().await;
    let vault = world.vault().await;
    let ark = world.server(vault, "ark");
    let shelf = world.store_point(ark, "shelf");
    let reason = async || world.get("/api/v1/alerts/1").send().await.json()["reason"].clone();
    for (fault, told) in [(OfflineReason::Missing, "missing"), (OfflineReason::ForeignIdentity, "foreign_identity")] {
        world.report(ark, shelf, Report::Offline(fault));
        assert_eq!(reason().await, told);
    }
    world.report(ark, shelf, Report::Online);
    assert_eq!(reason().await, "foreign_identity");
}

#[tokio::test]
async fn who_says_something_else_of_an_alert_is_told_who_has_spoken_before() {
    let world = World::new().await;
    let vault = world.vault().await;
    let ark = world.server(vault, "ark");
    let shelf = world.store_point(ark, "shelf");
    world.report(ark, shelf, Report::Offline(OfflineReason::Missing));
    world.lose(ark);
    acknowledge(&world, json!({ "ids": [1], "note": "cable" })).await;
    let digest = world.digest();
    let again = world.post("/api/v1/alerts/acknowledge", &json!({ "ids": [2, 1], "note": "thieves" })).send().await;
    let problem = again.refuses(409, "already_acknowledged").json();
    let told = "Alert 1 was acknowledged at 2026-01-01T00:00:00.000Z by token 1 “admin”, with the note “cable”.";
    assert_eq!((&problem["detail"], &problem["object"]), (&json!(told), &json!({ "kind": "alert", "id": 1 })));
    assert_eq!(world.digest(), digest);
    // Where nothing else is said, those that are left are acknowledged, and it is told which were before.
    let body = json!({ "ids": [2, 1] });
    let rest = world.post("/api/v1/alerts/acknowledge", &body).send().await.json();
    assert_eq!((rest["alerts"].as_array().unwrap().len(), &rest["acknowledged_before"]), (2, &json!([1])));
    let digest = world.digest();
    let none = world.post("/api/v1/alerts/acknowledge", &body).send().await.json();
    assert_eq!(none["acknowledged_before"], json!([2, 1]));
    assert_eq!(world.digest(), digest);
}

/// Somebody else takes note of one alert by its number.
fn another_notes(alert: u64) -> Submission {
    let alerts = vec![AlertId(alert)];
    let acknowledge = alert::Command::Acknowledge { alerts, note: "cable".into(), unnoted_only: false };
    submission(ADMINISTRATOR, &format!("another notes {alert}"), Command::Alert(acknowledge))
}

#[tokio::test]
async fn what_somebody_else_notes_meanwhile_meets_no_condition_any_more_and_the_rest_is_acknowledged() {
    let world = World::new().await;
    let vault = world.vault().await;
    let ark = world.server(vault, "ark");
    for name in ["a", "b", "c"] {
        let store_point = world.store_point(ark, name);
        world.report(ark, store_point, Report::Offline(OfflineReason::Missing));
    }
    let ask = async |body: Value| world.post("/api/v1/alerts/acknowledge", &body).send().await;
    world.authority.let_another_come_first(another_notes(1));
    let named = ask(json!({ "ids": [1, 2], "note": "thieves" })).await;
    named.refuses(409, "already_acknowledged");

    world.authority.let_another_come_first(another_notes(2));
    let told = ask(json!({ "filter": "", "note": "thieves" })).await.json();
    let notes = told["alerts"].as_array().unwrap().iter().map(|alert| (&alert["id"], &alert["acknowledgement"]["note"]));
    assert_eq!(notes.collect::<Vec<_>>(), [(&json!(2), &json!("cable")), (&json!(3), &json!("thieves"))]);
    assert_eq!(told["acknowledged_before"], json!([2]));

    let shelf = world.store_point(ark, "d");
    world.report(ark, shelf, Report::Offline(OfflineReason::Missing));
    world.authority.let_another_come_first(another_notes(4));
    let told = ask(json!({ "filter": "", "note": "thieves" })).await.json();
    assert_eq!((&told["alerts"][0]["acknowledgement"]["note"], &told["acknowledged_before"]), (&json!("cable"), &json!([4])));
}

#[tokio::test]
async fn what_was_acknowledged_without_a_note_takes_one_later() {
    let world = World::new().await;
    let vault = world.vault().await;
    let ark = world.server(vault, "ark");
    let shelf = world.store_point(ark, "shelf");
    world.report(ark, shelf, Report::Offline(OfflineReason::Missing));
    assert_eq!(acknowledge(&world, json!({ "ids": [1] })).await[0]["acknowledgement"]["note"], "");
    let body = json!({ "ids": [1], "note": "cable" });
    let spoken = world.post("/api/v1/alerts/acknowledge", &body).send().await.json();
    assert_eq!(spoken["alerts"][0]["acknowledgement"]["note"], "cable");
    assert_eq!(spoken["acknowledged_before"], json!([]), "the acknowledgement is the one with the note");
    let other = world.post("/api/v1/alerts/acknowledge", &json!({ "ids": [1], "note": "thieves" })).send().await;
    other.refuses(409, "already_acknowledged");
}

#[tokio::test]
async fn a_wrong_condition_is_answered_with_what_a_right_one_looks_like() {
    let world = World::new().await;
    let known =
        "it knows id, kind, reason, severity, condition, open, acknowledged, subject, text, as in kind=store_point_offline";
    for (condition, wrong) in [("nonsense", "must look like field=value or field~value"), ("colour=red", "knows no field colour")]
    {
        let asked = world.post("/api/v1/alerts/acknowledge", &json!({ "filter": condition })).send().await;
        let detail = asked.refuses(422, "invalid_field").pointing_at("/filter").json()["errors"][0]["detail"].clone();
        assert_eq!(detail, format!("{wrong}; {known}"));
        let query = condition.replace('=', "%3D");
        let listed = world.get(&format!("/api/v1/alerts?filter={query}")).send().await;
        assert_eq!(listed.refuses(400, "malformed_request").pointing_at("?filter").json()["errors"][0]["detail"], detail);
    }
    let sites = world.get("/api/v1/sites?filter=nonsense").send().await.json();
    let detail = "must look like field=value or field~value; it knows id, name, as in name~east";
    assert_eq!(sites["errors"][0]["detail"], detail);
}

#[tokio::test]
async fn taking_note_is_rehearsed_and_bound_to_a_reading_like_every_change() {
    let world = World::new().await;
    let vault = world.vault().await;
    let ark = world.server(vault, "ark");
    let shelf = world.store_point(ark, "shelf");
    world.report(ark, shelf, Report::Offline(OfflineReason::ReadOnly));
    let digest = world.digest();
    let body = json!({ "ids": [1] });
    let rehearsed = world.post("/api/v1/alerts/acknowledge?dry_run=true", &body).send().await;
    assert_eq!(rehearsed.json()["events"][0]["kind"], "alert.acknowledged", "{rehearsed:?}");
    let etag = world.get("/api/v1/alerts/1").send().await.header("etag").to_owned();
    assert_eq!(world.digest(), digest);
    world.report(ark, shelf, Report::Offline(OfflineReason::Missing));
    let stale = world.post("/api/v1/alerts/acknowledge", &body).header("if-match", &etag).send().await;
    stale.refuses(412, "revision_mismatch");
}

#[tokio::test]
async fn what_cannot_be_acknowledged_is_told_and_changes_nothing() {
    let world = World::new().await;
    let digest = world.digest();
    let ask = |body: Value| world.post("/api/v1/alerts/acknowledge", &body).send();
    ask(json!({})).await.refuses(422, "invalid_field").pointing_at("/ids");
    ask(json!({ "ids": [1], "filter": "" })).await.refuses(422, "invalid_field").pointing_at("/filter");
    ask(json!({ "ids": [] })).await.refuses(422, "invalid_field").pointing_at("/ids");
    ask(json!({ "ids": (1..=1_001).collect::<Vec<u64>>() })).await.refuses(422, "invalid_field").pointing_at("/ids");
    ask(json!({ "ids": [1] })).await.refuses(404, "not_found");
    ask(json!({ "filter": "nonsense" })).await.refuses(422, "invalid_field").pointing_at("/filter");
    ask(json!({ "filter": "colour=red" })).await.refuses(422, "invalid_field").pointing_at("/filter");
    ask(json!({ "filter": "severity=red" })).await.refuses(422, "invalid_field").pointing_at("/filter");
    ask(json!({ "filter": "", "note": "\u{7}" })).await.refuses(422, "invalid_field").pointing_at("/note");
    assert_eq!(world.digest(), digest);
}
