//! Who may do what: nobody without a token, and nobody with one that does not stand.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::{net::SocketAddr, sync::atomic::Ordering, time::Duration};

use axum::http::{Method, StatusCode};
use bursar_api::{Config, RemoteAddress};
use serde_json::{Value, json};
use support::{Answer, START_MS, World, authority::SETUP_SECRET};
use tokio::time::{Instant, sleep, timeout};

/// All that anybody may ask. `POST /api/v1/tokens` takes the setup secret in place of a token, and `/metrics` lets the machine
/// itself read.
const OPEN: [&str; 4] = ["GET /livez", "GET /readyz", "GET /api/v1/version", "GET /api/v1/openapi.json"];

#[tokio::test]
async fn every_route_but_the_open_ones_denies_whoever_shows_no_token() {
    let world = World::new().await;
    let document = serde_json::to_value(bursar_api::openapi()).unwrap();
    let mut open = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let route = format!("{} {path}", method.to_uppercase());
            let uri = path.replace("{id}", "1").replace("{revision}", "1");
            let asking = world.request(route.split_once(' ').unwrap().0.parse().unwrap(), &uri);
            let answer = if method == "get" { asking } else { asking.body(&json!({ "name": "x" })) }.send().await;
            assert!(!matches!(answer.status.as_u16(), 404 | 405), "{route} is described and does not exist");
            if answer.status.is_success() {
                open.push(route);
                continue;
            }
            answer.refuses(401, "unauthenticated");
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{route}");
            let is_special = ["POST /api/v1/tokens", "GET /metrics"].contains(&route.as_str());
            assert!(is_special || operation["security"][0]["bearer"].is_array(), "{route} does not say that it needs a token");
        }
    }
    open.sort_unstable();
    let mut expected = OPEN.to_vec();
    expected.sort_unstable();
    assert_eq!(open, expected);
}

#[tokio::test]
async fn tokens_that_do_not_stand_are_refused() {
    let world = World::new().await;
    let asking = |authorization: &str| world.request(Method::GET, "/api/v1/sites").header("authorization", authorization);
    for authorization in ["Bearer x", "Bearer ", "Bearer", "Basic YTpi", &world.token, SETUP_SECRET] {
        asking(authorization).send().await.refuses(401, "unauthenticated");
    }
    assert_eq!(asking(&format!("bearer {}", world.token)).send().await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once() {
    let world = World::new().await;
    let (id, token) = world.another_token(json!({})).await;
    let read = || world.request(Method::GET, "/api/v1/whoami").bearer(&token);
    let who = read().send().await.json();
    assert_eq!((&who["actor"], &who["token"]["name"]), (&json!({ "kind": "token", "id": id }), &json!("another")));
    assert_eq!(world.delete(&format!("/api/v1/tokens/{id}")).send().await.status, StatusCode::NO_CONTENT);
    read().send().await.refuses(401, "unauthenticated");
}

#[tokio::test]
async fn a_token_that_was_revoked_elsewhere_does_not_read_what_came_behind() {
    let world = World::new().await;
    let (id, token) = world.another_token(json!({})).await;
    // Given a node that has not heard of the revocation,
    world.authority.lag();
    let revoke = bursar_domain::Command::Token(bursar_domain::token::Command::Revoke { token: bursar_domain::TokenId(id) });
    world.authority.take(support::authority::submission(support::authority::ADMINISTRATOR, "revoke", revoke)).outcome.unwrap();
    // then neither a reading nor a change gets past it.
    let read = world.request(Method::GET, "/api/v1/sites").bearer(&token).send().await;
    read.refuses(401, "credential_revoked");
    world.authority.lag();
    let change = world.request(Method::POST, "/api/v1/sites").bearer(&token);
    change.body(&json!({ "name": "x", "expected_latency_ms": 1 })).send().await.refuses(401, "unauthenticated");
}

#[tokio::test]
async fn a_token_that_was_issued_elsewhere_a_moment_ago_is_known() {
    let world = World::new().await;
    world.authority.lag();
    let issue = bursar_domain::token::Command::Issue {
        name: "elsewhere".into(),
        secret: bursar_domain::Hash::of(b"issued elsewhere"),
        expires_at: None,
        setup_secret: None,
    };
    let actor = support::authority::ADMINISTRATOR;
    world.authority.take(support::authority::submission(actor, "issue", bursar_domain::Command::Token(issue))).outcome.unwrap();
    let read = world.request(Method::GET, "/api/v1/sites?consistency=stale").bearer("issued elsewhere").send().await;
    assert_eq!(read.status, StatusCode::OK, "{read:?}");
}

#[tokio::test(start_paused = true)]
async fn guessing_tokens_costs_the_cluster_next_to_nothing() {
    let world = World::with(Config { strangers_max: 500, ..Config::default() }).await;
    let before = world.authority.linearizable_readings.load(Ordering::SeqCst);
    let started = tokio::time::Instant::now();
    let guesses: Vec<_> = (0..500)
        .map(|guess| tokio::spawn(world.request(Method::GET, "/api/v1/sites").bearer(&guess.to_string()).send()))
        .collect();
    for guess in guesses {
        guess.await.unwrap().refuses(401, "unauthenticated");
    }
    let readings = world.authority.linearizable_readings.load(Ordering::SeqCst) - before;
    assert!(readings <= 2, "one reading serves all who wait: {readings}");
    for guess in 0..10 {
        world.request(Method::GET, "/api/v1/sites").bearer(&guess.to_string()).send().await.refuses(401, "unauthenticated");
    }
    assert!(started.elapsed().as_millis() >= 10 * 50, "readings keep a distance");
}

/// Asks with a token that nobody has issued, and says what it is told and after how many milliseconds.
async fn guess(world: &World, patience_ms: u64) -> (Answer, u128) {
    let started = Instant::now();
    let asking = world.request(Method::GET, "/api/v1/sites").bearer("a guess");
    let answer = asking.header("x-bursar-patience-ms", &patience_ms.to_string()).send().await;
    (answer, started.elapsed().as_millis())
}

#[tokio::test(start_paused = true)]
async fn who_shows_an_unknown_token_waits_no_longer_than_it_likes_and_is_told_for_what() {
    let interval = Duration::from_secs(2);
    let world = World::with(Config { token_refresh_interval: interval, ..Config::default() }).await;
    guess(&world, 100).await.0.refuses(401, "unauthenticated");
    // The next reading keeps its distance.
    let (answer, took_ms) = guess(&world, 300).await;
    let detail = answer.refuses(503, "overloaded").json()["detail"].as_str().unwrap().to_owned();
    assert!(took_ms == 300 && detail.contains("the turn"), "{took_ms} ms: {detail}");
    sleep(interval).await;

    world.authority.take_its_time(Duration::from_millis(500));
    let ((hasty, took_ms), (patient, _)) = tokio::join!(guess(&world, 300), guess(&world, 9_000));
    let detail = hasty.refuses(503, "no_quorum").json()["detail"].as_str().unwrap().to_owned();
    assert!(took_ms == 300 && detail.contains("300 ms"), "{took_ms} ms: {detail}");
    patient.refuses(401, "unauthenticated");
}

#[tokio::test(start_paused = true)]
async fn a_reading_for_an_unknown_token_that_is_left_keeps_the_distance_too() {
    let world = World::new().await;
    world.authority.take_its_time(Duration::from_secs(1));
    let left = guess(&world, 9_000);
    timeout(Duration::from_millis(10), left).await.unwrap_err();
    world.authority.take_its_time(Duration::ZERO);
    let (answer, took_ms) = guess(&world, 9_000).await;
    answer.refuses(401, "unauthenticated");
    assert_eq!(took_ms, 40, "readings begin fifty milliseconds apart");
}

#[tokio::test]
async fn whoever_shows_no_token_may_say_little() {
    let world = World::unclaimed(Config::default());
    let claim = |name: String| {
        let body = json!({ "name": name, "setup_secret": SETUP_SECRET });
        world.request(Method::POST, "/api/v1/tokens").body(&body)
    };
    claim("x".repeat(8 << 10)).send().await.refuses(413, "too_large");
    claim("x".repeat(7 << 10)).send().await.refuses(422, "invalid_field").pointing_at("/name");
    let issued = claim("admin".into()).send().await;
    let secret = issued.json()["secret"].as_str().unwrap().to_owned();
    let known = world.request(Method::POST, "/api/v1/tokens").bearer(&secret).body(&json!({ "name": "x".repeat(8 << 10) }));
    known.send().await.refuses(422, "invalid_field").pointing_at("/name");
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let world = World::new().await;
    let (_, token) = world.another_token(json!({ "expires_at": "2026-01-01T00:01:00Z" })).await;
    let read = || world.request(Method::GET, "/api/v1/sites?consistency=stale").bearer(&token);
    world.clock.advance_ms(59_999);
    assert_eq!(read().send().await.status, StatusCode::OK);
    world.clock.advance_ms(1);
    read().send().await.refuses(401, "credential_expired");
}

#[tokio::test]
async fn tokens_do_not_expire_in_the_past_and_the_last_stays() {
    let world = World::new().await;
    let issue = |expires_at: &str| world.post("/api/v1/tokens", &json!({ "name": "x", "expires_at": expires_at }));
    issue("2025-12-31T23:59:59Z").send().await.refuses(422, "invalid_field").pointing_at("/expires_at");
    issue("tomorrow").send().await.refuses(422, "invalid_field").pointing_at("/expires_at");
    world.delete("/api/v1/tokens/1").send().await.refuses(409, "last_credential");
}

#[tokio::test]
async fn the_setup_secret_is_taken_once() {
    let world = World::new().await;
    let submissions = world.authority.submissions.load(Ordering::SeqCst);
    let claim = |secret: &str| {
        let body = json!({ "name": "second", "setup_secret": secret });
        world.request(Method::POST, "/api/v1/tokens").body(&body)
    };
    claim(SETUP_SECRET).send().await.refuses(401, "setup_refused");
    claim("a guess").send().await.refuses(401, "setup_refused");
    world.request(Method::POST, "/api/v1/tokens").body(&json!({ "name": "x" })).send().await.refuses(401, "unauthenticated");
    assert_eq!(world.authority.submissions.load(Ordering::SeqCst), submissions, "who has no credential cannot fill the log");
}

/// Every refusal of a claim is told from a rehearsal, whatever it is for.
#[tokio::test]
async fn a_claim_that_is_refused_is_not_proposed() {
    let world = World::unclaimed(Config::default());
    let claim = |body: Value| world.request(Method::POST, "/api/v1/tokens").body(&body);
    claim(json!({ "name": "", "setup_secret": SETUP_SECRET })).send().await.refuses(422, "invalid_field").pointing_at("/name");
    let expired = json!({ "name": "x", "expires_at": "2020-01-01T00:00:00Z", "setup_secret": SETUP_SECRET });
    claim(expired).send().await.refuses(422, "invalid_field").pointing_at("/expires_at");
    let reused = claim(json!({ "name": "x", "setup_secret": "a guess" })).header("idempotency-key", "found");
    reused.send().await.refuses(409, "request_key_reused");
    assert_eq!(world.authority.submissions.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_answered_again_to_whoever_repeats_it() {
    let world = World::unclaimed(Config::default());
    let claim = |key: &str, name: &str| {
        let body = json!({ "name": name, "setup_secret": SETUP_SECRET });
        world.request(Method::POST, "/api/v1/tokens").header("idempotency-key", key).body(&body).send()
    };
    let (first, again) = (claim("k1", "admin").await, claim("k1", "admin").await);
    assert_eq!((first.status, again.status), (StatusCode::CREATED, StatusCode::CREATED), "{again:?}");
    assert_eq!(first.json(), again.json());
    let secret = first.json()["secret"].as_str().unwrap().to_owned();
    assert_eq!(world.request(Method::GET, "/api/v1/whoami").bearer(&secret).send().await.status, StatusCode::OK);
    claim("k1", "another").await.refuses(409, "request_key_reused");
    claim("k2", "admin").await.refuses(401, "setup_refused");
}

#[tokio::test]
async fn a_secret_is_shown_once_and_rests_nowhere() {
    let world = World::new().await;
    let issue = || world.post("/api/v1/tokens", &json!({ "name": "ci" })).header("idempotency-key", "k1");
    let issued = issue().send().await;
    assert_eq!((issued.status, issued.header("cache-control")), (StatusCode::CREATED, "no-store"));
    let secret = issued.json()["secret"].as_str().unwrap().to_owned();
    let again = issue().send().await;
    again.refuses(409, "already_issued");
    assert_eq!(again.json()["fate"], "done");
    assert_eq!(again.json()["object"], json!({ "kind": "token", "id": issued.json()["id"] }));
    let hash = bursar_domain::Hash::of(secret.as_bytes()).to_string();
    for path in ["/api/v1/tokens", "/api/v1/events?follow=false&since=1-0"] {
        let text = String::from_utf8(world.get(path).send().await.body.to_vec()).unwrap();
        assert!(!text.contains(&secret) && !text.contains(&hash), "{path}");
    }
}

#[tokio::test]
async fn an_invitation_says_whom_to_trust_and_where_to_ask_and_is_shown_once() {
    let world = World::new().await;
    let invite = |body| world.post("/api/v1/cluster/members", &body).header("idempotency-key", "k1");
    let issued = invite(json!({ "expires_in_seconds": 60 })).send().await;
    assert_eq!(issued.status, StatusCode::CREATED, "{issued:?}");
    let text = issued.json()["join_token"].as_str().unwrap().to_owned();
    let invitation: bursar_wire::invitation::Invitation = text.parse().unwrap();
    assert_eq!(invitation.certificate_authority, bursar_net::Fingerprint::from([7; 32]));
    assert_eq!(invitation.addresses, ["10.0.0.1:4283".parse().unwrap()]);
    let state = world.authority.state();
    let token =
        state.join_tokens().find(&bursar_domain::Hash::of(invitation.secret.as_bytes())).expect("the ledger keeps its hash");
    assert_eq!(token.expires_at.0, START_MS + 60_000);
    invite(json!({ "expires_in_seconds": 60 })).send().await.refuses(409, "already_issued");
    let shown = world.get("/api/v1/cluster/invitations/1").send().await;
    assert!(!String::from_utf8_lossy(&shown.body).contains("join_token\""), "{shown:?}");
    let short = world.post("/api/v1/cluster/members", &json!({ "expires_in_seconds": 1 })).send().await;
    short.refuses(422, "invalid_field").pointing_at("/expires_in_seconds");
    assert_eq!(world.delete("/api/v1/cluster/invitations/1").send().await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn metrics_are_for_the_machine_itself_and_for_administrators() {
    let world = World::new().await;
    let from = |address: &str| {
        let remote: SocketAddr = address.parse().unwrap();
        let router = world.router.clone().layer(axum::Extension(RemoteAddress(remote)));
        async move {
            let request = axum::http::Request::get("/metrics").body(axum::body::Body::empty()).unwrap();
            tower::ServiceExt::oneshot(router, request).await.unwrap().status()
        }
    };
    assert_eq!(from("127.0.0.1:4000").await, StatusCode::OK);
    assert_eq!(from("[::ffff:127.0.0.1]:4000").await, StatusCode::OK);
    assert_eq!(from("10.0.0.9:4000").await, StatusCode::UNAUTHORIZED);
    world.request(Method::GET, "/metrics").send().await.refuses(401, "unauthenticated");
}
