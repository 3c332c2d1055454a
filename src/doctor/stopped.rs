//! A stopped node, from its files.

use bursar_domain::{AuthorityNodeId, State, Submission, authority_node::Intent};
use bursar_net::{Blocking, ThreadBlocking};
use bursar_storage::{
    StorageError,
    ledger::{Ledger, Recovered},
    log::{LogPosition, RaftLog},
};

use super::report::{Finding, Report};
use crate::authority::{self, DataDirectory, DirectoryError, Identity, StoreError};

/// The doctor reads each entry once: nothing is worth keeping.
const LOG_CACHE_BYTES: u64 = 0;
/// A line of progress for each so many records.
const PROGRESS_RECORDS: u64 = 100_000;

/// Examines everything that rests.
pub fn examine(directory: &DataDirectory, report: &mut Report) {
    let identity = directory.identity();
    let who = |identity: &Identity| format!("{} of cluster {}", identity.node, identity.cluster);
    report.add(Finding::of("identity", identity.as_ref().map(who)));
    report.add(Finding::of("settings", directory.config().map(|config| format!("API at {}", config.advertised.api))));
    report.add(Finding::of("certificate", certificate(directory)));
    report.add(Finding::of("cluster key", directory.cluster_key().map(|_key| "readable by its owner alone".to_owned())));
    report.add(Finding::of("other members", directory.keeps_members().map(told_when_it_joined)));
    match identity {
        Ok(identity) => examine_stores(directory, &identity, report),
        Err(_) => report.add(Finding::bad("data", "not examined: only the identity tells whose it must be; mend it first")),
    }
}

fn examine_stores(directory: &DataDirectory, identity: &Identity, report: &mut Report) {
    if let Err(gone) = authority::check_there(directory, identity) {
        return report.add(Finding::bad("data", gone.to_string()));
    }
    let log = authority::open_log(directory, identity, ThreadBlocking.worker("doctor"), LOG_CACHE_BYTES);
    report.add(Finding::of("log", log.as_ref().map(raft_log)));
    let ledger = authority::open_ledger(directory, identity);
    let (ledger, recovered) = match ledger {
        Ok(opened) => opened,
        Err(error) => return report.add(Finding::bad("history", error.to_string())),
    };
    let behind = log.as_ref().map_or(0, |log| entries_behind(log, &ledger));
    report.add(Finding::of("history", history(&ledger, behind)));
    if let Ok(log) = log {
        report.add(Finding::sound("next start", next_start(&ledger, behind)));
        report.add(Finding::of("log and history", of_one_age(directory, &log, &recovered)));
    }
    report.add(Finding::of("cluster files", cluster_files(directory, &recovered.state)));
    let founding = directory.founding();
    let kept = founding.as_ref().map(|founding| kept_for_people(directory, &recovered.state, founding.as_ref()));
    report.add(Finding::of("founding", founding.as_ref().map(|founding| told_of(founding.as_ref()).to_owned())));
    if let Ok(kept) = kept {
        report.add(Finding::of("secrets kept here", kept));
    }
    report.add(membership(directory, identity.node, &recovered.state));
}

fn told_when_it_joined(keeps_members: bool) -> String {
    let told =
        if keeps_members { "known from its history, and from what it was told when it joined" } else { "known from its history" };
    told.to_owned()
}

fn certificate(directory: &DataDirectory) -> Result<String, DirectoryError> {
    Ok(directory.credentials()?.facts().identity.to_string())
}

/// Opening the log has read all of it.
fn raft_log(log: &RaftLog) -> String {
    let bounds = log.bounds();
    let index = |position: Option<LogPosition>| position.map_or(0, |position| position.index);
    match (index(bounds.purged), index(bounds.last)) {
        (purged, last) if purged == last => "it reads, and has no entries (Raft log)".to_owned(),
        (purged, last) => format!("it reads, and every checksum holds (Raft log, entries {} to {last})", purged + 1),
    }
}

/// How many entries of the log the ledger on the disk does not show to be applied.
fn entries_behind(log: &RaftLog, ledger: &Ledger) -> u64 {
    let entries_up_to = |position: Option<LogPosition>| position.map_or(0, |position| position.index + 1);
    entries_up_to(log.bounds().last).saturating_sub(entries_up_to(ledger.applied().position))
}

fn history(ledger: &Ledger, behind: u64) -> Result<String, StorageError> {
    let mut told = 0;
    let verified = ledger.verify(&mut |progress| {
        if progress.checked >= told + PROGRESS_RECORDS {
            told = progress.checked;
            eprintln!("      checked {} of {} records", progress.checked, progress.total);
        }
    })?;
    if verified.records == 0 {
        return Ok(no_record(behind));
    }
    Ok(format!(
        "whole up to revision {}, and what it comes to is what the node holds (journal of {} records, digest {})",
        verified.revision, verified.records, verified.digest
    ))
}

/// What is true of an empty journal: a node that was killed has lost nothing by it.
fn no_record(behind: u64) -> String {
    match behind {
        0 => "nothing has happened yet".to_owned(),
        behind => format!(
            "nothing on the disk yet: a node writes it down some time after the log, and the log has all that it comes from, {behind} \
             entries for the next start to apply"
        ),
    }
}

/// What the node has still to do before it is where it was.
fn next_start(ledger: &Ledger, behind: u64) -> String {
    let checkpoint = match ledger.latest_checkpoint() {
        Some(checkpoint) => format!("from what was saved at revision {} (checkpoint)", checkpoint.manifest().applied.revision),
        None => "nothing was saved to start from yet (no checkpoint)".to_owned(),
    };
    match behind {
        1 => format!("{checkpoint}; 1 entry of the log is carried out again at start"),
        behind => format!("{checkpoint}; {behind} entries of the log are carried out again at start"),
    }
}

/// Whether the node is still wanted, by what it was told and by its own history. The cluster need not have told it.
fn membership(directory: &DataDirectory, node: AuthorityNodeId, state: &State) -> Finding {
    const REMOVED: &str = "this node was removed from the cluster: erase this directory; the machine joins again with a new one";
    let told = match directory.was_removed() {
        Ok(told) => told,
        Err(error) => return Finding::bad("membership", error.to_string()),
    };
    match state.authority_nodes().get(node).map(|node| node.intent) {
        Some(Intent::Removed) => Finding::bad("membership", REMOVED),
        // The history of a node that has left need not reach so far.
        _ if told => Finding::bad("membership", REMOVED),
        Some(Intent::Leaving { .. }) => Finding::bad(
            "membership",
            "the cluster removes this node: erase this directory once `bursar cluster members` no longer lists it",
        ),
        Some(Intent::Joining { .. } | Intent::Voting) => Finding::sound("membership", "as far as it knows, the node belongs"),
        None => Finding::sound("membership", "its history does not mention the node yet"),
    }
}

fn of_one_age(directory: &DataDirectory, log: &RaftLog, recovered: &Recovered) -> Result<String, StoreError> {
    authority::compare(directory, log, recovered).map(|()| "neither is an older copy, as far as the other shows".to_owned())
}

fn told_of(founding: Option<&Submission>) -> &'static str {
    if founding.is_some() {
        "the cluster is founded at the next start, unless it is already"
    } else {
        "nothing is left to be founded"
    }
}

fn kept_for_people(directory: &DataDirectory, state: &State, founding: Option<&Submission>) -> Result<String, DirectoryError> {
    directory
        .check_kept_for_people(state, founding)
        .map(|()| "setup secret and license key, where they are here, are the cluster's".to_owned())
}

fn cluster_files(directory: &DataDirectory, state: &State) -> Result<String, DirectoryError> {
    directory.check_against(state).map(|()| match state.cluster() {
        Some(_) => "certificate authority and cluster key are those that its history tells of".to_owned(),
        None => "its history tells nothing of certificate authority and cluster key yet".to_owned(),
    })
}
