//! Plans that are carried out.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::ops::{Range, RangeInclusive};
use std::sync::{Arc, Mutex};

use bursar_simulations::calls::CallTrouble;
use bursar_simulations::disk::DiskOperation;
use bursar_simulations::plan::{DESK, Fault, FaultKind, Loss, Plan, Role};
use bursar_simulations::points::Crash;
use bursar_simulations::trace::Line;
use bursar_simulations::variants;
use bursar_simulations::world::{Outcome, run};

use support::Callers;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs a plan, and tells how it ended and what happened.
fn ran(plan: &Plan) -> (Outcome, String) {
    let lines = Lines::default();
    let outcome = run(plan.clone(), Arc::<Callers>::default(), Some(Box::new(lines.clone())));
    let told = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    (outcome, told)
}

/// A small fleet that has everything, and in which nothing goes wrong.
fn calm() -> Plan {
    let plans = (0..100).map(Plan::of_seed);
    let has_much = |plan: &Plan| {
        plan.processes(Role::Authority).count() > 1
            && (2..6).contains(&plan.processes(Role::StorageServer).count())
            && plan.topology.hosts.iter().any(|host| host.disks.len() > 1)
    };
    Plan { faults: Vec::new(), left_broken: Vec::new(), ..plans.into_iter().find(has_much).expect("one of a hundred fleets") }
}

/// What a trace tells, and when.
struct Told(String);

/// A while before the first fault of a plan, the one that it lasts, and a while behind that, in milliseconds.
const BEFORE: Range<u128> = 6_000..9_000;
const WHILE: Range<u128> = 10_100..12_900;
const AFTER: Range<u128> = 14_500..17_500;

impl Told {
    /// How many lines of a sort tell something within a while.
    fn count(&self, what: &str, words: &str, within: Range<u128>) -> usize {
        let lines = self.0.lines().filter_map(Line::parse);
        lines.filter(|line| line.what == what && within.contains(&line.at.as_millis()) && line.told.contains(words)).count()
    }

    /// Whether something is told while the fault goes on, and was not before.
    fn begins(&self, what: &str, words: &str) -> bool {
        self.count(what, words, BEFORE) == 0 && self.count(what, words, WHILE) > 0
    }

    /// Whether something is not told while the fault goes on, and was before.
    fn ends(&self, what: &str, words: &str) -> bool {
        self.count(what, words, BEFORE) > 0 && self.count(what, words, WHILE) == 0
    }

    /// Whether less than half as much is told of something as before.
    fn drags(&self, what: &str, words: &str) -> bool {
        2 * self.count(what, words, WHILE) < self.count(what, words, BEFORE)
    }

    /// By how much the clock of a process has moved on against time from before the fault until after it, in milliseconds.
    fn clock_moved(&self, process: &str) -> i64 {
        let shown = |within: Range<u128>| {
            let mut lines = self.0.lines().filter_map(Line::parse).filter(|line| within.contains(&line.at.as_millis()));
            lines.find_map(|line| {
                let at = line.told.strip_prefix(&format!("{process} DEBUG bursar_caller answered at="))?;
                Some(at.parse::<i64>().unwrap() - i64::try_from(line.at.as_millis()).unwrap())
            })
        };
        shown(AFTER).unwrap() - shown(BEFORE).unwrap()
    }

    /// Whether it tells something, whenever.
    fn has(&self, words: &str) -> bool {
        self.0.contains(words)
    }
}

/// What a kind of fault is called in a plan.
fn written(kind: &FaultKind) -> String {
    let written = serde_json::to_value(kind).unwrap();
    let name = written.as_str().or_else(|| written.as_object()?.keys().next().map(String::as_str));
    name.unwrap().to_owned()
}

/// Whether a fault shows.
type Shows = Box<dyn Fn(&Told) -> bool>;

fn shows(look: impl Fn(&Told) -> bool + 'static) -> Shows {
    Box::new(look)
}

/// All kinds of faults that go on for a while, each with what shows that it does.
fn kinds(plan: &Plan) -> Vec<(FaultKind, Shows)> {
    let hosts: Vec<String> = plan.topology.hosts.iter().map(|host| host.name.clone()).collect();
    let (first, second, process) = (hosts[0].clone(), hosts[1].clone(), plan.topology.hosts[0].processes[0].name.clone());
    let server = plan.topology.hosts.iter().find(|host| host.disks.len() > 1).unwrap();
    let (storage, one, other) = (server.name.clone(), server.disks[0].clone(), server.disks[1].clone());
    let (host, process, storage, one) = (|| first.clone(), || process.clone(), || storage.clone(), || one.clone());
    let desk = || DESK.to_owned();
    // In the network, machines are numbered as in the plan; the desk is the last.
    let desk_id = hosts.len();
    let between = |apart: usize, others: Range<usize>| {
        let links = others.filter(move |other| *other != apart).flat_map(move |other| [(apart, other), (other, apart)]);
        links.map(|(from, to)| format!("h{from}>h{to} ")).collect::<Vec<_>>()
    };
    let cut = |links: Vec<String>| {
        shows(move |told| {
            let count = |within: Range<u128>| links.iter().map(|link| told.count("net", link, within.clone())).sum::<usize>();
            count(BEFORE) > 0 && count(WHILE) == 0
        })
    };
    let told = |what: &'static str, words: String| shows(move |told| told.begins(what, &words));
    let ended = |what: &'static str, words: String| shows(move |told| told.ends(what, &words));
    let drags = |what: &'static str, words: String| shows(move |told| told.drags(what, &words));
    let has = |words: String| shows(move |told| told.has(&words));
    let (answered, failed) = (format!("{} DEBUG bursar_caller answered", process()), format!("{} ends: Failed", process()));
    let moved = |by_ms: RangeInclusive<i64>| {
        let process = process();
        shows(move |told| by_ms.contains(&told.clock_moved(&process)))
    };
    let slow = |one: String, other: String| FaultKind::SlowLink { one, other, added_ms: 500, bytes_per_second: 2_000 };
    let crash = FaultKind::CrashAtPoint { host: host(), point: "log.synced".to_owned(), nth: 1, crash: Crash::Exit };
    let no_power = || has(format!(" host {first} loses its power"));
    let everywhere = hosts.clone();
    vec![
        (FaultKind::PowerLoss { host: host() }, no_power()),
        (
            FaultKind::PowerLossEverywhere,
            shows(move |told| everywhere.iter().all(|host| told.has(&format!(" host {host} loses its power")))),
        ),
        (FaultKind::PowerLossAtSync { host: host(), nth: 2 }, no_power()),
        (crash, has(format!("{} ends at log.synced", process()))),
        (
            FaultKind::TroubledCalls { host: host(), trouble: CallTrouble::Lost, per_mille: 1_000 },
            told("call", format!("{} Lost", process())),
        ),
        (FaultKind::Kill { process: process() }, ended("log", answered.clone())),
        (FaultKind::LostCopy { process: process(), loss: Loss::Everything }, ended("log", answered.clone())),
        (FaultKind::RetiredNode { process: process() }, ended("log", answered.clone())),
        (FaultKind::LostServer { process: process() }, ended("log", answered.clone())),
        (FaultKind::LateNode { process: process() }, has("LateNode".to_owned())),
        (FaultKind::Pause { process: process() }, ended("log", answered.clone())),
        (FaultKind::Partition { hosts: [host()].into() }, cut(between(0, 0..desk_id))),
        (FaultKind::Partition { hosts: [desk()].into() }, cut(between(desk_id, 0..desk_id))),
        (FaultKind::OneWay { from: host(), to: second.clone() }, cut(vec!["h0>h1 ".to_owned()])),
        (FaultKind::OneWay { from: host(), to: desk() }, cut(vec![format!("h0>h{desk_id} ")])),
        (FaultKind::IsolateLeader, cut(between(0, 0..desk_id))),
        (slow(host(), second), drags("net", "h0>h1 ".to_owned())),
        (slow(desk(), host()), told("operation", "Err(Elapsed".to_owned())),
        (FaultKind::ClockJump { host: host(), by_ms: -60_000 }, moved(-60_050..=-59_950)),
        (FaultKind::ClockDrift { host: host(), ppm: 50_000 }, moved(100..=200)),
        (FaultKind::SlowDisk { host: host(), within_ms: 2_000 }, drags("log", answered)),
        (FaultKind::HangingDisks { host: storage() }, ended("log", format!("looked disk={} ", one()))),
        (FaultKind::FullDisk { host: host(), path: "/".to_owned() }, told("host", failed.clone())),
        (FaultKind::ReadOnlyDisk { host: host(), path: "/".to_owned() }, told("host", failed.clone())),
        (FaultKind::FailingDisk { host: host(), path: "/".to_owned(), operation: DiskOperation::Sync }, told("host", failed)),
        (FaultKind::PulledDisk { host: storage(), path: one() }, told("log", format!("looked disk={} label=None", one()))),
        (
            FaultKind::SwappedDisks { host: storage(), one: one(), other: other.clone() },
            told("log", format!("looked disk={} label=Some({other:?})", one())),
        ),
    ]
}

#[test]
fn every_kind_of_fault_is_done_and_is_mended() {
    let plan = calm();
    assert_eq!(ran(&plan).0.verdict, Ok(()));
    let kinds = kinds(&plan);
    let tried: BTreeSet<String> = kinds.iter().map(|(kind, _)| written(kind)).chain(["reset".to_owned()]).collect();
    assert_eq!(tried, variants::of::<FaultKind>().iter().map(|name| (*name).to_owned()).collect());
    for (kind, shows) in kinds {
        // The first is over by itself; the second is still going on when the time is up.
        let faults = [(10_000, 3_000), (50_000, 60_000)].map(|(at_ms, for_ms)| Fault { at_ms, for_ms, kind: kind.clone() });
        let (outcome, told) = ran(&Plan { faults: faults.into(), ..plan.clone() });
        assert_eq!(outcome.verdict, Ok(()), "{kind:?}");
        assert_eq!(told.matches(" fault ").count(), 3, "{kind:?}");
        assert!(told.contains(&format!(" fault {kind:?} for 3000 ms")) && !told.contains(" missed "), "{kind:?}");
        assert!(shows(&Told(told)), "{kind:?} does not show");
    }
}

#[test]
fn connections_break_where_there_are_any() {
    let plan = calm();
    let host = |place: usize| plan.topology.hosts[place].name.clone();
    for (one, other, what) in [(host(0), host(1), "log"), (host(0), DESK.to_owned(), "operation")] {
        let kind = FaultKind::Reset { one, other };
        let faults = (0..250).map(|place| Fault { at_ms: 10_000 + 11 * place, for_ms: 0, kind: kind.clone() }).collect();
        let (outcome, told) = ran(&Plan { faults, ..plan.clone() });
        assert_eq!(outcome.verdict, Ok(()));
        let [struck, missed] = ["fault", "missed"].map(|word| told.matches(&format!(" {word} Reset ")).count());
        assert!(struck > 0 && missed > 0 && struck + missed == 250, "{struck} struck, {missed} missed");
        assert!(Told(told).begins(what, "ConnectionReset"), "{kind:?}");
    }
}

#[test]
fn what_came_to_nothing_is_told_apart_and_not_counted() {
    let plan = calm();
    let (host, process) = (plan.topology.hosts[0].name.clone(), plan.topology.hosts[0].processes[0].name.clone());
    let server = plan.topology.hosts.iter().find(|host| host.disks.len() > 1).unwrap();
    let (storage, one, other) = (server.name.clone(), server.disks[0].clone(), server.disks[1].clone());
    let fault = |at_ms, kind| Fault { at_ms, for_ms: 3_000, kind };
    let never = FaultKind::CrashAtPoint { host: host.clone(), point: "install.chunk".to_owned(), nth: 1, crash: Crash::Exit };
    let faults = vec![
        fault(10_000, never),
        fault(10_000, FaultKind::PowerLossAtSync { host, nth: u64::MAX }),
        fault(10_000, FaultKind::Kill { process: process.clone() }),
        fault(11_000, FaultKind::Pause { process }),
        fault(11_000, FaultKind::PulledDisk { host: storage.clone(), path: one.clone() }),
        fault(12_000, FaultKind::SwappedDisks { host: storage, one, other }),
    ];
    let (outcome, told) = ran(&Plan { faults, ..plan });
    assert_eq!(outcome.verdict, Ok(()));
    for (kind, has_struck) in [
        ("CrashAtPoint", false),
        ("PowerLossAtSync", false),
        ("Kill", true),
        ("Pause", false),
        ("PulledDisk", true),
        ("SwappedDisks", false),
    ] {
        let word = if has_struck { "fault" } else { "missed" };
        assert!(told.contains(&format!(" {word} {kind} ")), "{kind}");
    }
    let counted = outcome.coverage.to_string();
    let counted: Vec<&str> = counted.split_whitespace().filter(|word| word.starts_with("fault.")).collect();
    assert_eq!(counted, ["fault.kill", "fault.pulled_disk"]);
}

#[test]
fn what_a_process_says_is_told_with_its_name() {
    let plan = calm();
    let host = plan.topology.hosts[0].name.clone();
    let fault = Fault { at_ms: 5_000, for_ms: 5_000, kind: FaultKind::Partition { hosts: [host].into() } };
    let (_, told) = ran(&Plan { faults: vec![fault], ..plan });
    assert!(told.contains(" log authority-1 DEBUG ") && told.contains(" not answered other="), "{told:.2000}");
}
