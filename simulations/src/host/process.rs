//! The processes of a machine: what they are given of the world, and how they start and end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bursar_net::overseer::{CallFate, EndedAtPoint, Overseer, Passing};
use bursar_net::tasks::{self, Group};
use bursar_net::{Blocking, Entropy, Files, Network, Volumes, WallClock, words_of};
use bursar_storage::engine::Engines;
use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::{Host, Machine};
use crate::blocking::HostBlocking;
use crate::entropy::HostEntropy;
use crate::points::Crash;

/// What a process is given of the world: nothing else of it can be reached.
#[derive(Clone)]
pub struct Parts {
    /// Connections.
    pub network: Arc<dyn Network>,
    /// The time of day.
    pub clock: Arc<dyn WallClock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Work that blocks, on the machine's own disk.
    pub blocking: Arc<dyn Blocking>,
    /// Work that blocks, on disks that may hang.
    pub loose: Arc<dyn Blocking>,
    /// Small files.
    pub files: Arc<dyn Files>,
    /// Stores.
    pub engines: Arc<dyn Engines>,
    /// Disks for archives.
    pub volumes: Arc<dyn Volumes>,
}

/// What a process runs from its start; what it returns is why it ended.
pub type Program = Arc<dyn Fn(Parts) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// A point, and the numbers that a process has told there.
pub type ToldAtPoint = (&'static str, Vec<u64>);

/// How a process ended by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// As it meant to.
    Done,
    /// For a reason that it told.
    Failed(String),
    /// By a panic.
    Panicked(String),
}

pub(super) struct Process {
    pub(super) program: Program,
    /// How long after it ended by itself it is started again.
    pub(super) restart_after: Option<Duration>,
    pub(super) starts: u32,
    /// Its tasks, while it runs.
    pub(super) running: Option<Group>,
    /// How many things hold up what runs.
    pub(super) pauses: u32,
    /// Whether it is to run.
    pub(super) wanted: bool,
    /// How many things keep it from running.
    pub(super) held_down: u32,
    /// Somebody works at what it keeps.
    pub(super) closed: bool,
    pub(super) exits: Vec<Exit>,
    /// What it has told at points, and nobody has taken yet.
    pub(super) told: Vec<ToldAtPoint>,
}

/// What holds a process up: the start of it that does not go on.
#[derive(Debug)]
pub struct Paused(u32);

/// A process, as the machine that it runs on looks after it.
pub(super) struct Overseen {
    pub(super) machine: Weak<Machine>,
    pub(super) process: String,
}

impl Overseer for Overseen {
    fn passes(&self, point: &'static str, numbers: &[u64]) -> Passing {
        self.machine.upgrade().map_or(Passing::Ends, |machine| Host { machine }.passes(&self.process, point, numbers))
    }

    fn fate_of_call(&self) -> CallFate {
        let Some(machine) = self.machine.upgrade() else { return CallFate::Lost };
        let fate = machine.calls.next_fate();
        if fate != CallFate::Carried {
            machine.trace.record("call", format_args!("{} {} {fate:?}", machine.name, self.process));
        }
        fate
    }
}

impl fmt::Debug for Overseen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Overseen").field(&self.process).finish()
    }
}

impl Host {
    /// Sets up a process, which nobody else in the world is called as. It is started by [`start`](Self::start), whenever the power
    /// comes back, and, where `restart_after` is given, so long after it ended by itself.
    pub fn install(&self, process: &str, restart_after: Option<Duration>, program: Program) {
        let installed = Process {
            program,
            restart_after,
            starts: 0,
            running: None,
            pauses: 0,
            wanted: false,
            held_down: 0,
            closed: false,
            exits: Vec::new(),
            told: Vec::new(),
        };
        let before = self.processes().insert(process.to_owned(), installed);
        assert!(before.is_none(), "{process} was installed on {} already", self.name());
    }

    /// Starts a process, unless it runs, is held down, or there is no power.
    pub fn start(&self, process: &str) {
        let (group, program, start) = {
            let mut processes = self.processes();
            let found = processes.get_mut(process).expect("a plan starts what it installed");
            found.wanted = true;
            if found.running.is_some() || found.held_down > 0 || found.closed || !self.has_power() {
                return;
            }
            (found.starts, found.pauses) = (found.starts + 1, 0);
            let group = Group::overseen(
                process,
                Arc::new(Overseen { machine: Arc::downgrade(&self.machine), process: process.to_owned() }),
            );
            found.running = Some(group.clone());
            (group, Arc::clone(&found.program), found.starts)
        };
        self.record(format_args!("{process} starts"));
        let parts = self.parts(process, start, &group);
        let main = group.spawn(async move { program(parts).await });
        let (host, process) = (self.clone(), process.to_owned());
        tasks::spawn(async move {
            let exit = match main.await {
                Ok(Ok(())) => Exit::Done,
                Ok(Err(reason)) => Exit::Failed(reason),
                Err(error) => match error.try_into_panic() {
                    Ok(panic) if !panic.is::<EndedAtPoint>() => Exit::Panicked(words_of(panic.as_ref()).to_owned()),
                    // It was killed, or lost its power.
                    Ok(_) | Err(_) => return,
                },
            };
            host.ended(&process, start, exit).await;
        });
    }

    /// Kills a process at once, where it runs, and holds it down until [`revive`](Self::revive). The kernel closes what it held.
    pub fn kill(&self, process: &str) {
        let running = {
            let mut processes = self.processes();
            let found = processes.get_mut(process).expect("a plan kills what it installed");
            found.held_down += 1;
            found.running.take()
        };
        if let Some(group) = running {
            self.record(format_args!("{process} is killed"));
            group.end();
            // A store holds back what it was not told to sync, and the process takes that with it.
            self.disks().crash_stores();
        }
    }

    /// Ends what held a process down; it starts where nothing else does, and it was started before.
    pub fn revive(&self, process: &str) {
        let is_wanted = {
            let mut processes = self.processes();
            let found = processes.get_mut(process).expect("a plan revives what it installed");
            found.held_down = found.held_down.saturating_sub(1);
            found.wanted
        };
        if is_wanted {
            self.start(process);
        }
    }

    /// Ends a process, and keeps it from running until [`open`](Self::open), whatever is healed meanwhile: somebody works at what it
    /// keeps.
    pub fn close(&self, process: &str) {
        self.processes().get_mut(process).expect("a plan closes what it installed").closed = true;
        self.kill(process);
        self.revive(process);
    }

    /// Lets a process run again.
    pub fn open(&self, process: &str) {
        self.processes().get_mut(process).expect("a plan opens what it installed").closed = false;
        self.start(process);
    }

    /// Stops a process: nothing of it goes on until each pause is over. The kernel goes on. None where it does not run.
    pub fn pause(&self, process: &str) -> Option<Paused> {
        let mut processes = self.processes();
        let found = processes.get_mut(process).expect("a plan pauses what it installed");
        let group = found.running.as_ref()?;
        self.record(format_args!("{process} is paused"));
        found.pauses += 1;
        group.pause();
        Some(Paused(found.starts))
    }

    /// Ends a pause.
    pub fn resume(&self, process: &str, Paused(start): Paused) {
        let resumed = {
            let mut processes = self.processes();
            let found = processes.get_mut(process).expect("a plan resumes what it installed");
            if start != found.starts || found.pauses == 0 {
                return;
            }
            found.pauses -= 1;
            found.running.clone().filter(|_| found.pauses == 0)
        };
        // Outside of the lock, for who goes on may be polled at once.
        if let Some(group) = resumed {
            group.resume();
        }
    }

    /// Whether a process runs, paused or not.
    pub fn is_running(&self, process: &str) -> bool {
        self.group(process).is_some()
    }

    /// How a process has ended by itself so far.
    pub fn exits(&self, process: &str) -> Vec<Exit> {
        self.processes()[process].exits.clone()
    }

    /// The numbers that a process has told since this was asked last, each with the point, in order.
    pub fn take_told(&self, process: &str) -> Vec<ToldAtPoint> {
        self.processes().get_mut(process).map(|process| std::mem::take(&mut process.told)).unwrap_or_default()
    }

    /// One of its processes is at a point.
    fn passes(&self, process: &str, point: &'static str, numbers: &[u64]) -> Passing {
        self.machine.trace.record("point", format_args!("{} {process} {point}", self.name()));
        if !numbers.is_empty()
            && let Some(process) = self.processes().get_mut(process)
        {
            process.told.push((point, numbers.to_vec()));
        }
        let Some(struck) = self.machine.snares.pass(point) else { return Passing::GoesOn };
        self.record(format_args!("{process} ends at {point}"));
        match struck.crash {
            Crash::Exit => self.kill(process),
            Crash::PowerLoss => self.power_off(),
        }
        struck.tell(process);
        Passing::Ends
    }

    /// Starts all processes that were started before, as far as nothing holds them down.
    pub(super) fn start_all(&self) {
        let known: Vec<String> =
            self.processes().iter().filter(|(_, process)| process.wanted).map(|(name, _)| name.clone()).collect();
        for process in known {
            self.start(&process);
        }
    }

    fn parts(&self, process: &str, start: u32, group: &Group) -> Parts {
        let machine = &self.machine;
        let chance = machine.draws.stream(&format!("entropy/{}/{process}/{start}", machine.name));
        Parts {
            network: Arc::new(machine.internet.of(machine.id)),
            clock: Arc::new(machine.clock.clone()),
            entropy: Arc::new(HostEntropy::new(chance)),
            blocking: Arc::new(HostBlocking::new(group.clone(), machine.pace.clone())),
            loose: Arc::new(HostBlocking::new(group.clone(), machine.loose_pace.clone())),
            files: Arc::new(machine.disks.files(1_000 + start)),
            engines: Arc::new(machine.disks.engines()),
            volumes: Arc::new(machine.disks.volumes()),
        }
    }

    /// A process ended by itself: so do its tasks, as threads do with theirs. What was killed meanwhile, or lost its power, did not:
    /// whatever it came to in that moment nobody hears.
    async fn ended(&self, process: &str, start: u32, exit: Exit) {
        let (group, restart_after) = {
            let mut processes = self.processes();
            let found = processes.get_mut(process).expect("what is installed stays so");
            let running = if found.starts == start { found.running.take() } else { None };
            let Some(group) = running else { return };
            found.exits.push(exit.clone());
            (group, found.restart_after)
        };
        self.record(format_args!("{process} ends: {exit:?}"));
        group.end();
        self.disks().crash_stores();
        if let Some(delay) = restart_after {
            sleep(delay).await;
            self.start(process);
        }
    }

    fn group(&self, process: &str) -> Option<Group> {
        self.processes().get(process).expect("a plan names what it installed").running.clone()
    }

    pub(super) fn processes(&self) -> MutexGuard<'_, BTreeMap<String, Process>> {
        self.machine.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
