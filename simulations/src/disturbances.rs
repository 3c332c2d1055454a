//! What befell a process: what would be a failure of the fleet's otherwise, and is none of it then.

use crate::befallen::Befallen;
use crate::calls::CallTrouble;
use crate::invariants::Excuses;
use crate::plan::{FaultKind, Plan, Role};
use crate::world::World;

/// Longer than any run.
const EVER_MS: u64 = 24 * 3_600 * 1_000;
/// Where a machine's own disk is.
const OWN_DISK: &str = "/";
/// A node that starts on a disk that fails ends again, and again: for so long after the disk is sound it may.
const ENDS_AGAIN_MS: u64 = 5_000;
/// The calls that a heartbeat takes, one after the other: of the server to a node, of that one to the leader, of the leader to a majority.
const CALLS_OF_A_HEARTBEAT: u64 = 3;

/// What has befallen a world.
pub struct Disturbances<'w> {
    plan: &'w Plan,
    befallen: &'w Befallen,
}

impl<'w> Disturbances<'w> {
    /// As of now.
    pub fn of(world: &'w World) -> Self {
        Self { plan: &world.plan, befallen: &world.befallen }
    }

    /// The machine on which a process runs.
    fn host_of(&self, process: &str) -> &str {
        let mut hosts = self.plan.topology.hosts.iter();
        let found = hosts.find(|host| host.processes.iter().any(|found| found.name == process));
        &found.expect("a plan names processes that it has").name
    }

    /// The machines on which authority nodes run.
    fn authorities(&self) -> impl Iterator<Item = &str> {
        self.plan.processes(Role::Authority).map(|(host, _)| host.name.as_str())
    }

    /// Whether what is said on one of these machines may make its way over another one: it goes from the server's to any authority
    /// node's, and from there to the leader's.
    fn is_on_the_way(&self, host: &str, machine: &str) -> bool {
        machine == host || self.authorities().any(|authority| authority == machine)
    }

    /// Whether there may be a moment at which one authority node is the only one: of two, the other may leave.
    fn may_have_one_voter(&self) -> bool {
        let leaves = || self.plan.faults.iter().any(|fault| matches!(fault.kind, FaultKind::RetiredNode { .. }));
        match self.authorities().count() {
            1 => true,
            2 => leaves(),
            _ => false,
        }
    }

    /// Whether such calls can keep the leader from hearing anything for as long as it waits. What is repeated has arrived before.
    fn can_silence(&self, trouble: CallTrouble) -> bool {
        match trouble {
            CallTrouble::Lost | CallTrouble::Unanswered => true,
            CallTrouble::Repeated { .. } => false,
            CallTrouble::Late { within_ms } => CALLS_OF_A_HEARTBEAT * within_ms > self.plan.knobs.detection_window_ms,
        }
    }
}

impl Excuses for Disturbances<'_> {
    fn is_disturbed(&self, process: &str, within_ms: u64) -> bool {
        let host = self.host_of(process);
        self.befallen.had(within_ms, |kind| match kind {
            FaultKind::PowerLossEverywhere => true,
            FaultKind::Kill { process: killed }
            | FaultKind::Pause { process: killed }
            | FaultKind::LostServer { process: killed } => killed == process,
            // Where authority nodes are apart from one another, some are apart from the server, and it need not be with the majority.
            FaultKind::Partition { hosts } => {
                self.authorities().any(|authority| hosts.contains(authority) != hosts.contains(host))
            }
            FaultKind::OneWay { from: one, to: other } | FaultKind::SlowLink { one, other, .. } => {
                self.is_on_the_way(host, one) && self.is_on_the_way(host, other)
            }
            // A node that has lost its connection to the leader says so, and the server goes on to the next.
            FaultKind::Reset { one, other } => {
                (one == host || other == host) && self.is_on_the_way(host, one) && self.is_on_the_way(host, other)
            }
            FaultKind::TroubledCalls { host: troubled, trouble, .. } => {
                self.is_on_the_way(host, troubled) && self.can_silence(*trouble)
            }
            // Nothing happens to servers by that: other nodes are there, or nobody was told of a leader.
            FaultKind::LostCopy { .. } | FaultKind::RetiredNode { .. } | FaultKind::LateNode { .. } => false,
            FaultKind::ClockJump { .. } | FaultKind::ClockDrift { .. } => false,
            // Who needs nobody else's vote leads on while nobody reaches it; others are followed by somebody who is reached.
            FaultKind::IsolateLeader => self.may_have_one_voter(),
            FaultKind::PowerLoss { host: struck }
            | FaultKind::PowerLossAtSync { host: struck, .. }
            | FaultKind::CrashAtPoint { host: struck, .. }
            | FaultKind::SlowDisk { host: struck, .. } => struck == host,
            FaultKind::FullDisk { host: struck, path } | FaultKind::FailingDisk { host: struck, path, .. } => {
                struck == host && path == OWN_DISK
            }
            // Who looks after disks for archives, and who says that the server is there, do not wait for one another.
            FaultKind::HangingDisks { .. }
            | FaultKind::ReadOnlyDisk { .. }
            | FaultKind::PulledDisk { .. }
            | FaultKind::SwappedDisks { .. } => false,
        })
    }

    fn ended_for_its_disk(&self, process: &str) -> bool {
        let host = self.host_of(process);
        self.befallen.had(ENDS_AGAIN_MS, |kind| match kind {
            FaultKind::FullDisk { host: struck, path }
            | FaultKind::ReadOnlyDisk { host: struck, path }
            | FaultKind::FailingDisk { host: struck, path, .. } => struck == host && path == OWN_DISK,
            FaultKind::LostCopy { process: struck, .. } | FaultKind::RetiredNode { process: struck } => struck == process,
            _ => false,
        })
    }

    fn disk_ever_failed(&self, process: &str, path: &str) -> bool {
        let host = self.host_of(process);
        self.befallen.had(EVER_MS, |kind| match kind {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::DiskOperation;
    use crate::plan::Wanted;

    /// A window and what is beyond it.
    const WITHIN_MS: u64 = 18_000;
    const DISK: &str = "/srv/storage-1/disk-1";

    /// Asks of storage-1 on s1 in a fleet with three authority nodes on a1 to a3, and with servers on s1 and s2, while this goes on.
    fn asked<T>(kind: FaultKind, ask: impl Fn(&Disturbances<'_>) -> T) -> T {
        let wanted = Wanted { authority_nodes: Some(3), storage_servers: Some(20), tls: None };
        let (plan, befallen) = (Plan::of_seed_as(7, wanted), Befallen::default());
        let _going_on = befallen.begin(&kind);
        ask(&Disturbances { plan: &plan, befallen: &befallen })
    }

    fn is_silenced_by(kind: FaultKind) -> bool {
        asked(kind, |disturbances| disturbances.is_disturbed("storage-1", WITHIN_MS))
    }

    fn name(name: &str) -> String {
        name.to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_silences_those_who_are_not_with_all_authority_nodes() {
        let cut = |hosts: &[&str]| is_silenced_by(FaultKind::Partition { hosts: hosts.iter().copied().map(name).collect() });
        for (hosts, is_silenced) in [
            (&["s1"][..], true),
            (&["s1", "a1"], true),
            (&["a1"], true),
            (&["a1", "a2", "a3"], true),
            (&["s2"], false),
            (&["s1", "a1", "a2", "a3"], false),
            (&["desk"], false),
        ] {
            assert_eq!(cut(hosts), is_silenced, "{hosts:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_silences_those_whose_heartbeats_may_take_it() {
        for (one, other, is_silenced, is_silenced_by_reset) in [
            ("s1", "a1", true, true),
            ("a2", "s1", true, true),
            ("a1", "a2", true, false),
            ("s1", "s2", false, false),
            ("a1", "s2", false, false),
            ("desk", "a1", false, false),
        ] {
            let (one, other) = (name(one), name(other));
            let one_way = FaultKind::OneWay { from: one.clone(), to: other.clone() };
            let slow = FaultKind::SlowLink { one: one.clone(), other: other.clone(), added_ms: 1, bytes_per_second: 1 };
            assert_eq!(is_silenced_by(one_way), is_silenced, "{one} {other}");
            assert_eq!(is_silenced_by(slow), is_silenced, "{one} {other}");
            let reset = FaultKind::Reset { one: one.clone(), other: other.clone() };
            assert_eq!(is_silenced_by(reset), is_silenced_by_reset, "{one} {other}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_silence_where_what_is_said_never_arrives_or_after_a_window() {
        let troubled = |host: &str, trouble| FaultKind::TroubledCalls { host: name(host), trouble, per_mille: 1 };
        for (trouble, is_silenced) in [
            (CallTrouble::Lost, true),
            (CallTrouble::Unanswered, true),
            (CallTrouble::Late { within_ms: 60_000 }, true),
            (CallTrouble::Late { within_ms: 2_000 }, false),
            (CallTrouble::Repeated { within_ms: 60_000 }, false),
        ] {
            assert_eq!(is_silenced_by(troubled("s1", trouble)), is_silenced, "{trouble:?}");
            assert_eq!(is_silenced_by(troubled("a2", trouble)), is_silenced, "{trouble:?}");
            assert!(!is_silenced_by(troubled("s2", trouble)), "{trouble:?}");
        }
    }

    /// All that can be wrong with a disk.
    fn failing(path: &str) -> [FaultKind; 5] {
        let (host, path) = (name("s1"), name(path));
        [
            FaultKind::FullDisk { host: host.clone(), path: path.clone() },
            FaultKind::FailingDisk { host: host.clone(), path: path.clone(), operation: DiskOperation::Sync },
            FaultKind::ReadOnlyDisk { host: host.clone(), path: path.clone() },
            FaultKind::PulledDisk { host: host.clone(), path: path.clone() },
            FaultKind::SwappedDisks { host, one: path, other: name("/srv/storage-2/disk-1") },
        ]
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_for_archives_silences_and_ends_nobody() {
        for kind in failing(DISK).into_iter().chain([FaultKind::HangingDisks { host: name("s1") }]) {
            assert!(!is_silenced_by(kind.clone()), "{kind:?}");
            assert!(!asked(kind.clone(), |disturbances| disturbances.ended_for_its_disk("storage-1")), "{kind:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_machines_own_disk_silences_and_ends_those_who_run_on_it() {
        for kind in &failing(OWN_DISK)[..2] {
            assert!(is_silenced_by(kind.clone()), "{kind:?}");
            for (process, ended) in [("storage-1", true), ("storage-20", false), ("authority-1", false)] {
                assert_eq!(asked(kind.clone(), |disturbances| disturbances.ended_for_its_disk(process)), ended, "{kind:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_point_may_be_told_of_late_where_its_disk_was_not_always_sound() {
        for kind in &failing(DISK)[1..] {
            for (path, failed) in [(DISK, true), ("/srv/storage-1/disk-2", false)] {
                let ever_failed = asked(kind.clone(), |disturbances| disturbances.disk_ever_failed("storage-1", path));
                assert_eq!(ever_failed, failed, "{kind:?} {path}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_is_silent_while_it_does_not_run_and_the_others_are_not() {
        for kind in [
            FaultKind::Kill { process: name("storage-1") },
            FaultKind::Pause { process: name("storage-1") },
            FaultKind::PowerLoss { host: name("s1") },
            FaultKind::PowerLossEverywhere,
        ] {
            assert!(is_silenced_by(kind.clone()), "{kind:?}");
        }
        for kind in [
            FaultKind::Kill { process: name("storage-2") },
            FaultKind::PowerLoss { host: name("a1") },
            FaultKind::IsolateLeader,
            FaultKind::ClockJump { host: name("s1"), by_ms: 60_000 },
        ] {
            assert!(!is_silenced_by(kind.clone()), "{kind:?}");
        }
    }
}
