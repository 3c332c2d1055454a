//! Changes: what they answer, what repeats and rehearses them, and what is refused with nothing changed.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use axum::http::StatusCode;
use serde_json::{Value, json};
use support::World;

#[tokio::test]
async fn a_created_object_is_answered_with_its_place_and_entity_tag() {
    let world = World::new().await;
    let made = world.post("/api/v1/sites", &json!({ "name": "Lyon", "expected_latency_ms": 5 })).send().await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!(made.header("location"), "/api/v1/sites/1");
    assert_eq!(made.json()["name"], "Lyon");
    assert_eq!(made.header("etag"), format!("\"{}\"", made.json()["etag"].as_str().unwrap()));
    assert_eq!(made.header("x-bursar-revision"), made.json()["etag"].as_str().unwrap());
    assert_eq!(made.header("x-bursar-leader"), "1");
    let read = world.get("/api/v1/sites/1").send().await;
    assert_eq!((read.body, read.headers["etag"].clone()), (made.body, made.headers["etag"].clone()));
}

#[tokio::test]
async fn an_edit_answers_the_object_as_it_stands_and_one_that_changes_nothing_keeps_the_entity_tag() {
    let world = World::new().await;
    let site = world.site("Lyon").await;
    let id = world.destination("archive", site).await;
    let path = format!("/api/v1/destinations/{id}");
    let edited = world.patch(&path, &json!({ "description": "cold" })).send().await;
    assert_eq!((edited.status, &edited.json()["description"]), (StatusCode::OK, &json!("cold")));
    let again = world.patch(&path, &json!({ "description": "cold" })).send().await;
    assert_eq!((again.status, again.header("etag")), (StatusCode::OK, edited.header("etag")));
}

#[tokio::test]
async fn a_part_of_the_balancing_is_merged_over_what_stands() {
    let world = World::new().await;
    let site = world.site("Lyon").await;
    let id = world.destination("archive", site).await;
    let path = format!("/api/v1/destinations/{id}");
    let window = json!({ "from": "22:00", "to": "06:00" });
    world.patch(&path, &json!({ "balancing": { "window": window } })).send().await;
    let edited = world.patch(&path, &json!({ "balancing": { "concurrency": 7 } })).send().await;
    assert_eq!(edited.status, StatusCode::OK, "{edited:?}");
    assert_eq!(edited.json()["balancing"]["window"], window);
    assert_eq!(edited.json()["balancing"]["concurrency"], 7);
}

#[tokio::test]
async fn an_edit_made_of_an_old_reading_is_made_anew() {
    let world = World::new().await;
    let site = world.site("Lyon").await;
    let id = world.destination("archive", site).await;
    let path = format!("/api/v1/destinations/{id}");
    // Given a node that has not heard of the last change,
    world.authority.lag();
    let command = bursar_domain::destination::Command::Edit {
        destination: bursar_domain::DestinationId(id),
        change: bursar_domain::destination::Change {
            balancing: Some(bursar_domain::destination::Balancing { concurrency: 9, ..Default::default() }),
            ..Default::default()
        },
    };
    let elsewhere = support::authority::submission(
        support::authority::ADMINISTRATOR,
        "elsewhere",
        bursar_domain::Command::Destination(command),
    );
    world.authority.take(elsewhere).outcome.unwrap();
    // when a part of the balancing is edited through it, then the other part is not lost.
    let edited = world.patch(&path, &json!({ "balancing": { "allowed_variance_percent": 33 } })).send().await;
    assert_eq!(edited.json()["balancing"]["concurrency"], 9, "{edited:?}");
    assert_eq!(edited.json()["balancing"]["allowed_variance_percent"], 33);
}

#[tokio::test(start_paused = true)]
async fn an_edit_is_given_up_in_time_however_often_it_reads() {
    let world = World::new().await;
    let site = world.site("Lyon").await;
    let id = world.destination("archive", site).await;
    // Given a node on which every reading takes most of a request's time,
    world.authority.take_its_time(std::time::Duration::from_secs(7));
    // when an edit reads twice, then both readings together take no longer than a request may.
    let started = tokio::time::Instant::now();
    let path = format!("/api/v1/destinations/{id}?dry_run=true");
    let refused = world.patch(&path, &json!({ "balancing": { "concurrency": 7 } })).send().await;
    assert_eq!(refused.refuses(503, "no_quorum").json()["fate"], "not_done");
    assert_eq!(started.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn a_removed_object_is_gone() {
    let world = World::new().await;
    let site = world.site("Lyon").await;
    let removed = world.delete(&format!("/api/v1/sites/{site}")).send().await;
    assert_eq!((removed.status, removed.body.len()), (StatusCode::NO_CONTENT, 0));
    world.get(&format!("/api/v1/sites/{site}")).send().await.refuses(404, "not_found");
    world.delete(&format!("/api/v1/sites/{site}")).send().await.refuses(404, "not_found");
}

#[tokio::test]
async fn a_repetition_under_the_same_key_answers_the_same_object_and_changes_nothing() {
    let world = World::new().await;
    let body = json!({ "name": "Lyon", "expected_latency_ms": 5 });
    let first = world.post("/api/v1/sites", &body).header("idempotency-key", "k1").send().await;
    let digest = world.digest();
    let again = world.post("/api/v1/sites", &body).header("idempotency-key", "k1").send().await;
    assert_eq!((again.status, &again.body), (StatusCode::CREATED, &first.body));
    assert_eq!((again.header("location"), again.header("etag")), (first.header("location"), first.header("etag")));
    assert_eq!(world.digest(), digest);
}

#[tokio::test]
async fn an_edit_that_is_repeated_when_its_object_was_removed_since_says_that_it_was_made() {
    let world = World::new().await;
    let site = world.site("Lyon").await;
    let path = format!("/api/v1/sites/{site}");
    let rename = async |key: &str| world.patch(&path, &json!({ "name": "Paris" })).header("idempotency-key", key).send().await;
    assert_eq!(rename("k1").await.status, StatusCode::OK);
    world.delete(&path).send().await;
    assert_eq!(rename("k1").await.refuses(410, "gone").json()["fate"], "done");
    rename("k2").await.refuses(404, "not_found");
}

#[tokio::test]
async fn a_repetition_whose_object_was_removed_since_says_so() {
    let world = World::new().await;
    let body = json!({ "name": "Lyon", "expected_latency_ms": 5 });
    world.post("/api/v1/sites", &body).header("idempotency-key", "k1").send().await;
    world.delete("/api/v1/sites/1").send().await;
    let again = world.post("/api/v1/sites", &body).header("idempotency-key", "k1").send().await;
    again.refuses(410, "gone");
    assert_eq!(again.json()["fate"], "done");
}

#[tokio::test]
async fn another_request_under_a_used_key_is_refused() {
    let world = World::new().await;
    let lyon = json!({ "name": "Lyon", "expected_latency_ms": 5 });
    let brest = json!({ "name": "Brest", "expected_latency_ms": 5 });
    world.post("/api/v1/sites", &lyon).header("idempotency-key", "k1").send().await;
    let digest = world.digest();
    world.post("/api/v1/sites", &brest).header("idempotency-key", "k1").send().await.refuses(409, "request_key_reused");
    // The path and the reading that it rests on belong to a request as its body does.
    world.patch("/api/v1/sites/1", &lyon).header("idempotency-key", "k1").send().await.refuses(409, "request_key_reused");
    world
        .post("/api/v1/destinations", &json!({ "name": "a", "site": 1 }))
        .header("idempotency-key", "k1")
        .send()
        .await
        .refuses(409, "request_key_reused");
    assert_eq!(world.digest(), digest);
    // Another actor's keys are another's.
    let (_, token) = world.another_token(json!({})).await;
    let other = world.request(axum::http::Method::POST, "/api/v1/sites").bearer(&token).body(&brest);
    assert_eq!(other.header("idempotency-key", "k1").send().await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let world = World::new().await;
    for key in ["", "with blank", &"k".repeat(129)] {
        let asking = world.post("/api/v1/sites", &json!({ "name": "Lyon", "expected_latency_ms": 5 }));
        asking.header("idempotency-key", key).send().await.refuses(400, "malformed_request");
    }
}

#[tokio::test]
async fn a_dry_run_tells_the_events_and_changes_nothing() {
    let world = World::new().await;
    let digest = world.digest();
    let submissions = world.authority.submissions.load(std::sync::atomic::Ordering::SeqCst);
    let body = json!({ "name": "Lyon", "expected_latency_ms": 5 });
    let rehearsed = world.post("/api/v1/sites?dry_run=true", &body).send().await;
    assert_eq!(rehearsed.status, StatusCode::OK);
    assert_eq!(rehearsed.json()["outcome"], json!({ "effect": "created", "object": { "kind": "site", "id": 1 } }));
    assert_eq!(rehearsed.json()["events"][0]["kind"], "site.created");
    assert_eq!(rehearsed.json()["events"][0]["data"]["name"], "Lyon");
    assert_eq!(world.digest(), digest);
    // A refusal is told as the change itself would tell it,
    world
        .post("/api/v1/sites?dry_run=true", &json!({ "name": "", "expected_latency_ms": 5 }))
        .send()
        .await
        .refuses(422, "invalid_field");
    world.delete("/api/v1/sites/9?dry_run=true").send().await.refuses(404, "not_found");
    // nothing of all that was proposed, and a key is not used up.
    let keyed = |path: &str| world.post(path, &body).header("idempotency-key", "k1");
    keyed("/api/v1/sites?dry_run=true").send().await;
    assert_eq!(world.authority.submissions.load(std::sync::atomic::Ordering::SeqCst), submissions);
    assert_eq!(keyed("/api/v1/sites").send().await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn every_kind_of_change_can_be_rehearsed() {
    let world = World::new().await;
    let site = world.site("Lyon").await;
    let destination = world.destination("archive", site).await;
    let digest = world.digest();
    let patch =
        world.patch(&format!("/api/v1/destinations/{destination}?dry_run=true"), &json!({ "balancing": { "concurrency": 3 } }));
    assert_eq!(patch.send().await.json()["events"][0]["kind"], "destination.edited");
    let delete = world.delete(&format!("/api/v1/destinations/{destination}?dry_run=true"));
    assert_eq!(delete.send().await.json()["events"][0]["kind"], "destination.removed");
    let token = world.post("/api/v1/tokens?dry_run=true", &json!({ "name": "ci" })).send().await;
    assert_eq!(token.json()["events"][0]["kind"], "token.issued");
    assert!(!String::from_utf8_lossy(&token.body).contains("secret"), "{token:?}");
    let invite = world.post("/api/v1/cluster/members?dry_run=true", &json!({})).send().await;
    assert_eq!(invite.json()["events"][0]["kind"], "join_token.issued");
    let transfer = world.post("/api/v1/cluster/transfer-leadership?dry_run=true", &json!({})).send().await;
    assert_eq!(transfer.json()["events"], json!([]));
    assert_eq!(world.digest(), digest);
}

#[tokio::test]
async fn a_change_that_rests_on_an_old_reading_is_refused() {
    let world = World::new().await;
    let site = world.site("Lyon").await;
    let path = format!("/api/v1/sites/{site}");
    let read = world.get(&path).send().await.header("etag").to_owned();
    let first = world.patch(&path, &json!({ "name": "Lyon 2" })).header("if-match", &read).send().await;
    assert_eq!(first.status, StatusCode::OK);
    let digest = world.digest();
    let second = world.patch(&path, &json!({ "name": "Lyon 3" })).header("if-match", &read).send().await;
    second.refuses(412, "revision_mismatch");
    assert_eq!(format!("\"{}\"", second.json()["revision"].as_str().unwrap()), first.header("etag"));
    world.delete(&path).header("if-match", &read).send().await.refuses(412, "revision_mismatch");
    // The tag of another epoch is an old reading as well.
    world.delete(&path).header("if-match", "\"7-3\"").send().await.refuses(412, "revision_mismatch");
    assert_eq!(world.digest(), digest);
    let removed = world.delete(&path).header("if-match", first.header("etag")).send().await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn an_if_match_that_is_not_one_strong_tag_is_refused() {
    let world = World::new().await;
    let site = world.site("Lyon").await;
    for tag in ["*", "1-3", "W/\"1-3\"", "\"1-3\", \"1-4\"", "\"x\"", "\"1-03\""] {
        let edit = world.patch(&format!("/api/v1/sites/{site}"), &json!({ "name": "x" })).header("if-match", tag);
        edit.send().await.refuses(400, "malformed_request");
    }
    let twice = world.patch(&format!("/api/v1/sites/{site}"), &json!({ "name": "x" }));
    twice.header("if-match", "\"1-3\"").header("if-match", "\"1-4\"").send().await.refuses(400, "malformed_request");
    // What makes an object has no reading to rest on.
    let create = world.post("/api/v1/sites", &json!({ "name": "Brest", "expected_latency_ms": 5 }));
    create.header("if-match", "\"1-3\"").send().await.refuses(400, "malformed_request");
}

#[tokio::test]
async fn names_that_cannot_be_are_refused_with_nothing_changed() {
    let world = World::new().await;
    world.site("Lyon").await;
    let digest = world.digest();
    for (name, code, status) in [
        ("lYON", "name_taken", 409),
        ("", "invalid_field", 422),
        (" Brest", "invalid_field", 422),
        ("a\u{7}b", "invalid_field", 422),
        ("a\nb", "invalid_field", 422),
        ("\u{85}", "invalid_field", 422),
        (&"x".repeat(129), "invalid_field", 422),
        (&"x".repeat(900_000), "invalid_field", 422),
    ] {
        let refused = world.post("/api/v1/sites", &json!({ "name": name, "expected_latency_ms": 5 })).send().await;
        refused.refuses(status, code);
        if code == "invalid_field" {
            refused.pointing_at("/name");
        }
        assert!(refused.body.len() < 4_096, "a refusal does not repeat what was too long");
    }
    assert_eq!(world.digest(), digest);
}

#[tokio::test]
async fn a_name_of_ten_megabytes_is_refused_before_it_is_read() {
    let world = World::new().await;
    let digest = world.digest();
    let body = json!({ "name": "x".repeat(10 << 20), "expected_latency_ms": 5 });
    world.post("/api/v1/sites", &body).send().await.refuses(413, "too_large");
    // Nor does it help not to say how long it is.
    let chunks = futures_util::stream::iter((0..10_240).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1_024])));
    let endless = world.post("/api/v1/sites", &json!({})).raw("application/json", axum::body::Body::from_stream(chunks));
    endless.send().await.refuses(413, "too_large");
    assert_eq!(world.digest(), digest);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let world = World::new().await;
    let body = axum::body::Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let asking = world.request(axum::http::Method::POST, "/api/v1/sites").bearer(&world.token).raw("application/json", body);
    asking.send().await.refuses(408, "too_slow");
}

#[tokio::test]
async fn unknown_fields_and_wrong_types_are_pointed_at() {
    let world = World::new().await;
    world.site("Lyon").await;
    let digest = world.digest();
    for (body, pointer) in [
        (json!({ "name": "a", "site": 1, "colour": "red" }), "/colour"),
        (json!({ "name": "a", "site": 1, "balancing": { "speed": 1 } }), "/balancing/speed"),
        (json!({ "name": "a", "site": "one" }), "/site"),
        (json!({ "name": "a", "site": -1 }), "/site"),
        (json!({ "name": "a", "site": 1, "balancing": { "window": { "from": 7, "to": "08:00" } } }), "/balancing/window/from"),
        (json!({ "name": null, "site": 1 }), "/name"),
    ] {
        let refused = world.post("/api/v1/destinations", &body).send().await;
        refused.refuses(400, "malformed_request").pointing_at(pointer);
    }
    for (body, pointer) in [
        (json!({ "name": "a", "site": 9 }), "/site"),
        (json!({ "name": "a", "site": 1, "balancing": { "window": { "from": "7h", "to": "08:00" } } }), "/balancing/window/from"),
        (
            json!({ "name": "a", "site": 1, "free_space": { "warning_percent": 5, "critical_percent": 9 } }),
            "/free_space/critical_percent",
        ),
        (json!({ "name": "a", "site": 1, "balancing": { "concurrency": 65 } }), "/balancing/concurrency"),
    ] {
        world.post("/api/v1/destinations", &body).send().await.refuses(422, "invalid_field").pointing_at(pointer);
    }
    assert_eq!(world.digest(), digest);
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_told_in_the_words_of_the_api() {
    let world = World::new().await;
    let post = |body: &str| {
        let asking = world.request(axum::http::Method::POST, "/api/v1/destinations").bearer(&world.token);
        asking.raw("application/json", body.to_owned())
    };
    let fields = "name, description, site, offered, balancing, free_space";
    for (body, pointer, told) in [
        (r#"{ "site": 1 }"#, "/name", "name is missing."),
        (r#"{ "name": "a", "name": "b", "site": 1 }"#, "/name", "name is given more than once."),
        (r#"{ "nmae": "a" }"#, "/nmae", &*format!("nmae is no field of this object, which takes {fields}.")),
        (r#"{ "a/b~`, expected `c": 1 }"#, "/a~1b~0`, expected `c", ""),
        (r#"{ "name": "a", "site": "one" }"#, "/site", "site is “one”; it must be a whole number from 0."),
        (r#"{ "name": null }"#, "/name", "name is null; it must be a text."),
        (r#"{ "name": [] }"#, "/name", "name is a list; it must be a text."),
        (
            r#"{ "name": "a", "site": 1, "balancing": { "concurrency": 70000 } }"#,
            "/balancing/concurrency",
            "balancing/concurrency is 70000; it must be a whole number from 0 to 65535.",
        ),
        (
            r#"{ "name": "a", "site": 1, "balancing": { "enabled": 1 } }"#,
            "/balancing/enabled",
            "balancing/enabled is 1; it must be true or false.",
        ),
        (r#"{ "name": "a", "site": 1, "balancing": 7 }"#, "/balancing", "balancing is 7; it must be an object."),
        (r#"["a", "", 1, true, null, null]"#, "", "The body is a list; it must be an object."),
        ("7", "", "The body is 7; it must be an object."),
    ] {
        let refused = post(body).send().await;
        refused.refuses(400, "malformed_request").pointing_at(pointer);
        let problem = refused.json();
        assert!(told.is_empty() || problem["detail"] == told, "{body}: {refused:?}");
        assert!(!problem["detail"].as_str().unwrap().contains("struct"), "{body}: {refused:?}");
    }
    for (body, told) in [
        ("{ \"name\": \"Ly", "The body breaks off at line 1, column 13, before its JSON ends."),
        ("{\n  \"name\" 7\n}", "The body is no JSON: expected `:` at line 2, column 10."),
    ] {
        let refused = post(body).send().await;
        assert_eq!(refused.refuses(400, "malformed_request").json()["detail"], told);
        assert!(refused.json().get("errors").is_none(), "no field is to blame: {refused:?}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused() {
    let world = World::new().await;
    let digest = world.digest();
    let post = || world.request(axum::http::Method::POST, "/api/v1/sites").bearer(&world.token);
    for body in ["", "{", "[]", "{} {}", "\u{0}", "{\"name\": 1e999}"] {
        post().raw("application/json", body).send().await.refuses(400, "malformed_request");
    }
    let empty = post().raw("application/json", "").send().await;
    assert_eq!(empty.json()["detail"], "The body is empty; this request takes a JSON object.");
    let cut = post().raw("application/json", "{\"name\": \"Ly").send().await;
    assert!(cut.json().get("errors").is_none(), "no field is to blame: {cut:?}");
    let deep = "[".repeat(100_000);
    post().raw("application/json", format!("{{\"name\": {deep}")).send().await.refuses(400, "malformed_request");
    post().raw("application/json", vec![b'"', 0xff, b'"']).send().await.refuses(400, "malformed_request");
    let valid = json!({ "name": "Lyon", "expected_latency_ms": 5 }).to_string();
    post().raw("text/plain", valid.clone()).send().await.refuses(415, "unsupported_media_type");
    post().send().await.refuses(415, "unsupported_media_type");
    let delete = world.delete("/api/v1/sites/1").raw("application/json", "{}");
    delete.send().await.refuses(400, "malformed_request");
    assert_eq!(world.digest(), digest);
    assert_eq!(post().raw("application/json; charset=utf-8", valid).send().await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn what_is_in_use_is_not_removed_and_every_blocker_is_listed() {
    let world = World::new().await;
    let site = world.site("Lyon").await;
    for name in ["one", "two", "three"] {
        world.destination(name, site).await;
    }
    let digest = world.digest();
    let refused = world.delete(&format!("/api/v1/sites/{site}")).send().await;
    refused.refuses(409, "in_use");
    let names: Vec<_> = refused.json()["blockers"].as_array().unwrap().iter().map(|blocker| blocker["name"].clone()).collect();
    assert_eq!(names, ["one", "two", "three"]);
    world.delete("/api/v1/cluster/members/1").send().await.refuses(409, "last_authority_node");
    assert_eq!(world.digest(), digest);
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_changes_and_linearizable_reads_are_refused_in_bounded_time() {
    let world = World::new().await;
    let site = world.site("Lyon").await;
    world.authority.lose_quorum();
    let started = tokio::time::Instant::now();
    let refused = world.patch(&format!("/api/v1/sites/{site}"), &json!({ "name": "x" })).send().await;
    refused.refuses(503, "no_quorum");
    assert!(refused.json()["hint"].as_str().unwrap().contains("Idempotency-Key"), "{refused:?}");
    assert_eq!(refused.json()["fate"], "unknown", "it was sent to be decided");
    assert!(!refused.headers.contains_key("x-bursar-leader"));
    world.get("/api/v1/sites").send().await.refuses(503, "no_quorum");
    let rehearsed = world.post("/api/v1/sites?dry_run=true", &json!({ "name": "x", "expected_latency_ms": 1 })).send().await;
    assert_eq!(rehearsed.refuses(503, "no_quorum").json()["fate"], "not_done");
    assert!(started.elapsed().as_secs() <= 31, "three requests of ten seconds each");
    // What the node has can still be read.
    assert_eq!(world.get("/api/v1/sites?consistency=stale").send().await.status, StatusCode::OK);
    let status = world.get("/api/v1/status?consistency=stale").send().await;
    assert_eq!((&status.json()["health"], &status.json()["checks"][0]["code"]), (&json!("ERR"), &json!("no_leader")));
}

#[tokio::test(start_paused = true)]
async fn who_cannot_wait_long_is_told_in_their_time_that_there_is_no_quorum() {
    let world = World::new().await;
    world.site("Lyon").await;
    world.authority.lose_quorum();
    let started = tokio::time::Instant::now();
    let rehearsed = world.post("/api/v1/sites?dry_run=true", &json!({ "name": "x", "expected_latency_ms": 1 }));
    let refused = rehearsed.header("x-bursar-patience-ms", "700").send().await;
    let detail = refused.refuses(503, "no_quorum").json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("The request was not decided"), "it was about a change: {detail}");
    let read = world.get("/api/v1/sites").header("x-bursar-patience-ms", "700").send().await;
    read.refuses(503, "no_quorum");
    assert_eq!(started.elapsed().as_millis(), 1_400);
    // Nobody waits longer than the node does.
    world.get("/api/v1/sites").header("x-bursar-patience-ms", "3600000").send().await.refuses(503, "no_quorum");
    assert_eq!(started.elapsed().as_millis(), 11_400);
    for wrong in ["0", "-1", "soon", ""] {
        world.get("/api/v1/sites").header("x-bursar-patience-ms", wrong).send().await.refuses(400, "malformed_request");
    }
}

#[tokio::test]
async fn an_object_within_an_object_is_no_list() {
    let world = World::new().await;
    let site = world.site("Lyon").await;
    let vault = world.destination("vault", site).await;
    let path = format!("/api/v1/destinations/{vault}");
    let digest = world.digest();
    for (body, pointer) in [
        (json!({ "balancing": [] }), "/balancing"),
        (json!({ "free_space": [] }), "/free_space"),
        (json!({ "free_space": [20, 10] }), "/free_space"),
        (json!({ "balancing": { "window": ["22:00", "06:00"] } }), "/balancing/window"),
    ] {
        let refused = world.patch(&path, &body).send().await;
        refused.refuses(400, "malformed_request").pointing_at(pointer);
        assert_eq!(refused.json()["errors"][0]["detail"], "is a list; it must be an object", "{body}");
        let mut made = json!({ "name": "other", "site": site });
        made.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        world.post("/api/v1/destinations", &made).send().await.refuses(400, "malformed_request").pointing_at(pointer);
    }
    assert_eq!(world.digest(), digest);
    let window = |window: Value| json!({ "balancing": { "window": window } });
    let set = world.patch(&path, &window(json!({ "from": "22:00", "to": "06:00" }))).send().await.json();
    assert_eq!(set["balancing"]["window"]["from"], "22:00");
    assert_eq!(world.patch(&path, &window(Value::Null)).send().await.json()["balancing"]["window"], Value::Null);
}

#[tokio::test]
async fn what_was_done_is_not_shown_as_if_it_were_not() {
    let world = World::new().await;
    let site = world.site("Dublin").await;
    // Given a node that knows what was decided, and does not have it,
    world.authority.get_stuck();
    // then it shows neither the object as it was, nor that there is none.
    let path = format!("/api/v1/sites/{site}");
    for asked in [
        world.patch(&path, &json!({ "name": "Cork" })),
        world.post("/api/v1/sites", &json!({ "name": "Lyon", "expected_latency_ms": 5 })),
        world.delete(&path),
    ] {
        let answer = asked.send().await;
        answer.refuses(504, "outcome_unknown");
        assert_eq!(answer.json()["fate"], "unknown");
        assert!(answer.json()["hint"].as_str().unwrap().contains("Idempotency-Key"), "{answer:?}");
    }
}

#[tokio::test]
async fn an_overloaded_leader_is_told_with_the_time_to_come_back() {
    let world = World::new().await;
    world.authority.overload();
    let refused = world.post("/api/v1/sites", &json!({ "name": "Lyon", "expected_latency_ms": 5 })).send().await;
    refused.refuses(429, "overloaded");
    assert_eq!(refused.json()["fate"], "not_done");
    assert_eq!(refused.header("retry-after"), "2");
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_the_places_of_a_node_are_refused_at_once() {
    let config = bursar_api::Config { requests_max: 2, ..bursar_api::Config::default() };
    let world = World::with(config).await;
    world.authority.lose_quorum();
    let waiting: Vec<_> = (0..2).map(|_| tokio::spawn(world.get("/api/v1/sites").send())).collect();
    tokio::task::yield_now().await;
    world.get("/api/v1/sites").send().await.refuses(503, "overloaded");
    for waited in waiting {
        waited.await.unwrap().refuses(503, "no_quorum");
    }
    assert_eq!(world.get("/api/v1/sites?consistency=stale").send().await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_leadership_goes_only_to_a_voter() {
    let world = World::new().await;
    let path = "/api/v1/cluster/transfer-leadership";
    world.post(path, &json!({})).send().await.refuses(409, "transfer_failed");
    world.post(path, &json!({ "to": 9 })).send().await.refuses(404, "not_found");
    world.post(path, &json!({ "to": "me" })).send().await.refuses(400, "malformed_request").pointing_at("/to");
    assert_eq!(world.post(path, &json!({ "to": 1 })).send().await.json(), json!({ "leader": 1 }));
}

#[tokio::test]
async fn a_level_is_raised_one_step_at_a_time_and_only_where_all_can() {
    let world = World::new().await;
    assert_eq!(world.get("/api/v1/cluster/level").send().await.json(), json!({ "level": 1 }));
    let put = |level| {
        let asking = world.request(axum::http::Method::PUT, "/api/v1/cluster/level").bearer(&world.token);
        asking.body(&json!({ "level": level }))
    };
    put(3).send().await.refuses(409, "level_not_next");
    put(2).send().await.refuses(409, "level_unsupported");
}
