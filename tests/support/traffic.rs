//! Clients at work while things fail: writers, readers, followers of the events. All that they see goes into a [`History`].

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bursar_wire::{
    client::{Answer, Change, Client, ClientConfig, ClientError},
    destinations::{CreateDestination, Destination, EditDestination},
    events::StreamItem,
    query::EventsQuery,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    Fleet,
    history::{Acknowledgement, History, Moment, Read, Received, Write, number_of},
    soon, until,
};

/// How often a writer changes a destination before it makes another one.
const CHANGES: u32 = 20;
/// How long a client that was told to come back later stays away.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a client rests between two requests: the machine is to have time for what is tested, too.
const REST: Duration = Duration::from_millis(5);
/// How long a fickle writer waits for an outcome.
const IMPATIENCE: Duration = Duration::from_millis(400);

/// Clients at work, until [`Traffic::end`].
pub struct Traffic {
    record: Arc<Record>,
    /// Writers and readers work until this says otherwise.
    working: watch::Sender<bool>,
    clients: JoinSet<()>,
    /// Followers of the events go on up to here, once it is known.
    head: watch::Sender<Option<u64>>,
    followers: JoinSet<Received>,
}

/// What is seen, as it is seen.
pub struct Record {
    began: Instant,
    seen: Mutex<History>,
    acknowledged: watch::Sender<u64>,
    /// Numbers requests.
    requests: AtomicU64,
    /// What clients were told although another attempt could have spared them it.
    failures: Mutex<Vec<String>>,
}

/// What a writer does when a request has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temper {
    /// It repeats the request until it has one.
    Stubborn,
    /// It lets the request be, and goes on with something else.
    Fickle,
}

impl Traffic {
    /// Nobody at work yet.
    pub fn new() -> Self {
        let record = Arc::new(Record {
            began: Instant::now(),
            seen: Mutex::default(),
            acknowledged: watch::Sender::new(0),
            requests: AtomicU64::new(0),
            failures: Mutex::default(),
        });
        let (working, head) = (watch::Sender::new(true), watch::Sender::new(None));
        Self { record, working, clients: JoinSet::new(), head, followers: JoinSet::new() }
    }

    /// The customary crowd, spread over all nodes: six writers, a third of them fickle; three readers; four followers.
    pub fn of(fleet: &Fleet) -> Self {
        let mut traffic = Self::new();
        for number in 0..6 {
            match number % 3 {
                2 => traffic.write(fleet.client_with(&fleet.ids_from(number), impatient), Temper::Fickle),
                _ => traffic.write(fleet.client_from(number), Temper::Stubborn),
            }
        }
        for number in 0..3 {
            traffic.read(fleet.client_from(number));
            traffic.follow(&format!("follower {number}"), fleet.client_from(number), Some(0));
        }
        traffic.follow("latecomer", fleet.client_from(1), None);
        traffic
    }

    /// What is seen.
    pub fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// Sets a writer to work: it makes destinations and changes them, never two things at a time.
    pub fn write(&mut self, client: Client, temper: Temper) {
        let (record, working) = (Arc::clone(&self.record), self.working.subscribe());
        self.clients.spawn(async move {
            while *working.borrow() {
                write_about_one_destination(&record, &client, temper, &working).await;
            }
        });
    }

    /// Sets a reader to work: linearizable reads, one after the other.
    pub fn read(&mut self, client: Client) {
        let (record, working) = (Arc::clone(&self.record), self.working.subscribe());
        self.clients.spawn(async move {
            while *working.borrow() {
                sleep(if record.read(&client).await { REST } else { PAUSE }).await;
            }
        });
    }

    /// Sets a follower to work: behind a revision, or behind the head as it is now.
    pub fn follow(&mut self, reader: &str, client: Client, since: Option<u64>) {
        let (reader, head) = (reader.to_owned(), self.head.subscribe());
        self.followers.spawn(follow(reader, client, since, head));
    }

    /// How many writes have been acknowledged.
    pub fn acknowledged(&self) -> u64 {
        *self.record.acknowledged.borrow()
    }

    /// Waits until so many more writes have been acknowledged.
    pub async fn progress(&self, writes: u64) {
        let mut acknowledged = self.record.acknowledged.subscribe();
        let enough = *acknowledged.borrow() + writes;
        soon("writes are acknowledged", acknowledged.wait_for(|count| *count >= enough)).await.expect("the sender lives");
    }

    /// The longest time without an acknowledgement since `moment`.
    pub fn longest_gap(&self, since: Moment) -> Duration {
        let seen = self.record.seen.lock().expect("nobody panics while it is held");
        let mut moments: Vec<Moment> = seen.writes.iter().filter_map(|write| Some(write.acknowledgement?.at)).collect();
        moments.sort_unstable();
        let first = moments.partition_point(|at| *at < since).saturating_sub(1);
        let gap = moments[first..].windows(2).map(|pair| pair[1] - pair[0]).max();
        Duration::from_nanos(gap.unwrap_or_default())
    }

    /// What clients were told although they had asked all nodes: none are failures where the authority could have answered.
    pub fn failures(&self) -> Vec<String> {
        self.record.failures.lock().expect("nobody panics while it is held").clone()
    }

    /// Ends the work, lets everybody catch up, and returns all that was seen, with the journal of each running node.
    pub async fn end(mut self, fleet: &Fleet) -> History {
        self.working.send_replace(false);
        while let Some(ended) = soon("the clients end", self.clients.join_next()).await {
            ended.expect("no client panics");
        }
        let mut history = std::mem::take(&mut *self.record.seen.lock().expect("nobody panics while it is held"));
        // A request whose client has given up may still be under way: once more, where it came in between.
        let mut head = settled(fleet).await;
        loop {
            for id in fleet.running() {
                history.journals.insert(id, journal_of(fleet, id).await);
            }
            let before = std::mem::replace(&mut head, settled(fleet).await);
            if head == before {
                break;
            }
        }
        self.head.send_replace(Some(head));
        while let Some(stream) = soon("the followers catch up", self.followers.join_next()).await {
            history.streams.push(stream.expect("no follower panics"));
        }
        history
    }
}

impl Record {
    /// Now, as the history counts it.
    pub fn now(&self) -> Moment {
        u64::try_from(self.began.elapsed().as_nanos()).expect("a test ends within centuries")
    }

    /// One linearizable read; whether it was answered.
    pub async fn read(&self, client: &Client) -> bool {
        let invoked = self.now();
        match client.get("sites/1", &()).await {
            Ok(answer) => {
                let read = Read { invoked, answered: self.now(), shown: shown(&answer) };
                self.seen.lock().expect("nobody panics while it is held").reads.push(read);
                true
            }
            Err(error) => {
                self.failed("a read", &error);
                false
            }
        }
    }

    /// A request with an id and a mark of its own, carried to the end by `send`. The answer, where there is one.
    pub async fn write<F: Future<Output = Result<Answer, ClientError>>>(
        &self,
        temper: Temper,
        working: &watch::Receiver<bool>,
        send: impl Fn(Change, String) -> F,
    ) -> Option<Answer> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let (request, mark) = (format!("write-{number}"), format!("mark {number}."));
        let mut write = Write { request: request.clone(), mark: mark.clone(), invoked: self.now(), acknowledgement: None };
        loop {
            let change = Change { request_id: Some(request.clone()), ..Change::default() };
            match send(change, mark.clone()).await {
                Ok(answer) => {
                    let revision = answer.etag.as_deref().map(number_of).expect("a destination has an entity tag");
                    let at = self.now();
                    write.acknowledgement = Some(Acknowledgement { at, revision, shown: shown(&answer) });
                    self.seen.lock().expect("nobody panics while it is held").writes.push(write);
                    self.acknowledged.send_modify(|count| *count += 1);
                    return Some(answer);
                }
                Err(error) => self.failed(&request, &error),
            }
            if temper == Temper::Fickle || !*working.borrow() {
                self.seen.lock().expect("nobody panics while it is held").writes.push(write);
                return None;
            }
            sleep(PAUSE).await;
        }
    }

    /// Notes what a client was told, which must be something that passes.
    fn failed(&self, what: &str, error: &ClientError) {
        let passes = match error {
            ClientError::Unreachable { .. } | ClientError::OutcomeUnknown { .. } => true,
            ClientError::Problem { problem, .. } => matches!(problem.status, 429 | 503 | 504),
            _ => false,
        };
        assert!(passes, "{what}: {error}");
        self.failures.lock().expect("nobody panics while it is held").push(format!("{what}: {error}"));
    }
}

/// With less patience than a failover takes.
fn impatient(config: ClientConfig) -> ClientConfig {
    ClientConfig { timeout: IMPATIENCE, attempt_timeout: IMPATIENCE, ..config }
}

/// Makes a destination and changes it, until a request has no outcome: what comes of it must not disturb what comes next.
async fn write_about_one_destination(record: &Record, client: &Client, temper: Temper, working: &watch::Receiver<bool>) {
    let create = |change, mark: String| {
        let destination = CreateDestination { name: mark.clone(), description: mark, site: 1, ..CreateDestination::default() };
        async move { client.post("destinations", &destination, change).await }
    };
    let Some(made) = record.write(temper, working, create).await else { return };
    let path = format!("destinations/{}", made.json::<Destination>().expect("a destination").id);
    for _ in 0..CHANGES {
        if !*working.borrow() {
            return;
        }
        let edit = |change, mark| {
            let edit = EditDestination { description: Some(mark), ..EditDestination::default() };
            let path = path.clone();
            async move { client.patch(&path, &edit, change).await }
        };
        if record.write(temper, working, edit).await.is_none() {
            return;
        }
        sleep(REST).await;
    }
}

/// Reads events, over however many failures, up to the head once that is known.
async fn follow(reader: String, client: Client, since: Option<u64>, mut head: watch::Receiver<Option<u64>>) -> Received {
    // The server tells where the head is by a bookmark: behind it begins who asks for no place.
    let query = |since: Option<String>| EventsQuery { since, ..EventsQuery::default() };
    let mut stream = client.events(query(since.map(|since| format!("1-{since}"))));
    let mut received = Received { reader, since: since.unwrap_or_default(), items: Vec::new() };
    loop {
        let position = stream.position();
        if position.is_some_and(|at| head.borrow().is_some_and(|head| at.revision.0 >= head)) {
            return received;
        }
        let next = tokio::select! {
            next = stream.next() => next,
            _ = head.changed() => continue,
        };
        if since.is_none() && received.items.is_empty() {
            received.since = position.map_or_else(|| first_place(&next), |at| at.revision.0);
        }
        match next {
            Ok(Some(item)) => received.items.push(item),
            Ok(None) => panic!("{}: the stream ended", received.reader),
            Err(error @ (ClientError::Unreachable { .. } | ClientError::Problem { .. })) => {
                eprintln!("{} resumes: {error}", received.reader);
                stream = client.events(query(position.map(|at| at.to_string())));
            }
            Err(error) => panic!("{}: {error}", received.reader),
        }
    }
}

/// Where a stream began that was asked for the head.
fn first_place(next: &Result<Option<StreamItem>, ClientError>) -> u64 {
    match next {
        Ok(Some(StreamItem::Event(line))) => line.revision - 1,
        Ok(Some(item)) => item.cursor().map(number_of).unwrap_or_default(),
        _ => 0,
    }
}

fn shown(answer: &Answer) -> u64 {
    answer.revision.as_deref().map(number_of).expect("every answer tells its revision")
}

/// The revision that all running nodes have reached, once nothing moves any more.
pub async fn settled(fleet: &Fleet) -> u64 {
    until("all nodes have the same revision", async || {
        let mut revisions = Vec::new();
        for id in fleet.running() {
            revisions.push(number_of(&fleet.status_of(id).await?.revision));
        }
        let newest = *revisions.iter().max()?;
        revisions.iter().all(|revision| *revision == newest).then_some(newest)
    })
    .await
}

/// All records of a node's journal.
pub async fn journal_of(fleet: &Fleet, id: u64) -> Vec<bursar_wire::events::EventLine> {
    let query = EventsQuery { since: Some("1-0".into()), follow: Some(false), ..EventsQuery::default() };
    let mut events = fleet.client_of(&[id]).events(query);
    let mut journal = Vec::new();
    while let Some(item) = soon("the journal is read", events.next()).await.expect("the journal can be read") {
        if let StreamItem::Event(line) = item {
            journal.push(line);
        }
    }
    journal
}
