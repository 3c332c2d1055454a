//! How people read what is asked about a server, and about a machine that is to become one.

use std::{collections::BTreeSet, fmt::Write};

use bursar_wire::{
    objects::{NamedObject, ObjectRef},
    problem::code,
    servers::{
        AddressFound, Inspection, Neighbour, Obstacle, OkToStop, PathState, Paths, PortRole, Reachability, Server,
        ServerCondition, ServerIntent,
    },
};

use crate::{
    nouns::cover,
    output::{ago, details, or_dash, table, warnings},
};

/// What a connection string says, and what was found.
pub(super) fn inspection(inspection: &Inspection) -> String {
    let stands = match inspection.stands {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not known",
    };
    let used = inspection.obstacles.iter().find(|obstacle| obstacle.code == code::CONNECTION_STRING_USED);
    let mut text = used.map(|used| format!("{}\n\n", used.detail)).unwrap_or_default();
    text += &details([
        ("name", inspection.name.clone()),
        ("guid", inspection.guid.clone()),
        ("version", inspection.version.clone()),
        ("platform", inspection.platform.clone()),
        ("still stands", format!("{stands}: {}", inspection.standing)),
    ]);
    // A machine that was taken in answers its string no more: whether it is reached, its server tells.
    if used.is_none() {
        found_there(&mut text, inspection);
    }
    section(&mut text, &obstacles(&inspection.obstacles));
    if !inspection.warnings.is_empty() {
        section(&mut text, &warnings(&inspection.warnings).join("\n"));
    }
    text
}

/// What was found at its addresses, and which ports pass.
fn found_there(text: &mut String, inspection: &Inspection) {
    let addresses = inspection.addresses.iter().map(address);
    section(text, &table(&["address", "reachable", "is it", "latency", "clock ahead"], addresses));
    if is_anything_reached(inspection) && !inspection.ports.is_empty() {
        let ports = inspection.ports.iter().map(|port| {
            let state = cell(port.state, port.detail.as_deref());
            vec![port.from.clone(), port.to.clone(), port.port.to_string(), port.role.as_str().into(), state]
        });
        section(text, &table(&["from", "to", "port", "for", "passes"], ports));
        let untried = inspection.ports.iter().filter(|port| port.state == PathState::NotTried);
        footnotes(text, untried.filter_map(|port| Some(format!("not tried: {}", port.detail.as_ref()?))));
    }
}

/// Of a machine that is down, no port has anything to tell.
fn is_anything_reached(inspection: &Inspection) -> bool {
    inspection.addresses.iter().any(|found| found.reachable)
        || inspection.ports.iter().any(|port| port.state == PathState::Reached)
}

/// What stands in the way; what to do about it once for all that it helps against.
fn obstacles(obstacles: &[Obstacle]) -> String {
    if obstacles.is_empty() {
        return "Nothing stands in the way of adding it.".into();
    }
    let mut text = String::from("In the way of adding it:");
    for alike in obstacles.chunk_by(|one, next| one.remedy == next.remedy) {
        for obstacle in alike {
            write!(text, "\n  {} ({})", obstacle.detail, obstacle.code).expect("a String takes everything");
        }
        if let Some(remedy) = &alike[0].remedy {
            write!(text, "\n    {remedy}").expect("a String takes everything");
        }
    }
    text
}

fn address(found: &AddressFound) -> Vec<String> {
    vec![
        found.address.clone(),
        passes(found.reachable, found.detail.as_deref()),
        or_dash(found.fingerprint_matches.map(|matches| if matches { "yes" } else { "no" })),
        or_dash(found.latency_ms.map(|latency| format!("{latency} ms"))),
        or_dash(found.clock_skew_ms.map(|skew| format!("{skew} ms"))),
    ]
}

/// Whether it may be stopped, what would follow, and how to have nobody alarmed by it.
pub(super) fn ok_to_stop(answer: &OkToStop, server: &Server) -> String {
    let mut text = format!("{}: {}.", if answer.ok { "yes" } else { "no" }, answer.reason);
    if let Some(pauses) = &answer.pauses {
        write!(text, "\npauses: {pauses}.").expect("a String takes everything");
    }
    if !answer.alerts.is_empty() {
        // Where nothing was announced, the server's own alert covers those that follow from it.
        let covered = |by: &NamedObject| match server.intent {
            ServerIntent::Maintenance { .. } => cover(by),
            _ => format!("the alert of {by}"),
        };
        let alerts = answer.alerts.iter().map(|alert| {
            vec![alert.severity.as_str().into(), alert.text.clone(), or_dash(alert.covered_by.as_ref().map(covered))]
        });
        section(&mut text, &table(&["severity", "alert that would fire", "covered by"], alerts));
    }
    if let Some(announced) = announced(server) {
        section(&mut text, &announced);
    }
    text
}

/// How whoever stops a server says so before; nothing of a server that is not online, whose silence is news no more.
fn announced(server: &Server) -> Option<String> {
    if server.condition != ServerCondition::Online {
        return None;
    }
    Some(match &server.intent {
        ServerIntent::Maintenance { until, .. } => {
            format!(
                "It is in maintenance until {until}: whatever alert its stop brings is expected, and asks for nobody's attention."
            )
        }
        _ => format!(
            "Announce the stop, and whatever alert it brings is expected and asks for nobody's attention:\n  \
             bursar server maintenance {} --for 2h",
            server.id
        ),
    })
}

/// The matrix of neighbours and ports, and behind it what a cell has no room for.
pub(super) fn reachability(matrix: &Reachability) -> String {
    let ways = || matrix.neighbours.iter().flat_map(|neighbour| ways(&matrix.server, neighbour));
    let mut text = table(&["from", "to", "peer", "transfer", "control"], ways().map(|way| way.row()));
    match &matrix.observed_absent {
        Some(why) => section(&mut text, &format!("No port is known: {why}.")),
        None => footnotes(&mut text, ways().flat_map(|way| way.remarks())),
    }
    text
}

/// From one machine to the ports of another.
struct Way<'m> {
    to: &'m NamedObject,
    paths: &'m Paths,
}

fn ways<'m>(own: &'m NamedObject, neighbour: &'m Neighbour) -> [Way<'m>; 2] {
    [Way { to: &neighbour.object, paths: &neighbour.outbound }, Way { to: own, paths: &neighbour.inbound }]
}

impl Way<'_> {
    /// In parentheses what says nothing of the present.
    fn row(&self) -> Vec<String> {
        let cells = PortRole::ALL.map(|role| {
            let path = self.paths.of_role(role);
            let Some(age_ms) = path.age_ms else { return found(path.state).to_owned() };
            let told = format!("{}, {}", found(path.state), ago(age_ms));
            if self.paths.outdated.is_some() { format!("({told})") } else { told }
        });
        [briefly(&self.paths.tried_by), briefly(self.to)].into_iter().chain(cells).collect()
    }

    /// What its cells have no room for.
    fn remarks(&self) -> Vec<String> {
        let outdated = self.paths.outdated.iter().map(|why| format!("( ): {why}"));
        let cells = PortRole::ALL.into_iter().filter_map(|role| {
            let path = self.paths.of_role(role);
            let detail = path.detail.as_ref()?;
            match path.state {
                PathState::NotTried | PathState::NoSuchPort | PathState::Unheard => {
                    Some(format!("{}: {detail}", found(path.state)))
                }
                _ => Some(format!(
                    "{}, {} to {}, {}: {detail}",
                    found(path.state),
                    briefly(&self.paths.tried_by),
                    briefly(self.to),
                    role.as_str()
                )),
            }
        });
        outdated.chain(cells).collect()
    }
}

/// An object in few words: by its name where people gave it one.
fn briefly(object: &NamedObject) -> String {
    match (&object.name, object.kind.as_str()) {
        (Some(name), "server") => name.clone(),
        _ => ObjectRef { kind: object.kind.clone(), id: object.id }.to_string(),
    }
}

/// How a port of the matrix is found, in a word or two.
const fn found(state: PathState) -> &'static str {
    match state {
        PathState::Reached => "yes",
        PathState::Refused => "refused",
        PathState::TimedOut => "timed out",
        PathState::Failed => "failed",
        PathState::Unheard => "not heard",
        PathState::NotTried => "not known",
        PathState::NoSuchPort => "-",
    }
}

/// How a port is found that was tried at once, or was not.
fn cell(state: PathState, detail: Option<&str>) -> String {
    match state {
        PathState::NotTried => "not tried".to_owned(),
        PathState::Reached | PathState::NoSuchPort => found(state).to_owned(),
        PathState::Failed => passes(false, detail),
        PathState::Refused | PathState::TimedOut | PathState::Unheard => passes(false, Some(found(state))),
    }
}

/// Each remark once, in order.
fn footnotes(text: &mut String, remarks: impl Iterator<Item = String>) {
    let remarks: BTreeSet<_> = remarks.collect();
    if !remarks.is_empty() {
        section(text, &Vec::from_iter(remarks).join("\n"));
    }
}

fn passes(open: bool, detail: Option<&str>) -> String {
    match (open, detail) {
        (true, _) => "yes".into(),
        (false, None) => "no".into(),
        (false, Some(detail)) => format!("no: {detail}"),
    }
}

/// A part of the answer, apart from what came before.
fn section(text: &mut String, part: &str) {
    text.push_str("\n\n");
    text.push_str(part);
}
