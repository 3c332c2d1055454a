//! Does to machines, disks and network what a plan says.
//!
//! Each fault is a task of its own: it begins when the plan says, knows alone how it is ended, and ends so. Where two faults do the
//! same to one machine, it is over when both have ended: each takes back what it did itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bursar_net::tasks::TaskSet;
use futures_util::future::try_join_all;
use tokio::time::{sleep, timeout};

use crate::blocking::{Drag, Pace};
use crate::disk::DiskFault;
use crate::draws::CERTAIN;
use crate::host::Host;
use crate::network::{HostId, Impairment};
use crate::plan::{Fault, FaultKind};
use crate::points::Crash;
use crate::verdict::Broken;
use crate::world::{Inhabitants, World};

/// How long what is left broken would last: longer than any run, in milliseconds.
const FOR_GOOD_MS: u64 = 24 * 3_600 * 1_000;

/// Lets the faults of a world's plan happen, and returns when the plan's time is over, whatever goes on by then.
pub async fn run(world: &Arc<World>, inhabitants: &Arc<dyn Inhabitants>) {
    let mut faults = TaskSet::new();
    for fault in world.plan.faults.iter().filter(|fault| !fault.kind.is_repaired_by_operators()) {
        let (world, inhabitants, fault) = (Arc::clone(world), Arc::clone(inhabitants), fault.clone());
        faults.spawn(async move {
            begun(&world, &fault).await;
            happen(&world, &*inhabitants, &fault).await;
        });
    }
    // Dropping the set, with the time that is up, ends whatever goes on.
    let _ = timeout(world.plan.duration().saturating_sub(world.elapsed()), faults.join_all()).await;
}

/// Lets those faults happen that operators have to repair, and returns when they have, whatever the plan's time is.
///
/// # Errors
/// Why they could not.
pub async fn repair(world: &Arc<World>, inhabitants: &Arc<dyn Inhabitants>) -> Result<(), Broken> {
    let faults = world.plan.faults.iter().filter(|fault| fault.kind.is_repaired_by_operators());
    let repairs = faults.map(async |fault| {
        begun(world, fault).await;
        inhabitants.repair(world, fault).await
    });
    try_join_all(repairs).await.map(|_repaired| ())
}

/// Returns when it is time for a fault.
async fn begun(world: &World, fault: &Fault) {
    world.until(fault.at_ms).await;
    world.trace.record("fault", format_args!("{:?} for {} ms", fault.kind, fault.for_ms));
}

/// Breaks what a world's plan leaves broken, for as long as what is returned is kept; the rest [`mend`] does.
pub fn leave_broken(world: &Arc<World>, inhabitants: &Arc<dyn Inhabitants>) -> TaskSet<()> {
    let mut broken = TaskSet::new();
    for kind in &world.plan.left_broken {
        let fault = Fault { at_ms: world.plan.duration_ms, for_ms: FOR_GOOD_MS, kind: kind.clone() };
        let (world, inhabitants) = (Arc::clone(world), Arc::clone(inhabitants));
        broken.spawn(async move {
            begun(&world, &fault).await;
            happen(&world, &*inhabitants, &fault).await;
        });
    }
    broken
}

/// Ends whatever is wrong with a world: all machines have power, sound disks and right clocks, and reach each other.
pub fn mend(world: &World) {
    world.trace.record("fault", format_args!("all is mended"));
    world.internet.repair_all();
    for host in world.hosts.values() {
        host.clock().set_right(world.born);
        host.heal();
    }
}

/// A fault, from its beginning to its end.
async fn happen(world: &World, inhabitants: &dyn Inhabitants, fault: &Fault) {
    let lasting = Duration::from_millis(fault.for_ms);
    // Whom it strikes, where that is known only then.
    let Some(struck) = moment(world, &fault.kind).await else { return };
    let _going_on = world.befallen.begin(&fault.kind);
    match &fault.kind {
        FaultKind::LostCopy { .. } | FaultKind::LostServer { .. } | FaultKind::LateNode { .. } => {
            unreachable!("operators see to these")
        }
        FaultKind::PowerLossAtSync { host, .. } | FaultKind::CrashAtPoint { host, crash: Crash::PowerLoss, .. } => {
            sleep(lasting).await;
            world.host(host).power_on();
        }
        FaultKind::CrashAtPoint { host, crash: Crash::Exit, .. } => {
            sleep(lasting).await;
            world.host(host).revive(&struck);
        }
        FaultKind::PowerLoss { host } => without_power(&[world.host(host)], lasting).await,
        FaultKind::PowerLossEverywhere => without_power(&world.hosts.values().collect::<Vec<_>>(), lasting).await,
        FaultKind::Kill { process } => {
            let host = world.host_of(process);
            host.kill(process);
            sleep(lasting).await;
            host.revive(process);
        }
        FaultKind::Pause { process } => {
            let host = world.host_of(process);
            let paused = host.pause(process);
            sleep(lasting).await;
            host.resume(process, paused);
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
            clock.drift_by(*ppm);
            sleep(lasting).await;
            clock.drift_by(-ppm);
        }
        FaultKind::TroubledCalls { host, trouble, per_mille } => {
            let calls = world.host(host).calls();
            let troubled = calls.trouble(*trouble, per_mille * (CERTAIN / 1_000));
            sleep(lasting).await;
            calls.relieve(troubled);
        }
        FaultKind::SlowDisk { host, within_ms } => {
            dragging(world.host(host).pace(), Drag::WithinMs(*within_ms), lasting).await;
        }
        FaultKind::HangingDisks { host } => dragging(world.host(host).loose_pace(), Drag::Hanging, lasting).await,
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

/// Returns at the moment at which a fault takes effect, with the process that it strikes where that is found out only then; none
/// where it never does. Most take effect at once.
async fn moment(world: &World, kind: &FaultKind) -> Option<String> {
    match kind {
        FaultKind::PowerLossAtSync { host, nth } => {
            world.host(host).disks().power_off_at_sync(*nth).await.ok().map(|()| String::new())
        }
        FaultKind::CrashAtPoint { host, point, nth, crash } => world.host(host).crash_at(point, *nth, *crash).await.ok(),
        _ => Some(String::new()),
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

async fn dragging(pace: &Pace, drag: Drag, lasting: Duration) {
    let dragged = pace.drag(drag);
    sleep(lasting).await;
    pace.release(dragged);
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
