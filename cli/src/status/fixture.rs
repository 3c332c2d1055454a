//! A cluster of three, as its nodes tell of it.

use bursar_wire::{
    cluster::MemberRole,
    status::{Grade, NodeRole, Status},
};
use serde_json::json;

use super::picture::Unasked;

/// As its leader tells of it, authority node 2.
pub(super) fn three_members() -> Status {
    let member = |id: u64, role: &str, observed: serde_json::Value| {
        json!({
            "id": id, "site": if id == 3 { json!(null) } else { json!(1) }, "api_address": format!("10.0.0.{id}:4285"),
            "peer_address": format!("10.0.0.{id}:4283"), "version": "0.1.0", "intent": "voting", "role": role,
            "observed": observed,
        })
    };
    let observed = |lag: u64, ago_ms: u64| json!({ "reachable": true, "lag_entries": lag, "last_answer_ms": ago_ms });
    let leader = json!({ "reachable": true, "lag_entries": 0, "last_answer_ms": null });
    let status = json!({
        "cluster": "000102030405060708090a0b0c0d0e0f", "epoch": 1, "level": 1, "revision": "1-1234", "stale": null,
        "time": "2031-05-17T08:30:00.000Z", "leader": 2, "health": "OK", "checks": [],
        "fault_tolerance": { "voters": 3, "quorum": 2, "failures_tolerated": 1, "voters_reachable": 3 },
        "members": [member(1, "voter", observed(0, 12)), member(2, "leader", leader), member(3, "voter", observed(7, 48))],
        "unobserved_reason": null,
        "counts": {
            "authority_nodes": 3, "sites": 2, "destinations": 1, "servers": 2, "servers_offline": 0, "servers_in_maintenance": 0,
            "store_points": 3,
            "store_points_offline": 0, "alerts_open": 0, "alerts_critical": 0, "alerts_warning": 0, "alerts_acknowledged": 0,
            "alerts_covered": 0, "alerts_expected": 0, "alerts_over": 0,
            "operations_running": 0, "operations_ended": 2,
            "tokens": 1, "invitations": 0,
        },
        "node": {
            "id": 2, "role": "leader", "term": 4, "last_log_index": 99, "committed_index": 99, "applied_index": 99,
            "purged_index": null, "checkpoint_index": 50, "voters": [1, 2, 3], "learners": [], "quorum_last_answer_ms": 12,
            "recovered": true,
        },
    });
    serde_json::from_value(status).unwrap()
}

/// As authority node 2 tells of it that knows no leader, 40 seconds after the last one.
pub(super) fn alone() -> Status {
    let mut status = three_members();
    (status.health, status.leader, status.fault_tolerance.voters_reachable) = (Grade::Err, None, None);
    status.node.role = NodeRole::Candidate;
    for member in &mut status.members {
        (member.observed, member.role) = (None, Some(MemberRole::Voter));
    }
    status.unobserved_reason = Some("only a leader observes the others, and this node knows none".into());
    status.stale =
        Some(serde_json::from_value(json!({ "age_ms": 40_000, "last_event_at": "2031-05-17T08:29:00.000Z" })).unwrap());
    let check =
        json!({ "code": "no_leader", "severity": "ERR", "summary": "This node knows no leader.", "remedy": "Start the others." });
    status.checks = vec![serde_json::from_value(check).unwrap()];
    status
}

/// What becomes of asking a member that is down.
pub(super) fn down(why: &str) -> Result<Status, Unasked> {
    Err(Unasked { answers: Some(false), why: why.to_owned() })
}

/// A screen as it should be.
pub(super) fn golden(name: &str) -> String {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap().trim_end().to_owned()
}
