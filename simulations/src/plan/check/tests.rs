//! Plans that are refused, and why.

use super::*;
use crate::plan::{Action, HostPlan, Loss, Operation};
use crate::points::Crash;

/// A plan with three nodes and with servers, in which nothing goes wrong.
fn calm() -> Plan {
    let fits =
        |plan: &Plan| plan.processes(Role::Authority).count() == 3 && plan.topology.hosts.iter().any(|host| host.disks.len() > 1);
    (0..100).map(Plan::of_seed).find(fits).expect("one of a hundred fleets").without_items()
}

fn refused(change: impl FnOnce(&mut Plan)) -> String {
    let mut plan = calm();
    change(&mut plan);
    Plan::from_json(&plan.to_json()).expect_err("it makes no sense").to_string()
}

fn with(at_ms: u64, kind: FaultKind) -> impl FnOnce(&mut Plan) {
    move |plan| plan.faults.push(Fault { at_ms, for_ms: 1, kind })
}

#[track_caller]
fn says(refused: &str, words: &str) {
    assert!(refused.starts_with("this plan ") && refused.contains(words), "{refused}");
}

#[test]
fn machines_and_processes_have_names_of_their_own_and_one_is_an_authority_node() {
    says(&refused(|plan| plan.topology.hosts.clear()), "has no machines");
    says(&refused(|plan| plan.topology.hosts.retain(|host| host.name.starts_with('s'))), "has no authority node");
    says(&refused(|plan| plan.topology.hosts[1].name = "a1".into()), "two machines called \"a1\"");
    says(&refused(|plan| plan.topology.hosts[1].name = "desk".into()), "two machines called \"desk\"");
    says(&refused(|plan| plan.topology.hosts[1].name = "a 1".into()), "no name of a machine");
    says(&refused(|plan| plan.topology.hosts[1].processes[0].name = "authority-1".into()), "two processes");
    says(&refused(|plan| plan.topology.hosts[1].processes[0].name = "a/b".into()), "no name of a directory");
    says(&refused(|plan| plan.topology.hosts[0].disks = vec!["/".into()]), "mounts a disk");
    says(&refused(|plan| plan.topology.hosts[0].disks = vec!["/a".into(), "/a".into()]), "mounts a disk");
}

#[test]
fn sites_fit_the_distances_between_them() {
    says(&refused(|plan| plan.topology.hosts[0].site = 9), "at site 9");
    says(&refused(|plan| plan.topology.distances.latency_ms[0].push(1)), "not square");
    says(&refused(|plan| plan.topology.distances.latency_ms.clear()), "at site ");
}

#[test]
fn nothing_is_zero_that_would_never_end() {
    says(&refused(|plan| plan.knobs.heartbeat_ms = 0), "0 for knobs.heartbeat_ms");
    says(&refused(|plan| plan.knobs.checkpoint_every = 0), "0 for knobs.checkpoint_every");
    says(&refused(|plan| plan.knobs.restart_after_ms = 0), "0 for knobs.restart_after_ms");
    says(&refused(|plan| plan.topology.distances.buffer_bytes = 0), "0 for topology.distances.buffer_bytes");
    says(&refused(|plan| plan.knobs.detection_window_ms = 0), "it takes 3000 at least");
    says(&refused(with(1, FaultKind::PowerLossAtSync { host: "a1".into(), nth: 0 })), "counts from 1");
    let slow = FaultKind::SlowLink { one: "a1".into(), other: "a2".into(), added_ms: 1, bytes_per_second: 0 };
    says(&refused(with(1, slow)), "lets no byte over a link");
}

#[test]
fn faults_befall_whom_they_can_while_the_plan_goes_on() {
    let server = calm().processes(Role::StorageServer).next().expect("there is one").1.name.clone();
    let (node, first) = (|| "authority-2".to_owned(), || "authority-1".to_owned());
    let lost = |process| FaultKind::LostCopy { process, loss: Loss::Stores };
    says(&refused(with(1, lost(server.clone()))), "befalls authority nodes alone");
    says(&refused(with(1, FaultKind::LateNode { process: server.clone() })), "befalls authority nodes alone");
    says(&refused(with(1, FaultKind::RetiredNode { process: server.clone() })), "befalls authority nodes alone");
    says(&refused(with(1, FaultKind::LostServer { process: node() })), "befalls storage servers alone");
    says(&refused(with(1, FaultKind::LateNode { process: first() })), "which founds the cluster");
    says(&refused(with(60_000, lost(node()))), "begin at 60000 ms, and is over at 60000 ms");
    says(&refused(with(1, FaultKind::Reset { one: "a1".into(), other: "a1".into() })), "names \"a1\" twice");
    says(&refused(with(1, FaultKind::Partition { hosts: BTreeSet::new() })), "cuts nobody off");
    let both = |plan: &mut Plan| {
        with(1, FaultKind::LateNode { process: node() })(plan);
        with(1, lost(first()))(plan);
    };
    says(&refused(both), "of 2 that there are from the beginning: it takes 3");
    let all_others_late = |plan: &mut Plan| {
        with(1, FaultKind::LateNode { process: node() })(plan);
        with(1, FaultKind::LateNode { process: "authority-3".to_owned() })(plan);
        with(1, FaultKind::RetiredNode { process: first() })(plan);
    };
    says(&refused(all_others_late), "which is alone in the beginning");
    // Nodes and servers come when they come.
    for kind in [FaultKind::LateNode { process: node() }, FaultKind::LostServer { process: server }] {
        let mut plan = calm();
        with(90_000, kind)(&mut plan);
        Plan::from_json(&plan.to_json()).unwrap();
    }
}

#[test]
fn clients_and_planted_bugs_are_some_that_there_are() {
    let asked = |client| Operation { at_ms: 1, client, action: Action::Read, subject: 1 };
    says(&refused(|plan| plan.operations.push(asked(plan.knobs.clients + 1))), "has an operation of client ");
    says(&refused(|plan| plan.mutant = Some("none".into())), "the bug \"none\" planted");
    let mut plan = calm();
    plan.operations.push(asked(plan.knobs.clients));
    plan.mutant = Some(Mutant::VoteNotKept.name().into());
    assert_eq!(Plan::from_json(&plan.to_json()).unwrap(), plan);
}

#[test]
fn the_machine_of_a_storage_server_may_be_the_first() {
    let mut plan = calm();
    plan.topology.hosts.sort_by_key(|host: &HostPlan| std::cmp::Reverse(host.name.clone()));
    Plan::from_json(&plan.to_json()).unwrap();
}

#[test]
fn a_plan_that_leaves_broken_what_cannot_be_is_refused() {
    let plan = (0..100).map(Plan::of_seed).find(|plan| plan.processes(Role::Authority).count() == 3).unwrap();
    let read = |left_broken: Vec<FaultKind>| Plan::from_json(&Plan { left_broken, ..plan.clone() }.to_json());
    let without_power = |number| FaultKind::PowerLoss { host: format!("a{number}") };
    read(vec![without_power(2)]).unwrap();
    let refused = read(vec![without_power(2), without_power(3)]).unwrap_err();
    assert!(matches!(refused, PlanError::NoMajority { whole: 1, nodes: 3 }), "{refused}");
    for kind in [
        FaultKind::LateNode { process: "authority-2".into() },
        FaultKind::PowerLossEverywhere,
        FaultKind::IsolateLeader,
        FaultKind::ClockJump { host: "a1".into(), by_ms: 1 },
    ] {
        let refused = read(vec![kind.clone()]).unwrap_err();
        assert!(matches!(refused, PlanError::NotLeftBroken { .. }), "{kind:?}: {refused}");
    }
}

#[test]
fn a_plan_that_names_what_it_does_not_have_is_refused() {
    let plan = Plan::of_seed(7);
    let host = plan.topology.hosts[0].name.clone();
    let with = |kind| Plan { faults: vec![Fault { at_ms: 0, for_ms: 1, kind }], ..plan.clone() };
    let nobody = || "nobody".to_owned();
    for (kind, what) in [
        (FaultKind::PowerLoss { host: nobody() }, "machine"),
        (FaultKind::Reset { one: host.clone(), other: nobody() }, "machine"),
        (FaultKind::PowerLoss { host: DESK.to_owned() }, "machine"),
        (FaultKind::Kill { process: nobody() }, "process"),
        (FaultKind::FullDisk { host: host.clone(), path: nobody() }, "disk"),
    ] {
        let refused = Plan::from_json(&with(kind).to_json()).unwrap_err();
        assert!(matches!(&refused, PlanError::Unknown { what: found, .. } if *found == what), "{refused}");
    }
    let crash = |point: &str| FaultKind::CrashAtPoint { host: host.clone(), point: point.to_owned(), nth: 1, crash: Crash::Exit };
    let refused = Plan::from_json(&with(crash("nowhere")).to_json()).unwrap_err();
    assert!(matches!(refused, PlanError::UnknownPoint { name } if name == "nowhere"));
    Plan::from_json(&with(crash("log.synced")).to_json()).unwrap();
    Plan::from_json(&with(FaultKind::Reset { one: DESK.to_owned(), other: host.clone() }).to_json()).unwrap();
    Plan::from_json(&with(FaultKind::FullDisk { host, path: "/".to_owned() }).to_json()).unwrap();
}
