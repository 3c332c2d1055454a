//! What can go wrong in a world, and whom it befalls.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::calls::CallTrouble;
use crate::disk::DiskOperation;
use crate::points::Crash;

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When it begins, in milliseconds.
    pub at_ms: u64,
    /// How long it lasts, in milliseconds. What is over in an instant has none.
    pub for_ms: u64,
    /// What it is.
    pub kind: FaultKind,
}

impl Fault {
    /// When it ends, in milliseconds.
    pub const fn ends_ms(&self) -> u64 {
        self.at_ms.saturating_add(self.for_ms)
    }
}

/// What can go wrong. Machines, processes and disks are named as in the plan's topology; the network's faults may name the operators'
/// [`DESK`], too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs, reason = "the fields of each kind are what the topology calls so, or told by their names")]
pub enum FaultKind {
    /// A machine has no power.
    PowerLoss { host: String },
    /// No machine has power.
    PowerLossEverywhere,
    /// A machine has no power from the nth sync on; where it never comes to that, nothing happens.
    PowerLossAtSync { host: String, nth: u64 },
    /// A machine is struck at the nth passing of a named point of the code by one of its processes; where it never comes to that,
    /// nothing happens.
    CrashAtPoint { host: String, point: String, nth: u64, crash: Crash },
    /// A process is killed, and started again at the end.
    Kill { process: String },
    /// An authority node loses what it keeps. At the end it is taken out of the cluster, and comes back on an empty directory under
    /// another number.
    LostCopy { process: String, loss: Loss },
    /// An authority node is taken out of the cluster, whole as it is. At the end it comes back on an empty directory under another number.
    RetiredNode { process: String },
    /// A storage server loses what it keeps of the fleet. At the end another machine takes its place, with the disks that it had.
    LostServer { process: String },
    /// An authority node joins only now, and not before the plan begins.
    LateNode { process: String },
    /// A process is stopped, and goes on at the end.
    Pause { process: String },
    /// Machines are cut off from all others. The desk reaches everybody, unless it is among these: then it reaches these alone.
    Partition { hosts: BTreeSet<String> },
    /// Nothing gets from one machine to another.
    OneWay { from: String, to: String },
    /// The machine whose authority node leads is cut off from all others.
    IsolateLeader,
    /// The connections between two machines break.
    Reset { one: String, other: String },
    /// Everything between two machines takes longer.
    SlowLink { one: String, other: String, added_ms: u64, bytes_per_second: u64 },
    /// Calls that the processes of a machine make meet with trouble, so many in a thousand.
    TroubledCalls { host: String, trouble: CallTrouble, per_mille: u32 },
    /// A clock is put forward, or back.
    ClockJump { host: String, by_ms: i64 },
    /// A clock runs too fast, or too slow.
    ClockDrift { host: String, ppm: i32 },
    /// Blocking work takes up to this long.
    SlowDisk { host: String, within_ms: u64 },
    /// Work on a machine's disks for archives hangs.
    HangingDisks { host: String },
    /// A disk has no room left.
    FullDisk { host: String, path: String },
    /// A disk takes nothing.
    ReadOnlyDisk { host: String, path: String },
    /// A disk fails at one kind of operation.
    FailingDisk { host: String, path: String, operation: DiskOperation },
    /// A disk is pulled, and put back at the end.
    PulledDisk { host: String, path: String },
    /// Two disks of a machine are in each other's place.
    SwappedDisks { host: String, one: String, other: String },
}

/// What a node loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Loss {
    /// Its whole directory.
    Everything,
    /// Its log and its ledger; it still knows who it was.
    Stores,
    /// Its whole directory. Somebody puts its certificate and its keys back, from a backup, and makes the rest anew: so it starts under
    /// its old number.
    AllButKeys,
    /// A bit of one of the values in them: both are any numbers.
    Bit {
        /// Of which value.
        place: u64,
        /// Of its bits.
        bit: u64,
    },
}

/// What a fault names.
#[derive(Default)]
pub(super) struct Named<'a> {
    pub(super) hosts: Vec<&'a str>,
    pub(super) process: Option<&'a str>,
    /// Of the code.
    pub(super) point: Option<&'a str>,
    /// Of the first of the hosts.
    pub(super) disks: Vec<&'a str>,
}

impl FaultKind {
    /// Whether it takes operators to repair it, which goes on until they have.
    pub const fn is_repaired_by_operators(&self) -> bool {
        matches!(self, Self::LostCopy { .. } | Self::RetiredNode { .. } | Self::LostServer { .. } | Self::LateNode { .. })
    }

    /// Whether it befalls what is between machines, and none of them.
    pub(super) const fn is_of_the_network(&self) -> bool {
        matches!(self, Self::Partition { .. } | Self::OneWay { .. } | Self::Reset { .. } | Self::SlowLink { .. })
    }

    pub(super) fn names(&self) -> Named<'_> {
        match self {
            FaultKind::PowerLossEverywhere | FaultKind::IsolateLeader => Named::default(),
            FaultKind::Kill { process }
            | FaultKind::Pause { process }
            | FaultKind::LostCopy { process, .. }
            | FaultKind::RetiredNode { process }
            | FaultKind::LostServer { process }
            | FaultKind::LateNode { process } => Named { process: Some(process), ..Named::default() },
            FaultKind::Partition { hosts } => Named { hosts: hosts.iter().map(String::as_str).collect(), ..Named::default() },
            FaultKind::OneWay { from: one, to: other }
            | FaultKind::Reset { one, other }
            | FaultKind::SlowLink { one, other, .. } => Named { hosts: vec![one, other], ..Named::default() },
            FaultKind::CrashAtPoint { host, point, .. } => Named { hosts: vec![host], point: Some(point), ..Named::default() },
            FaultKind::PowerLoss { host }
            | FaultKind::PowerLossAtSync { host, .. }
            | FaultKind::TroubledCalls { host, .. }
            | FaultKind::ClockJump { host, .. }
            | FaultKind::ClockDrift { host, .. }
            | FaultKind::SlowDisk { host, .. }
            | FaultKind::HangingDisks { host } => Named { hosts: vec![host], ..Named::default() },
            FaultKind::FullDisk { host, path }
            | FaultKind::ReadOnlyDisk { host, path }
            | FaultKind::FailingDisk { host, path, .. }
            | FaultKind::PulledDisk { host, path } => Named { hosts: vec![host], disks: vec![path], ..Named::default() },
            FaultKind::SwappedDisks { host, one, other } => {
                Named { hosts: vec![host], disks: vec![one, other], ..Named::default() }
            }
        }
    }
}
