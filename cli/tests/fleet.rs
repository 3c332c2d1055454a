//! Servers, store points and alerts on the command line.

#![allow(clippy::unwrap_used, reason = "a test fails where it meets what it does not expect")]

mod stage;

use bursar_wire::{Fate, Problem, objects::ObjectRef, problem::FieldError};
use clap::Parser;
use serde_json::{Value, json};
use stage::{Program, Stage, page, problem, rehearsed, stamp};

const ARK: &str = "GET /api/v1/servers?filter=name%3Dark&limit=10";
const SHELF: &str = "GET /api/v1/store-points?filter=name%3Dshelf&limit=10";
const VAULT: &str = "GET /api/v1/destinations?filter=name%3Dvault&limit=10";

fn server(condition: &str) -> Value {
    json!({
        "id": 1, "name": "ark", "destination": 3, "destination_name": "vault", "intent": { "state": "active" },
        "condition": { "state": condition }, "projection": "matching", "store_points": 2, "primary_address": "ark.example:4288",
        "secondary_address": null, "version": "0.1.0", "platform": "x86_64-linux", "supported_level": 1, "guid": "07",
        "former_guids": [], "public_key_hash": "0b", "created": stamp(5), "changed": stamp(7), "etag": "1-7",
    })
}

fn with(mut object: Value, more: Value) -> Value {
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object
}

/// The server that operation 4 takes in.
fn newcomer() -> Value {
    with(server("joining"), json!({ "condition": { "state": "joining", "operation": 4 } }))
}

fn store_point(condition: Value) -> Value {
    json!({
        "id": 2, "name": "shelf", "server": 1, "server_name": "ark", "server_online": true, "path": "/srv/a",
        "directory": "CrashPlanArchive_m1x2", "notes": "call 555-0100", "accepting_data": true, "accepting_new_archives": false,
        "balancing": true, "quota_bytes": null, "intent": "active", "condition": condition, "created": stamp(5),
        "changed": stamp(7), "etag": "1-7",
    })
}

fn alert(id: u64, acknowledgement: Value) -> Value {
    json!({
        "id": id, "kind": "store_point_offline", "severity": "critical",
        "subject": { "kind": "store_point", "id": 2, "name": "shelf" }, "text": "Store point is unavailable: shelf",
        "reason": "missing", "detail": "its directory is missing", "server": { "kind": "server", "id": 1, "name": "ark" },
        "path": "/srv/a/CrashPlanArchive_m1x2",
        "extent": "whole", "condition": { "state": "firing", "since": "2031-05-17T08:30:00.000Z" }, "occurrences": 2,
        "inhibited_by": { "kind": "alert", "id": 4, "name": "Server is offline: ark" }, "acknowledgement": acknowledgement,
        "open": true, "created": stamp(5), "changed": stamp(7), "etag": "1-7",
    })
}

fn destination() -> Value {
    json!({
        "id": 3, "name": "vault", "description": "", "site": 1, "offered": true,
        "balancing": {
            "enabled": true, "allowed_variance_percent": 20, "window": null, "rate_bytes_per_second": null, "concurrency": 2,
        },
        "free_space": { "warning_percent": 10, "critical_percent": 5 },
        "roll_up": { "servers": 2, "offline_servers": 1, "store_points": 3, "accepting": "SOME" },
        "created": stamp(5), "changed": stamp(7), "etag": "1-7",
    })
}

fn joining(status: &str, revision: u64) -> Value {
    json!({
        "id": 4, "task": { "kind": "join_server", "object": { "kind": "server", "id": 1 } }, "status": status, "steps": [],
        "failure": null, "waiting_on": [], "created": stamp(20), "changed": stamp(revision),
    })
}

#[tokio::test]
async fn servers_are_listed_with_their_destinations_and_how_they_are_filled_or_why_that_is_not_known() {
    let space =
        |used_bytes: u64| json!({ "free_bytes": 5_000_000_000_u64, "total_bytes": 1_u64 << 41, "used_bytes": used_bytes });
    let observed = |store_points: Value| {
        let observed = json!({
            "heard_ms_ago": 40, "version": "0.1.0", "position": "1-6", "store_points": store_points, "ports_tried": 5,
            "ports_closed": 0,
        });
        json!({ "offline_store_points": [], "observed": observed, "observed_absent": null })
    };
    let absent = || json!({ "offline_store_points": [], "observed": null, "observed_absent": "nobody has heard of it" });
    let known = with(server("online"), observed(json!({ "2": space(1_000), "3": space(3_000) })));
    let partly = with(with(server("online"), observed(json!({ "2": space(1_000) }))), json!({ "id": 2 }));
    let gone = with(with(server("offline"), observed(json!({ "2": space(1_000), "3": space(0) }))), json!({ "id": 3 }));
    let unheard = with(with(server("offline"), absent()), json!({ "id": 4 }));
    let empty = with(with(server("online"), absent()), json!({ "id": 5, "store_points": 0 }));
    let list = page(vec![known, partly, gone, unheard, empty]);
    let stage = Stage::set().await.expect("GET /api/v1/servers?limit=1000&observed=true", 200, list);
    let ended = stage.run("server list").await;
    let expected = "\
ID  NAME  DESTINATION  CONDITION  INTENT  STORE POINTS  USED      FREE      VERSION  PRIMARY ADDRESS
1   ark   vault        online     active  2             4 kB      10 GB     0.1.0    ark.example:4288
2   ark   vault        online     active  2             1 kB + ?  5 GB + ?  0.1.0    ark.example:4288
3   ark   vault        offline    active  2             (1 kB)    (10 GB)   0.1.0    ark.example:4288
4   ark   vault        offline    active  2             ?         ?         0.1.0    ark.example:4288
5   ark   vault        online     active  0             -         -         0.1.0    ark.example:4288
";
    assert_eq!((ended.code, ended.out.as_str()), (0, expected));
    let reasons = "\
?, server 2: how one of its store points is filled is not known; bursar store-point list tells why
?, server 4: nobody has heard of it
";
    assert_eq!(ended.err, reasons);
}

#[tokio::test]
async fn a_server_is_shown_with_what_is_observed_of_it_or_why_nothing_is() {
    let space = json!({ "free_bytes": 5, "total_bytes": 9, "used_bytes": 4 });
    let observed = json!({
        "heard_ms_ago": 40, "version": "0.1.0", "position": "1-6", "store_points": { "2": space },
        "ports_tried": 5, "ports_closed": 1,
    });
    let heard = json!({ "offline_store_points": [], "observed": observed, "observed_absent": null });
    let heard = with(server("online"), heard);
    let stage = Stage::set().await.expect(ARK, 200, page(vec![server("online")])).expect("GET /api/v1/servers/1", 200, heard);
    let ended = stage.run("server show ark").await;
    assert!(ended.out.contains("destination        3 “vault”\n"), "{}", ended.out);
    assert!(
        ended.out.contains("heard of           40 ms ago\nhas carried out    1-6\nports it tried     5, 1 not reached\n"),
        "{}",
        ended.out
    );
    let condition = json!({ "state": "offline", "reason": "missing", "detail": "its directory is missing" });
    let offline = json!({ "id": 2, "name": "shelf", "path": "/srv/a", "condition": condition });
    let unheard = json!({
        "offline_store_points": [offline], "observed": null, "observed_absent": "nobody has heard of it",
    });
    let unheard = with(server("offline"), unheard);
    let past = "GET /api/v1/servers/1?as_of=9";
    let stage = Stage::set().await.expect(past, 200, unheard.clone()).expect(past, 200, unheard);
    let ended = stage.run("server show id:1 --as-of 9").await;
    assert!(ended.out.contains("heard of           not known: nobody has heard of it\n"), "{}", ended.out);
    let offline = "not online         store point 2 “shelf” at /srv/a, offline: its directory is missing\n";
    assert!(ended.out.contains(offline), "{}", ended.out);
}

#[tokio::test]
async fn what_one_node_has_of_an_object_is_shown_with_a_notice() {
    let heard = json!({ "offline_store_points": [], "observed": null, "observed_absent": "a stale reading asks nobody" });
    let by_name = "GET /api/v1/servers?consistency=stale&filter=name%3Dark&limit=10";
    let stage = Stage::set().await.expect(by_name, 200, page(vec![server("online")]));
    let stage = stage.expect("GET /api/v1/servers/1?consistency=stale", 200, with(server("online"), heard));
    let ended = stage.run("server show ark --stale").await;
    let notice = format!("notice: this is what {} knew at revision 1-9; nobody was asked whether it still is so\n", stage.url);
    assert_eq!((ended.code, ended.err), (0, notice.clone()), "{}", ended.out);

    let stage = Stage::set().await.expect("GET /api/v1/alerts/5?consistency=stale", 200, alert(5, Value::Null));
    let ended = stage.run("alert show 5 --stale").await;
    assert!(ended.code == 0 && ended.err.starts_with("notice: this is what http://"), "{ended:?}");
    let unseen = json!({ "observed": null, "observed_absent": "a stale reading asks nobody" });
    let point = || store_point(json!({ "state": "online" }));
    let stage = Stage::set().await.expect(&SHELF.replace('?', "?consistency=stale&"), 200, page(vec![point()]));
    let stage = stage.expect("GET /api/v1/store-points/2?consistency=stale", 200, with(point(), unseen));
    let ended = stage.run("store-point show shelf --stale").await;
    assert!(ended.code == 0 && ended.err.starts_with("notice: this is what http://"), "{ended:?}");
}

#[tokio::test]
async fn what_could_not_be_read_is_told_and_no_flag_proposed_that_the_command_lacks() {
    let hint = "Try again, ask another node, or read with consistency=stale what this node has.";
    let refusal = || problem(503, "no_quorum").with_fate(Fate::NotDone).with_hint(hint);
    for words in ["server reachability ark", "server ok-to-stop ark"] {
        let ended = Stage::set().await.refuse(ARK, refusal()).run(words).await;
        let expected = "\
error: Nothing could be read of server “ark”: too few authority nodes answer.
  It cannot be. (no_quorum)
hint: Start the nodes that are down, and run the command again; the next command shows which they are.
next: bursar status
";
        assert_eq!((ended.code, ended.err.as_str()), (6, expected));
    }
    let ended = Stage::set().await.refuse(ARK, refusal()).run("server show ark").await;
    assert!(ended.err.contains("hint: Try again, ask another node, or read with --stale what this node has.\n"), "{ended:?}");
    let ended = Stage::set().await.refuse("GET /api/v1/events/4", refusal()).run("event show 4").await;
    assert!(ended.err.contains("hint: Try again, ask another node.\n"), "{ended:?}");
}

#[tokio::test]
async fn a_connection_string_comes_from_an_argument_a_file_or_standard_input() {
    let add = "POST /api/v1/destinations/3/servers";
    let stage = Stage::set().await.expect(VAULT, 200, page(vec![destination()])).expect(add, 202, joining("running", 21));
    let ended = stage.run("server add bursar1.a.b --destination vault --name Ark").await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(stage.asked()[1]["body"], json!({ "connection_string": "bursar1.a.b", "name": "Ark" }));
    assert_eq!(ended.err, "the server is being taken into destination 3 “vault”, carried by operation 4\n");

    let stage = Stage::set().await.expect(VAULT, 200, page(vec![destination()])).expect(add, 202, joining("running", 21));
    let file = stage.secret_file("string", "bursar1.c.d\n");
    assert_eq!(stage.run(&format!("server add --file {file} --destination vault")).await.code, 0);
    assert_eq!(stage.asked()[1]["body"], json!({ "connection_string": "bursar1.c.d" }));

    let stage = Stage::set().await.typing("  bursar1.e.f \n");
    let stage = stage.expect(VAULT, 200, page(vec![destination()])).expect(add, 202, joining("running", 21));
    let ended = stage.run("server add --destination vault").await;
    assert_eq!(stage.asked()[1]["body"], json!({ "connection_string": "bursar1.e.f" }));
    assert!(ended.err.starts_with("paste the connection string:\n"), "{}", ended.err);

    let ended = Stage::set().await.run("server add --destination vault").await;
    assert_eq!((ended.code, ended.err.as_str()), (2, "error: No connection string was given.\nnext: bursar server add --help\n"));
    assert!(Program::try_parse_from("bursar server add a --file b --destination c".split(' ')).is_err());
}

#[tokio::test]
async fn an_addition_is_followed_to_its_end_and_a_refusal_names_the_string() {
    let add = "POST /api/v1/destinations/3/servers";
    let stage = Stage::set().await.expect(VAULT, 200, page(vec![destination()])).expect(add, 202, joining("running", 21));
    let stage = stage.expect("GET /api/v1/operations/4", 200, joining("succeeded", 22));
    let ended = stage.run("server add bursar1.a.b --destination vault --wait").await;
    assert!(ended.code == 0 && ended.err.ends_with("operation 4 succeeded\n"), "{ended:?}");

    let errors = vec![FieldError::new("/connection_string", "is cut off")];
    let refusal = Problem { errors, ..problem(400, "connection_string_invalid") }.with_hint("Copy the whole line.");
    let stage = Stage::set().await.expect(VAULT, 200, page(vec![destination()])).refuse(add, refusal);
    let ended = stage.run("server add bursar1.a --destination vault").await;
    let expected = "\
error: The connection string is cut off. (connection_string_invalid)
hint: Copy the whole line.
next: bursar server add --help
";
    assert_eq!((ended.code, ended.err.as_str()), (2, expected));
}

#[tokio::test]
async fn an_inspection_shows_what_was_found_and_what_stands_in_the_way() {
    let inspection = json!({
        "guid": "07", "name": "ark", "version": "0.1.0", "platform": "x86_64-linux",
        "addresses": [
            { "address": "ark:4288", "reachable": true, "detail": null, "fingerprint_matches": true, "latency_ms": 3, "clock_skew_ms": -12 },
            { "address": "ark2:4288", "reachable": false, "detail": "timed out", "fingerprint_matches": null, "latency_ms": null,
              "clock_skew_ms": null },
        ],
        "ports": [
            { "from": "ark", "to": "authority node 1", "port": 4288, "role": "control", "state": "reached", "detail": null },
            { "from": "ark", "to": "chest", "port": 4286, "role": "transfer", "state": "timed_out", "detail": null },
            { "from": "chest", "to": "ark", "port": 4283, "role": "peer", "state": "not_tried", "detail": "it is not online" },
            { "from": "chest", "to": "ark", "port": 4286, "role": "transfer", "state": "not_tried", "detail": "it is not online" },
        ],
        "stands": true, "standing": "it says so",
        "obstacles": [
            { "code": "name_taken", "detail": "The name “ark” is taken by server 1.", "remedy": null },
            { "code": "port_blocked", "detail": "ark does not reach port 4283.", "remedy": "Open it." },
            { "code": "port_blocked", "detail": "ark does not reach port 4286.", "remedy": "Open it." },
        ],
        "warnings": [{ "code": "latency_unlike_one_network", "detail": "The machine is not near." }],
    });
    let stage = Stage::set().await.expect("POST /api/v1/servers/inspect", 200, inspection.clone());
    let ended = stage.run("server inspect bursar1.a.b").await;
    let expected = "\
name          ark
guid          07
version       0.1.0
platform      x86_64-linux
still stands  yes: it says so

ADDRESS    REACHABLE      IS IT  LATENCY  CLOCK AHEAD
ark:4288   yes            yes    3 ms     -12 ms
ark2:4288  no: timed out  -      -        -

FROM   TO                PORT  FOR       PASSES
ark    authority node 1  4288  control   yes
ark    chest             4286  transfer  no: timed out
chest  ark               4283  peer      not tried
chest  ark               4286  transfer  not tried

not tried: it is not online

In the way of adding it:
  The name “ark” is taken by server 1. (name_taken)
  ark does not reach port 4283. (port_blocked)
  ark does not reach port 4286. (port_blocked)
    Open it.

warning: The machine is not near. (latency_unlike_one_network)
";
    assert_eq!((ended.code, ended.out.as_str()), (1, expected), "{}", ended.err);
    assert_eq!(ended.err, "error: Something stands in the way of adding ark.\nnext: bursar server inspect --help\n");

    let free = with(inspection, json!({ "obstacles": [] }));
    let stage = Stage::set().await.expect("POST /api/v1/servers/inspect", 200, free);
    let ended = stage.run("server inspect bursar1.a.b").await;
    assert_eq!(ended.code, 0, "a warning alone does not stand in the way: {}", ended.err);
    assert!(ended.out.contains("Nothing stands in the way of adding it.\n\nwarning: "), "{}", ended.out);
}

#[tokio::test]
async fn of_a_string_that_was_used_it_is_told_first_for_which_server() {
    let inspection = json!({
        "guid": "07", "name": "ark", "version": "0.1.0", "platform": "x86_64-linux",
        "addresses": [{
            "address": "ark:4288", "reachable": true, "detail": null, "fingerprint_matches": false, "latency_ms": 3,
            "clock_skew_ms": null,
        }],
        "ports": [
            { "from": "authority node 1", "to": "ark", "port": 4288, "role": "control", "state": "reached", "detail": null },
        ],
        "stands": false, "standing": "the machine was taken in",
        "obstacles": [{
            "code": "connection_string_used", "detail": "The connection string was used for server 1 “ark”.",
            "remedy": "Look at the server that it added.",
        }],
        "warnings": [],
    });
    let stage = Stage::set().await.expect("POST /api/v1/servers/inspect", 200, inspection);
    let ended = stage.run("server inspect bursar1.a.b").await;
    let expected = "\
The connection string was used for server 1 “ark”.

name          ark
guid          07
version       0.1.0
platform      x86_64-linux
still stands  no: the machine was taken in

In the way of adding it:
  The connection string was used for server 1 “ark”. (connection_string_used)
    Look at the server that it added.
";
    assert_eq!((ended.code, ended.out.as_str()), (1, expected), "{}", ended.err);
}

#[tokio::test]
async fn of_a_machine_that_is_down_one_cause_is_told_once() {
    let port = |from: &str, to: &str, state: &str, detail: Value| json!({ "from": from, "to": to, "port": 4288, "role": "control", "state": state, "detail": detail });
    let inspection = json!({
        "guid": "07", "name": "ark", "version": "0.1.0", "platform": "x86_64-linux",
        "addresses": [{
            "address": "ark:4288", "reachable": false, "detail": "Connection refused (os error 111)", "fingerprint_matches": null,
            "latency_ms": null, "clock_skew_ms": null,
        }],
        "ports": [
            port("authority node 1", "ark", "refused", Value::Null), port("chest", "ark", "refused", Value::Null),
            port("ark", "chest", "not_tried", json!("the machine could not be asked")),
        ],
        "stands": null, "standing": "the machine does not answer",
        "obstacles": [{ "code": "server_unreachable", "detail": "ark answers nowhere.", "remedy": "Start it there." }],
        "warnings": [],
    });
    let stage = Stage::set().await.expect("POST /api/v1/servers/inspect", 200, inspection);
    let ended = stage.run("server inspect bursar1.a.b").await;
    let expected = "\
name          ark
guid          07
version       0.1.0
platform      x86_64-linux
still stands  not known: the machine does not answer

ADDRESS   REACHABLE                              IS IT  LATENCY  CLOCK AHEAD
ark:4288  no: Connection refused (os error 111)  -      -        -

In the way of adding it:
  ark answers nowhere. (server_unreachable)
    Start it there.
";
    assert_eq!((ended.code, ended.out.as_str()), (1, expected), "{}", ended.err);
}

#[tokio::test]
async fn maintenance_takes_a_span_or_an_end_and_just_one_of_them() {
    let maintain = "POST /api/v1/servers/1/maintenance";
    let mut changed = server("online");
    changed["intent"] = json!({ "state": "maintenance", "until": "2031-05-17T10:30:00.000Z", "reason": "disks" });
    changed["etag"] = "1-8".into();
    let stage = Stage::set().await.expect(ARK, 200, page(vec![server("online")])).expect(maintain, 200, changed);
    let ended = stage.run("server maintenance ark --for 2h --reason disks").await;
    assert_eq!(stage.asked()[1]["body"], json!({ "for_seconds": 7200, "reason": "disks" }), "{}", ended.err);
    assert_eq!(ended.err, "changed server 1 “ark”\n");
    assert!(ended.out.contains("maintenance until 2031-05-17T10:30:00.000Z: disks\n"), "{}", ended.out);
    for words in ["bursar server maintenance ark", "bursar server maintenance ark --for 1h --until x"] {
        assert!(Program::try_parse_from(words.split(' ')).is_err(), "{words}");
    }
}

#[tokio::test]
async fn a_server_that_should_not_be_stopped_is_an_exit_code() {
    let expected_alert = json!({
        "kind": "destination_offline", "severity": "critical", "subject": { "kind": "destination", "id": 3, "name": "vault" },
        "text": "Destination is offline: vault", "covered_by": null,
    });
    let answer = |ok: bool| {
        json!({
            "server": { "kind": "server", "id": 1, "name": "ark" }, "ok": ok, "reason": "ark is the last",
            "pauses": "nothing is restored from its store point “shelf”",
            "remedy": (!ok).then_some("Bring another one online."), "alerts": if ok { json!([]) } else { json!([expected_alert]) },
        })
    };
    let ask = "GET /api/v1/servers/1/ok-to-stop";
    let stage = Stage::set().await.expect(ARK, 200, page(vec![server("online")])).expect(ask, 200, answer(false));
    let ended = stage.run("server ok-to-stop ark").await;
    let expected = "\
no: ark is the last.
pauses: nothing is restored from its store point “shelf”.

SEVERITY  ALERT THAT WOULD FIRE          COVERED BY
critical  Destination is offline: vault  -

Announce the stop, and whatever alert it brings is expected and asks for nobody's attention:
  bursar server maintenance 1 --for 2h
";
    assert_eq!((ended.code, ended.out.as_str()), (5, expected));
    let expected = "\
error: server 1 “ark” should not be stopped now.
hint: Bring another one online.
next: bursar server list --filter destination=3
";
    assert_eq!(ended.err, expected);
    let stage = Stage::set().await.expect(ARK, 200, page(vec![server("online")])).expect(ask, 200, answer(true));
    let ended = stage.run("server ok-to-stop ark").await;
    assert_eq!((ended.code, ended.out.contains("\npauses: nothing is restored")), (0, true), "{ended:?}");
    assert!(ended.out.ends_with("\n  bursar server maintenance 1 --for 2h\n"), "{}", ended.out);
    let until = json!({ "intent": { "state": "maintenance", "until": "2031-05-17T10:30:00.000Z", "reason": "" } });
    let stage = Stage::set().await.expect(ARK, 200, page(vec![with(server("online"), until)])).expect(ask, 200, answer(true));
    let ended = stage.run("server ok-to-stop ark").await;
    assert!(ended.out.contains("\n\nIt is in maintenance until 2031-05-17T10:30:00.000Z: "), "{}", ended.out);
    let stage = Stage::set().await.expect(ARK, 200, page(vec![server("offline")])).expect(ask, 200, answer(true));
    let ended = stage.run("server ok-to-stop ark").await;
    assert!(!ended.out.contains("maintenance"), "there is no stop to announce: {}", ended.out);
}

#[tokio::test]
async fn why_an_operation_failed_is_told_with_what_to_do() {
    let failure = json!({
        "code": "superseded", "reason": "it has issued another connection string since", "remedy": "Use the newest one.",
    });
    let failed = with(joining("failed", 21), json!({ "failure": failure }));
    let ended = Stage::set().await.expect("GET /api/v1/operations/4", 200, failed.clone()).run("operation show 4").await;
    let expected = "\
status   failed
failed   it has issued another connection string since (superseded)
         Use the newest one.
";
    assert!(ended.out.contains(expected), "{}", ended.out);
    let list = "GET /api/v1/operations?limit=1000";
    let ended = Stage::set().await.expect(list, 200, page(vec![failed.clone()])).run("operation list").await;
    let expected = "\
ID  TASK         OBJECT    STATUS              WAITS ON  STARTED
4   join server  server 1  failed: superseded  -         2031-05-17T08:30:00.000Z
";
    assert_eq!(ended.out, expected);
    let add = "POST /api/v1/destinations/3/servers";
    let stage = Stage::set().await.expect(VAULT, 200, page(vec![destination()])).expect(add, 202, failed.clone());
    let ended =
        stage.expect("GET /api/v1/operations/4", 200, failed).run("server add bursar1.a.b --destination vault --wait").await;
    let expected = "\
error: Operation 4 failed: it has issued another connection string since (superseded).
hint: Use the newest one.
next: bursar operation show 4
";
    assert_eq!((ended.code, ended.err.ends_with(expected)), (1, true), "{}", ended.err);
}

#[tokio::test]
async fn reachability_is_a_table_of_neighbours_in_both_directions() {
    let port = |state: &str, age_ms: Option<u64>, detail: Option<&str>| json!({ "state": state, "port": age_ms.map(|_| 4283), "age_ms": age_ms, "detail": detail });
    let (ark, chest, boat) = (
        json!({ "kind": "server", "id": 1, "name": "ark" }),
        json!({ "kind": "server", "id": 2, "name": "chest" }),
        json!({ "kind": "server", "id": 3, "name": "boat" }),
    );
    let node = json!({ "kind": "authority_node", "id": 1, "name": "10.0.0.1:4283" });
    let unheard = || port("not_tried", None, Some("server 3 “boat” was not heard since the present leader leads"));
    let open = || port("reached", Some(4_999), None);
    let paths = |by: &Value, outdated: Option<&str>, [peer, transfer, control]: [Value; 3]| json!({ "tried_by": by, "outdated": outdated, "peer": peer, "transfer": transfer, "control": control });
    let is_offline = Some("server 2 “chest” is offline, and what it found is from before");
    let none = || port("no_such_port", None, Some("nodes take no archives"));
    let matrix = json!({
        "server": ark,
        "neighbours": [
            {
                "object": chest,
                "outbound": paths(&ark, None, [open(), port("timed_out", Some(61_000), None), open()]),
                "inbound": paths(&chest, is_offline, [open(), port("failed", Some(400_000), Some("no route")), unheard()]),
            },
            {
                "object": boat,
                "outbound": paths(&ark, None, [open(), open(), open()]), "inbound": paths(&boat, None, [unheard(), unheard(), unheard()]),
            },
            {
                "object": node,
                "outbound": paths(&ark, None, [open(), none(), port("refused", Some(2_000), None)]),
                "inbound": paths(&node, None, [open(), open(), port("failed", Some(20), Some("another certificate"))]),
            },
        ],
        "observed_absent": null,
    });
    let stage = Stage::set().await.expect(ARK, 200, page(vec![server("online")]));
    let ended = stage.expect("GET /api/v1/servers/1/reachability", 200, matrix.clone()).run("server reachability ark").await;
    let expected = "\
FROM              TO                PEER            TRANSFER             CONTROL
ark               chest             yes, 4 s ago    timed out, 61 s ago  yes, 4 s ago
chest             ark               (yes, 4 s ago)  (failed, 6 min ago)  not known
ark               boat              yes, 4 s ago    yes, 4 s ago         yes, 4 s ago
boat              ark               not known       not known            not known
ark               authority node 1  yes, 4 s ago    -                    refused, 2 s ago
authority node 1  ark               yes, 4 s ago    yes, 4 s ago         failed, 20 ms ago

( ): server 2 “chest” is offline, and what it found is from before
-: nodes take no archives
failed, authority node 1 to ark, control: another certificate
failed, chest to ark, transfer: no route
not known: server 3 “boat” was not heard since the present leader leads
";
    assert_eq!((ended.code, ended.out.as_str()), (0, expected), "{}", ended.err);
    assert!(ended.out.lines().take(7).all(|line| line.chars().count() <= 100), "it fits beside a prompt");

    let absent = with(matrix, json!({ "neighbours": [], "observed_absent": "the leader does not answer" }));
    let stage = Stage::set().await.expect(ARK, 200, page(vec![server("online")]));
    let ended = stage.expect("GET /api/v1/servers/1/reachability", 200, absent).run("server reachability ark").await;
    assert!(ended.out.ends_with("\n\nNo port is known: the leader does not answer.\n"), "{}", ended.out);
}

#[tokio::test]
async fn a_second_address_is_taken_away_and_a_replacement_is_asked_about() {
    let stage = Stage::set().await.expect(ARK, 200, page(vec![server("online")]));
    let stage = stage.expect("PATCH /api/v1/servers/1", 200, server("online"));
    let ended = stage.run("server edit ark --secondary-address none").await;
    assert_eq!((ended.code, &stage.asked()[1]["body"]), (0, &json!({ "secondary_address": null })), "{}", ended.err);
    let ended = Stage::set().await.run("server edit ark").await;
    assert_eq!((ended.code, ended.err.ends_with("next: bursar server edit --help\n")), (2, true));

    let stage = Stage::set().await.expect(ARK, 200, page(vec![server("offline")]));
    let stage = stage.expect("POST /api/v1/servers/1/replace?dry_run=true", 200, rehearsed("accepted", "operation", 4));
    let ended = stage.run("server replace ark bursar1.a.b").await;
    assert_eq!(ended.code, 2);
    assert!(ended.err.ends_with("next: bursar server replace 1 --file FILE --yes\n"), "{}", ended.err);
    let stage = Stage::set().await.expect(ARK, 200, page(vec![server("offline")]));
    let stage = stage.expect("POST /api/v1/servers/1/replace", 202, joining("running", 21));
    assert_eq!(stage.run("server replace ark bursar1.a.b --yes").await.code, 0);
    assert_eq!(stage.asked()[1]["body"], json!({ "connection_string": "bursar1.a.b" }));
}

#[tokio::test]
async fn what_takes_no_further_words_is_asked_for_without_any() {
    let stage = Stage::set().await.expect(ARK, 200, page(vec![server("online")]));
    let ended = stage.expect("POST /api/v1/servers/1/drain", 200, server("online")).run("server drain ark --if-match 1-7").await;
    assert_eq!((ended.code, ended.err.as_str()), (0, "unchanged: nothing to change in server 1 “ark”\n"));
    let stage = Stage::set().await.expect(SHELF, 200, page(vec![store_point(json!({ "state": "online" }))]));
    let stage = stage.expect("POST /api/v1/store-points/2/activate", 200, store_point(json!({ "state": "online" })));
    let ended = stage.run("store-point activate shelf").await;
    assert_eq!((ended.code, &stage.asked()[1]["body"]), (0, &Value::Null), "{}", ended.err);
}

#[tokio::test]
async fn who_calls_a_joining_off_is_told_before_and_after_what_becomes_of_the_machine() {
    let cancel = "POST /api/v1/operations/4/cancel";
    let looked_at = async |status: &str, server: Value| {
        let stage = Stage::set().await.expect("GET /api/v1/operations/4", 200, joining(status, 21));
        if status == "running" { stage.expect("GET /api/v1/servers/1", 200, server) } else { stage }
    };
    let rehearsed = |stage: Stage| stage.expect(&format!("{cancel}?dry_run=true"), 200, rehearsed("changed", "operation", 4));
    let lost =
        "server 1 “ark” is gone for good, and its machine is accepted with no connection string any more until it is made anew.";
    let anew = "to take that machine in after all, run `bursar storage-server init` there with an empty data directory, and use the \
                connection string that it prints\n";

    let stage = rehearsed(looked_at("running", newcomer()).await);
    let ended = stage.typing("\n").run("operation cancel 4").await;
    assert!(ended.code == 1 && ended.err.starts_with(&format!("warning: {lost}\nCall operation 4 off? [y/N] ")), "{}", ended.err);
    let ended = rehearsed(looked_at("running", newcomer()).await).run("operation cancel 4").await;
    assert!(ended.code == 2 && ended.err.contains(&format!("\n  warning: {lost}\nnext: ")), "{}", ended.err);

    let stage = looked_at("running", newcomer()).await.expect(cancel, 200, joining("cancelled", 22));
    let ended = stage.run("operation cancel 4 --yes").await;
    assert_eq!((ended.code, ended.err), (0, format!("called off, carried by operation 4\n{lost}\n{anew}")));
    assert_eq!(stage.asked()[2]["body"], Value::Null);
    // The place of a dead machine outlives whoever was to take it.
    let replaced = with(newcomer(), json!({ "former_guids": ["06"] }));
    let stage = looked_at("running", replaced).await.expect(cancel, 200, joining("cancelled", 22));
    let ended = stage.run("operation cancel 4 --yes").await;
    assert!(ended.err.contains("server 1 “ark” is without a machine until another one takes its place, and"), "{}", ended.err);

    // Whoever removes the server instead has the same trouble.
    let stage = Stage::set().await.expect("GET /api/v1/servers/1", 200, newcomer());
    let stage = stage.expect("DELETE /api/v1/servers/1", 204, Value::Null);
    let ended = stage.run("server remove id:1 --yes").await;
    assert_eq!((ended.code, ended.err), (0, format!("removed server 1 “ark”\n{anew}")));

    let ended_before = problem(409, "operation_ended");
    let stage = looked_at("cancelled", Value::Null).await.refuse(&format!("{cancel}?dry_run=true"), ended_before);
    let ended = stage.typing("y\n").run("operation cancel 4").await;
    assert!(ended.code == 5 && ended.err.starts_with("error: "), "nobody is asked: {}", ended.err);
}

#[tokio::test]
async fn a_store_point_is_listed_with_the_reason_why_it_is_not_online() {
    let offline = json!({ "state": "offline", "reason": "missing", "detail": "its directory is missing" });
    let space = json!({ "free_bytes": 5_000_000_000_u64, "total_bytes": 1_u64 << 41, "used_bytes": 4_000 });
    let seen = json!({ "observed": space, "observed_absent": null, "observed_ms_ago": 40 });
    let unseen = |why: &str| json!({ "observed": null, "observed_absent": why, "observed_ms_ago": null });
    let known = with(store_point(json!({ "state": "online" })), seen.clone());
    let missing = "its server cannot look at it: its directory is missing";
    let limited = with(with(store_point(offline), unseen(missing)), json!({ "id": 3, "quota_bytes": 2_199_023_255_552_u64 }));
    let unknown = |id: u64, seen: &Value| {
        let unknown = json!({ "state": "unknown", "reason": "server_offline", "detail": "its server is offline" });
        with(with(store_point(unknown), seen.clone()), json!({ "id": id, "server_online": false }))
    };
    let failing = json!({ "state": "offline", "reason": "read_only", "detail": "it can be read, but not written to" });
    let failing = with(with(store_point(failing), seen.clone()), json!({ "id": 14 }));
    let unheard = unseen("the leader has not heard of the server since it leads");
    let mut list = vec![known, limited, unknown(4, &seen), failing];
    list.extend((5..=13).map(|id| unknown(id, &unheard)));
    let stage = Stage::set().await.expect("GET /api/v1/store-points?limit=1000&observed=true", 200, page(list));
    let ended = stage.run("store-point list").await;
    let expected = "\
ID  NAME   SERVER  ONLINE                                       USED    FREE             ACCEPTING DATA  NEW ARCHIVES  BALANCING  QUOTA      INTENT  PATH
2   shelf  ark     yes                                          4 kB    5 GB of 2 TiB    on              off           on         unlimited  active  /srv/a
3   shelf  ark     offline: its directory is missing            ?       ?                on              off           on         2 TiB      active  /srv/a
4   shelf  ark     unknown: its server is offline               (4 kB)  (5 GB of 2 TiB)  on              off           on         unlimited  active  /srv/a
14  shelf  ark     offline: it can be read, but not written to  (4 kB)  (5 GB of 2 TiB)  on              off           on         unlimited  active  /srv/a
";
    assert!(ended.code == 0 && ended.out.starts_with(expected), "{}", ended.out);
    let reasons = "\
?, store point 3: its server cannot look at it: its directory is missing
?, store point 5, 6, 7, 8, 9, 10, 11, 12 and 1 more: the leader has not heard of the server since it leads
";
    assert_eq!(ended.err, reasons);
}

#[tokio::test]
async fn store_points_of_one_name_are_told_apart_by_their_servers_and_numbers() {
    let online = || store_point(json!({ "state": "online" }));
    let other = with(online(), json!({ "id": 7, "server": 4, "server_name": "chest", "path": "/srv/b" }));
    let stage = Stage::set().await.expect(SHELF, 200, page(vec![online(), other.clone()]));
    let ended = stage.run("store-point show shelf").await;
    let expected = "\
error: “shelf” may be more than one store point.
  id:2  “shelf” on server 1 “ark”, at /srv/a
  id:7  “shelf” on server 4 “chest”, at /srv/b
hint: Write id: and the number in its place, as below.
next: bursar store-point show id:2
";
    assert_eq!((ended.code, ended.err.as_str()), (2, expected));
    let stage = Stage::set().await.expect("GET /api/v1/store-points/7", 200, other.clone());
    let seen = with(other.clone(), json!({ "observed": null, "observed_absent": "nobody was asked" }));
    let ended = stage.expect("GET /api/v1/store-points/7", 200, seen).run("store-point show id:7").await;
    assert!(ended.code == 0 && ended.out.contains("server          4 “chest”, online\n"), "{ended:?}");

    let mut full = page(vec![online(), other]);
    full["next_page_token"] = "1-1".into();
    let ended = Stage::set().await.expect(SHELF, 200, full).run("store-point drain shelf").await;
    assert!(ended.err.contains("\n  and more: bursar store-point list\nhint: "), "{}", ended.err);
}

#[tokio::test]
async fn a_store_point_is_made_on_a_server_and_edited_by_its_flags() {
    let online = json!({ "state": "online" });
    let stage = Stage::set().await.expect(ARK, 200, page(vec![server("online")]));
    let stage = stage.expect("POST /api/v1/servers/1/store-points", 201, store_point(json!({ "state": "creating" })));
    let ended = stage.run("store-point add shelf --server ark --path /srv/a --quota 500GB").await;
    assert_eq!((ended.code, ended.err.as_str()), (0, "created store point 2 “shelf”\n"));
    assert_eq!(stage.asked()[1]["body"], json!({ "name": "shelf", "path": "/srv/a", "quota_bytes": 500_000_000_000_u64 }));

    let stage = Stage::set().await.expect(SHELF, 200, page(vec![store_point(online.clone())]));
    let stage = stage.expect("PATCH /api/v1/store-points/2", 200, store_point(online));
    let ended = stage.run("store-point edit shelf --accepting-data on --balancing off --quota unlimited").await;
    assert_eq!(
        stage.asked()[1]["body"],
        json!({ "accepting_data": true, "balancing": false, "quota_bytes": null }),
        "{}",
        ended.err
    );
    for (words, why) in [
        ("--accepting-data yes", "must be on or off"),
        ("--quota 0", "must be at least one byte"),
        ("--quota=-1", "must be a size such as 500GB, 1.5TB or 2TiB, or a number of bytes"),
        ("--quota 5G", "has the unit G; the units are B, kB, KiB"),
    ] {
        let words = format!("bursar store-point edit shelf {words}");
        let told = Program::try_parse_from(words.split(' ')).unwrap_err().to_string();
        assert!(told.contains(why), "{words}: {told}");
    }
}

#[tokio::test]
async fn sizes_are_told_in_units_to_people_and_in_bytes_to_programs() {
    let limited = || with(store_point(json!({ "state": "online" })), json!({ "quota_bytes": 1_999_999_999_999_u64 }));
    let list = "GET /api/v1/store-points?limit=1000&observed=true";
    let unseen = with(limited(), json!({ "observed": null, "observed_absent": "nobody was asked" }));
    let ended = Stage::set().await.expect(list, 200, page(vec![unseen])).run("store-point list -o json").await;
    assert!(ended.out.contains("\"quota_bytes\": 1999999999999"), "{}", ended.out);
    let space = json!({ "free_bytes": 5_000_000_000_u64, "total_bytes": 1_u64 << 41, "used_bytes": 0 });
    let known = with(limited(), json!({ "observed": space, "observed_absent": null }));
    let stage = Stage::set().await.expect(SHELF, 200, page(vec![limited()]));
    let ended = stage.expect("GET /api/v1/store-points/2", 200, known).run("store-point show shelf").await;
    assert!(ended.out.contains("quota           1.8 TiB\n"), "{}", ended.out);
    assert!(ended.out.contains("used            0 B\nfree            5 GB of 2 TiB\n"), "{}", ended.out);

    let limited = |rate: Value| {
        let mut destination = destination();
        destination["balancing"]["rate_bytes_per_second"] = rate;
        destination
    };
    let stage = Stage::set().await.expect(VAULT, 200, page(vec![limited(Value::Null)]));
    let stage = stage.expect("PATCH /api/v1/destinations/3", 200, limited(json!(50_000_000)));
    let ended = stage.run("destination edit vault --rate 50MB/s").await;
    assert_eq!(stage.asked()[1]["body"], json!({ "balancing": { "rate_bytes_per_second": 50_000_000 } }), "{}", ended.err);
    assert!(ended.out.contains("  rate                50 MB/s\n"), "{}", ended.out);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_asked_for_once_and_told_with_the_command_that_shows_it() {
    let object = Some(ObjectRef { kind: "server".into(), id: 1 });
    let refusal = Problem { object, ..problem(503, "server_unreachable") }.with_fate(Fate::NotDone).with_retry_after(1);
    let stage = Stage::set().await.expect(ARK, 200, page(vec![server("online")]));
    let stage = stage.refuse("POST /api/v1/servers/1/store-points", refusal);
    let ended = stage.run("store-point add shelf --server ark --path /srv/a").await;
    assert_eq!(ended.code, 1, "{}", ended.err);
    assert!(ended.err.ends_with("next: bursar server show 1\n"), "{}", ended.err);
}

#[tokio::test]
async fn how_a_store_point_is_filled_is_shown_where_it_is_known() {
    let space = json!({ "free_bytes": 5, "total_bytes": 9, "used_bytes": 4 });
    let observed = json!({ "observed": space, "observed_absent": null, "observed_ms_ago": 7_200_000 });
    let known = with(store_point(json!({ "state": "online" })), observed);
    let stage = Stage::set().await.expect(SHELF, 200, page(vec![store_point(json!({ "state": "online" }))]));
    let ended = stage.expect("GET /api/v1/store-points/2", 200, known).run("store-point show shelf").await;
    assert!(ended.out.contains("used            4 B\nfree            5 B of 9 B\nas of           2 h ago\n"), "{}", ended.out);
    assert!(ended.out.contains("directory       CrashPlanArchive_m1x2\nnotes           call 555-0100\n"), "{}", ended.out);
}

#[tokio::test]
async fn the_overview_of_alerts_says_what_covers_them_and_who_has_noted_them() {
    let by = json!({ "kind": "token", "id": 1, "name": "ada" });
    let noted = json!({ "by": by, "at": "2031-05-17T08:31:00.000Z", "note": "disk ordered" });
    let over = json!({ "state": "resolved", "since": "2031-05-17T08:30:00.000Z", "at": "2031-05-17T08:45:00.000Z" });
    let over = with(alert(7, Value::Null), json!({ "condition": over }));
    let list = page(vec![alert(5, Value::Null), alert(6, noted.clone()), over]);
    let ended = Stage::set().await.expect("GET /api/v1/alerts?limit=1000", 200, list).run("alert list").await;
    let expected = "\
ID  SEVERITY  CONDITION  SINCE                     UNTIL                     ALERT                              SERVER  REASON                    COVERED BY  ACKNOWLEDGED BY
5   critical  firing     2031-05-17T08:30:00.000Z  -                         Store point is unavailable: shelf  ark     its directory is missing  alert 4     -
6   critical  firing     2031-05-17T08:30:00.000Z  -                         Store point is unavailable: shelf  ark     its directory is missing  alert 4     token 1 “ada”
7   critical  resolved   2031-05-17T08:30:00.000Z  2031-05-17T08:45:00.000Z  Store point is unavailable: shelf  ark     its directory is missing  alert 4     -
";
    assert_eq!((ended.code, ended.out.as_str()), (0, expected), "{}", ended.err);
    let maintained = with(alert(8, Value::Null), json!({ "inhibited_by": { "kind": "server", "id": 1, "name": "ark" } }));
    let stage = Stage::set().await.expect("GET /api/v1/alerts?limit=1000", 200, page(vec![maintained.clone()]));
    let ended = stage.run("alert list").await;
    assert!(ended.out.ends_with("  maintenance of server 1 “ark”  -\n"), "{}", ended.out);
    let ended = Stage::set().await.expect("GET /api/v1/alerts/8", 200, maintained).run("alert show 8").await;
    assert!(ended.out.contains("covered by    maintenance of server 1 “ark”\n"), "{}", ended.out);
    let ended = Stage::set().await.expect("GET /api/v1/alerts/6", 200, alert(6, noted)).run("alert show 6").await;
    let place = "\
subject       store point 2 “shelf”
server        server 1 “ark”
path          /srv/a/CrashPlanArchive_m1x2
reason        its directory is missing
";
    assert!(ended.out.contains(place), "{}", ended.out);
    assert!(
        ended.out.contains("acknowledged  2031-05-17T08:31:00.000Z by token 1 “ada”\nnote          disk ordered\n"),
        "{}",
        ended.out
    );
}

#[tokio::test]
async fn alerts_are_acknowledged_by_number_or_by_what_they_have_in_common() {
    let acknowledge = "POST /api/v1/alerts/acknowledge";
    let noted = json!({ "by": { "kind": "token", "id": 1 }, "at": "2031-05-17T08:31:00.000Z", "note": "" });
    let answer = json!({ "alerts": [alert(5, noted.clone()), alert(6, noted.clone())], "acknowledged_before": [] });
    let stage = Stage::set().await.expect(acknowledge, 200, answer.clone());
    let ended = stage.run_words(&["alert", "acknowledge", "5", "6", "--note", "disk ordered"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, "acknowledged alert 5, 6\n"));
    assert_eq!(stage.asked()[0]["body"], json!({ "ids": [5, 6], "note": "disk ordered" }));
    let stage = Stage::set().await.expect(acknowledge, 200, answer);
    let ended = stage.run("alert acknowledge --filter subject=server:1 -o json").await;
    assert_eq!((ended.code, &stage.asked()[0]["body"]), (0, &json!({ "filter": "subject=server:1" })), "{}", ended.err);
    assert_eq!(serde_json::from_str::<Vec<Value>>(&ended.out).unwrap().len(), 2);
    // A note is told with what it was taken of.
    let spoken = with(noted.clone(), json!({ "note": "cable" }));
    let answer = json!({ "alerts": [alert(5, spoken)], "acknowledged_before": [] });
    let ended = Stage::set().await.expect(acknowledge, 200, answer).run("alert acknowledge 5 --note cable").await;
    assert_eq!((ended.code, ended.err.as_str()), (0, "acknowledged alert 5, with the note “cable”\n"));
    // What changed nothing says so.
    let answer = json!({ "alerts": [alert(5, noted.clone()), alert(6, noted)], "acknowledged_before": [6] });
    let ended = Stage::set().await.expect(acknowledge, 200, answer).run("alert acknowledge 5 6").await;
    let told = "acknowledged alert 5\nalert 6 was acknowledged before: 2031-05-17T08:31:00.000Z by token 1\n";
    assert_eq!((ended.code, ended.err.as_str()), (0, told));
    let answer = json!({ "alerts": [], "acknowledged_before": [] });
    let ended = Stage::set().await.expect(acknowledge, 200, answer).run("alert acknowledge --filter open=true").await;
    let told = "nothing to do: the condition is met by no open alert that nobody has acknowledged\n";
    assert_eq!((ended.code, ended.err.as_str()), (0, told));
    for words in ["bursar alert acknowledge", "bursar alert acknowledge 5 --filter kind=x", "bursar alert acknowledge five"] {
        assert!(Program::try_parse_from(words.split(' ')).is_err(), "{words}");
    }
    // A variable that is not set does not mean everything.
    for empty in ["", " "] {
        let refused = Program::try_parse_from(["bursar", "alert", "acknowledge", "--filter", empty]).unwrap_err().to_string();
        assert!(refused.contains("must be a condition, and is empty; open=true means all alerts that are open"), "{refused}");
    }
}
