//! Histories of a fleet, drawn from a seed: proposals that mostly make sense in the state that they meet, with retries,
//! stale readings, clocks that step back, and nonsense in between. The same seed gives the same history.

use bursar_domain::{
    Actor, AuthorityNodeId, ClusterId, Command, Cursor, DestinationId, Duty, Epoch, ExpectedRevision, Hash, JoinTokenId, Level,
    ObjectRef, OperationId, Proposal, RequestId, Revision, ServerId, SiteId, State, StoreId, Submission, Timestamp, TokenId,
    authority_node::{self, Facts, Intent},
    cluster,
    destination::{self, Balancing, Change, DailyWindow, FreeSpaceThresholds},
    join_token,
    operation::{self, Status, Step, WaitCode},
    site, token,
};

use crate::dice::Dice;

mod fleet;

/// The secret with which the first administrator is made.
pub const SETUP_SECRET: &[u8] = b"setup secret";

/// When a history begins.
const BEGINNING: Timestamp = Timestamp(1_760_000_000_000);
/// How many earlier submissions may come again.
const EARLIER: usize = 32;
const MINUTE_MS: u64 = 60_000;

/// A history in the making.
#[derive(Clone, Debug)]
pub struct History {
    dice: Dice,
    now: Timestamp,
    /// The revision behind which it was taken up: its requests are others than those of the history before.
    behind: Revision,
    requests: u64,
    earlier: Vec<Submission>,
}

impl History {
    /// The history that a seed stands for, from the founding on.
    pub fn new(seed: u64) -> Self {
        Self::behind(&State::default(), seed)
    }

    /// One that goes on where another has led to `state`.
    pub fn behind(state: &State, seed: u64) -> Self {
        let now = state.time().max(BEGINNING);
        Self { dice: Dice::new(seed), now, behind: state.revision(), requests: 0, earlier: Vec::new() }
    }

    /// Draws what follows from another seed.
    pub const fn reseed(&mut self, seed: u64) {
        self.dice = Dice::new(seed);
    }

    /// Lets time pass.
    pub const fn wait_ms(&mut self, milliseconds: u64) {
        self.now = self.now.plus_ms(milliseconds);
    }

    /// The proposal that follows, where `state` is what the ones before it led to.
    pub fn next(&mut self, state: &State) -> Proposal {
        let time = self.clock();
        let submission = match self.again() {
            Some(earlier) => earlier,
            None => self.submission(state),
        };
        self.earlier.push(submission.clone());
        if self.earlier.len() > EARLIER {
            self.earlier.remove(0);
        }
        Proposal { time, submission }
    }

    /// What comes a moment later where somebody asks for just that.
    pub fn ask(&mut self, state: &State, actor: Actor, command: Command) -> Proposal {
        self.wait_ms(1);
        Proposal { time: self.now, submission: self.fresh(actor, command, Some(state.revision())) }
    }

    /// Time passes, now and then by hours; a new leader's clock may be behind.
    const fn clock(&mut self) -> Timestamp {
        let passed = match self.dice.below(100) {
            0 => 61 * MINUTE_MS,
            1..=3 => 7 * MINUTE_MS,
            4..=50 => self.dice.below(2_000),
            _ => 0,
        };
        self.wait_ms(passed);
        let behind = if self.dice.chance(3) { self.dice.below(5_000) } else { 0 };
        Timestamp(self.now.0 - behind)
    }

    /// A caller whose answer was lost asks again; a careless one uses its key for something else.
    fn again(&mut self) -> Option<Submission> {
        if self.earlier.is_empty() || !self.dice.chance(6) {
            return None;
        }
        let mut submission = self.dice.pick(&self.earlier);
        if self.dice.chance(30) {
            submission.fingerprint = Hash::of(&self.dice.number().to_be_bytes());
        }
        Some(submission)
    }

    fn submission(&mut self, state: &State) -> Submission {
        let (actor, command) = self.wish(state);
        let actor = if self.dice.chance(3) { self.any_actor() } else { actor };
        let expected = self.expectation(state, &command);
        let planned_on = match actor {
            Actor::Duty(_) if self.dice.chance(90) => Some(state.revision()),
            Actor::Duty(_) => self.dice.perhaps(50, |dice| Revision(dice.below(state.revision().0 + 1))),
            _ => None,
        };
        Submission { expected, ..self.fresh(actor, command, planned_on) }
    }

    /// A request that was not made before. Some callers give their requests a key, and some do not.
    fn fresh(&mut self, actor: Actor, command: Command, planned_on: Option<Revision>) -> Submission {
        self.requests += 1;
        let name = format!("request-{}-{}", self.behind, self.requests);
        let request = if self.dice.chance(50) { RequestId::parse(&name) } else { RequestId::minted(&name) };
        Submission {
            actor,
            request: request.expect("visible ASCII"),
            fingerprint: Hash::of(command.to_string().as_bytes()),
            expected: None,
            planned_on,
            command,
        }
    }

    fn expectation(&mut self, state: &State, command: &Command) -> Option<ExpectedRevision> {
        let object = command.subject().filter(|_| self.dice.chance(15))?;
        let current = state.changed_at(object).unwrap_or_default();
        let (epoch, revision) = match self.dice.below(5) {
            0 => (Epoch(2), current),
            1 => (Epoch::FIRST, Revision(self.dice.below(state.revision().0 + 2))),
            _ => (Epoch::FIRST, current),
        };
        Some(ExpectedRevision { object, at: Cursor { epoch, revision } })
    }

    /// What somebody wants, and who.
    fn wish(&mut self, state: &State) -> (Actor, Command) {
        let dice = &mut self.dice;
        if state.cluster().is_none() && dice.chance(90) {
            return (Actor::Founder, Command::Cluster(self.found()));
        }
        let administrators: Vec<_> = state.tokens().iter().map(|token| Actor::Token(token.id)).collect();
        if administrators.is_empty() && dice.chance(80) {
            let setup_secret = Some(if dice.chance(90) { Hash::of(SETUP_SECRET) } else { Hash::ZERO });
            return (Actor::Founder, Command::Token(self.issue(state, setup_secret)));
        }
        let administrator = if administrators.is_empty() { Actor::Founder } else { dice.pick(&administrators) };
        match dice.below(100) {
            0..=9 => (administrator, Command::Site(self.site(state))),
            10..=20 => (administrator, Command::Destination(self.destination(state))),
            21..=26 => (administrator, Command::Token(self.token(state))),
            27..=32 => (administrator, Command::JoinToken(self.join_token(state))),
            33..=50 => self.authority_node(state, administrator),
            51..=95 => self.fleet(state, administrator),
            96 => (administrator, Command::Operation(operation::Command::Cancel { operation: self.operation_id(state) })),
            97..=98 => {
                let level = if self.dice.chance(60) { state.level().next() } else { Level(self.any_u16()) };
                (administrator, Command::Cluster(cluster::Command::RaiseLevel { level }))
            }
            _ => (Actor::Founder, Command::Cluster(self.found())),
        }
    }

    fn found(&mut self) -> cluster::Command {
        cluster::Command::Found {
            cluster: ClusterId([7; 16]),
            license_key: vec![1; 32],
            ca_certificate: "-----BEGIN CERTIFICATE-----".into(),
            sealed_ca_key: vec![2; 48],
            setup_secret: Hash::of(SETUP_SECRET),
            node: self.facts(),
        }
    }

    fn site(&mut self, state: &State) -> site::Command {
        let expected_latency_ms = |dice: &mut Dice| u32::try_from(dice.below(64_000)).expect("it fits");
        match self.dice.below(10) {
            0..=4 => site::Command::Create { name: self.name(), expected_latency_ms: expected_latency_ms(&mut self.dice) },
            5..=7 => site::Command::Edit {
                site: self.site_id(state),
                name: self.dice.chance(60).then(|| self.name()),
                expected_latency_ms: self.dice.perhaps(60, expected_latency_ms),
            },
            _ => site::Command::Remove { site: self.site_id(state) },
        }
    }

    fn destination(&mut self, state: &State) -> destination::Command {
        match self.dice.below(10) {
            0..=3 => destination::Command::Create {
                name: self.name(),
                description: self.name(),
                site: self.site_id(state),
                offered: self.dice.chance(80),
                balancing: self.balancing(),
                free_space: self.thresholds(),
            },
            4..=8 => {
                let change = Change {
                    name: self.dice.chance(30).then(|| self.name()),
                    description: self.dice.chance(50).then(|| self.name()),
                    site: self.dice.chance(20).then(|| self.site_id(state)),
                    offered: self.dice.perhaps(20, |dice| dice.chance(50)),
                    balancing: self.dice.chance(20).then(|| self.balancing()),
                    free_space: self.dice.chance(20).then(|| self.thresholds()),
                };
                destination::Command::Edit { destination: self.destination_id(state), change }
            }
            _ => destination::Command::Remove { destination: self.destination_id(state) },
        }
    }

    fn balancing(&mut self) -> Balancing {
        let dice = &mut self.dice;
        let minute = |dice: &mut Dice| u16::try_from(dice.below(1_445)).expect("it fits");
        Balancing {
            enabled: dice.chance(80),
            allowed_variance_percent: u8::try_from(dice.below(105)).expect("it fits"),
            window: dice.perhaps(40, |dice| DailyWindow { from_minute: minute(dice), to_minute: minute(dice) }),
            rate_bytes_per_second: dice.perhaps(40, |dice| dice.below(20) * 1_000_000),
            concurrency: u16::try_from(dice.below(66)).expect("it fits"),
        }
    }

    fn thresholds(&mut self) -> FreeSpaceThresholds {
        let percent = |dice: &mut Dice| u8::try_from(dice.below(50)).expect("it fits");
        FreeSpaceThresholds { warning_percent: 50 + percent(&mut self.dice), critical_percent: percent(&mut self.dice) }
    }

    fn token(&mut self, state: &State) -> token::Command {
        if self.dice.chance(60) { self.issue(state, None) } else { token::Command::Revoke { token: self.token_id(state) } }
    }

    fn issue(&mut self, state: &State, setup_secret: Option<Hash>) -> token::Command {
        let used: Vec<_> = state.tokens().iter().map(|token| token.secret).collect();
        let now = self.now;
        token::Command::Issue {
            name: self.name(),
            secret: self.secret(&used),
            expires_at: self.dice.perhaps(30, |dice| now.plus_ms(dice.below(120) * MINUTE_MS)),
            setup_secret,
        }
    }

    fn join_token(&mut self, state: &State) -> join_token::Command {
        if self.dice.chance(70) {
            let used: Vec<_> = state.join_tokens().iter().map(|token| token.secret).collect();
            let expires_at = self.now.plus_ms(self.dice.below(120) * MINUTE_MS);
            return join_token::Command::Issue { secret: self.secret(&used), expires_at };
        }
        let known: Vec<_> = state.join_tokens().iter().map(|token| token.id).collect();
        join_token::Command::Revoke { token: self.known_or_any(&known, JoinTokenId) }
    }

    /// A new secret; now and then one that was used before.
    fn secret(&mut self, used: &[Hash]) -> Hash {
        if !used.is_empty() && self.dice.chance(3) { self.dice.pick(used) } else { Hash::of(&self.dice.number().to_be_bytes()) }
    }

    fn authority_node(&mut self, state: &State, administrator: Actor) -> (Actor, Command) {
        let open: Vec<_> = state.join_tokens().iter().filter(|token| token.used_by.is_none()).map(|token| token.secret).collect();
        let (actor, command) = match self.dice.below(10) {
            0..=2 => {
                let used: Vec<_> = state.join_tokens().iter().map(|token| token.secret).collect();
                let secrets = if open.is_empty() || self.dice.chance(10) { used } else { open };
                let secret = if secrets.is_empty() { Hash::ZERO } else { self.dice.pick(&secrets) };
                let facts = self.facts();
                (Actor::Joiner, authority_node::Command::Admit { secret, public_key: Hash::of(&facts.store.0), facts })
            }
            3 => {
                let node = self.node_id(state);
                let store = state.authority_nodes().get(node).map(|node| node.store);
                let facts = Facts { store: store.unwrap_or(StoreId([9; 16])), ..self.facts() };
                (Actor::AuthorityNode(node), authority_node::Command::Announce { node, facts })
            }
            4 => {
                let site = self.dice.chance(80).then(|| self.site_id(state));
                (administrator, authority_node::Command::Edit { node: self.node_id(state), site })
            }
            5 => (administrator, authority_node::Command::Remove { node: self.node_id(state) }),
            6..=7 => {
                let moving: Vec<_> = state
                    .authority_nodes()
                    .iter()
                    .filter(|node| matches!(node.intent, Intent::Joining { .. } | Intent::Leaving { .. }))
                    .map(|node| node.id)
                    .collect();
                let node = if moving.is_empty() { self.node_id(state) } else { self.dice.pick(&moving) };
                (Actor::Duty(Duty::Membership), authority_node::Command::Settle { node })
            }
            _ => return (Actor::Duty(Duty::Membership), Command::Operation(self.report(state))),
        };
        (actor, Command::AuthorityNode(command))
    }

    fn report(&mut self, state: &State) -> operation::Command {
        let codes = [WaitCode::NodeUnreachable, WaitCode::NodeCatchingUp, WaitCode::MembershipChange];
        let waits = self.dice.below(3);
        operation::Command::Report {
            operation: self.operation_id(state),
            step: self.dice.perhaps(50, |dice| dice.pick(&[Step::Learning, Step::CaughtUp])),
            waiting_on: (0..waits)
                .map(|_| (self.dice.pick(&codes), ObjectRef::from(AuthorityNodeId(self.dice.below(4) + 1))))
                .collect(),
        }
    }

    fn facts(&mut self) -> Facts {
        let dice = &mut self.dice;
        let store = u8::try_from(dice.below(60)).expect("it fits");
        let address = |dice: &mut Dice| match dice.below(30) {
            0 => "nowhere".to_owned(),
            1 => "[2001:db8::1]:4283".to_owned(),
            number => format!("node-{number}.example:4283"),
        };
        Facts {
            store: StoreId([store; 16]),
            peer_address: address(dice),
            api_address: address(dice),
            control_address: address(dice),
            version: if dice.chance(85) { "0.1.0".to_owned() } else { format!("0.{}.0", dice.below(3)) },
            supported: Level(dice.pick(&[1, 2, 2, 3, 3, 0])),
        }
    }

    /// Names collide often, also by folding; some are not allowed.
    fn name(&mut self) -> String {
        match self.dice.below(40) {
            0 => String::new(),
            1 => "x".repeat(129),
            2 => "a\u{7}b".into(),
            3 => " blank".into(),
            4 => "ÄÖÜ 東京 🗄".into(),
            5..=12 => self.dice.pick(&["dublin", "Dublin", "DUBLIN", "Paris"]).into(),
            number => format!("Name {number}-{}", self.dice.below(50)),
        }
    }

    fn any_actor(&mut self) -> Actor {
        match self.dice.below(6) {
            0 => Actor::Founder,
            1 => Actor::Joiner,
            2 => Actor::AuthorityNode(AuthorityNodeId(self.dice.below(4))),
            3 => Actor::Duty(self.dice.pick(&[Duty::Membership, Duty::Join, Duty::FailureDetection])),
            4 => Actor::Server(ServerId(self.dice.below(4))),
            _ => Actor::Token(TokenId(self.dice.below(6))),
        }
    }

    fn site_id(&mut self, state: &State) -> SiteId {
        let known: Vec<_> = state.sites().iter().map(|site| site.id).collect();
        self.known_or_any(&known, SiteId)
    }

    fn destination_id(&mut self, state: &State) -> DestinationId {
        let known: Vec<_> = state.destinations().iter().map(|destination| destination.id).collect();
        self.known_or_any(&known, DestinationId)
    }

    fn node_id(&mut self, state: &State) -> AuthorityNodeId {
        let known: Vec<_> = state.authority_nodes().iter().map(|node| node.id).collect();
        self.known_or_any(&known, AuthorityNodeId)
    }

    fn token_id(&mut self, state: &State) -> TokenId {
        let known: Vec<_> = state.tokens().iter().map(|token| token.id).collect();
        self.known_or_any(&known, TokenId)
    }

    fn operation_id(&mut self, state: &State) -> OperationId {
        let all = || state.operations().iter();
        let running: Vec<_> = all().filter(|operation| operation.status == Status::Running).map(|row| row.id).collect();
        let known = if running.is_empty() || self.dice.chance(20) { all().map(|row| row.id).collect() } else { running };
        self.known_or_any(&known, OperationId)
    }

    fn known_or_any<T: Clone>(&mut self, known: &[T], any: fn(u64) -> T) -> T {
        if known.is_empty() || self.dice.chance(5) { any(self.dice.below(1_000)) } else { self.dice.pick(known) }
    }

    fn any_u16(&mut self) -> u16 {
        u16::try_from(self.dice.below(1 << 16)).expect("it fits")
    }
}
