//! How a seed becomes a plan.
//!
//! Each seed draws its own fleet, and which kinds of faults it has at all and how often: a run with few kinds goes deeper into
//! those than any run could that had all of them (swarm testing; Groce and others 2012).

use std::collections::BTreeSet;

use bursar_domain::plan::failure_detection;

use super::{
    Action, DESK, Fault, FaultKind, HostPlan, Knobs, Loss, Operation, Plan, ProcessPlan, Role, Topology, VERSION, Wanted,
};
use crate::calls::CallTrouble;
use crate::disk::DiskOperation;
use crate::draws::{CERTAIN, Draws, Stream};
use crate::network::Distances;
use crate::points::{Crash, passed_by};

const DURATION_MS: u64 = 60_000;
/// What an authority node is set to where nobody sets it otherwise.
const HEARTBEAT_MS: u64 = 100;
/// Nothing goes wrong before the fleet had time to come to be, nor begins behind the calm before the end.
const FAULTS_FROM_MS: u64 = 5_000;
const FAULTS_UNTIL_MS: u64 = 45_000;
/// How many storage servers a seed draws at most.
const STORAGE_SERVERS_DRAWN: u64 = 30;
const SERVERS_PER_HOST: usize = 10;
const DISK_BYTES: u64 = 64 << 30;
/// One seed of so many has TLS.
const TLS_EVERY: u64 = 10;

pub fn expand(seed: u64, wanted: Wanted) -> Plan {
    let draws = Draws::of_seed(seed);
    let topology = topology(&mut draws.stream("plan/topology"), wanted);
    let knobs = knobs(&mut draws.stream("plan/knobs"), &topology.distances, wanted.tls.unwrap_or(seed.is_multiple_of(TLS_EVERY)));
    let faults = faults(&draws, &topology);
    let mut operations = operations(&mut draws.stream("plan/operations"), knobs.clients);
    operations.extend(orders(&mut draws.stream("plan/orders"), &topology, knobs.clients));
    operations.sort_by_key(|operation| (operation.at_ms, operation.client));
    let left_broken = left_broken(&mut draws.stream("plan/left-broken"), &topology);
    Plan { version: VERSION, seed, duration_ms: DURATION_MS, topology, knobs, faults, operations, left_broken, mutant: None }
}

fn topology(chance: &mut Stream, wanted: Wanted) -> Topology {
    let sites = chance.within(1..=3) as usize;
    // How far each site is from each of those before it; it is as far back.
    let apart: Vec<Vec<u64>> = (0..sites).map(|site| (0..site).map(|_| chance.within(2..=80)).collect()).collect();
    let latency_ms = |one: usize, other: usize| if one == other { 1 } else { apart[one.max(other)][one.min(other)] };
    let distances = Distances {
        latency_ms: (0..sites).map(|one| (0..sites).map(|other| latency_ms(one, other)).collect()).collect(),
        jitter_ms: *chance.one_of(&[0, 1, 5, 20]),
        buffer_bytes: *chance.one_of(&[4 << 10, 64 << 10, 256 << 10]),
    };
    let (authorities, servers) = (*chance.one_of(&[1, 2, 3, 3, 3, 4, 5]), chance.within(0..=STORAGE_SERVERS_DRAWN));
    let authorities = wanted.authority_nodes.unwrap_or(authorities);
    let servers = wanted.storage_servers.unwrap_or(servers);
    let mut hosts: Vec<HostPlan> = (1..=authorities)
        .map(|number| {
            let process = ProcessPlan { name: format!("authority-{number}"), role: Role::Authority };
            host(chance, format!("a{number}"), sites, vec![process])
        })
        .collect();
    let numbers: Vec<u64> = (1..=servers).collect();
    for (place, packed) in numbers.chunks(SERVERS_PER_HOST).enumerate() {
        let process = |number| ProcessPlan { name: format!("storage-{number}"), role: Role::StorageServer };
        hosts.push(host(chance, format!("s{}", place + 1), sites, packed.iter().map(process).collect()));
    }
    Topology { distances, hosts }
}

fn host(chance: &mut Stream, name: String, sites: usize, processes: Vec<ProcessPlan>) -> HostPlan {
    let is_wrong = chance.happens(CERTAIN / 3);
    let signed = |drawn: u64, middle: i64| i64::try_from(drawn).expect("small") - middle;
    let (offset_ms, drift_ppm) = (signed(chance.within(0..=20_000), 10_000), signed(chance.within(0..=1_000), 500));
    let mut disks = Vec::new();
    for process in processes.iter().filter(|process| process.role == Role::StorageServer) {
        for number in 1..=chance.within(1..=3) {
            disks.push(format!("/srv/{}/disk-{number}", process.name));
        }
    }
    HostPlan {
        name,
        site: chance.index(sites),
        clock_offset_ms: if is_wrong { offset_ms } else { 0 },
        clock_drift_ppm: if is_wrong { i32::try_from(drift_ppm).expect("small") } else { 0 },
        disks,
        processes,
    }
}

fn knobs(chance: &mut Stream, distances: &Distances, tls: bool) -> Knobs {
    let job_ms = *chance.one_of(&[0, 1, 2, 10]);
    let farthest = distances.latency_ms.iter().flatten().max().expect("there is a site");
    // Consensus gives a sign of life up after three quarters of the time to the next one.
    let round_trip_ms = 2 * (farthest + distances.jitter_ms) + 2 * job_ms;
    Knobs {
        job_ms,
        heartbeat_ms: (2 * round_trip_ms).max(HEARTBEAT_MS),
        checkpoint_every: *chance.one_of(&[10, 50, 10_000]),
        log_kept: *chance.one_of(&[0, 20, 10_000]),
        disk_bytes: DISK_BYTES,
        restart_after_ms: chance.within(100..=2_000),
        clients: u32::try_from(chance.within(1..=8)).expect("few"),
        detection_window_ms: *chance.one_of(&[8_000, failure_detection::WINDOW_MS]),
        followers: u32::try_from(chance.within(0..=2)).expect("few"),
        tls,
    }
}

/// Draws a fault of one kind, where this fleet can have it.
type Drawing = fn(&mut Stream, &Topology) -> Option<FaultKind>;

/// All kinds of faults, each with how long one lasts at most, in milliseconds.
const KINDS: [(&str, u64, Drawing); 29] = [
    ("power-loss", 10_000, |chance, fleet| Some(FaultKind::PowerLoss { host: any_host(chance, fleet) })),
    ("power-loss-everywhere", 5_000, |_, _| Some(FaultKind::PowerLossEverywhere)),
    ("power-loss-at-sync", 10_000, |chance, fleet| {
        Some(FaultKind::PowerLossAtSync { host: any_host(chance, fleet), nth: chance.within(1..=20) })
    }),
    ("crash-at-point", 10_000, |chance, fleet| {
        // At a point that its processes, which are all of one role, do pass.
        let HostPlan { name, processes, .. } = chance.one_of(&fleet.hosts);
        let (host, point) = (name.clone(), (*chance.one_of(passed_by(processes[0].role))).to_owned());
        let crash = *chance.one_of(&[Crash::Exit, Crash::PowerLoss]);
        Some(FaultKind::CrashAtPoint { host, point, nth: *chance.one_of(&[1, 1, 2, 5, 20]), crash })
    }),
    ("kill", 10_000, |chance, fleet| Some(FaultKind::Kill { process: any_process(chance, fleet) })),
    ("lost-copy", 10_000, |chance, fleet| {
        // Fewer have no copy to lose.
        let nodes = Some(processes_of(fleet, Role::Authority)).filter(|nodes| nodes.len() >= 3)?;
        let loss = match chance.below(4) {
            0 => Loss::Everything,
            1 => Loss::Stores,
            2 => Loss::AllButKeys,
            _ => Loss::Bit { place: chance.word() >> 32, bit: chance.word() >> 32 },
        };
        Some(FaultKind::LostCopy { process: (*chance.one_of(&nodes)).clone(), loss })
    }),
    ("retired-node", 10_000, |chance, fleet| {
        // Nobody is left where the only one leaves.
        let nodes = Some(processes_of(fleet, Role::Authority)).filter(|nodes| nodes.len() >= 2)?;
        Some(FaultKind::RetiredNode { process: (*chance.one_of(&nodes)).clone() })
    }),
    ("lost-server", 10_000, |chance, fleet| {
        let servers = processes_of(fleet, Role::StorageServer);
        (!servers.is_empty()).then(|| FaultKind::LostServer { process: (*chance.one_of(&servers)).clone() })
    }),
    ("late-node", 0, |chance, fleet| {
        let nodes = processes_of(fleet, Role::Authority);
        let late = nodes.get(3..).filter(|late| !late.is_empty())?;
        Some(FaultKind::LateNode { process: (*chance.one_of(late)).clone() })
    }),
    ("pause", 10_000, |chance, fleet| Some(FaultKind::Pause { process: any_process(chance, fleet) })),
    ("partition", 15_000, |chance, fleet| {
        let hosts: BTreeSet<String> =
            fleet.hosts.iter().filter(|_| chance.happens(CERTAIN / 2)).map(|host| host.name.clone()).collect();
        (1..fleet.hosts.len()).contains(&hosts.len()).then_some(FaultKind::Partition { hosts })
    }),
    ("isolation", 15_000, |chance, fleet| {
        (fleet.hosts.len() > 1).then(|| FaultKind::Partition { hosts: BTreeSet::from([any_host(chance, fleet)]) })
    }),
    ("one-way", 15_000, |chance, fleet| two_hosts(chance, fleet).map(|(from, to)| FaultKind::OneWay { from, to })),
    ("isolate-leader", 15_000, |_, fleet| (fleet.hosts.len() > 1).then_some(FaultKind::IsolateLeader)),
    ("reset", 0, |chance, fleet| two_hosts(chance, fleet).map(|(one, other)| FaultKind::Reset { one, other })),
    ("slow-link", 20_000, |chance, fleet| {
        let (one, other) = two_hosts(chance, fleet)?;
        let bytes_per_second = *chance.one_of(&[2_000, 50_000, 10_000_000]);
        Some(FaultKind::SlowLink { one, other, added_ms: chance.within(10..=2_000), bytes_per_second })
    }),
    // Clients that are cut off go on to other nodes, and ask again under the same key: an answer that got lost is of something
    // that was done.
    ("desk-cut", 15_000, |chance, fleet| {
        let (desk, host) = (DESK.to_owned(), any_node_host(chance, fleet));
        Some(match chance.below(4) {
            0 => FaultKind::Partition { hosts: BTreeSet::from([desk]) },
            1 => FaultKind::OneWay { from: desk, to: host },
            _ => FaultKind::OneWay { from: host, to: desk },
        })
    }),
    ("desk-reset", 0, |chance, fleet| Some(FaultKind::Reset { one: DESK.to_owned(), other: any_node_host(chance, fleet) })),
    ("desk-slow", 20_000, |chance, fleet| {
        let (one, other) = (DESK.to_owned(), any_node_host(chance, fleet));
        let bytes_per_second = *chance.one_of(&[2_000, 50_000, 10_000_000]);
        Some(FaultKind::SlowLink { one, other, added_ms: chance.within(10..=2_000), bytes_per_second })
    }),
    ("troubled-calls", 15_000, |chance, fleet| {
        let trouble = match chance.below(4) {
            0 => CallTrouble::Lost,
            1 => CallTrouble::Unanswered,
            2 => CallTrouble::Repeated { within_ms: chance.within(0..=2_000) },
            _ => CallTrouble::Late { within_ms: chance.within(10..=2_000) },
        };
        Some(FaultKind::TroubledCalls { host: any_host(chance, fleet), trouble, per_mille: *chance.one_of(&[20, 100, 300]) })
    }),
    ("clock-jump", 0, |chance, fleet| {
        let by_ms = i64::try_from(chance.within(0..=240_000)).expect("small") - 120_000;
        Some(FaultKind::ClockJump { host: any_host(chance, fleet), by_ms })
    }),
    ("clock-drift", 20_000, |chance, fleet| {
        let ppm = i32::try_from(chance.within(0..=100_000)).expect("small") - 50_000;
        Some(FaultKind::ClockDrift { host: any_host(chance, fleet), ppm })
    }),
    ("slow-disk", 15_000, |chance, fleet| {
        Some(FaultKind::SlowDisk { host: any_host(chance, fleet), within_ms: chance.within(20..=2_000) })
    }),
    ("hanging-disks", 15_000, |chance, fleet| any_disk(chance, fleet).map(|(host, _)| FaultKind::HangingDisks { host })),
    ("full-disk", 15_000, |chance, fleet| {
        let (host, path) = any_disk_or_root(chance, fleet);
        Some(FaultKind::FullDisk { host, path })
    }),
    ("read-only-disk", 15_000, |chance, fleet| {
        any_disk(chance, fleet).map(|(host, path)| FaultKind::ReadOnlyDisk { host, path })
    }),
    ("failing-disk", 5_000, |chance, fleet| {
        let (host, path) = any_disk_or_root(chance, fleet);
        let operation = *chance.one_of(&[DiskOperation::Read, DiskOperation::Write, DiskOperation::Sync]);
        Some(FaultKind::FailingDisk { host, path, operation })
    }),
    ("pulled-disk", 15_000, |chance, fleet| any_disk(chance, fleet).map(|(host, path)| FaultKind::PulledDisk { host, path })),
    ("swapped-disks", 15_000, |chance, fleet| {
        let (host, one) = any_disk(chance, fleet)?;
        let disks = &fleet.hosts.iter().find(|found| found.name == host).expect("it was drawn from these").disks;
        let others: Vec<&String> = disks.iter().filter(|path| **path != one).collect();
        if others.is_empty() {
            return None;
        }
        let other = (*chance.one_of(&others)).clone();
        Some(FaultKind::SwappedDisks { host, one, other })
    }),
];

/// What goes wrong. Every kind draws from a stream of its own.
fn faults(draws: &Draws, fleet: &Topology) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, for_ms_max, drawing) in KINDS {
        let mut chance = draws.stream(&format!("plan/faults/{name}"));
        if !chance.happens(CERTAIN / 3) {
            continue;
        }
        let every_ms = chance.within(3_000..=40_000);
        let mut at_ms = FAULTS_FROM_MS;
        loop {
            at_ms += chance.within(1..=2 * every_ms);
            if at_ms >= FAULTS_UNTIL_MS {
                break;
            }
            let for_ms = if for_ms_max == 0 { 0 } else { chance.within(100..=for_ms_max) };
            if let Some(kind) = drawing(&mut chance, fleet) {
                faults.push(Fault { at_ms, for_ms, kind });
            }
        }
    }
    faults.sort_by(|one, other| (one.at_ms, &one.kind).cmp(&(other.at_ms, &other.kind)));
    faults
}

/// What stays broken at the end, in every second world: of the nodes fewer than a majority, and one at least where that is possible;
/// perhaps a machine with storage servers.
fn left_broken(chance: &mut Stream, fleet: &Topology) -> Vec<FaultKind> {
    let mut left = Vec::new();
    if chance.happens(CERTAIN / 2) {
        return left;
    }
    let (mut nodes, servers): (Vec<&HostPlan>, Vec<&HostPlan>) =
        fleet.hosts.iter().partition(|host| host.processes.iter().any(|process| process.role == Role::Authority));
    chance.shuffle(&mut nodes);
    let minority = nodes.len().saturating_sub(1) as u64 / 2;
    let struck = usize::try_from(chance.within(minority.min(1)..=minority)).expect("few");
    for host in &nodes[..struck] {
        left.push(match chance.below(6) {
            0 => FaultKind::SlowDisk { host: host.name.clone(), within_ms: 2_000 },
            1 => FaultKind::FailingDisk { host: host.name.clone(), path: "/".to_owned(), operation: DiskOperation::Sync },
            _ => broken_for_good(chance, host),
        });
    }
    if !servers.is_empty() && (left.is_empty() || chance.happens(CERTAIN / 2)) {
        let host = *chance.one_of(&servers);
        left.push(broken_for_good(chance, host));
    }
    left
}

fn broken_for_good(chance: &mut Stream, HostPlan { name, processes, .. }: &HostPlan) -> FaultKind {
    let process = chance.one_of(processes).name.clone();
    match chance.below(4) {
        0 => FaultKind::PowerLoss { host: name.clone() },
        1 => FaultKind::Partition { hosts: BTreeSet::from([name.clone()]) },
        2 => FaultKind::Kill { process },
        _ => FaultKind::Pause { process },
    }
}

fn operations(chance: &mut Stream, clients: u32) -> Vec<Operation> {
    const ACTIONS: [Action; 9] = [
        Action::Create,
        Action::Create,
        Action::Change,
        Action::Change,
        Action::Remove,
        Action::Read,
        Action::Read,
        Action::Read,
        Action::ReadStale,
    ];
    let subjects = *chance.one_of(&[1, 4, 16]);
    let every_ms = chance.within(20..=1_000);
    let mut operations = Vec::new();
    for client in 0..clients {
        let mut at_ms = 0;
        loop {
            at_ms += chance.within(1..=2 * every_ms);
            if at_ms >= DURATION_MS {
                break;
            }
            let subject = u32::try_from(chance.below(subjects)).expect("few");
            operations.push(Operation { at_ms, client, action: *chance.one_of(&ACTIONS), subject });
        }
    }
    operations
}

/// What an operator of storage servers asks for, who is a client beside the others.
fn orders(chance: &mut Stream, fleet: &Topology, client: u32) -> Vec<Operation> {
    const ACTIONS: [Action; 6] = [
        Action::Maintain,
        Action::Activate,
        Action::CloseStorePoint,
        Action::OpenStorePoint,
        Action::AcknowledgeAlerts,
        Action::AcknowledgeAlerts,
    ];
    let servers = processes_of(fleet, Role::StorageServer).len() as u64;
    let store_points = fleet.hosts.iter().map(|host| host.disks.len() as u64).sum::<u64>();
    let mut orders = Vec::new();
    if servers == 0 {
        return orders;
    }
    let every_ms = chance.within(500..=5_000);
    let mut at_ms = chance.within(1..=2 * every_ms);
    while at_ms < DURATION_MS {
        let action = *chance.one_of(&ACTIONS);
        // There need be no object of that number.
        let subject = chance.within(match action {
            Action::AcknowledgeAlerts => 0..=4,
            Action::CloseStorePoint | Action::OpenStorePoint => 1..=store_points + 2,
            _ => 1..=servers + 2,
        });
        orders.push(Operation { at_ms, client, action, subject: u32::try_from(subject).expect("few") });
        at_ms += chance.within(1..=2 * every_ms);
    }
    orders
}

fn any_host(chance: &mut Stream, fleet: &Topology) -> String {
    chance.one_of(&fleet.hosts).name.clone()
}

/// A machine of an authority node: programs at the desk ask no others.
fn any_node_host(chance: &mut Stream, fleet: &Topology) -> String {
    let is_node = |host: &&HostPlan| host.processes.iter().any(|process| process.role == Role::Authority);
    let nodes: Vec<&HostPlan> = fleet.hosts.iter().filter(is_node).collect();
    chance.one_of(&nodes).name.clone()
}

fn two_hosts(chance: &mut Stream, fleet: &Topology) -> Option<(String, String)> {
    let one = any_host(chance, fleet);
    let others: Vec<&HostPlan> = fleet.hosts.iter().filter(|host| host.name != one).collect();
    (!others.is_empty()).then(|| (one, chance.one_of(&others).name.clone()))
}

fn any_process(chance: &mut Stream, fleet: &Topology) -> String {
    let processes: Vec<&ProcessPlan> = fleet.hosts.iter().flat_map(|host| &host.processes).collect();
    chance.one_of(&processes).name.clone()
}

fn processes_of(fleet: &Topology, role: Role) -> Vec<&String> {
    let processes = fleet.hosts.iter().flat_map(|host| &host.processes);
    processes.filter(|process| process.role == role).map(|process| &process.name).collect()
}

fn any_disk(chance: &mut Stream, fleet: &Topology) -> Option<(String, String)> {
    let disks: Vec<(&HostPlan, &String)> =
        fleet.hosts.iter().flat_map(|host| host.disks.iter().map(move |path| (host, path))).collect();
    let (host, path) = (!disks.is_empty()).then(|| *chance.one_of(&disks))?;
    Some((host.name.clone(), path.clone()))
}

/// A disk for archives, or a machine's own.
fn any_disk_or_root(chance: &mut Stream, fleet: &Topology) -> (String, String) {
    let own = (any_host(chance, fleet), "/".to_owned());
    if chance.happens(CERTAIN / 2) { own } else { any_disk(chance, fleet).unwrap_or(own) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variants;

    #[test]
    fn a_seed_is_always_the_same_plan_and_seeds_differ() {
        assert_eq!(Plan::of_seed(7), Plan::of_seed(7));
        assert_ne!(Plan::of_seed(7), Plan { seed: 7, ..Plan::of_seed(8) });
    }

    /// What a kind of fault is called in a plan.
    fn written(kind: &FaultKind) -> String {
        let written = serde_json::to_value(kind).unwrap();
        let name = written.as_str().or_else(|| written.as_object()?.keys().next().map(String::as_str));
        name.unwrap().to_owned()
    }

    #[test]
    fn a_machine_is_struck_at_points_that_its_processes_pass() {
        for plan in (0..100).map(Plan::of_seed) {
            for fault in &plan.faults {
                if let FaultKind::CrashAtPoint { host, point, .. } = &fault.kind {
                    let host = plan.topology.hosts.iter().find(|found| found.name == *host).unwrap();
                    let passes = |process: &ProcessPlan| passed_by(process.role).contains(&point.as_str());
                    assert!(host.processes.iter().any(passes), "{fault:?}");
                }
            }
        }
    }

    #[test]
    fn a_hundred_seeds_have_all_kinds_of_faults_and_fleets_and_no_seed_has_all() {
        let plans: Vec<Plan> = (0..100).map(Plan::of_seed).collect();
        let kinds_of = |plan: &Plan| -> BTreeSet<String> { plan.faults.iter().map(|fault| written(&fault.kind)).collect() };
        let all: BTreeSet<String> = plans.iter().flat_map(kinds_of).collect();
        let there_is: BTreeSet<String> = variants::of::<FaultKind>().iter().map(|kind| (*kind).to_owned()).collect();
        assert_eq!(all, there_is);
        let names_the_desk = |kind: &FaultKind| kind.names().hosts.contains(&DESK);
        let at_the_desk = plans.iter().flat_map(|plan| &plan.faults).filter(|fault| names_the_desk(&fault.kind));
        let at_the_desk: BTreeSet<String> = at_the_desk.map(|fault| written(&fault.kind)).collect();
        assert_eq!(at_the_desk.into_iter().collect::<Vec<_>>(), ["one_way", "partition", "reset", "slow_link"]);
        assert!(plans.iter().all(|plan| kinds_of(plan).len() < all.len() - 4));
        let authorities: BTreeSet<usize> = plans.iter().map(|plan| plan.processes(Role::Authority).count()).collect();
        assert_eq!(authorities, (1..=5).collect());
        assert!(plans.iter().any(|plan| plan.processes(Role::StorageServer).count() > 20));
    }

    #[test]
    fn what_is_left_broken_at_the_end_leaves_a_majority() {
        let plans: Vec<Plan> = (0..100).map(Plan::of_seed).collect();
        for plan in &plans {
            let core = plan.core();
            let nodes = plan.processes(Role::Authority).filter(|(_, process)| core.contains(process.name.as_str())).count();
            assert!(2 * nodes > plan.processes(Role::Authority).count(), "{:?}", plan.left_broken);
        }
        let all = plans.iter().flat_map(|plan| &plan.left_broken);
        let kinds: BTreeSet<String> = all.map(|kind| format!("{kind:?}").split(' ').next().expect("a word").to_owned()).collect();
        let kinds: Vec<String> = kinds.into_iter().collect();
        assert_eq!(kinds, ["FailingDisk", "Kill", "Partition", "Pause", "PowerLoss", "SlowDisk"]);
        let whole = plans.iter().filter(|plan| plan.left_broken.is_empty()).count();
        assert!((40..=60).contains(&whole), "{whole} of 100 worlds are mended at once");
    }

    #[test]
    fn faults_leave_the_beginning_and_the_end_in_peace() {
        for plan in (0..100).map(Plan::of_seed) {
            for fault in &plan.faults {
                assert!(fault.at_ms >= FAULTS_FROM_MS && fault.at_ms < FAULTS_UNTIL_MS, "{fault:?}");
            }
        }
    }
}
