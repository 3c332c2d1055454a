//! How people read what is known of a server.

use std::{collections::BTreeSet, fmt::Write};

use bursar_wire::{
    servers::{AddressFound, Inspection, Neighbour, OkToStop, PathState, PortPath, PortRole, Reachability, ServerDetails},
    store_points::UnusableStorePoint,
};

use crate::{
    noun::Noun,
    nouns::store_points,
    output::{ago, details, or_dash, table, warnings},
};

/// A server, what of it cannot be used, and what is observed of it.
pub(super) fn server(server: &ServerDetails) -> String {
    let mut all = server.server.details();
    for UnusableStorePoint { id, name, path, condition } in &server.unusable_store_points {
        all.push(("unusable", format!("store point {id} “{name}” at {path}, {}", store_points::condition(condition))));
    }
    match (&server.observed, &server.observed_absent) {
        (Some(observed), _) => {
            all.push(("heard of", ago(observed.heard_ms_ago)));
            all.push(("has carried out", or_dash(observed.position.as_ref())));
            all.push(("ports it tried", format!("{}, {} not reached", observed.ports_tried, observed.ports_closed)));
        }
        (None, why) => all.push(("heard of", format!("not known: {}", why.as_deref().unwrap_or_default()))),
    }
    details(all)
}

/// What a connection string says, and what was found.
pub(super) fn inspection(inspection: &Inspection) -> String {
    let stands = match inspection.stands {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not known",
    };
    let mut text = details([
        ("name", inspection.name.clone()),
        ("guid", inspection.guid.clone()),
        ("version", inspection.version.clone()),
        ("platform", inspection.platform.clone()),
        ("still stands", format!("{stands}: {}", inspection.standing)),
    ]);
    section(
        &mut text,
        &table(&["address", "reachable", "is it", "latency", "clock ahead"], inspection.addresses.iter().map(address)),
    );
    if !inspection.ports.is_empty() {
        let ports = inspection.ports.iter().map(|port| {
            let state = passage(port.state, port.detail.as_deref());
            vec![port.from.clone(), port.to.clone(), port.port.to_string(), port.role.as_str().into(), state]
        });
        section(&mut text, &table(&["from", "to", "port", "for", "passes"], ports));
    }
    let mut obstacles = String::from("Nothing stands in the way of adding it.");
    if !inspection.obstacles.is_empty() {
        obstacles = "In the way of adding it:".into();
        for obstacle in &inspection.obstacles {
            write!(obstacles, "\n  {} ({})", obstacle.detail, obstacle.code).expect("a String takes everything");
        }
    }
    section(&mut text, &obstacles);
    if !inspection.warnings.is_empty() {
        section(&mut text, &warnings(&inspection.warnings));
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

/// Whether it may be stopped, and what would follow.
pub(super) fn ok_to_stop(answer: &OkToStop) -> String {
    let mut text = format!("{}: {}.", if answer.ok { "yes" } else { "no" }, answer.reason);
    if !answer.alerts.is_empty() {
        let alerts = answer
            .alerts
            .iter()
            .map(|alert| vec![alert.severity.as_str().into(), alert.text.clone(), or_dash(alert.covered_by.as_ref())]);
        section(&mut text, &table(&["severity", "alert that would fire", "covered by"], alerts));
    }
    text
}

/// The matrix of neighbours and ports.
pub(super) fn reachability(matrix: &Reachability) -> String {
    let heading = ["neighbour", "tried by", "peer", "transfer", "control"];
    let mut text = table(&heading, matrix.neighbours.iter().flat_map(directions));
    if let Some(why) = &matrix.observed_absent {
        section(&mut text, &format!("No port is known: {why}."));
        return text;
    }
    let remarks: BTreeSet<_> = matrix.neighbours.iter().flat_map(remarks).collect();
    if !remarks.is_empty() {
        section(&mut text, &Vec::from_iter(remarks).join("\n"));
    }
    text
}

fn directions(neighbour: &Neighbour) -> [Vec<String>; 2] {
    [&neighbour.outbound, &neighbour.inbound].map(|paths| {
        let states = PortRole::ALL.map(|role| path(paths.of_role(role)));
        [neighbour.object.to_string(), paths.tried_by.to_string()].into_iter().chain(states).collect()
    })
}

/// Why some cells say that nothing was tried, or heard.
fn remarks(neighbour: &Neighbour) -> impl Iterator<Item = String> {
    let cells = [&neighbour.outbound, &neighbour.inbound].map(|paths| PortRole::ALL.map(|role| paths.of_role(role)));
    let untried = cells.into_iter().flatten().filter_map(|path| match path.state {
        PathState::NotTried => Some(("not tried", path.detail.as_ref()?)),
        PathState::NoSuchPort => Some(("-", path.detail.as_ref()?)),
        PathState::Unheard => Some(("not heard", path.detail.as_ref()?)),
        _ => None,
    });
    untried.map(|(cell, why)| format!("{cell}: {why}"))
}

fn path(path: &PortPath) -> String {
    let detail = path.detail.as_deref().filter(|_| path.state == PathState::Failed);
    let found = passage(path.state, detail);
    path.age_ms.map_or_else(|| found.clone(), |age_ms| format!("{found}, {} s ago", age_ms / 1_000))
}

/// How a port is found, in a cell.
fn passage(state: PathState, detail: Option<&str>) -> String {
    let what = match state {
        PathState::Reached => "yes",
        PathState::Refused => "no: refused",
        PathState::TimedOut => "no: timed out",
        PathState::Failed => "no",
        PathState::Unheard => "no: not heard",
        PathState::NotTried => "not tried",
        PathState::NoSuchPort => "-",
    };
    detail.map_or_else(|| what.to_owned(), |detail| format!("{what}: {detail}"))
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
