//! An authority of one node, in memory, that decides as every authority does. It can be told to have troubles.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bursar_api::{Authority, BelowFloor, JournalError, PastError};
use bursar_domain::{
    Actor, AuthorityNodeId, ClusterId, Command, Hash, Level, Proposal, RequestId, Revision, Sealed, State, StoreId, Submission,
    Timestamp, TokenId, authority_node, cluster, decide, evolve, seal, site,
};
use bursar_net::WallClock;
use bursar_raft::{
    Applied, Consistency, Counters, Fate, NodeStatus, ReadError, Role, SubmitError, TransferError, Unavailability,
};
use bursar_storage::log::LogCounters;
use bytes::Bytes;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout_at},
};

pub const SETUP_SECRET: &str = "setup-secret-of-the-tests";
/// Who acts elsewhere: the bearer of the first token.
pub const ADMINISTRATOR: Actor = Actor::Token(TokenId(1));
pub const THIS_NODE: AuthorityNodeId = AuthorityNodeId(1);

pub struct MemoryAuthority {
    clock: Arc<dyn WallClock>,
    state: Mutex<Arc<State>>,
    journal: Mutex<Vec<Bytes>>,
    revisions: watch::Sender<Revision>,
    /// Whether the others are lost.
    without_quorum: AtomicBool,
    stuck: AtomicBool,
    unconfirmed: AtomicBool,
    overloaded: AtomicBool,
    /// How long a quorum takes to answer.
    slowness: Mutex<Duration>,
    floor: AtomicU64,
    /// Where the floor is from the next reading of the journal on.
    next_floor: AtomicU64,
    /// What others ask for, and have decided, just before the next submission arrives.
    others: Mutex<Vec<Submission>>,
    /// The version that a lagging node shows; it catches up when it is asked for a linearizable reading.
    lagging: Mutex<Option<Arc<State>>>,
    pub submissions: AtomicUsize,
    pub linearizable_readings: AtomicUsize,
    /// How many bytes of the journal were read.
    pub bytes_read: AtomicUsize,
    pub past_versions_made: AtomicUsize,
    /// While it is held, no version of the past comes to be.
    pub past: tokio::sync::Mutex<()>,
}

impl MemoryAuthority {
    pub fn founded(clock: Arc<dyn WallClock>, license_key: Vec<u8>) -> Arc<Self> {
        let authority = Arc::new(Self {
            clock,
            state: Mutex::default(),
            journal: Mutex::default(),
            revisions: watch::Sender::new(Revision::ZERO),
            without_quorum: AtomicBool::default(),
            stuck: AtomicBool::default(),
            unconfirmed: AtomicBool::default(),
            overloaded: AtomicBool::default(),
            slowness: Mutex::default(),
            floor: AtomicU64::default(),
            next_floor: AtomicU64::default(),
            others: Mutex::default(),
            lagging: Mutex::default(),
            submissions: AtomicUsize::default(),
            linearizable_readings: AtomicUsize::default(),
            bytes_read: AtomicUsize::default(),
            past_versions_made: AtomicUsize::default(),
            past: tokio::sync::Mutex::default(),
        });
        let found = cluster::Command::Found {
            cluster: ClusterId([1; 16]),
            license_key,
            ca_certificate: "a certificate".into(),
            sealed_ca_key: vec![3; 64],
            setup_secret: Hash::of(SETUP_SECRET.as_bytes()),
            node: authority_node::Facts {
                store: StoreId([4; 16]),
                peer_address: "10.0.0.1:4283".into(),
                api_address: "10.0.0.1:4285".into(),
                control_address: "10.0.0.1:4288".into(),
                version: "0.1.0".into(),
                supported: Level::SUPPORTED,
            },
        };
        authority.take(submission(Actor::Founder, "found", Command::Cluster(found))).outcome.unwrap();
        authority
    }

    pub fn state(&self) -> Arc<State> {
        self.state.lock().unwrap().clone()
    }

    pub fn lose_quorum(&self) {
        self.without_quorum.store(true, Ordering::SeqCst);
    }

    /// From now on a quorum takes so long to answer.
    pub fn take_its_time(&self, slowness: Duration) {
        *self.slowness.lock().unwrap() = slowness;
    }

    /// From now on the others do not confirm that this node leads, and it has not noticed.
    pub fn go_unconfirmed(&self) {
        self.unconfirmed.store(true, Ordering::SeqCst);
    }

    pub fn overload(&self) {
        self.overloaded.store(true, Ordering::SeqCst);
    }

    /// Drops the history up to `floor`.
    pub fn raise_floor(&self, floor: u64) {
        self.floor.store(floor, Ordering::SeqCst);
    }

    /// Drops the history up to `floor` when the journal is read the next time.
    pub fn raise_floor_amid_a_reading(&self, floor: u64) {
        self.next_floor.store(floor, Ordering::SeqCst);
    }

    /// Has somebody else's submission decided just before the next one arrives.
    pub fn let_another_come_first(&self, submission: Submission) {
        self.others.lock().unwrap().push(submission);
    }

    /// From now on this node shows what it has now, until it is asked for a linearizable reading.
    pub fn lag(&self) {
        *self.lagging.lock().unwrap() = Some(self.state());
    }

    /// From now on this node shows what it has now, and learns what becomes of its submissions, but not in time what follows.
    pub fn get_stuck(&self) {
        self.lag();
        self.stuck.store(true, Ordering::SeqCst);
    }

    /// Appends events as fast as memory takes them: sites that are made.
    pub fn append_sites(&self, names: impl Iterator<Item = String>) {
        for name in names {
            let command = Command::Site(site::Command::Create { name: name.clone(), expected_latency_ms: 1 });
            self.take(submission(ADMINISTRATOR, &name, command)).outcome.unwrap();
        }
    }

    /// Decides, seals and folds, as every replica does.
    pub fn take(&self, submission: Submission) -> Applied {
        let mut shared = self.state.lock().unwrap();
        let proposal = Proposal { time: Timestamp(self.clock.now_unix_ms()), submission };
        let mut state = State::clone(&shared);
        let decision = decide(&state, &proposal);
        let records = seal(&state, &proposal, &decision);
        for record in &records {
            evolve(&mut state, record);
        }
        self.journal.lock().unwrap().extend(records.into_iter().map(|record| Bytes::from(record.bytes)));
        *shared = Arc::new(state);
        drop(shared);
        if self.lagging.lock().unwrap().is_none() {
            self.revisions.send_replace(self.state().revision());
        }
        Applied { outcome: decision.outcome, revision: decision.revision, repeated: decision.repeated }
    }

    /// The journal is read: the floor is where it is now.
    fn begin_reading(&self) -> Revision {
        self.floor.fetch_max(self.next_floor.load(Ordering::SeqCst), Ordering::SeqCst);
        self.floor()
    }

    fn catch_up(&self) {
        *self.lagging.lock().unwrap() = None;
        self.revisions.send_replace(self.state().revision());
    }

    async fn quorum(&self, deadline: Instant) -> Result<(), u64> {
        let started = Instant::now();
        let slowness = *self.slowness.lock().unwrap();
        if !self.without_quorum.load(Ordering::SeqCst) && timeout_at(deadline, sleep(slowness)).await.is_ok() {
            return Ok(());
        }
        sleep_until(deadline).await;
        Err(started.elapsed().as_millis() as u64)
    }
}

pub fn submission(actor: Actor, request: &str, command: Command) -> Submission {
    Submission {
        actor,
        request: RequestId::parse(&request.replace(' ', "-")).unwrap(),
        fingerprint: Hash::of(request.as_bytes()),
        expected: None,
        planned_on: None,
        command,
    }
}

#[async_trait]
impl Authority for MemoryAuthority {
    async fn submit(&self, submission: Submission, deadline: Instant) -> Result<Applied, SubmitError> {
        self.submissions.fetch_add(1, Ordering::SeqCst);
        if self.overloaded.load(Ordering::SeqCst) {
            return Err(SubmitError::Overloaded { retry_after_ms: 1_500 });
        }
        let reason = Unavailability::NoQuorum;
        let lost = |waited_ms| SubmitError::Unavailable { waited_ms, reason, fate: Fate::Unknown };
        self.quorum(deadline).await.map_err(lost)?;
        for other in std::mem::take(&mut *self.others.lock().unwrap()) {
            self.take(other).outcome.unwrap();
        }
        let applied = self.take(submission);
        if !self.stuck.load(Ordering::SeqCst) {
            self.catch_up();
        }
        Ok(applied)
    }

    async fn read(
        &self,
        consistency: Consistency,
        at_least: Option<Revision>,
        deadline: Instant,
    ) -> Result<Arc<State>, ReadError> {
        if consistency == Consistency::Linearizable {
            self.linearizable_readings.fetch_add(1, Ordering::SeqCst);
            let lost = |waited_ms| ReadError::Unavailable { waited_ms, reason: Unavailability::NoQuorum };
            self.quorum(deadline).await.map_err(lost)?;
            self.catch_up();
        }
        if let Some(asked) = at_least {
            let started = Instant::now();
            let mut revisions = self.revisions();
            let waited = timeout_at(deadline, revisions.wait_for(|revision| *revision >= asked)).await;
            waited.map(drop).map_err(|_| ReadError::Behind {
                asked,
                at: self.latest().revision(),
                waited_ms: started.elapsed().as_millis() as u64,
            })?;
        }
        Ok(self.latest())
    }

    fn latest(&self) -> Arc<State> {
        self.lagging.lock().unwrap().clone().unwrap_or_else(|| self.state())
    }

    fn revisions(&self) -> watch::Receiver<Revision> {
        self.revisions.subscribe()
    }

    fn floor(&self) -> Revision {
        Revision(self.floor.load(Ordering::SeqCst))
    }

    async fn records(&self, after: Revision, upto: Revision, bytes_max: usize) -> Result<Vec<Bytes>, JournalError> {
        if after < self.begin_reading() {
            return Ok(Vec::new());
        }
        let journal = self.journal.lock().unwrap();
        let mut bytes = 0;
        let fits = |record: &&Bytes| {
            let fits = bytes == 0 || bytes + record.len() <= bytes_max;
            bytes += record.len();
            fits
        };
        let wanted = &journal[after.0 as usize..(upto.0 as usize).min(journal.len())];
        let records: Vec<_> = wanted.iter().take_while(fits).cloned().collect();
        self.bytes_read.fetch_add(records.iter().map(Bytes::len).sum(), Ordering::SeqCst);
        Ok(records)
    }

    async fn state_at(&self, revision: Revision) -> Result<Arc<State>, PastError> {
        self.past_versions_made.fetch_add(1, Ordering::SeqCst);
        let _may_be_made = self.past.lock().await;
        let floor = self.begin_reading();
        if revision < floor {
            return Err(BelowFloor { asked: revision, floor }.into());
        }
        let mut state = State::default();
        for bytes in &self.journal.lock().unwrap()[..revision.0 as usize] {
            evolve(&mut state, &Sealed::open(bytes.to_vec()).unwrap());
        }
        Ok(Arc::new(state))
    }

    fn leader(&self) -> Option<AuthorityNodeId> {
        (!self.without_quorum.load(Ordering::SeqCst)).then_some(THIS_NODE)
    }

    fn status(&self) -> NodeStatus {
        let leader = self.leader();
        NodeStatus {
            id: THIS_NODE,
            role: if leader.is_some() { Role::Leader } else { Role::Candidate },
            term: 1,
            leader,
            revision: self.latest().revision(),
            leader_api_address: leader.map(|_| "10.0.0.1:4285".to_owned()),
            last_log: Some(self.journal.lock().unwrap().len() as u64),
            committed: None,
            applied: None,
            purged: None,
            snapshot: None,
            voters: [THIS_NODE].into(),
            learners: [].into(),
            peers: Vec::new(),
            quorum_last_ack_ms: Some(0),
            recovered: true,
            confirmed: leader.is_some() && !self.unconfirmed.load(Ordering::SeqCst),
            confirmed_ms_ago: Some(40_000),
            log: LogCounters::default(),
        }
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }

    async fn transfer_leadership(&self, to: Option<AuthorityNodeId>, _: Instant) -> Result<AuthorityNodeId, TransferError> {
        match to {
            Some(THIS_NODE) => Ok(THIS_NODE),
            Some(node) => Err(TransferError::NotAVoter { node }),
            None => Err(TransferError::NobodyElse),
        }
    }
}
