//! The closed loop: clients that write, wait for the acknowledgement, and write again.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep, sleep_until},
};

use crate::{
    processes::{Memory, Server, own_cpu_time},
    system::{Door, NODES, System, WriteError, attempt},
    values::Values,
};

/// How long a client waits for an answer. No healthy system takes as long: it bounds the run.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long a client pauses after a write that was not acknowledged.
pub const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(5);

/// How a system is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many clients there are, spread evenly over the nodes.
    pub clients: usize,
    /// How long they write before anything is measured.
    pub warm_up: Duration,
    /// How long is measured.
    pub span: Duration,
}

/// What one system did under one load.
#[derive(Clone, Debug)]
pub struct Stage {
    /// How many clients there were.
    pub clients: usize,
    /// Acknowledged writes a second.
    pub writes_per_second: f64,
    /// Half of the writes were acknowledged within this time.
    pub p50: Duration,
    /// 99 of 100 writes were acknowledged within this time.
    pub p99: Duration,
    /// Attempts that were refused, timed out, or lost their connection.
    pub failures: usize,
    /// Processor time of all clients together, microseconds a write.
    pub client_cpu_us: f64,
    /// Processor time of the servers together, microseconds a write.
    pub server_cpu_us: f64,
    /// What part of one processor the clients used: where it comes near the number of their threads, they were the limit.
    pub client_processors: f64,
    /// What part of one processor the other system used, which had nothing to do.
    pub idle_processors: f64,
    /// Memory of the servers together at the end.
    pub memory: Memory,
}

/// Loads a system and measures it. `idle` are the processes of the other one, which has nothing to do meanwhile.
pub async fn measure<S: System>(system: &S, idle: &[Server], load: Load) -> Result<Stage> {
    let sample = || Sample::take(system.servers(), idle);
    let (tally, before, after) = drive(&system.door(), load, sample).await?;
    if let Some(failure) = &tally.first_failure {
        eprintln!("{} with {} clients: {} attempts failed, the first: {failure}", S::NAME, load.clients, tally.failures);
    }

    let writes_per_second = tally.latencies.len() as f64 / load.span.as_secs_f64();
    // The samples are taken a moment after the edges of the span, so their rates are compared, not their sums.
    let seconds = after.at.duration_since(before.at).as_secs_f64();
    let processors = |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64() / seconds;
    let client_processors = processors(before.clients, after.clients);
    let microseconds_a_write = |processors: f64| processors / writes_per_second * 1e6;
    Ok(Stage {
        clients: load.clients,
        writes_per_second,
        p50: percentile(&tally.latencies, 50).context("not one write was acknowledged")?,
        p99: percentile(&tally.latencies, 99).context("not one write was acknowledged")?,
        failures: tally.failures,
        client_cpu_us: microseconds_a_write(client_processors),
        server_cpu_us: microseconds_a_write(processors(before.servers, after.servers)),
        client_processors,
        idle_processors: processors(before.idle, after.idle),
        memory: after.memory,
    })
}

/// What the kernel has counted up to a moment.
struct Sample {
    at: Instant,
    clients: Duration,
    servers: Duration,
    idle: Duration,
    memory: Memory,
}

impl Sample {
    fn take(servers: &[Server], idle: &[Server]) -> Result<Self> {
        let mut memory = Memory::default();
        for server in servers {
            let Memory { resident, anonymous } = server.memory()?;
            memory = Memory { resident: memory.resident + resident, anonymous: memory.anonymous + anonymous };
        }
        Ok(Self {
            at: Instant::now(),
            clients: own_cpu_time()?,
            servers: servers.iter().map(Server::cpu_time).sum::<Result<_>>()?,
            idle: idle.iter().map(Server::cpu_time).sum::<Result<_>>()?,
            memory,
        })
    }
}

/// What clients saw within the measured span.
#[derive(Default)]
struct Tally {
    /// How long each acknowledged write took, the shortest first once it is whole.
    latencies: Vec<Duration>,
    failures: usize,
    first_failure: Option<String>,
}

impl Tally {
    fn absorb(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.failures += other.failures;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }
}

/// When a load is measured, and when it ends.
#[derive(Clone, Copy)]
struct Schedule {
    from: Instant,
    until: Instant,
    stop: Instant,
}

/// Runs the clients, and takes a sample at both edges of the measured span.
async fn drive<D: Door, T>(door: &D, load: Load, mut sample: impl FnMut() -> Result<T>) -> Result<(Tally, T, T)> {
    // Clients go on a little beyond the span: the second sample is taken under full load.
    const TAIL: Duration = Duration::from_millis(100);

    let mut writers = Vec::with_capacity(load.clients);
    for client in 0..load.clients {
        let node = client % NODES;
        writers.push((node, door.connect(node).await.with_context(|| format!("client {client} cannot reach node {node}"))?));
    }
    let from = Instant::now() + load.warm_up;
    let until = from + load.span;
    let schedule = Schedule { from, until, stop: until + TAIL };
    let mut clients = JoinSet::new();
    for (node, writer) in writers {
        clients.spawn(write_in_a_loop(door.clone(), node, writer, schedule));
    }

    wait(schedule.from, &mut clients).await?;
    let before = sample()?;
    wait(schedule.until, &mut clients).await?;
    let after = sample()?;

    let mut tally = Tally::default();
    while let Some(client) = clients.join_next().await {
        tally.absorb(finished(client)?);
    }
    tally.latencies.sort_unstable();
    Ok((tally, before, after))
}

/// Waits until `at`. No client ends before its time but by a failure that makes the figures worthless.
async fn wait(at: Instant, clients: &mut JoinSet<Result<Tally, WriteError>>) -> Result<()> {
    tokio::select! {
        () = sleep_until(at) => Ok(()),
        Some(client) = clients.join_next() => finished(client).map(drop),
    }
}

fn finished(client: Result<Result<Tally, WriteError>, JoinError>) -> Result<Tally> {
    client.context("a client broke down")?.context("a client had to give up")
}

/// One client.
async fn write_in_a_loop<D: Door>(door: D, node: usize, mut writer: D::Writer, schedule: Schedule) -> Result<Tally, WriteError> {
    let mut values = Values::new();
    let mut tally = Tally::default();
    loop {
        let began = Instant::now();
        if began >= schedule.stop {
            return Ok(tally);
        }
        let outcome = attempt(&mut writer, values.object(), values.value(), ANSWER_WITHIN).await;
        let ended = Instant::now();
        let counts = (schedule.from..schedule.until).contains(&ended);
        match outcome {
            Ok(()) if counts => tally.latencies.push(ended - began),
            Ok(()) => {}
            Err(unexpected @ WriteError::Unexpected(_)) => return Err(unexpected),
            Err(failure) => {
                if counts {
                    tally.failures += 1;
                    tally.first_failure.get_or_insert_with(|| failure.to_string());
                }
                sleep(PAUSE_AFTER_FAILURE).await;
                if failure.ends_connection() {
                    writer = door.connect(node).await?;
                }
            }
        }
    }
}

/// The value that `percent` of 100 values do not exceed (nearest rank). `sorted` begins with the least; none where it is empty.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::system::Writer;

    /// Acknowledges after 4 ms; what else it does is told by the number of the write.
    #[derive(Clone, Default)]
    struct FakeDoor {
        connections: [Arc<AtomicUsize>; NODES],
        unexpected_at: Option<usize>,
        broken_at: Option<usize>,
    }

    struct FakeWriter {
        door: FakeDoor,
        writes: usize,
        broken: bool,
    }

    impl Door for FakeDoor {
        type Writer = FakeWriter;

        async fn connect(&self, node: usize) -> Result<FakeWriter, WriteError> {
            self.connections[node].fetch_add(1, Ordering::Relaxed);
            Ok(FakeWriter { door: self.clone(), writes: 0, broken: false })
        }
    }

    impl Writer for FakeWriter {
        async fn write(&mut self, _object: usize, _value: String) -> Result<(), WriteError> {
            assert!(!self.broken, "a broken connection is not used again");
            sleep(Duration::from_millis(4)).await;
            self.writes += 1;
            if Some(self.writes) == self.door.unexpected_at {
                return Err(WriteError::Unexpected("500".into()));
            }
            if Some(self.writes) == self.door.broken_at {
                self.broken = true;
                return Err(WriteError::disconnected("reset"));
            }
            Ok(())
        }
    }

    const LOAD: Load = Load { clients: 6, warm_up: Duration::from_secs(1), span: Duration::from_secs(2) };

    #[tokio::test(start_paused = true)]
    async fn the_span_alone_is_counted() {
        let door = FakeDoor::default();
        let (tally, before, after) = drive(&door, LOAD, || Ok(Instant::now())).await.unwrap();
        assert_eq!(after - before, LOAD.span);
        // 500 writes a client, give or take the one at each edge.
        assert!((6 * 499..=6 * 501).contains(&tally.latencies.len()), "{}", tally.latencies.len());
        assert_eq!(percentile(&tally.latencies, 99), Some(Duration::from_millis(4)));
        assert_eq!(tally.failures, 0);
        assert_eq!(door.connections.map(|count| count.load(Ordering::Relaxed)), [2; NODES]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_is_counted_and_made_anew() {
        let door = FakeDoor { broken_at: Some(300), ..FakeDoor::default() };
        let (tally, ..) = drive(&door, LOAD, || Ok(())).await.unwrap();
        assert_eq!(tally.failures, 12, "the 300th write of both connections of each client's span");
        assert_eq!(tally.first_failure.as_deref(), Some("the connection failed: reset"));
        assert_eq!(door.connections.map(|count| count.load(Ordering::Relaxed)), [6; NODES]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unexpected_answer_ends_the_run_at_once() {
        let door = FakeDoor { unexpected_at: Some(10), ..FakeDoor::default() };
        let began = Instant::now();
        let error = drive(&door, LOAD, || Ok(())).await.err().unwrap();
        assert!(format!("{error:#}").contains("500"), "{error:#}");
        assert!(began.elapsed() < LOAD.warm_up);
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let sorted: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&sorted, 50), Some(Duration::from_millis(100)));
        assert_eq!(percentile(&sorted, 99), Some(Duration::from_millis(198)));
        assert_eq!(percentile(&sorted[..1], 50), Some(Duration::from_millis(1)));
        assert_eq!(percentile(&[], 50), None);
    }
}
