//! An authority node: a member of the replicated authority.
//!
//! The intent is logged here; the membership duty brings Raft's own membership into line with it and then says so. A removed
//! node leaves its row as a tombstone: its number and its data directory are never accepted again.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    alert,
    cluster::founded,
    decision::{Outcome, Reply},
    draft::Draft,
    encoding::{Encoded, Kind},
    hash::Hash,
    ids::{AuthorityNodeId, ObjectRef, OperationId, SiteId, StoreId},
    join_token,
    level::Level,
    operation,
    projection::Listens,
    rejection::{FieldFault, Rejection},
    site,
    state::{Stamp, State, given},
    table::Row,
    text::{Address, Name},
};

/// A member of the authority, or a former one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorityNode {
    /// Its number: its Raft node id.
    pub id: AuthorityNodeId,
    /// The identity of its data directory.
    pub store: StoreId,
    /// The hash of the public key for which it joined; the founder, which has its certificate from nobody else, has none.
    pub public_key: Option<Hash>,
    /// Where it is, if that was said.
    pub site: Option<SiteId>,
    /// Where the other nodes reach it.
    pub peer_address: Address,
    /// Where people reach its API.
    pub api_address: Address,
    /// Where storage servers reach it.
    pub control_address: Address,
    /// The program's version.
    pub version: Name,
    /// The highest level that its program can carry out.
    pub supported: Level,
    /// What is wanted of it.
    pub intent: Intent,
    /// When and by whom it was admitted.
    pub created: Stamp,
    /// When and by whom it was last changed.
    pub changed: Stamp,
}

/// What is wanted of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Intent {
    /// To become a voter.
    Joining {
        /// The operation that carries it.
        operation: OperationId,
    },
    /// To vote.
    Voting,
    /// To leave.
    Leaving {
        /// The operation that carries it.
        operation: OperationId,
    },
    /// It has left.
    Removed,
}

impl Intent {
    /// Whether it has not left.
    pub const fn is_present(self) -> bool {
        !matches!(self, Self::Removed)
    }
}

impl Encoded for AuthorityNode {
    const KIND: Kind = Kind::AuthorityNode;
}

impl Row for AuthorityNode {
    type Id = AuthorityNodeId;
    type Key = StoreId;
    fn id(&self) -> AuthorityNodeId {
        self.id
    }
    fn key(&self) -> Option<StoreId> {
        Some(self.store)
    }
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The identity of its data directory.
    pub store: StoreId,
    /// Where the other nodes reach it.
    pub peer_address: String,
    /// Where people reach its API.
    pub api_address: String,
    /// Where storage servers reach it.
    pub control_address: String,
    /// The program's version.
    pub version: String,
    /// The highest level that its program can carry out.
    pub supported: Level,
}

/// What a node says of itself, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckedFacts {
    /// See [`Facts::store`].
    pub store: StoreId,
    /// See [`Facts::peer_address`].
    pub peer_address: Address,
    /// See [`Facts::api_address`].
    pub api_address: Address,
    /// See [`Facts::control_address`].
    pub control_address: Address,
    /// See [`Facts::version`].
    pub version: Name,
    /// See [`Facts::supported`].
    pub supported: Level,
}

/// What can be asked of authority nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Take a machine in that presents a join token.
    Admit {
        /// The token's secret, hashed.
        secret: Hash,
        /// The public key that is to be certified, hashed: it tells a machine that asks again from one that imitates it.
        public_key: Hash,
        /// The machine.
        facts: Facts,
    },
    /// A node says how it runs now.
    Announce {
        /// Which.
        node: AuthorityNodeId,
        /// How it runs.
        facts: Facts,
    },
    /// Say where it is.
    Edit {
        /// Which.
        node: AuthorityNodeId,
        /// The site; none takes it from its site.
        site: Option<SiteId>,
    },
    /// Have it leave.
    Remove {
        /// Which.
        node: AuthorityNodeId,
    },
    /// The duty found Raft's membership in line with the intent.
    Settle {
        /// Which.
        node: AuthorityNodeId,
    },
}

/// What can have happened to authority nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// It founded the cluster.
    Founded {
        /// Which.
        node: AuthorityNodeId,
        /// How it runs.
        facts: CheckedFacts,
    },
    /// It was taken in, to become a voter.
    Admitted {
        /// Which.
        node: AuthorityNodeId,
        /// The hash of its public key.
        public_key: Hash,
        /// How it runs.
        facts: CheckedFacts,
        /// The operation that carries it.
        operation: OperationId,
    },
    /// It said how it runs now.
    Announced {
        /// Which.
        node: AuthorityNodeId,
        /// How it runs.
        facts: CheckedFacts,
    },
    /// Its site was said.
    Edited {
        /// Which.
        node: AuthorityNodeId,
        /// The site.
        site: Option<SiteId>,
    },
    /// It votes.
    Joined {
        /// Which.
        node: AuthorityNodeId,
    },
    /// It is to leave.
    RemovalStarted {
        /// Which.
        node: AuthorityNodeId,
        /// The operation that carries it.
        operation: OperationId,
    },
    /// It has left.
    Removed {
        /// Which.
        node: AuthorityNodeId,
    },
}

/// The rules of authority nodes.
pub(crate) fn decide(draft: &mut Draft<'_>, command: &Command) -> Outcome {
    founded(draft.state())?;
    match command {
        Command::Admit { secret, public_key, facts } => admit(draft, *secret, *public_key, facts),
        Command::Announce { node, facts } => announce(draft, *node, facts),
        Command::Edit { node, site } => {
            let current = present(draft.state(), *node)?;
            if current.site == *site {
                return Ok(Reply::unchanged(*node));
            }
            if let Some(site) = *site {
                site::named_by(draft.state(), "site", site)?;
            }
            draft.emit(Event::Edited { node: *node, site: *site }.into());
            Ok(Reply::changed(*node))
        }
        Command::Remove { node } => remove(draft, *node),
        Command::Settle { node } => settle(draft, *node),
    }
}

fn admit(draft: &mut Draft<'_>, secret: Hash, public_key: Hash, facts: &Facts) -> Outcome {
    let now = draft.now();
    let state = draft.state();
    let token = state.join_tokens().find(&secret).ok_or(Rejection::JoinTokenUnknown)?;
    // A machine whose answer was lost asks again, and gets the same number. What others can know of it, its data directory's
    // identity, is no proof: it is the key that makes it the same machine, and only until it votes.
    let may_ask_again = |node: &AuthorityNode| {
        node.store == facts.store && node.public_key == Some(public_key) && matches!(node.intent, Intent::Joining { .. })
    };
    if let Some(by) = token.used_by
        && !state.authority_nodes().get(by).is_some_and(|node| may_ask_again(node))
    {
        return Err(Rejection::JoinTokenUsed { token: token.id, by });
    }
    if token.has_expired(now) {
        return Err(Rejection::JoinTokenExpired { token: token.id });
    }
    if let Some(by) = token.used_by {
        return Ok(Reply::unchanged(by));
    }
    let token = token.id;
    let facts = checked(state, facts)?;
    let node = next_id(state);
    draft.emit(join_token::Event::Used { token, by: node }.into());
    let operation = operation::start(draft, operation::Task::AddAuthorityNode { node });
    draft.emit(Event::Admitted { node, public_key, facts, operation }.into());
    Ok(Reply::created(node))
}

fn announce(draft: &mut Draft<'_>, node: AuthorityNodeId, facts: &Facts) -> Outcome {
    let state = draft.state();
    let current = present(state, node)?;
    if current.store != facts.store {
        return Err(Rejection::StoreKnown { store: current.store, node });
    }
    let facts = acceptable(state, facts)?;
    if current.facts() == facts {
        return Ok(Reply::unchanged(node));
    }
    draft.emit(Event::Announced { node, facts }.into());
    alert::authority_changed(draft);
    Ok(Reply::changed(node))
}

fn remove(draft: &mut Draft<'_>, node: AuthorityNodeId) -> Outcome {
    let state = draft.state();
    let current = present(state, node)?;
    if let Intent::Leaving { operation } = current.intent {
        return Ok(Reply::unchanged(operation));
    }
    let others_vote = state.authority_nodes().iter().any(|other| other.id != node && other.intent == Intent::Voting);
    if !others_vote {
        return Err(Rejection::LastAuthorityNode { node });
    }
    let former = current.intent;
    if let Intent::Joining { operation } = former {
        draft.emit(operation::Event::Ended { operation, end: operation::End::Cancelled }.into());
    }
    let operation = operation::start(draft, operation::Task::RemoveAuthorityNode { node });
    draft.emit(Event::RemovalStarted { node, operation }.into());
    alert::authority_changed(draft);
    Ok(Reply::accepted(operation))
}

fn settle(draft: &mut Draft<'_>, node: AuthorityNodeId) -> Outcome {
    let (event, operation) = match present(draft.state(), node)?.intent {
        Intent::Joining { operation } => (Event::Joined { node }, operation),
        Intent::Leaving { operation } => (Event::Removed { node }, operation),
        Intent::Voting | Intent::Removed => return Ok(Reply::unchanged(node)),
    };
    draft.emit(event.into());
    draft.emit(operation::Event::Ended { operation, end: operation::End::Succeeded }.into());
    alert::authority_changed(draft);
    Ok(Reply::changed(node))
}

/// Removes a node whose admission is cancelled.
pub(crate) fn cancel_admission(draft: &mut Draft<'_>, node: AuthorityNodeId) -> Outcome {
    remove(draft, node)
}

fn present(state: &State, node: AuthorityNodeId) -> Result<&AuthorityNode, Rejection> {
    let found = state.authority_nodes().get(node).filter(|node| node.intent.is_present());
    found.map(|node| &**node).ok_or(Rejection::NotFound { object: node.into() })
}

/// The number that the next node gets.
pub(crate) const fn next_id(state: &State) -> AuthorityNodeId {
    AuthorityNodeId(state.next().authority_node)
}

/// Checks what a new machine says of itself: that it is acceptable, and that its data directory is new here.
pub(crate) fn checked(state: &State, facts: &Facts) -> Result<CheckedFacts, Rejection> {
    if let Some(node) = state.authority_nodes().find(&facts.store) {
        return Err(Rejection::StoreKnown { store: facts.store, node: node.id });
    }
    acceptable(state, facts)
}

/// Checks the shape of what a machine says of itself, and that it can carry out what the cluster has agreed on.
fn acceptable(state: &State, facts: &Facts) -> Result<CheckedFacts, Rejection> {
    if facts.supported < state.level() {
        return Err(Rejection::LevelTooLow { needed: state.level(), supported: facts.supported });
    }
    if facts.store == StoreId([0; 16]) {
        return Err(Rejection::InvalidField { field: "store".into(), fault: FieldFault::Empty });
    }
    Ok(CheckedFacts {
        store: facts.store,
        peer_address: Address::parse("peer_address", &facts.peer_address)?,
        api_address: Address::parse("api_address", &facts.api_address)?,
        control_address: Address::parse("control_address", &facts.control_address)?,
        version: Name::parse("version", &facts.version)?,
        supported: facts.supported,
    })
}

/// Carries an event into the state.
pub(crate) fn evolve(state: &mut State, event: &Event, stamp: Stamp) {
    let nodes = &mut state.authority_nodes;
    match event {
        Event::Founded { node, facts } => put(state, *node, None, facts, Intent::Voting, stamp),
        Event::Admitted { node, public_key, facts, operation } => {
            put(state, *node, Some(*public_key), facts, Intent::Joining { operation: *operation }, stamp);
        }
        Event::Announced { node, facts } => nodes.change(*node, |node| {
            let CheckedFacts { store, peer_address, api_address, control_address, version, supported } = facts.clone();
            *node = AuthorityNode {
                store,
                peer_address,
                api_address,
                control_address,
                version,
                supported,
                changed: stamp,
                ..node.clone()
            };
        }),
        Event::Edited { node, site } => nodes.change(*node, |node| {
            node.site = *site;
            node.changed = stamp;
        }),
        Event::Joined { node } => intend(state, *node, Intent::Voting, stamp),
        Event::RemovalStarted { node, operation } => intend(state, *node, Intent::Leaving { operation: *operation }, stamp),
        Event::Removed { node } => intend(state, *node, Intent::Removed, stamp),
    }
}

fn put(state: &mut State, id: AuthorityNodeId, public_key: Option<Hash>, facts: &CheckedFacts, intent: Intent, stamp: Stamp) {
    given(&mut state.header.next.authority_node, id.0);
    let CheckedFacts { store, peer_address, api_address, control_address, version, supported } = facts.clone();
    state.authority_nodes.put(AuthorityNode {
        id,
        store,
        public_key,
        site: None,
        peer_address,
        api_address,
        control_address,
        version,
        supported,
        intent,
        created: stamp,
        changed: stamp,
    });
}

fn intend(state: &mut State, node: AuthorityNodeId, intent: Intent, stamp: Stamp) {
    state.authority_nodes.change(node, |node| {
        node.intent = intent;
        node.changed = stamp;
    });
}

impl AuthorityNode {
    /// What storage servers know of it.
    pub fn listens(&self) -> Listens {
        Listens { control: self.control_address.clone(), peer: self.peer_address.clone() }
    }

    /// What the node last said of itself.
    pub fn facts(&self) -> CheckedFacts {
        CheckedFacts {
            store: self.store,
            peer_address: self.peer_address.clone(),
            api_address: self.api_address.clone(),
            control_address: self.control_address.clone(),
            version: self.version.clone(),
            supported: self.supported,
        }
    }
}

impl Command {
    pub(crate) fn subject(&self) -> Option<ObjectRef> {
        match self {
            Self::Admit { .. } => None,
            Self::Announce { node, .. } | Self::Edit { node, .. } | Self::Remove { node } | Self::Settle { node } => {
                Some((*node).into())
            }
        }
    }
}

impl Event {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Founded { .. } => "authority_node.founded",
            Self::Admitted { .. } => "authority_node.admitted",
            Self::Announced { .. } => "authority_node.announced",
            Self::Edited { .. } => "authority_node.edited",
            Self::Joined { .. } => "authority_node.joined",
            Self::RemovalStarted { .. } => "authority_node.removal_started",
            Self::Removed { .. } => "authority_node.removed",
        }
    }

    pub(crate) const fn node(&self) -> AuthorityNodeId {
        match self {
            Self::Founded { node, .. }
            | Self::Admitted { node, .. }
            | Self::Announced { node, .. }
            | Self::Edited { node, .. }
            | Self::Joined { node }
            | Self::RemovalStarted { node, .. }
            | Self::Removed { node } => *node,
        }
    }
}

impl From<Event> for crate::Event {
    fn from(event: Event) -> Self {
        Self::AuthorityNode(event)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admit { facts, .. } => write!(f, "admit an authority node at {}", facts.peer_address),
            Self::Announce { node, facts } => write!(f, "announce {node} at {}", facts.peer_address),
            Self::Edit { node, site: Some(site) } => write!(f, "place {node} at {site}"),
            Self::Edit { node, site: None } => write!(f, "place {node} nowhere"),
            Self::Remove { node } => write!(f, "remove {node}"),
            Self::Settle { node } => write!(f, "settle {node}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Founded { node, facts } => write!(f, "{node} founded the cluster at {}", facts.peer_address),
            Self::Admitted { node, facts, operation, .. } => {
                write!(f, "{node} admitted at {} by {operation}", facts.peer_address)
            }
            Self::Announced { node, facts } => {
                write!(f, "{node} runs version {} at {}", facts.version, facts.peer_address)
            }
            Self::Edited { node, site: Some(site) } => write!(f, "{node} is at {site}"),
            Self::Edited { node, site: None } => write!(f, "{node} is at no site"),
            Self::Joined { node } => write!(f, "{node} votes"),
            Self::RemovalStarted { node, operation } => write!(f, "{node} is leaving by {operation}"),
            Self::Removed { node } => write!(f, "{node} has left"),
        }
    }
}
