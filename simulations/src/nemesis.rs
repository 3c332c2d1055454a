//! Does to machines, disks and network what a plan says.
//!
//! Each fault is a task of its own: it begins when the plan says, knows alone how it is ended, and ends so. A link that two faults
//! impair, and a disk that two faults break, is whole when both have ended; power, processes, clocks and the pace of disks are as
//! the latest beginning or end leaves them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bursar_net::tasks::TaskSet;
use tokio::time::{sleep, timeout};

use crate::disk::DiskFault;
use crate::host::Host;
use crate::network::{HostId, Impairment};
use crate::plan::{Fault, FaultKind};
use crate::world::{Inhabitants, World};

/// Lets all faults of a world's plan happen, and returns when the plan's time is over, whatever goes on by then.
pub async fn run(world: &Arc<World>, inhabitants: &Arc<dyn Inhabitants>) {
    let mut faults = TaskSet::new();
    for fault in world.plan.faults.clone() {
        let (world, inhabitants) = (Arc::clone(world), Arc::clone(inhabitants));
        faults.spawn(async move {
            world.until(fault.at_ms).await;
            world.trace.record("fault", format_args!("{:?} for {} ms", fault.kind, fault.for_ms));
            happen(&world, &*inhabitants, &fault).await;
        });
    }
    // Dropping the set, with the time that is up, ends whatever goes on.
    let _ = timeout(world.plan.duration().saturating_sub(world.elapsed()), faults.join_all()).await;
}

/// Ends whatever is wrong with a world: all machines have power, sound disks and right clocks, and reach each other.
pub fn mend(world: &World) {
    world.trace.record("fault", format_args!("all is mended"));
    world.internet.repair_all();
    for host in world.hosts.values() {
        host.disks().mend_all();
        host.pace().slow_to(world.plan.knobs.job_ms);
        host.loose_pace().slow_to(world.plan.knobs.job_ms);
        host.clock().set_right(world.born);
        host.power_on();
        host.start_all();
    }
}

/// A fault, from its beginning to its end.
async fn happen(world: &World, inhabitants: &dyn Inhabitants, fault: &Fault) {
    let lasting = Duration::from_millis(fault.for_ms);
    match &fault.kind {
        FaultKind::PowerLoss { host } => without_power(&[world.host(host)], lasting).await,
        FaultKind::PowerLossEverywhere => without_power(&world.hosts.values().collect::<Vec<_>>(), lasting).await,
        FaultKind::PowerLossAtSync { host, nth } => {
            let host = world.host(host);
            host.disks().power_off_at_sync(*nth);
            host.without_power().await;
            sleep(lasting).await;
            host.power_on();
        }
        FaultKind::Kill { process } => {
            let host = world.host_of(process);
            host.kill(process);
            sleep(lasting).await;
            host.start(process);
        }
        FaultKind::Pause { process } => {
            let host = world.host_of(process);
            host.pause(process);
            sleep(lasting).await;
            host.resume(process);
        }
        FaultKind::Partition { hosts } => {
            let apart: Vec<HostId> = hosts.iter().map(|host| world.host(host).id()).collect();
            impaired(world, between(world, &apart), Impairment::Cut, lasting).await;
        }
        FaultKind::OneWay { from, to } => {
            impaired(world, vec![(world.host(from).id(), world.host(to).id())], Impairment::Cut, lasting).await;
        }
        FaultKind::IsolateLeader => {
            if let Some(leader) = inhabitants.leader(world) {
                impaired(world, between(world, &[leader]), Impairment::Cut, lasting).await;
            }
        }
        FaultKind::Reset { one, other } => world.internet.reset(world.host(one).id(), world.host(other).id()),
        FaultKind::SlowLink { one, other, added_ms, bytes_per_second } => {
            let (one, other) = (world.host(one).id(), world.host(other).id());
            let slow = Impairment::Slow { added_ms: *added_ms, bytes_per_second: *bytes_per_second };
            impaired(world, vec![(one, other), (other, one)], slow, lasting).await;
        }
        FaultKind::ClockJump { host, by_ms } => world.host(host).clock().jump(*by_ms),
        FaultKind::ClockDrift { host, ppm } => {
            let clock = world.host(host).clock();
            clock.drift(*ppm);
            sleep(lasting).await;
            clock.drift(world.planned(host).clock_drift_ppm);
        }
        FaultKind::SlowDisk { host, within_ms } => {
            let pace = world.host(host).pace();
            pace.slow_to(*within_ms);
            sleep(lasting).await;
            pace.slow_to(world.plan.knobs.job_ms);
        }
        FaultKind::HangingDisks { host } => {
            let pace = world.host(host).loose_pace();
            pace.hang();
            sleep(lasting).await;
            pace.slow_to(world.plan.knobs.job_ms);
        }
        FaultKind::FullDisk { host, path } => broken(world.host(host), path, DiskFault::Full, lasting).await,
        FaultKind::ReadOnlyDisk { host, path } => broken(world.host(host), path, DiskFault::ReadOnly, lasting).await,
        FaultKind::FailingDisk { host, path, operation } => {
            broken(world.host(host), path, DiskFault::Fails(*operation), lasting).await;
        }
        FaultKind::PulledDisk { host, path } => {
            let disks = world.host(host).disks();
            if let Some(pulled) = disks.pull(Path::new(path)) {
                sleep(lasting).await;
                disks.put_back(&pulled);
            }
        }
        FaultKind::SwappedDisks { host, one, other } => {
            let disks = world.host(host).disks();
            if disks.swap(Path::new(one), Path::new(other)) {
                sleep(lasting).await;
                disks.swap(Path::new(one), Path::new(other));
            }
        }
    }
}

async fn without_power(hosts: &[&Host], lasting: Duration) {
    hosts.iter().for_each(|host| host.power_off());
    sleep(lasting).await;
    hosts.iter().for_each(|host| host.power_on());
}

async fn impaired(world: &World, links: Vec<(HostId, HostId)>, impairment: Impairment, lasting: Duration) {
    let id = world.internet.impair(links, impairment);
    sleep(lasting).await;
    world.internet.repair(id);
}

async fn broken(host: &Host, path: &str, fault: DiskFault, lasting: Duration) {
    let broken = host.disks().break_with(Path::new(path), fault);
    sleep(lasting).await;
    host.disks().mend(&broken);
}

/// The links between some machines and all others, both ways.
fn between(world: &World, apart: &[HostId]) -> Vec<(HostId, HostId)> {
    let others = world.hosts.values().map(Host::id).filter(|host| !apart.contains(host));
    others.flat_map(|other| apart.iter().flat_map(move |one| [(*one, other), (other, *one)])).collect()
}
