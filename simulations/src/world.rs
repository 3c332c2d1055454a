//! A world: machines as a plan wants them, what befalls them, and who lives there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bursar_net::{TaskSet, tasks, words_of};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, try_join};
use tokio::time::{Instant, sleep, sleep_until};

use crate::befallen::Befallen;
use crate::coverage::Coverage;
use crate::draws::Draws;
use crate::host::Host;
use crate::nemesis::{self, Due};
use crate::network::{HostId, Internet};
use crate::panics;
use crate::plan::{DESK, HostPlan, Operation, Plan};
use crate::runtime::simulate;
use crate::trace::{Digest, Trace};
use crate::verdict::Broken;

/// How often is looked at what must hold.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The machines of a plan, and the network between them.
pub struct World {
    /// What is to happen.
    pub plan: Plan,
    /// Chance, for whoever lives here.
    pub draws: Draws,
    /// What happened.
    pub trace: Trace,
    /// The network.
    pub internet: Internet,
    /// What went wrong so far.
    pub befallen: Befallen,
    /// The machines, by name.
    pub hosts: BTreeMap<String, Host>,
    /// The machine that operators sit at, which runs nothing of the plan, and which nothing befalls but what befalls its links.
    pub desk: HostId,
    /// When it began.
    pub born: Instant,
    /// When the plan began: once whoever lives here had settled.
    begun: OnceLock<Instant>,
}

/// Who lives in a world: what its machines run, what is asked of them, and what must hold.
#[async_trait]
pub trait Inhabitants: Send + Sync + 'static {
    /// Installs the programs of the plan's processes, and starts them. Nothing goes wrong, and no time of the plan passes, before
    /// this is done.
    ///
    /// # Errors
    /// Why nobody can live here.
    fn settle<'a>(&'a self, world: &'a Arc<World>) -> LocalBoxFuture<'a, Result<(), Broken>>;

    /// Does what a client does, and returns when it is done with it. The operations of one client come one after another.
    async fn operate(&self, world: &Arc<World>, operation: Operation);

    /// Carries out a fault that takes operators to repair, tells when it [strikes](Due::strikes), and returns when they are done,
    /// whatever else goes on meanwhile.
    ///
    /// # Errors
    /// Why they are not.
    fn repair<'a>(&'a self, world: &'a Arc<World>, due: &'a mut Due<'_>) -> LocalBoxFuture<'a, Result<(), Broken>>;

    /// Looks at what must hold at every moment.
    ///
    /// # Errors
    /// What does not.
    fn look(&self, world: &World) -> Result<(), Broken>;

    /// Which machine leads, as far as anybody can tell.
    fn leader(&self, world: &World) -> Option<HostId>;

    /// Waits until these processes have come into line and serve, whatever the others do, while time goes on.
    ///
    /// # Errors
    /// What they have not come to in the time that they had, in words for whoever has to find out why.
    async fn converge(&self, world: &Arc<World>, core: &BTreeSet<&str>) -> Result<(), Broken>;

    /// Judges what everybody saw, of a world that has converged.
    ///
    /// # Errors
    /// What does not hold, in words for whoever has to find out why.
    async fn judge(&self, world: &Arc<World>) -> Result<(), Broken>;
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Everything that happened, in brief.
    pub digest: Digest,
    /// How much virtual time passed.
    pub elapsed: Duration,
    /// The latest events that matter to whoever wants to know how it came to its end, oldest first.
    pub recent: Vec<String>,
    /// What the run has exercised.
    pub coverage: Coverage,
    /// What did not hold.
    pub verdict: Result<(), Broken>,
}

/// Runs a plan, in a world of its own; the lines of its trace go to `lines`. Whoever panics here, rather than in a process of the
/// world, has found a promise broken, too.
pub fn run(plan: Plan, inhabitants: Arc<dyn Inhabitants>, lines: Option<Box<dyn Write + Send>>) -> Outcome {
    simulate(plan.seed, move || async move {
        panics::watch();
        let trace = Trace::begin(lines);
        let _logging = tracing::subscriber::set_default(trace.subscriber());
        let world = Arc::new(World::new(plan, trace));
        let verdict = async {
            inhabitants.settle(&world).await?;
            world.live(&inhabitants).await?;
            world.converge(&inhabitants).await?;
            inhabitants.judge(&world).await
        };
        let verdict = AssertUnwindSafe(verdict).catch_unwind().await;
        let verdict = verdict.unwrap_or_else(|panic| Err(Broken::new("no-panic", words_of(panic.as_ref()))));
        let verdict = verdict.and_then(|()| panics::none());
        let (recent, coverage) = (world.trace.recent(), world.trace.coverage());
        world.trace.record("world", format_args!("verdict {verdict:?}"));
        world.trace.flush();
        Outcome { digest: world.trace.digest(), elapsed: world.born.elapsed(), recent, coverage, verdict }
    })
}

impl World {
    fn new(plan: Plan, trace: Trace) -> Self {
        let born = Instant::now();
        let draws = Draws::of_seed(plan.seed);
        let internet = Internet::new(plan.topology.distances.clone(), draws, trace.clone());
        tasks::spawn(internet.carry());
        let hosts = plan.topology.hosts.iter().map(|planned| {
            let host = Host::new(&planned.name, planned.site, plan.knobs.disk_bytes, plan.knobs.job_ms, &internet, draws, &trace);
            host.clock().jump(planned.clock_offset_ms);
            host.clock().drift(planned.clock_drift_ppm);
            for path in &planned.disks {
                host.disks().mount(Path::new(path), plan.knobs.disk_bytes);
            }
            (planned.name.clone(), host)
        });
        let hosts = hosts.collect();
        let desk = internet.attach(DESK, 0);
        Self { plan, draws, trace, internet, befallen: Befallen::default(), hosts, desk, born, begun: OnceLock::new() }
    }

    /// A machine of the plan.
    pub fn host(&self, name: &str) -> &Host {
        self.hosts.get(name).expect("a plan names machines that it has")
    }

    /// Which one in the network a machine of the plan is, or the operators' desk.
    pub fn place(&self, name: &str) -> HostId {
        if name == DESK { self.desk } else { self.host(name).id() }
    }

    /// What the plan says of a machine.
    pub fn planned(&self, name: &str) -> &HostPlan {
        self.plan.topology.hosts.iter().find(|host| host.name == name).expect("a plan names machines that it has")
    }

    /// The machine on which a process of the plan runs.
    pub fn host_of(&self, process: &str) -> &Host {
        let mut hosts = self.plan.topology.hosts.iter();
        let found = hosts.find(|host| host.processes.iter().any(|found| found.name == process));
        self.host(&found.expect("a plan names processes that it has").name)
    }

    /// Returns at a moment of the plan.
    pub async fn until(&self, at_ms: u64) {
        let begun = *self.begun.get().expect("nobody waits for a moment of the plan before it has begun");
        sleep_until(begun + Duration::from_millis(at_ms)).await;
    }

    /// How much of the plan's time has passed.
    pub fn elapsed(&self) -> Duration {
        self.begun.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    /// Lets happen what is planned, then mends everything; returns once the clients are done. Ends at once where what must hold
    /// does not.
    async fn live(self: &Arc<Self>, inhabitants: &Arc<dyn Inhabitants>) -> Result<(), Broken> {
        self.begun.set(Instant::now()).expect("a world is lived in once");
        self.trace.record("world", format_args!("the plan begins"));
        let mut clients: BTreeMap<u32, Vec<Operation>> = BTreeMap::new();
        for operation in &self.plan.operations {
            clients.entry(operation.client).or_default().push(*operation);
        }
        let mut working = TaskSet::new();
        for operations in clients.into_values() {
            let (world, inhabitants) = (Arc::clone(self), Arc::clone(inhabitants));
            working.spawn(async move {
                for operation in operations {
                    world.until(operation.at_ms).await;
                    inhabitants.operate(&world, operation).await;
                }
            });
        }
        let lived = async {
            nemesis::run(self, inhabitants).await;
            self.until(self.plan.duration_ms).await;
            nemesis::mend(self);
            working.join_all().await;
            Ok(())
        };
        let lived = try_join(lived, nemesis::repair(self, inhabitants));
        tokio::select! {
            biased;
            failed = self.watch(inhabitants) => failed,
            lived = lived => lived.map(|((), ())| ()),
        }
    }

    /// Waits until those are in line whom the plan leaves in peace, then mends the rest, and waits until all are.
    async fn converge(self: &Arc<Self>, inhabitants: &Arc<dyn Inhabitants>) -> Result<(), Broken> {
        if !self.plan.left_broken.is_empty() {
            let broken = nemesis::leave_broken(self, inhabitants);
            inhabitants.converge(self, &self.plan.core()).await?;
            drop(broken);
            nemesis::mend(self);
        }
        let hosts = self.plan.topology.hosts.iter();
        let all = hosts.flat_map(|host| &host.processes).map(|process| process.name.as_str()).collect();
        inhabitants.converge(self, &all).await
    }

    /// Looks again and again at what must hold, and returns where it does not.
    async fn watch(&self, inhabitants: &Arc<dyn Inhabitants>) -> Result<(), Broken> {
        loop {
            panics::none()?;
            inhabitants.look(self)?;
            sleep(LOOK_EVERY).await;
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("World").field("seed", &self.plan.seed).finish()
    }
}
