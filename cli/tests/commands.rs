//! Whole commands against a scripted node: what is asked, what is shown where, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test fails where it meets what it does not expect")]

mod stage;

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
};

use bursar_cli::{Console, EXIT_CODES, Reader, Surroundings, run_in};
use bursar_wire::{
    Fate, Problem,
    problem::{Blocker, FieldError},
};
use clap::{CommandFactory, Parser};
use serde_json::{Value, json};
use stage::{Program, Stage, event, operation, page, parse, problem, rehearsed, site, stamp, status, status_with_members};

const STATUS: &str = "GET /api/v1/status?consistency=stale";
const LIST: &str = "GET /api/v1/sites?limit=1000";
const REHEARSE_REMOVAL: &str = "DELETE /api/v1/sites/1?dry_run=true";
const BY_NAME: &str = "GET /api/v1/sites?filter=name%3DWest&limit=10";

#[tokio::test]
async fn a_list_is_a_table_without_borders() {
    let stage = Stage::set().await.expect(LIST, 200, page(vec![site(1, "West"), site(12, "Far East")]));
    let ended = stage.run("site list").await;
    let expected = "\
ID  NAME      LATENCY  CHANGED
1   West      4 ms     2031-05-17T08:30:00.000Z
12  Far East  4 ms     2031-05-17T08:30:00.000Z
";
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, expected, ""));
}

#[tokio::test]
async fn a_list_is_read_page_after_page() {
    let mut first = page(vec![site(1, "West")]);
    first["next_page_token"] = "1-1".into();
    let stage = Stage::set().await;
    let stage = stage.expect("GET /api/v1/sites?consistency=stale&limit=1000&sort=-name", 200, first);
    let next = "GET /api/v1/sites?consistency=stale&limit=1000&page_token=1-1&sort=-name";
    let stage = stage.expect(next, 200, page(vec![site(2, "East")]));
    let ended = stage.run("site list --sort -name --stale -o json").await;
    let listed: Vec<Value> = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(listed, [site(1, "West"), site(2, "East")]);
    let notice = format!("notice: this is what {} knew at revision 1-9; nobody was asked whether it still is so\n", stage.url);
    assert_eq!(ended.err, notice);
}

#[tokio::test]
async fn an_object_is_shown_by_its_name() {
    let stage = Stage::set().await.expect(BY_NAME, 200, page(vec![site(1, "west")]));
    let ended = stage.run("site show West").await;
    let expected = "\
id                1
name              west
expected latency  4 ms, one way
created           2031-05-17T08:30:00.000Z by token 1, at 1-5
changed           2031-05-17T08:30:00.000Z by token 1, at 1-7
etag              1-7
";
    assert_eq!((ended.code, ended.out.as_str()), (0, expected));
}

#[tokio::test]
async fn the_past_is_listed_and_shown_as_it_was() {
    let list = "GET /api/v1/sites?as_of=12&limit=1000";
    let ended = Stage::set().await.expect(list, 200, page(vec![site(1, "West")])).run("site list --as-of 12").await;
    assert_eq!((ended.code, ended.out.lines().count()), (0, 2), "{ended:?}");
    let by_name = "GET /api/v1/sites?as_of=1-12&filter=name%3DWest&limit=10";
    let ended = Stage::set().await.expect(by_name, 200, page(vec![site(1, "West")])).run("site show West --as-of 1-12").await;
    assert!(ended.code == 0 && ended.out.contains("West"), "{ended:?}");
    let by_number = "GET /api/v1/operations/7?as_of=12";
    let gone = problem(410, "gone");
    let ended = Stage::set().await.refuse(by_number, gone).run("operation show 7 --as-of 12").await;
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(Program::try_parse_from("bursar site list --as-of 12 --stale".split(' ')).is_err());
}

#[tokio::test]
async fn a_name_that_is_another_ones_number_is_ambiguous() {
    let by_name = "GET /api/v1/sites?filter=name%3D7&limit=10";
    let by_number = "GET /api/v1/sites/7";
    let stage = Stage::set().await.expect(by_number, 200, site(7, "West")).expect(by_name, 200, page(vec![site(9, "7")]));
    let ended = stage.run("site show 7").await;
    let expected = "\
error: “7” may be more than one site.
  id:7  “West”
  id:9  “7”
hint: Write id: and the number in its place, as below.
next: bursar site show id:7
";
    assert_eq!((ended.code, ended.err.as_str()), (2, expected));

    let stage = Stage::set().await.expect(by_number, 200, site(7, "West"));
    assert_eq!(stage.run("site show id:7").await.code, 0);
    let stage = Stage::set().await.expect(by_name, 200, page(vec![site(9, "7")]));
    assert_eq!(stage.run("site show name:7").await.code, 0);
}

#[tokio::test]
async fn what_is_not_there_is_told_with_the_list_to_look_at() {
    let stage = Stage::set().await.expect(BY_NAME, 200, page(vec![]));
    let ended = stage.run("site show West").await;
    assert_eq!((ended.code, ended.err.as_str()), (4, "error: There is no site “West”.\nnext: bursar site list\n"));
}

#[tokio::test]
async fn what_was_made_is_data_and_that_it_was_made_is_not() {
    let stage = Stage::set().await.expect("POST /api/v1/sites", 201, site(3, "West"));
    let ended = stage.run("site add West --expected-latency-ms 4 -o json").await;
    assert_eq!(serde_json::from_str::<Value>(&ended.out).unwrap(), site(3, "West"));
    assert_eq!(ended.err, "created site 3 “West”\n");
    assert_eq!(stage.asked()[0]["body"], json!({ "name": "West", "expected_latency_ms": 4 }));
}

#[tokio::test]
async fn a_change_names_what_it_rests_on_and_only_what_it_changes() {
    let stage = Stage::set().await.expect(BY_NAME, 200, page(vec![site(1, "West")]));
    let mut changed = site(1, "East");
    changed["etag"] = "1-9".into();
    let stage = stage.expect("PATCH /api/v1/sites/1", 200, changed);
    let ended = stage.run("site edit West --name East --if-match 1-7").await;
    assert_eq!((ended.code, ended.err.as_str()), (0, "changed site 1 “East”\n"));
    assert_eq!(stage.asked()[1]["body"], json!({ "name": "East" }));
    assert_eq!(stage.asked()[1]["if-match"], "\"1-7\"");

    let ended = Stage::set().await.run("site edit West").await;
    assert_eq!((ended.code, ended.err.as_str()), (2, "error: Nothing to change was named.\nnext: bursar site edit --help\n"));
}

#[tokio::test]
async fn a_destination_says_only_what_was_said() {
    let destination = json!({
        "id": 2, "name": "Vault", "description": "", "site": 1, "offered": true,
        "balancing": {
            "enabled": true, "allowed_variance_percent": 20, "window": { "from": "22:00", "to": "06:00" },
            "rate_bytes_per_second": null, "concurrency": 2,
        },
        "free_space": { "warning_percent": 12, "critical_percent": 5 },
        "roll_up": { "servers": 0, "offline_servers": 0, "store_points": 0, "accepting": "NONE" },
        "created": stamp(8), "changed": stamp(8), "etag": "1-8",
    });
    let stage = Stage::set().await.expect(BY_NAME, 200, page(vec![site(1, "West")]));
    let stage = stage.expect("POST /api/v1/destinations", 201, destination);
    let words = "destination add Vault --site West --window 22:00-06:00 --rate unlimited --free-space-warning 12";
    let ended = stage.run(words).await;
    let expected = json!({
        "name": "Vault", "site": 1,
        "balancing": { "window": { "from": "22:00", "to": "06:00" }, "rate_bytes_per_second": null },
        "free_space": { "warning_percent": 12 },
    });
    assert_eq!(stage.asked()[1]["body"], expected);
    let expected = "\
id                    2
name                  Vault
description
site                  1
offered               yes
servers               0, 0 offline
store points          0, accepting NONE
balancing             on
  allowed variance    20 %
  window              22:00-06:00 UTC
  rate                unlimited
  concurrency         2
free space, warning   below 12 %
free space, critical  below 5 %
created               2031-05-17T08:30:00.000Z by token 1, at 1-8
changed               2031-05-17T08:30:00.000Z by token 1, at 1-8
etag                  1-8
";
    assert_eq!((ended.code, ended.out.as_str()), (0, expected));
}

#[tokio::test]
async fn a_removal_is_asked_about_and_needs_a_yes() {
    let found = || async { Stage::set().await.expect(BY_NAME, 200, page(vec![site(1, "West")])) };
    let rehearsed = || async { found().await.expect(REHEARSE_REMOVAL, 200, rehearsed("removed", "site", 1)) };
    let stage = rehearsed().await.typing("y\n").expect("DELETE /api/v1/sites/1", 204, Value::Null);
    let ended = stage.run("site remove West").await;
    let expected = "Remove site 1 “West”? [y/N] removed site 1 “West”\n";
    assert_eq!((ended.code, ended.err.as_str(), ended.out.as_str()), (0, expected, ""));

    let ended = rehearsed().await.typing("\n").run("site remove West").await;
    assert_eq!(ended.code, 1);
    assert!(ended.err.ends_with("error: Nothing was changed.\nnext: bursar site remove 1 --dry-run\n"), "{}", ended.err);

    let ended = rehearsed().await.run("site remove West").await;
    assert_eq!(ended.code, 2);
    assert!(ended.err.ends_with("next: bursar site remove 1 --yes\n"), "{}", ended.err);

    let stage = found().await.expect("DELETE /api/v1/sites/1", 204, Value::Null);
    let ended = stage.run("site remove West --yes -o json").await;
    let removed: Value = serde_json::from_str(&ended.out).unwrap();
    let expected = json!({ "outcome": { "effect": "removed", "object": { "kind": "site", "id": 1 } }, "revision": "1-9" });
    assert_eq!(removed, expected);
}

#[tokio::test]
async fn nobody_is_asked_about_what_would_be_refused_and_what_to_know_stands_before_the_question() {
    let blockers = vec![Blocker { kind: "destination".into(), id: 3, name: "Vault".into() }];
    let in_use = Problem { blockers, ..problem(409, "in_use") };
    let stage = Stage::set().await.expect(BY_NAME, 200, page(vec![site(1, "West")])).refuse(REHEARSE_REMOVAL, in_use);
    let ended = stage.typing("y\n").run("site remove West").await;
    let expected = "\
error: It cannot be. (in_use)
  in use by destination 3 “Vault”
next: bursar destination show 3
";
    assert_eq!((ended.code, ended.err.as_str()), (5, expected));

    let mut warned = rehearsed("removed", "site", 1);
    warned["warnings"] = json!([{ "code": "last", "detail": "It is the last one." }]);
    let stage = Stage::set().await.expect(BY_NAME, 200, page(vec![site(1, "West")])).expect(REHEARSE_REMOVAL, 200, warned);
    let ended = stage.typing("\n").run("site remove West").await;
    assert!(ended.err.starts_with("warning: It is the last one. (last)\nRemove site 1 “West”? [y/N] "), "{}", ended.err);
}

#[tokio::test]
async fn a_dry_run_tells_the_events_without_asking() {
    let event = json!({
        "cursor": "1-10", "revision": 10, "time": "2031-05-17T08:30:00.000Z", "actor": { "kind": "token", "id": 1 }, "request": "r",
        "kind": "site.removed", "subject": { "kind": "site", "id": 1 }, "decision": { "first_revision": 10, "count": 1 },
        "summary": "site 1 removed", "data": { "site": 1 },
    });
    let outcome = json!({ "effect": "removed", "object": { "kind": "site", "id": 1 } });
    let stage = Stage::set().await.expect(BY_NAME, 200, page(vec![site(1, "West")]));
    let dry_run = json!({ "events": [event], "outcome": outcome });
    let ended = stage.expect("DELETE /api/v1/sites/1?dry_run=true", 200, dry_run).run("site remove West --dry-run").await;
    let expected = "\
CURSOR  KIND          SUMMARY
1-10    site.removed  site 1 removed
outcome: removed site 1
";
    assert_eq!((ended.code, ended.out.as_str()), (0, expected));
    assert_eq!(ended.err, "nothing was changed; this is what would happen:\n");
}

#[tokio::test]
async fn every_refusal_has_its_exit_code_and_the_command_to_try_next() {
    let site_7 = || Some(bursar_wire::objects::ObjectRef { kind: "site".into(), id: 7 });
    let blockers = vec![Blocker { kind: "destination".into(), id: 3, name: "Vault".into() }];
    let cases = [
        (problem(422, "invalid_field"), 2, "bursar site list --help"),
        (problem(403, "not_permitted"), 3, "bursar token list"),
        (Problem { object: site_7(), ..problem(404, "not_found") }, 4, "bursar site list"),
        (Problem { object: site_7(), blockers, ..problem(409, "in_use") }, 5, "bursar destination show 3"),
        (Problem { object: site_7(), ..problem(412, "revision_mismatch") }, 5, "bursar site show 7"),
        (problem(503, "no_quorum"), 6, "bursar status"),
        (problem(500, "internal_error"), 1, "bursar status"),
    ];
    for (problem, code, next) in cases {
        let told = problem.code.clone();
        let ended = Stage::set().await.refuse(LIST, problem).run("site list").await;
        assert_eq!(ended.code, code, "{told}: {}", ended.err);
        assert!(ended.err.starts_with(&format!("error: It cannot be. ({told})\n")), "{}", ended.err);
        assert!(ended.err.ends_with(&format!("next: {next}\n")), "{told}: {}", ended.err);
        assert_eq!(ended.out, "");
    }
}

#[tokio::test]
async fn a_refusal_shows_its_particulars() {
    let blockers = vec![Blocker { kind: "authority_node".into(), id: 3, name: "10.0.0.3:4283".into() }];
    let errors = ["/expected_latency_ms", "?as_of"].map(|pointer| FieldError::new(pointer, "must be so")).to_vec();
    let refusal = Problem { errors, blockers, ..problem(409, "in_use").with_hint("Move it.") };
    let ended = Stage::set().await.refuse(LIST, refusal).run("site list").await;
    let expected = "\
error: It cannot be. (in_use)
  --expected-latency-ms must be so
  --as-of must be so
  in use by authority node 3 “10.0.0.3:4283”
hint: Move it.
next: bursar cluster members
";
    assert_eq!(ended.err, expected);
}

#[tokio::test]
async fn of_many_blockers_it_says_how_many_more_there_are_and_where_to_list_them() {
    let object = Some(bursar_wire::objects::ObjectRef { kind: "site".into(), id: 7 });
    let blockers = vec![Blocker { kind: "destination".into(), id: 3, name: "Vault".into() }];
    let refusal = Problem { object, blockers, unlisted_blockers: Some(99_900), ..problem(409, "in_use") };
    let ended = Stage::set().await.refuse(LIST, refusal).run("site list").await;
    let expected = "\
error: It cannot be. (in_use)
  in use by destination 3 “Vault”
  and by 99900 more
next: bursar destination list --filter site=7
";
    assert_eq!(ended.err, expected);
}

#[tokio::test]
async fn nobody_there_is_told_node_by_node() {
    // Port 1 is reserved, and nothing listens there.
    let stage = Stage::set().await.with("BURSAR_URL", "http://127.0.0.1:1");
    let ended = stage.run("site list").await;
    assert_eq!(ended.code, 8);
    assert!(ended.err.contains("error: No authority node answers.\n  http://127.0.0.1:1: cannot connect: "), "{}", ended.err);
    assert!(ended.err.ends_with("next: bursar context show\n"), "{}", ended.err);
}

#[tokio::test]
async fn an_operation_is_followed_to_its_end() {
    let read = "GET /api/v1/operations/4";
    let bookmark = json!({ "item": "bookmark", "cursor": "1-25" });
    let stage = Stage::set().await.expect(read, 200, operation("running", 21));
    let stage = stage.expect(read, 200, operation("running", 21));
    let stage = stage.expect_text("GET /api/v1/events?since=1-21&subject=operation%3A4", 200, format!("{bookmark}\n"));
    let stage = stage.expect(&format!("{read}?min_revision=1-25"), 200, operation("succeeded", 25));
    let ended = stage.run("operation wait 4").await;
    assert_eq!((ended.code, ended.err.as_str()), (0, "operation 4 running\noperation 4 succeeded\n"));
    assert!(
        ended.out.contains("task     remove authority node\nobject   authority node 3\nstatus   succeeded\n"),
        "{}",
        ended.out
    );
}

#[tokio::test]
async fn an_operation_that_was_called_off_is_a_failure_to_who_waits() {
    let read = "GET /api/v1/operations/4";
    let stage = Stage::set().await.expect(read, 200, operation("cancelled", 21)).expect(read, 200, operation("cancelled", 21));
    let ended = stage.run("operation wait 4").await;
    assert_eq!(ended.code, 1);
    assert!(ended.err.ends_with("error: Operation 4 was cancelled.\nnext: bursar operation show 4\n"), "{}", ended.err);
}

#[tokio::test]
async fn events_are_listed_up_to_the_head() {
    let stream = format!("{}\n{}\n{}\n", event(5), event(6), json!({ "item": "bookmark", "cursor": "1-8" }));
    let target = "GET /api/v1/events?follow=false&kind=site&since=1-4";
    let ended = Stage::set().await.expect_text(target, 200, stream).run("event list --since 1-4 --kind site").await;
    let expected = "\
CURSOR  TIME                      ACTOR            EVENT
1-5     2031-05-17T08:30:00.000Z  membership duty  site 1 “West” created
1-6     2031-05-17T08:30:00.000Z  membership duty  site 1 “West” created
";
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, expected, ""));
}

#[tokio::test]
async fn history_that_is_gone_is_told_with_where_it_begins() {
    let gone = json!({ "item": "gone", "floor": "1-100", "hint": "Read the objects anew." });
    let stage = Stage::set().await.expect_text("GET /api/v1/events?since=1-4", 200, format!("{gone}\n"));
    let ended = stage.run("event watch --since 1-4").await;
    let expected = "\
error: What happened before 1-100 is no longer kept.
hint: Read the objects anew.
next: bursar event list --since 1-100
";
    assert_eq!((ended.code, ended.err.as_str()), (4, expected));
}

#[tokio::test]
async fn health_is_an_exit_code_with_reasons() {
    let read = STATUS;
    let ended = Stage::set().await.expect(read, 200, status("OK", json!([]))).run("health").await;
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "OK\n", ""));

    let check = json!({ "code": "disk", "severity": "ERR", "summary": "The disk is full.", "remedy": "Make room." });
    let ended = Stage::set().await.expect(read, 200, status("ERR", json!([check]))).run("health").await;
    assert_eq!((ended.code, ended.out.as_str()), (10, "ERR\nERR The disk is full. (disk)\n    Make room.\n"));
    assert_eq!(ended.err, "error: The cluster's health is ERR.\nnext: bursar status\n");
}

#[tokio::test]
async fn a_critical_alert_that_asks_for_attention_is_the_same_exit_code() {
    let with_alerts = |health: &str, critical: u64, acknowledged: u64| {
        let mut status = status(health, json!([]));
        status["counts"]["alerts_critical"] = critical.into();
        status["counts"]["alerts_acknowledged"] = acknowledged.into();
        status
    };
    let ended = Stage::set().await.expect(STATUS, 200, with_alerts("OK", 2, 1)).run("health").await;
    let verdict = "authority OK, storage with 2 critical alerts; 1 acknowledged alert still fires\n";
    assert_eq!((ended.code, ended.out.as_str()), (10, verdict));
    assert_eq!(ended.err, "error: 2 critical alerts fire that nobody has acknowledged.\nnext: bursar alert list\n");
    let ended = Stage::set().await.expect(STATUS, 200, with_alerts("WARN", 1, 0)).run("health").await;
    let told =
        "error: The cluster's health is WARN, and 1 critical alert fires that nobody has acknowledged.\nnext: bursar status\n";
    assert_eq!((ended.code, ended.err.as_str()), (10, told));
    let ended = Stage::set().await.expect(STATUS, 200, with_alerts("OK", 0, 1)).run("health -o json").await;
    let told: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, &told["health"], &told["alerts"]["acknowledged"]), (0, &json!("OK"), &json!(1)), "{ended:?}");
    let ended = Stage::set().await.expect(STATUS, 200, with_alerts("OK", 2, 0)).run("status").await;
    assert_eq!(ended.code, 0, "it shows what there is: {}", ended.err);
}

#[tokio::test]
async fn without_a_quorum_status_asks_every_member_and_says_which_are_down() {
    let stage = Stage::set().await;
    let own = stage.url.strip_prefix("http://").unwrap().to_owned();
    let mut alone = status_with_members(&[&own, "127.0.0.1:1"]);
    alone["leader"] = Value::Null;
    alone["stale"] = json!({ "age_ms": 40_000, "last_event_at": "2031-05-17T08:29:00.000Z" });
    alone["unobserved_reason"] = "only a leader observes the others, and this node knows none".into();
    alone["node"]["voters"] = json!([1, 2]);
    alone["fault_tolerance"] = json!({ "voters": 2, "quorum": 2, "failures_tolerated": 0, "voters_reachable": null });
    let stage = stage.expect(STATUS, 200, alone.clone());
    let ended = stage.run("status").await;
    let first = "Health      ERR\n            ERR No quorum: 1 of 2 voters answering from here, 2 needed.";
    assert!(ended.code == 0 && ended.out.starts_with(first), "{ended:?}");
    assert!(ended.out.contains("Storage     0 servers; 0 store points (as of 40 s ago)\n"), "{}", ended.out);
    let is_told = |words: &[&str]| ended.out.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(is_told(&["yes: leader", &own]) && is_told(&["no: connection refused", "127.0.0.1:1"]), "{}", ended.out);

    let stage = stage.expect(STATUS, 200, alone.clone());
    let told: Value = serde_json::from_str(&stage.run("status -o json").await.out).unwrap();
    assert_eq!((&told["health"], &told["checks"][0]["code"]), (&json!("ERR"), &json!("no_quorum")));
    let answers: Vec<_> = told["asked"].as_array().unwrap().iter().map(|asked| asked["answers"].clone()).collect();
    assert_eq!(answers, [json!(true), json!(false)]);

    let ended = stage.expect(STATUS, 200, alone).run("health").await;
    assert_eq!((ended.code, ended.out.contains("ERR No quorum: 1 of 2")), (10, true), "{ended:?}");
}

#[tokio::test]
async fn the_setup_secret_makes_the_first_administrator_who_is_kept() {
    let issued = json!({ "id": 1, "name": "ada", "expires_at": null, "created": stamp(4), "secret": "bearer-1" });
    let token = json!({ "id": 1, "name": "ada", "expires_at": null, "created": stamp(4), "changed": stamp(4) });
    let stage = Stage::set().await.expect("POST /api/v1/tokens", 201, issued);
    let whoami = json!({ "actor": { "kind": "token", "id": 1 }, "token": token });
    let stage = stage.expect("GET /api/v1/whoami", 200, whoami);
    let own = stage.url.strip_prefix("http://").unwrap().to_owned();
    let stage = stage.expect(STATUS, 200, status_with_members(&["127.0.0.1:1", &own, "10.0.0.9:4285"]));
    let setup = stage.secret_file("setup", "setup-secret\n");
    let ended = stage.run(&format!("login --setup-secret-file {setup} --token-name ada --context here")).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "logged in as token 1 “ada”\n"), "{}", ended.err);
    assert_eq!(stage.asked()[0]["body"], json!({ "name": "ada", "setup_secret": "setup-secret" }));
    assert_eq!(stage.asked()[0]["authorization"], Value::Null);
    assert_eq!(stage.asked()[1]["authorization"], "Bearer bearer-1");
    assert!(!format!("{ended:?}").contains("bearer-1"), "the token is kept, not shown");
    let config = stage.path("config.toml");
    assert_eq!(fs::metadata(&config).unwrap().permissions().mode() & 0o777, 0o600);

    // From now on the token goes with every request to the nodes of that context.
    let stage = stage.with("BURSAR_URL", "").expect(LIST, 200, page(vec![]));
    assert_eq!(stage.run("site list").await.code, 0);
    assert_eq!(stage.asked()[3]["authorization"], "Bearer bearer-1");
    let shown = stage.run("context show").await;
    // The other member is known, unless the token would travel in the clear to it.
    assert!(shown.out.contains(&format!("urls     {}, http://127.0.0.1:1\n", stage.url)), "{}", shown.out);

    // A member that has left is forgotten with the next answer that tells the members.
    let stage = stage.expect(STATUS, 200, status_with_members(&[&own, "127.0.0.1:2"]));
    let ended = stage.run("health").await;
    assert_eq!(ended.err, format!("context “here” knows these nodes now: {}, http://127.0.0.1:2\n", stage.url));

    // Another URL gets no token, and the person is told.
    let ended = stage.run("site list --url http://127.0.0.1:3").await;
    let expected = "\
error: The token of context “here” is not sent to another URL.
hint: Add --token-file, or make the URL one of the context's.
next: bursar context edit here --url http://127.0.0.1:3
";
    assert_eq!((ended.code, ended.err.as_str()), (2, expected));
    let ended = stage.run(&format!("context edit --url http://127.0.0.1:3,{}", stage.url)).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, &*format!("changed context “here”: http://127.0.0.1:3, {}\n", stage.url)));
    assert!(shown.out.contains("token    kept") && !shown.out.contains("bearer-1"), "{}", shown.out);
    let ended = stage.run("context use there").await;
    assert_eq!((ended.code, ended.err.ends_with("next: bursar context list\n")), (4, true));
}

#[tokio::test]
async fn credentials_of_a_file_are_kept_with_the_urls_that_it_names() {
    let token = json!({ "id": 1, "name": "ada", "expires_at": null, "created": stamp(4), "changed": stamp(4) });
    let whoami = json!({ "actor": { "kind": "token", "id": 1 }, "token": token });
    let stage = Stage::set().await.expect("GET /api/v1/whoami", 200, whoami);
    let own = stage.url.strip_prefix("http://").unwrap().to_owned();
    let stage = stage.expect(STATUS, 200, status_with_members(&[&own]));
    let credentials = json!({ "url": stage.url, "urls": [stage.url, "http://127.0.0.1:1"], "token": "bearer-1" });
    let file = stage.secret_file("credentials.json", &credentials.to_string());
    // What is set for another cluster does not get in the way.
    let stage = stage.with("BURSAR_URL", "http://127.0.0.1:2");
    let ended = stage.run(&format!("login --context demo --credentials-file {file}")).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "logged in as token 1 “ada”\n"), "{}", ended.err);
    assert_eq!(stage.asked()[0]["authorization"], "Bearer bearer-1");
    assert!(!format!("{ended:?}").contains("bearer-1"), "the token is kept, not shown");
    let stage = stage.with("BURSAR_URL", "");
    let shown = stage.run("context show").await;
    assert!(shown.out.contains(&format!("urls     {}", stage.url)), "{}", shown.out);
}

#[tokio::test]
async fn a_file_of_another_kind_is_told_from_credentials_and_from_a_token() {
    let stage = Stage::set().await;
    let credentials = json!({ "url": stage.url, "urls": [stage.url], "token": "bearer-1" });
    let credentials = stage.secret_file("credentials.json", &credentials.to_string());
    let token = stage.secret_file("token", "\"bearer-1\"");
    let ended = stage.run(&format!("login --token-file {credentials}")).await;
    assert_eq!(ended.code, 2, "{}", ended.err);
    assert!(ended.err.ends_with(&format!("next: bursar login --credentials-file {credentials}\n")), "{}", ended.err);
    let ended = stage.run(&format!("login --credentials-file {token}")).await;
    assert_eq!(ended.code, 2, "{}", ended.err);
    assert!(ended.err.contains("holds no credentials") && ended.err.contains("--token-file"), "{}", ended.err);
    assert!(!ended.err.contains("bearer-1"), "{}", ended.err);
}

#[tokio::test]
async fn a_member_is_found_by_its_address_and_its_leaving_is_awaited() {
    let member = |id: u64, intent: &str| {
        json!({
            "id": id, "store": "00", "site": null, "peer_address": "10.0.0.3:4283", "api_address": "10.0.0.3:4285",
            "control_address": "10.0.0.3:4288", "version": "0.1.0", "supported_level": 1, "intent": intent, "operation": null,
            "role": null, "created": stamp(1), "changed": stamp(2), "etag": "1-2",
        })
    };
    let list = "GET /api/v1/cluster/members?limit=1000";
    let stage = Stage::set().await.expect(list, 200, page(vec![member(2, "removed"), member(3, "voting")]));
    let stage = stage.expect("DELETE /api/v1/cluster/members/3", 202, operation("running", 21));
    let read = "GET /api/v1/operations/4";
    let ended = stage.expect(read, 200, operation("succeeded", 22)).run("cluster remove 10.0.0.3:4285 --yes --wait").await;
    let expected = "\
authority node 3 “10.0.0.3:4285” is leaving, carried by operation 4
operation 4 succeeded
";
    assert_eq!((ended.code, ended.err.as_str()), (0, expected));
}

#[tokio::test]
async fn a_completion_script_knows_the_commands() {
    let ended = Stage::set().await.run("completion bash").await;
    assert_eq!(ended.code, 0);
    assert!(ended.out.contains("transfer-leadership"));
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let console = Console {
        out: Box::new(Closed),
        reader: Reader::Program,
        err: Box::new(io::sink()),
        input: Box::new(io::empty()),
        interactive: false,
        colored: false,
    };
    let mut surroundings = Surroundings { environment: Default::default(), console };
    let (program, invoked) = parse(&["completion", "bash"]);
    assert_eq!(run_in(program.command, Program::command(), &invoked, &mut surroundings).await, 0);
}

#[test]
fn the_command_line_is_sound() {
    Program::command().debug_assert();
}

#[tokio::test]
async fn a_join_token_goes_alone_to_what_is_no_terminal() {
    let issued = json!({ "id": 3, "join_token": "bursar-join1.a.b", "expires_at": "2031-05-17T08:30:00.000Z" });
    let invite = "POST /api/v1/cluster/members";
    let ended = Stage::set().await.expect(invite, 201, issued.clone()).run("cluster invite").await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "bursar-join1.a.b\n"));
    assert!(ended.err.starts_with("id       3\nexpires  2031-05-17T08:30:00.000Z\n"), "{}", ended.err);

    let ended = Stage::set().await.typing("").expect(invite, 201, issued.clone()).run("cluster invite").await;
    assert!(ended.out.contains("join token  bursar-join1.a.b\n"), "{}", ended.out);

    let stage = Stage::set().await.expect(invite, 201, issued);
    let path = stage.path("join-token");
    let words = format!("cluster invite --out {} -o json", path.display());
    let ended = stage.run(&words).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(fs::read_to_string(&path).unwrap(), "bursar-join1.a.b\n");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!format!("{ended:?}").contains("bursar-join1"), "it is kept, not shown");
    // A file that exists is not touched, and nothing is asked for.
    let ended = stage.run(&words).await;
    assert_eq!((ended.code, stage.asked().len()), (2, 1), "{}", ended.err);
}

#[tokio::test]
async fn a_file_stays_only_where_it_holds_the_secret() {
    let stage = Stage::set().await.refuse("POST /api/v1/tokens", problem(403, "not_permitted"));
    let path = stage.path("token");
    let ended = stage.run(&format!("token add ci --out {}", path.display())).await;
    assert_eq!((ended.code, path.exists()), (3, false));
}

#[tokio::test]
async fn a_limit_without_a_cursor_means_the_latest_events() {
    let mut standing = status("OK", json!([]));
    standing["revision"] = "1-200".into();
    let stage = Stage::set().await.expect("GET /api/v1/status", 200, standing);
    // Filtered, the latest two lie further back than was looked at first.
    let near = format!("{}\n{}\n", event(150), json!({ "item": "bookmark", "cursor": "1-200" }));
    let stage = stage.expect_text("GET /api/v1/events?follow=false&kind=site&since=1-136", 200, near);
    let all: String = [5, 70, 150].map(|revision| format!("{}\n", event(revision))).concat();
    let all = format!("{all}{}\n", json!({ "item": "bookmark", "cursor": "1-200" }));
    let stage = stage.expect_text("GET /api/v1/events?follow=false&kind=site&since=1-0", 200, all);
    let ended = stage.run("event list --limit 2 --kind site").await;
    let cursors: Vec<_> = ended.out.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!((ended.code, cursors), (0, vec!["1-70", "1-150"]), "{}", ended.err);
}

#[tokio::test]
async fn a_change_without_an_answer_has_an_unknown_outcome_and_an_id_to_repeat_it_with() {
    let stage = Stage::set().await;
    let unknown = problem(503, "no_quorum").with_fate(Fate::Unknown);
    let ended = stage.refuse("POST /api/v1/sites", unknown).run("site add West --idempotency-key mine").await;
    assert_eq!(ended.code, 7, "{}", ended.err);
    assert!(ended.err.contains("request id mine\n") && ended.err.contains("with --idempotency-key mine within"), "{}", ended.err);
    assert!(ended.err.ends_with("next: bursar event list --limit 10\n"), "{}", ended.err);
}

#[tokio::test]
async fn of_a_hand_over_without_an_answer_only_who_leads_tells_the_outcome() {
    let hand_over = "POST /api/v1/cluster/transfer-leadership";
    let unknown = problem(503, "no_quorum").with_fate(Fate::Unknown);
    let ended = Stage::set().await.refuse(hand_over, unknown).run("cluster transfer-leadership --yes").await;
    assert_eq!(ended.code, 7, "{}", ended.err);
    assert!(ended.err.contains("a repetition hands over again") && !ended.err.contains("idempotency-key"), "{}", ended.err);
    assert!(ended.err.ends_with("next: bursar status\n"), "{}", ended.err);

    let unasked = problem(503, "no_quorum").with_fate(Fate::NotDone);
    let ended = Stage::set().await.refuse(hand_over, unasked).run("cluster transfer-leadership --yes").await;
    assert_eq!(ended.code, 6, "{}", ended.err);
}

#[tokio::test]
async fn a_change_that_was_certainly_not_made_says_so_and_can_be_asked_for_again() {
    let refusal = problem(503, "no_quorum").with_fate(Fate::NotDone).with_hint("Nothing was changed. Ask another node.");
    let ended = Stage::set().await.refuse("POST /api/v1/sites", refusal).run("site add West").await;
    let expected = "\
error: It cannot be. (no_quorum)
hint: Nothing was changed. Ask another node.
next: bursar status
";
    assert_eq!((ended.code, ended.err.as_str()), (6, expected));
}

#[tokio::test]
async fn a_change_of_what_cannot_even_be_looked_up_is_told_of_the_change() {
    let refusal = problem(503, "no_quorum").with_fate(Fate::NotDone).with_hint("Read with consistency=stale.");
    let ended = Stage::set().await.refuse(BY_NAME, refusal).run("site edit West --name East").await;
    let expected = "\
error: Nothing was changed: too few authority nodes answer to decide anything about site “West”.
  It cannot be. (no_quorum)
hint: Start the nodes that are down, and run the command again; the next command shows which they are.
next: bursar status
";
    assert_eq!((ended.code, ended.err.as_str()), (6, expected));
}

#[tokio::test]
async fn a_fault_is_told_once_of_the_flag_with_the_help_of_the_command() {
    let errors = vec![FieldError::new("/expected_latency_ms", "must be from 0 to 60000")];
    let refusal = Problem { errors, ..problem(422, "invalid_field") };
    let ended = Stage::set().await.refuse("POST /api/v1/sites", refusal).run("site add West").await;
    let expected = "\
error: --expected-latency-ms must be from 0 to 60000. (invalid_field)
next: bursar site add --help
";
    assert_eq!((ended.code, ended.err.as_str()), (2, expected));
    for words in ["site add West --expected-latency-ms -1", "destination edit a --allowed-variance 400"] {
        let told = Program::try_parse_from(["bursar"].into_iter().chain(words.split(' '))).unwrap_err().to_string();
        assert!(told.contains("must be from"), "{told}");
    }
    assert!(Program::try_parse_from("bursar site list --limit 0".split(' ')).is_err());
}

#[tokio::test]
async fn who_is_not_known_logs_in_where_they_asked() {
    let stage = Stage::set().await.refuse(LIST, problem(401, "unauthenticated"));
    let ended = stage.run("site list").await;
    assert_eq!(ended.code, 3);
    assert!(ended.err.ends_with(&format!("next: bursar login --url {} --token-file FILE\n", stage.url)), "{}", ended.err);
}

#[tokio::test]
async fn an_etag_is_taken_with_its_quotes_and_an_edit_of_nothing_says_so() {
    let stage = Stage::set().await.expect(BY_NAME, 200, page(vec![site(1, "West")]));
    let stage = stage.expect("PATCH /api/v1/sites/1", 200, site(1, "West"));
    let ended = stage.run_words(&["site", "edit", "West", "--name", "West", "--if-match", "\"1-7\""]).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, "unchanged: nothing to change in site 1 “West”\n"));
    assert_eq!(stage.asked()[1]["if-match"], "\"1-7\"");
    // What is made has no ETag yet.
    assert!(Program::try_parse_from("bursar site add West --if-match 1-7".split(' ')).is_err());
}

#[tokio::test]
async fn a_list_names_the_sites_and_says_where_it_was_cut() {
    let member = json!({
        "id": 1, "store": "00", "site": 1, "peer_address": "a:4283", "api_address": "a:4285",
        "control_address": "a:4288", "version": "0.1.0", "supported_level": 1, "intent": "voting", "operation": null,
        "role": "leader", "created": stamp(1), "changed": stamp(2), "etag": "1-2",
    });
    let mut first = page(vec![member]);
    first["next_page_token"] = "1-1".into();
    let stage = Stage::set().await.expect("GET /api/v1/cluster/members?limit=1", 200, first);
    let ended = stage.expect(LIST, 200, page(vec![site(1, "West")])).run("cluster members --limit 1").await;
    assert!(ended.out.contains("  1 West  "), "{}", ended.out);
    assert_eq!(ended.err, "there are more than these 1; --limit tells how many to show\n");
}

/// The words that lists and details show as they stand in the API, which names all of them.
#[test]
fn the_page_on_words_has_every_word_of_the_output() {
    let document: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    let page = include_str!("../../docs/operations/words.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")).filter_map(|line| line.split_once(" | "));
    let explained: Vec<&str> = rows.flat_map(|(words, _)| words.split(", ")).collect();
    for shown in [
        "Accepting",
        "AlertCondition",
        "AlertExtent",
        "AlertSeverity",
        "Grade",
        "MemberIntent",
        "MemberRole",
        "NodeRole",
        "OperationStatus",
        "ProjectionState",
        "ServerCondition",
        "ServerIntent",
        "StorePointCondition",
        "StorePointIntent",
    ] {
        let schema = &document["components"]["schemas"][shown];
        let tagged = schema["oneOf"].as_array().into_iter().flatten();
        let enums = tagged.map(|variant| &variant["properties"]["state"]["enum"]).chain([&schema["enum"]]);
        let words: Vec<&str> = enums.filter_map(Value::as_array).flatten().filter_map(Value::as_str).collect();
        assert!(words.len() > 1, "{shown} has words: {schema}");
        for word in words {
            assert!(explained.contains(&word), "{word}, of {shown}");
        }
    }
}

#[test]
fn the_documentation_has_every_exit_code() {
    let page = include_str!("../../docs/operations/exit-codes.md");
    for line in EXIT_CODES.lines().skip(1) {
        // A code stands before two blanks; what goes on in the next line has none.
        let Some((code, _)) = line.trim().split_once("  ") else { continue };
        assert!(page.contains(&format!("| {code} |")), "{code}");
    }
}
