//! A machine: what it is, and what befalls it. `process.rs` tells how it runs its processes.

mod process;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bursar_net::tasks::Group;
use tokio::sync::oneshot;

use self::process::Process;
pub use self::process::{Exit, Parts, Paused, Program, ToldAtPoint};
use crate::blocking::Pace;
use crate::calls::Calls;
use crate::clock::HostClock;
use crate::disk::Disks;
use crate::draws::Draws;
use crate::network::{HostId, Internet};
use crate::points::{Crash, Snares};
use crate::trace::Trace;

/// A machine of a world. Clones are the same machine.
#[derive(Clone)]
pub struct Host {
    machine: Arc<Machine>,
}

struct Machine {
    name: String,
    id: HostId,
    internet: Internet,
    disks: Disks,
    clock: HostClock,
    /// The pace of its own disk, and that of the disks for archives.
    pace: Pace,
    loose_pace: Pace,
    draws: Draws,
    trace: Trace,
    calls: Calls,
    snares: Snares,
    /// How many things keep the power off.
    outages: Mutex<u32>,
    processes: Mutex<BTreeMap<String, Process>>,
}

impl Host {
    /// A machine called `name` at a site, with an own disk of `disk_bytes`. It has power. Work takes up to `job_ms` milliseconds.
    pub fn new(name: &str, site: usize, disk_bytes: u64, job_ms: u64, internet: &Internet, draws: Draws, trace: &Trace) -> Self {
        let machine = Arc::new_cyclic(|machine: &Weak<Machine>| {
            let struck = machine.clone();
            let stream = |kind: &str| draws.stream(&format!("{kind}/{name}"));
            Machine {
                name: name.to_owned(),
                id: internet.attach(name, site),
                internet: internet.clone(),
                disks: Disks::new(name, disk_bytes, stream("disk"), trace.clone(), move || {
                    if let Some(machine) = struck.upgrade() {
                        Host { machine }.power_off();
                    }
                }),
                clock: HostClock::new(),
                pace: Pace::new(job_ms, stream("pace")),
                loose_pace: Pace::new(job_ms, stream("loose-pace")),
                draws,
                trace: trace.clone(),
                calls: Calls::new(stream("calls")),
                snares: Snares::default(),
                outages: Mutex::new(0),
                processes: Mutex::default(),
            }
        });
        Self { machine }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.machine.name
    }

    /// Which one it is in the network.
    pub fn id(&self) -> HostId {
        self.machine.id
    }

    /// Its disks.
    pub fn disks(&self) -> &Disks {
        &self.machine.disks
    }

    /// Its wall clock.
    pub fn clock(&self) -> &HostClock {
        &self.machine.clock
    }

    /// How long work takes on its own disk.
    pub fn pace(&self) -> &Pace {
        &self.machine.pace
    }

    /// How long work takes on its disks for archives.
    pub fn loose_pace(&self) -> &Pace {
        &self.machine.loose_pace
    }

    /// How the calls of its programs fare.
    pub fn calls(&self) -> &Calls {
        &self.machine.calls
    }

    /// Takes the power, until each outage is over. First nothing of the machine reaches the world any more, then its processes end:
    /// so none of them can say goodbye.
    pub fn power_off(&self) {
        let outages = {
            let mut outages = self.outages();
            *outages += 1;
            *outages
        };
        if outages > 1 {
            return;
        }
        self.record(format_args!("loses its power"));
        self.machine.internet.power_off(self.id());
        self.machine.disks.power_off();
        let running: Vec<Group> = self.processes().values_mut().filter_map(|process| process.running.take()).collect();
        for group in running {
            group.end();
        }
    }

    /// Ends an outage. Behind the last there is power, and all processes start that were started before.
    pub fn power_on(&self) {
        let is_last = {
            let mut outages = self.outages();
            let is_last = *outages == 1;
            *outages = outages.saturating_sub(1);
            is_last
        };
        if is_last {
            self.record(format_args!("has power again"));
            self.machine.disks.power_on();
            self.machine.internet.power_on(self.id());
            self.start_all();
        }
    }

    /// Ends whatever is wrong with the machine, its clock aside: all processes run that were started before.
    pub fn heal(&self) {
        self.machine.snares.clear();
        self.machine.disks.mend_all();
        self.machine.pace.release_all();
        self.machine.loose_pace.release_all();
        self.machine.calls.relieve_all();
        let mut paused = Vec::new();
        for process in self.processes().values_mut() {
            (process.held_down, process.pauses) = (0, 0);
            paused.extend(process.running.clone());
        }
        paused.iter().for_each(Group::resume);
        let outages = self.outages().min(1);
        *self.outages() = outages;
        match outages {
            0 => self.start_all(),
            _ => self.power_on(),
        }
    }

    /// Whether there is power.
    pub fn has_power(&self) -> bool {
        *self.outages() == 0
    }

    /// Ends a process of this machine, or takes its power, at the `nth` passing of a point from now on (1 is the next). Whoever
    /// waits is told which process was there; it is held down as by [`kill`](Self::kill).
    pub fn crash_at(&self, point: &str, nth: u64, crash: Crash) -> oneshot::Receiver<String> {
        self.machine.snares.set(point, nth, crash)
    }

    fn outages(&self) -> MutexGuard<'_, u32> {
        self.machine.outages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, told: fmt::Arguments<'_>) {
        self.machine.trace.record("host", format_args!("{} {told}", self.name()));
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Host").field(&self.name()).finish()
    }
}
