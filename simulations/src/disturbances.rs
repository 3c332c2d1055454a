//! What a plan does to a process: what would be a failure of the fleet's otherwise, and is none of it then.

use std::time::Duration;

use crate::invariants::Excuses;
use crate::plan::{Fault, FaultKind};
use crate::world::World;

/// The faults of a world's plan, as far as they have begun.
pub struct Disturbances<'w> {
    world: &'w World,
    now: Duration,
}

impl<'w> Disturbances<'w> {
    /// As of now.
    pub fn of(world: &'w World) -> Self {
        Self { world, now: world.elapsed() }
    }

    /// The faults that went on within the last so many milliseconds.
    fn recent(&self, within_ms: u64) -> impl Iterator<Item = &'w Fault> {
        let now_ms = u64::try_from(self.now.as_millis()).expect("a run is short");
        let recently = move |fault: &&Fault| fault.at_ms <= now_ms && fault.ends_ms() + within_ms >= now_ms;
        self.world.plan.faults.iter().filter(recently)
    }
}

impl Excuses for Disturbances<'_> {
    fn is_disturbed(&self, process: &str, within_ms: u64) -> bool {
        let host = self.world.host_of(process).name();
        self.recent(within_ms).any(|fault| match &fault.kind {
            FaultKind::PowerLossEverywhere => true,
            FaultKind::Kill { process: killed } | FaultKind::Pause { process: killed } => killed == process,
            // It may be cut off from all nodes that can tell a leader.
            FaultKind::Partition { .. } => true,
            FaultKind::OneWay { from: one, to: other }
            | FaultKind::Reset { one, other }
            | FaultKind::SlowLink { one, other, .. } => one == host || other == host,
            FaultKind::IsolateLeader | FaultKind::ClockJump { .. } | FaultKind::ClockDrift { .. } => false,
            FaultKind::PowerLoss { host: struck }
            | FaultKind::PowerLossAtSync { host: struck, .. }
            | FaultKind::SlowDisk { host: struck, .. }
            | FaultKind::HangingDisks { host: struck }
            | FaultKind::FullDisk { host: struck, .. }
            | FaultKind::ReadOnlyDisk { host: struck, .. }
            | FaultKind::FailingDisk { host: struck, .. }
            | FaultKind::PulledDisk { host: struck, .. }
            | FaultKind::SwappedDisks { host: struck, .. } => struck == host,
        })
    }

    fn has_failing_disk(&self, process: &str) -> bool {
        let host = self.world.host_of(process).name();
        // A node that starts on a disk that fails ends again, and again.
        self.recent(5_000).any(|fault| match &fault.kind {
            FaultKind::FullDisk { host: struck, .. }
            | FaultKind::ReadOnlyDisk { host: struck, .. }
            | FaultKind::FailingDisk { host: struck, .. } => struck == host,
            _ => false,
        })
    }
}
