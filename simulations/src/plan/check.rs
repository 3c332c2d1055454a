//! Whether a plan makes sense. What no world could be made of, or what the fleet could not be blamed for, is refused before anything
//! runs, with what to change.

use std::collections::BTreeSet;

use bursar_domain::mutants::Mutant;
use bursar_net::Address;

use super::{Fault, FaultKind, Plan, PlanError, Role};

/// The machine that operators sit at, which every world has.
const DESK: &str = "desk";
/// The least detection window that an authority node takes (`fleet.detection_window_ms`), in milliseconds.
const DETECTION_WINDOW_MS_MIN: u64 = 3_000;
/// Of fewer authority nodes none can lose its copy, for there may be no other.
const COPIES_MIN: usize = 3;
/// The sites are a part of the addresses of machines.
const SITES_MAX: usize = 256;

/// Refuses a plan for this reason, which says what it does.
macro_rules! refuse {
    ($($reason:tt)*) => {
        return Err(PlanError::Senseless(format!($($reason)*)))
    };
}

impl Plan {
    /// Refuses a plan that makes no sense, whatever its names.
    pub(super) fn check_sense(&self) -> Result<(), PlanError> {
        self.check_machines()?;
        self.check_sites()?;
        self.check_knobs()?;
        for fault in &self.faults {
            self.check_moment(fault)?;
            self.check_kind(&fault.kind)?;
        }
        self.left_broken.iter().try_for_each(|kind| self.check_kind(kind))?;
        self.check_operations()?;
        match &self.mutant {
            Some(name) if !Mutant::ALL.iter().any(|mutant| mutant.name() == name) => {
                refuse!("has the bug {name:?} planted, which is none: bursar-simulate mutants lists them")
            }
            _ => Ok(()),
        }
    }

    fn check_machines(&self) -> Result<(), PlanError> {
        let (mut machines, mut processes) = (BTreeSet::from([DESK]), BTreeSet::new());
        if self.topology.hosts.is_empty() {
            refuse!("has no machines: it takes one with an authority node");
        }
        for host in &self.topology.hosts {
            let name = host.name.as_str();
            if Address::new(name, 0).is_err() {
                refuse!("has a machine called {name:?}, which is no name of a machine");
            }
            if !machines.insert(name) {
                refuse!("has two machines called {name:?}; the one that operators sit at is called {DESK:?}");
            }
            let mut disks = BTreeSet::from(["/"]);
            for path in &host.disks {
                if !path.starts_with('/') || !disks.insert(path) {
                    refuse!("mounts a disk of {name:?} at {path:?}: it takes a path from / on that no other disk has");
                }
            }
            for process in &host.processes {
                let process = process.name.as_str();
                if process.is_empty() || process.contains('/') || process.starts_with('.') {
                    refuse!("has a process called {process:?}, which is no name of a directory");
                }
                if !processes.insert(process) {
                    refuse!("has two processes called {process:?}");
                }
            }
        }
        if self.processes(Role::Authority).next().is_none() {
            refuse!("has no authority node: it takes one at least");
        }
        Ok(())
    }

    fn check_sites(&self) -> Result<(), PlanError> {
        let latency_ms = &self.topology.distances.latency_ms;
        let sites = latency_ms.len();
        if sites > SITES_MAX || latency_ms.iter().any(|row| row.len() != sites) {
            refuse!(
                "has a latency_ms that is not square: it takes a row for each site, and in it a number for each, up to {SITES_MAX}"
            );
        }
        if let Some(host) = self.topology.hosts.iter().find(|host| host.site >= sites) {
            refuse!("puts {:?} at site {}, and its latency_ms has {sites}, counted from 0", host.name, host.site);
        }
        Ok(())
    }

    fn check_knobs(&self) -> Result<(), PlanError> {
        let knobs = &self.knobs;
        let at_least_one = [
            ("knobs.heartbeat_ms", knobs.heartbeat_ms),
            ("knobs.checkpoint_every", knobs.checkpoint_every),
            ("knobs.restart_after_ms", knobs.restart_after_ms),
            ("knobs.disk_bytes", knobs.disk_bytes),
            ("topology.distances.buffer_bytes", self.topology.distances.buffer_bytes as u64),
        ];
        if let Some((name, _)) = at_least_one.into_iter().find(|(_, value)| *value == 0) {
            refuse!("has 0 for {name}: it takes 1 at least");
        }
        if knobs.detection_window_ms < DETECTION_WINDOW_MS_MIN {
            refuse!(
                "has {} for knobs.detection_window_ms: it takes {DETECTION_WINDOW_MS_MIN} at least",
                knobs.detection_window_ms
            );
        }
        Ok(())
    }

    /// Refuses a fault that would never happen. What nodes join late, and what machines take the place of lost servers, does, also
    /// once the plan's time is over.
    fn check_moment(&self, Fault { at_ms, kind, .. }: &Fault) -> Result<(), PlanError> {
        if *at_ms >= self.duration_ms && !matches!(kind, FaultKind::LateNode { .. } | FaultKind::LostServer { .. }) {
            refuse!("has a fault begin at {at_ms} ms, and is over at {} ms: {kind:?}", self.duration_ms);
        }
        Ok(())
    }

    fn check_kind(&self, kind: &FaultKind) -> Result<(), PlanError> {
        let has_role = |process: &str, role| self.processes(role).any(|(_, found)| found.name == process);
        match kind {
            FaultKind::PowerLossAtSync { nth: 0, .. } | FaultKind::CrashAtPoint { nth: 0, .. } => {
                refuse!("has 0 for nth, which counts from 1: {kind:?}")
            }
            FaultKind::SlowLink { bytes_per_second: 0, .. } => {
                refuse!("lets no byte over a link, for ever: cut it, or let bytes_per_second be 1 at least: {kind:?}")
            }
            FaultKind::TroubledCalls { per_mille: 1_001.., .. } => refuse!("troubles more than 1000 calls of 1000: {kind:?}"),
            FaultKind::Partition { hosts } if hosts.is_empty() => refuse!("cuts nobody off: {kind:?}"),
            FaultKind::OneWay { from: one, to: other }
            | FaultKind::Reset { one, other }
            | FaultKind::SlowLink { one, other, .. }
            | FaultKind::SwappedDisks { one, other, .. }
                if one == other =>
            {
                refuse!("names {one:?} twice where it takes two: {kind:?}")
            }
            FaultKind::LostCopy { process, .. } | FaultKind::LateNode { process } if !has_role(process, Role::Authority) => {
                refuse!("says of {process:?} what befalls authority nodes alone: {kind:?}")
            }
            FaultKind::LostServer { process } if !has_role(process, Role::StorageServer) => {
                refuse!("says of {process:?} what befalls storage servers alone: {kind:?}")
            }
            FaultKind::LateNode { process }
                if self.processes(Role::Authority).next().is_some_and(|(_, first)| first.name == *process) =>
            {
                refuse!("lets {process:?} join late, which founds the cluster: let another node")
            }
            FaultKind::LostCopy { process, .. } if self.copies() < COPIES_MIN => {
                refuse!(
                    "lets {process:?} lose its copy, of {} that there are from the beginning: it takes {COPIES_MIN}",
                    self.copies()
                )
            }
            _ => Ok(()),
        }
    }

    /// How many authority nodes there are from the beginning.
    fn copies(&self) -> usize {
        let joins_late = |process: &str| {
            self.faults.iter().any(|fault| matches!(&fault.kind, FaultKind::LateNode { process: late } if late == process))
        };
        self.processes(Role::Authority).filter(|(_, process)| !joins_late(&process.name)).count()
    }

    fn check_operations(&self) -> Result<(), PlanError> {
        // The last is the operator of storage servers, beside the clients.
        let last = self.knobs.clients;
        match self.operations.iter().find(|operation| operation.client > last) {
            Some(operation) => {
                refuse!("has an operation of client {}, and knobs.clients lets there be 0 to {last}", operation.client)
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Action, HostPlan, Loss, Operation};

    /// A plan with three nodes and with servers, in which nothing goes wrong.
    fn calm() -> Plan {
        let fits = |plan: &Plan| {
            plan.processes(Role::Authority).count() == 3 && plan.topology.hosts.iter().any(|host| host.disks.len() > 1)
        };
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
}
