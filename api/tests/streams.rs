//! The event stream: nothing missed, nothing twice, no decision in part, and no reader that costs more than its page.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::{sync::atomic::Ordering, time::Duration};

use axum::http::StatusCode;
use bursar_api::Config;
use serde_json::{Value, json};
use support::{Asking, World, stream::Reader};

fn follow(world: &World, query: &str) -> Asking {
    world.get(&format!("/api/v1/events{query}")).header("accept", "application/x-ndjson")
}

async fn reader(world: &World, query: &str) -> Reader {
    Reader::new(follow(world, query).open().await)
}

fn revision(event: &Value) -> u64 {
    event["revision"].as_u64().unwrap_or_else(|| panic!("no event: {event}"))
}

fn sites(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("site {number}"))
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_cursor_begins_at_the_head_with_a_bookmark() {
    let world = World::new().await;
    let head = world.authority.state().cursor();
    let response = follow(&world, "").open().await;
    assert_eq!(response.headers()["x-bursar-revision"], head.to_string());
    let mut reader = Reader::new(response);
    assert_eq!(reader.next().await.unwrap(), json!({ "item": "bookmark", "cursor": head.to_string() }));
    world.site("Lyon").await;
    let event = reader.next().await.unwrap();
    assert_eq!((&event["item"], &event["kind"]), (&json!("event"), &json!("site.created")));
    assert_eq!(revision(&event), head.revision.0 + 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_from_the_beginning_tells_the_whole_history_then_waits() {
    let world = World::new().await;
    world.authority.append_sites(sites(50));
    let mut reader = reader(&world, "?since=1-0").await;
    let head = world.authority.state().revision().0;
    for expected in 1..=head {
        assert_eq!(revision(&reader.next().await.unwrap()), expected);
    }
    assert_eq!(reader.next().await.unwrap()["item"], "bookmark");
    let waiting = tokio::spawn(async move { reader.event().await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    world.site("the next").await;
    assert_eq!(revision(&waiting.await.unwrap()), head + 1);
}

#[tokio::test(start_paused = true)]
async fn readers_that_are_cut_off_anywhere_resume_without_gap_or_duplicate() {
    let config = Config { stream_page_bytes: 1_000, ..Config::default() };
    let world = World::with(config).await;
    world.authority.append_sites(sites(300));
    let head = world.authority.state().revision().0;
    let (mut seen, mut cursor) = (Vec::new(), "1-0".to_owned());
    for cut_after in (1..).step_by(3) {
        let mut reader = reader(&world, &format!("?since={cursor}")).await;
        for _ in 0..cut_after {
            if seen.len() as u64 == head {
                break;
            }
            let event = reader.event().await;
            cursor = event["cursor"].as_str().unwrap().to_owned();
            seen.push(revision(&event));
        }
        if seen.len() as u64 == head {
            break;
        }
    }
    assert_eq!(seen, (1..=head).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_last_event_id_comes_before_the_cursor_of_the_query() {
    let world = World::new().await;
    let asking = follow(&world, "?since=1-0&follow=false").header("last-event-id", "1-2");
    let items = Reader::new(asking.open().await).rest().await;
    assert_eq!(revision(&items[0]), 3);
}

#[tokio::test(start_paused = true)]
async fn a_decision_comes_whole_whatever_the_size_of_a_page() {
    for stream_page_bytes in [1, 300, 700, 1_500, 100_000] {
        let world = World::with(Config { stream_page_bytes, ..Config::default() }).await;
        // Founding and claiming are decisions of two events each; those of the sites have one.
        world.authority.append_sites(sites(3));
        let mut reader = reader(&world, "?since=1-0&follow=false").await;
        let mut decisions = 0;
        while let Some(page) = reader.page().await {
            let events: Vec<_> = page.iter().filter(|item| item["item"] == "event").collect();
            let (Some(first), Some(last)) = (events.first(), events.last()) else { continue };
            let span = |event: &Value| {
                let first = event["decision"]["first_revision"].as_u64().unwrap();
                (first, first + event["decision"]["count"].as_u64().unwrap() - 1)
            };
            assert_eq!(revision(first), span(first).0, "a page begins with a decision, at {stream_page_bytes} bytes");
            assert_eq!(revision(last), span(last).1, "a page ends with a decision, at {stream_page_bytes} bytes");
            decisions += events.iter().filter(|event| span(event).1 == revision(event)).count();
        }
        assert_eq!(decisions, 5, "founding, claiming, three sites");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_was_cut_off_within_a_decision_gets_the_rest_of_it() {
    let world = World::new().await;
    let items = reader(&world, "?since=1-1&follow=false").await.rest().await;
    assert_eq!((revision(&items[0]), items[0]["decision"]["first_revision"].as_u64()), (2, Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_follow_ends_with_a_bookmark_at_the_head() {
    let world = World::new().await;
    let items = reader(&world, "?since=1-0&follow=false").await.rest().await;
    let head = world.authority.state().cursor();
    assert_eq!(items.len() as u64, head.revision.0 + 1);
    assert_eq!(items.last().unwrap(), &json!({ "item": "bookmark", "cursor": head.to_string() }));
}

#[tokio::test(start_paused = true)]
async fn filters_let_through_what_was_asked_for_and_bookmarks() {
    let world = World::new().await;
    let site = world.site("Lyon").await;
    let destination = world.destination("archive", site).await;
    world.patch(&format!("/api/v1/destinations/{destination}"), &json!({ "offered": false })).send().await;
    for (query, expected) in [
        ("kind=destination", vec!["destination.created", "destination.edited"]),
        ("kind=destination.edited", vec!["destination.edited"]),
        ("subject=site:1", vec!["site.created"]),
        ("subject=site:2", vec![]),
        ("kind=token&subject=token:1", vec!["token.issued"]),
        ("kind=site&subject=token:1", vec![]),
        ("kind=store_point&subject=server:1", vec![]),
        ("kind=alert.raised", vec![]),
    ] {
        let items = reader(&world, &format!("?since=1-0&follow=false&{query}")).await.rest().await;
        let (bookmark, events) = items.split_last().unwrap();
        let kinds: Vec<_> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, expected, "{query}");
        assert_eq!(bookmark["cursor"], world.authority.state().cursor().to_string(), "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_whom_nothing_concerns_still_learns_how_far_it_is() {
    let world = World::new().await;
    let mut reader = reader(&world, "?kind=operation").await;
    assert_eq!(reader.next().await.unwrap()["item"], "bookmark");
    let started = tokio::time::Instant::now();
    world.site("Lyon").await;
    let bookmark = reader.next().await.unwrap();
    assert_eq!(bookmark, json!({ "item": "bookmark", "cursor": world.authority.state().cursor().to_string() }));
    assert!(started.elapsed() <= Config::default().bookmark_interval);
    // And where nothing happens at all, that it is not forgotten.
    assert_eq!(reader.next().await.unwrap(), bookmark);
}

#[tokio::test(start_paused = true)]
async fn server_sent_events_carry_name_cursor_and_data() {
    let world = World::new().await;
    let answer = world.get("/api/v1/events?since=1-2&follow=false").send().await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "text/event-stream"));
    assert_eq!(answer.header("cache-control"), "no-store");
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let blocks: Vec<Vec<&str>> = text.trim_end().split("\n\n").map(|block| block.lines().collect()).collect();
    let [claimed, issued, bookmark] = blocks.as_slice() else { panic!("{text}") };
    assert_eq!((claimed[0], claimed[1]), ("event: event", "id: 1-3"));
    assert!(issued[2].starts_with("data: {\"item\":\"event\",\"cursor\":\"1-4\""), "{text}");
    assert_eq!(bookmark.as_slice(), ["event: bookmark", "id: 1-4", "data: {\"item\":\"bookmark\",\"cursor\":\"1-4\"}"]);
}

#[tokio::test]
async fn whoever_takes_neither_form_is_refused() {
    let world = World::new().await;
    world.get("/api/v1/events").header("accept", "application/xml").send().await.refuses(406, "not_acceptable");
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_refused() {
    let world = World::new().await;
    for (query, pointer) in [
        ("since=yesterday", "?since"),
        ("since=1-01", "?since"),
        ("kind=weather", "?kind"),
        ("kind=site.", "?kind"),
        ("kind=site.painted", "?kind"),
        ("subject=site", "?subject"),
        ("subject=site:x", "?subject"),
        ("follow=perhaps", "?follow"),
        ("colour=red", "?colour"),
    ] {
        follow(&world, &format!("?{query}")).send().await.refuses(400, "malformed_request").pointing_at(pointer);
    }
    follow(&world, "?since=2-1").send().await.refuses(409, "foreign_epoch");
    follow(&world, "?since=1-999").send().await.refuses(409, "cursor_beyond_end");
    follow(&world, "").header("last-event-id", "0").send().await.refuses(400, "malformed_request");
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_a_lagging_node_does_not_have_yet_is_asked_about() {
    let world = World::new().await;
    world.authority.lag();
    world.authority.append_sites(sites(2));
    let head = world.authority.state().cursor();
    let mut reader = reader(&world, &format!("?since={head}")).await;
    assert_eq!(reader.next().await.unwrap()["cursor"], head.to_string());
    // Without the others nobody can tell.
    world.authority.lose_quorum();
    let beyond = format!("?since=1-{}", head.revision.plus(5));
    follow(&world, &beyond).send().await.refuses(503, "no_quorum");
}

#[tokio::test(start_paused = true)]
async fn below_the_floor_the_history_is_gone() {
    let world = World::new().await;
    world.authority.append_sites(sites(20));
    world.authority.raise_floor(10);
    follow(&world, "?since=1-9").send().await.refuses(410, "gone");
    let answer = world.get("/api/v1/events?since=1-9").send().await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert!(text.starts_with("event: gone\ndata: {\"item\":\"gone\",\"floor\":\"1-10\""), "{text}");
    // At the floor it begins.
    let items = reader(&world, "?since=1-10&follow=false").await.rest().await;
    assert_eq!(revision(&items[0]), 11);
}

#[tokio::test(start_paused = true)]
async fn a_reader_whom_the_floor_overtakes_is_told() {
    let world = World::with(Config { stream_page_bytes: 1_000, ..Config::default() }).await;
    world.authority.append_sites(sites(500));
    let mut reader = reader(&world, "?since=1-0").await;
    assert_eq!(revision(&reader.next().await.unwrap()), 1);
    world.authority.raise_floor(400);
    let items = reader.rest().await;
    let (gone, events) = items.split_last().unwrap();
    assert_eq!((&gone["item"], &gone["floor"]), (&json!("gone"), &json!("1-400")));
    assert!(events.windows(2).all(|pair| revision(&pair[1]) == revision(&pair[0]) + 1), "no gap before it is told");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_costs_a_few_pages_and_misses_nothing() {
    let config = Config { stream_write_timeout: Duration::from_secs(3_600), ..Config::default() };
    let page_bytes = config.stream_page_bytes;
    let world = World::with(config).await;
    let mut reader = reader(&world, "?since=1-0").await;
    let before = world.authority.bytes_read.load(Ordering::SeqCst);
    // While it reads nothing, a hundred thousand events are appended,
    for batch in 0..100 {
        world.authority.append_sites((0..1_000).map(|number| format!("site {batch} {number}")));
        tokio::task::yield_now().await;
    }
    let read = world.authority.bytes_read.load(Ordering::SeqCst) - before;
    assert!(read <= 3 * page_bytes, "of them, {read} bytes were taken from the journal");
    // and all of them are there when it reads on.
    let head = world.authority.state().revision().0;
    for expected in 1..=head {
        assert_eq!(revision(&reader.event().await), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_nothing_for_too_long_is_let_go() {
    let config = Config { stream_write_timeout: Duration::from_secs(30), stream_page_bytes: 1_000, ..Config::default() };
    let world = World::with(config).await;
    world.authority.append_sites(sites(100));
    let mut reader = reader(&world, "?since=1-0").await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    let items = reader.rest().await;
    assert!(items.len() < 20, "what it had been sent, and then the end");
    let metrics = String::from_utf8(world.get("/metrics").send().await.body.to_vec()).unwrap();
    assert!(metrics.contains("bursar_stream_readers_too_slow_total 1\n"), "{metrics}");
    assert!(metrics.contains("bursar_streams_open 0\n"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn streams_have_places_and_leave_them() {
    let world = World::with(Config { streams_max: 2, ..Config::default() }).await;
    let (one, mut two) = (reader(&world, "").await, reader(&world, "").await);
    follow(&world, "").send().await.refuses(503, "overloaded");
    drop(one);
    // The one that left gives its place back as soon as its task notices.
    two.next().await.unwrap();
    tokio::task::yield_now().await;
    let mut three = reader(&world, "").await;
    assert_eq!(three.next().await.unwrap()["item"], "bookmark");
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_token_is_revoked() {
    let world = World::new().await;
    let (id, token) = world.another_token(json!({})).await;
    let asking = world.request(axum::http::Method::GET, "/api/v1/events").bearer(&token);
    let mut reader = Reader::new(asking.header("accept", "application/x-ndjson").open().await);
    assert_eq!(reader.next().await.unwrap()["item"], "bookmark");
    world.delete(&format!("/api/v1/tokens/{id}")).send().await;
    let items = reader.rest().await;
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!((&items[0]["item"], &items[0]["code"]), (&json!("problem"), &json!("credential_revoked")));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_token_expires() {
    let world = World::new().await;
    let (_, token) = world.another_token(json!({ "expires_at": "2026-01-01T00:01:00Z" })).await;
    let asking = world.request(axum::http::Method::GET, "/api/v1/events").bearer(&token);
    let mut reader = Reader::new(asking.header("accept", "application/x-ndjson").open().await);
    assert_eq!(reader.next().await.unwrap()["item"], "bookmark");
    world.clock.advance_ms(60_000);
    let items = reader.rest().await;
    assert_eq!(items.last().unwrap()["code"], "credential_expired", "{items:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_node_is_cut_off_from_the_others() {
    let world = World::new().await;
    let mut following = reader(&world, "").await;
    assert_eq!(following.next().await.unwrap()["item"], "bookmark");
    assert_eq!(following.next().await.unwrap()["item"], "bookmark", "the node is confirmed");
    world.authority.go_unconfirmed();
    let items = following.rest().await;
    assert_eq!((&items[0]["item"], &items[0]["code"], &items[0]["status"]), (&json!("problem"), &json!("behind"), &json!(503)));
    assert_eq!(items.len(), 1, "{items:?}");
    // Whoever only wants what the node has is given it.
    let items = reader(&world, "?follow=false&since=1-0").await.rest().await;
    assert_eq!(items.last().unwrap()["item"], "bookmark");
}

#[tokio::test(start_paused = true)]
async fn streams_end_when_the_node_goes_down() {
    let world = World::new().await;
    let mut reader = reader(&world, "").await;
    reader.next().await.unwrap();
    world.shutdown.request();
    let items = reader.rest().await;
    assert_eq!((items.len(), &items[0]["item"], &items[0]["code"]), (1, &json!("problem"), &json!("stopping")));
}
