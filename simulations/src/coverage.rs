//! What runs have exercised, and what of all that there is they have not.
//!
//! A run exercises what its trace tells: kinds of faults that struck, of losses, of operations that disks failed at, of trouble that
//! calls met with, of events and of alerts, problems that clients were answered, how their operations ended, named points that were
//! passed, and at which a process was struck, stages of leadership, of checkpoints and of snapshots. Each thing has a name, the kind
//! before a dot: `fault.pause`, `event.server.added`. The lists of all there is come from the enums themselves, so a kind that is
//! added is missed until a run exercises it, or `simulations/uncovered.toml` says why none does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bursar_domain::{Event, Rejection, alert};
use serde::{Deserialize, Serialize};

use crate::calls::CallTrouble;
use crate::disk::DiskOperation;
use crate::plan::{Action, FaultKind, Loss};
use crate::points::POINTS;
use crate::trace::Line;
use crate::variants;
use crate::workload::Ended;

/// What no run exercises, by kind and name, each with the reason.
const UNCOVERED: &str = include_str!("../uncovered.toml");
/// How the reason begins for what a sweep may exercise and need not.
const SELDOM: &str = "seldom: ";
/// What is counted for each search for an order that ended without an answer.
const UNKNOWN: &str = "search.unknown";

/// Stages of leadership, of checkpoints and of snapshots, each with the message that tells of it. Whoever words a message anew is
/// told by the next sweep that its stage is exercised no more.
const STAGES: [(&str, &str); 8] = [
    ("leader_begins", "this node leads: it looks after the storage servers"),
    ("leader_ends", "this node leads no more: what it heard of the storage servers is dropped"),
    ("membership_changes", "changing the membership"),
    ("checkpoint_written", "wrote a checkpoint"),
    ("snapshot_installed", "installed a snapshot"),
    ("snapshot_broken_off", "a snapshot broke off"),
    ("unfinished_install_removed", "removing records that an unfinished install left"),
    ("unused_checkpoint_removed", "removing a checkpoint that is not in use"),
];

/// How often each thing was exercised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Coverage {
    counts: BTreeMap<String, u64>,
}

/// Where what was exercised, and what is said of it, do not agree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Gap {
    /// Nothing has exercised it, and nobody says why.
    #[error("{0} was never exercised: let the plans have it, or say in simulations/uncovered.toml why they cannot")]
    Missed(String),
    /// It was exercised, and is said not to be.
    #[error("{0} was exercised: take it out of simulations/uncovered.toml")]
    Excused(String),
    /// There is no such thing.
    #[error("{0} is nothing that could be exercised: take it out of simulations/uncovered.toml")]
    Unknown(String),
}

/// What no run exercises, each with the reason.
#[derive(Clone, Debug, Default)]
pub struct Uncovered {
    reasons: BTreeMap<String, String>,
}

impl Coverage {
    /// Counts what a line of a trace tells of.
    pub fn take(&mut self, line: &Line<'_>) {
        let mut words = line.told.split(' ');
        let mut word = || words.next().unwrap_or_default();
        match line.what {
            "fault" => {
                // A kind of fault tells its name as its Rust type is called; words of another sort are not of a single fault.
                let name = word().split('(').next().unwrap_or_default();
                if name.starts_with(char::is_uppercase) {
                    self.count(format!("fault.{}", snake_case(name)));
                    for (kind, field) in [("loss", "loss: "), ("disk_operation", "operation: ")] {
                        if let Some((_, value)) = line.told.split_once(field) {
                            self.count(format!("{kind}.{}", snake_case(first_name(value))));
                        }
                    }
                }
            }
            "call" => {
                let (_machine, _process, fate) = (word(), word(), word());
                self.count(format!("call.{}", snake_case(fate)));
            }
            "host" => {
                if let (_machine, _process, "ends", "at", point) = (word(), word(), word(), word(), word()) {
                    self.count(format!("struck.{point}"));
                }
            }
            "point" => {
                let (_machine, _process, point) = (word(), word(), word());
                self.count(format!("point.{point}"));
            }
            "history" => {
                let (_revision, kind) = (word(), word());
                self.count(format!("event.{kind}"));
            }
            "alert" => self.count(format!("alert.{}", word())),
            "operation" => {
                let (_client, action, _subject, ended, code) = (word(), word(), word(), word(), word());
                self.count(format!("operation.{action}.{ended}"));
                if code != "after" {
                    self.count(format!("problem.{code}"));
                }
            }
            "judge" if line.told.starts_with("UNKNOWN") => self.count(UNKNOWN.to_owned()),
            "log" => {
                if let Some((stage, _fields)) = line.logged().and_then(|logged| stage_of(logged.message)) {
                    self.count(format!("stage.{stage}"));
                }
            }
            _ => {}
        }
    }

    /// Adds what another run has exercised.
    pub fn merge(&mut self, other: &Self) {
        for (name, count) in &other.counts {
            *self.counts.entry(name.clone()).or_default() += count;
        }
    }

    /// How many searches for an order of what clients saw ended without an answer.
    pub fn unknown_answers(&self) -> u64 {
        self.counts.get(UNKNOWN).copied().unwrap_or_default()
    }

    /// Where this and what is said of it do not agree, by name.
    pub fn gaps(&self, uncovered: &Uncovered) -> Vec<Gap> {
        let (everything, excused) = (everything(), &uncovered.reasons);
        let is_exercised = |name: &String| self.counts.contains_key(name);
        let missed =
            everything.iter().filter(|name| !is_exercised(name) && !excused.contains_key(*name)).cloned().map(Gap::Missed);
        let stale = excused.iter().filter(|(name, reason)| is_exercised(name) && !reason.starts_with(SELDOM));
        let stale = stale.map(|(name, _)| Gap::Excused(name.clone()));
        let unknown = excused.keys().filter(|name| !is_exercised(name) && !everything.contains(*name)).cloned().map(Gap::Unknown);
        missed.chain(stale).chain(unknown).collect()
    }

    fn count(&mut self, name: String) {
        *self.counts.entry(name).or_default() += 1;
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts.iter().try_for_each(|(name, count)| writeln!(f, "{count:>12}  {name}"))
    }
}

impl Uncovered {
    /// What the project's own list says.
    pub fn of_this_project() -> Self {
        Self::parse(UNCOVERED).expect("simulations/uncovered.toml has a table for each kind, with a reason for each name")
    }

    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let kinds: BTreeMap<String, BTreeMap<String, String>> = toml::from_str(text)?;
        let reasons = kinds
            .into_iter()
            .flat_map(|(kind, names)| names.into_iter().map(move |(name, reason)| (format!("{kind}.{name}"), reason)));
        Ok(Self { reasons: reasons.collect() })
    }
}

impl fmt::Display for Uncovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reasons.iter().try_for_each(|(name, reason)| writeln!(f, "{:>12}  {name}: {reason}", "-"))
    }
}

/// The stage that a message tells of, and what else the message says.
pub(crate) fn stage_of(message: &str) -> Option<(&'static str, &str)> {
    STAGES.iter().find_map(|(stage, told)| Some((*stage, message.strip_prefix(told)?.trim_start())))
}

/// All that there is to exercise.
fn everything() -> BTreeSet<String> {
    let named =
        |kind: &'static str, names: &[&'static str]| names.iter().map(|name| format!("{kind}.{name}")).collect::<Vec<_>>();
    let operations =
        variants::of::<Action>().iter().flat_map(|action| Ended::ASKED.map(|ended| format!("operation.{action}.{ended}")));
    [
        named("fault", variants::of::<FaultKind>()),
        named("loss", variants::of::<Loss>()),
        named("disk_operation", variants::of::<DiskOperation>()),
        named("call", variants::of::<CallTrouble>()),
        named("event", Event::KINDS),
        named("alert", variants::of::<alert::Kind>()),
        named("problem", Rejection::CODES),
        named("point", &POINTS),
        named("struck", &POINTS),
        named("stage", &STAGES.map(|(stage, _)| stage)),
        operations.collect(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The name that a text begins with.
fn first_name(text: &str) -> &str {
    text.split(|character: char| !character.is_alphanumeric()).next().unwrap_or_default()
}

/// `PowerLoss` as `power_loss`.
fn snake_case(name: &str) -> String {
    let mut written = String::new();
    for (place, character) in name.char_indices() {
        if place > 0 && character.is_uppercase() {
            written.push('_');
        }
        written.extend(character.to_lowercase());
    }
    written
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn told(lines: &[(&str, &str)]) -> Coverage {
        let mut coverage = Coverage::default();
        for (what, told) in lines {
            coverage.take(&Line { at: Duration::ZERO, what, told });
        }
        coverage
    }

    #[test]
    fn what_a_trace_tells_is_what_is_exercised() {
        let coverage = told(&[
            ("fault", "FailingDisk { host: \"a3\", path: \"/\", operation: Sync } for 3685 ms"),
            ("fault", "IsolateLeader for 9986 ms"),
            ("fault", "IsolateLeader for 12 ms"),
            ("fault", "LostCopy { process: \"authority-1\", loss: AllButKeys } for 7 ms"),
            ("fault", "LostCopy { process: \"authority-1\", loss: Bit { place: 1, bit: 2 } } for 7 ms"),
            ("missed", "Kill { process: \"authority-1\" } for 7 ms"),
            ("fault", "all is mended"),
            ("call", "a1 authority-1 Lost"),
            ("call", "a1 authority-1 Late { by: 7ms }"),
            ("point", "a1 authority-1 log.synced"),
            ("host", "a1 authority-1 ends at log.synced"),
            ("host", "a1 authority-1 ends: Failed(\"at log.purge\")"),
            ("history", "17 server.went_offline storage server 3 does not answer"),
            ("alert", "server_offline critical alert 1 “Server is offline”"),
            ("operation", "client-3 create 7 done after 12 ms"),
            ("operation", "client-3 change 7 refused not_found after 12 ms"),
            ("operation", "client-3 read 7 unknown after 12 ms"),
            ("judge", "UNKNOWN: whether the 7 operations on site 1 have an order was not found out in 0 steps"),
            ("judge", "64 writes, 30 reads, 1 unsettled"),
            ("log", "authority-1 DEBUG bursar_raft::snapshot wrote a checkpoint revision=10"),
            ("net", "whatever"),
        ]);
        let counted: Vec<_> = coverage.counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!(
            counted,
            [
                ("alert.server_offline", 1),
                ("call.late", 1),
                ("call.lost", 1),
                ("disk_operation.sync", 1),
                ("event.server.went_offline", 1),
                ("fault.failing_disk", 1),
                ("fault.isolate_leader", 2),
                ("fault.lost_copy", 2),
                ("loss.all_but_keys", 1),
                ("loss.bit", 1),
                ("operation.change.refused", 1),
                ("operation.create.done", 1),
                ("operation.read.unknown", 1),
                ("point.log.synced", 1),
                ("problem.not_found", 1),
                ("search.unknown", 1),
                ("stage.checkpoint_written", 1),
                ("struck.log.synced", 1),
            ]
        );
        assert_eq!(coverage.unknown_answers(), 1);
    }

    #[test]
    fn a_kind_of_fault_is_called_alike_in_plans_and_in_traces() {
        for kind in [FaultKind::IsolateLeader, FaultKind::Kill { process: "authority-1".into() }] {
            let named = told(&[("fault", &format!("{kind:?} for 0 ms"))]);
            let written = serde_json::to_value(&kind).unwrap();
            let written = written.as_str().or_else(|| written.as_object()?.keys().next().map(String::as_str)).unwrap();
            assert_eq!(named.counts.keys().collect::<Vec<_>>(), [&format!("fault.{written}")]);
        }
    }

    #[test]
    fn what_is_missed_wants_a_reason_and_a_reason_wants_to_be_true() {
        let all = everything();
        let [excused, exercised] = ["alert.server_offline", "event.site.created"].map(str::to_owned);
        assert!(all.contains(&excused) && all.contains(&exercised));
        let coverage = Coverage { counts: all.iter().filter(|name| **name != excused).map(|name| (name.clone(), 1)).collect() };
        assert_eq!(coverage.gaps(&Uncovered::default()), [Gap::Missed(excused.clone())]);
        let right = Uncovered::parse("[alert]\nserver_offline = \"a reason\"").unwrap();
        assert_eq!(coverage.gaps(&right), []);
        let seldom =
            Uncovered::parse("[alert]\nserver_offline = \"seldom: it happens\"\n[event]\n\"site.created\" = \"seldom: too\"")
                .unwrap();
        assert_eq!(coverage.gaps(&seldom), []);
        let wrong = "[alert]\nserver_offline = \"\"\n[event]\n\"site.created\" = \"\"\n\"site.painted\" = \"\"";
        let wrong = Uncovered::parse(wrong).unwrap();
        assert_eq!(coverage.gaps(&wrong), [Gap::Excused(exercised), Gap::Unknown("event.site.painted".to_owned())]);
    }

    #[test]
    fn runs_add_up() {
        let mut sum = told(&[("point", "a1 authority-1 one"), ("point", "a1 authority-1 two")]);
        sum.merge(&told(&[("point", "a1 authority-1 two"), ("point", "a2 authority-2 three")]));
        assert_eq!(sum.to_string(), "           1  point.one\n           1  point.three\n           2  point.two\n");
    }

    #[test]
    fn the_projects_own_list_names_what_there_is() {
        let everything = everything();
        let unknown: Vec<_> =
            Uncovered::of_this_project().reasons.into_keys().filter(|name| !everything.contains(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
