//! Whether a plan makes sense. What no world could be made of, or what the fleet could not be blamed for, is refused before anything
//! runs, with what to change.

use std::collections::BTreeSet;

use bursar_domain::mutants::Mutant;
use bursar_net::Address;

use super::{DESK, Fault, FaultKind, Plan, PlanError, Role};
use crate::points::POINTS;

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
    /// Refuses a plan that names what it does not have, or makes no sense otherwise.
    pub(super) fn check(&self) -> Result<(), PlanError> {
        self.check_names()?;
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
            _ => self.check_core(),
        }
    }

    fn check_names(&self) -> Result<(), PlanError> {
        let hosts: BTreeSet<&str> = self.topology.hosts.iter().map(|host| host.name.as_str()).collect();
        let processes: BTreeSet<&str> =
            self.topology.hosts.iter().flat_map(|host| &host.processes).map(|process| process.name.as_str()).collect();
        let disks: BTreeSet<(&str, &str)> = self
            .topology
            .hosts
            .iter()
            .flat_map(|host| host.disks.iter().map(|path| (host.name.as_str(), path.as_str())).chain([(host.name.as_str(), "/")]))
            .collect();
        for kind in self.faults.iter().map(|fault| &fault.kind).chain(&self.left_broken) {
            let named = kind.names();
            let unknown = |what, name: &str| Err(PlanError::Unknown { what, name: name.to_owned() });
            let is_known = |host: &str| hosts.contains(host) || (host == DESK && kind.is_of_the_network());
            if let Some(host) = named.hosts.iter().find(|host| !is_known(host)) {
                return unknown("machine", host);
            }
            if let Some(process) = named.process.filter(|process| !processes.contains(process)) {
                return unknown("process", process);
            }
            if let Some(point) = named.point.filter(|point| !POINTS.contains(point)) {
                return Err(PlanError::UnknownPoint { name: point.to_owned() });
            }
            if let Some(path) = named.disks.iter().find(|path| !disks.contains(&(named.hosts[0], **path))) {
                return unknown("disk", path);
            }
        }
        Ok(())
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
            FaultKind::LostCopy { process, .. } | FaultKind::RetiredNode { process } | FaultKind::LateNode { process }
                if !has_role(process, Role::Authority) =>
            {
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
            FaultKind::RetiredNode { process } if self.copies() < 2 => {
                refuse!("lets {process:?} leave, which is alone in the beginning: it takes another that goes on")
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

    /// Refuses a plan that leaves broken what nobody can come into line without.
    fn check_core(&self) -> Result<(), PlanError> {
        for kind in &self.left_broken {
            let refused = |why| Err(PlanError::NotLeftBroken { kind: format!("{kind:?}"), why });
            match kind {
                _ if kind.is_repaired_by_operators() => return refused("operators repair"),
                FaultKind::PowerLossEverywhere => return refused("leaves nobody whole"),
                FaultKind::IsolateLeader => return refused("names nobody"),
                FaultKind::Reset { .. } | FaultKind::ClockJump { .. } => return refused("is over in an instant"),
                _ => {}
            }
        }
        let core = self.core();
        let nodes = self.processes(Role::Authority).count();
        let whole = self.processes(Role::Authority).filter(|(_, process)| core.contains(process.name.as_str())).count();
        if 2 * whole <= nodes && !self.left_broken.is_empty() {
            return Err(PlanError::NoMajority { whole, nodes });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
