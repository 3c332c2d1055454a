//! `bursar status` and `bursar health`

use std::{fmt::Write, time::Duration};

use bursar_wire::{
    client::NodeUrl,
    query::ReadQuery,
    status::{Counts, Grade, MemberStatus, Status},
};

use crate::{
    Console,
    console::Paint,
    failure::{Exit, Failure},
    options::Format,
    output::{self, or_dash},
    session::Session,
};

/// How long the leader may take to tell what it observes, once another node has answered.
const LEADER_TIMEOUT: Duration = Duration::from_secs(2);

/// Shows how the cluster fares, on one screen.
pub(crate) async fn status(session: &mut Session<'_>) -> Result<(), Failure> {
    let status = observed(session).await?;
    let screen = screen(&status, session.console);
    session.show(&status, || screen)?;
    learn_members(session, &status)
}

/// Tells whether the cluster is healthy, and why not.
pub(crate) async fn health(session: &mut Session<'_>) -> Result<(), Failure> {
    let status = observed(session).await?;
    learn_members(session, &status)?;
    let mut text = format!("{}\n", grade(status.health, session.console));
    reasons(&status, &mut text);
    match session.format {
        Format::Json => {
            let document = serde_json::json!({ "health": status.health, "checks": status.checks });
            session.console.line(&output::json(&document))?;
        }
        Format::Table => session.console.write(text.as_bytes())?,
    }
    match status.health {
        Grade::Ok => Ok(()),
        grade => Err(Failure::new(Exit::Unhealthy, format!("The cluster's health is {}.", grade.as_str()), "bursar status")),
    }
}

fn learn_members(session: &mut Session<'_>, status: &Status) -> Result<(), Failure> {
    session.learn_members(status.members.iter().map(|member| member.api_address.as_str()))
}

/// How the cluster fares, from the leader where it can be asked: it alone observes the others. Without one, a node tells what it
/// has.
async fn observed(session: &Session<'_>) -> Result<Status, Failure> {
    let query = ReadQuery::stale();
    let answer = session.client.get("status", &query).await?;
    let status: Status = answer.json()?;
    if status.unobserved_reason.is_none() {
        return Ok(status);
    }
    let leader = status.members.iter().find(|member| Some(member.id) == status.leader);
    let Some(Ok(address)) = leader.map(|leader| leader.api_address.parse()) else { return Ok(status) };
    let leader = session.client.narrowed_to(NodeUrl::new(answer.node.is_secure(), address), LEADER_TIMEOUT)?;
    // The leader's API may be out of reach from here; what was answered is true all the same.
    let Ok(answer) = leader.get("status", &query).await else { return Ok(status) };
    Ok(answer.json().unwrap_or(status))
}

/// The one screen.
fn screen(status: &Status, console: &Console) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let name = console.painted(Paint::Heading, &format!("{name:<11}"));
        writeln!(text, "{name} {value}").expect("a String takes everything");
    };
    line("Health", grade(status.health, console));
    let mut why = String::new();
    reasons(status, &mut why);
    let tolerance = status.fault_tolerance;
    let answering = match tolerance.voters_reachable {
        Some(reachable) => format!(", {reachable} answering"),
        None => String::new(),
    };
    if !why.is_empty() {
        line("", why.trim_end().replace('\n', "\n            "));
    }
    line("Quorum", format!("{} of {} voters needed{answering}", tolerance.quorum, tolerance.voters));
    line("Tolerates", tolerated(status));
    line("Leader", leader(status));
    line("Cluster", format!("{}, epoch {}, level {}", status.cluster, status.epoch, status.level));
    line("Revision", format!("{} at {}", status.revision, status.time));
    line("Storage", storage(status));
    line("Alerts", alerts(status));
    line("Objects", counts(status));
    let node = &status.node;
    let recovered = if node.recovered { "" } else { ", still reading its data" };
    line("Told by", format!("authority node {}, {} in term {}{recovered}", node.id, node.role.as_str(), node.term));
    if let Some(reason) = &status.unobserved_reason {
        line("", format!("lag and answers are not known: {reason}"));
    }
    text.push('\n');
    let heading = ["id", "role", "intent", "lag", "answered", "version", "site", "api address"];
    text.push_str(&output::table(&heading, status.members.iter().map(member)));
    text
}

fn grade(grade: Grade, console: &Console) -> String {
    let paint = match grade {
        Grade::Ok => Paint::Good,
        Grade::Unknown | Grade::Warn => Paint::Doubtful,
        Grade::Err => Paint::Bad,
    };
    console.painted(paint, grade.as_str())
}

/// The reasons, the worst first, each with its remedy.
fn reasons(status: &Status, text: &mut String) {
    let mut checks: Vec<_> = status.checks.iter().collect();
    checks.sort_by_key(|check| std::cmp::Reverse(check.severity));
    for check in checks {
        writeln!(text, "{} {} ({})\n    {}", check.severity.as_str(), check.summary, check.code, check.remedy)
            .expect("a String takes everything");
    }
}

/// How many failures can still be borne: fewer than the membership allows where some voters are gone already.
fn tolerated(status: &Status) -> String {
    let tolerance = status.fault_tolerance;
    let possible = counted(tolerance.failures_tolerated.into(), "failure");
    match tolerance.voters_reachable {
        Some(reachable) if reachable < tolerance.quorum => {
            let missing = tolerance.quorum - reachable;
            let voters = counted(missing.into(), "more voter");
            format!("nothing: quorum is lost, {voters} must return")
        }
        Some(reachable) if reachable < tolerance.voters => match reachable.saturating_sub(tolerance.quorum) {
            0 => "no further failure".to_owned(),
            left => format!("{} more", counted(left.into(), "failure")),
        },
        Some(_) => possible,
        None if status.leader.is_some() => format!("{possible}, if all voters answer"),
        None => "not known without a leader".to_owned(),
    }
}

fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

/// A span as people tell it, from milliseconds.
fn ago(span_ms: u64) -> String {
    match span_ms {
        0..1_000 => format!("{span_ms} ms ago"),
        1_000..120_000 => format!("{} s ago", span_ms / 1_000),
        _ => format!("{} min ago", span_ms / 60_000),
    }
}

fn leader(status: &Status) -> String {
    let Some(leader) = status.leader else { return "none known".to_owned() };
    match status.members.iter().find(|member| member.id == leader) {
        Some(member) => format!("authority node {leader} at {}", member.api_address),
        None => format!("authority node {leader}"),
    }
}

fn storage(status: &Status) -> String {
    let counts = status.counts;
    let failing = |failing: u64, how: &str| if failing == 0 { String::new() } else { format!(", {failing} {how}") };
    let servers = counted(counts.servers, "server") + &failing(counts.servers_offline, "offline");
    let store_points = counted(counts.store_points, "store point") + &failing(counts.store_points_offline, "out of use");
    format!("{servers}; {store_points}")
}

/// What fires, and what is over and still stands in the overview.
fn alerts(status: &Status) -> String {
    let Counts { alerts_open, alerts_firing, alerts_critical, .. } = status.counts;
    let over = match alerts_open.saturating_sub(alerts_firing) {
        0 => String::new(),
        over => format!("; {over} over and not acknowledged"),
    };
    match (alerts_firing, alerts_open) {
        (0, 0) => "none".to_owned(),
        (0, _) => format!("none firing{over}: bursar alert list"),
        (firing, _) => format!("{firing} firing, {alerts_critical} critical{over}: bursar alert list"),
    }
}

fn counts(status: &Status) -> String {
    let counts = status.counts;
    let running = counted(counts.operations_running, "running operation");
    [
        counted(counts.sites, "site"),
        counted(counts.destinations, "destination"),
        format!("{running} and {} ended", counts.operations_ended),
        counted(counts.tokens, "token"),
        counted(counts.invitations, "open invitation"),
    ]
    .join(", ")
}

fn member(member: &MemberStatus) -> Vec<String> {
    let (lag, answered) = match &member.observed {
        None => ("?".to_owned(), "?".to_owned()),
        Some(observed) => {
            let answered = match (observed.reachable, observed.last_answer_ms.map(ago)) {
                (true, ago) => or_dash(ago),
                (false, Some(ago)) => format!("no, {ago}"),
                (false, None) => "not in this term".to_owned(),
            };
            (or_dash(observed.lag_entries), answered)
        }
    };
    vec![
        member.id.to_string(),
        or_dash(member.role.map(|role| role.as_str())),
        member.intent.as_str().into(),
        lag,
        answered,
        member.version.clone(),
        or_dash(member.site),
        member.api_address.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use std::io;

    use serde_json::json;

    use super::*;
    use crate::console::Reader;

    fn console(colored: bool) -> Console {
        Console {
            out: Box::new(io::sink()),
            err: Box::new(io::sink()),
            reader: Reader::Program,
            input: Box::new(io::empty()),
            interactive: false,
            colored,
        }
    }

    fn three_members() -> Status {
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
            "cluster": "000102030405060708090a0b0c0d0e0f", "epoch": 1, "level": 1, "revision": "1-1234",
            "time": "2031-05-17T08:30:00.000Z", "leader": 2, "health": "OK", "checks": [],
            "fault_tolerance": { "voters": 3, "quorum": 2, "failures_tolerated": 1, "voters_reachable": 3 },
            "members": [member(1, "voter", observed(0, 12)), member(2, "leader", leader), member(3, "voter", observed(7, 48))],
            "unobserved_reason": null,
            "counts": {
                "authority_nodes": 3, "sites": 2, "destinations": 1, "servers": 2, "servers_offline": 0, "store_points": 3,
                "store_points_offline": 0, "alerts_open": 0, "alerts_firing": 0, "alerts_critical": 0,
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

    #[test]
    fn a_healthy_cluster() {
        assert_eq!(screen(&three_members(), &console(false)), include_str!("../tests/golden/status_healthy.txt").trim_end());
    }

    #[test]
    fn a_member_that_is_gone() {
        let mut status = three_members();
        status.health = Grade::Warn;
        status.fault_tolerance.voters_reachable = Some(2);
        let observed = status.members[2].observed.as_mut().unwrap();
        (observed.reachable, observed.last_answer_ms) = (false, Some(90_000));
        let check = json!({
            "code": "member_unreachable", "severity": "WARN", "summary": "Authority node 3 at 10.0.0.3:4283 has not answered the leader since 2031-05-17T08:28:30.000Z.",
            "remedy": "Start it there.",
        });
        status.checks.push(serde_json::from_value(check).unwrap());
        assert_eq!(screen(&status, &console(false)), include_str!("../tests/golden/status_member_gone.txt").trim_end());
    }

    #[test]
    fn storage_that_fails_is_told_with_its_alerts() {
        let mut status = three_members();
        (status.counts.servers_offline, status.counts.store_points_offline) = (1, 2);
        (status.counts.alerts_open, status.counts.alerts_firing, status.counts.alerts_critical) = (4, 4, 3);
        assert_eq!(storage(&status), "2 servers, 1 offline; 3 store points, 2 out of use");
        assert_eq!(alerts(&status), "4 firing, 3 critical: bursar alert list");
    }

    #[test]
    fn alerts_that_are_over_are_told_from_those_that_fire() {
        let mut status = three_members();
        assert_eq!(alerts(&status), "none");
        (status.counts.alerts_open, status.counts.alerts_firing, status.counts.alerts_critical) = (3, 1, 1);
        assert_eq!(alerts(&status), "1 firing, 1 critical; 2 over and not acknowledged: bursar alert list");
        (status.counts.alerts_firing, status.counts.alerts_critical) = (0, 0);
        assert_eq!(alerts(&status), "none firing; 3 over and not acknowledged: bursar alert list");
    }

    #[test]
    fn a_lost_quorum_says_how_many_voters_must_return() {
        let mut status = three_members();
        status.fault_tolerance.voters_reachable = Some(1);
        assert_eq!(tolerated(&status), "nothing: quorum is lost, 1 more voter must return");
        let observed = status.members[2].observed.as_mut().unwrap();
        (observed.reachable, observed.last_answer_ms) = (false, None);
        assert_eq!(member(&status.members[2])[4], "not in this term");
    }

    #[test]
    fn a_node_that_is_alone() {
        let mut status = three_members();
        status.health = Grade::Err;
        status.leader = None;
        status.fault_tolerance.voters_reachable = None;
        status.node.role = bursar_wire::status::NodeRole::Candidate;
        for member in &mut status.members {
            (member.observed, member.role) = (None, Some(bursar_wire::cluster::MemberRole::Voter));
        }
        status.unobserved_reason = Some("only a leader observes the others, and this node knows none".into());
        let checks = json!([
            { "code": "clock", "severity": "WARN", "summary": "A warning comes second.", "remedy": "Look at it." },
            { "code": "no_leader", "severity": "ERR", "summary": "This node knows no leader.", "remedy": "Start the others." },
        ]);
        status.checks = serde_json::from_value(checks).unwrap();
        assert_eq!(screen(&status, &console(false)), include_str!("../tests/golden/status_alone.txt").trim_end());
    }

    #[test]
    fn colours_are_for_terminals_alone() {
        assert!(!screen(&three_members(), &console(false)).contains('\x1b'));
        assert!(screen(&three_members(), &console(true)).contains("\x1b[32mOK\x1b[0m"));
    }
}
