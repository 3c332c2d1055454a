//! The one screen.

use std::fmt::Write;

use bursar_wire::status::{Counts, Grade, MemberStatus, Status};

use super::picture::{Asked, Picture};
use crate::{
    Console,
    console::Paint,
    output::{ago, or_dash, table},
};

/// All that there is to see.
pub(super) fn whole(picture: &Picture, console: &Console) -> String {
    let status = &picture.status;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let name = console.painted(Paint::Heading, &format!("{name:<11}"));
        writeln!(text, "{name} {value}").expect("a String takes everything");
    };
    line("Health", verdict(status, console));
    let mut why = String::new();
    reasons(status, &mut why);
    if !why.is_empty() {
        line("", why.trim_end().replace('\n', "\n            "));
    }
    line("Quorum", quorum(picture));
    line("Tolerates", tolerated(picture));
    line("Leader", leader(picture));
    line("Cluster", format!("{}, epoch {}, level {}", status.cluster, status.epoch, status.level));
    let as_of = as_of(status).map(|as_of| format!(" ({as_of})")).unwrap_or_default();
    line(
        "Revision",
        if as_of.is_empty() { format!("{} at {}", status.revision, status.time) } else { status.revision.clone() + &as_of },
    );
    line("Storage", storage(status) + &as_of);
    line("Alerts", alerts(&status.counts) + &as_of);
    line("Objects", counts(status) + &as_of);
    let node = &status.node;
    let recovered = if node.recovered { "" } else { ", still reading its data" };
    line("Told by", format!("authority node {}, {} in term {}{recovered}", node.id, node.role.as_str(), node.term));
    if !as_of.is_empty() {
        line("", "no quorum confirms what it tells".to_owned());
    }
    if let Some(reason) = &status.unobserved_reason {
        line("", format!("who lags is not known: {reason}"));
    }
    text.push('\n');
    text.push_str(&members(picture));
    text
}

/// Whether the cluster is healthy, and why not.
pub(super) fn health(status: &Status, console: &Console) -> String {
    let mut text = format!("{}\n", verdict(status, console));
    reasons(status, &mut text);
    text
}

/// The authority's grade, and beside it the alerts that ask for attention: they are of storage, and no grade covers them. What
/// somebody has taken note of raises nothing, and is not kept quiet: no `OK` stands alone while it fires.
fn verdict(status: &Status, console: &Console) -> String {
    let grade = grade(status.health, console);
    let Counts { alerts_critical: critical, alerts_warning: warning, alerts_acknowledged: acknowledged, .. } = status.counts;
    let asking = match (critical, warning) {
        (0, 0) => None,
        (0, warning) => Some(console.painted(Paint::Doubtful, &counted(warning, "warning"))),
        (critical, _) => Some(console.painted(Paint::Bad, &counted(critical, "critical alert"))),
    };
    let mut verdict = asking.map_or_else(|| grade.clone(), |alerts| format!("authority {grade}, storage with {alerts}"));
    if acknowledged > 0 {
        let fire = if acknowledged == 1 { "fires" } else { "fire" };
        verdict.push_str(&format!("; {} still {fire}", counted(acknowledged, "acknowledged alert")));
    }
    verdict
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

fn quorum(picture: &Picture) -> String {
    let tolerance = picture.status.fault_tolerance;
    let answering = match (tolerance.voters_reachable, picture.voters_answering()) {
        (Some(reachable), _) => format!(", {reachable} answering"),
        (None, Some(answering)) => format!(", {answering} answering from here"),
        (None, None) => String::new(),
    };
    format!("{} of {} voters needed{answering}", tolerance.quorum, tolerance.voters)
}

/// How many failures can still be borne: fewer than the membership allows where some voters are gone already.
fn tolerated(picture: &Picture) -> String {
    let status = &picture.status;
    let tolerance = status.fault_tolerance;
    let possible = counted(tolerance.failures_tolerated.into(), "failure");
    // Who answers from here may not reach the others; but without a quorum nobody leads.
    let too_few = picture.voters_answering().filter(|answering| status.leader.is_none() && *answering < tolerance.quorum);
    match tolerance.voters_reachable.or(too_few) {
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
        None if picture.silent_leader().is_some() => "not known while the leader does not answer from here".to_owned(),
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

fn leader(picture: &Picture) -> String {
    let status = &picture.status;
    let Some(leader) = status.leader else { return "none known".to_owned() };
    let place = status.members.iter().find(|member| member.id == leader).map(|member| format!(" at {}", member.api_address));
    let silent = picture.silent_leader().map_or("", |_| ", which does not answer from here");
    format!("authority node {leader}{}{silent}", place.unwrap_or_default())
}

/// Of when it is what the node tells of the cluster, where no quorum confirms it.
fn as_of(status: &Status) -> Option<String> {
    let stale = status.stale.as_ref()?;
    Some(stale.age_ms.map_or_else(|| format!("as of {}", stale.last_event_at), |age_ms| format!("as of {}", ago(age_ms))))
}

fn storage(status: &Status) -> String {
    let counts = status.counts;
    let of_them = |some: u64, how: &str| if some == 0 { String::new() } else { format!(", {some} {how}") };
    let servers = counted(counts.servers, "server")
        + &of_them(counts.servers_offline, "offline")
        + &of_them(counts.servers_in_maintenance, "in maintenance");
    let store_points = counted(counts.store_points, "store point") + &of_them(counts.store_points_offline, "offline");
    format!("{servers}; {store_points}")
}

/// What asks for attention by its severity; then what fires and does not: for somebody has taken note, or because it was announced;
/// then what is over and nobody has taken note of.
fn alerts(counts: &Counts) -> String {
    let Counts { alerts_critical: critical, alerts_warning: warning, .. } = *counts;
    let Counts { alerts_acknowledged: acknowledged, alerts_covered: covered, .. } = *counts;
    let Counts { alerts_expected: expected, alerts_over: over, .. } = *counts;
    let parts = [
        (critical, format!("{critical} critical")),
        (warning, counted(warning, "warning")),
        (acknowledged, format!("{acknowledged} acknowledged")),
        (covered, format!("{covered} covered by another")),
        (expected, format!("{expected} expected by maintenance")),
        (over, format!("{over} over and not acknowledged")),
    ];
    let parts: Vec<_> = parts.into_iter().filter(|(count, _)| *count > 0).map(|(_, part)| part).collect();
    if parts.is_empty() { "none".to_owned() } else { format!("{}: bursar alert list", parts.join(", ")) }
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

/// The members as the leader sees them; where none tells that, as they answer from here.
fn members(picture: &Picture) -> String {
    let members = &picture.status.members;
    if picture.asked.is_empty() {
        let heading = ["id", "role", "intent", "lag", "answered", "version", "site", "api address"];
        return table(&heading, members.iter().map(|member| row(member, observed(member))));
    }
    let heading = ["id", "role", "intent", "answers from here", "revision", "version", "site", "api address"];
    let seen = |member: &MemberStatus| seen(picture.asked.iter().find(|asked| asked.id == member.id));
    table(&heading, members.iter().map(|member| row(member, seen(member))))
}

fn row(member: &MemberStatus, [first, second]: [String; 2]) -> Vec<String> {
    vec![
        member.id.to_string(),
        or_dash(member.role.map(|role| role.as_str())),
        member.intent.as_str().into(),
        first,
        second,
        member.version.clone(),
        or_dash(member.site),
        member.api_address.clone(),
    ]
}

/// How far it lags, and when it answered the leader last.
fn observed(member: &MemberStatus) -> [String; 2] {
    let Some(observed) = &member.observed else { return ["?", "?"].map(str::to_owned) };
    let answered = match (observed.reachable, observed.last_answer_ms.map(ago)) {
        (true, ago) => or_dash(ago),
        (false, Some(ago)) => format!("no, {ago}"),
        (false, None) => "not in this term".to_owned(),
    };
    [or_dash(observed.lag_entries), answered]
}

/// Whether it answers from here, and up to where it knows what happened.
fn seen(asked: Option<&Asked>) -> [String; 2] {
    let Some(asked) = asked else { return ["?", "?"].map(str::to_owned) };
    let detail = asked.detail.as_deref().or(asked.role.map(|role| role.as_str())).unwrap_or_default();
    let answers = match asked.answers {
        Some(true) => format!("yes: {detail}"),
        Some(false) => format!("no: {detail}"),
        None => detail.to_owned(),
    };
    [answers, or_dash(asked.revision.as_ref())]
}

#[cfg(test)]
mod tests {
    use std::io;

    use serde_json::json;

    use super::{super::fixture::*, *};
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

    /// As a leader with a quorum tells it.
    fn told(status: Status) -> Picture {
        Picture { status, asked: Vec::new() }
    }

    #[test]
    fn a_healthy_cluster() {
        assert_eq!(whole(&told(three_members()), &console(false)), golden("status_healthy.txt"));
    }

    #[test]
    fn a_member_that_is_gone() {
        let mut status = three_members();
        status.health = Grade::Warn;
        status.fault_tolerance.voters_reachable = Some(2);
        let observed = status.members[2].observed.as_mut().unwrap();
        (observed.reachable, observed.lag_entries, observed.last_answer_ms) = (false, None, Some(90_000));
        let check = json!({
            "code": "member_unreachable", "severity": "WARN", "summary": "Authority node 3 at 10.0.0.3:4283 has not answered the leader since 2031-05-17T08:28:30.000Z.",
            "remedy": "Start it there.",
        });
        status.checks.push(serde_json::from_value(check).unwrap());
        assert_eq!(whole(&told(status), &console(false)), golden("status_member_gone.txt"));
    }

    #[test]
    fn storage_that_fails_is_told_with_its_alerts_and_no_ok_stands_alone() {
        let mut status = three_members();
        (status.counts.servers_offline, status.counts.store_points_offline) = (1, 2);
        (status.counts.alerts_open, status.counts.alerts_critical, status.counts.alerts_warning) = (4, 3, 1);
        assert_eq!(storage(&status), "2 servers, 1 offline; 3 store points, 2 offline");
        assert_eq!(alerts(&status.counts), "3 critical, 1 warning: bursar alert list");
        assert_eq!(verdict(&status, &console(false)), "authority OK, storage with 3 critical alerts");
        let painted = verdict(&status, &console(true));
        assert!(painted.contains("\x1b[31m3 critical alerts\x1b[0m"), "{painted:?}");
        status.counts.alerts_critical = 0;
        assert_eq!(verdict(&status, &console(false)), "authority OK, storage with 1 warning");
    }

    #[test]
    fn alerts_that_somebody_has_taken_note_of_or_that_are_over_are_told_apart() {
        let mut status = three_members();
        assert_eq!(alerts(&status.counts), "none");
        (status.counts.alerts_open, status.counts.alerts_critical) = (6, 2);
        (status.counts.alerts_acknowledged, status.counts.alerts_over) = (2, 2);
        let expected = "2 critical, 2 acknowledged, 2 over and not acknowledged: bursar alert list";
        assert_eq!(alerts(&status.counts), expected);
        let expected = "authority OK, storage with 2 critical alerts; 2 acknowledged alerts still fire";
        assert_eq!(verdict(&status, &console(false)), expected);
        (status.counts.alerts_critical, status.counts.alerts_acknowledged) = (0, 1);
        assert_eq!(alerts(&status.counts), "1 acknowledged, 2 over and not acknowledged: bursar alert list");
        assert_eq!(verdict(&status, &console(false)), "OK; 1 acknowledged alert still fires");
        status.counts.alerts_acknowledged = 0;
        assert_eq!(verdict(&status, &console(false)), "OK", "what is over is no trouble");
    }

    #[test]
    fn what_a_maintenance_lets_be_expected_asks_for_nothing_and_the_servers_in_it_are_counted() {
        let mut status = three_members();
        (status.counts.servers_offline, status.counts.servers_in_maintenance) = (1, 1);
        (status.counts.alerts_open, status.counts.alerts_expected) = (3, 3);
        assert_eq!(storage(&status), "2 servers, 1 offline, 1 in maintenance; 3 store points");
        assert_eq!(alerts(&status.counts), "3 expected by maintenance: bursar alert list");
        assert_eq!(verdict(&status, &console(false)), "OK");
    }

    #[test]
    fn a_lost_quorum_says_how_many_voters_must_return() {
        let mut status = three_members();
        status.fault_tolerance.voters_reachable = Some(1);
        let observed = status.members[2].observed.as_mut().unwrap();
        (observed.reachable, observed.last_answer_ms) = (false, None);
        assert_eq!(super::observed(&status.members[2])[1], "not in this term");
        assert_eq!(tolerated(&told(status)), "nothing: quorum is lost, 1 more voter must return");
    }

    #[test]
    fn a_node_that_is_alone() {
        let others = vec![(1, down("connection refused")), (3, down("no connection within 2000 ms"))];
        let mut status = alone();
        let warning =
            json!({ "code": "clock", "severity": "WARN", "summary": "A warning comes second.", "remedy": "Look at it." });
        status.checks.insert(0, serde_json::from_value(warning).unwrap());
        assert_eq!(whole(&Picture::of(status, others), &console(false)), golden("status_alone.txt"));
    }

    #[test]
    fn a_leader_that_does_not_answer_from_here_is_said_to_be_silent_and_no_failure_to_be_borne() {
        let mut status = three_members();
        (status.leader, status.fault_tolerance.voters_reachable) = (Some(1), None);
        status.unobserved_reason = Some("only the leader observes the others: ask authority node 1".into());
        let others = || vec![(1, down("connection refused")), (3, down("connection refused"))];
        let screen = whole(&Picture::of(status.clone(), others()), &console(false));
        assert!(screen.contains("Leader      authority node 1 at 10.0.0.1:4285, which does not answer from here\n"), "{screen}");
        assert!(screen.contains("Tolerates   not known while the leader does not answer from here\n"), "{screen}");
        assert!(!screen.contains("ask authority node 1"), "{screen}");
        status.leader = Some(2);
        let screen = whole(&Picture::of(status, others()), &console(false));
        assert!(screen.contains("Tolerates   1 failure, if all voters answer\n"), "this one answers: {screen}");
    }

    #[test]
    fn what_was_never_confirmed_is_as_of_the_last_event() {
        let mut status = alone();
        status.stale.as_mut().unwrap().age_ms = None;
        assert_eq!(as_of(&status).unwrap(), "as of 2031-05-17T08:29:00.000Z");
    }

    #[test]
    fn colours_are_for_terminals_alone() {
        assert!(!whole(&told(three_members()), &console(false)).contains('\x1b'));
        assert!(whole(&told(three_members()), &console(true)).contains("\x1b[32mOK\x1b[0m"));
    }
}
