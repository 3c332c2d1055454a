//! The fleet that production runs, living in a world: founded, worked with, looked at, judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bursar_net::{MasterLicenseKey, tasks};
use bursar_wire::client::Client;
use futures_util::future::LocalBoxFuture;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::chronicle::Chronicle;
use crate::disturbances::Disturbances;
use crate::fleet::{Access, Fleet};
use crate::followers::Follower;
use crate::history::{Limits, Searched};
use crate::invariants::{Invariants, Onlookers};
use crate::nemesis::Due;
use crate::network::HostId;
use crate::overview::Overview;
use crate::plan::{Action, Fault, FaultKind, Operation};
use crate::verdict::Broken;
use crate::workload::{Ended, Worker, Workload};
use crate::world::{Inhabitants, LOOK_EVERY, World};

/// How long everything may take to come into line again once nothing goes wrong any more: a detection window, an election, a
/// few back-offs, and a snapshot.
const CONVERGENCE: Duration = Duration::from_secs(90);
/// How often is looked whether it has.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// For how long, beyond a detection window, a fleet that has come into line has to stay there.
const CALM: Duration = Duration::from_secs(10);
/// Who comes at the end to see whether the fleet serves, counted behind the clients and the operator of storage servers.
const VISITOR: u32 = 1;
/// The object that this one makes, which no plan has.
const VISITED: u32 = u32::MAX;
/// What the judges of the history look at.
const LINEARIZABLE: &str = "linearizable";

/// Authority nodes and storage servers.
pub struct Production {
    license_key: Arc<MasterLicenseKey>,
    fleet: OnceLock<Fleet>,
    access: OnceLock<Access>,
    workload: OnceLock<Workload>,
    followers: OnceLock<Vec<Follower>>,
    overview: OnceLock<Overview>,
    workers: Mutex<BTreeMap<u32, Arc<AsyncMutex<Worker>>>>,
    invariants: Mutex<Invariants>,
    chronicle: Mutex<Chronicle>,
}

impl Production {
    /// A fleet that is still to be founded.
    pub fn new() -> Self {
        Self {
            license_key: Arc::new(MasterLicenseKey::parse("BURSAR-SIMULATED-FLEET").expect("it is long enough")),
            fleet: OnceLock::new(),
            access: OnceLock::new(),
            workload: OnceLock::new(),
            followers: OnceLock::new(),
            overview: OnceLock::new(),
            workers: Mutex::default(),
            invariants: Mutex::default(),
            chronicle: Mutex::default(),
        }
    }

    async fn set_up(&self, world: &World) -> Result<(), Broken> {
        let fleet = self.fleet.get_or_init(|| Fleet::install(world, &self.license_key));
        let access = fleet.set_up(&world.plan).await.map_err(|error| Broken::new("set-up", error))?;
        self.workload.get_or_init(|| Workload::new(world.born, access.token_id, fleet.secrets.clone()));
        self.followers.get_or_init(|| {
            let client = |number| fleet.client(&format!("follower-{number}"), &access, number as usize);
            let follower = |number| Follower::start(client(number), fleet.secrets.clone());
            (0..world.plan.knobs.followers).map(follower).collect()
        });
        self.overview.get_or_init(|| Overview::start(fleet.client("overview", &access, 0), fleet.secrets.clone()));
        self.access.get_or_init(|| access);
        Ok(())
    }

    /// Has operators undo a fault, from its beginning.
    async fn undo(&self, world: &World, due: &mut Due<'_>) -> Result<(), Broken> {
        let Fault { for_ms, kind, .. } = due.fault;
        let (fleet, lasting) = (self.fleet(), Duration::from_millis(*for_ms));
        let undone = match kind {
            FaultKind::LostCopy { process, loss } => {
                return fleet.lose(world, &self.operator(process), process, *loss, lasting, due).await;
            }
            FaultKind::RetiredNode { process } => fleet.retire(world, &self.operator(process), process, lasting, due).await,
            FaultKind::LostServer { process } => fleet.replace(world, &self.operator(process), process, lasting, due).await,
            FaultKind::LateNode { process } => fleet.join_late(&self.operator(process), process, due).await,
            _ => Ok(()),
        };
        undone.map_err(|error| Broken::new("repair", format_args!("{kind:?} was not undone: {error}")))
    }

    /// Somebody who looks after what befalls a process.
    fn operator(&self, process: &str) -> Client {
        let access = self.access.get().expect("the fleet is set up before anything goes wrong");
        self.fleet().client(&format!("operator-of-{process}"), access, 0)
    }

    /// The client of this number, who begins with a node of its own.
    fn worker(&self, number: u32) -> Arc<AsyncMutex<Worker>> {
        const SET_UP: &str = "the fleet is set up before anybody works with it";
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let client = self.fleet().client(&format!("client-{number}"), self.access.get().expect(SET_UP), number as usize);
            Arc::new(AsyncMutex::new(self.workload.get().expect(SET_UP).worker(number, client)))
        };
        Arc::clone(workers.entry(number).or_insert_with(new))
    }

    /// Waits until these processes are where they should be, and somebody who came was served.
    async fn fall_into_line(&self, world: &Arc<World>, core: &BTreeSet<&str>) -> Result<(), Broken> {
        let deadline = Instant::now() + CONVERGENCE;
        let visit = self.visit(world);
        loop {
            let found = if visit.is_finished() {
                self.invariants().look_at_the_end(self.fleet(), core)
            } else {
                Err(Broken::new("service", "nobody could make a destination and read it"))
            };
            let Err(broken) = found else { return Ok(()) };
            if Instant::now() >= deadline {
                let mended = if core.len() < self.fleet().processes().count() { "all else was mended" } else { "all was mended" };
                let detail = format!("{} s after {mended}, {}", CONVERGENCE.as_secs(), broken.detail);
                return Err(Broken { detail, ..broken });
            }
            self.look_on(world, LOOK_AGAIN).await?;
        }
    }

    /// Looks for so long at what must hold.
    async fn look_on(&self, world: &World, lasting: Duration) -> Result<(), Broken> {
        let until = Instant::now() + lasting;
        while Instant::now() < until {
            sleep(LOOK_EVERY).await;
            self.look(world)?;
        }
        Ok(())
    }

    /// Has somebody come who makes a destination and reads it, however often that takes.
    fn visit(&self, world: &Arc<World>) -> JoinHandle<()> {
        let (world, client) = (Arc::clone(world), world.plan.knobs.clients + VISITOR);
        let worker = self.worker(client);
        tasks::spawn(async move {
            for action in [Action::Create, Action::Read] {
                let operation = Operation { at_ms: world.plan.duration_ms, client, action, subject: VISITED };
                while carry_out(&worker, &world, operation).await != Ended::Done {
                    sleep(LOOK_AGAIN).await;
                }
            }
        })
    }

    fn fleet(&self) -> &Fleet {
        self.fleet.get().expect("it was founded before")
    }

    fn invariants(&self) -> MutexGuard<'_, Invariants> {
        self.invariants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Production {
    fn default() -> Self {
        Self::new()
    }
}

/// Lets a client do what it is to do next, and tells what came of it.
async fn carry_out(worker: &AsyncMutex<Worker>, world: &World, operation: Operation) -> Ended {
    let begun = Instant::now();
    // Nobody else waits for it: a client does one thing after another.
    let ended = worker.lock().await.carry_out(operation).await;
    let Operation { client, action, subject, .. } = operation;
    let took_ms = begun.elapsed().as_millis();
    world.trace.record("operation", format_args!("client-{client} {action} {subject} {ended} after {took_ms} ms"));
    ended
}

#[async_trait]
impl Inhabitants for Production {
    fn settle<'a>(&'a self, world: &'a Arc<World>) -> LocalBoxFuture<'a, Result<(), Broken>> {
        Box::pin(self.set_up(world))
    }

    async fn operate(&self, world: &Arc<World>, operation: Operation) {
        let worker = self.worker(operation.client);
        carry_out(&worker, world, operation).await;
    }

    fn look(&self, world: &World) -> Result<(), Broken> {
        let followers = self.followers.get().map_or(&[][..], Vec::as_slice);
        let onlookers = Onlookers { followers, overview: self.overview.get() };
        let mut invariants = self.invariants();
        let looked = invariants.look(self.fleet(), onlookers, &Disturbances::of(world));
        self.chronicle.lock().unwrap_or_else(PoisonError::into_inner).tell(&invariants.journals, &world.trace);
        looked
    }

    fn leader(&self, _world: &World) -> Option<HostId> {
        self.fleet().leader().map(|member| member.place.host.id())
    }

    fn repair<'a>(&'a self, world: &'a Arc<World>, due: &'a mut Due<'_>) -> LocalBoxFuture<'a, Result<(), Broken>> {
        Box::pin(self.undo(world, due))
    }

    async fn converge(&self, world: &Arc<World>, core: &BTreeSet<&str>) -> Result<(), Broken> {
        self.fall_into_line(world, core).await?;
        world.trace.record("judge", format_args!("{} processes are in line", core.len()));
        if core.len() == self.fleet().processes().count() {
            // A fleet that only passes by where it should be does not stay there; and in a calm nothing excuses an alarm.
            let window = Duration::from_millis(self.fleet().detection_window_ms());
            self.look_on(world, window + CALM).await?;
            self.fall_into_line(world, core).await?;
        }
        self.invariants().verify(self.fleet(), core)
    }

    async fn judge(&self, world: &Arc<World>) -> Result<(), Broken> {
        let history = self.workload.get().expect("the fleet was set up").history();
        let invariants = self.invariants();
        invariants.look_for_secrets(self.fleet(), world)?;
        let journal = invariants.journals.records();
        if let Some(violation) = history.violations(journal).first() {
            return Err(Broken::new(LINEARIZABLE, violation));
        }
        let Searched { violations, unsettled, .. } = history.search(journal, Limits::default());
        world.trace.record(
            "judge",
            format_args!("{} writes, {} reads, {} unsettled", history.writes.len(), history.reads.len(), unsettled.len()),
        );
        for object in &unsettled {
            world.trace.record("judge", format_args!("{object}"));
        }
        match violations.first() {
            Some(violation) => Err(Broken::new(LINEARIZABLE, violation)),
            None => Ok(()),
        }
    }
}
