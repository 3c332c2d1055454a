//! How scripts ask for things of servers, store points and alerts.

use bursar_domain::{
    AlertId, Command, DestinationId, Hash, Level, ServerGuid, ServerId, StorePointId, Timestamp, alert,
    server::{self, Facts, Introduction, JoinFailure, Ports, ProgramFacts, ProjectionState},
    store_point::{self, CreationFailure, Findings, Found, OfflineReason, Quota, Report},
};

use crate::{Words, number, shifted};

/// The command that a line asks for, if it is about servers, store points or alerts.
pub fn command(verb: &[&str], words: &Words, now: Timestamp) -> Option<Command> {
    let command = match *verb {
        ["acknowledge", alerts] => Command::Alert(alert::Command::Acknowledge {
            alerts: alerts.split(',').map(number).map(AlertId).collect(),
            note: words.get("note").unwrap_or_default().to_owned(),
            unnoted_only: false,
        }),
        ["create", "store-point", name] => Command::StorePoint(create(name, words)),
        [verb, "store-point", store_point] => {
            Command::StorePoint(store_point_command(verb, StorePointId(number(store_point)), words)?)
        }
        ["add", "server", name] => Command::Server(server::Command::Add {
            destination: DestinationId(words.number("to").expect("a destination")),
            name: name.to_owned(),
            introduction: introduction(words, now),
        }),
        [verb, "server", server] => Command::Server(server_command(verb, ServerId(number(server)), words, now)?),
        _ => return None,
    };
    Some(command)
}

fn server_command(verb: &str, server: ServerId, words: &Words, now: Timestamp) -> Option<server::Command> {
    let command = match verb {
        "replace" => server::Command::Replace { server, introduction: introduction(words, now) },
        "edit" => server::Command::Edit {
            server,
            change: server::Change {
                name: words.get("name").map(str::to_owned),
                primary_address: words.get("primary").map(str::to_owned),
                secondary_address: words.get("secondary").map(str::to_owned),
            },
        },
        "maintain" => server::Command::Maintain {
            server,
            lasting: server::Lasting::Until(shifted(now, words.get("until").expect("an end"))),
            reason: words.get("reason").unwrap_or_default().to_owned(),
        },
        "end-maintenance-of" => server::Command::EndMaintenance { server },
        "drain" => server::Command::Drain { server },
        "activate" => server::Command::Activate { server },
        "remove" => server::Command::Remove { server },
        "take-in" => server::Command::JoinSucceeded { server },
        "give-up" => server::Command::JoinFailed { server, failure: JoinFailure::Unreachable },
        "miss" => server::Command::WentOffline { server },
        "hear" => server::Command::CameOnline { server },
        "announce" => server::Command::Announce { server, program: program(words) },
        "mismatch" => server::Command::ReportProjection { server, projection: ProjectionState::Mismatched },
        "match" => server::Command::ReportProjection { server, projection: ProjectionState::Matching },
        _ => return None,
    };
    Some(command)
}

/// `machine=` says which machine it is; everything that is not said follows from that.
fn introduction(words: &Words, now: Timestamp) -> Introduction {
    let machine: u8 = words.number("machine").expect("a machine");
    let secret = words.get("secret").map_or_else(|| format!("string of {machine}"), str::to_owned);
    Introduction {
        facts: Facts {
            guid: ServerGuid([machine; 16]),
            primary_address: words.get("primary").map_or_else(|| format!("ark{machine}.example:4288"), str::to_owned),
            secondary_address: words.get("secondary").map(str::to_owned),
            ports: Ports { peer: 4283, transfer: 4286 },
            public_key: Hash::of(&[machine]),
            tls_fingerprint: Hash::of(&[machine, 1]),
            program: program(words),
        },
        secret: Hash::of(secret.as_bytes()),
        expires_at: shifted(now, words.get("expires").unwrap_or("+24h")),
        license_key: vec![words.number("license").unwrap_or(1); 32],
    }
}

fn program(words: &Words) -> ProgramFacts {
    ProgramFacts {
        version: words.get("version").unwrap_or("0.1.0").to_owned(),
        platform: "linux-x86_64".into(),
        supported: Level(words.number("supports").unwrap_or(1)),
    }
}

fn create(name: &str, words: &Words) -> store_point::Command {
    let path = words.get("path").expect("a path");
    store_point::Command::Create {
        server: ServerId(words.number("on").expect("a server")),
        name: name.to_owned(),
        path: path.to_owned(),
        notes: words.get("notes").unwrap_or_default().to_owned(),
        quota: words.number("quota").map_or(Quota::Unlimited, Quota::Bytes),
        findings: Findings {
            found: match words.get("found") {
                None => Found::Directory,
                Some("nothing") => Found::Nothing,
                Some("file") => Found::SomethingElse,
                Some(other) => panic!("nobody finds {other}"),
            },
            canonical_path: words.get("leads-to").unwrap_or(path).to_owned(),
            writable: words.get("writable") != Some("no"),
            within: words.number("within").map(StorePointId),
            foreign_identity: words.get("foreign") == Some("yes"),
            free_bytes: words.number("free").unwrap_or(1 << 40),
        },
    }
}

fn store_point_command(verb: &str, store_point: StorePointId, words: &Words) -> Option<store_point::Command> {
    let flag = |key| words.get(key).map(|flag| flag != "off");
    let command = match verb {
        "edit" => store_point::Command::Edit {
            store_point,
            change: store_point::Change {
                name: words.get("name").map(str::to_owned),
                notes: words.get("notes").map(str::to_owned),
                accepting_data: flag("data"),
                accepting_new_archives: flag("new-archives"),
                balancing: flag("balancing"),
                quota: words.number("quota").map(Quota::Bytes),
            },
        },
        "drain" => store_point::Command::Drain { store_point },
        "activate" => store_point::Command::Activate { store_point },
        "remove" => store_point::Command::Remove { store_point },
        "report" => store_point::Command::Report { store_point, report: report(words.get("is").expect("how it is")) },
        _ => return None,
    };
    Some(command)
}

fn report(text: &str) -> Report {
    match text {
        "online" => Report::Online,
        "read-only" => Report::Offline(OfflineReason::ReadOnly),
        "missing" => Report::Offline(OfflineReason::Missing),
        "foreign" => Report::Offline(OfflineReason::ForeignIdentity),
        "failing" => Report::Offline(OfflineReason::IoFailing),
        "not-made" => Report::Failed(CreationFailure::DirectoryExists),
        _ => panic!("no store point is {text}"),
    }
}
