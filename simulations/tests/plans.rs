//! Plans that are carried out.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};

use bursar_simulations::calls::CallTrouble;
use bursar_simulations::disk::DiskOperation;
use bursar_simulations::plan::{Fault, FaultKind, Plan, Role};
use bursar_simulations::points::Crash;
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

#[test]
fn every_kind_of_fault_is_done_and_is_mended() {
    let plan = calm();
    let name = |place: usize| plan.topology.hosts[place].name.clone();
    let (first, second, process) = (name(0), name(1), plan.topology.hosts[0].processes[0].name.clone());
    let server = plan.topology.hosts.iter().find(|host| host.disks.len() > 1).unwrap();
    let (disks, storage) = (server.disks.clone(), server.name.clone());
    let host = || first.clone();
    let kinds = [
        FaultKind::PowerLoss { host: host() },
        FaultKind::PowerLossEverywhere,
        FaultKind::PowerLossAtSync { host: host(), nth: 2 },
        FaultKind::CrashAtPoint { host: host(), point: "log.synced".to_owned(), nth: 1, crash: Crash::Exit },
        FaultKind::TroubledCalls { host: host(), trouble: CallTrouble::Lost, per_mille: 1_000 },
        FaultKind::Kill { process: process.clone() },
        FaultKind::Pause { process },
        FaultKind::Partition { hosts: [host()].into() },
        FaultKind::OneWay { from: host(), to: second.clone() },
        FaultKind::IsolateLeader,
        FaultKind::Reset { one: host(), other: second.clone() },
        FaultKind::SlowLink { one: host(), other: second.clone(), added_ms: 500, bytes_per_second: 2_000 },
        FaultKind::ClockJump { host: host(), by_ms: -60_000 },
        FaultKind::ClockDrift { host: host(), ppm: 50_000 },
        FaultKind::SlowDisk { host: host(), within_ms: 2_000 },
        FaultKind::HangingDisks { host: storage.clone() },
        FaultKind::FullDisk { host: host(), path: "/".to_owned() },
        FaultKind::ReadOnlyDisk { host: host(), path: "/".to_owned() },
        FaultKind::FailingDisk { host: host(), path: "/".to_owned(), operation: DiskOperation::Sync },
        FaultKind::PulledDisk { host: storage.clone(), path: disks[0].clone() },
        FaultKind::SwappedDisks { host: storage, one: disks[0].clone(), other: disks[1].clone() },
    ];
    let calm = ran(&plan).0;
    assert_eq!(calm.verdict, Ok(()));
    for kind in kinds {
        // The first is over by itself; the second is still going on when the time is up.
        let faults = [(10_000, 3_000), (50_000, 60_000)].map(|(at_ms, for_ms)| Fault { at_ms, for_ms, kind: kind.clone() });
        let (outcome, told) = ran(&Plan { faults: faults.into(), ..plan.clone() });
        assert_eq!(outcome.verdict, Ok(()), "{kind:?}");
        assert_eq!(told.matches(" fault ").count(), 3, "{kind:?}");
        assert!(told.contains(&format!("{kind:?}")));
    }
}

#[test]
fn what_a_process_says_is_told_with_its_name() {
    let plan = calm();
    let host = plan.topology.hosts[0].name.clone();
    let fault = Fault { at_ms: 5_000, for_ms: 5_000, kind: FaultKind::Partition { hosts: [host].into() } };
    let (_, told) = ran(&Plan { faults: vec![fault], ..plan });
    assert!(told.contains(" log authority-1 DEBUG ") && told.contains(" not answered other="), "{told:.2000}");
}
