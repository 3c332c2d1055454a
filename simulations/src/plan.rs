//! What is to happen in a world, item by item. A seed expands to a plan; what runs is the plan.
//!
//! So a plan can be kept, made smaller and run again, by anybody, without the code that drew it: each fault and each operation is an
//! item for itself, which says when it begins and how long it lasts, and can be left out without touching another.

mod check;
mod expand;
mod fault;
mod operation;
mod refusal;

use std::collections::BTreeSet;
use std::time::Duration;

use bursar_domain::mutants::Mutant;
use serde::{Deserialize, Serialize};

use self::fault::Named;
pub use self::fault::{Fault, FaultKind, Loss};
pub use self::operation::{Action, Operation};
pub use self::refusal::PlanError;
use crate::network::Distances;

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

/// What every version of a plan has.
#[derive(Deserialize)]
struct Versioned {
    version: Option<u64>,
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
}
