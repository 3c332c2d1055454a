//! Does to machines, disks and network what a plan says.
//!
//! Each fault is a task of its own: it begins when the plan says, knows alone how it is ended, and ends so. Where two faults do the
//! same to one machine, it is over when both have ended: each takes back what it did itself.
//!
//! The trace tells what took effect, when it did: `fault` with the kind and how long it lasts. What a plan wants and never came about
//! (the sync or the point at which it was to strike did not come, there was nothing to do it to) is `missed`.

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

/// A fault whose time has come. The trace has it from the moment at which it strikes; where it came to nothing until this is dropped,
/// the trace says that it was missed.
pub struct Due<'w> {
    /// Which.
    pub fault: &'w Fault,
    world: &'w World,
    has_struck: bool,
}

impl<'w> Due<'w> {
    fn new(world: &'w World, fault: &'w Fault) -> Self {
        Self { fault, world, has_struck: false }
    }

    /// It has taken effect.
    pub fn strikes(&mut self) {
        self.has_struck = true;
        self.world.trace.record("fault", format_args!("{:?} for {} ms", self.fault.kind, self.fault.for_ms));
    }
}

impl Drop for Due<'_> {
    fn drop(&mut self) {
        if !self.has_struck {
            self.world.trace.record("missed", format_args!("{:?} for {} ms", self.fault.kind, self.fault.for_ms));
        }
    }
}

/// Lets the faults of a world's plan happen, and returns when the plan's time is over, whatever goes on by then.
pub async fn run(world: &Arc<World>, inhabitants: &Arc<dyn Inhabitants>) {
    let mut faults = TaskSet::new();
    for fault in world.plan.faults.iter().filter(|fault| !fault.kind.is_repaired_by_operators()) {
        let (world, inhabitants, fault) = (Arc::clone(world), Arc::clone(inhabitants), fault.clone());
        faults.spawn(async move {
            world.until(fault.at_ms).await;
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
        world.until(fault.at_ms).await;
        inhabitants.repair(world, &mut Due::new(world, fault)).await
    });
    try_join_all(repairs).await.map(|_repaired| ())
}

/// Breaks what a world's plan leaves broken, for as long as what is returned is kept; the rest [`mend`] does.
pub fn leave_broken(world: &Arc<World>, inhabitants: &Arc<dyn Inhabitants>) -> TaskSet<()> {
    let mut broken = TaskSet::new();
    for kind in &world.plan.left_broken {
        let fault = Fault { at_ms: world.plan.duration_ms, for_ms: FOR_GOOD_MS, kind: kind.clone() };
        let (world, inhabitants) = (Arc::clone(world), Arc::clone(inhabitants));
        broken.spawn(async move {
            world.until(fault.at_ms).await;
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
    let mut due = Due::new(world, fault);
    // Whom it strikes, where that is known only then.
    let Some(struck) = moment(world, &fault.kind).await else { return };
    let Some(undo) = strike(world, inhabitants, &fault.kind, struck) else { return };
    due.strikes();
    let _going_on = world.befallen.begin(&fault.kind);
    sleep(Duration::from_millis(fault.for_ms)).await;
    undo();
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

/// Takes back what a fault did.
type Undo<'w> = Box<dyn FnOnce() + Send + 'w>;

/// Does what a fault does, and gives what takes it back; none where there was nothing to do it to. `struck` is the process that it has
/// struck already.
fn strike<'w>(world: &'w World, inhabitants: &dyn Inhabitants, kind: &'w FaultKind, struck: String) -> Option<Undo<'w>> {
    match kind {
        FaultKind::LostCopy { .. }
        | FaultKind::RetiredNode { .. }
        | FaultKind::LostServer { .. }
        | FaultKind::LateNode { .. } => unreachable!("operators see to these"),
        FaultKind::PowerLossAtSync { host, .. } | FaultKind::CrashAtPoint { host, crash: Crash::PowerLoss, .. } => {
            undone_by(|| world.host(host).power_on())
        }
        FaultKind::CrashAtPoint { host, crash: Crash::Exit, .. } => undone_by(move || world.host(host).revive(&struck)),
        FaultKind::PowerLoss { host } => without_power(vec![world.host(host)]),
        FaultKind::PowerLossEverywhere => without_power(world.hosts.values().collect()),
        FaultKind::Kill { process } => {
            let host = world.host_of(process);
            host.kill(process);
            undone_by(move || host.revive(process))
        }
        FaultKind::Pause { process } => {
            let host = world.host_of(process);
            let paused = host.pause(process)?;
            undone_by(move || host.resume(process, paused))
        }
        FaultKind::Partition { hosts } => {
            let apart: Vec<HostId> = hosts.iter().map(|host| world.place(host)).collect();
            impaired(world, between(world, &apart), Impairment::Cut)
        }
        FaultKind::OneWay { from, to } => impaired(world, vec![(world.place(from), world.place(to))], Impairment::Cut),
        FaultKind::IsolateLeader => {
            let leader = inhabitants.leader(world)?;
            impaired(world, between(world, &[leader]), Impairment::Cut)
        }
        FaultKind::Reset { one, other } => {
            let broken = world.internet.reset(world.place(one), world.place(other));
            if broken > 0 { undone_by(|| ()) } else { None }
        }
        FaultKind::SlowLink { one, other, added_ms, bytes_per_second } => {
            let (one, other) = (world.place(one), world.place(other));
            let slow = Impairment::Slow { added_ms: *added_ms, bytes_per_second: *bytes_per_second };
            impaired(world, vec![(one, other), (other, one)], slow)
        }
        FaultKind::ClockJump { host, by_ms } => {
            world.host(host).clock().jump(*by_ms);
            undone_by(|| ())
        }
        FaultKind::ClockDrift { host, ppm } => {
            let clock = world.host(host).clock();
            clock.drift_by(*ppm);
            undone_by(move || clock.drift_by(-ppm))
        }
        FaultKind::TroubledCalls { host, trouble, per_mille } => {
            let calls = world.host(host).calls();
            let troubled = calls.trouble(*trouble, per_mille * (CERTAIN / 1_000));
            undone_by(move || calls.relieve(troubled))
        }
        FaultKind::SlowDisk { host, within_ms } => dragging(world.host(host).pace(), Drag::WithinMs(*within_ms)),
        FaultKind::HangingDisks { host } => dragging(world.host(host).loose_pace(), Drag::Hanging),
        FaultKind::FullDisk { host, path } => broken(world.host(host), path, DiskFault::Full),
        FaultKind::ReadOnlyDisk { host, path } => broken(world.host(host), path, DiskFault::ReadOnly),
        FaultKind::FailingDisk { host, path, operation } => broken(world.host(host), path, DiskFault::Fails(*operation)),
        FaultKind::PulledDisk { host, path } => {
            let disks = world.host(host).disks();
            let pulled = disks.pull(Path::new(path))?;
            undone_by(move || disks.put_back(&pulled))
        }
        FaultKind::SwappedDisks { host, one, other } => {
            let disks = world.host(host).disks();
            let swapped = disks.swap(Path::new(one), Path::new(other))?;
            undone_by(move || disks.swap_back(&swapped))
        }
    }
}

fn undone_by<'w>(undo: impl FnOnce() + Send + 'w) -> Option<Undo<'w>> {
    Some(Box::new(undo))
}

fn without_power(hosts: Vec<&Host>) -> Option<Undo<'_>> {
    hosts.iter().for_each(|host| host.power_off());
    undone_by(move || hosts.iter().for_each(|host| host.power_on()))
}

fn impaired(world: &World, links: Vec<(HostId, HostId)>, impairment: Impairment) -> Option<Undo<'_>> {
    let id = world.internet.impair(links, impairment);
    undone_by(move || world.internet.repair(id))
}

fn dragging(pace: &Pace, drag: Drag) -> Option<Undo<'_>> {
    let dragged = pace.drag(drag);
    undone_by(move || pace.release(dragged))
}

fn broken<'w>(host: &'w Host, path: &str, fault: DiskFault) -> Option<Undo<'w>> {
    // Where the disk that is meant was pulled, the path is one of the machine's own disk.
    if !host.disks().is_mounted(Path::new(path)) {
        return None;
    }
    let broken = host.disks().break_with(Path::new(path), fault);
    undone_by(move || host.disks().mend(&broken))
}

/// The links between some machines and all others, both ways. The desk is no other: it reaches everybody while nothing names it.
fn between(world: &World, apart: &[HostId]) -> Vec<(HostId, HostId)> {
    let others = world.hosts.values().map(Host::id).filter(|host| !apart.contains(host));
    others.flat_map(|other| apart.iter().flat_map(move |one| [(*one, other), (other, *one)])).collect()
}
