//! What is to happen in a world, item by item. A seed expands to a plan; what runs is the plan.
//!
//! So a plan can be kept, made smaller and run again, by anybody, without the code that drew it: each fault and each operation is an
//! item for itself, which says when it begins and how long it lasts, and can be left out without touching another.

mod check;
mod expand;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use bursar_domain::mutants::Mutant;
use serde::{Deserialize, Serialize};

use crate::calls::CallTrouble;
use crate::disk::DiskOperation;
use crate::network::Distances;
use crate::points::{Crash, POINTS};

/// The version of the form of plans that this program writes, and the only one that it reads.
const VERSION: u32 = 1;
/// The machine that operators and their programs sit at: none of the topology's, and faults of the network name it as these.
pub const DESK: &str = "desk";
/// The largest fleets that somebody may want.
const AUTHORITY_NODES_MAX: u64 = 7;
const STORAGE_SERVERS_MAX: u64 = 200;

/// All that is to happen in a world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Of the form of this plan.
    pub version: u32,
    /// For whatever is not in the plan: jitter, the time that each piece of work takes, keys.
    pub seed: u64,
    /// How long it runs, in milliseconds.
    pub duration_ms: u64,
    /// The machines.
    pub topology: Topology,
    /// What is set for the whole of a run.
    pub knobs: Knobs,
    /// What goes wrong, in order of time.
    pub faults: Vec<Fault>,
    /// What is asked of the fleet, in order of time.
    pub operations: Vec<Operation>,
    /// What stays broken, or breaks anew, once all else is mended: whoever is not struck by it has to come into line and to serve
    /// without the others. It is mended last.
    #[serde(default)]
    pub left_broken: Vec<FaultKind>,
    /// The name of the bug that is planted, where one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutant: Option<String>,
}

/// The machines of a world, and where they stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Between the sites.
    pub distances: Distances,
    /// The machines.
    pub hosts: Vec<HostPlan>,
}

/// A machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPlan {
    /// What it is called, as nobody else.
    pub name: String,
    /// The place of its site in [`Distances::latency_ms`].
    pub site: usize,
    /// How wrong its clock is in the beginning, in milliseconds.
    pub clock_offset_ms: i64,
    /// How much too fast its clock runs, in parts per million.
    pub clock_drift_ppm: i32,
    /// Disks beside its own, by the paths where they are mounted.
    pub disks: Vec<String>,
    /// What runs on it.
    pub processes: Vec<ProcessPlan>,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessPlan {
    /// What it is called, as no other in the world.
    pub name: String,
    /// What it is.
    pub role: Role,
}

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// An authority node.
    Authority,
    /// A storage server.
    StorageServer,
}

/// What is set for the whole of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knobs {
    /// How long a piece of blocking work takes at most, in milliseconds.
    pub job_ms: u64,
    /// How many bytes each disk has.
    pub disk_bytes: u64,
    /// How long after it ended by itself a process is started again, in milliseconds.
    pub restart_after_ms: u64,
    /// How many clients there are.
    pub clients: u32,
    /// Between two signs of life of a leader, in milliseconds: longer than the way to the farthest node and back, as an operator
    /// has to choose it.
    pub heartbeat_ms: u64,
    /// After how many revisions the state is written down whole.
    pub checkpoint_every: u64,
    /// How many entries that a checkpoint covers stay in the log.
    pub log_kept: u64,
    /// After how long a silence a storage server counts as one that does not answer, in milliseconds.
    pub detection_window_ms: u64,
    /// How many programs follow the events.
    pub followers: u32,
    /// Whether connections are secured by TLS, as in production, or go in clear.
    pub tls: bool,
}

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

/// Something that a client asks of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// When, in milliseconds; a client that still waits for its last answer is late.
    pub at_ms: u64,
    /// Who asks.
    pub client: u32,
    /// What is asked.
    pub action: Action,
    /// Of which object, by number.
    pub subject: u32,
}

/// What clients ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// To make the object.
    Create,
    /// To change it.
    Change,
    /// To remove it.
    Remove,
    /// To show it as it is.
    Read,
    /// To show it as whoever is asked knows it.
    ReadStale,
    /// To say that the storage server of this number is worked upon for a while.
    Maintain,
    /// To say that it is not any more.
    Activate,
    /// To let no backups into the store point of this number.
    CloseStorePoint,
    /// To let them in again.
    OpenStorePoint,
    /// To acknowledge the alert of this number, or with 0 all that are open.
    AcknowledgeAlerts,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// What every version of a plan has.
#[derive(Deserialize)]
struct Versioned {
    version: Option<u64>,
}

/// Why a text is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not the form of a plan.
    #[error("this is no plan: {0}; bursar-simulate run --seed 7 --plan FILE writes one to compare it with")]
    Malformed(#[from] serde_json::Error),
    /// Of another version.
    #[error("this plan has version {found}, and this program reads version {VERSION}: run it with the program that wrote it")]
    Version {
        /// What it says.
        found: u64,
    },
    /// It names what it does not have.
    #[error("this plan names {name:?}, and its topology has no {what} of that name")]
    Unknown {
        /// What should be called so.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Nothing could come of it for which the fleet is to blame.
    #[error("this plan {0}")]
    Senseless(String),
    /// It leaves broken what cannot be.
    #[error(
        "this plan leaves {kind} broken, which {why}: leave machines without power or cut off, processes killed or paused, disks failing"
    )]
    NotLeftBroken {
        /// What it leaves broken.
        kind: String,
        /// Why that cannot be.
        why: &'static str,
    },
    /// It leaves too few nodes whole.
    #[error("this plan leaves {whole} of {nodes} authority nodes whole, which is no majority: nobody could serve")]
    NoMajority {
        /// How many it leaves whole.
        whole: usize,
        /// How many there are.
        nodes: usize,
    },
    /// It names a point that the code does not have.
    #[error("this plan names the point {name:?}, and the code has none of that name: run it with the program that wrote it")]
    UnknownPoint {
        /// The name.
        name: String,
    },
}

/// What somebody wants of a plan, whatever its seed draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Wanted {
    /// How many authority nodes the fleet has
    #[arg(long = "nodes", value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=AUTHORITY_NODES_MAX))]
    pub authority_nodes: Option<u64>,
    /// How many storage servers the fleet has
    #[arg(long = "servers", value_name = "COUNT", value_parser = clap::value_parser!(u64).range(0..=STORAGE_SERVERS_MAX))]
    pub storage_servers: Option<u64>,
    /// Whether all connections are secured by TLS
    #[arg(long, value_name = "true|false")]
    pub tls: Option<bool>,
}

impl Plan {
    /// What `seed` expands to: always the same, for a version of this program.
    pub fn of_seed(seed: u64) -> Self {
        Self::of_seed_as(seed, Wanted::default())
    }

    /// What `seed` expands to where somebody wants something of it.
    pub fn of_seed_as(seed: u64, wanted: Wanted) -> Self {
        expand::expand(seed, wanted)
    }

    /// Reads what [`to_json`](Self::to_json) wrote, perhaps made smaller since.
    pub fn from_json(text: &str) -> Result<Self, PlanError> {
        // The version first: another one may have fields that this program does not know.
        match serde_json::from_str::<Versioned>(text)?.version {
            Some(found) if found != u64::from(VERSION) => return Err(PlanError::Version { found }),
            _ => {}
        }
        let plan: Self = serde_json::from_str(text)?;
        plan.check()?;
        Ok(plan)
    }

    /// For a file.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a plan can be written as JSON") + "\n"
    }

    /// The same, but that nothing goes wrong, and nobody asks for anything.
    #[must_use]
    pub fn without_items(&self) -> Self {
        Self { faults: Vec::new(), operations: Vec::new(), left_broken: Vec::new(), ..self.clone() }
    }

    /// The same, with this bug planted, or with none.
    #[must_use]
    pub fn with_planted(self, mutant: Option<Mutant>) -> Self {
        Self { mutant: mutant.map(|mutant| mutant.name().to_owned()), ..self }
    }

    /// The bug that is planted.
    pub fn planted(&self) -> Option<Mutant> {
        Mutant::ALL.into_iter().find(|mutant| self.mutant.as_deref() == Some(mutant.name()))
    }

    /// How many things go wrong in it.
    pub fn fault_count(&self) -> usize {
        self.faults.len() + self.left_broken.len()
    }

    /// How long it runs.
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.duration_ms)
    }

    /// The processes of a role, each with its machine.
    pub fn processes(&self, role: Role) -> impl Iterator<Item = (&HostPlan, &ProcessPlan)> {
        let hosts = self.topology.hosts.iter();
        hosts
            .flat_map(|host| host.processes.iter().map(move |process| (host, process)))
            .filter(move |(_, process)| process.role == role)
    }

    /// The processes that nothing strikes which is left broken.
    pub fn core(&self) -> BTreeSet<&str> {
        let struck: Vec<Named<'_>> = self.left_broken.iter().map(FaultKind::names).collect();
        let is_struck = |host: &HostPlan, process: &ProcessPlan| {
            let strikes = |named: &Named<'_>| named.hosts.contains(&host.name.as_str()) || named.process == Some(&process.name);
            struck.iter().any(strikes)
        };
        let hosts = self.topology.hosts.iter();
        let processes = hosts.flat_map(|host| host.processes.iter().map(move |process| (host, process)));
        processes.filter(|(host, process)| !is_struck(host, process)).map(|(_, process)| process.name.as_str()).collect()
    }

    /// Refuses a plan that names what it does not have, or makes no sense otherwise.
    fn check(&self) -> Result<(), PlanError> {
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
        self.check_sense()?;
        self.check_core()
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

/// What a fault names.
#[derive(Default)]
struct Named<'a> {
    hosts: Vec<&'a str>,
    process: Option<&'a str>,
    /// Of the code.
    point: Option<&'a str>,
    /// Of the first of the hosts.
    disks: Vec<&'a str>,
}

impl FaultKind {
    /// Whether it takes operators to repair it, which goes on until they have.
    pub const fn is_repaired_by_operators(&self) -> bool {
        matches!(self, Self::LostCopy { .. } | Self::LostServer { .. } | Self::LateNode { .. })
    }

    /// Whether it befalls what is between machines, and none of them.
    const fn is_of_the_network(&self) -> bool {
        matches!(self, Self::Partition { .. } | Self::OneWay { .. } | Self::Reset { .. } | Self::SlowLink { .. })
    }

    fn names(&self) -> Named<'_> {
        match self {
            FaultKind::PowerLossEverywhere | FaultKind::IsolateLeader => Named::default(),
            FaultKind::Kill { process }
            | FaultKind::Pause { process }
            | FaultKind::LostCopy { process, .. }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        for seed in 0..50 {
            let plan = Plan::of_seed(seed);
            assert_eq!(Plan::from_json(&plan.to_json()).unwrap(), plan);
        }
    }

    #[test]
    fn what_is_no_plan_is_refused() {
        let text = Plan::of_seed(7).to_json();
        let refused = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            Plan::from_json(&text.replacen(from, to, 1)).unwrap_err()
        };
        assert!(matches!(refused("\"version\": 1", "\"version\": 2, \"more\": 3"), PlanError::Version { found: 2 }));
        assert!(matches!(refused("\"seed\"", "\"more\": 1, \"seed\""), PlanError::Malformed(_)));
        assert!(matches!(refused("\"knobs\"", "\"nobs\""), PlanError::Malformed(_)));
        let told = refused("\"duration_ms\": 60000", "\"duration_ms\": -1").to_string();
        assert!(told.contains("-1") && told.contains(" at line 4 column "), "{told}");
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
        let crash =
            |point: &str| FaultKind::CrashAtPoint { host: host.clone(), point: point.to_owned(), nth: 1, crash: Crash::Exit };
        let refused = Plan::from_json(&with(crash("nowhere")).to_json()).unwrap_err();
        assert!(matches!(refused, PlanError::UnknownPoint { name } if name == "nowhere"));
        Plan::from_json(&with(crash("log.synced")).to_json()).unwrap();
        Plan::from_json(&with(FaultKind::Reset { one: DESK.to_owned(), other: host.clone() }).to_json()).unwrap();
        Plan::from_json(&with(FaultKind::FullDisk { host, path: "/".to_owned() }).to_json()).unwrap();
    }
}
