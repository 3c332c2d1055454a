//! The form in which rules are written down, and the things that they are about.

use std::{cell::RefCell, collections::BTreeSet};

use bursar_domain::{
    Actor, AuthorityNodeId, ClusterId, Command, Cursor, Decision, DestinationId, Duty, Effect, Epoch, Event, ExpectedRevision,
    FieldFault, Hash, JoinTokenId, Level, Name, ObjectRef, OperationId, Proposal, Rejection, Reply, RequestId, Revision, SiteId,
    State, StoreId, Submission, Text, Timestamp, TokenId,
    authority_node::{self, CheckedFacts, Facts},
    cluster, decide,
    destination::{self, Balancing, FreeSpaceThresholds},
    evolve, invariants, join_token,
    operation::{self, End, Step, Task},
    seal, site,
    text::Address,
    token,
};

thread_local! {
    static SEEN: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
}

/// The kinds of events and codes of refusals that the cases of this thread have brought about.
pub fn seen() -> BTreeSet<&'static str> {
    SEEN.with_borrow(Clone::clone)
}

/// Writes each case down as a test, and all of them as `CASES`.
macro_rules! rules {
    ($($(#[$doc:meta])* fn $case:ident() $body:block)*) => {
        $(
            $(#[$doc])*
            #[test]
            fn $case() $body
        )*

        /// Every case of this file.
        pub const CASES: &[fn()] = &[$($case),*];
    };
}
pub(crate) use rules;

/// When everything that was given has happened.
pub const START: Timestamp = Timestamp(1_000_000);
pub const MINUTE_MS: u64 = 60_000;

/// What has happened before.
pub struct Given {
    state: State,
    now: Timestamp,
}

/// Nothing has happened yet.
pub fn nothing() -> Given {
    Given { state: State::default(), now: START }
}

/// A cluster with its first node and one administrator, whose token never expires.
pub fn a_cluster() -> Given {
    nothing().and([
        cluster_founded().into(),
        authority_node::Event::Founded { node: AuthorityNodeId(1), facts: checked_facts(1) }.into(),
        cluster::Event::SetupClaimed.into(),
        token_issued(1, "first", None),
    ])
}

impl Given {
    /// These events have happened too, each by a decision of its own.
    pub fn and(mut self, events: impl IntoIterator<Item = Event>) -> Self {
        for event in events {
            let number = self.state.revision().next();
            let submission = Submission {
                actor: Actor::Founder,
                request: RequestId::parse(&format!("given-{number}")).expect("visible ASCII"),
                fingerprint: Hash::ZERO,
                expected: None,
                planned_on: None,
                command: remove_site(0),
            };
            let proposal = Proposal { time: START, submission };
            let decision = Decision {
                events: vec![event],
                outcome: Ok(Reply::changed(ObjectRef::Cluster)),
                revision: number,
                time: START,
                repeated: false,
                defect: None,
            };
            self.carry(&proposal, &decision);
        }
        assert_eq!(invariants::violations(&self.state), [], "what is given is a sound state");
        self
    }

    /// Time has passed since.
    pub fn later(mut self, milliseconds: u64) -> Self {
        self.now = self.now.plus_ms(milliseconds);
        self
    }

    /// The leader's clock says this.
    pub fn at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    /// What all of it led to.
    pub fn into_state(self) -> State {
        self.state
    }

    /// The last revision.
    pub fn revision(&self) -> Revision {
        self.state.revision()
    }

    /// Somebody asks for something.
    pub fn when(self, actor: Actor, command: Command) -> When {
        let submission = Submission {
            actor,
            request: RequestId::parse("a-key").expect("visible ASCII"),
            fingerprint: Hash::of(format!("{command:?}").as_bytes()),
            expected: None,
            planned_on: matches!(actor, Actor::Duty(_)).then_some(self.state.revision()),
            command,
        };
        When { given: self, submission }
    }

    fn carry(&mut self, proposal: &Proposal, decision: &Decision) {
        for sealed in seal(&self.state, proposal, decision) {
            evolve(&mut self.state, &sealed);
        }
    }
}

/// A request that waits for its decision.
pub struct When {
    given: Given,
    submission: Submission,
}

impl When {
    /// The caller has read `object` as it was at `revision` of the first epoch (If-Match).
    pub fn having_read(self, object: impl Into<ObjectRef>, revision: u64) -> Self {
        self.having_read_at(object, Cursor { epoch: Epoch::FIRST, revision: Revision(revision) })
    }

    /// The caller has read `object` at that place (If-Match).
    pub fn having_read_at(mut self, object: impl Into<ObjectRef>, at: Cursor) -> Self {
        self.submission.expected = Some(ExpectedRevision { object: object.into(), at });
        self
    }

    /// The duty planned on that revision, or does not say on which.
    pub fn planned_on(mut self, revision: Option<Revision>) -> Self {
        self.submission.planned_on = revision;
        self
    }

    /// The request came without a key, and got that id.
    pub fn without_a_key(mut self, minted: &str) -> Self {
        self.submission.request = RequestId::minted(minted).expect("visible ASCII");
        self
    }

    /// The request has that key.
    pub fn under(mut self, key: &str) -> Self {
        self.submission.request = RequestId::parse(key).expect("visible ASCII");
        self
    }

    /// It is granted, with exactly these events; then more may be asked for.
    pub fn then(self, events: impl IntoIterator<Item = Event>) -> Told {
        let events: Vec<_> = events.into_iter().collect();
        let decision = self.decide();
        let reply = decision.outcome.clone().unwrap_or_else(|rejection| panic!("refused: {rejection}"));
        assert_eq!(decision.events, events, "{reply}");
        SEEN.with_borrow_mut(|seen| seen.extend(events.iter().map(Event::kind)));
        let Self { mut given, submission } = self;
        assert_eq!(decision.revision, given.state.revision().plus(events.len() as u64));
        given.carry(&Proposal { time: given.now, submission }, &decision);
        assert_eq!(invariants::violations(&given.state), []);
        Told { given, reply }
    }

    /// It is what it was before: nothing happens, and the caller hears what the first one heard.
    pub fn repeats(self, reply: Reply, revision: Revision) -> Given {
        let decision = self.decide();
        assert!(decision.repeated, "it was decided anew: {:?}", decision.outcome);
        assert_eq!(decision.events, []);
        assert_eq!((decision.outcome, decision.revision), (Ok(reply), revision));
        self.given
    }

    /// It is refused with that code, and nothing happens.
    pub fn refused(self, code: &str) -> Refused {
        let decision = self.decide();
        let rejection = decision.outcome.expect_err("a refusal");
        assert_eq!(rejection.code(), code, "{rejection}");
        assert_eq!(decision.events, [], "a refusal changes nothing");
        assert_eq!(decision.revision, self.given.state.revision());
        SEEN.with_borrow_mut(|seen| seen.insert(rejection.code()));
        Refused { given: self.given, rejection }
    }

    fn decide(&self) -> Decision {
        let decision = decide(&self.given.state, &Proposal { time: self.given.now, submission: self.submission.clone() });
        assert_eq!(decision.defect, None, "the rules panicked");
        decision
    }
}

/// A request that was granted.
pub struct Told {
    given: Given,
    reply: Reply,
}

impl Told {
    /// That is what the caller hears.
    pub fn told(self, effect: Effect, object: impl Into<ObjectRef>) -> Given {
        assert_eq!(self.reply, Reply { effect, object: object.into() });
        self.given
    }
}

/// A request that was refused.
pub struct Refused {
    given: Given,
    rejection: Rejection,
}

impl Refused {
    /// That is why, in full.
    pub fn because(self, rejection: Rejection) -> Given {
        assert_eq!(self.rejection, rejection);
        self.given
    }

    /// That field is at fault, in that way.
    pub fn for_field(self, field: &str, fault: FieldFault) -> Given {
        self.because(Rejection::InvalidField { field: field.into(), fault })
    }
}

// Who asks.

pub const ADMINISTRATOR: Actor = Actor::Token(TokenId(1));
pub const MEMBERSHIP: Actor = Actor::Duty(Duty::Membership);

// What they are about.

pub const SETUP_SECRET: Hash = Hash([2; 32]);

pub fn cluster_founded() -> cluster::Event {
    cluster::Event::Founded {
        cluster: ClusterId([1; 16]),
        license_key: vec![1; 32],
        ca_certificate: "certificate".into(),
        sealed_ca_key: vec![2; 48],
        setup_secret: SETUP_SECRET,
    }
}

pub fn store(number: u8) -> StoreId {
    StoreId([number; 16])
}

/// Of the machine whose data directory has that number.
pub fn facts(number: u8) -> Facts {
    Facts {
        store: store(number),
        peer_address: format!("n{number}.example:4283"),
        api_address: format!("n{number}.example:4285"),
        control_address: format!("n{number}.example:4288"),
        version: "0.1.0".into(),
        supported: Level(1),
    }
}

/// The hash of the public key of that machine.
pub fn public_key(number: u8) -> Hash {
    Hash::of(&[b'k', number])
}

pub fn checked_facts(number: u8) -> CheckedFacts {
    checked(&facts(number))
}

pub fn checked(facts: &Facts) -> CheckedFacts {
    let address = |text: &str| Address::parse("address", text).expect("a proper address");
    CheckedFacts {
        store: facts.store,
        peer_address: address(&facts.peer_address),
        api_address: address(&facts.api_address),
        control_address: address(&facts.control_address),
        version: name(&facts.version),
        supported: facts.supported,
    }
}

pub fn name(text: &str) -> Name {
    Name::parse("name", text).expect("a proper name")
}

pub fn description(text: &str) -> Text {
    Text::parse("description", text).expect("a proper text")
}

/// The secret of a token, hashed; another number, another secret.
pub fn secret(number: u8) -> Hash {
    Hash([100 + number; 32])
}

pub fn token_issued(token: u64, name: &str, expires_at: Option<Timestamp>) -> Event {
    let secret = secret(u8::try_from(token).expect("few tokens"));
    token::Event::Issued { token: TokenId(token), name: self::name(name), secret, expires_at }.into()
}

/// An invitation that lasts an hour.
pub fn invited(token: u64) -> Event {
    let secret = secret(u8::try_from(token).expect("few tokens"));
    join_token::Event::Issued { token: JoinTokenId(token), secret, expires_at: START.plus_ms(60 * MINUTE_MS) }.into()
}

/// A node was taken in, by an operation of that number.
pub fn admitted(node: u64, operation: u64) -> [Event; 2] {
    let machine = u8::try_from(node).expect("few nodes");
    let (public_key, facts) = (public_key(machine), checked_facts(machine));
    let (node, operation) = (AuthorityNodeId(node), OperationId(operation));
    let admitted = authority_node::Event::Admitted { node, public_key, facts, operation };
    [started(operation.0, Task::AddAuthorityNode { node }), admitted.into()]
}

/// A node that was taken in votes.
pub fn joined(node: u64, operation: u64) -> [Event; 2] {
    [authority_node::Event::Joined { node: AuthorityNodeId(node) }.into(), ended(operation, End::Succeeded)]
}

/// A node is to leave, by an operation of that number.
pub fn leaving(node: u64, operation: u64) -> [Event; 2] {
    let (node, operation) = (AuthorityNodeId(node), OperationId(operation));
    [started(operation.0, Task::RemoveAuthorityNode { node }), authority_node::Event::RemovalStarted { node, operation }.into()]
}

/// A node that was to leave has left.
pub fn left(node: u64, operation: u64) -> [Event; 2] {
    [authority_node::Event::Removed { node: AuthorityNodeId(node) }.into(), ended(operation, End::Succeeded)]
}

/// A second node votes, taken in by operation 1.
pub fn two_nodes() -> Given {
    a_cluster().and(admitted(2, 1)).and(joined(2, 1))
}

pub fn started(operation: u64, task: Task) -> Event {
    operation::Event::Started { operation: OperationId(operation), task }.into()
}

pub fn advanced(operation: u64, step: Step) -> Event {
    operation::Event::Advanced { operation: OperationId(operation), step }.into()
}

pub fn ended(operation: u64, end: End) -> Event {
    operation::Event::Ended { operation: OperationId(operation), end }.into()
}

pub fn site_created(site: u64, name: &str) -> Event {
    site::Event::Created { site: SiteId(site), name: self::name(name), expected_latency_ms: 5 }.into()
}

pub fn create_site(name: &str) -> Command {
    Command::Site(site::Command::Create { name: name.into(), expected_latency_ms: 5 })
}

pub fn remove_site(site: u64) -> Command {
    Command::Site(site::Command::Remove { site: SiteId(site) })
}

pub fn destination_created(destination: u64, name: &str, site: u64) -> Event {
    destination::Event::Created {
        destination: DestinationId(destination),
        name: self::name(name),
        description: Text::default(),
        site: SiteId(site),
        offered: true,
        balancing: Balancing::default(),
        free_space: FreeSpaceThresholds::default(),
    }
    .into()
}
