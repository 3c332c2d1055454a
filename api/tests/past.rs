//! How things were: readings as of a revision of the past.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use bursar_api::Config;
use serde_json::json;
use support::World;

fn revision(world: &World) -> u64 {
    world.authority.state().revision().0
}

#[tokio::test]
async fn what_was_changed_and_removed_since_is_seen_as_it_was() {
    let world = World::new().await;
    let (lyon, bern) = (world.site("Lyon").await, world.site("Bern").await);
    let then = revision(&world);
    world.patch(&format!("/api/v1/sites/{lyon}"), &json!({ "name": "Chur" })).send().await;
    assert_eq!(world.delete(&format!("/api/v1/sites/{bern}")).send().await.status, StatusCode::NO_CONTENT);

    let names = async |query: &str| {
        let page = world.get(&format!("/api/v1/sites{query}")).send().await.json();
        let names: Vec<_> = page["items"].as_array().unwrap().iter().map(|site| site["name"].clone()).collect();
        (names, page["revision"].clone())
    };
    assert_eq!(names("").await, (vec![json!("Chur")], json!(format!("1-{}", then + 2))));
    assert_eq!(names(&format!("?as_of={then}")).await, (vec![json!("Lyon"), json!("Bern")], json!(format!("1-{then}"))));
    assert_eq!(names(&format!("?as_of=1-{}&sort=-name", then - 1)).await.0, [json!("Lyon")]);

    world.get(&format!("/api/v1/sites/{bern}")).send().await.refuses(404, "not_found");
    let removed = world.get(&format!("/api/v1/sites/{bern}?as_of={then}")).send().await;
    assert_eq!((removed.status, &removed.json()["name"]), (StatusCode::OK, &json!("Bern")));
    assert_eq!(removed.header("x-bursar-revision"), format!("1-{then}"));
    assert_eq!(removed.header("etag"), format!("\"1-{then}\""));
    // Before it was made, it was not there; before everything, nothing was.
    world.get(&format!("/api/v1/sites/{bern}?as_of={}", then - 1)).send().await.refuses(404, "not_found");
    assert_eq!(names("?as_of=0").await.0, Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn what_is_observed_is_not_told_of_the_past() {
    let world = World::new().await;
    world.site("Lyon").await;
    let role = async |query: &str| world.get(&format!("/api/v1/cluster/members/1{query}")).send().await.json()["role"].clone();
    assert_eq!(role("").await, "leader");
    assert!(role("?as_of=3").await.is_null());
}

#[tokio::test]
async fn a_reading_of_the_past_that_cannot_be_is_refused() {
    let world = World::new().await;
    world.site("Lyon").await;
    let head = revision(&world);
    let read = async |query: &str| world.get(&format!("/api/v1/sites?as_of={query}")).send().await;
    for contradiction in ["&consistency=linearizable", "&consistency=stale", "&min_revision=1-1"] {
        read(&format!("2{contradiction}")).await.refuses(400, "malformed_request").pointing_at("?as_of");
    }
    read("yesterday").await.refuses(400, "malformed_request").pointing_at("?as_of");
    read("2-1").await.refuses(409, "foreign_epoch");
    read(&(head + 1).to_string()).await.refuses(409, "cursor_beyond_end");
    world.authority.raise_floor(2);
    read("1").await.refuses(410, "gone");
    assert_eq!(read("2").await.status, StatusCode::OK);
    // How a cluster fares, and who asks, has no past.
    for present in ["status", "whoami"] {
        world.get(&format!("/api/v1/{present}?as_of=3")).send().await.refuses(400, "malformed_request").pointing_at("?as_of");
    }
}

#[tokio::test]
async fn what_the_floor_overtakes_while_it_is_read_is_gone_like_what_lay_below_it() {
    let world = World::new().await;
    world.site("Lyon").await;
    world.authority.raise_floor_amid_a_reading(3);
    let overtaken = world.get("/api/v1/sites?as_of=2").send().await.refuses(410, "gone").json();
    let below = world.get("/api/v1/sites?as_of=2").send().await.refuses(410, "gone").json();
    assert_eq!(overtaken["detail"], below["detail"]);
    world.authority.raise_floor_amid_a_reading(4);
    world.get("/api/v1/events/4").send().await.refuses(410, "gone");
    assert_eq!(world.get("/api/v1/sites?as_of=4").send().await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_past_needs_no_quorum_and_a_node_that_lags_asks_for_what_it_lacks() {
    let world = World::new().await;
    world.authority.lag();
    world.authority.append_sites(["Lyon".to_owned()].into_iter());
    let head = revision(&world);
    let known = world.get(&format!("/api/v1/sites?as_of={head}")).send().await;
    assert_eq!(known.json()["items"].as_array().unwrap().len(), 1, "{known:?}");
    world.authority.lose_quorum();
    assert_eq!(world.get("/api/v1/sites?as_of=2").send().await.status, StatusCode::OK);
}

#[tokio::test]
async fn few_versions_of_the_past_are_made_at_a_time() {
    let world = World::with(Config { past_versions_max: 2, ..Config::default() }).await;
    world.authority.append_sites((0..5).map(|number| format!("site {number}")));
    let read = |revision: u64| world.get(&format!("/api/v1/sites?as_of={revision}")).send();
    let held = world.authority.past.lock().await;
    let (first, second) = (tokio::spawn(read(4)), tokio::spawn(read(5)));
    while world.authority.past_versions_made.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    read(6).await.refuses(503, "overloaded");
    // The present is not in their way.
    assert_eq!(world.get("/api/v1/sites").send().await.status, StatusCode::OK);
    drop(held);
    for waited in [first, second] {
        assert_eq!(waited.await.unwrap().status, StatusCode::OK);
    }
    assert_eq!(read(6).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_takes_too_long_is_there_for_whoever_asks_again_and_for_the_next_page() {
    let world = World::with(Config { past_versions_max: 1, ..Config::default() }).await;
    world.authority.append_sites((0..5).map(|number| format!("site {number}")));
    let then = revision(&world) - 1;
    let held = world.authority.past.lock().await;
    let overdue = world.get(&format!("/api/v1/sites?as_of={then}&limit=2")).send().await;
    overdue.refuses(503, "overloaded");
    drop(held);
    let page = loop {
        let answer = world.get(&format!("/api/v1/sites?as_of={then}&limit=2")).send().await;
        if answer.status == StatusCode::OK {
            break answer.json();
        }
        answer.refuses(503, "overloaded");
        tokio::task::yield_now().await;
    };
    let token = page["next_page_token"].as_str().unwrap();
    let next = world.get(&format!("/api/v1/sites?as_of={then}&limit=2&page_token={token}")).send().await;
    assert_eq!(next.json()["items"].as_array().unwrap().len(), 2, "{next:?}");
    assert_eq!(world.authority.past_versions_made.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_past_is_for_tokens_that_stand_in_the_present() {
    let world = World::new().await;
    let (id, token) = world.another_token(json!({})).await;
    let then = revision(&world);
    let read = || world.request(axum::http::Method::GET, &format!("/api/v1/sites?as_of={then}")).bearer(&token);
    assert_eq!(read().send().await.status, StatusCode::OK);
    world.delete(&format!("/api/v1/tokens/{id}")).send().await;
    read().send().await.refuses(401, "unauthenticated");
    // And a token that was not there yet reads what was before it.
    assert_eq!(world.get("/api/v1/sites?as_of=2").send().await.status, StatusCode::OK);
}
