//! Reads: entity tags, freshness, and lists that stay right while objects come and go.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::sync::atomic::Ordering;

use axum::http::{Method, StatusCode};
use bursar_wire::times::rfc3339;
use serde_json::{Value, json};
use support::World;

fn ids(page: &Value) -> Vec<u64> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_u64().unwrap()).collect()
}

fn names(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_reader_that_has_the_object_as_it_stands_gets_no_body() {
    let world = World::new().await;
    let site = world.site("Lyon").await;
    let path = format!("/api/v1/sites/{site}");
    let tag = world.get(&path).send().await.header("etag").to_owned();
    for tags in [tag.clone(), format!("W/{tag}"), format!("\"1-1\", {tag}"), "*".to_owned()] {
        let read = world.get(&path).header("if-none-match", &tags).send().await;
        assert_eq!((read.status, read.body.len(), read.header("etag")), (StatusCode::NOT_MODIFIED, 0, tag.as_str()));
    }
    world.patch(&path, &json!({ "name": "Lyon 2" })).send().await;
    let read = world.get(&path).header("if-none-match", &tag).send().await;
    assert_eq!((read.status, &read.json()["name"]), (StatusCode::OK, &json!("Lyon 2")));
    assert_ne!(read.header("etag"), tag);
}

#[tokio::test]
async fn an_entity_tag_follows_its_object_alone() {
    let world = World::new().await;
    let site = world.site("Lyon").await;
    let tag = world.get(&format!("/api/v1/sites/{site}")).send().await.header("etag").to_owned();
    world.site("Brest").await;
    assert_eq!(world.get(&format!("/api/v1/sites/{site}")).send().await.header("etag"), tag);
}

#[tokio::test]
async fn a_linearizable_read_sees_what_a_stale_one_may_not() {
    let world = World::new().await;
    world.authority.lag();
    world.authority.append_sites(["Lyon".to_owned()].into_iter());
    assert_eq!(ids(&world.get("/api/v1/sites?consistency=stale").send().await.json()), [0; 0]);
    assert_eq!(ids(&world.get("/api/v1/sites").send().await.json()), [1]);
    assert_eq!(ids(&world.get("/api/v1/sites?consistency=stale").send().await.json()), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_stale_read_waits_for_the_revision_that_it_must_have_seen() {
    let world = World::new().await;
    let seen = world.authority.state().revision().plus(1);
    let read = tokio::spawn(world.get(&format!("/api/v1/sites?consistency=stale&min_revision=1-{seen}")).send());
    tokio::task::yield_now().await;
    assert!(!read.is_finished());
    world.authority.append_sites(["Lyon".to_owned()].into_iter());
    assert_eq!(ids(&read.await.unwrap().json()), [1]);
    // What does not come in time is told.
    let never = world.get("/api/v1/sites?consistency=stale&min_revision=1-999").send().await;
    never.refuses(503, "behind");
}

#[tokio::test]
async fn cursors_of_nowhere_are_refused() {
    let world = World::new().await;
    for path in ["/api/v1/sites?min_revision=", "/api/v1/events/"] {
        world.get(&format!("{path}1-999")).send().await.refuses(409, "cursor_beyond_end");
        world.get(&format!("{path}2-1")).send().await.refuses(409, "foreign_epoch");
        for wrong in ["x", "1-", "-1", "1-1-1", "1-01", "1-99999999999999999999"] {
            world.get(&format!("{path}{wrong}")).send().await.refuses(400, "malformed_request");
        }
    }
}

#[tokio::test]
async fn unknown_and_repeated_parameters_are_refused() {
    let world = World::new().await;
    for (query, pointer) in [
        ("colour=red", "?colour"),
        ("consistency=eventual", "?consistency"),
        ("limit=0", "?limit"),
        ("limit=1001", "?limit"),
        ("limit=-1", "?limit"),
        ("limit=ten", "?limit"),
        ("sort=colour", "?sort"),
        ("filter=colour=red", "?filter"),
        ("filter=name", "?filter"),
    ] {
        let refused = world.get(&format!("/api/v1/sites?{query}")).send().await;
        refused.refuses(400, "malformed_request").pointing_at(pointer);
    }
    for (query, told) in [
        ("limit=ten", "Limit is “ten”; it must be a whole number from 1 to 1000."),
        ("consistency=eventual", "Consistency is “eventual”; it must be linearizable or stale."),
        ("consistency=x%20at%20line%201", "Consistency is “x at line 1”; it must be linearizable or stale."),
        ("limit=1&limit=2", "Limit is given more than once."),
        ("min_revision=x", "Min_revision is no cursor, which is an epoch, a hyphen and a revision, for instance 1-42."),
    ] {
        let refused = world.get(&format!("/api/v1/sites?{query}")).send().await;
        refused.refuses(400, "malformed_request");
        assert!(refused.json()["detail"].as_str().unwrap().eq_ignore_ascii_case(told), "{refused:?}");
    }
    let unknown = world.get("/api/v1/status?bogus=1").send().await;
    let told = "bogus is no parameter of this request, which takes consistency, min_revision.";
    assert_eq!(unknown.json()["detail"], told);
    let unknown = world.get("/api/v1/status?x%20at%20line%201=1").send().await;
    let told = "x at line 1 is no parameter of this request, which takes consistency, min_revision.";
    assert_eq!(unknown.json()["detail"], told);
    world.get("/api/v1/operations?sort=name").send().await.refuses(400, "malformed_request").pointing_at("?sort");
    let dry = world.post("/api/v1/sites?dry_run=maybe", &json!({})).send().await;
    dry.refuses(400, "malformed_request").pointing_at("?dry_run");
    world.post("/api/v1/sites?limit=1", &json!({})).send().await.refuses(400, "malformed_request").pointing_at("?limit");
    world.request(Method::GET, "/api/v1/sites?consistency=stale").send().await.refuses(401, "unauthenticated");
}

#[tokio::test]
async fn paths_and_methods_that_are_none_are_refused() {
    let world = World::new().await;
    for path in ["/", "/api", "/api/v2/sites", "/api/v1/sites/one", "/api/v1/sites/-1", "/api/v1/sites/1/x", "/api/v1/sites/"] {
        world.get(path).send().await.refuses(404, "not_found");
    }
    let put = world.request(Method::PUT, "/api/v1/sites").bearer(&world.token).send().await;
    put.refuses(405, "method_not_allowed");
    let mut allowed: Vec<_> = put.header("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    let nonsense = world.request(Method::from_bytes(b"BREW").unwrap(), "/livez").send().await;
    nonsense.refuses(405, "method_not_allowed");
}

/// Whoever misspells a word is not told that there is nothing.
#[tokio::test]
async fn a_filter_that_nothing_can_meet_is_refused_with_what_it_takes() {
    let world = World::new().await;
    for (list, field, words) in [
        ("operations", "status", vec!["running", "succeeded", "failed", "cancelled"]),
        ("operations", "kind", vec!["add_authority_node", "remove_authority_node", "join_server"]),
        ("alerts", "severity", vec!["critical", "warning"]),
        ("alerts", "condition", vec!["firing", "resolved"]),
        ("alerts", "open", vec!["true", "false"]),
        ("alerts", "acknowledged", vec!["true", "false"]),
        (
            "alerts",
            "kind",
            vec!["store_point_offline", "server_offline", "destination_offline", "version_conflict", "projection_mismatch"],
        ),
        ("servers", "condition", vec!["joining", "online", "offline", "excluded"]),
        ("servers", "intent", vec!["active", "maintenance", "draining", "removed"]),
        ("servers", "present", vec!["true", "false"]),
        ("store-points", "condition", vec!["creating", "failed", "online", "offline", "unknown"]),
        ("store-points", "intent", vec!["active", "draining", "retired"]),
        ("store-points", "accepting_data", vec!["true", "false"]),
        ("destinations", "offered", vec!["true", "false"]),
        ("cluster/members", "present", vec!["true", "false"]),
        ("cluster/invitations", "used", vec!["true", "false"]),
    ] {
        let ask = |condition: String| world.get(&format!("/api/v1/{list}?filter={condition}")).send();
        for operator in ["=", "~"] {
            let refused = ask(format!("{field}{operator}Bogus")).await;
            refused.refuses(400, "malformed_request").pointing_at("?filter");
            let expected = format!("knows no {field} bogus; it knows {}", words.join(", "));
            assert_eq!(refused.json()["errors"][0]["detail"], expected, "{list}");
        }
        for word in &words {
            assert_eq!(ask(format!("{field}={}", word.to_uppercase())).await.status, StatusCode::OK, "{list} {field} {word}");
            assert_eq!(ask(format!("{field}~{}", &word[1..])).await.status, StatusCode::OK, "{list} {field} {word}");
        }
    }
    for (list, field) in [("store-points", "server"), ("servers", "destination"), ("destinations", "site"), ("tokens", "id")] {
        let refused = world.get(&format!("/api/v1/{list}?filter={field}=ark")).send().await;
        refused.refuses(400, "malformed_request").pointing_at("?filter");
        assert_eq!(refused.json()["errors"][0]["detail"], format!("knows {field} by number alone, not as ark"));
    }
}

#[tokio::test]
async fn lists_are_filtered_and_sorted() {
    let world = World::new().await;
    let (lyon, brest) = (world.site("Lyon").await, world.site("Brest").await);
    for (name, site) in [("delta", lyon), ("Alpha", brest), ("charlie", lyon), ("Bravo", lyon)] {
        world.destination(name, site).await;
    }
    for (query, expected) in [
        ("", vec!["delta", "Alpha", "charlie", "Bravo"]),
        ("sort=-id", vec!["Bravo", "charlie", "Alpha", "delta"]),
        ("sort=name", vec!["Alpha", "Bravo", "charlie", "delta"]),
        ("sort=-name", vec!["delta", "charlie", "Bravo", "Alpha"]),
        ("filter=name=ALPHA", vec!["Alpha"]),
        ("filter=name~L", vec!["delta", "Alpha", "charlie"]),
        ("filter=site=1&sort=name", vec!["Bravo", "charlie", "delta"]),
        ("filter=offered=false", vec![]),
    ] {
        let page = world.get(&format!("/api/v1/destinations?{query}")).send().await.json();
        assert_eq!(names(&page), expected, "{query}");
        assert_eq!(page["next_page_token"], Value::Null);
    }
}

#[tokio::test]
async fn every_list_answers() {
    let world = World::new().await;
    for path in ["sites", "destinations", "operations", "tokens", "cluster/members", "cluster/invitations"] {
        let page = world.get(&format!("/api/v1/{path}?limit=1")).send().await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert_eq!(page.json()["revision"].as_str(), Some(page.header("x-bursar-revision")), "{path}");
    }
}

/// Walks a list page by page, and lets `between` happen behind each page.
async fn walk(world: &World, query: &str, mut between: impl AsyncFnMut(usize)) -> Vec<u64> {
    let (mut seen, mut token) = (Vec::new(), String::new());
    for page_number in 0.. {
        let page_token = if token.is_empty() { String::new() } else { format!("&page_token={token}") };
        let page = world.get(&format!("/api/v1/destinations?{query}{page_token}")).send().await.json();
        seen.extend(ids(&page));
        match page["next_page_token"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
        between(page_number).await;
    }
    seen
}

#[tokio::test]
async fn pages_list_everything_exactly_once_while_objects_come_and_go() {
    for sort in ["id", "-id", "name", "-name"] {
        let world = World::new().await;
        let site = world.site("Lyon").await;
        for number in 0..20 {
            world.destination(&format!("d{number:02}"), site).await;
        }
        // Behind each page, the first and the last of those that are left are removed, and one comes.
        let seen = walk(&world, &format!("sort={sort}&limit=3"), async |page| {
            for id in [1 + page, 20 - page] {
                world.delete(&format!("/api/v1/destinations/{id}")).send().await;
            }
            world.destination(&format!("d{page:02}-new"), site).await;
        })
        .await;
        let unique: std::collections::BTreeSet<_> = seen.iter().collect();
        assert_eq!(unique.len(), seen.len(), "{sort}: nothing twice in {seen:?}");
        let stayed = world.get("/api/v1/destinations?limit=1000").send().await.json();
        for id in ids(&stayed).into_iter().filter(|id| *id <= 20) {
            assert!(seen.contains(&id), "{sort}: {id} stayed all the while and is missing in {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_full_last_page_has_no_next() {
    let world = World::new().await;
    let site = world.site("Lyon").await;
    for number in 0..4 {
        world.destination(&format!("d{number}"), site).await;
    }
    let first = world.get("/api/v1/destinations?limit=2").send().await.json();
    let token = first["next_page_token"].as_str().unwrap();
    assert!(token.starts_with("1-"), "page tokens carry the epoch: {token}");
    let second = world.get(&format!("/api/v1/destinations?limit=2&page_token={token}")).send().await.json();
    assert_eq!((ids(&second), &second["next_page_token"]), (vec![3, 4], &Value::Null));
}

#[tokio::test]
async fn page_tokens_of_other_lists_are_refused() {
    let world = World::new().await;
    let site = world.site("Lyon").await;
    world.site("Brest").await;
    for number in 0..3 {
        world.destination(&format!("d{number}"), site).await;
    }
    let first = world.get("/api/v1/destinations?limit=1").send().await.json();
    let token = first["next_page_token"].as_str().unwrap().to_owned();
    let (epoch, payload) = token.split_once('-').unwrap();
    for (list, foreign) in [
        ("/api/v1/sites?limit=1", token.clone()),
        ("/api/v1/destinations?sort=-id", token.clone()),
        ("/api/v1/destinations?sort=name", token.clone()),
        ("/api/v1/destinations?filter=name~d", token.clone()),
        ("/api/v1/destinations?limit=1", format!("2-{payload}")),
        ("/api/v1/destinations?limit=1", format!("{epoch}-{}", payload.replace(&payload[..1], "_"))),
        ("/api/v1/destinations?limit=1", "1-42".to_owned()),
        ("/api/v1/destinations?limit=1", "nonsense".to_owned()),
        ("/api/v1/destinations?limit=1", String::new()),
    ] {
        let refused = world.get(&format!("{list}&page_token={foreign}")).send().await;
        refused.refuses(400, "invalid_page_token").pointing_at("?page_token");
    }
}

#[tokio::test]
async fn one_event_is_read_by_its_number_or_its_cursor() {
    let world = World::new().await;
    world.site("Lyon").await;
    let last = world.authority.state().revision();
    let event = world.get(&format!("/api/v1/events/{last}")).send().await.json();
    assert_eq!(
        (&event["kind"], &event["summary"]),
        (&json!("site.created"), &json!("site 1 “Lyon” created, expected latency 5 ms"))
    );
    assert_eq!(world.get(&format!("/api/v1/events/1-{last}")).send().await.json(), event);
    world.get("/api/v1/events/0").send().await.refuses(400, "malformed_request");
    world.authority.raise_floor(2);
    world.get("/api/v1/events/2").send().await.refuses(410, "gone");
    assert_eq!(world.get("/api/v1/events/3").send().await.status, StatusCode::OK);
}

#[tokio::test]
async fn no_event_shows_a_secret_not_even_a_hashed_one() {
    let world = World::new().await;
    for revision in 1..=world.authority.state().revision().0 {
        let event = world.get(&format!("/api/v1/events/{revision}")).send().await.json();
        for withheld in ["secret", "setup_secret", "sealed_ca_key"] {
            assert!(event["data"].get(withheld).is_none(), "{event}");
        }
    }
}

#[tokio::test]
async fn status_readiness_and_metrics_tell_how_the_node_fares() {
    let world = World::new().await;
    world.site("Lyon").await;
    let status = world.get("/api/v1/status").send().await.json();
    assert_eq!((&status["health"], &status["leader"], &status["counts"]["sites"]), (&json!("OK"), &json!(1), &json!(1)));
    assert_eq!(status["members"][0]["observed"]["reachable"], true);
    let ready = world.request(Method::GET, "/readyz?verbose").send().await;
    assert_eq!((ready.status, &ready.json()["ready"]), (StatusCode::OK, &json!(true)));
    assert_eq!(ready.json()["cluster"], status["cluster"], "a stranger can tell whose node answers");
    let checks: Vec<_> = ready.json()["checks"].as_array().unwrap().iter().map(|check| check["code"].clone()).collect();
    assert_eq!(checks, ["running", "recovered", "founded", "leader_known", "quorum_confirmed"]);
    let metrics = world.get("/metrics").send().await;
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(text.contains("bursar_http_requests_total{method=\"POST\",status=\"2xx\"} 2\n"), "{text}");
    assert!(text.contains("bursar_http_request_seconds_bucket{kind=\"write\",le=\"+Inf\"} 2\n"), "{text}");
    assert!(text.contains("# TYPE bursar_fleet_servers_heard gauge\nbursar_fleet_servers_heard 2\n"), "{text}");
    assert!(
        text.contains("# TYPE bursar_fleet_heartbeats_unanswered_total counter\nbursar_fleet_heartbeats_unanswered_total 3\n")
    );
    world.authority.lose_quorum();
    let unready = world.request(Method::GET, "/readyz").send().await;
    assert_eq!((unready.status, unready.json()), (StatusCode::SERVICE_UNAVAILABLE, json!({ "ready": false, "checks": [] })));
    assert_eq!(world.request(Method::GET, "/livez").send().await.status, StatusCode::OK);
    assert_eq!(status["stale"], Value::Null, "a quorum confirmed it");
    let alone = world.get("/api/v1/status?consistency=stale").send().await.json();
    assert_eq!((&alone["health"], &alone["checks"][0]["code"]), (&json!("ERR"), &json!("no_leader")));
    let state = world.authority.state();
    assert_eq!(alone["stale"], json!({ "age_ms": 40_000, "last_event_at": rfc3339(state.time()) }), "it says how old it may be");
}

#[tokio::test]
async fn a_leader_whom_no_quorum_confirms_is_not_ready() {
    let world = World::new().await;
    world.authority.go_unconfirmed();
    let unready = world.request(Method::GET, "/readyz?verbose").send().await;
    assert_eq!(unready.status, StatusCode::SERVICE_UNAVAILABLE);
    let failed: Vec<_> = unready.json()["checks"].as_array().unwrap().clone();
    let failed: Vec<_> = failed.iter().filter(|check| check["passed"] == false).map(|check| &check["code"]).collect();
    assert_eq!(failed, ["quorum_confirmed"]);
    assert_eq!(world.request(Method::GET, "/livez").send().await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_read_costs_one_reading_of_the_cluster() {
    let world = World::new().await;
    let before = world.authority.linearizable_readings.load(Ordering::SeqCst);
    world.get("/api/v1/sites").send().await;
    assert_eq!(world.authority.linearizable_readings.load(Ordering::SeqCst), before + 1);
    world.get("/api/v1/sites?consistency=stale").send().await;
    assert_eq!(world.authority.linearizable_readings.load(Ordering::SeqCst), before + 1);
}
