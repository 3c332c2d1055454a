//! What befell a process: what would be a failure of the fleet's otherwise, and is none of it then.

use crate::invariants::Excuses;
use crate::plan::{FaultKind, Role};
use crate::world::World;

/// Longer than any run.
const EVER_MS: u64 = 24 * 3_600 * 1_000;

/// What has befallen a world.
pub struct Disturbances<'w> {
    world: &'w World,
}

impl<'w> Disturbances<'w> {
    /// As of now.
    pub fn of(world: &'w World) -> Self {
        Self { world }
    }

    /// Whether authority nodes run on a machine.
    fn is_authority(&self, host: &str) -> bool {
        self.world.planned(host).processes.iter().any(|process| process.role == Role::Authority)
    }
}

impl Excuses for Disturbances<'_> {
    fn is_disturbed(&self, process: &str, within_ms: u64) -> bool {
        let host = self.world.host_of(process).name();
        self.world.befallen.had(within_ms, |kind| match kind {
            FaultKind::PowerLossEverywhere => true,
            FaultKind::Kill { process: killed }
            | FaultKind::Pause { process: killed }
            | FaultKind::LostServer { process: killed } => killed == process,
            // It may be cut off from all nodes that can tell a leader.
            FaultKind::Partition { .. } => true,
            // What it says may be lost between two nodes.
            FaultKind::TroubledCalls { host: troubled, .. } => troubled == host || self.is_authority(troubled),
            FaultKind::OneWay { from: one, to: other }
            | FaultKind::Reset { one, other }
            | FaultKind::SlowLink { one, other, .. } => one == host || other == host,
            // Nothing happens to servers by that: other nodes are there, or nobody was told of a leader.
            FaultKind::LostCopy { .. } | FaultKind::LateNode { .. } => false,
            FaultKind::ClockJump { .. } | FaultKind::ClockDrift { .. } => false,
            // Who needs nobody else's vote leads on while nobody reaches it; others are followed by somebody who is reached.
            FaultKind::IsolateLeader => self.world.plan.processes(Role::Authority).count() == 1,
            FaultKind::PowerLoss { host: struck }
            | FaultKind::PowerLossAtSync { host: struck, .. }
            | FaultKind::CrashAtPoint { host: struck, .. }
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
        self.world.befallen.had(5_000, |kind| match kind {
            FaultKind::FullDisk { host: struck, .. }
            | FaultKind::ReadOnlyDisk { host: struck, .. }
            | FaultKind::FailingDisk { host: struck, .. } => struck == host,
            FaultKind::LostCopy { process: struck, .. } => struck == process,
            _ => false,
        })
    }

    fn had_failing_disk(&self, process: &str, path: &str) -> bool {
        let host = self.world.host_of(process).name();
        self.world.befallen.had(EVER_MS, |kind| match kind {
            FaultKind::HangingDisks { host: struck } => struck == host,
            FaultKind::ReadOnlyDisk { host: struck, path: failing }
            | FaultKind::FailingDisk { host: struck, path: failing, .. }
            | FaultKind::PulledDisk { host: struck, path: failing } => struck == host && failing == path,
            FaultKind::SwappedDisks { host: struck, one, other } => {
                struck == host && [one, other].iter().any(|disk| *disk == path)
            }
            _ => false,
        })
    }
}
